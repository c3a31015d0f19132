"""Parse formulas as arithmetic: no text is evaluated as Python."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runge.targets.target import MOST_INPUTS

if TYPE_CHECKING:
    import sympy

__all__ = ["FUNCTIONS", "parse", "work"]

FUNCTIONS = ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"]
FUNCTIONS += ["exp", "log", "sqrt", "erf", "abs", "Abs"]
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_OPERATORS |= {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}

_MOST_CHARACTERS = 20_000
"""The most characters of a formula, a bound on the time of Python's parser."""

_LEAF_DEPTH = 6
"""The depth of a leaf, in `work`: with it the seconds of sympy are about proportional."""

_MOST_INTERVALS = 4
"""The most intervals in a message."""


def parse(expr: str, symbols: "Sequence[sympy.Symbol]") -> "sympy.Expr":
    """Build a sympy expression from a formula in the symbols x1, ..., xD, of which x, y and z are the first three.

    Raises:
        ValueError: it is empty, too long, not arithmetic, or has a name or a function that is not allowed.
    """
    import sympy

    tree = _tree(expr)
    names = {"pi": sympy.pi, "e": sympy.E, **dict(zip("xyz", symbols, strict=False))}
    names |= {str(symbol): symbol for symbol in symbols}
    try:
        return sympy.sympify(_Builder(expr, tree, names).build(tree.body))
    except (OverflowError, RecursionError, ZeroDivisionError) as error:
        raise ValueError(f"expr: {expr!r} cannot be computed ({error})") from error


def work(expr: str) -> int:
    """Estimate the work of differentiating a formula, in units of 5 to 40 µs.

    The derivative of a product repeats its factors, and that of a function repeats its argument. sympy also asks what
    it knows of each argument, and of what is in it. So the work is the sum over the nodes of the syntax tree, except
    sums, of the size of each times its depth; a chain such as a*b*c counts as one level.

    Raises:
        ValueError: as `parse`, if it is empty, too long, or not in the grammar.
    """
    size: dict[ast.AST, int] = {}
    depth: dict[ast.AST, int] = {}
    total = 0
    for node in reversed(list(ast.walk(_tree(expr)))):  # children come before their parents
        children = list(ast.iter_child_nodes(node))
        size[node] = 1 + sum(size[child] for child in children)
        depth[node] = max((depth[child] + 1 for child in children), default=_LEAF_DEPTH)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            depth[node] = max(depth[node.left], depth[node.right] + 1)
        if not isinstance(getattr(node, "op", None), ast.Add | ast.Sub):
            total += size[node] * depth[node]
    return total


def _tree(expr: str) -> ast.Expression:
    """Return the syntax tree of a formula, the grammar of which is that of Python."""
    if not isinstance(expr, str) or not expr.strip():
        raise ValueError(f"expr: must be a formula such as 'exp(-x)*sin(8*x)', got {expr!r}")
    if len(expr) > _MOST_CHARACTERS:
        raise ValueError(f"expr: must have at most {_MOST_CHARACTERS} characters, got {len(expr)}")
    if product := re.search(r"(?<![\w.])(\d++\.?\d*+)\s*(?!e[+-]?\d)([a-z]\w*|\()", expr, re.ASCII | re.IGNORECASE):
        raise ValueError(f"expr: write {product[1]}*{product[2]} for {product[0]}, in {expr!r}")
    try:
        return ast.parse(expr.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"expr: {expr!r} cannot be parsed as a formula ({error})") from error


class _Builder:
    """The terms of sympy that the nodes of a formula's syntax tree stand for; all others are refused."""

    def __init__(self, expr: str, tree: ast.Expression, names: "Mapping[str, sympy.Expr]") -> None:
        self._expr, self._tree = expr, tree
        self._names = names

    def build(self, node: ast.expr) -> "sympy.Expr":
        """Return the term of a node."""
        chain = []  # the left operands are a loop, because a sum of n terms is n levels deep
        while isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            chain.append(node)
            node = node.left
        term = self._checked(node, self._convert(node))
        for link in reversed(chain):
            term = self._checked(link, _OPERATORS[type(link.op)](term, self.build(link.right)))
        return term

    def _checked(self, node: ast.expr, term: "sympy.Expr") -> "sympy.Expr":
        """Return a term; a number is checked at once, because exp(exp(9**5)) must not be computed in full."""
        if term.is_number:
            value = None if term.is_finite is False else complex(term)
            if value is None or value.imag:
                raise ValueError(f"expr: {ast.unparse(node)!r} must be real and finite, in {self._expr!r}")
            if not math.isfinite(value.real):
                raise OverflowError("a number is too large")
        return term

    def _convert(self, node: ast.expr) -> "sympy.Expr":
        """Return the term of a node that is no chain of operations, without a check."""
        import sympy

        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return sympy.Integer(number) if isinstance(number, int) and number < 2**53 else sympy.Float(number, 17)
            case ast.Name(id=name) if name in self._names:
                return self._names[name]
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](self.build(operand))
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self._power(self.build(left), self.build(right))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
                built: Any = abs(self.build(argument)) if name == "abs" else getattr(sympy, name)(self.build(argument))
                return built.replace(sympy.cot, lambda x: sympy.cos(x) / sympy.sin(x))  # of tan(pi/2 - x)
            case _:
                raise self._refused(node)

    @staticmethod
    def _power(base: "sympy.Expr", exponent: "sympy.Expr") -> "sympy.Expr":
        """Return a power; of two numbers in floating point, because 9**9**9 must not be computed in full."""
        import sympy

        if base.is_number and exponent.is_number and base != sympy.E:
            return sympy.sympify(float(base) ** float(exponent))
        return base**exponent

    def _refused(self, node: ast.expr) -> ValueError:
        """Return the error for a node that is not allowed."""
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                return ValueError(f"expr: {name} takes one argument; got {ast.unparse(node)} in {self._expr!r}")
            case ast.BinOp(op=ast.BitXor()):
                return ValueError(f"expr: write {ast.unparse(node).replace('^', '**')} for powers, in {self._expr!r}")
            case ast.Name(id=name) if _number(name):
                return _further_input(name, self._expr, self._tree)
            case ast.Call(func=ast.Name(id=name)):
                what = f"the function {name!r}"
            case ast.Name(id=name):
                what = f"the name {name!r}"
            case _:
                what = repr(ast.unparse(node))
        allowed = f"the names {', '.join(self._names)} and the functions {', '.join(FUNCTIONS)}"
        rule = f"allowed are numbers, + - * / and ** for powers, {allowed}"
        return ValueError(f"expr: {what} is not allowed in {self._expr!r}; {rule}")


def _further_input(name: str, expr: str, tree: ast.AST) -> ValueError:
    """Return the error for the name of an input that the domain does not have."""
    needed = max(_number(node.id) for node in ast.walk(tree) if isinstance(node, ast.Name))
    intervals = ["[-1,1]"] * needed if needed <= _MOST_INTERVALS else ["[-1,1]", "[-1,1]", "..."]
    how = f"give an interval for each of {needed} inputs, such as target.domain=[{','.join(intervals)}]"
    return ValueError(f"expr: the domain has no input {name!r}, which is in {expr!r}; {how}")


def _number(name: str) -> int:
    """Return d of the name of the d-th input; 0 of any other name."""
    if len(name) == 1:
        return "xyz".find(name) + 1
    number = re.fullmatch(r"x([1-9]\d{0,3})", name, re.ASCII)
    return int(number[1]) if number and int(number[1]) <= MOST_INPUTS else 0
