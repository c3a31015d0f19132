"""The comparison of what the commands state with the truth, on texts."""

import numpy as np
import pytest
from stated_tables import N_NEW, TABLES
from statements import (
    MISSED,
    NO,
    OF_CHECK,
    OF_LOG,
    UNCOMPARED,
    UNREAD,
    YES,
    Truth,
    judge,
    logged,
    paragraphs,
    read_lines,
    read_sentence,
)

SENTENCES = (
    "The answer is the mean of 3 networks (Levenberg-Marquardt, silu, 2 x 16), trained on all 100 rows.",
    "In rows left out of training (2 of 5 folds), the error of one network, over the standard deviation, is 1.0e-02 "
    "for the values (y1: 1.5e-02) and 2e-01 for the derivatives. "
    "y2 is not judged: these rows have 2 of its 3 labels.",
    "In these rows, 90 % of the values were within 1.6e-01 and 90 % of the derivatives were within 4.0e-02 standard "
    "deviations of the prediction.",
    "Check these labels, which networks trained without their rows do not predict: y1 in line 17 is 1.2, predicted 0.8 "
    "(41 robust deviations); dy1_dx in line 4 is -1e-05, predicted 0 (9 robust deviations).",
    "It has 7 lives.",
)
CHECKED = """\
t.csv: 100 rows; inputs x; outputs y1, y2

1 contradiction found:

1. dy1_dx does not follow the values, by none of the usual mistakes.
   Between near rows, the derivatives leave 77 % of the differences of y1
   unexplained; with one number in its place, 38 %.
   To do: Compute the column again, or leave it out.

A wrong sign would have been seen in 2 columns of derivatives.
"""


def errors(size):
    """Return residuals of this root mean square, of which 80 % are smaller than the largest, twice as large."""
    return size * np.tile([0.5] * 4 + [2.0], 20)[:, None]


def truth(**about):
    residuals = {"values": {"y1": errors(0.01), "y2": errors(9)}, "derivatives": {"y1": errors(0.1)}}
    exact = {("y1", 17): 0.8, ("dy1_dx", 4): -1e-5}
    return Truth(100, {"y1": 200, "y2": 3}, residuals, exact, networks=(3, 3), **about)


def verdicts(statements, about, source="sentences"):
    return {one.statement.partition(", ")[2]: one.verdict for one in judge(statements, about, source)}


def read(*numbers):
    return [part for i in numbers for part in read_sentence(SENTENCES[i])]


def test_every_part_of_a_sentence_is_read():
    kinds = [part.kind for part in read(*range(5))]
    assert kinds == [
        *("networks", "rows left out", "error", "error", "not judged", "bound", "bound", "suspect", "suspect", UNREAD),
    ]


def test_errors_are_compared_with_those_of_the_outputs_that_are_judged():
    found = {one.statement: one for one in judge(read(1), truth(), "sentences")}
    values = np.sqrt((errors(0.01) ** 2).mean())
    assert found["sentences, error of the values"].true == f"{values:.1e}"
    assert {name.partition(", ")[2]: one.verdict for name, one in found.items()} == {
        "rows left out": UNCOMPARED,
        "error of the values": YES,
        "largest error of the values": YES,
        "error of the derivatives": YES,
        "not judged": YES,
    }
    larger = truth()._replace(residuals={"values": {"y1": errors(0.02)}, "derivatives": {"y1": errors(0.1)}})
    assert verdicts(read(1), larger)["error of the values"] == NO


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("1.0e-02 for the values (y1: 1.0e-02)", NO),
        ("1.0e-02 [7.0e-03, 1.5e-02] for the values (y1: 1.0e-02 [7.0e-03, 1.5e-02]), with jackknife intervals.", NO),
        ("1.0e-02 [5.0e-03, 2.0e-02] for the values (y1: 1.0e-02 [5.0e-03, 2.0e-02]), with jackknife intervals.", YES),
        ("1.0e-02 for the values (y1: 1.0e-02; few rows decide it)", UNCOMPARED),
        ("1.5e-02 for the values (few rows decide it)", YES),
    ],
)
def test_an_error_may_have_an_interval(sentence, verdict):
    about = truth()._replace(residuals={"values": {"y1": errors(0.018)}})
    statements = [*read_sentence(sentence)]
    assert {one.kind for one in statements} == {"error"}
    assert {one.verdict for one in judge(statements, about, "sentences")} == {verdict}


def test_an_output_that_is_not_named_counts():
    part = [one for one in read(1) if one.kind != "not judged"]
    assert verdicts(part, truth())["error of the values"] == NO


@pytest.mark.parametrize(("rows", "verdict"), [(100, NO), (40, YES)])
def test_a_bound_may_contain_less_by_the_error_of_its_share(rows, verdict):
    """80 % is less than 0.9 - 2 sqrt(0.09 / n) for n = 40, but not for 16."""
    found = [*judge(read(1, 2), truth()._replace(rows=rows), "sentences")]
    [bound] = [one for one in found if one.statement == "sentences, 90 % of the derivatives within"]
    assert (bound.true, bound.verdict) == ("0 %", NO)
    about = truth()._replace(rows=rows, residuals={"values": {"y1": errors(0.1)}, "derivatives": {"y1": errors(0.01)}})
    found = {one.statement: one for one in judge(read(1, 2), about, "sentences")}
    assert found["sentences, 90 % of the derivatives within"].verdict == YES
    bound = found["sentences, 90 % of the values within"]
    assert (bound.true, bound.verdict) == ("80 %", verdict)


def test_the_answer_is_that_of_the_files():
    assert verdicts(read(0), truth())["networks"] == YES
    assert verdicts(read(0), truth()._replace(networks=(3, 0)))["networks"] == NO
    assert verdicts(read(0), truth()._replace(rows=99))["networks"] == NO


def test_suspects_are_compared_with_the_wrong_labels():
    found = [one.verdict for one in judge(read(3), truth(cells=frozenset({("y1", 17), ("y1", 5)})), "sentences")]
    assert found == [YES, NO, MISSED]


def test_a_finding_is_right_if_it_names_wrong_columns_only():
    statements = [*read_lines(paragraphs(CHECKED), OF_CHECK)]
    assert [one.kind for one in statements] == ["table", "findings", "finding", "signs seen"]
    signs = {"dy1_dx": True, "dy2_dx": True}
    right = verdicts(statements, truth(columns=frozenset({"dy1_dx"}), signs=signs), "check")
    assert right == {"table": YES, "findings": YES, "columns named": YES, "signs seen": YES}
    wrong = verdicts(statements, truth(columns=frozenset({"y1"}), signs=signs | {"dy2_dx": False}), "check")
    assert wrong == {"table": YES, "findings": YES, "columns named": NO, "signs seen": NO, "wrong column": MISSED}


def test_no_finding_is_false_if_a_column_is_wrong():
    statements = [*read_lines(["No contradiction was found."], OF_CHECK)]
    assert verdicts(statements, truth(), "check") == {"no finding": YES}
    assert verdicts(statements, truth(columns=frozenset({"y1"})), "check")["no finding"] == NO


def test_a_column_that_is_not_checked_must_be_in_the_file():
    text = "A wrong sign might not be seen in these columns, because they explain too little of the differences: "
    statements = [*read_lines([f"{text}dy1_dx.", f"{text}dy2_dx."], OF_CHECK)]
    known = truth(signs={"dy1_dx": False}, parts={"dy1_dx": 0.1})
    assert [one.verdict for one in judge(statements, known, "check")] == [UNCOMPARED, NO]


def test_warnings_are_found_in_the_log():
    texts = "3 s: 9 candidates on 80 rows", "dy1_dx is odd."
    log = "\n".join(f"[2026-01-01 10:00:00,123][HYDRA] {text}" for text in texts)
    statements = [*read_lines(logged(log), OF_LOG)]
    assert verdicts(statements, truth(), "log") == {"round": UNCOMPARED, "columns named": NO}


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_what_they_say(name):
    stated = TABLES[name](np.random.default_rng(3))
    labels = stated.frame[[*stated.exact]]
    differ = (labels != stated.exact) & stated.exact.notna()
    cells = {(str(column), int(row) + 2) for row, column in differ.stack().loc[lambda some: some].index}
    assert {column for column, _ in cells if (column, 2) in cells} == set(stated.columns)
    assert {cell for cell in cells if cell[0] not in stated.columns} == set(stated.cells)
    assert len(stated.new.x) == N_NEW
    assert np.isfinite(np.concatenate([part.ravel() for part in stated.new])).all()
    if name == "few labels":
        assert labels["y2"].notna().sum() == 5
