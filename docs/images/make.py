"""Make the pictures of these pages from the present state: `python docs/images/make.py`, about three minutes.

It runs the commands of the tutorial and of the page on sensitivity in an empty directory, and takes the pictures of
their reports in Chromium. The plot of intervals is of `runge fit` on a noisy table with a gap. The plot of the page on
why derivatives help shows two fits of six points. `diagrams.py` and `samplers.py` make the pictures that need no
training, `benchmarks/problems/worked.py` those of the worked examples.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SWEEP = "-m model.activation=tanh,relu,gelu,sin seed=range(10)"
TABLE = """
import numpy as np, pandas as pd, runge
random = np.random.default_rng(0)
x = np.concatenate([random.uniform(0, 0.55, 25), random.uniform(0.7, 1, 15)])
y, slope = np.exp(-2 * x) * np.sin(12 * x), np.exp(-2 * x) * (12 * np.cos(12 * x) - 2 * np.sin(12 * x))
noisy = [part + 0.1 * part.std() * random.standard_normal(40) for part in (y, slope)]
df = pd.DataFrame({"x": x, "y": noisy[0], "dy_dx": noisy[1]})
"""
WHY = """
import matplotlib.pyplot as plt, numpy as np, runge
expr, name = "exp(-x)*sin(6*x)", {file!r}
f, df = (lambda x: np.exp(-x) * np.sin(6 * x)), (lambda x: np.exp(-x) * (6 * np.cos(6 * x) - np.sin(6 * x)))
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
x, points = np.linspace(-1, 1, 401), np.linspace(-1, 1, 6)
for axis, lambda_d, title in zip(axes, (0, 1), ("trained on values", "trained on values and derivatives")):
    run = runge.train("target=expression", f"target.expr={{expr!r}}", "data.n_train=6", f"loss.lambda_d={{lambda_d}}",
        "schedule=constant", "trainer.max_steps=4000", "trainer.progress_bar=false")
    axis.plot(x, f(x), color="#999999", lw=1.5, label="f")
    axis.plot(x, run.function(x), color="#0072B2" if lambda_d else "#D55E00", label="fit")
    axis.plot(points, f(points), "o", color="#333333", ms=5)
    for p in points if lambda_d else ():
        step = 0.09 / np.hypot(1, df(p) / 4)
        axis.plot([p - step, p + step], [f(p) - step * df(p), f(p) + step * df(p)], color="#333333", lw=2)
    axis.set(title=title, xlabel="x")
    axis.legend(frameon=False, loc="lower right")
    axis.spines[["top", "right"]].set_visible(False)
figure.savefig(name, dpi=130)
"""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def main() -> None:
    """Train the default run, the tutorial's sweep and an answer of `runge fit`, and copy or take their pictures."""
    blocks = re.findall(r"```python\n(.*?)```", (HERE.parent / "howto/sensitivity.md").read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        run, sweep = Path(folder, "run"), Path(folder, "sweep")
        start = [sys.executable, "-m", "runge", "train"]
        for options in (f"hydra.run.dir={run}", f"{SWEEP} hydra.sweep.dir={sweep}"):
            subprocess.run([*start, *options.split(), "trainer.progress_bar=false"], cwd=folder, check=True)
        race = [sys.executable, "-c", blocks[0] + f"answer = runge.fit(df, directory={str(Path(folder, 'race'))!r})"]
        subprocess.run(race, cwd=folder, check=True)
        why = WHY.format(file=str(HERE / "why.png"))
        subprocess.run([sys.executable, "-c", why], cwd=folder, check=True)
        picture = f"runge.fit(df).figure().savefig({str(HERE / 'intervals.png')!r}, dpi=130)"
        subprocess.run([sys.executable, "-c", TABLE + picture], cwd=folder, check=True)
        for picture in (run / "fit.png", run / "curves.png", sweep / "comparison.png"):
            shutil.copyfile(picture, HERE / picture.name)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1300, "height": 1850})
            page.goto((sweep / "comparison.html").as_uri())
            page.wait_for_selector("html[data-plots=ready]")
            page.screenshot(path=HERE / "report.png")
            page.set_viewport_size({"width": 950, "height": 900})
            page.goto((Path(folder, "race") / "comparison.html").as_uri())
            page.locator("#sensitivity").screenshot(path=HERE / "sensitivity.png")
            browser.close()


if __name__ == "__main__":
    main()
