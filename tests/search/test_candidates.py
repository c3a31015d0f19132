"""The candidates of `search=best`, in `conf/search/best.yaml`."""

import json

import pytest
import yaml

from runge.configuration.objects import CONFIGURATIONS
from runge.search.candidates import settings_of_run
from runge.training.member import Member
from runge.training.settings import Settings
from tests.conftest import compose

BEST = yaml.safe_load((CONFIGURATIONS / "search" / "best.yaml").read_text())
FORMULAS, TABLES = (BEST[kind] for kind in ("formulas", "tables"))
TARGETS = ["target=kink"], ["target=expression", "target.expr=x*y", "target.domain=[[-1,1],[0,2]]"]


@pytest.mark.parametrize("name", FORMULAS)
def test_each_can_be_trained_on_formulas_of_one_and_two_inputs(name):
    members = [Member(Settings.of(compose(*FORMULAS[name], *target))) for target in TARGETS]
    assert [member.sizes[1] for member in members] == [1024, 1024]  # compared on the same number of points


@pytest.mark.parametrize("steps", [20, 30])
def test_a_run_of_the_answer_whose_time_was_over_has_no_step_at_which_it_was_to_end(steps):
    settings = Settings.of(compose("data=table", "data.file=t.csv", "trainer.max_steps=40", "trainer.stop_at=30"))
    trainer = settings_of_run(settings, 2.0, steps).trainer
    assert (trainer.max_steps, trainer.stop_at) == (steps, 30 if steps == 30 else None)


def test_one_fits_a_kink_exactly(fit):
    run = fit("run", *FORMULAS["Levenberg-Marquardt, relu, 16"], "target=kink", "seed=1", "pictures=false")
    metrics = json.loads((run / "metrics.json").read_text())
    assert max(metrics["test/mse_f"], metrics["test/mse_df"]) < 1e-29
