"""The evidence: its statistics against hand arithmetic, the claims against their experiments, the page, the command."""

import re
from dataclasses import replace

import command as evidence
import numpy as np
import pytest
from claims import CLAIMS, WORST, Claim, ClaimRuns
from classical import classical
from effects import Effect, arrange, effects, figure, name_context, signed_rank
from findings import FIGURES, Finding, Findings, judge
from page import PAGE, SUMMARY, compared, describe, pages
from pages import read_page
from sweeps import ClaimSweep, combinations

from runge.configuration.objects import CONFIGURATIONS
from runge.records.metrics import TEST_MSE_DF as MSE_DF
from runge.records.reading import RunRecord
from runge.targets import Expression, Runge

PLAIN = Claim("plain", "Plain", "...", ("sampling",), "uniform", also=())
SIZE = Claim("size", "Size", "...", ("model.depth",), "2", also=(), along="model.width", matched="parameters")


def record(figures, status="finished", settings=(), **swept):
    overrides = " ".join(f"{key}={value}" for key, value in swept.items())
    return RunRecord("somewhere", status, "", 1, f"experiment=claims/x {overrides}", dict(settings), figures)


def runs_of(claim, swept, value):
    """Return a run for each combination, with the figures `value(run)`; None: the run is missing."""
    wanted = combinations(swept)
    records = [record(figures, **run) for run in wanted if (figures := value(run)) is not None]
    return arrange(ClaimRuns(claim, wanted, records))


def effect(*ratios, arm="a", **context):
    return Effect(tuple((context or {"target": "runge"}).items()), arm, ratios)


def test_ratios_are_paired_by_seed():
    errors = {"uniform": (1.0, 10.0, 4.0), "random": (2.0, 5.0, 1.0)}
    swept = {"target": "runge,kink", "sampling": "uniform,random", "seed": "range(3)"}

    def value(run):
        return {MSE_DF: errors[run["sampling"]][int(run["seed"])] * (3 if run["target"] == "kink" else 1)}

    compared = effects(runs_of(PLAIN, swept, value), PLAIN, MSE_DF)
    assert [(one.context, one.arm) for one in compared] == [
        ((("target", "runge"),), "random"),
        ((("target", "kink"),), "random"),
    ]
    for one in compared:
        assert one.ratios == (2.0, 0.5, 0.25)
        assert one.quartiles == (0.375, 0.5, 1.25)


def test_missing_runs_count_as_infinitely_bad():
    swept = {"target": "runge", "sampling": "uniform,random", "seed": "range(4)"}
    gone = {("random", "0"), ("uniform", "1"), ("random", "2"), ("uniform", "2")}
    runs = runs_of(PLAIN, swept, lambda run: None if (run["sampling"], run["seed"]) in gone else {MSE_DF: 1.0})
    assert [run.status for run in runs].count("missing") == 4
    (one,) = effects(runs, PLAIN, MSE_DF)
    assert one.ratios == (np.inf, 0.0, 1.0)
    assert one.quartiles[1:] == (1.0, np.inf)
    (one,) = effects(runs_of(PLAIN, swept, lambda run: {MSE_DF: 0.0}), PLAIN, MSE_DF)
    assert one.ratios == (1.0,) * 4
    assert figure({f"{MSE_DF}/left": 3.0, f"{MSE_DF}/right": 2.0, f"{MSE_DF}/peak": 9.0}, WORST) == 3.0
    assert figure({}, WORST) == np.inf


@pytest.mark.parametrize("status", ["diverged", "running"])
def test_figures_of_unfinished_runs_are_ignored(status):
    wanted = combinations({"target": "runge", "sampling": "uniform,random", "seed": "0"})
    records = [record({MSE_DF: 1.0}, status if run["sampling"] == "random" else "finished", **run) for run in wanted]
    (one,) = effects(arrange(ClaimRuns(PLAIN, wanted, records)), PLAIN, MSE_DF)
    assert one.ratios == (np.inf,)


def test_signed_rank():
    """With n ratios on one side of 1 the exact two-sided p is 2 / 2^n; with the smallest on the other side, 4 / 2^n."""
    assert signed_rank(tuple(np.linspace(0.1, 0.8, 8))) == pytest.approx(2 / 2**8)
    assert signed_rank((*np.linspace(0.1, 0.8, 7), 1.01)) == pytest.approx(4 / 2**8)
    assert signed_rank((1.0,) * 5) == 1
    assert signed_rank((*np.linspace(2, 3, 9), np.inf)) == pytest.approx(2 / 2**10)


def test_verdict_of_an_effect():
    below = np.linspace(0.1, 0.8, 10)
    assert effect(*below).verdict == "helps"
    assert effect(*1 / below).verdict == "hurts"
    assert effect(*below[:5], *1 / below[:5]).verdict == "unclear"
    assert effect(*below[:7]).verdict == "unclear"  # p = 2 / 2^7 > 0.01
    assert effect(*below[:4]).verdict == ""
    assert effect(*[1.0] * 10).verdict == "unclear"


def finding(*ratios, arm="a", **context):
    one = effect(*ratios, arm=arm, **context)
    return Finding(PLAIN.name, MSE_DF, name_context(one.context), arm, *one.quartiles, one.verdict)


def test_the_arm_with_the_smallest_mean_is_shown():
    better, worse = tuple(np.linspace(0.1, 0.8, 10)), tuple(np.linspace(2, 3, 10))

    def judged(*cases, claim=PLAIN):
        return judge([finding(*ratios, arm=arm, target=target) for target, arm, ratios in cases], claim)

    def targets(judgement, verdict):
        return [one.context for one in judgement.having(verdict)]

    assert judged(("a", "x", better), ("b", "x", better), ("a", "y", worse), ("b", "y", better)).arm == "x"
    assert judged(("a", "x", worse), ("b", "x", worse), ("a", "y", (1.0,) * 9), ("b", "y", better)).arm == "y"
    assert not judged(("a", "x", better[:4]), ("b", "x", better[:4])).tested
    # an arm that helps in one context of two, but is far worse in the other, is not the best one
    harmful = judged(("a", "x", better), ("b", "x", (1e9,) * 9), ("a", "y", worse), ("b", "y", worse))
    assert (harmful.arm, len(harmful.findings)) == ("y", 2)
    assert targets(harmful, "hurts") == ["a", "b"]
    infinite = judged(("a", "x", better), ("b", "x", (np.inf,) * 9), ("a", "y", worse), ("b", "y", worse))
    assert infinite.arm == "y"
    stronger, worst = tuple(np.linspace(0.01, 0.08, 10)), tuple(np.linspace(20, 30, 10))
    ranked = judged(("a", "x", better), ("b", "x", stronger), ("c", "x", worse), ("d", "x", worst))
    assert targets(ranked, "helps") == ["b", "a"]
    assert targets(ranked, "hurts") == ["d", "c"]
    only = PLAIN._replace(judged=("y",))
    assert judged(("a", "x", better), ("a", "y", worse), claim=only).arm == "y"


def test_sentence():
    """The largest and the smallest ratio are in a context without a verdict, so neither is reported."""
    shown = [finding(*np.linspace(0.1, 0.4, 10)), finding(*np.linspace(2, 4, 10), target="kink")]
    shown.append(finding(*[1e-4] * 5, *[1e4] * 5, target="steep"))
    text = describe(judge(shown, PLAIN), PLAIN)
    assert text == (
        "With `sampling=a` the error is significantly lower in 1 of the 3 contexts, at most by a factor of 4 "
        "(3.1 to 5.7) for runge. It is higher in 1, at most by a factor of 3 (2.5 to 3.5) for kink."
    )


def sized(run, exponent, factor):
    """Return errors that follow a power law, and the parameters of a network of one input and one output."""
    width, depth = int(run["model.width"]), int(run["model.depth"])
    parameters = 3 * width + 1 + (depth - 1) * (width**2 + width)
    return {"parameters": parameters, MSE_DF: factor * parameters**-exponent}


SIZES = {"target": "runge", "model.depth": "1,2,3", "model.width": "8,16,32", "seed": "range(2)"}


def test_arms_are_compared_at_equal_parameters():
    """A power law is a line in logarithms, which interpolation reproduces; the factor between the arms remains."""
    factors = {"1": 5.0, "2": 1.0, "3": 0.25}
    runs = runs_of(SIZE, SIZES, lambda run: sized(run, 1.5, factors[run["model.depth"]] * (2 + int(run["seed"]))))
    ratios = {one.arm: one.ratios for one in effects(runs, SIZE, MSE_DF)}
    assert ratios == {"1": pytest.approx((5, 5)), "3": pytest.approx((0.25, 0.25))}


def test_no_arm_is_compared_outside_the_range_of_the_baseline():
    def value(run):  # the two smallest networks of depth 1 are below that range
        figures = sized(run, 1, 1)
        return figures | {MSE_DF: 1e9} if figures["parameters"] < 97 else figures

    assert all(one.ratios == pytest.approx((1, 1)) for one in effects(runs_of(SIZE, SIZES, value), SIZE, MSE_DF))


def test_a_baseline_that_failed_where_nothing_is_compared_changes_nothing():
    def value(run):
        gone = (run["model.depth"], run["model.width"]) == ("2", "32")
        return None if gone else sized(run, 1, 10 if run["model.depth"] == "1" else 1)

    ratios = {one.arm: one.ratios for one in effects(runs_of(SIZE, SIZES, value), SIZE, MSE_DF)}
    assert ratios["1"] == pytest.approx([10, 10])


def test_each_claim_has_its_experiment():
    files = {path.stem for path in (CONFIGURATIONS / "experiment" / "claims").glob("*.yaml")}
    assert sorted(files) == sorted(claim.name for claim in CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_claims_fit_their_experiments(claim, tmp_path):
    wanted = ClaimSweep(claim, tmp_path, {}, []).wanted
    swept = set(wanted[0])
    assert {*claim.arms, "target", "seed", *filter(None, [claim.along])} <= swept
    arms = {", ".join(run[key] for key in claim.arms) for run in wanted}
    assert {claim.baseline, *claim.judged} <= arms
    assert {run["target"] for run in wanted} == {"runge", "steep", "oscillating", "kink"}
    assert len({run["seed"] for run in wanted}) == 10
    head = (CONFIGURATIONS / "experiment" / "claims" / f"{claim.name}.yaml").read_text()
    assert re.search(
        rf"#   Claim .*\n(#   Baseline .*\n)?#   Command   python train.py -m experiment=claims/{claim.name}\n"
        rf"#   Time      about \d+ min on two cores\n#   Result    docs/evidence/figures.md\n",
        head,
    )
    assert "max_steps" not in head


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """Made-up runs of three claims, one of each kind: effects, a curve, a curve at equal parameters."""
    made = []
    generator = np.random.default_rng(0)
    for claim in CLAIMS:
        if claim.name not in ("sampling", "points", "size"):
            continue
        wanted = [
            run
            for run in ClaimSweep(claim, tmp_path_factory.getbasetemp(), {}, []).wanted
            if run["target"] in ("runge", "kink")
        ]
        wanted = [run for run in wanted if run.get("data.n_train") not in ("12", "48", "96")]
        records = []
        for run in wanted:
            factor = {"chebyshev": 0.1, "endpoint": 20}.get(run.get("sampling", ""), 1)
            error = 1e-6 * factor * float(np.exp(generator.normal()))
            figures = {MSE_DF: error, f"{MSE_DF}/left": error, f"{MSE_DF}/right": error, "test/mse_f": error / 9}
            if claim.matched:
                figures |= {"parameters": sized(run, 1, 1)["parameters"]}
            settings = {"data.n_train": int(run.get("data.n_train", 48))}
            records.append(record(figures | {"seconds/total": 6.0}, settings=settings, **run))
        made.append(ClaimRuns(claim, wanted, records))
    return made


def written(sweeps, **options):
    """Return the pages of some runs."""
    classical_methods = compared([one for sweep in sweeps for one in sweep.records])
    return pages(Findings.of(sweeps, classical_methods), **options)


def test_pages(sweeps):
    texts = written(sweeps)
    assert texts.keys() == {SUMMARY, PAGE}
    figures, flat = texts[PAGE], " ".join(texts[PAGE].split())
    number = sum(len(sweep.records) for sweep in sweeps)
    assert f"{number} runs, in {number / 10:.1f} minutes" in flat
    rows = re.findall(
        r"^\| \[.*?\]\(evidence/figures.md#([\w-]+)\) \| `(.*?)` \| (\d+) \| (\d+) ", texts[SUMMARY], re.MULTILINE
    )
    assert ("sampling-of-the-points", "sampling=chebyshev", "4", "4") in rows
    assert "`sampling=chebyshev` the error is significantly lower in 4 of the 4 contexts, at most by a" in flat
    assert "| runge, levenberg_marquardt | " in figures
    assert "0.1, n_train 192" in figures
    assert re.search(r"\| kink \| the best of \d+ networks: `experiment=claims/\w+ optimizer=", figures)
    assert "| kink | AAA | " in figures
    assert "did not finish." not in "".join(texts.values())
    assert "mean nothing" not in texts[SUMMARY]
    assert "mean nothing" in written(sweeps[:1], quick=True)[SUMMARY]


def test_findings_are_kept(sweeps, tmp_path):
    """The pages of the findings that are read are those of the ones that were kept."""
    findings = Findings.of(sweeps, [["kink", "AAA", "1.0e-07", "7.5e-03"]])
    findings.keep(tmp_path)
    assert pages(Findings.read(tmp_path)) == pages(findings)


def test_pages_report_what_is_missing(sweeps):
    claim, wanted, records = sweeps[0]
    broken = [*records[5:-1], replace(records[-1], status="diverged")]
    texts = written([ClaimRuns(claim, wanted, broken)])
    figures = " ".join(texts[PAGE].split())
    assert "6 runs of this claim did not finish." in figures
    assert ", of which 6 did not finish" in figures


def test_unknown_claims_are_refused(refusal):
    message = refusal(evidence.main, "sampling", "lambda")
    assert "'lambda'" in message
    assert "derivative_scale, lambda_d, two_stage" in message


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The evidence of one claim with two tiny runs: what they sweep over, and their overrides."""
    swept = {"target": "runge", "seed": "0"}
    overrides = ["trainer.max_steps=2", "trainer.compile=off", "data.n_train=8", "trainer.progress_bar=false"]
    overrides += ["hydra.launcher.processes=1", "hydra.launcher.members=1"]

    def sweep(claim, *_):
        return ClaimSweep(claim, tmp_path / claim.name, swept, overrides)

    monkeypatch.setattr(evidence, "CLAIMS", [claim for claim in CLAIMS if claim.name == "hw"])
    monkeypatch.setattr(evidence, "ClaimSweep", sweep)
    return swept, overrides


def test_command(tiny, tmp_path, capsys):
    evidence.main(["--out", str(tmp_path / "docs")])
    out = capsys.readouterr().out
    assert "hw: 2 runs" in out
    text = (tmp_path / "docs" / "evidence.md").read_text()
    assert "with 2 runs on" in text
    assert "has fewer than 5 seeds" in (tmp_path / "docs" / PAGE).read_text()
    assert not (tmp_path / "hw" / "comparison.csv").exists()
    (tmp_path / "docs" / "evidence.md").unlink()
    evidence.main(["--out", str(tmp_path / "docs")])
    assert "hw: 2 runs" not in capsys.readouterr().out  # they are finished
    assert (tmp_path / "docs" / "evidence.md").read_text() == text
    (tmp_path / "docs" / "evidence.md").unlink()
    evidence.main(["--out", str(tmp_path / "docs"), "--page"])
    assert (tmp_path / "docs" / "evidence.md").read_text() == text
    (tmp_path / "hw" / "1" / "metrics.json").unlink()
    assert not evidence.ClaimSweep(CLAIMS[-1]).ended()


def test_every_option_is_checked_to_be_up_to_date(tmp_path):
    """The first run, and those with the other three targets, the other optimiser, and the other three schedules."""
    (claim,) = (claim for claim in CLAIMS if claim.name == "two_stage")
    sweep = ClaimSweep(claim, tmp_path, {}, [])
    digests = sweep._digests()
    checked = [sweep.wanted[i] for i in digests]
    assert len(digests) == len(set(digests.values())) == 8
    for key, count in (("target", 4), ("optimizer", 2), ("schedule", 4)):
        assert len({run[key] for run in checked}) == count


def test_a_sweep_that_fails_is_named(tiny, tmp_path, capsys):
    evidence.main(["--out", str(tmp_path / "docs")])
    (tmp_path / "docs" / "evidence.md").unlink()
    tiny[1].append("data.n_val=9")  # the directory holds runs of another configuration
    with pytest.raises(SystemExit, match=f"^error: hw: its sweep failed: .*; its runs are in {tmp_path / 'hw'}$"):
        evidence.main(["--out", str(tmp_path / "docs")])
    assert not (tmp_path / "docs" / "evidence.md").exists()


def test_diverged_runs_do_not_fail_a_sweep(tiny, tmp_path):
    tiny[0]["loss.lambda_d"] = "0,1e12"
    tiny[1].extend(["schedule=constant", "optimizer=sgd", "optimizer.clip_norm=null", "trainer.max_steps=4"])
    tiny[1].append("model.activation=relu")
    evidence.main(["--out", str(tmp_path / "docs")])
    method = (tmp_path / "docs" / PAGE).read_text()
    assert ", of which 1 did not finish" in " ".join(method.split())


def test_cubics_are_reproduced():
    errors = classical(Expression("x**3 - x/3"), 12)
    for name in ("Chebyshev", "cubic spline", "Chebyshev from f and f'"):
        assert errors[name] == pytest.approx((0, 0), abs=1e-22)


def test_only_aaa_reproduces_a_rational_function():
    errors = classical(Runge(), 24)
    assert max(errors["AAA"]) < 1e-24
    assert min(*errors["Chebyshev"], *errors["cubic spline"]) > 1e-8


def test_many_points_leave_derivatives_accurate():
    """Differentiate neither 319 coefficients of which most are round-off, nor residues of distant poles that cancel."""
    errors = classical(Expression("exp(-x)*sin(8*x)"), 320)
    assert max(errors["Chebyshev"]) < 1e-25
    assert max(errors["AAA"]) < 1e-22
    assert max(errors["Chebyshev from f and f'"]) < 1e-23


def test_interpolation_converges_at_the_theoretical_rate():
    """The error of Chebyshev interpolation of Runge's function falls by 1/5 + sqrt(1 + 1/25) per degree.

    References:
        L. N. Trefethen (2013). Approximation Theory and Approximation Practice, theorem 8.2.
    """
    rate = 0.2 + (1 + 0.04) ** 0.5
    (coarse, _), (fine, _) = (classical(Runge(), n)["Chebyshev"] for n in (21, 41))
    assert coarse / fine == pytest.approx(rate ** (2 * 20), rel=0.2)


def test_pages_agree_with_the_findings():
    """The committed pages are those of the committed findings."""
    findings = Findings.read(FIGURES)
    texts = pages(findings)
    assert {name: read_page(name) for name in texts} == texts
