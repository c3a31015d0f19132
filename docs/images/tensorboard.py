"""Make the pictures of the page on TensorBoard: `python docs/images/tensorboard.py`, about three minutes.

It trains two sweeps in an empty directory, of 3 and of 30 runs, and takes pictures of TensorBoard in Chromium.
"""

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
ACTIVATIONS = "-m model.activation=tanh,relu,gelu trainer.progress_bar=false search.compare=false"
SWEEPS = {"outputs/few": ACTIVATIONS, "outputs/many": f"{ACTIVATIONS} seed=range(10)"}
COLOURED = "?smoothing=0&tagFilter=val&runColorGroup=regex%3A(tanh%7Crelu%7Cgelu)#timeseries"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 15_000  # milliseconds, in which TensorBoard reads the files and draws the curves


def main() -> None:
    """Train both sweeps, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for port, (directory, sweep) in enumerate(SWEEPS.items(), 6106):
            train = [sys.executable, "-m", "runge", "train", *sweep.split()]
            subprocess.run([*train, f"hydra.sweep.dir={directory}"], cwd=folder, check=True)
            show = [sys.executable, "-m", "tensorboard.main", "--logdir", directory, "--port", str(port)]
            server = subprocess.Popen(show, cwd=folder)
            try:
                with sync_playwright() as playwright:
                    options = ["--no-sandbox", "--disable-gpu"]
                    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
                    page = browser.new_page(viewport={"width": 1200, "height": 620})
                    page.wait_for_timeout(WAIT)
                    (take_many if "seed" in sweep else take_few)(page, f"http://localhost:{port}/")
                    browser.close()
            finally:
                server.terminate()


def take_few(page: Page, address: str) -> None:
    """Take the pictures of three runs: their table, and one of them in a chart."""
    page.set_viewport_size({"width": 1200, "height": 300})
    page.goto(f"{address}#hparams")
    page.wait_for_timeout(WAIT)
    save(page.screenshot(), "tensorboard_table")
    page.set_viewport_size({"width": 1200, "height": 620})
    page.goto(f"{address}#custom_scalars")
    page.wait_for_timeout(WAIT)
    page.get_by_label("Write a regex to filter runs").fill("tanh")
    page.locator(".toggle-matches-button").click()  # the legend
    page.wait_for_timeout(WAIT)
    save(page.screenshot(), "tensorboard_run")


def take_many(page: Page, address: str) -> None:
    """Take the pictures of thirty runs: their curves, coloured by activation, and parallel coordinates."""
    page.set_viewport_size({"width": 1200, "height": 700})
    page.goto(f"{address}{COLOURED}")
    page.wait_for_timeout(WAIT)
    page.locator("button", has_text="Settings").click()
    page.wait_for_timeout(WAIT)
    save(page.screenshot(), "tensorboard_curves")
    page.set_viewport_size({"width": 1400, "height": 700})
    page.goto(f"{address}#hparams")
    page.wait_for_timeout(WAIT)
    page.get_by_text("Parallel Coordinates View").click()
    page.wait_for_timeout(WAIT)
    save(page.screenshot(), "tensorboard_parallel")


def save(png: bytes, name: str) -> None:
    """Save a picture in 64 colours."""
    picture = Image.open(BytesIO(png)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
