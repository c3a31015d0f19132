"""Single mistakes in tables with right derivatives, and what `runge check` says of them."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from runge.interface.label_check import Check

MISTAKES = "wrong sign", "factor 1.1", "factor 57.3", "swapped", "shifted by one row", "half"
FACTORS = {"wrong sign": -1.0, "factor 1.1": 1.1, "factor 57.3": 57.3, "half": 0.5}


def corrupted(frame: pd.DataFrame, number: int) -> tuple[pd.DataFrame, str, set[str]]:
    """Return a table with the mistake of its number, the mistake, and the wrong columns.

    Of the K derivatives that vary, the column number mod K is wrong. It may be swapped with the next one. If there is
    none, it has the mistake of the next number.
    """
    varying = [name for name in map(str, frame) if "_d" in name and len(frame[name].unique()) > 1]
    mistake, column = MISTAKES[number % len(MISTAKES)], varying[number % len(varying)]
    if mistake == "swapped" and len(varying) == 1:
        mistake = MISTAKES[(number + 1) % len(MISTAKES)]
    wrong = {str(column): frame[column] * FACTORS.get(mistake, 1.0)}
    if mistake == "swapped":
        other = varying[(number + 1) % len(varying)]
        wrong = {str(column): frame[other], str(other): frame[column]}
    elif mistake == "shifted by one row":
        wrong = {str(column): pd.Series(np.roll(frame[column], 1))}
    return frame.assign(**wrong), mistake, {*wrong}


def answer(sound: Check, found: Check, wrong: set[str]) -> str:
    """Return what a check says of a mistake, other than what it said without it: the wrong columns, or others."""
    before = {(one.what, one.columns) for one in sound.findings}
    accused = {name for one in found.findings if (one.what, one.columns) not in before for name in one.columns}
    if not accused:
        return "nothing"
    return "the wrong columns" if accused == wrong else "others too" if accused & wrong else "only others"


def facts_of(sound: Check, found: Check, mistake: str, wrong: set[str]) -> dict[str, str]:
    """Return what a check says of a table as it is, and with a mistake in some columns."""
    return {
        "said": said(sound),
        "mistake": mistake,
        "wrong": " ".join(sorted(wrong)),
        "visible": "yes" if wrong <= {*sound.report.seen} else "no",
        "answer": answer(sound, found, wrong),
        "said of the mistake": said(found),
    }


def said(checked: Check) -> str:
    return " ".join(one.what for one in checked.findings)


def rate(count: int, of: int) -> str:
    """Return a share with the upper end of its one-sided 95 % interval (Clopper, Pearson)."""
    return f"{count} of {of}, at most {100 * binomtest(count, of).proportion_ci(0.9).high:.0f} %"
