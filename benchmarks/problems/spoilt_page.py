"""The section of `docs/studies.md` on tables whose derivatives contradict their values."""

from page import figures, markdown

SECTION = """
## Spoilt tables

Does [`runge check`](howto/labels.md) find what is wrong with a table, and is it silent if nothing is? Tables of 80 to
300 rows of a Latin hypercube, with 2 to 8 inputs and 1 to 4 outputs, of the functions above, of others and of the
reactor, on none of which the check was tuned. Half of them have noise of 5 % of the standard deviation of each column.
A mistake is made in a column whose part in the differences of its output is at least a twentieth of the largest one. It
is found if its columns are named, for an outlier with its row, and no other ones. An outlier is off by 3 to 6 standard
deviations of its column.

{spoilt}

`{spoilt_command}`
"""

KINDS = {
    "sign": "wrong sign",
    "factor": "1/2, 2, 2 pi, 1/(2 pi), 1000 or 1/1000 times the derivative",
    "degrees": "degrees instead of radians, or the reverse",
    "transposed": "transposed Jacobian",
    "swapped": "two columns swapped",
    "shifted": "all derivatives shifted by 1 to 3 rows",
    "outlier": "one wrong label",
    "sound": "none: nothing is named",
}


def table() -> str:
    """Return how many mistakes are found, by kind and noise, and the seconds of a large table."""
    rows = figures("spoilt")["rows"]
    cells, first = list[list[str]](), {True: [0, 0], False: [0, 0]}
    for kind, text in KINDS.items():
        some = {row["noise"]: row for row in rows if row["kind"] == kind}
        cells.append([text, *(f"{row['right']} of {row['tables']}" for row in some.values())])
        for row in some.values():
            first[kind == "sound"][0] += row["first"]
            first[kind == "sound"][1] += row["of"]
    (missed,) = (row["tables"] for row in rows if row["kind"] == "missed")
    (seconds,) = (row for row in rows if row["kind"] == "seconds")
    named = sum(row["wrong"] for row in missed if row["kind"] != "sound")
    texts = [
        markdown(["mistake", "without noise", "noise of 5 %"], cells),
        f"The bar was 38 of 40 with at most one false alarm of 20. Of the first repeat, {first[False][0]} of "
        f"{first[False][1]} mistakes are found, and {first[True][0]} of {first[True][1]} sound tables are sound. In "
        f"{named} of the spoilt tables of all repeats a column is named that is not wrong. Single labels are what is "
        "missed; where the function changes quickly, a right one can look wrong.",
        f"A file of 10,000 rows and 10 inputs takes {seconds['processor']:.1f} s of one processor.",
    ]
    return "\n\n".join(texts)
