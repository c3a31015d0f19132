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


def render(template: Path, **values: Any) -> str:
    """Return a template of Markdown with its values, its paragraphs wrapped; `table` is the macro of tables."""
    # Without autoescape, because the pages are Markdown; texts of tools are shown as code.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["table"] = table
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


def write_pages(pages: Mapping[str, str], docs: Path = DOCS) -> None:
    """Write pages by their paths below the documentation."""
    for name, text in pages.items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        write(docs / name, text)
