"""The limits of Levenberg-Marquardt: sizes, tolerances and numbers of steps, each with its unit and its origin.

No formula gives them. Where no measurement is named, the value is an estimate.
"""

# The damping (`method`).

SMALLEST_DAMPING = 1e-22
"""The smallest mu, whose inverse is the largest, in units of the loss over squared weights."""

SMALLEST_DAMPING_ELIMINATED = 1e-30
"""The same with the last layer eliminated, where most of J is projected away."""

MOST_TRIES = 17
"""The most dampings tried in one step, which the factors 2, 4, 8, ... raise from the smallest to the largest; a member
whose loss none of them reduces is at rest."""

DIFFERENCE = 0.1
"""The t of the central differences along t v that give J v and e'', in units of v."""

READOUT_RANK = 1e-13
"""The least pivot of the last layer, relative to the largest: with a smaller one, u has more noise of round-off."""

# Steps on subsets of the points (`subsets`).

ALL_POINTS_FROM = 0.5
"""The share of a run's steps from which all points are used."""

SUBSET_LEAST_ERRORS = 256
"""The least errors of a subset."""

SUBSET_ERRORS_PER_WEIGHT = 3
"""The errors of the first subset over the weights; with fewer, noise of 5 % is fitted too."""

SUBSET_LEAST_FRACTION = 4
"""The least N over the points of the first subset: with fewer points, all are used from the beginning."""

SUBSET_STEPS = 4
"""The most steps on a subset before fresh points are looked at."""

SUBSET_REDUCTION = 0.7
"""The ratio of the losses on fresh points after and before these steps above which the subset grows."""

# The elimination of the last layer (`elimination`).

RIDGE = 0.3
"""The ridge, in units of the relative error: 1 needs fewer steps, but may fit few points by steep hidden layers."""

SMALLEST_RIDGE = 1e-16
"""The smallest ridge, in the same units, where the loss is 0 and the columns of A may be dependent."""

# Memory and time of the products (`linearised`, `explicit`, `systems`).

PASS_NUMBERS = 2**22
"""The numbers of a member that the pass of a block of points keeps, 32 MB: more take no less time per point."""

PASS_LEAST_ERRORS = 3000
"""The least errors of a block if there are several, so that a system in the space of the errors has one block."""

EXPLICIT_NUMBERS = 2**25
"""The most numbers of a member's Jacobian with second derivatives, 256 MB: 300 points, 70 errors each, 1500 weights."""

JACOBIAN_POINTS = 256
"""The most points of a member's Jacobian that are multiplied at a time."""

JACOBIAN_NUMBERS = 2**22
"""The most numbers of a member's Jacobian that are multiplied at a time, 32 MB."""

SQUARE_COLUMNS = 192
"""The columns of a symmetric product that are computed at a time, from the diagonal down."""

REDUCED_ROWS = 4
"""The rows of an output at a point, 1 + D of them, up to which J is multiplied; `normal_matrix` reduces more to 4."""

SINGLE_PRODUCTS = 1e8
"""The products of a matrix from which 32 bits take less time, some milliseconds in 64 bits."""

LARGEST_FACTORISED = 3000
"""The largest system that is factorised: with 6144 rows a step took 4 s instead of 0.1 to 0.9 s."""

# The deflated conjugate gradients (`deflated`).

FIRST_COLUMNS = 384.0
"""About how many columns F has at first."""

MOST_COLUMNS = 1536.0
"""The most columns that F may have."""

COLUMN_GROWTH = 1.1
"""The factor by which the columns of F grow after a step whose iterations did not suffice."""

MOST_ITERATIONS = 16
"""The most iterations of a solution."""

LEAST_GAIN = 0.01
"""The share of the reduction of the model below which an iteration is the last."""

ROUND_OFF = 1e-14
"""The number added to the diagonal of a matrix that may be singular, relative to its trace."""
