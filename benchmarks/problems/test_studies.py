"""The studies: their pages are those of the figures that are kept, and the answers count what they should."""

from studies import intervals, large_tables, pages, shipped

from tests.conftest import ROOT


def test_pages_agree_with_the_figures():
    texts = pages()
    assert {name: (ROOT / "docs" / name).read_text() for name in texts} == texts


def test_intervals_count_channels_that_matter():
    tables, answer = intervals([{"problem": "f", "matters": [True, False], "held": [0.75, 0.1]}])
    assert "| f | 1 | 75% |" in tables
    assert "1 of 1 shares are below 80 %, and the smallest is 75%" in answer


def test_soap_is_compared_with_the_better_of_two():
    errors = {"AdamW": 4e-2, "Levenberg-Marquardt": 1e-2, "SOAP": 2e-3}
    rows = [{"table": "t", "method": name, "value": error, "derivative": error} for name, error in errors.items()]
    tables, answer = large_tables(rows)
    assert "| t | value | 4.0e-02 | 1.0e-02 | 2.0e-03 |" in tables
    assert "by 5.0" in answer


def test_the_default_time_is_compared_with_the_table():
    rows = [{"problem": "branin", "seed": 0, "value": error, "derivative": error} for error in [1e-3]]
    _, answer = shipped(rows)
    assert "on 0 of 1 for the value and on 0 of 1 for the derivative" in answer
    tables, answer = shipped([rows[0] | {"value": 1e-12}])
    assert "on 1 of 1 for the value and on 0 of 1 for the derivative" in answer
    assert "| branin | value | 1.0e-12 |" in tables
