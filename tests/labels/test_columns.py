import numpy as np
import pytest

from runge.labels.columns import check_columns
from runge.labels.differences import Labels
from runge.labels.mistakes import of_output
from runge.labels.pairs import Pairs, corrected, left_by_neighbours
from runge.labels.twins import check_twins


def table(seed, dimension, rows, steepness=1.0, outputs=1, least=0.05):
    """Rows of random functions, their values and their Jacobian."""
    random = np.random.default_rng([seed, dimension, rows])
    x, y = random.uniform(-1, 1, (rows, dimension)), np.zeros((rows, outputs))
    dydx, matters = np.zeros((rows, outputs, dimension)), 2 * steepness * random.uniform(least, 1, dimension)
    for p in range(outputs):
        a, phase = random.normal(size=(6, dimension)) / np.sqrt(dimension) * matters, random.uniform(0, 6, 6)
        height = random.normal(size=6)
        if seed % 2:
            y[:, p], dydx[:, p] = np.sin(x @ a.T + phase) @ height, (np.cos(x @ a.T + phase) * height) @ a
        else:
            y[:, p], dydx[:, p] = np.exp(x @ a[0]) + x @ a[1], np.exp(x @ a[0])[:, None] * a[0] + a[1]
    return random, x, y, dydx


@pytest.mark.parametrize(("dimension", "rows", "seeds"), [(1, 20, 6), (2, 1000, 2), (4, 100, 6), (8, 300, 2)])
@pytest.mark.parametrize("kind", ["rough", "noisy", "noisy slopes", "outliers", "partly known"])
def test_correct_labels_are_not_wrong(kind, dimension, rows, seeds):
    for seed in range(seeds):
        random, x, y, dydx = table(seed, dimension, rows, 5.0 if kind == "rough" else 1.0)
        if kind == "noisy":
            y = y + 0.2 * y.std() * random.normal(size=y.shape)
        if kind == "noisy slopes":
            dydx = dydx + 0.2 * dydx.std(0) * random.normal(size=dydx.shape)
        if kind == "outliers":
            y = y + 5 * y.std() * (random.random(y.shape) < 0.05)
        if kind == "partly known":
            y, dydx = (np.where(random.random(part.shape) < 0.1, np.nan, part) for part in (y, dydx))
        assert check_columns(x, y, dydx).mistakes == []


MOVED = {  # the places where the right labels are, of columns (p, d)
    "swapped": {(1, 0): (1, 2), (1, 2): (1, 0)},
    "swapped all outputs": {(p, d): (1 - p, d) for p in range(2) for d in range(3)},
    "swapped all inputs": {(p, d): (p, 2 - d) for p in range(2) for d in (0, 2)},
    "swapped outputs": {(0, 1): (1, 1), (1, 1): (0, 1)},
    "transposed": {(0, 1): (1, 0), (1, 0): (0, 1)},
    "transposed order": {(0, 1): (0, 2), (0, 2): (1, 1), (1, 0): (0, 1), (1, 1): (1, 0)},
}
SHIFTED = {"one shifted": [(0, 2)], "shifted": [(p, d) for p in range(2) for d in range(3)]}


def spoil(kind, y, dydx):
    """Labels with a mistake, its kind, and the sources of the wrong columns, as (place, factor, shift)."""
    right, y, dydx = dydx, y.copy(), dydx.copy()
    if isinstance(kind, float):
        dydx[:, 0, 1] /= kind
        return y, dydx, "factor", {(0, 1): ((0, 1), pytest.approx(kind, rel=0.1), 0)}
    if kind in MOVED:
        for place, source in MOVED[kind].items():
            dydx[:, *source] = right[:, *place]
        return y, dydx, kind.split()[0], {place: (source, 1, 0) for place, source in MOVED[kind].items()}
    if kind == "values shifted":
        y[:, 0] = np.roll(y[:, 0], -1)
        return y, dydx, "shifted", {(0, None): ((0, None), 1, -1)}
    for place in SHIFTED[kind]:
        dydx[:, *place] = np.roll(dydx[:, *place], 2)
    return y, dydx, "shifted", {place: (place, 1, 2) for place in SHIFTED[kind]}


@pytest.mark.parametrize(("noise", "seed"), [(0, 1), (0.05, 5)])
@pytest.mark.parametrize(
    "kind", [-1.0, 0.5, 2.0, 2 * np.pi, np.pi / 180, -1000.0, *MOVED, *SHIFTED, "values shifted"], ids=str
)
def test_mistakes_are_found_and_undone(kind, noise, seed):
    random, x, y, dydx = table(seed, 3, 200, outputs=2, least=0.6)
    y, dydx = (part + noise * part.std(0) * random.normal(size=part.shape) for part in (y, dydx))
    bad_y, bad_dydx, expected, sources = spoil(kind, y, dydx)
    (mistake,) = check_columns(x, bad_y, bad_dydx).mistakes
    assert (mistake.kind, mistake.sources) == (expected, sources)
    assert mistake.after < mistake.before
    assert check_columns(x, *corrected(bad_y, bad_dydx, mistake.sources)).mistakes == []


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_units_that_a_scaler_has_changed_are_found(dimension):
    for seed in range(2):
        _, x, y, dydx = table(seed, dimension, 300)
        for scale in (x.std(0), np.ptp(x, axis=0), np.full(dimension, 100.0)):
            assert {one.kind for one in check_columns(x / scale, y, dydx).mistakes} == {"factor"}
        assert check_columns(x / scale, y, dydx * scale).mistakes == []


def test_a_column_without_a_usual_mistake():
    _, x, y, dydx = table(2, 3, 200, least=0.6)
    dydx[:, 0, 1] = 0
    (mistake,) = check_columns(x, y, dydx).mistakes
    assert (mistake.kind, [*mistake.sources]) == ("unrelated", [(0, 1)])


def waves(x):
    """Values and derivatives of a function of two inputs."""
    size, angle = np.exp(x[:, [0]]), 2 * x[:, [1]]
    return size * np.sin(angle) + 3, np.stack([size * np.sin(angle), 2 * size * np.cos(angle)], axis=2)


USELESS = {
    "zeros": lambda y, dydx: 0 * dydx,
    "random": lambda y, dydx: np.random.default_rng(0).normal(size=dydx.shape),
    "reversed": lambda y, dydx: dydx[::-1],
    "half with the wrong sign": lambda y, dydx: np.where(np.arange(len(y))[:, None, None] < len(y) / 2, dydx, -dydx),
    "absolute values": lambda y, dydx: abs(dydx),
    "of log y": lambda y, dydx: dydx / y[:, :, None],
    "rolled": lambda y, dydx: np.roll(dydx, 7, axis=0),
}


@pytest.mark.parametrize("kind", USELESS)
def test_derivatives_that_explain_nothing(kind):
    for seed, known in enumerate((1, 0.85)):
        random = np.random.default_rng(seed)
        x = random.uniform(-1, 1, (150, 2))
        y, dydx = waves(x)
        other = np.stack([2 * x[:, [0]], 0 * x[:, [0]]], axis=2)
        labels = np.c_[y, x[:, 0] ** 2], np.concatenate([USELESS[kind](y, dydx), other], axis=1)
        verdict = check_columns(x, *(np.where(random.random(part.shape) < known, part, np.nan) for part in labels))
        (mistake,) = verdict.mistakes
        if kind == "absolute values":  # one of the columns has hardly any negative labels
            assert (mistake.kind, {*mistake.sources}) == ("unrelated", {(0, 0)})
            continue
        assert (mistake.kind, {*mistake.sources}) == ("useless", {(0, 0), (0, 1)})
        assert mistake.before > 0.4 > mistake.after
        assert verdict.unseen == [(1, 1)]


def test_useless_derivatives_of_many_rows_are_found_by_a_sample():
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (5000, 2))
    y, dydx = waves(x)
    assert not check_columns(x, y, dydx).mistakes
    (mistake,) = check_columns(x, y, random.permutation(dydx)).mistakes
    assert mistake.kind == "useless"


def test_planes_are_compared_without_the_row_that_they_explain():
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (13, 2))
    x = np.concatenate([x, x[:3]])  # repeated rows do not count
    y, dydx = waves(x)
    by_slopes, by_values, whole = left_by_neighbours(x, y[:, 0], dydx[:, 0])
    level = left_by_neighbours(np.c_[x, np.ones(16)], y[:, 0], np.c_[dydx[:, 0], np.zeros(16)])
    np.testing.assert_allclose(level, (by_slopes, by_values, whole))  # rows on the same level are compared
    x, y, dydx = x[:13], y[:13, 0], dydx[:13, 0]
    for a in range(13):
        others = np.delete(np.arange(13), a)
        step, difference = x[others] - x[a], y[others] - y[a]
        planes = [np.linalg.lstsq(np.delete(step, i, 0), np.delete(difference, i), rcond=None)[0] for i in range(12)]
        of_slopes = ((dydx[a] + dydx[others]) / 2 * step).sum(1)
        assert by_slopes[a] == pytest.approx(abs(difference - of_slopes).mean())
        assert by_values[a] == pytest.approx(abs(difference - (step * planes).sum(1)).mean())
        assert whole[a] == pytest.approx(abs(difference).mean())


def tanh(x, slope):
    value = np.tanh(x @ slope)
    return value, (1 - value**2)[:, None] * slope


HONEST = {
    "hinge": lambda x: (np.maximum(x[:, 0], 0.2) + x[:, 1], np.stack([x[:, 0] > 0.2, 1 + 0 * x[:, 1]], 1)),
    "valley": lambda x: (abs(x[:, 0] - x[:, 1]), np.sign(x[:, [0]] - x[:, [1]]) * [1, -1]),
    "front": lambda x: tanh(x, np.array([25, -7])),
    "step": lambda x: (2.0 * (x[:, 0] > 0) + 0.3 * x[:, 1], 0 * x + [0, 0.3]),
    "flag": lambda x: (1.0 * (x[:, 0] > 0), 0 * x),
    "plateaus": lambda x: (np.floor(15 * x[:, 0]), 0 * x),
    "spike": lambda x: (np.exp(-99 * (x**2).sum(1)), -198 * x * np.exp(-99 * (x**2).sum(1))[:, None]),
    "undersampled": lambda x: (np.sin(x @ [40, 30]), np.cos(x @ [40, 30])[:, None] * [40, 30]),
    "two levels": lambda x: (5.0 * x[:, 1] + np.sin(x[:, 0]), np.stack([np.cos(x[:, 0]), 0 * x[:, 1]], 1)),
}


@pytest.mark.parametrize("kind", HONEST)
def test_right_derivatives_of_functions_that_are_hard_to_follow(kind):
    for seed in range(5):
        x = np.random.default_rng(seed).uniform(-1, 1, (120, 2))
        if kind == "two levels":
            x[:, 1] = x[:, 1] > 0
        y, dydx = HONEST[kind](x)
        used = {"flag": [1, 2], "plateaus": [1]}.get(kind, [2])
        for dimension in used:
            assert check_columns(x[:, :dimension], y[:, None], dydx[:, None, :dimension]).mistakes == []


def test_right_derivatives_with_noise_do_explain_something():
    for seed in range(5):
        random = np.random.default_rng(seed)
        x = random.uniform(-1, 1, (150, 2))
        y, dydx = waves(x)
        dydx += 0.5 * dydx.std(axis=0) * random.normal(size=dydx.shape)
        assert check_columns(x, y, dydx).mistakes == []


@pytest.mark.parametrize("frequency", [2, 2.5, 3.2, 3.5, 4.06, 4.5, 5, 6, 8, 13])
def test_a_function_that_oscillates_between_the_levels_of_an_input(frequency):
    for seed in range(3):
        random = np.random.default_rng(seed)
        levels = random.permutation(np.resize(np.arange(6.0), 150))
        for x in (np.c_[levels, random.uniform(-1, 1, 150)], np.c_[levels, random.permutation(levels)]):
            slope = -frequency * np.sin(frequency * x[:, 0])
            y, dydx = np.cos(frequency * x[:, 0]) + x[:, 1], np.c_[slope, 1 + 0 * slope]
            assert check_columns(x, y[:, None], dydx[:, None]).mistakes == []


def test_a_sign_that_is_said_to_be_seen_is_seen_also_on_a_coarse_grid():
    axis = np.linspace(-1, 1, 6)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for steepness in (0.5, 1.0, 1.5, 2.0, 3.0):
        y, dydx = np.sin(steepness * x.sum(1)), np.repeat(steepness * np.cos(steepness * x.sum(1))[:, None], 2, axis=1)
        for d in range(2):
            flipped = dydx * np.where(np.arange(2) == d, -1, 1)
            found = check_columns(x, y[:, None], flipped[:, None]).mistakes
            seen = check_columns(x, y[:, None], dydx[:, None]).seen
            assert found or (0, d) not in seen


@pytest.mark.parametrize("kind", ["swapped", -1.0, 0.001, 2.0])
def test_mistakes_in_a_grid_are_found(kind):
    axis = np.linspace(-1, 1, 11)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    y, dydx = waves(x)
    bad = dydx[:, :, ::-1] if kind == "swapped" else dydx / kind
    (mistake,) = check_columns(x, y, bad).mistakes
    assert (mistake.kind, {*mistake.sources}) == ("swapped" if kind == "swapped" else "factor", {(0, 0), (0, 1)})


def test_rows_with_empty_cells_are_compared():
    random, x, y, dydx = table(1, 6, 150, least=0.6)
    dydx[np.arange(150), 0, random.integers(0, 6, 150)] = np.nan  # in each row
    verdict = check_columns(x, y, dydx)
    assert (verdict.mistakes, verdict.rows) == ([], {0: 150})
    (mistake,) = check_columns(x, y, np.where(np.arange(6) == 2, -dydx, dydx)).mistakes
    assert {place: source.factor for place, source in mistake.sources.items()} == {(0, 2): -1}
    swapped = dydx[:, :, [1, 0, 2, 3, 4, 5]]
    (mistake,) = check_columns(x, y, swapped).mistakes
    assert mistake.kind == "swapped"
    np.testing.assert_array_equal(corrected(y, swapped, mistake.sources)[1], dydx)


def test_the_simplest_of_several_explanations_is_taken():
    x = np.random.default_rng(0).random((200, 3))
    y = np.exp(x[:, [0]] - x[:, [1]]) + 1e-3 * x[:, [2]]
    dydx = np.stack([y - 1e-3 * x[:, [2]], 1e-3 * x[:, [2]] - y, np.full((200, 1), 1e-3)], axis=2)
    (swapped,) = check_columns(x, y, dydx[:, :, [1, 0, 2]]).mistakes
    assert (swapped.kind, {*swapped.sources}) == ("swapped", {(0, 0), (0, 1)})  # and not both signs
    (sign,) = check_columns(x, y, dydx * [[[-1, -1, 1]]]).mistakes
    assert (sign.kind, {*sign.sources}) == ("swapped", {(0, 0), (0, 1)})  # which is the same
    (sign,) = check_columns(x[:, [0, 2]], np.exp(x[:, [0]]), np.stack([-np.exp(x[:, [0]]), 0 * y], axis=2)).mistakes
    assert {*sign.sources} == {(0, 0)}  # and not that by an input that does not matter


def test_an_input_that_does_not_matter_says_nothing():
    _, x, y, dydx = table(1, 2, 200)
    x = np.c_[x, np.random.default_rng(0).random(200)]
    y, dydx = y + 1e-6 * x[:, 2:], np.concatenate([dydx, np.full((200, 1, 1), -1e-6)], axis=2)
    assert check_columns(x, y, dydx)[:4] == ([], [(0, 0), (0, 1)], [(0, 2)], {0: 200})


SILENT = {
    "few": lambda x, y, dydx: (x[:19], y[:19], dydx[:19]),
    "unknown": lambda x, y, dydx: (x, y, dydx * np.nan),
    "two levels": lambda x, y, dydx: (np.sign(x), y, dydx),
    "same inputs": lambda x, y, dydx: (0 * x, y, dydx),
}


@pytest.mark.parametrize("kind", SILENT)
def test_labels_that_say_nothing(kind):
    assert check_columns(*SILENT[kind](*table(1, 3, 300)[1:])) == ([], [], [], {}, {}, {})


def test_outputs_that_are_known_in_other_rows():
    _, x, y, dydx = table(1, 2, 200, outputs=3)
    dydx[:, 2, 0] *= -1
    y[:100, 1], y[100:, 2], y[:, 0] = np.nan, np.nan, np.nan
    verdict = check_columns(x, y, dydx)
    assert [one.sources for one in verdict.mistakes] == [{(2, 0): ((2, 0), pytest.approx(-1, rel=0.1), 0)}]
    assert {p for p, _ in [*verdict.seen, *verdict.unseen]} == {1, 2}


def test_the_possible_mistakes_grow_with_the_number_of_inputs_and_not_its_square():
    tables = [table(1, dimension, 30)[1:] for dimension in (30, 60)]
    few, many = (len([*of_output(Labels({0: Pairs.of(x, y[:, 0], dydx[:, 0])}, y, dydx), 0)]) for x, y, dydx in tables)
    assert many < 2.2 * few


def test_rows_with_the_same_inputs_have_the_same_labels_up_to_noise():
    random, x, y, dydx = table(1, 2, 100)
    assert check_twins(x, y, dydx) == []
    x, y, dydx = (np.concatenate([part, part[:8]]) for part in (x, y + 0.05 * random.normal(size=y.shape), dydx))
    noisy = y + 0.05 * y.std() * random.normal(size=y.shape)
    assert check_twins(x, noisy, dydx) == []
    noisy[101] += 3 * y.std()
    (twin,) = check_twins(x, noisy, dydx)
    assert (twin.place, twin.rows) == ((0, None), (1, 101))
    assert twin.labels == (noisy[1, 0], noisy[101, 0])
    assert check_twins(x[:102], noisy[:102], dydx[:102]) == [twin._replace(deviation=noisy[:102].std())]
    assert check_twins(x[:102], y[:102] + 0.3 * y.std() * np.eye(102)[:, 101:], dydx[:102]) == []
    x[2] = x[1]
    y[2], dydx[2] = y[1], dydx[1]
    noisy[1] = np.nan  # of three equal rows the first one says nothing
    assert [twin.rows for twin in check_twins(x, noisy, dydx) if twin.rows[1] == 101] == [(2, 101)]
    dydx[104, 0, 1] += 0.5 * dydx[:, 0, 1].std()  # the others are equal
    assert [twin.place for twin in check_twins(x, y, dydx)] == [(0, 1)]


@pytest.mark.parametrize(
    ("step", "differences", "count"),
    [
        (10, [1, 1, 1, 1, 11.8], 0),  # 8 * 1.4826 = 11.86 times the median
        (10, [1, 1, 1, 1, 11.9], 1),
        (0, [1, 1, 1, 9], 1),  # too few for a median: more than a standard deviation
        (10, [0, 0, 0, 0, 0.4], 0),  # 0.03 standard deviations are 0.42
        (10, [0, 0, 0, 0, 0.45], 1),
        (0, [1, 1, 1, 1, 1], 5),  # more than 0.1 standard deviations: none is noise
    ],
)
def test_limits_of_different_labels(step, differences, count):
    x = np.repeat(np.arange(float(len(differences))), 2)[:, None]
    y = step * x
    y[1::2, 0] += differences
    assert len(check_twins(x, y, np.zeros((len(x), 1, 1)))) == count


def test_the_errors_of_near_rows_are_the_yardstick_of_equal_inputs():
    _, x, y, dydx = table(1, 2, 120)
    for copies, change in ((1, 0.3), (20, 0.3), (120, 1.0)):
        twice = [np.concatenate([part, part[:copies]]) for part in (x, y, dydx)]
        twice[1][120:] += change * y.std()
        noise = check_columns(*twice).deviation
        assert len(check_twins(*twice, noise)) == copies


def arm(rows):
    """Exact torques of an arm with two joints by its angles, rates and accelerations, with their Jacobian."""
    random = np.random.default_rng(0)
    x = random.uniform(-3, 3, (rows, 6))

    def torques(x):
        _, b, u, v, a, c = x.T
        g, h = np.cos(b), np.sin(b)
        first = (3 + 2 * g) * a + (1 + g) * c - h * v * (2 * u + v) + 9.81 * (2 * np.cos(x[:, 0]) + np.cos(x[:, 0] + b))
        return np.c_[first, (1 + g) * a + c + h * u**2 + 9.81 * np.cos(x[:, 0] + b)]

    step = 1e-30j * np.eye(6)
    return x, torques(x), np.stack([torques(x + step[d]).imag / 1e-30 for d in range(6)], axis=2)


def test_right_labels_of_a_robot_are_not_accused():
    for rows in (60, 150, 500):
        x, y, dydx = arm(rows)
        assert check_columns(x, y, dydx).mistakes == []
        assert check_columns(x, y, np.where(np.arange(6) == 4, np.nan, dydx)).mistakes == []


@pytest.mark.parametrize("factor", [-1, 0, 1000, 0.001])
def test_a_column_is_checked_beside_an_input_without_derivatives(factor):
    _, x, y, dydx = table(1, 4, 200, outputs=2, least=0.6)
    y[::2, 0] = np.nan
    dydx[:, :, 3] = np.nan
    assert check_columns(x, y, dydx).mistakes == []
    assert check_columns(x, y, dydx).rows == {0: 100, 1: 200}
    dydx[:, 1, 0] *= factor
    (mistake,) = check_columns(x, y, dydx).mistakes
    assert {*mistake.sources} == {(1, 0)}


@pytest.mark.parametrize("kind", ["zeros", "shuffled", "third"])
def test_a_column_that_follows_no_usual_rule_is_found_where_its_sign_is(kind):
    random, x, y, dydx = table(1, 2, 120, least=0.6)
    column = dydx[:, 0, 1]
    column[:] = {
        "zeros": 0 * column,
        "shuffled": random.permutation(column),
        "third": np.where(np.arange(120) < 40, -column, column),
    }[kind]
    (mistake,) = check_columns(x, y, dydx).mistakes
    assert (mistake.kind, {*mistake.sources}) == ("unrelated", {(0, 1)})
    assert mistake.error > 0.6


def test_a_shift_by_more_than_three_rows_is_not_called_a_smaller_one():
    x = np.c_[np.linspace(-2, 2, 120), np.random.default_rng(0).uniform(-2, 2, 120)]
    size = np.exp(0.3 * x[:, 1])
    y = (np.sin(2 * x[:, 0]) * size)[:, None]
    dydx = np.stack([2 * np.cos(2 * x[:, 0]) * size, 0.3 * y[:, 0]], axis=1)[:, None]
    for shift, kinds in ((2, ["shifted"]), (4, [])):
        wrong = np.where(np.arange(2) == 0, np.roll(dydx, shift, axis=0), dydx)
        assert [mistake.kind for mistake in check_columns(x, y, wrong).mistakes] == kinds


def test_noise_has_no_factor():
    for seed in range(4):
        random, x, y, dydx = table(seed, 3, 150, least=0.6)
        noisy = dydx + 20 * dydx.std() * random.normal(size=dydx.shape)
        verdict = check_columns(x, y, noisy)
        assert all(mistake.kind == "useless" for mistake in verdict.mistakes)
        assert verdict.seen == []
