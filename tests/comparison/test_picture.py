import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from runge.comparison.picture import comparison_picture
from runge.comparison.ranking import rank
from runge.records.reading import RunRecord


def run(number, value, keys):
    settings = {"seed": number, **{f"section_{key}.setting": number / 7 for key in range(keys)}}
    return RunRecord("", "finished", settings=settings, figures={"test/mse_df": value, "test/mse_f": value / 3})


NARROW, WIDE = [(1.45, 1.9), (1.4e-7, 7e-7), (1.1e3, 4.4e3)], [(3e-4, 4e-3), (1e-12, 1e3)]


@pytest.mark.parametrize(("keys", "ends"), [*itertools.product([4], NARROW + WIDE), (1, NARROW[1]), (1, WIDE[0])])
def test_the_labels_of_axes_do_not_overlap(ends, keys):
    runs = [run(number, value, keys) for number, value in enumerate(np.geomspace(*ends, 12))]
    names = [f"section_{key}.setting" for key in range(keys)]
    figure = comparison_picture(rank(runs, group_by=names))
    figure.draw_without_rendering()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label for label in axis.get_ticklabels(which="both") if label.get_text()]
            boxes = [label.get_window_extent() for label in labels]
            assert len(boxes) > 1
            assert not any(re.search(r"\de[+-]", label.get_text()) for label in labels)
            assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_diverged_runs_have_no_place_on_the_axis(finished):
    records = [RunRecord("", "diverged", settings={"seed": seed, "lr": 0.6}) for seed in range(4 - finished)]
    records += [replace(run(seed, 0.1 + seed, 0), settings={"seed": 9 - seed, "lr": 0.6}) for seed in range(finished)]
    figure = comparison_picture(rank(records, group_by=["lr"]))
    figure.set_layout_engine("none")
    figure.draw_without_rendering()
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert label == f"lr=0.6, {4 - finished} of 4 diverged"
