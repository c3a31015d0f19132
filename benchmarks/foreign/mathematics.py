"""Tables of test functions, of statistics and of finance."""

from typing import Any

import numpy as np
from origins import Array, Rows, path, stacked, table


@table("smt", "problems.TorsionVibration, complex step", "Latin hypercube")
def torsion_vibration(random: np.random.Generator) -> Rows:
    from smt.problems import TorsionVibration
    from smt.sampling_methods import LHS

    problem = TorsionVibration()
    x = LHS(xlimits=problem.xlimits, seed=0)(300)
    return x, problem(x), np.stack([problem(x, d) for d in range(15)], axis=2)


@table("scipy", "optimize.rosen_der", "optimisation path, BFGS")
def rosenbrock_path(random: np.random.Generator) -> Rows:
    from scipy.optimize import rosen, rosen_der

    return path(lambda x: (rosen(x), rosen_der(x)), random.uniform(-2, 2, (10, 8)), method="BFGS")


def of_torch(function, x: Array) -> Rows:  # noqa: ANN001 (torch is imported only in the makers)
    """Return the rows of a function of torch, with automatic derivatives."""
    import torch

    at = torch.tensor(x, requires_grad=True)
    y = function(at).reshape(len(x), -1)
    slopes = [torch.autograd.grad(column.sum(), at, retain_graph=True)[0] for column in y.T]
    return x, y.detach().numpy(), torch.stack(slopes, dim=1).numpy()


@table("botorch", "test_functions.Hartmann, autograd", "optimisation path, L-BFGS-B")
def hartmann_path(random: np.random.Generator) -> Rows:
    from botorch.test_functions import Hartmann

    def value(x: Array) -> tuple[float, Array]:
        _, y, dydx = of_torch(Hartmann(), x[None])
        return float(y[0, 0]), dydx[0, 0]

    return path(value, random.uniform(0, 1, (20, 6)), method="L-BFGS-B", bounds=[(0, 1)] * 6)


@table("botorch", "test_functions.CarSideImpact, autograd")
def car_side_impact(random: np.random.Generator) -> Rows:
    from botorch.test_functions.multi_objective import CarSideImpact

    problem = CarSideImpact()
    return of_torch(problem, random.uniform(problem.bounds[0].numpy(), problem.bounds[1].numpy(), (500, 7)))


@table("pymoo", "problems.multi.Truss2D, AutomaticDifferentiation", "generations of NSGA-II, clusters")
def truss_generations(random: np.random.Generator) -> Rows:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.gradient.automatic import AutomaticDifferentiation
    from pymoo.optimize import minimize
    from pymoo.problems.multi.truss2d import Truss2D

    history = minimize(Truss2D(), NSGA2(40), ("n_gen", 15), seed=1, save_history=True).history
    x = np.concatenate([generation.pop.get("X") for generation in history])
    y, dydx = AutomaticDifferentiation(Truss2D()).evaluate(x, return_values_of=["F", "dF"])
    return x, y, dydx


@table("scikit-learn", "GaussianProcessRegressor.log_marginal_likelihood")
def gaussian_process(random: np.random.Generator) -> Rows:
    from sklearn.datasets import load_diabetes
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    features, target = map(np.asarray, load_diabetes(return_X_y=True))
    scales: Any = np.ones(3)
    kernel: Any = ConstantKernel() * RBF(scales) + WhiteKernel()
    without: Any = None
    process = GaussianProcessRegressor(kernel, optimizer=without, normalize_y=True)
    process.fit(features[:80, [2, 3, 8]] / features[:, 2].std(), target[:80])
    x = random.uniform(-2, 2, (300, 5))
    found: Any = [process.log_marginal_likelihood(at, eval_gradient=True) for at in x]
    return stacked([(at, [value], [slope]) for at, (value, slope) in zip(x, found, strict=True)])


@table("statsmodels", "NegativeBinomial.score of the data fair", "Gaussian, correlated")
def negative_binomial(random: np.random.Generator) -> Rows:
    import statsmodels.api as sm

    data = sm.datasets.fair.load_pandas().data.iloc[::4]
    model = sm.NegativeBinomial(np.ceil(data.affairs), sm.add_constant(data.drop(columns="affairs")))
    fitted = model.fit(disp=0, maxiter=200)
    x = random.multivariate_normal(fitted.params, 9 * np.asarray(fitted.cov_params()), 400)
    return stacked([(at, [model.loglike(at)], [model.score(at)]) for at in x])


@table("statsmodels", "SARIMAX.score of the data sunspots, its differences")
def time_series(random: np.random.Generator) -> Rows:
    import statsmodels.api as sm

    model = sm.tsa.SARIMAX(sm.datasets.sunspots.load_pandas().data.SUNACTIVITY, order=(2, 0, 1))
    x = random.uniform([0.8, -0.8, -0.5, 150], [1.5, -0.2, 0.5, 500], (300, 4))
    return stacked([(at, [model.loglike(at)], [model.score(at)]) for at in x])


def process_of(ql, spot: float, volatility: float, rate: float, dividend: float):  # noqa: ANN001, ANN201
    """Return a process of Black, Scholes and Merton."""
    today, count = ql.Settings.instance().evaluationDate, ql.Actual365Fixed()
    flat = [ql.YieldTermStructureHandle(ql.FlatForward(today, one, count)) for one in (dividend, rate)]
    smile = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), volatility, count))
    return ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(spot)), *flat, smile)


@table("QuantLib", "AnalyticEuropeanEngine: delta, vega, rho, dividendRho")
def european_options(random: np.random.Generator) -> Rows:
    import QuantLib as ql  # noqa: N813

    def prices(at: Array) -> tuple[Array, list[float], list[list[float]]]:
        engine, exercise = ql.AnalyticEuropeanEngine(process_of(ql, *at)), ql.EuropeanExercise(today + 180)
        payoffs = ql.PlainVanillaPayoff(ql.Option.Call, 100), ql.CashOrNothingPayoff(ql.Option.Put, 100, 10)
        options = [ql.VanillaOption(payoff, exercise) for payoff in payoffs]
        for option in options:
            option.setPricingEngine(engine)
        greeks = [[one.delta(), one.vega(), one.rho(), one.dividendRho()] for one in options]
        return at, [one.NPV() for one in options], greeks

    today = ql.Date(1, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    return stacked([prices(at) for at in random.uniform([70, 0.1, 0, 0], [130, 0.5, 0.08, 0.05], (500, 4))])


@table("QuantLib", "FdBlackScholesVanillaEngine(50, 50): delta, -theta, no vega")
def american_options(random: np.random.Generator) -> Rows:
    import QuantLib as ql  # noqa: N813

    def price(spot: float, volatility: float, days: int) -> tuple[list[float], list[float], list[list[float]]]:
        option = ql.VanillaOption(ql.PlainVanillaPayoff(ql.Option.Put, 100), ql.AmericanExercise(today, today + days))
        option.setPricingEngine(ql.FdBlackScholesVanillaEngine(process_of(ql, spot, volatility, 0.05, 0.0), 50, 50))
        return [spot, volatility, days / 365], [option.NPV()], [[option.delta(), np.nan, -option.theta()]]

    today = ql.Date(1, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    x = random.uniform([85, 0.15, 60], [130, 0.5, 700], (400, 3))
    return stacked([price(spot, volatility, int(days)) for spot, volatility, days in x])
