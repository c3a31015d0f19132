"""The page of single studies, `docs/studies.md`, from the files in `figures`: `python benchmarks/problems/page.py`."""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from runge.machine import processor

FIGURES = Path(__file__).parent / "figures"
PAGE = Path(__file__).parents[2] / "docs" / "studies.md"

KEYS = "value", "derivative"

HEAD = """# Studies

Questions that the [table of tools and problems](benchmarks.md) does not answer, each with its command. Where settings
were chosen, the section says how; no test row was used for it. {processors}

*The reactor* of the sections is a plug-flow reactor with a cooling jacket, from notebook 43 of
[pounce](https://github.com/jkitchin/pounce): 5 inputs, 4 outputs and 20 partial derivatives.
"""


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


def typed(directory: Path) -> str:
    """Return the command that runs, with DIR in place of this machine's directory."""
    words = ("DIR" if Path(word) == directory else word for word in sys.argv[1:])
    return " ".join(("python", f"benchmarks/problems/{Path(sys.argv[0]).name}", *words))


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    import spoilt_page
    from studies_pictures import dots

    from runge.pictures.style import png

    further = {"intervals": intervals_page, "outside": outside_page, "spoilt": spoilt_page}
    further |= {"gradients_alone": gradients_alone_page}
    machines = sorted({found["processor"] for name in further if "processor" in (found := figures(name))})
    page = HEAD.format(processors=f"Processor: {'; '.join(machines)}." if machines else "")
    for name, module in further.items():
        if figures(name)["rows"]:
            page += module.SECTION.format(**{name: module.table(), f"{name}_command": figures(name).get("command", "")})
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
