"""The page of single studies, `docs/studies.md`, from the files in `figures`: `python benchmarks/problems/page.py`."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from runge.machine import processor

FIGURES = Path(__file__).parent / "figures"
PAGE = Path(__file__).parents[2] / "docs" / "studies.md"

PUBLISHED = {  # with the profiled likelihood: value, derivative
    16: (0.2225, 1.3848),
    32: (0.0868, 0.7300),
    64: (0.0394, 0.3422),
    128: (0.0123, 0.1876),
    256: (0.0053, 0.1011),
}

KEYS = "value", "derivative"

HEAD = """# Studies

Questions that the [table of tools and problems](benchmarks.md) does not answer, each with its command. Where settings
were chosen, the section says how; no test row was used for it. {processors}
"""

SECTIONS = {
    "pfr": """
## A reactor: 5 inputs, 4 outputs, 20 partial derivatives

A plug-flow reactor with a cooling jacket, from notebook 43 of [pounce](https://github.com/jkitchin/pounce). Five pools
of n points, of which a quarter is for validation; 1000 test points. The error is the RMSE of each channel over its
standard deviation, averaged over the channels; medians of the five pools. *Published* is the best of the author's three
losses, half the sum over all channels of log MSE, with the weight decay chosen for each pool; he trains a
5-64-64-4 tanh network, with 5000 steps of Adam in JAX. *Again* is our reproduction.

{pfr}

`{pfr_command}`
""",
    "study": """
## The same reactor, with the same network and optimiser in JAX and in runge

Five pools and five weight decays: 25 trainings for each n and loss, of 5000 steps in 64 bit, with the author's
settings. JAX trains the 25 networks of one n and one loss under `vmap` in one compiled scan, and keeps their weights
alone; its seconds include compiling. `runge` trains all networks of one loss in one sweep, which writes
checkpoints and histories of each run; the seconds of its fits are their sum, divided by the number of processes.
Errors are the medians of the pools, value / derivative.

{study}

`{study_command}`, `{peers_pfr_command}`
""",
}
"""The problems that have been measured are on the page."""


def figures(name: str) -> Any:
    path = FIGURES / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {"rows": []}


def keep(name: str, rows: list[dict[str, Any]], command: str) -> None:
    """Keep the rows of a problem or a peer, with the command and the processor that they are from.

    Rows of functions that were not measured this time stay.
    """
    measured = {row.get("problem") for row in rows}
    rows = [row for row in figures(name)["rows"] if row.get("problem") not in measured] + rows
    found = {"command": command, "processor": processor(), "rows": rows}
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


Study = Callable[[Path, list[int], str, int], Iterable[dict[str, Any]]]
"""A study of the reactor: from the directory of its tables, the sizes, the loss and the steps to rows of figures."""


def keep_study(name: str, doc: str | None, losses: Iterable[str], study: Study) -> None:
    """Make a study of the reactor for the sizes and losses that the command line names; keep its rows if whole."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(PUBLISHED))
    parser.add_argument("--losses", nargs="+", default=list(losses), choices=list(losses))
    parser.add_argument("--steps", type=int, default=5000)
    arguments = parser.parse_args()
    rows = []
    for loss in arguments.losses:
        for row in study(arguments.directory, arguments.sizes, loss, arguments.steps):
            rows.append(row)
            print(json.dumps(row), flush=True)
    if (arguments.steps, arguments.sizes, arguments.losses) == (5000, list(PUBLISHED), list(losses)):
        keep(name, rows, typed(arguments.directory))


def typed(directory: Path) -> str:
    """Return the command that runs, with DIR in place of this machine's directory."""
    words = ("DIR" if Path(word) == directory else word for word in sys.argv[1:])
    return " ".join(("python", f"benchmarks/problems/{Path(sys.argv[0]).name}", *words))


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def reactor() -> str:
    jax = {row["n"]: row for row in figures("peers_pfr")["rows"] if row["loss"] == "nll"}
    ours = {row["n"]: row for row in figures("pfr")["rows"]}
    columns: dict[str, list[str]] = {"n": [str(n) for n in ours]}
    for i, quantity in enumerate(("value", "derivative")):
        columns[f"{quantity}, published"] = [f"{PUBLISHED[n][i]:.4f}" for n in ours]
        if jax:
            columns[f"{quantity}, again"] = [f"{jax[n][quantity]:.4f}" if n in jax else "" for n in ours]
        columns[f"{quantity}, runge (worst)"] = [
            f"**{row[quantity]:.3g}** ({row[f'worst_{quantity}']:.3g})" for row in ours.values()
        ]
    return markdown(columns, zip(*columns.values(), strict=True))


def study() -> str:
    jax, ours = (by(figures(name)["rows"], lambda row: row["loss"]) for name in ("peers_pfr", "study"))
    rows = []
    for loss, whose in {"values": "f alone", "lambda": "lambda_d = 1", "nll": "log MSE"}.items():
        others = {row["n"]: row for row in jax.get(loss, [])}
        for row in ours.get(loss, []):
            if row["n"] != "all":
                other = others[row["n"]]
                errors = (f"{found['value']:.4f} / {found['derivative']:.4f}" for found in (other, row))
                rows.append([whose, str(row["n"]), *errors, f"{other['seconds']:.0f}", f"{row['fit']:.0f}", ""])
            else:
                whole = sum(one["seconds"] for one in others.values())
                fits = sum(one.get("fit", 0) for one in ours[loss])
                rows.append([whose, "all", "", "", f"{whole:.0f}", f"{fits:.0f}", f"**{row['seconds']:.0f}**"])
    heads = "seconds, JAX", "seconds, runge's fits", "seconds, runge's command"
    return markdown(["loss", "n", "errors, JAX", "errors, runge", *heads], rows)


def by(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, list[dict[str, Any]]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def write() -> None:
    """Write the page."""
    import gradients_alone_page  # late: they import this module
    import intervals_page
    import outside_page
    import pathwise_page
    import second_order_page
    import spoilt_page
    from studies_pictures import dots

    from runge.pictures.style import png

    further = {"intervals": intervals_page, "outside": outside_page, "spoilt": spoilt_page}
    further |= {"second_order": second_order_page, "gradients_alone": gradients_alone_page, "pathwise": pathwise_page}
    sections = SECTIONS | {name: module.SECTION for name, module in further.items()}
    tables = reactor, study, *(one.table for one in further.values())
    names = *sections, "peers_pfr"
    machines = sorted({found["processor"] for name in names if "processor" in (found := figures(name))})
    page = HEAD.format(processors=f"Processor: {'; '.join(machines)}." if machines else "")
    commands = {f"{name}_command": figures(name).get("command", "") for name in names}
    for (name, section), table in zip(sections.items(), tables, strict=True):
        if figures(name)["rows"]:
            page += section.format(**{name: table(), **commands})
    PAGE.write_text(page)
    pictures = {
        "intervals": lambda: dots({"": intervals_page.shares()}, "new labels that an interval contains, %", 90),
        "outside": lambda: dots(outside_page.areas(), "area under the ROC curve, errors of the value", 1),
    }
    for name, drawn in pictures.items():
        if figures(name)["rows"]:
            (PAGE.parent / "images" / f"studies_{name}.png").write_bytes(png(drawn()))


if __name__ == "__main__":
    write()
