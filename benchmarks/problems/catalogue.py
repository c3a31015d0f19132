"""The problems of the table, by name. A module of problems ends with its entries, which are added here."""

import basket
import engineering
import hamiltonians
from fresh import FRESH
from functions import FUNCTIONS, entry

CATALOGUE = {
    **{name: entry(one, "test functions", "SMT, https://smt.readthedocs.io") for name, one in FUNCTIONS.items()},
    "kink": entry(FRESH["ridge"], "test functions", "made for its kink along an oblique line"),
    **engineering.ENTRIES,
    **basket.ENTRIES,
    **hamiltonians.ENTRIES,
}
