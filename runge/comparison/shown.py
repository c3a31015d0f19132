"""Limit what the terminal, the report and the picture of a comparison show.

These are estimates of what is read, of what fits a terminal, a page or a slide, and of the sizes that a browser opens.
No error and no rank depends on them. The constants of the tests of leads are in `runge.comparison.lead`.
"""

MOST_KEYS = 4
"""The most differing settings that name a run; if more differ, its overrides name it."""

MOST_NAMES = 8
"""The most names of which a message lists all; of more it lists the three most similar ones."""

MOST_LEADS = 10
"""The most sentences on leads, one for each condition."""

MOST_FITTED = 3
"""The most fitted functions that the title of the report names."""

# The terminal.
MOST_GROUPS = 10
"""The most groups that are listed at once, also by the report, in which the others are a click away."""

MOST_RUNS = 40
"""The most runs that are listed, in addition to all that have not finished."""

MOST_CANDIDATES = 12
"""The most candidates of a search that are listed; the report has all of them."""

WIDE_TERMINAL = 110
"""The width in characters from which on the table of runs has further columns."""

# The page, which has up to 1000 runs with curves.
MOST_WITH_CURVES = 1000
"""The number of runs, from the first on, whose curves are included: no browser opens a page with 100 000."""

MOST_STEPS = 100
"""The most rows of a run's history, each of a logged step."""

MOST_PLACES = 2000
"""The most rows of a run's moved training points, of all steps at which they were saved."""

MOST_POINTS = 201
"""The most points of a run's fit."""

MOST_ERRORS = 8000
"""The most errors of a run's values and partial derivatives at these points."""

MOST_INPUTS = 12
"""The most inputs with their sensitivity, for each output those with the largest indices; the others are folded."""

# The picture.
MOST_DRAWN_GROUPS = 12
"""The most groups that are drawn, each of which takes a line."""

MOST_COLOURED_GROUPS = 6
"""The most groups with a colour, because more are hard to distinguish; the others are grey."""
