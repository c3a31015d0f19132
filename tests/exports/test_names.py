"""Names and units of inputs and outputs are data in exported files, whatever characters they have.

`pytest tests/exports/test_names.py --hypothesis-profile default` tries 100 examples of each property instead of 25.
"""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import runge
from runge.configuration.errors import ConfigurationError
from runge.exports import card, export
from runge.function.function import Function
from runge.records.checkpoints import serialise
from tests.exports.formats import STRICT, function, library, needs

SIZES = {"dimension": 4, "outputs": 3}
PLAIN = ["a", "b", "c", "d", "e", "f", "g"]
OWNED = "extern int creat(const char *, unsigned); __attribute__((constructor)) static void f(void)"
OWNED += '{ creat("owned", 384); }'
EXPLOIT = f"y*\\\n/\n{OWNED}/\\\n*"
TOKENS = ["*/", "/*", "*\\\n/", "*??/\n/", "/", "*", "\\", "?", "??/", "//", '"', "'", '"""', "\n", "\r", "\0", "#"]
TOKENS += ["\x1b[31m", "\u202e", "\u2028", "\ud800", "\U0001f600", "é", "x", " ", "=1+1", "@", "-", "%s", "{{", "{%"]
TOKENS += ["${oc.env:HOME}", "</script>", "<!--", '<img onerror="1">', "\n#include <evil.h>\n", " [m]", " (N)", "(\\)"]
TOKENS += ["\\N{DIGIT ONE}", "\\u0031", "\\x41"]
ANY = st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=6).map("".join)
PRINTABLE = ANY.map(lambda text: "x" + "".join(filter(str.isprintable, text)))
NAMES = st.lists(ANY | PRINTABLE, min_size=7, max_size=7) | st.lists(PRINTABLE, min_size=7, max_size=7, unique=True)
# JSON in UTF-8 cannot have them: such a function of one's own is refused.
WITHOUT_SURROGATES = NAMES.map(lambda names: [re.sub("[\ud800-\udfff]", "", name) for name in names])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("names")


def checkpoint(folder, **columns):
    """Write a run with a checkpoint of these names, and return its directory."""
    network = function(depth=1, **SIZES).networks[0]
    model = {"activation": "tanh", "depth": 1, "width": 6, "init": "knots", "derivative": "forward"}
    state = {f"network.{name}": x for name, x in network.state_dict().items()}
    best = folder / "run" / "checkpoints" / "best.ckpt"
    best.parent.mkdir(parents=True, exist_ok=True)
    best.write_bytes(serialise({"state_dict": state, "configuration": {"model": model}, "columns": columns}))
    return folder / "run"


def named(names):
    return Function(function(depth=1, **SIZES).networks[0], inputs=names[:4], outputs=names[4:])


@given(names=NAMES)
@example(names=PLAIN)
@example(names=[EXPLOIT, *PLAIN[1:]])
def test_a_checkpoint_has_names_that_a_table_may_have(names, folder):
    allowed = len({*names}) == 7 and all(name and name.isprintable() and name[0] not in "=+-@" for name in names)
    run = checkpoint(folder, inputs=names[:4], outputs=names[4:])
    if allowed:
        u = runge.load(run)
        assert [*u.inputs, *u.outputs] == names
    else:
        with pytest.raises(ConfigurationError, match=r"best\.ckpt does not hold"):
            runge.load(run)


COLUMNS = {
    "no names": {},
    "a text": {"inputs": "abcd", "outputs": PLAIN[4:]},
    "a number": {"inputs": [*PLAIN[:3], 1], "outputs": PLAIN[4:]},
    "a list of them": {"inputs": PLAIN[:4], "outputs": [*PLAIN[4:6], ["g"]]},
    "too many inputs": {"inputs": [*PLAIN[:4], "h"], "outputs": PLAIN[4:]},
    "too few outputs": {"inputs": PLAIN[:4], "outputs": PLAIN[5:]},
    "a further key": {"inputs": PLAIN[:4], "outputs": PLAIN[4:], "runs": ["/"]},
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_of_a_checkpoint_are_those_of_its_network(name, folder):
    run = checkpoint(folder, **COLUMNS[name])
    if name == "a further key":
        assert runge.load(run).runs == (str(run),)
    else:
        with pytest.raises(ConfigurationError, match=r"best\.ckpt does not hold"):
            runge.load(run)


def preprocessed(source):
    """Return the tokens of C without the strings, and the card that they are."""
    text = subprocess.run(["cc", *STRICT, "-E", "-P", str(source)], check=True, capture_output=True).stdout.decode()
    tokens, strings = re.sub(r'"(?:\\.|[^"\\])*",?\s*', "", text), re.findall(r'"((?:\\.|[^"\\])*)",', text)
    return tokens.split(), json.loads("\n".join(re.sub(r"\\(.)", r"\1", line) for line in strings))


@pytest.fixture(scope="module")
def reference(folder):
    """The tokens of a function with plain names."""
    return preprocessed(export(named(PLAIN), "c", folder / "u.c", force=True))[0]


@given(names=WITHOUT_SURROGATES)
@example(names=[EXPLOIT, *PLAIN[1:]])
@example(names=["*/", "/*/*", "???/", "\\", "*\\", "a\\ ", "?????'"])
def test_names_are_comments_and_strings_in_c(names, folder, reference):
    u = named(names)
    source = export(u, "c", folder / "u.c", force=True)
    subprocess.run(["cc", *STRICT, "-fsyntax-only", str(source)], check=True, capture_output=True)
    assert preprocessed(source) == (reference, card(u))


def test_the_code_in_a_name_is_not_compiled(tmp_path, monkeypatch):
    """A line that ends in a backslash is joined with the next one before comments are recognised."""
    monkeypatch.chdir(tmp_path)
    library(export(named([EXPLOIT, *PLAIN[1:]]), "c", tmp_path / "u"))
    assert not Path("owned").exists()


@pytest.mark.parametrize("to", ["numpy", "casadi"])
@given(names=WITHOUT_SURROGATES)
@example(names=["'''", '"""', "\\", "\\'", '\\"', "a\n", "b\r"])
def test_names_are_strings_in_python_and_json(to, names, folder):
    needs(to)
    u = named(names)
    source = export(u, to, folder / f"{to}_v", force=True)
    tree = ast.parse(source.read_bytes())
    (content,) = [x.value for x in tree.body if isinstance(x, ast.Assign) and ast.unparse(x.targets[0]) == "CARD"]
    assert ast.literal_eval(content) == json.loads(source.with_suffix(".json").read_bytes()) == card(u)
    others = [ast.dump(x) for x in tree.body if not isinstance(x, ast.Assign)]
    export(named(PLAIN), to, folder / f"{to}_w", force=True)
    plain = ast.parse((folder / f"{to}_w.py").read_bytes())
    assert others == [ast.dump(x) for x in plain.body if not isinstance(x, ast.Assign)]


@pytest.mark.nightly
def test_names_are_texts_in_onnx(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    u = named(["".join(token for token in TOKENS if token != "\ud800"), EXPLOIT, *PLAIN[2:]])
    export(u, "onnx", tmp_path / "u", force=True)
    loaded = onnx.load(tmp_path / "u.onnx")
    assert {entry.key: json.loads(entry.value) for entry in loaded.metadata_props} == card(u)
