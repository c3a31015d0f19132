import math
import string
from contextlib import suppress
from functools import partial

import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.targets import Expression, Runge, expression
from runge.targets.expression import find_pole
from runge.targets.formula import FUNCTIONS, parse, work
from tests.conftest import generator

X1 = sympy.Symbol("x1", real=True)
AS_EXPRESSION = "1/(1+25*x**2)"
TARGETS = {
    "runge": Runge,
    "runge, moved": partial(Runge, (0.5, 2.0)),
    "runge, as an expression": partial(Expression, AS_EXPRESSION),
    "expression": partial(Expression, "exp(-x)*sin(8*x)", (-1.0, 1.0)),
    "constant": partial(Expression, "3", (0.0, 1.0)),
    "two inputs": partial(Expression, "sin(x)*y**2 + x1/3", [[-1.0, 1.0], [0.0, 2.0]]),
    "three inputs": partial(Expression, "exp(x*y) - z**3/(2 + x3)", [[0.0, 1.0]] * 3),
    "eight inputs": partial(Expression, "sin(x1)*x2**2 + x3*x4 - exp(x5*x8)/(2 + x6) + x7", [[0.0, 1.0]] * 8),
    **{name: partial(Expression, f"{name}(x)", (1.5, 2.0) if name == "acosh" else (0.1, 0.5)) for name in FUNCTIONS},
}


@pytest.mark.parametrize("name", TARGETS)
def test_contract(name):
    """Check the shapes, the derivative against autograd, and that the regions partition the domain."""
    target = TARGETS[name]()
    lower, upper = target.domain.T
    x = lower + (upper - lower) * torch.rand(5, 7, target.dimension, dtype=torch.float64, generator=generator())
    f, df = target.value(x.requires_grad_()), target.derivative(x)
    assert f.shape == (5, 7)
    assert df.shape == x.shape
    assert f.dtype == df.dtype == torch.float64
    by_autograd = torch.autograd.grad(f.sum(), x)[0] if f.requires_grad else torch.zeros_like(x)
    torch.testing.assert_close(df, by_autograd, rtol=1e-12, atol=1e-13)
    regions = target.regions(x)
    assert all(mask.shape == (5, 7) and mask.dtype == torch.bool for mask in regions.values())
    parts = ("left", "middle", "right") if target.dimension == 1 else ("boundary", "interior")
    assert (sum(regions[part].long() for part in parts) == 1).all()
    assert target.value(x.float()).dtype == torch.float32


def test_runge_facts():
    target, expression = Runge(), Expression(AS_EXPRESSION)
    x = torch.linspace(-1, 1, 200001, dtype=torch.float64)[:, None]
    df = target.derivative(x)[:, 0]
    assert df.abs().max().item() == pytest.approx(3.2476, abs=1e-4)
    assert abs(x[df.abs().argmax(), 0].item()) == pytest.approx(1 / (5 * math.sqrt(3)), abs=1e-5)
    assert df[-1].item() == pytest.approx(-0.0740, abs=1e-4)
    assert df.square().mean().item() == pytest.approx(1.9624, abs=1e-4)
    inside = df.square()[target.regions(x)["peak"]].sum() / df.square().sum()
    assert inside.item() == pytest.approx(0.84, abs=0.005)
    torch.testing.assert_close(expression.value(x), target.value(x), rtol=1e-15, atol=0)
    torch.testing.assert_close(expression.derivative(x), target.derivative(x), rtol=1e-14, atol=1e-15)


def test_regions_of_runge_are_those_of_the_contract():
    x = torch.tensor([-1.0, -0.8001, -0.8, -0.25, 0.0, 0.25, 0.2501, 0.8, 0.8001, 1.0], dtype=torch.float64)
    regions = Runge().regions(x[:, None])
    assert regions["left"].tolist() == [True] * 2 + [False] * 8
    assert regions["right"].tolist() == [False] * 8 + [True] * 2
    assert regions["middle"].tolist() == [False] * 2 + [True] * 6 + [False] * 2
    assert "peak" not in Runge((0.5, 2.0)).regions(x[:, None])


# Poles within the domain, at its ends, on a surface, at two opposite corners and in the centre, and numbers too large.
POLES = ["1/x", "1/(x-0.1234567)", "tan(2*x)", "log(x)", "log(abs(x-0.3))", "sqrt(x)", "sqrt(abs(x-0.3))", "1/(x-1)"]
POLES += ["exp(1000*x)", "1/0*x", "x/0", "(-1)**0.5*x", "9**9**9*x", "abs(x)**-2", "acos(1.5*x)"]
POLES_OF_FIVE = ["1/(x4-0.3)+x1", "1/(x1*x2-0.1)", "sqrt(x2+1)*x5", "1/(5+x1+x2+x3+x4+x5)", "log(5-x1-x2-x3-x4-x5)"]
POLES_OF_FIVE += ["1/(x1**2+x2**2+x3**2+x4**2+x5**2)", "exp(400*x3)"]
# Points without a value, removable or not, on the grid or between its nodes.
POLES += ["sin(x)/x", "x/abs(x)", "(exp(x)-1)/x", "x**2*sin(1/x)", "sin(x-0.1234567)/(x-0.1234567)"]
POLES += ["(x-0.3)*log(abs(x-0.3))"]
POLES_OF_FIVE += ["sin(x1-x2)/(x1-x2)"]
STEEP = ["abs(x)", "1/(1e-6+x**2)", "tanh(1000*x)", "exp(-50*x**2)", "x**20", "abs(x)**1.5", "0"]
STEEP_OF_FIVE = ["abs(x1-x2)", "tanh(1000*x1)*x5", "exp(-50*(x1**2+x3**2+x5**2))", "1/(1e-3+(x1-0.3)**2)", "x1+x5", "0"]
JUMPS = ["abs(x-y)", "sqrt((x-y)**2)", "abs(x-0.3)*exp(y)"]  # of the derivative
NO_FORMULAS = ["x.__class__", "x[0]", "(lambda: 1)()", "[x for x in (1,)]", "x if x else 1", "x and 1", "x < 1", "'a'"]
NO_FORMULAS += ["f'{x}'", "__import__('os')", "open('f')", "exp", "sin(x, x)", "sin(x=1)", "sin(*x)", "True", "1j"]
NO_FORMULAS += ["x @ x", "x // 2", "x := 1", "y", "x2", "1/", "aaa", "", " ", "x" * 2000, "(" * 500 + "x" + ")" * 500]


@pytest.mark.parametrize(("formulas", "inputs"), [(POLES, 1), (POLES_OF_FIVE, 5), (NO_FORMULAS, 1)])
def test_what_is_not_finite_or_no_formula_is_refused(formulas, inputs):
    for formula in formulas:
        with pytest.raises(ValueError, match="expr"):
            Expression(formula, [[-1.0, 1.0]] * inputs)


@pytest.mark.parametrize(
    "formula",
    ["erf(pi*x)", "abs(sqrt(x)-0.5)", "abs(x**1.5-0.2)", "abs(sqrt(1-x**2)-0.5)", "abs(asin(x))", "tan(pi/2-x)"],
)
def test_the_derivatives_of_usual_formulas(formula):
    """Of an absolute value of what may be complex elsewhere, of numbers in a derivative, and of a cotangent."""
    u, x = Expression(formula, [[0.3, 0.9]]), torch.linspace(0.31, 0.89, 50, dtype=torch.float64)[:, None]
    slope = (u.value(x + 1e-6) - u.value(x - 1e-6)) / 2e-6
    torch.testing.assert_close(u.derivative(x)[..., 0, 0], slope[..., 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("formulas", "inputs"), [(STEEP, 1), (JUMPS, 2), (STEEP_OF_FIVE, 5)])
def test_steep_but_finite_formulas_are_accepted(formulas, inputs):
    for formula in formulas:
        assert Expression(formula, [[-1.0, 1.0]] * inputs).domain.tolist() == [[-1.0, 1.0]] * inputs


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("foo(x)", r"the function 'foo' is not allowed in 'foo\(x\)'; .* the functions sin, .*abs, Abs$"),
        ("2*Abs(x, 1)", r"Abs takes one argument; got Abs\(x, 1\) in '2\*Abs\(x, 1\)'"),
        ("x*y", r"no input 'y', which is in 'x\*y'; give .* 2 inputs, such as target.domain=\[\[-1,1\],\[-1,1\]\]$"),
        ("sin(5x)", r"^expr: write 5\*x for 5x, in 'sin\(5x\)'$"),
        ("1.5 (x+1)", r"write 1.5\*\( for 1.5 \("),
        ("1e-3*x^2", r"^expr: write 0.001 \* x \*\* 2 for powers, in '1e-3\*x\^2'$"),
        ("x1*x2+z", r"each of 3 inputs, such as target.domain=\[\[-1,1\],\[-1,1\],\[-1,1\]\]$"),
        ("x1*x999", r"each of 999 inputs, such as target.domain=\[\[-1,1\],\[-1,1\],...\]$"),
        *((text, "abs, Abs$") for text in ("x*w", "x1001", "x01", "x0", "y(x)", "foo*x")),
        ("sin(x)/x", r"'sin\(x\)/x' divides by x1, which is 0 somewhere on the domain \[\[-1"),
        ([], "from 1 to 100 formulas, got 0"),
        (["x"] * 101, "from 1 to 100 formulas, got 101"),
        (["x", 3], "must be a formula such as .* got 3"),
        (["x", ["x"]], r"must be a formula such as .* got \['x'\]"),
        (3.0, "must be a formula such as .* got 3.0"),
        (["x", "1/x"], "'1/x' divides by x1, which is 0"),
        (["x", "log(x)"], "'log\\(x\\)' must be finite on the domain"),
        (["x", "q"], "the name 'q' is not allowed"),
        ({"a b": "x"}, "letters, digits and _, got 'a b'"),
        ({1: "x"}, "letters, digits and _, got 1"),
        ({"x": "x", "y": "x"}, "differ from those of the inputs, got x"),
        ({"x1": "x"}, "differ from those of the inputs, got x1"),
    ],
)
def test_a_wrong_formula_is_explained(expr, message):
    with pytest.raises(ValueError, match=r"^expr: ") as error:
        Expression(expr)
    assert error.match(message)


def test_a_point_without_a_derivative_is_named():
    with pytest.raises(ValueError, match=r"the derivative of 'sqrt\(x\*\*2\+y\*\*2\)' .* not at x = \[0.0, 0.0\]"):
        Expression("sqrt(x**2+y**2)", [[-1.0, 1.0]] * 2)


@given(st.text(string.printable + "\0\u2028\ufeffé²½λⅷ٣×", max_size=30))  # a table of all characters takes seconds
def test_any_text_is_parsed_as_a_formula_or_refused(text):
    formula = None
    with suppress(ValueError):
        formula = parse(text, [X1])
    assert formula is None or isinstance(formula, sympy.Expr)


BOXES = [(1.0, 0.0), (0.0, 0.0), (0.0, math.nan), (0.0, math.inf), (0.0,), "ab", 3.0, [], [[0, 1], [1]]]


@pytest.mark.parametrize(
    ("domain", "message"),
    [*((domain, "") for domain in BOXES), ([[0.0, 1.0]] * 1001, "must have at most 1000 inputs, got 1001")],
)
def test_domain_must_be_a_box_of_at_most_1000_inputs(domain, message):
    with pytest.raises(ValueError, match=f"domain.*{message}"):
        Expression("x1", domain)


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        (["sin(x)*y", "x**3", "2"], ("f1", "f2", "f3")),
        ({"force": "-sin(x)*y", "energy": "1-cos(x)"}, ("force", "energy")),
    ],
)
def test_several_outputs(expr, names):
    """The values and gradients are those of each formula, stacked; the names are those given, or numbers."""
    domain = [[-1.0, 1.0], [0.0, 2.0]]
    target, x = Expression(expr, domain), torch.rand(5, 7, 2, dtype=torch.float64, generator=generator())
    assert target.outputs == names
    each = [Expression(formula, domain) for formula in (expr.values() if isinstance(expr, dict) else expr)]
    assert torch.equal(target.value(x), torch.stack([one.value(x) for one in each], dim=-1))
    assert torch.equal(target.derivative(x), torch.stack([one.derivative(x) for one in each], dim=-2))
    assert target.regions(x).keys() == {"boundary", "interior"}


@pytest.mark.parametrize(
    "expr",
    [
        "*".join(f"sin({i}*x)" for i in range(1, 1700)),  # 19 000 characters
        "exp(x*" * 40 + "x" + ")" * 40,
        ["*".join(f"sin({i}*x)" for i in range(1, 40))] * 50,  # one of them is accepted
    ],
)
def test_a_formula_that_takes_long_to_differentiate_is_refused_at_once(expr, monkeypatch):
    monkeypatch.setattr(expression, "parse", None)
    with pytest.raises(ValueError, match=r"^expr: the work of differentiating must be at most 300000, got \d+; use"):
        Expression(expr)


def test_long_formulas_that_are_simple_are_accepted():
    """Use a polynomial of 100 terms in 3900 characters, and a product of 40 factors."""
    weights = torch.randn(100, dtype=torch.float64, generator=generator()).tolist()
    polynomial = Expression("+".join(f"{weight}*x**{k}*y**{99 - k}" for k, weight in enumerate(weights)), [[-1, 1]] * 2)
    x, y = (points := torch.tensor([[0.9, -0.8], [0.7, 1.0]], dtype=torch.float64)).T
    expected = sum(weight * x**k * y ** (99 - k) for k, weight in enumerate(weights))
    torch.testing.assert_close(polynomial.value(points), expected)
    product = Expression("*".join(f"cos(x/{k})" for k in range(1, 41)))
    one = torch.tensor([[0.3]], dtype=torch.float64)
    slope = -sum(math.tan(0.3 / k) / k for k in range(1, 41))
    torch.testing.assert_close(product.derivative(one)[..., 0], slope * product.value(one))


@pytest.mark.parametrize("number", ["sqrt(2)", "sin(1)", "log(2)", "2**(1/3)", "sqrt(pi)", "exp(sqrt(2)-1)"])
def test_a_number_within_a_function_is_computed(number):
    value = float(sympy.sympify(number))
    target, x = Expression(f"sin(x*{number})", (-1.0, 1.0)), torch.tensor([[0.4]], dtype=torch.float64)
    assert target.value(x).item() == pytest.approx(math.sin(0.4 * value), rel=1e-14)
    assert target.derivative(x).item() == pytest.approx(value * math.cos(0.4 * value), rel=1e-14)


def test_the_work_of_differentiating_grows_with_products_and_nested_functions():
    """That of a sum is the sum of that of its terms."""
    a_sum, a_product = "sin(x)+sin(x)+sin(x)+sin(x)", "sin(x)*sin(x)*sin(x)*sin(x)"
    assert 4 * work("sin(x)") == pytest.approx(work(a_sum), rel=0.3)
    assert work(a_product) > 1.5 * work(a_sum)
    assert work("x" + "*x" * 200) > 3.5 * work("x" + "*x" * 100)
    assert work("sin(" * 60 + "x" + ")" * 60) > 5 * work("sin(" * 30 + "x" + ")" * 30)


def test_a_long_sum_is_not_nested():
    """It has more terms than Python's stack has frames, with the value and gradient of sum x_i^2 / i."""
    target = Expression("+".join(f"x{1 + i % 5}**2/{i + 1}" for i in range(1100)), [[0.0, 1.0]] * 5)
    x = torch.rand(3, 5, dtype=torch.float64, generator=generator())
    weights = (1 / (1 + torch.arange(1100, dtype=torch.float64))).view(-1, 5).sum(0)
    torch.testing.assert_close(target.value(x), (weights * x**2).sum(-1))
    torch.testing.assert_close(target.derivative(x), 2 * weights * x)


@pytest.mark.parametrize(("expr", "number"), [("7-3-2+x", "2 + x1"), ("8/4/2*x", "x1"), ("2**3**2-x-1", "511 - x1")])
def test_operators_bind_from_the_left_and_powers_from_the_right(expr, number):
    assert parse(expr, [X1]) - sympy.sympify(number, {"x1": X1}) == 0


def test_a_pole_between_the_nodes_of_the_grid_is_found():
    domain = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    assert find_pole(lambda x: 1 / (x - math.pi / 10), domain) == pytest.approx([math.pi / 10], abs=1e-9)
    assert find_pole(lambda x: 1 / (x.square() + 1e-8), domain) is None


def test_the_search_for_poles_is_cheap_with_many_inputs():
    """A grid of 20 inputs would have 5^20 points; less than 10^4 are looked at."""
    looked_at = []
    domain = torch.tensor([[0.0, 1.0]] * 20, dtype=torch.float64)
    assert find_pole(lambda x: looked_at.append(len(x)) or x.sum(-1), domain) is None
    assert sum(looked_at) < 20_000
    assert Expression("x1 + x1000", [[0.0, 1.0]] * 1000).dimension == 1000
