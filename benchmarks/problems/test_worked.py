"""The tables of the worked examples."""

import numpy as np
import pandas as pd
import worked
from numpy.testing import assert_array_equal


def test_a_table_with_names_becomes_arrays():
    columns = {"T [K]": [1, 2], "p": [3, 4], "h": [5, 6], "s": [7, 8]}
    slopes = {"dh_dT": [0, 1], "dh_dp": [2, 3], "ds_dT": [4, 5], "ds_dp": [6, 7]}
    rows = worked.rows_of(pd.DataFrame(columns | slopes), ["T [K]", "p"])
    assert_array_equal(rows.x, [[1, 3], [2, 4]])
    assert_array_equal(rows.y, [[5, 7], [6, 8]])
    assert_array_equal(rows.dydx, [[[0, 2], [4, 6]], [[1, 3], [5, 7]]])


def test_a_report_has_the_errors_of_each_tool():
    kept = pd.DataFrame(
        [
            {"tool": "JENN", "seed": 0, "value": 0.1, "derivative": 0.2, "settings": {}},
            {"tool": "runge fit", "seed": 0, "value": 0.01, "derivative": 0.8, "settings": {"seconds": 60}},
            {"tool": "SMT KRG", "seed": 0, "value": np.nan, "derivative": np.nan, "settings": np.nan},
        ]
    )
    text = worked.report(kept)
    assert "| runge fit | 1.0e-02 | 8.0e-01 |\n| JENN | 1.0e-01 | 2.0e-01 |\n| SMT KRG | failed | failed |" in text
    assert text.endswith("`runge fit` had 60 s. The number of seeds is 1.")


def test_a_part_of_a_page_is_replaced_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(worked, "PAGES", tmp_path)
    page = "a\n\n<!-- output -->\n\n{}\n\n<!-- end -->\n\n<!-- errors -->\n\nold\n\n<!-- end -->\n"
    (tmp_path / "co2.md").write_text(page.format("old"))
    worked.put("co2", "output", r"\1 new")
    assert (tmp_path / "co2.md").read_text() == page.format(r"\1 new")


def test_a_script_leaves_its_plot_and_its_words_in_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(worked, "PAGES", tmp_path)
    monkeypatch.setattr(worked, "EXAMPLES", tmp_path)
    (tmp_path / "co2.md").write_text("<!-- output -->\n\nold\n\n<!-- end -->\n")
    script = "open('co2.png', 'w').write('plot'); print('8 runs, 9 steps/s'); print('120 60')"
    (tmp_path / "co2.py").write_text(script)
    worked.run("co2")
    assert (tmp_path / "co2.md").read_text() == "<!-- output -->\n\n    120 60\n\n<!-- end -->\n"
    assert (tmp_path / "co2.png").read_text() == "plot"
