"""The constants of the search: what each number decides, its unit, and where it is from.

No formula gives the numbers by which the search decides. They are estimates, unless their text names a measurement.
`docs/explanation/search.md` names the tables on which they were chosen, and `search_accuracy.md` has the errors on
other ones.
"""

# The folds of a table.

FEW_ROWS = 50
"""The rows below which a table has `MOST_FOLDS` folds, and the networks of the winner leave out each of them."""

MOST_FOLDS = 10
"""The most folds, unless each would have more than `MOST_ROWS_OF_FOLD` rows."""

ROWS_OF_FOLD = 100
"""The rows that a fold has, if the number of folds is neither the least nor the most."""

MOST_ROWS_OF_FOLD = 1000
"""The rows of a fold above which there are more than `MOST_FOLDS` folds."""

ROWS_OF_SINGLE_JUDGE = 60
"""The rows of a fold from which on one fold judges the candidates. With five folds and 400 rows, one judge instead of
two reduced the errors on piston, exp_sum and Ishigami by a factor of about 2.
"""

JUDGES = 2
"""The folds that judge candidates, if one has too few rows."""

JUDGES_OF_FEW_ROWS = 4
"""The folds that judge candidates, if there are fewer than `FEW_ROWS` rows."""

CROSSED_FOLDS = 5
"""The folds that networks of the winner leave out, to calibrate intervals and to question labels, unless there are few
rows.
"""

# The comparisons of candidates.

DECADES = 1.5
"""The decades that an input spans above which candidates see its logarithm at first, unless the input itself is spread
more evenly: an estimate.
"""

COMPARISON_SHARE = 0.4
"""The share of the time, from the first trial on, after which the comparisons end. With it instead of 0.55, and a
shorter time for the report, the errors on five tables of 400 to 5000 rows fell by 20 % in the geometric mean.
"""

PROMOTION_RATIO = 2.5
"""The candidates of a comparison over those of the next one. It was 2 before: on the 27 problems of the page, two of
five instead of half, with `CLOSE_FACTOR`, gave 0.98 times the errors.
"""

LEAST_LABELS = 1000
"""The fewest labels on which a candidate begins, if there are more; otherwise as many as it has weights."""

LEAST_ROWS_OF_INPUT = 10
"""The fewest rows for each input on which a candidate begins, if there are more."""

LEAST_ROW_GROWTH = 1.5
"""The least factor by which the rows of a candidate grow: an estimate."""

MOST_ROW_GROWTH = 8.0
"""The largest factor by which they grow from one trial to the next: an estimate."""

LOOK_AHEAD = 3.0
"""The multiple of its time for which a falling error is extrapolated when candidates are compared: an estimate."""

LEAST_SLOPE = 0.5
"""The power of time by which an error falls below which a run is continued on more rows. On 5000 rows of the robot
arm, 200 steps on 90 rows and 50 on more of them gave a third of the error of 250 steps on more and more rows.
"""

GROWING_SHARE = 0.3
"""The last share of the time in which a run has more rows also if its error falls: an estimate."""

MOST_SLOPE = 2.0
"""The largest power of time by which an error is expected to fall: an estimate, because the first steps reduce it by
more.
"""

UNKNOWN_SLOPE = 1.0
"""The same power for an error that is only known once, because steps are slow: an estimate. With 0, the best candidate
for 5000 rows of a robot arm was dropped after a single step.
"""

FEW_STEPS = 32
"""The steps up to which a candidate with slow steps stays in the comparisons, if its error has halved since half of its
time: an estimate. On 600 rows of a cart with a pole, the best candidate had an error of 0.2 after its first 8 steps.
"""

AS_GOOD_FACTOR = 1.25
"""The ratio of two errors up to which the candidates are equally good on the rows of one fold."""

RIVAL_FACTOR = 2.0
"""The ratio of two extrapolated errors up to which both candidates continue. With 1.25, calls on the epidemic of
`benchmarks/search/simulators.py` had errors of 0.0084 and 0.027. With 2 after the comparisons alone, five of seven had
0.0077 to 0.010, and the others 0.028 and 0.031; with 2 in the comparisons, too, five of five had 0.0072 to 0.0083.
"""

LEAST_FALL = 0.9
"""The factor by which the error of the best candidate is expected to fall, at least, so that it continues before larger
networks are trained: an estimate.
"""

CONTENDER_CHANCE = 0.05
"""The share of the resamples of the rows that judge which choose a candidate, from which on it may be the best one: an
estimate.
"""

RESTARTS = 8
"""The most further seeds of the best candidate, with any number of processes."""

SAME_MINIMUM_FACTOR = 2.0
"""The ratio of the errors of two seeds up to which they are said to have found the same minimum. On the 100 rows of OTL
the errors with further seeds were 1.9e-5 and 1.2e-4 instead of 1.4e-4 and 5.0e-4.
"""

# Shares of the time limit, and times in seconds.

REPORT_SECONDS = 5.0
"""The most seconds for the leaderboard and the report, which took 2.4 s on 3000 rows of 9 inputs and 6 outputs."""

REPORT_SHARE = 0.13
"""The largest share of the time for the leaderboard and the report."""

TRIED_SHARE = 0.05
"""The share of the time for each of two fits, with derivatives that seem to contradict the values, and without them."""

TRIED_ROWS = 500
"""The rows of these fits, if there are more than twice as many: an estimate."""

WINNER_STEPS_SHARE = 0.86
"""The share of the time after which the steps of a winner on some of the rows end, and those on all rows begin."""

REDRAWN_SHARE = 0.25
"""The largest share of the time for the networks of a winner with newly drawn weights. Chosen on the 5000 rows of the
robot arm, where the search waited 29 s of 60 for one network.
"""

QUESTIONING_SHARE = 0.12
"""The largest share of the time for the runs that only question labels."""

QUESTIONING_SET_UPS = 4.0
"""The time of the runs that only question labels, over their set-up. On five tables the winner, which has the rest of
the time, had 0.83 times the errors that it has if these runs always have `QUESTIONING_SHARE` (geometric mean, 60 s,
one seed).
"""

LEAST_SLICE_SECONDS = 4.0
"""The seconds between decisions on what is trained, at least; a candidate may have more rows only then."""

LEAST_RUN_SECONDS = 0.3
"""The seconds of training that a run has, at least."""

LEAST_SET_UPS = 2
"""The time of a run over its set-up below which it is not begun."""

SET_UP_SECONDS = 0.2
"""The seconds of a run besides its training and the set-up that it measures."""

PATIENCE_FACTOR = 3.0
"""How long a trial is waited for, over the time that it has."""

PATIENCE_SECONDS = 10.0
"""The seconds that a trial is waited for in addition."""

# The steps of a run.

SLOWNESS_AT_FIRST = 1.5
"""The time of a step over what `Member.work` expects, until a run has measured it."""

FEWEST_GRADIENT_STEPS = 50
"""The steps of a run by the gradient, at least."""

SCHEDULE_SHARE = 0.8
"""The share of the steps that are expected to fit into the time of a run by the gradient: its learning rate falls
until the last one, which the run should reach.
"""

LEAST_STEPS_ON_ALL_ROWS = 8
"""The steps for which there must be time, so that a winner continues on all rows, or a trial on more than before."""

STEPS_ON_ALL_ROWS = 10
"""The steps on all rows of a network of the answer, after which its loss is looked at."""

STEPS_GROWTH = 4
"""The further steps that it has then, over the ones before."""

LEAST_STEPS_ON_MORE_ROWS = 16
"""The steps for which there must be time as the rows of a run grow."""

FEW_SLOPES, SLOPES_FACTOR = 3, 1.5
"""The slopes that wider fixed neurons try, from the best one of fewer neurons up to this multiple of it. For
sin(2x) exp(y/2) cos(z + x), 2800 neurons reached relative errors of 2.5e-14 for the value and 1.3e-13 for the
derivative in 45 s. With all slopes again there is no time for so many.
"""

WIDER_COST = 4.0
"""The time of a fit of fixed neurons of twice the width, over that of the width: the products grow with its square."""

THREADS_POWER = 0.5
"""The power of the threads with which long steps become faster: two took 0.7 times the time of one, in steps of
Levenberg-Marquardt of 64 neurons on 4500 rows of nine inputs and three outputs.
"""

SHARED_STEP_SECONDS = 0.005
"""The time of a step of one thread from which on others can share it: with shorter ones they wait for each other."""

OWN_PROCESSOR_SHARE = 0.8
"""The share of its time in which a trial has a processor up to which other programs use them, too. It was at least 0.93
on two free processors, and 0.5 beside two other programs. There, steps of two threads took ten times as long as those
of one, and on 4800 rows of the robot arm the errors were 8.9e-4 and 1.6e-3 instead of 2.9e-4 and 4.0e-4.
"""

JUDGING_TIME = 2.0
"""The time of a network that judges a candidate on a further fold, over that of its others: an estimate."""

TIME_MARGIN = 1.3
"""The factor of the expected time of a network of all rows."""

# What the result of a run means.

USED_TIME_SHARE = 0.95
"""The share of its time from which on a run has taken all of it, because it begins a little before its first step."""

LACKS_ROWS_RATIO = 1.5
"""The ratio of the losses on rows left out and on training rows above which rows are lacking. Where steps are lacking,
it is about 1.
"""

OVERFITTING_POWER = 0.4
"""The power of the training loss by which the held-out loss falls at least; if it falls less, more rows help, and not
more steps. On 90 to 150 rows of the robot arm and of OTL it was 0.42 to 0.9, although the held-out error was up to 12
times the training error. On 108 rows of the cluster and 170 of the cart and pole it was 0.36 and 0.33 after 16 steps,
and 0.1 after 24.
"""

MANY_FOLDS = 20
"""The number of folds above which a winner need not be trained on all rows, because a fold has so few of them."""

WORSE_FACTOR = 3.0
"""The training loss of a network, over that of the best one, up to which both are in the same answer."""

SMALL_LOSS_SHARE = 0.3
"""The training loss of a network, over its error in rows left out, up to which a larger loss makes it no worse. With 0
instead, the fit of a function with a kink was judged by one of two networks, whose error of 6e-6 was 200 times too
small.
"""

DISAGREEMENT_FACTOR = 3.0
"""The difference of two networks between the rows, over the judged error, up to which a network of all rows is in the
answer: an estimate. It would be sqrt(2) for independent errors of the judged size. On inputs over ten decades, a
network of all rows had an error of 6e3 standard deviations, and the judged networks of 0.3.
"""

RECOMBINED_POINTS = 1000
"""The points that combine the inputs of different rows, at which networks are compared: an estimate."""

RESAMPLES = 200
"""The resamples of rows by which the errors of a winner are corrected for its selection: each row is in none of about
70 of them.
"""

LOSS_ROUND_OFF = 1e-12
"""The root of a loss, and the error over the standard deviation, below which two networks do not differ."""

MOST_SCATTER = 0.1
"""The largest scatter of labels about a multiple of the derivative of a fit, relative to that: the fit explains 99 % of
their mean square.
"""

# What is shown and said of the candidates and the answer. No decision depends on these numbers.

NAMED_LABELS = 3
"""The suspicious labels that a sentence of a few lines names, at most."""

MANY_DECADES = 3.0
"""The decades that an input spans above which the errors of a bad fit are not stated, unless it sees the logarithm."""

BAD_ERROR = 0.1
"""The error of a bad fit: with inputs over many decades, a network of all rows may be much worse between the rows than
those of the folds.
"""

ANSWER_GAIN = 3.0
"""The factor by which the error of an answer may be below the interval of that of networks that lack a fold: it has
more rows, and is their mean. Chosen on seeds 0 and 1 of the tables of `docs/reliability.md`, which has it on others.
"""

WIDE_FACTOR = 5.0
"""The factor of an error above which its interval is so wide that it means nothing, and is not stated."""

PROFILED_COLUMNS = 12
"""The most inputs, and the most outputs, that have profiles on the page."""

PROFILED_ROWS = 200
"""The most rows that are drawn into a profile."""

PROFILE_NUMBERS = 6000
"""About the numbers of all profiles, or of their Jacobians if these are more; a profile has 21 to 201 points."""
