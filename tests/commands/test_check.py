import ast
import shlex

import numpy as np
import pandas as pd
import pytest

from runge.commands.check import check, main
from runge.configuration.errors import ConfigurationError


def beam(n=120):
    """Deflection and stress of a beam by its load, length in m and angle, with their derivatives."""
    random = np.random.default_rng(0)
    load, length, angle = random.uniform(1, 3, n), random.uniform(1, 2, n), random.uniform(0, 1, n)
    frame = pd.DataFrame({"load": load, "length": length, "angle": angle})
    frame["bend"] = load * length**3 * np.cos(angle)
    frame["stress"] = load * length * np.cos(angle) + 0.2 * length**2
    frame["dbend_dload"] = length**3 * np.cos(angle)
    frame["dbend_dlength"] = 3 * load * length**2 * np.cos(angle)
    frame["dbend_dangle"] = -load * length**3 * np.sin(angle)
    frame["dstress_dload"] = length * np.cos(angle)
    frame["dstress_dlength"] = load * np.cos(angle) + 0.4 * length
    frame["dstress_dangle"] = -load * length * np.sin(angle)
    return frame


PARTIALS = [name for name in beam().columns if "_d" in name]
CROSSED = {"dbend_dlength": "dstress_dload", "dstress_dload": "dbend_dlength"}
MISTAKES = {
    "sign": (lambda f: {"dbend_dload": -f["dbend_dload"]}, "dbend_dload has the wrong sign. Multiply by -1."),
    "half": (
        lambda f: {"dstress_dload": f["dstress_dload"] / 2},
        "dstress_dload is too small by a factor of 2: likely a forgotten factor of 2. Multiply by 2.",
    ),
    "degrees": (
        lambda f: {"dbend_dangle": np.radians(f["dbend_dangle"])},
        "dbend_dangle is too small by a factor of 57.2: likely per degree instead of per radian of angle. "
        "Multiply by 57.3.",
    ),
    "2 pi": (
        lambda f: {"dbend_dlength": -2 * np.pi * f["dbend_dlength"]},
        "dbend_dlength is too large by a factor of 6.28 and the wrong sign: likely 2 pi, as between a frequency and an "
        "angle. Divide by -6.283.",
    ),
    "mm": (
        lambda f: {name: f[name] / 1000 for name in ("dbend_dlength", "dstress_dlength")},
        "The derivatives by length are too small by a factor of 1e+03: likely a unit. Multiply by 1000.",
    ),
    "swapped": (
        lambda f: {"dbend_dload": f["dbend_dlength"], "dbend_dlength": f["dbend_dload"]},
        "dbend_dload and dbend_dlength are swapped. Exchange their names.",
    ),
    "outputs swapped": (
        lambda f: {one: f[other] for one, other in zip(PARTIALS, PARTIALS[3:] + PARTIALS[:3], strict=True)},
        "The derivatives of bend and the derivatives of stress are swapped. Exchange their names.",
    ),
    "transposed": (
        lambda f: {one: f[other] for one, other in CROSSED.items()},
        "The Jacobian is transposed: dbend_dlength and dstress_dload are in each other's place. "
        "Transpose the Jacobian before it is written.",
    ),
    "shifted": (
        lambda f: {name: f[name].shift(-1) for name in PARTIALS},
        "All derivatives are shifted up by 1 row. Move them down by 1 row.",
    ),
    "unrelated": (
        lambda f: {"dbend_dlength": 0 * f["dbend_dlength"]},
        "dbend_dlength does not follow the values, by none of the usual mistakes. "
        "Compute the column again, or leave it out.",
    ),
    "copied": (
        lambda f: {"dbend_dload": f["dstress_dload"]},
        "dbend_dload equals dstress_dload in 120 of 120 rows. Compute the column again, or leave it out.",
    ),
    "no usual factor": (
        lambda f: {"dbend_dlength": -3.7 * f["dbend_dlength"]},
        "dbend_dlength is too large by a factor of 3.7 and the wrong sign. Compute the column again, or leave it out.",
    ),
    "zeros": (
        lambda f: {name: 0 * f[name] for name in PARTIALS[:3]},
        "The derivatives of bend explain none of its differences (100 % left). Compute them again, or leave them out.",
    ),
    "constant input": (lambda f: {"angle": 0 * f["angle"]}, "angle is constant. Leave angle out of data.inputs."),
    "constant output": (lambda f: {"stress": 0 * f["stress"]}, "stress is constant. Compute stress again."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name):
    frame, (spoilt, expected) = beam(), MISTAKES[name]
    findings = check(frame.assign(**spoilt(frame))).findings
    assert expected in [f"{one.what} {one.advice}" for one in findings]
    assert len(findings) == 1 or name.startswith("constant")


def printed(capsys, *arguments):
    """The text of `runge check`, and its exit status."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, err = capsys.readouterr()
    return out + err, end.value.code


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = beam()
    frame.to_csv("beam.csv", index=False)
    text, status = printed(capsys, "beam.csv")
    assert status == 0
    assert "No contradiction was found." in text
    assert "A wrong sign would have been seen in 6 columns of derivatives." in text
    frame["dbend_dload"] *= -1
    frame = pd.concat([frame, frame.iloc[[4]].assign(stress=40.0)])
    frame.to_csv("beam.csv", index=False)
    text, status = printed(capsys, "beam.csv")
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


def test_the_command_with_any_names_and_for_a_frame(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = beam()
    frame.columns = [name.replace("bend", "bend [mm]").replace("load", "load, F=m*a (N)") for name in frame]
    frame["dbend [mm]_dangle"] *= -1
    frame.to_csv("beam.csv", index=False)
    roles = "data.inputs=['load, F=m*a (N)',length,angle]", "data.outputs=['bend [mm]']"
    (command,) = (line for line in printed(capsys, "beam.csv", *roles)[0].splitlines() if "runge fit" in line)
    assert check("beam.csv", *shlex.split(command)[3:]).findings == []
    (call,) = (line.strip() for line in repr(check(frame, *roles)).splitlines() if "runge.fit" in line)
    assert check(frame, *ast.literal_eval(call.removeprefix("runge.fit").replace("df, ", ""))).findings == []
    frame.columns = [name.replace("bend [mm]", "µ") for name in frame]
    found = check(frame, roles[0], "data.outputs=['µ']")
    assert found.findings
    assert "runge.fit" not in repr(found)  # Hydra has no such keys


def test_an_output_alone_and_columns_with_other_names(tmp_path, capsys):
    frame = beam().rename(columns={"dbend_dload": "slope"})
    frame["slope"] *= -1
    path = str(tmp_path / "beam.parquet")
    frame.to_parquet(path)
    roles = "data.inputs=[load,length,angle]", "data.outputs=[bend]"
    partials = "load:slope,length:dbend_dlength,angle:dbend_dangle"
    text, status = printed(capsys, path, *roles, f"data.derivatives={{bend:{{{partials}}}}}")
    assert status == 1
    assert "slope has the wrong sign." in text
    assert "data.derivatives={bend:{length:dbend_dlength,angle:dbend_dangle}}" in text


def test_what_cannot_be_checked_is_named(capsys, tmp_path):
    frame = beam()
    frame["bend"], frame["dbend_dangle"] = frame["load"] * frame["length"] ** 3, 1e-7
    frame["dbend_dload"], frame["dbend_dlength"] = frame["length"] ** 3, 3 * frame["load"] * frame["length"] ** 2
    frame["dstress_dload"] = np.nan
    text = repr(check(frame))
    assert "explain too little of the differences: dbend_dangle." in text.replace("\n", " ")
    assert "each other: dstress_dlength, dstress_dangle." in text.replace("\n", " ")
    path = tmp_path / "few.csv"
    beam(12).to_csv(path, index=False)
    text, status = printed(capsys, str(path))
    assert status == 0
    assert "No contradiction was found." in text
    assert "wrong sign" not in text


def test_the_rows_that_were_compared_are_counted():
    frame = beam()
    found = check(pd.DataFrame(frame.mask(np.random.default_rng(0).random(frame.shape) < [0, 0, 0, *8 * [0.15]])))
    (line,) = (part for part in repr(found).replace("\n", " ").split("  ") if part.startswith("Rows that were"))
    bend, stress = found.report.compared.values()
    assert line == f"Rows that were compared, of 120: bend {bend}, stress {stress}."
    assert bend == stress
    assert 60 < bend < 120
    assert not found.findings
    assert len(found.report.seen) == 6


def test_without_derivatives_there_is_nothing_to_contradict():
    frame = beam()[["load", "bend"]]
    frame.loc[3, "bend"] = 30
    found = check(frame, "data.inputs=[load]", "data.outputs=[bend]")
    assert (found.findings, found.report.unknown) == ([], [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.inputs=[width]"], "data.inputs: 'the DataFrame': must be among its columns, .*; got 'width'"),
        (["data.input=[load]"], "data.input: unknown key.*did you mean data.inputs"),
        (["data.split.test=2"], "data.split: must be shares"),
        (["nonsense"], "nonsense"),
    ],
)
def test_mistakes_in_the_command(overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        check(beam(), *overrides)


def test_frames_that_are_no_tables():
    for wrong in (beam().iloc[:0], beam().set_axis(range(len(beam().columns)), axis=1), beam().iloc[:, [0, 0, 1]]):
        with pytest.raises(ConfigurationError, match="data: the DataFrame must have rows, and columns whose names are"):
            check(wrong)


def test_an_input_must_be_known(capsys, tmp_path):
    path = tmp_path / "beam.csv"
    frame = beam()
    frame.loc[3, "load"] = np.nan
    frame.to_csv(path, index=False)
    text, status = printed(capsys, str(path))
    assert status == 2
    assert "line 5, column 'load': an input must be known in each row" in text.replace("\n", " ")
