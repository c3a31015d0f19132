"""Write docstrings as Markdown, for the reference of the Python interface.

Each object has a heading, its signature and its docstring. Sections of Google's style become lists, examples become
blocks of code, and formulas of reStructuredText become those of MyST.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent, indent
from types import ModuleType
from typing import Any

__all__ = ["module", "objects", "summary"]

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Warns|Yields|Example|References):\n", re.MULTILINE)
_DIRECTIVE = re.compile(r"^\.\. (math|code-block)::((?:.*\n?)(?:[ ]+\S.*\n?|\n(?=[ ]+\S))*)", re.MULTILINE)
_LISTS = "Args", "Attributes", "Raises", "Warns"
_MEMBERS = "function", "property", "classmethod", "staticmethod", "cached_property"


def module(name: str) -> str:
    """Document a module: its docstring, its classes and functions, and its constants that have a docstring."""
    part = importlib.import_module(name)
    texts = [_documentation(part)]
    for public in _public(part):
        found = getattr(part, public, None)
        if inspect.isclass(found) or inspect.isfunction(found):
            texts.append(_object(f"{name}.{public}", found))
    texts += [f"### {name}.{constant}\n\n{_markdown(text)}" for constant, text in _constants(part)]
    return "\n\n".join(filter(None, texts))


def summary(name: str) -> str:
    """Document only a module's docstring."""
    return _documentation(importlib.import_module(name))


def objects(names: str) -> str:
    """Document classes and functions, by their full names.

    The members of a class whose name ends in + include those of its bases; with - they are left out.
    """
    texts = list[str]()
    for word in names.split():
        name = word.rstrip("+-")
        where, _, what = name.rpartition(".")
        texts.append(_object(name, getattr(importlib.import_module(where), what), word[len(name) :]))
    return "\n\n".join(texts)


def _documentation(part: Any) -> str:
    """Return the docstring of an object as Markdown."""
    first, *sections = _SECTION.split(inspect.cleandoc(part.__doc__ or ""))
    texts = [_markdown(first)]
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        content = inspect.cleandoc(text)
        if title == "Example":
            texts.append(f"```pycon\n{content}\n```")
        elif title in _LISTS:
            entries = re.split(r"\n(?=\S)", content)
            texts.append(f"**{title}:**\n\n" + "\n".join(_entry(entry) for entry in entries))
        elif title == "References":
            texts.append("**References:** " + _markdown(content))
        else:
            texts.append(f"**{title}:** {_markdown(content)}")
    return "\n\n".join(filter(None, texts))


def _object(name: str, part: Any, members: str = "") -> str:
    texts = [f"### {name}", f"```text\n{name.rpartition('.')[2]}{_signature(part)}\n```", _documentation(part)]
    if inspect.isclass(part) and members != "-":
        bases = [base for base in part.__mro__ if base is part or (members and base.__module__.startswith("runge"))]
        content = {key: value for base in reversed(bases) for key, value in vars(base).items()}
        texts += [_member(key, value) for key, value in content.items() if _is_documented(key, value)]
    return "\n\n".join(filter(None, texts))


def _is_documented(name: str, value: Any) -> bool:
    public = not name.startswith("_") or name == "__call__"
    return public and type(value).__name__ in _MEMBERS and bool(inspect.unwrap(value).__doc__)


def _member(name: str, value: Any) -> str:
    function = getattr(value, "__func__", value)
    signature = _signature(function, method=not isinstance(value, staticmethod)) if callable(function) else ""
    return f"**`{name}{signature}`**\n\n{_documentation(value)}"


def _signature(part: Any, method: bool = False) -> str:
    """Return the parameters without their types, on one line."""
    try:
        signature = inspect.signature(part)
    except (TypeError, ValueError):
        return "()"
    empty = inspect.Parameter.empty
    parameters = [one.replace(annotation=empty) for one in signature.parameters.values()][method:]
    return re.sub(r"<(\w+[^ >]*)[^>]*>", r"\1", str(inspect.Signature(parameters)))


def _public(part: ModuleType) -> list[str]:
    own = [key for key, value in vars(part).items() if getattr(value, "__module__", "") == part.__name__]
    return getattr(part, "__all__", [key for key in own if not key.startswith("_")])


def _constants(part: ModuleType) -> Iterator[tuple[str, str]]:
    """Find the public constants of a module that are followed by a docstring."""
    body = ast.parse(inspect.getsource(part)).body
    for one, after in pairwise(body):
        match one, after:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ) if name in _public(part):
                yield name, inspect.cleandoc(text)


def _entry(text: str) -> str:
    """Return an entry of a section, `name: text`, as an item of a list."""
    name, _, meaning = text.partition(": ")
    first, _, others = meaning.partition("\n")
    return f"- `{name}`: " + indent(_markdown(f"{first}\n{dedent(others)}"), "  ").strip()


def _markdown(text: str) -> str:
    """Return reStructuredText as Markdown: formulas, code, and characters that would be markup."""
    plain, *blocks = _DIRECTIVE.split(text)
    texts = [_escaped(plain)]
    for kind, content, after in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True):
        first, _, others = content.strip().partition("\n")
        if kind == "math":
            formula = "\n".join(filter(None, map(str.strip, content.splitlines())))
            texts.append(f"\n$$\n{formula}\n$$\n\n")
        else:
            texts.append(f"\n```{first}\n{dedent(others).strip()}\n```\n\n")
        texts.append(_escaped(after))
    return re.sub(r"\n{3,}", "\n\n", "".join(texts)).strip()


def _escaped(text: str) -> str:
    formula = re.sub(r":math:`([^`]*)`", r"\\$\1\\$", text)
    parts = re.split(r"(`[^`]*`|\\\$[^$]*\\\$)", formula)
    for i, part in enumerate(parts):
        if part.startswith("\\$"):
            parts[i] = part.replace("\\$", "$")
        elif not part.startswith("`"):
            plain = re.sub(r"([*|<$])", r"\\\1", part)
            parts[i] = re.sub(r"https?://[^\s)]*[^\s).,;]", lambda match: f"<{match[0].replace(chr(92), '')}>", plain)
    return "".join(parts)
