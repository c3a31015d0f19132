import pytest
from rich.console import Console

from runge.compare.comparison import Comparison
from runge.compare.ranking import choose_metric
from runge.compare.tables import error_table
from runge.runs.reading import RunRecord


def run(settings, status="finished", **figures):
    return RunRecord("", status, settings=settings, figures={f"test/{name}": x for name, x in figures.items()})


SINE = {"target": "Expression", "target.expr": "sin(3*x)", "seed": 0}
SMALL = SINE | {"target.expr": "sin(3*x)/1000"}
TABLE = {"data": "Table", "data.file": "a.csv", "seed": 0}


def test_runs_on_different_functions_are_ranked_without_units():
    worse = run(SMALL, mse_df=1e-8, nrmse_f=0.02, nrmse_df=0.05, rel_l2_f=0.02, rel_l2_df=0.05)
    better = run(SINE, mse_df=1e-5, nrmse_f=0.001, nrmse_df=0.002, rel_l2_f=0.001, rel_l2_df=0.002)
    comparison = Comparison([worse, better])
    assert comparison.metric == "test/nrmse_df"
    assert [record.settings["target.expr"] for record in comparison.records] == ["sin(3*x)", "sin(3*x)/1000"]
    assert comparison.reason.startswith("Ranked by test/nrmse_df, because the runs differ in target.expr, and mean")
    assert "by a factor of 25 " in comparison.lead
    assert comparison.reason in comparison.html()
    assert Comparison([worse, better], "test/mse_df").records[0].settings == SMALL


def test_runs_on_one_function_are_ranked_by_the_mean_squared_error():
    runs = [run(SINE | {"model.width": width}, mse_df=1e-5, nrmse_df=0.1) for width in (8, 16)]
    assert (Comparison(runs).metric, Comparison(runs).reason) == ("test/mse_df", "")


def test_older_runs_have_the_relative_norm_alone():
    older = run(SMALL, mse_df=1e-8, rel_l2_df=0.05)
    newer = run(SINE, mse_df=1e-5, nrmse_df=0.002, rel_l2_df=0.002)
    assert Comparison([older, newer]).metric == "test/rel_l2_df"
    assert Comparison([run(SMALL, mse_df=1e-8), run(SINE, mse_df=1e-5)]).metric == "test/mse_df"


def test_tables_and_those_without_derivatives():
    known, unknown = (
        {"mse_df": 1.0, "nrmse_f": 0.1, "nrmse_df": 0.2},
        {"mse_df": None, "nrmse_f": 0.1, "nrmse_df": None},
    )
    one = Comparison([run(TABLE, **known), run(TABLE | {"seed": 1}, **known)])
    assert one.metric == "test/nrmse_df"
    assert "the columns of a table have units" in one.reason
    two = Comparison([run(TABLE, **known), run(TABLE | {"data.file": "b.csv"}, **known)])
    assert "the runs differ in data.file, and" in two.reason
    three = {"data.file": "b.csv", "data.inputs": "[a]", "data.outputs": "[y]"}
    reason = Comparison([run(TABLE, **known), run(TABLE | three, **known)]).reason
    assert "because the runs differ in data.file, data.inputs and data.outputs, and mean squared" in reason
    values = Comparison([run(TABLE, **known), run(TABLE | {"data.derivatives": "{}"}, **unknown)])
    assert values.metric == "test/nrmse_f"
    assert values.reason.endswith("; not all runs have derivatives to compare with.")
    failed = [run(TABLE, "failed"), run(TABLE, **known)]
    assert choose_metric(failed, [])[0] == "test/nrmse_df"


def test_what_is_drawn_has_the_metrics_kind():
    figures = {"mse_f": 1.0, "mse_df": 2.0, "nrmse_f": 0.1, "nrmse_df": 0.2, "r2_f": 0.99}
    figures |= {"mse_df/lift": 1.0, "mse_df/drag": 3.0, "nrmse_df/lift": 0.3, "nrmse_df/drag": 0.4}
    page = Comparison([run(TABLE, **figures), run(TABLE | {"seed": 1}, **figures)]).html()
    assert '"front": ["test/nrmse_f", "test/nrmse_df"]' in page
    assert '"part": "test/nrmse_df"' in page
    assert '"regions": [0.3, 0.4]' in page


@pytest.mark.parametrize("metric", ["test/nrmse_df", "test/mse_df"])
def test_the_columns_of_the_table(metric, capsys):
    figures = {"mse_f": 1.0, "mse_df": 2.0, "nrmse_f": 0.1, "nrmse_df": 0.2, "r2_f": 0.999987}
    Comparison([run(TABLE, **figures)], metric).show(Console(width=120))
    shown = capsys.readouterr().out
    assert ("nrmse_f" in shown) == ("1 - test/r2_f" in shown) == ("1.30e-05" in shown) == (metric == "test/nrmse_df")
    assert ("test/mse_f" in shown) == (metric == "test/mse_df")


@pytest.mark.parametrize(
    ("outputs", "columns", "whole", "each"),
    [
        (["y"], 0, ["1", "2", "3", "4", "5", "6", "1.30e-05"], None),
        (["y"], 1, ["1", "2", "3", "4", "5", "6", "1.30e-05"], None),
        (["y"], 2, ["1", "3", "5", "6", "1.30e-05"], None),
        (["y", "z"], 0, ["1", "2", "3", "4", "5", "6", "1.30e-05"], ["1", "2", "3", "4", "5", "6", "1.30e-05"]),
        (["y", "z"], 1, ["-", "-", "-", "-", "5", "6", "1.30e-05"], ["1", "2", "3", "4", "5", "6", "1.30e-05"]),
        (["y", "z"], 2, ["-", "-", "5", "6", "1.30e-05"], ["1", "3", "5", "6", "1.30e-05"]),
    ],
)
def test_units_are_not_mixed_in_the_errors_of_a_table(outputs, columns, whole, each):
    quantities = ("mse_f", "mse_df", "max_f", "max_df", "nrmse_f", "nrmse_df")
    figures = {f"test/{name}{group}": i for i, name in enumerate(quantities, 1) for group in ("", "/y", "/z")}
    figures |= {f"test/r2_f{group}": 0.999987 for group in ("", "/y", "/z")}
    table = error_table(figures, (), outputs, columns)
    rows = [
        [str(cell).replace(".00e+00", "") for cell in row]
        for row in zip(*(c.cells for c in table.columns), strict=True)
    ]
    assert rows == [["whole", *whole], *([name, *each] for name in outputs if each)]
