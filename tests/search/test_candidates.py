"""The candidates of `search=best`, in `conf/search/best.yaml`."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from runge.configuration.objects import CONFIGURATIONS
from runge.search.candidates import settings_of_run
from runge.search.results import Publication
from runge.search.search import Search
from runge.training.member import Member
from runge.training.settings import Settings
from tests.conftest import compose
from tests.search.made_up import result, state, trained

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


def test_a_run_of_the_answer_has_the_time_of_all_of_its_trainings(monkeypatch):
    made = Search.__new__(Search)
    one = trained(state("a"), "a", result(1.0, 0.5, seconds=20.0), result(0.4, seconds=8.0))
    one.results[1].history["seconds"] += 20.0
    network, published = one.standings["a"].in_order[0], list[Publication]()
    made.state, made._directory = one, Path("sweep")
    made._command = SimpleNamespace(compose=lambda *_: SimpleNamespace(hydra=None))
    workers = SimpleNamespace(busy=0, count=1, submit=lambda place, call, until: published.append(call), wait=dict)
    monkeypatch.setattr("runge.search.search.options_of", lambda hydra: {})
    made._publish(workers, [network])
    assert published[0].settings.trainer.max_seconds == pytest.approx(28.0)


def test_one_fits_a_kink_exactly(fit):
    run = fit("run", *FORMULAS["Levenberg-Marquardt, relu, 16"], "target=kink", "seed=1", "pictures=false")
    metrics = json.loads((run / "metrics.json").read_text())
    assert max(metrics["test/mse_f"], metrics["test/mse_df"]) < 1e-29
