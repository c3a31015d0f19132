"""The names of inputs, outputs, their partials and their errors in pictures, as Matplotlib's mathtext."""

import re
from collections.abc import Sequence

_LONGEST = 20
_SYMBOL = re.compile(r"([A-Za-z])_?(\d*)")


class Labels:
    """The labels of a fit with D inputs and P outputs.

    A letter, with an index or without, is a symbol: x1 becomes x with the index 1. Other names are shown literally. The
    fit of an output f, or f1 to fP, is called u, or u1 to uP; that of any other output y is "fit of y".

    Args:
        inputs: the names of the inputs; None: x, or x1 to xD.
        outputs: the names of the outputs; None: f, or f1 to fP.
        dimension: D, the number of inputs.
        count: P, the number of outputs.

    Raises:
        ValueError: the number of names is wrong.

    Example:
        >>> labels = Labels(None, ["lift"], 2, 1)
        >>> labels.inputs, labels.outputs, labels.partial(0, 1)
        (('$x_{1}$', '$x_{2}$'), ('lift',), '∂lift/∂$x_{2}$')
    """

    def __init__(self, inputs: Sequence[str] | None, outputs: Sequence[str] | None, dimension: int, count: int) -> None:
        inputs, outputs = inputs or _numbered("x", dimension), outputs or _numbered("f", count)
        if (len(inputs), len(outputs)) != (dimension, count):
            raise ValueError(f"{dimension} inputs and {count} outputs have the names {inputs!r} and {outputs!r}")
        self.inputs, self.outputs = tuple(map(label, inputs)), tuple(map(label, outputs))
        fits = (re.fullmatch(r"f_?(\d*)", name) for name in outputs)
        self.fits = tuple(
            label(f"u{match[1]}") if match else f"fit of {name}" for match, name in zip(fits, self.outputs, strict=True)
        )

    def partial(self, p: int, d: int) -> str:
        """Return the label of output p's partial derivative with respect to input d."""
        sign = "∂" if len(self.inputs) > 1 else "d"
        return f"{sign}{self.outputs[p]}/{sign}{self.inputs[d]}"

    def error(self, p: int) -> str:
        """Return the label of the absolute error of output p."""
        if self.fits[p].startswith("fit of"):
            return f"|error of {self.outputs[p]}|"
        return f"$|{_inner(self.fits[p])} - {_inner(self.outputs[p])}|$"

    def gradient_error(self, p: int) -> str:
        """Return the label of the norm of the error of output p's gradient."""
        if self.fits[p].startswith("fit of"):
            return rf"|error of $\nabla${self.outputs[p]}|"
        return rf"$|\nabla {_inner(self.fits[p])} - \nabla {_inner(self.outputs[p])}|$"

    def curves(self, p: int) -> tuple[str, str, str, str, str, str]:
        """Return the labels of output p of one input: y, its fit, dy/dx, the latter's fit, and both absolute errors."""
        x, y, u = self.inputs[0], self.outputs[p], self.fits[p]
        if u.startswith("fit of") or not x.startswith("$"):
            slope = self.partial(p, 0)
            return y, u, slope, f"fit of {slope}", self.error(p), f"|error of {slope}|"
        x, y, u = map(_inner, (x, y, u))
        return (f"${y}({x})$", f"${u}({x})$", f"${y}'({x})$", f"${u}'({x})$", f"$|{u} - {y}|$", f"$|{u}' - {y}'|$")


def label(name: str) -> str:
    r"""Return a name as mathtext.

    Example:
        >>> label("x12"), label("price in $")
        ('$x_{12}$', 'price in \\$')
    """
    match = _SYMBOL.fullmatch(name)
    if match is None:
        return (name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…").replace("$", r"\$")
    return f"${match[1]}_{{{match[2]}}}$" if match[2] else f"${match[1]}$"


def _inner(text: str) -> str:
    return text.strip("$")


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}{i + 1}" for i in range(count)]
