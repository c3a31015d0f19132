"""What is known of the candidates of a search after some results."""

import numpy as np
import pytest

from runge.records.metrics import TRAIN_LOSS, VAL_LOSS
from runge.search.results import Move
from runge.search.standing import has_enough_steps
from tests.search.made_up import candidate, result, state, trained


def network(*results, **changes):
    """Return the network of a candidate on fold 0 after some results, with its standing."""
    standing = trained(state("a"), "a", *results, **changes).standings["a"]
    return standing.by_fold.get(0), standing


def test_the_better_network_is_kept_and_further_steps_do_not_help_unless_the_later_one_is_better():
    good, bad = result(1.0, end="time"), result(2.0, end="time")
    assert network(good)[0].may_gain
    assert not network(result(1.0, end="rest"))[0].may_gain
    for results, gains in (((good, bad), False), ((good, good), False), ((bad, good), True)):
        kept, _ = network(*results)
        assert (kept.result.error, kept.may_gain) == (1.0, gains)
    kept, standing = network(good, result(failure="it has failed"))
    assert (kept.result.error, kept.may_gain, standing.failure) == (1.0, False, "it has failed")


@pytest.mark.parametrize(
    ("optimizer", "before", "steps", "gains"),
    [
        ("soap", (4.0, 1.0), 99, True),
        ("soap", (4.0, 1.0), 100, False),
        ("soap", (1.2, 1.0), 99, False),
        ("levenberg_marquardt", (4.0, 1.0), 99, False),
    ],
)
def test_a_few_steps_of_a_gradient_method_do_not_show_that_an_error_which_fell_is_at_rest(
    optimizer, before, steps, gains
):
    one = state(listed=[candidate("c", f"optimizer={optimizer}")])
    one = trained(one, "c", result(*before), result(2.0, steps=steps))
    assert one.standings["c"].may_gain == gains


def test_a_trial_that_continues_has_more_steps_and_more_patience():
    """The patience of Levenberg-Marquardt is a share of its steps, that of a method by the gradient is not."""
    for overrides, more in (("optimizer=levenberg_marquardt",), 3), (("optimizer=soap", "trainer.max_steps=100"), 1):
        one = state(listed=[listed := candidate("c", *overrides)])
        trainer = listed.settings.trainer
        assert one.trial(Move("c", {}, 0, 1.0)).settings.trainer.patience == trainer.patience
        one = trained(one, "c", result(1.0, steps=3 * trainer.max_steps // 2))
        continued = one.trial(Move("c", {}, 0, 1.0, start=0)).settings.trainer
        assert continued.max_steps == 3 * trainer.max_steps
        assert continued.patience == more * trainer.patience


def test_more_rows_may_help_after_the_last_step():
    assert network(result(1.0, end="rest"), share=0.2)[0].may_gain
    assert not network(result(1.0, end="rest"))[0].may_gain
    kept, _ = network(result(1.0), result(2.0), share=0.2)
    assert (kept.result.error, kept.may_gain, kept.grows) == (1.0, True, True)


def test_a_trial_has_enough_steps_if_the_held_out_loss_falls_far_less_than_the_training_loss():
    for power, is_enough in ((0.9, False), (0.5, False), (0.3, True), (-0.1, True)):
        errors = np.array([1.0, 0.5, 0.1, 0.01])
        one = result(*errors, ratio=4.0)
        one.history[TRAIN_LOSS][:] = 0.01 * errors ** (2 / power) if power > 0 else 0.01 * errors**4
        if power < 0:
            one.history[VAL_LOSS][:] = errors**-0.2
        assert has_enough_steps(one) == is_enough
    assert not has_enough_steps(result(*errors))  # it does not lack rows
    assert has_enough_steps(result(*errors, end="rest"))


def test_the_best_of_all_folds_is_first_and_then_those_that_lack_one():
    one = state("a", "b", "c", judges=2)
    one = trained(trained(one, "a", result(1.0), fold=0), "a", result(2.0), fold=1)
    one = trained(trained(one, "b", result(1.1), fold=0), "b", result(1.1), fold=1)
    one = trained(one, "c", result(0.1))
    assert [(x.name, x.error) for x in one.ranked] == [
        ("b", pytest.approx(1.1)),
        ("a", 2.5**0.5),
        ("c", pytest.approx(0.1)),
    ]
    chosen = trained(one, "c", result(9.0), fold=None, of_answer=True)
    assert [x.name for x in chosen.ranked] == ["c", "b", "a"]
    assert len(chosen.ranked[0].refits) == 1


def test_a_variation_is_named_by_what_it_is():
    one = candidate("mine", "optimizer=levenberg_marquardt", "model.width=64", "model.depth=3")
    deeper, wider = one.larger(set())
    assert wider.name == "Levenberg-Marquardt, silu, 3 x 128"
    assert deeper.varied({"seed": 3}).name == "Levenberg-Marquardt, silu, 4 x 64, seed 3"
    assert (one.varied({"seed": 3}).name, one.varied({"seed": 3}).kind) == ("mine, seed 3", "mine")
    assert [x.name for x in one.larger({"model.width"})] == [deeper.name]
    assert wider.overrides[-1] == "model.width=128"
    assert "model.width=64" not in wider.overrides
    assert wider.settings.model.width == 128
    assert candidate("s", "optimizer=soap").larger(set())[0].name == "SOAP, silu, 4 x 64"
    seeing = one.having({"data.log10": ["h", "T [°C]"]})
    assert (seeing.name, seeing.overrides[-1]) == ("mine, log10 of h, T [°C]", "data.log10=[h,'T [°C]']")
    assert seeing.larger(set())[0].name == "Levenberg-Marquardt, silu, 4 x 64, log10 of h, T [°C]"
    assert seeing.larger(set())[0].settings.data.log10 == ["h", "T [°C]"]
    plain = seeing.varied({"data.log10": []})
    assert (plain.name, plain.overrides[-1], plain.settings.data.log10) == ("mine", "data.log10=[]", [])
    assert not any(x.startswith("data.log10=[h") for x in plain.overrides)
    fixed = candidate("f", "optimizer=random_features", "loss.lambda_d=0")
    assert [x.name for x in fixed.larger(set())] == ["fixed neurons, learnt scales, sin, 1 x 2400, values alone"]


def test_the_settings_of_a_trial_have_its_rows_and_steps():
    one = trained(state("a"), "a", result(1.0, steps=150))
    settings = one.trial(Move("a", {}, 2, 5.0, 0.2500000001, start=0)).settings
    assert (settings.data.fold, settings.data.split["train"], settings.trainer.max_steps) == (2, 0.25, 300)
    assert settings.trainer.start is None
    whole = one.trial(Move("a", {}, None, 5.0, seed=2, steps=40, stop_at=30)).settings
    assert (whole.data.folds, whole.data.fold, whole.data.split["val"], whole.data.seed) == (None, None, 0, 0)
    assert (whole.seed.seed, whole.trainer.max_steps, whole.trainer.stop_at) == (2, 40, 30)
    fixed = state("a", fixed={"trainer.max_steps"}).trial(Move("a", {}, 1, 5.0, steps=7))
    assert (fixed.settings.trainer.max_steps, fixed.settings.data.split["train"]) == (200, None)
    assert not fixed.plans_steps
