import ast
import shlex

import numpy as np
import pandas as pd
import pytest

from runge.commands.check import main
from runge.configuration.errors import ConfigurationError
from runge.data.column_roles import of_columns
from runge.data.table import Table
from runge.interface.label_check import check
from runge.labels.contradictions import ColumnNames, contradictions


def beam(n=120):
    """Deflection and stress of a beam by its load, length in m and angle, with their derivatives."""
    load, length, angle = np.random.default_rng(0).uniform([[1], [1], [0]], [[3], [2], [1]], (3, n))
    frame = pd.DataFrame({"load": load, "length": length, "angle": angle})
    cos, sin = np.cos(angle), np.sin(angle)
    frame["bend"], frame["stress"] = load * length**3 * cos, load * length * cos + 0.2 * length**2
    frame["dbend_dload"], frame["dbend_dlength"] = length**3 * cos, 3 * load * length**2 * cos
    frame["dbend_dangle"] = -load * length**3 * sin
    frame["dstress_dload"], frame["dstress_dlength"] = length * cos, load * cos + 0.4 * length
    frame["dstress_dangle"] = -load * length * sin
    return frame


PARTIALS = [name for name in beam().columns if "_d" in name]
LOAD, LENGTH, ANGLE, *_ = PARTIALS
MM, TWICE = ["dbend_dlength", "dstress_dlength"], ["dbend_dlength", "dstress_dload"]
OF_BEND, OF_STRESS = "The derivatives of bend", "the derivatives of stress"
AGAIN = "Compute the column again, or leave it out"


def swap(first, second):
    """Return a function of a table that exchanges these columns of it."""
    return lambda f: dict(zip([*first, *second], f[[*second, *first]].to_numpy().T, strict=True))


MISTAKES = {  # a name: what is wrong, and the parts of its message
    "sign": (lambda f: {LOAD: -f[LOAD]}, LOAD, "the wrong sign", "Multiply by -1."),
    "half": (lambda f: {LOAD: f[LOAD] / 2}, LOAD, "small by a factor of 2:", "a forgotten factor of 2", "ply by 2."),
    "degrees": (lambda f: {ANGLE: np.radians(f[ANGLE])}, ANGLE, "small", "57.2", "per degree instead", "ply by 57.3."),
    "2 pi": (lambda f: {LENGTH: -2 * np.pi * f[LENGTH]}, LENGTH, "large", "wrong sign", "2 pi", "Divide by -6.283."),
    "mm": (lambda f: f[MM] / 1000, "The derivatives by length are too small", "factor of 1e+03", "a unit", "by 1000."),
    "swapped": (swap([LOAD], [LENGTH]), f"{LOAD} and {LENGTH} are swapped", "Exchange their names"),
    "outputs": (swap(PARTIALS[:3], PARTIALS[3:]), f"{OF_BEND} and {OF_STRESS} are swapped.", "Exchange their names"),
    "transposed": (swap(TWICE[:1], TWICE[1:]), "The Jacobian is transposed", " and ".join(TWICE), "Transpose the Jac"),
    "shifted": (lambda f: f[PARTIALS].shift(-1), "All derivatives", "shifted up by 1 row", "Move them down by 1 row"),
    "values shifted": (lambda f: {"bend": np.roll(f["bend"], 1)}, "bend is shifted down by 1 row", "Move it up by 1"),
    "unrelated": (lambda f: {LENGTH: 0 * f[LENGTH]}, LENGTH, "does not follow", "its error is about 100 %", AGAIN),
    "copied": (lambda f: {LOAD: f["dstress_dload"]}, LOAD, "equals dstress_dload in 120 of 120 rows", AGAIN),
    "no usual factor": (lambda f: {LENGTH: -3.7 * f[LENGTH]}, LENGTH, "large by a factor of 3.7 and the wro", AGAIN),
    "zeros": (lambda f: 0 * f[PARTIALS[:3]], OF_BEND, "none of its differences (100 % left)", "again"),
    "constant input": (lambda f: {"angle": 0 * f["angle"]}, "angle is constant", "Leave angle out of data.inputs."),
    "constant output": (lambda f: {"stress": 0 * f["stress"]}, "stress is constant", "Compute stress again."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name):
    frame, (spoilt, column, *words) = beam(), MISTAKES[name]
    frame, names = frame.assign(**spoilt(frame)), ColumnNames(["load", "length", "angle"], ["bend", "stress"])
    x, y, dydx = (frame[list(part)].to_numpy() for part in (names.inputs, names.outputs, PARTIALS))
    findings = contradictions(x, y, dydx.reshape(-1, 2, 3), names).findings
    messages = [f"{one.what} {one.advice}" for one in findings if one.what.startswith(column)]
    assert any(all(word in message for word in words) for message in messages), findings
    assert len(findings) == 1 or name.startswith("constant")


@pytest.fixture
def printed(in_folder, capsys):
    """The text of `runge check`, and its exit status, in an empty folder."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return "".join(capsys.readouterr()), end.value.code

    return run


def test_the_command(printed):
    frame = beam()
    frame.to_csv("beam.csv", index=False)
    text, status = printed("beam.csv")
    assert status == 0
    assert "No contradiction was found." in text
    assert "A wrong sign would have been seen in 6 columns of derivatives." in text
    frame[LOAD] *= -1
    pd.concat([frame, frame.iloc[[4]].assign(stress=40.0)]).to_csv("beam.csv", index=False)
    text, status = printed("beam.csv")
    assert status == 1
    assert text.startswith("beam.csv: 121 rows; inputs load, length, angle; outputs bend, stress\n\n2 contradictions")
    assert "1. dbend_dload has the wrong sign.\n   Between near rows, the derivatives leave" in text
    differs = "stress differs between line 6 and line 122, which have the same inputs."
    assert f"2. {differs}\n   It is 2.588 in line 6" in text
    assert "and 40 in line 122; the standard deviation of the column is 3.505." in " ".join(text.split())
    lines = text.splitlines()
    (without,) = (i for i, line in enumerate(lines) if line.startswith("To fit without these columns:"))
    assert all(len(line) <= 80 for line in lines[:without] + lines[without + 3 :])
    command = lines[without + 2]
    assert command.startswith("    runge fit beam.csv 'data.inputs=[load,length,angle]' 'data.outputs=[bend,stress]' ")
    overrides = [part.strip("'") for part in command.split()[3:]]
    assert [one.what for one in check("beam.csv", *overrides).findings] == [differs]


def test_second_derivatives_are_said_not_to_be_checked():
    x = np.random.default_rng(0).random(40)
    frame = pd.DataFrame({"x": x, "y": x**3, "dy_dx": 3 * x**2, "d2y_dx_dx": -6 * x})
    text = repr(check(frame))
    assert "Checked 1 of 2 columns of derivatives. No contradiction was found." in text
    assert "Not checked, because they are second derivatives: d2y_dx_dx." in text


@pytest.mark.usefixtures("in_folder")
def test_labels_of_rows_with_the_same_inputs_are_those_of_the_file():
    frame = beam()
    frame[LOAD] *= -1
    frame = pd.concat([frame, frame.iloc[[4]].assign(**{LOAD: 7.0, "stress": 40.0})], ignore_index=True)
    sign, *others = check(frame).findings
    assert sign.columns == (LOAD,)
    assert [(one.columns, one.rows) for one in others] == [((LOAD,), (4, 120)), (("stress",), (4, 120))]
    assert f"It is {frame[LOAD][4]:.4g} in row 4 and 7 in row 120" in others[0].evidence
    shifted = frame.assign(**frame.assign(**{LOAD: -frame[LOAD]})[PARTIALS].shift(-1))
    assert [one.columns for one in check(shifted).findings] == [tuple(PARTIALS), ("stress",)]


def test_the_command_with_any_names_and_for_a_frame(printed):
    frame = beam()
    frame.columns = [name.replace("bend", "bend [mm]").replace("load", "load, F=m*a (N)") for name in frame]
    frame["dbend [mm]_dangle"] *= -1
    frame.to_csv("beam.csv", index=False)
    roles = "data.inputs=['load, F=m*a (N)',length,angle]", "data.outputs=['bend [mm]']"
    (command,) = (line for line in printed("beam.csv", *roles)[0].splitlines() if "runge fit" in line)
    assert check("beam.csv", *shlex.split(command)[3:]).findings == []
    (call,) = (line.strip() for line in repr(check(frame, *roles)).splitlines() if "runge.fit" in line)
    assert check(frame, *ast.literal_eval(call.removeprefix("runge.fit").replace("df, ", ""))).findings == []
    frame.columns = [name.replace("bend [mm]", "µ") for name in frame]
    found = check(frame, roles[0], "data.outputs=['µ']")
    assert found.findings
    assert "runge.fit" not in repr(found)  # Hydra has no such keys


def test_names_with_units_need_no_quotes(printed):
    frame = beam()[["load", "length", "bend", LOAD, LENGTH]]
    frame.columns = ["load [N]", "T [°C]", "bend [mm]", "dbend_dload", "dbend_dT"]
    frame.to_csv("beam.csv", index=False)
    text, _ = printed("beam.csv", "data.inputs=[load [N],T [°C]]", "data.outputs=[bend [mm]]")
    assert "inputs load [N], T [°C]; outputs bend [mm]" in text
    table = Table(file="beam.csv", inputs=["load [N]", "T [°C]"], outputs=["bend [mm]"])
    assert check("beam.csv", *of_columns(table)).roles.inputs == ("load [N]", "T [°C]")


def test_an_output_alone_and_columns_with_other_names(printed):
    frame = beam().rename(columns={LOAD: "slope"})
    frame["slope"] *= -1
    frame.to_csv("beam.csv", index=False)
    roles = "data.inputs=[load,length,angle]", "data.outputs=[bend]"
    partials = "load:slope,length:dbend_dlength,angle:dbend_dangle"
    text, status = printed("beam.csv", *roles, f"data.derivatives={{bend:{{{partials}}}}}", "data.group=stress")
    assert status == 1
    assert "slope has the wrong sign." in text
    assert "data.derivatives={bend:{length:dbend_dlength,angle:dbend_dangle}}' data.group=stress" in text


def test_what_cannot_be_checked_is_named(printed):
    frame = beam()
    frame["bend"], frame[ANGLE] = frame["load"] * frame["length"] ** 3, 1e-7
    frame[LOAD], frame[LENGTH] = frame["length"] ** 3, 3 * frame["load"] * frame["length"] ** 2
    frame["stress"] = 0
    text = repr(check(frame)).replace("\n", " ")
    assert "which explain too little or differ much between near rows: dbend_dangle." in text
    assert "Checked 2 of 6 columns of derivatives. 1 contradiction found" in text
    assert "because stress is constant: dstress_dload, dstress_dlength, dstress_dangle." in text
    beam(12).to_csv("few.csv", index=False)
    text, status = printed("few.csv")
    assert status == 0
    assert "Checked 0 of 6 columns of derivatives. No contradiction was found." in text
    assert "wrong sign" not in text


def test_an_input_without_derivatives_is_named():
    frame = beam().drop(columns=["dbend_dangle", "dstress_dangle"])
    roles = "data.inputs=[load,length,angle]", "data.outputs=[bend,stress]"
    found = check(frame, *roles)
    assert "angle has no derivatives; slopes that fit the values take their place." in repr(found).replace("\n", " ")
    assert (found.findings, len(found.report.seen)) == ([], 4)
    (finding,) = check(frame.assign(dbend_dload=-frame["dbend_dload"]), *roles).findings
    assert finding.what == "dbend_dload has the wrong sign."


def test_many_pairs_of_equal_inputs_are_one_finding_and_collinear_inputs_are_named():
    frame = beam()
    (finding,) = check(pd.concat([frame, frame.assign(bend=frame["bend"] + 10)])).findings
    assert finding.what.startswith("120 pairs of rows have equal inputs and values of bend that differ by ")
    assert len(finding.rows) == 240
    frame["length"] = 2 * frame["load"] + 1e-6 * frame["angle"]
    found = [one for one in check(frame).findings if "depend" in one.what]
    assert [one.columns for one in found] == [("load", "length")]


def test_the_rows_that_were_compared_are_counted():
    frame = beam()
    found = check(pd.DataFrame(frame.mask(np.random.default_rng(0).random(frame.shape) < [0, 0, 0, *8 * [0.15]])))
    (line,) = (part for part in repr(found).replace("\n", " ").split("  ") if part.startswith("Rows that were"))
    bend, stress = found.report.compared.values()
    assert line == f"Rows that were compared, of 120: bend {bend}, stress {stress}."
    assert 60 < bend < 120
    assert 60 < stress < 120
    assert (found.findings, len(found.report.seen)) == ([], 6)


def test_without_derivatives_there_is_nothing_to_contradict():
    frame = beam()[["load", "bend"]]
    frame.loc[3, "bend"] = 30
    found = check(frame, "data.inputs=[load]", "data.outputs=[bend]")
    assert (found.findings, found.report.unknown) == ([], {})


def test_a_check_is_true_if_nothing_was_found_and_names_rows_by_their_index():
    frame = beam()
    assert check(frame)
    assert check(frame).ok
    twice = pd.concat([frame, frame.iloc[[4]].assign(stress=40.0)])
    found = check(twice.set_axis([f"s{i}" for i in range(121)]))
    assert not found
    assert not found.ok
    (finding,) = found.findings
    assert finding.rows == ("s4", "s120")
    assert finding.what == "stress differs between row s4 and row s120, which have the same inputs."
    names = ["load", "length", "angle"], ["bend", "stress"]
    x, y, dydx = (twice[part].to_numpy() for part in (*names, PARTIALS))
    of_arrays = check({"x": x, "y": y, "dydx": dydx.reshape(-1, 2, 3)})
    assert [(one.columns, one.rows) for one in of_arrays.findings] == [(("y2",), (4, 120))]
    wrong = check({"x": x[:-1], "y": y[:-1], "dydx": -dydx.reshape(-1, 2, 3)[:-1]})
    assert "runge.fit(arrays, 'data.inputs=[x1,x2,x3]'" in repr(wrong)


@pytest.mark.parametrize(
    ("frame", "overrides", "message"),
    [
        (beam(), ["data.inputs=[width]"], "data.inputs: 'the DataFrame': must be among its columns, .*; got 'width'"),
        (beam(), ["data.input=[load]"], "data.input: unknown key.*did you mean data.inputs"),
        (beam(), ["data.split.test=2"], "data.split: must be shares"),
        (beam(), ["nonsense"], "nonsense"),
        (beam(0), [], "data.file: the DataFrame must have rows, and columns whose names are"),
        (
            beam().set_axis(range(11), axis=1),
            [],
            "data.file: the DataFrame must have rows, and columns whose names are",
        ),
        (beam().iloc[:, [0, 0, 1]], [], "data.file: the DataFrame must have rows, and columns whose names are"),
    ],
    ids=["input", "key", "split", "word", "no rows", "no names", "twice"],
)
def test_mistakes(frame, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        check(frame, *overrides)


def test_an_input_must_be_known(in_folder, refusal):
    beam().replace({"load": {beam()["load"][3]: np.nan}}).to_csv("beam.csv", index=False)
    rule = "line 5, column 'load': an input must be known in each row"
    assert rule in refusal(main, "beam.csv").replace("\n", " ")
