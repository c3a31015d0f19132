"""Parse formulas typed by a user as arithmetic; no text is evaluated as Python."""

import ast
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import sympy

from runge.targets.target import MOST_INPUTS

__all__ = ["FUNCTIONS", "parse"]

_NAMES = ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"]
_NAMES += ["exp", "log", "sqrt", "erf", "abs", "Abs"]
FUNCTIONS: dict[str, Callable[..., sympy.Expr]] = {n: getattr(sympy, n.replace("abs", "Abs")) for n in _NAMES}
"""The functions that an expression may call, each with one argument."""

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_OPERATORS |= {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_LONGEST = 20_000
_MOST_SHOWN = 4  # intervals in a message


def parse(expr: str, symbols: Sequence[sympy.Symbol]) -> sympy.Expr:
    """Build a sympy expression from a formula, without evaluating it as Python.

    Args:
        expr: the formula.
        symbols: the inputs x1, ..., xD; x, y and z name the first three.

    Raises:
        ValueError: the formula is empty, too long, not arithmetic, or has a name or a function that is not allowed.
    """
    if not isinstance(expr, str) or not expr.strip():
        raise ValueError(f"expr: must be a formula such as 'exp(-x)*sin(8*x)', got {expr!r}")
    if len(expr) > _LONGEST:
        raise ValueError(f"expr: must have at most {_LONGEST} characters, got {len(expr)}")
    names = dict(zip("xyz", symbols, strict=False)) | {str(symbol): symbol for symbol in symbols}
    names |= {"pi": sympy.pi, "e": sympy.E}

    def refuse(what: str) -> ValueError:
        words = f"the names {', '.join(names)} and the functions {', '.join(FUNCTIONS)}"
        return ValueError(
            f"expr: {what} is not allowed in {expr!r}; allowed are numbers, + - * / and ** for powers, {words}"
        )

    def build(node: ast.expr) -> sympy.Expr:
        chain = []  # of a long sum, whose terms are nested as deeply as there are of them
        while isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            chain.append(node)
            node = node.left
        part = check(node, convert(node))
        for link in reversed(chain):
            part = check(link, _OPERATORS[type(link.op)](part, build(link.right)))
        return part

    def check(node: ast.expr, part: sympy.Expr) -> sympy.Expr:
        if part.is_number:
            # Each number is checked at once, because exp(exp(9**5)) must not be computed in full.
            value = None if part.is_finite is False else complex(part)
            if value is None or value.imag:
                raise ValueError(f"expr: {ast.unparse(node)!r} must be real and finite, in {expr!r}")
            if not math.isfinite(value.real):
                raise OverflowError("a number is too large")
        return part

    def convert(node: ast.expr) -> sympy.Expr:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return sympy.Integer(number) if isinstance(number, int) and number < 2**53 else sympy.Float(number, 17)
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](build(operand))
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                base, exponent = build(left), build(right)
                if base.is_number and exponent.is_number and base != sympy.E:
                    return sympy.sympify(float(base) ** float(exponent))  # 9**9**9 must not be computed in full
                return base**exponent
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
                return FUNCTIONS[name](build(argument))
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                raise ValueError(f"expr: {name} takes one argument; got {ast.unparse(node)} in {expr!r}")
            case ast.Call(func=ast.Name(id=name)) | ast.Name(id=name):
                if isinstance(node, ast.Call):
                    raise refuse(f"the function {name!r}")
                raise ValueError(f"{refuse(f'the name {name!r}')}{_more_inputs(name, tree)}")
            case _:
                raise refuse(f"{ast.unparse(node)!r}")

    try:
        tree = ast.parse(expr.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"expr: {expr!r} cannot be parsed as a formula ({error})") from error
    try:
        return sympy.sympify(build(tree.body))
    except (OverflowError, RecursionError, ZeroDivisionError) as error:
        raise ValueError(f"expr: {expr!r} cannot be computed ({error})") from error


def _more_inputs(name: str, tree: ast.AST) -> str:
    """Say what a name needs if it is that of a further input; else return an empty text."""
    if not _number(name):
        return ""
    needed = max(_number(node.id) for node in ast.walk(tree) if isinstance(node, ast.Name))
    intervals = ["[-1,1]"] * needed if needed <= _MOST_SHOWN else ["[-1,1]", "[-1,1]", "..."]
    rule = f"{name!r} is an input if there is an interval for each of {needed} inputs"
    return f"; {rule}, such as target.domain=[{','.join(intervals)}]"


def _number(name: str) -> int:
    """Return d of the name of the d-th input; 0 of any other name."""
    if len(name) == 1:
        return "xyz".find(name) + 1
    number = re.fullmatch(r"x([1-9]\d{0,3})", name, re.ASCII)
    return int(number[1]) if number and int(number[1]) <= MOST_INPUTS else 0
