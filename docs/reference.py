"""Write the generated parts of the pages, from `conf/` and the docstrings: `python docs/reference.py`.

A part is between two comments of a page, so that it can be read where the sources are:

    <!-- generated: KIND ARGUMENTS -->
    ...
    <!-- end -->

KIND is a function of `configuration`, such as `sections`, or `module` or `objects` of `interface`. A test compares the
pages with what this script would write.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))

import configuration  # noqa: E402
import interface  # noqa: E402

_PART = re.compile(r"(<!-- generated: (\w+)([^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> Iterator[tuple[Path, str]]:
    """Return each page that has a generated part, and the text that it should have."""
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _PART.search(text):
            yield path, _PART.sub(_filled, text)


def _filled(part: re.Match[str]) -> str:
    head, kind, arguments, end = part.groups()
    made = getattr(interface, kind)(arguments.strip()) if arguments else getattr(configuration, kind)()
    return f"{head}\n{made.strip()}\n\n{end}"


if __name__ == "__main__":
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
