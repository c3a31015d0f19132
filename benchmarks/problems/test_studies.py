"""The studies: their parts of pages are those of the figures that are kept, and they count what they should."""

import pytest
from pages import read_page
from studies import by_chance, intervals, large_tables, pages


@pytest.mark.parametrize(("name", "text"), pages().items())
def test_pages_agree_with_the_figures(name, text):
    assert read_page(name) == text


def test_intervals_count_channels_that_matter():
    found = intervals([{"problem": "branin", "matters": [True, False], "held": [0.75, 0.1]}])
    assert "| branin | 1 | 75 % |" in found["table"]
    assert (found["count"], found["low"], found["few"], found["smallest"]) == (1, 1, 1, "75 %")


def test_few_shares_are_low_by_chance():
    """With 100 rows the share is distributed as beta(91, 10), by hand from its moments: 0.901 and 0.0296."""
    row = {"problem": "branin, noise 0.2", "matters": [True, True, False]}
    assert 0.001 < by_chance(row) / 2 < 0.005


def test_soap_is_compared_with_the_better_of_two():
    errors = {"AdamW": 4e-2, "Levenberg-Marquardt": 1e-2, "SOAP": 2e-3}
    rows = [{"table": "t", "method": name, "value": error, "derivative": error} for name, error in errors.items()]
    found = large_tables(rows)
    assert "| t | value | 4.0e-02 | 1.0e-02 | 2.0e-03 |" in found["table"]
    assert found["gain"] == "5.0 (5.0 to 5.0)"
