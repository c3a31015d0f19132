"""Pages of the documentation that are written by scripts: templates, tables and wrapped paragraphs in Markdown."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from runge.records.files import write

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 120  # columns, those of all pages
_AS_IT_IS = re.compile(r"[|#<!]|```|    ")
"""The beginning of a block that is not wrapped: a table, heading, HTML, picture or code."""
_GLUED = re.compile(r" (?=[%+#=-] |[%+#=-]$)")
"""A space before a sign that would mean something else at the beginning of a line."""
_GLUE = "\N{NO-BREAK SPACE}"
_END = "<!-- end -->"


def render(template: Path, **values: Any) -> str:
    """Return a template of Markdown with its values, its paragraphs wrapped; `table` and `folded` are functions."""
    # Without autoescape, because the pages are Markdown; texts of tools are shown as code.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"table": table, "folded": folded}
    return wrapped(environment.get_template(template.name).render(**values))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> str:
    """Return a table in Markdown, with the columns after the first ones to the right.

    Example:
        >>> print(table(["x", "y"], [["a", "1"]]))
        | x | y |
        |---|--:|
        | a | 1 |
    """
    rule = "".join("---|" if i < left else "--:|" for i in range(len(head)))
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}", *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def wrapped(text: str) -> str:
    r"""Return Markdown with paragraphs and items of at most 120 columns, and one empty line between blocks.

    Example:
        >>> wrapped("a\nb\n\n\n- c\n- d\n")
        'a b\n\n- c\n- d\n'
    """
    blocks = [block for block in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")) if block.strip()]
    return "\n\n".join(map(_wrapped_block, blocks)) + "\n"


def _wrapped_block(block: str) -> str:
    if _AS_IT_IS.match(block):
        return block
    items = re.split(r"\n(?=- )", block)
    return "\n".join(_filled(item, "  " if item.startswith("- ") else "") for item in items)


def _filled(text: str, indent: str) -> str:
    mark, text = ("- ", text[2:]) if indent else ("", text)
    glued = _GLUED.sub(_GLUE, " ".join(text.split()))
    lines = textwrap.fill(mark + glued, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return lines.replace(_GLUE, " ")


def folded(summary: str, text: str) -> str:
    """Return Markdown that is shown after a click on its summary; it may have no headings."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text.strip()}\n\n</details>"


def write_pages(pages: Mapping[str, str], docs: Path = DOCS) -> None:
    """Write pages, or as `PAGE#PART` parts of pages, by their paths below the documentation."""
    for name, text in pages.items():
        page, _, part = name.partition("#")
        (docs / page).parent.mkdir(parents=True, exist_ok=True)
        write(docs / page, _with_part(docs / page, part, text) if part else text)


def read_page(name: str, docs: Path = DOCS) -> str:
    """Return a page, or as `PAGE#PART` a part of a page, as it was written."""
    page, _, part = name.partition("#")
    text = (docs / page).read_text(encoding="utf-8")
    return text.partition(_begin(part))[2].partition(f"\n{_END}")[0] if part else text


def _with_part(page: Path, part: str, text: str) -> str:
    """Return a page with another text of a part, which is the whole page if there is none yet."""
    begin = _begin(part)
    old = page.read_text(encoding="utf-8") if page.is_file() else f"{begin}{_END}\n"
    before, begins, rest = old.partition(begin)
    if not begins:
        raise ValueError(f"{page}: must contain {begin.strip()!r}")
    return f"{before}{begin}{text}\n{_END}{rest.partition(_END)[2]}"


def _begin(part: str) -> str:
    return f"<!-- written by {part} -->\n\n"
