"""What a stranger does to a directory before somebody gets it: `apply` does an attack, `attacks` draws some.

The attacks are data, so that an example that fails shows what was done. In their texts OUTSIDE is the path of a folder
beside the directory, in which nothing may change. All code of the stranger writes its file `owned`.
"""

import csv
import io
import json
import os
import pickle
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st


class Attack(NamedTuple):
    """What is done to the file `path` of a directory."""

    kind: str
    path: str
    detail: Any = None


TOUCH = "touch OUTSIDE/owned"
CODE = "open('OUTSIDE/owned', 'w').close()\n"
DEEP = "[" * 20_000 + "]" * 20_000
TEXTS = {
    "red": "\x1b[31mred\x1b[0m",
    "a title": "\x1b]0;title\x07",
    "one byte of control": "\x9b31m",
    "an overwritten line": "finished\rerror: \x08\x7f",
    "from right to left": "\u202eevil\u2066",
    "lines": "a\nb\n\nc\t\x0b\x0c\x85\u2028",
    "a shell": f"$({TOUCH})",
    "backticks": f"x`{TOUCH}`;{TOUCH}|'{TOUCH}'\"{TOUCH}\"",
    "a script": "</script><script>alert(1)</script><!--",
    "a formula": '=cmd|"/C calc"!A0',
    "markup": "[bold]x[/bold][/][link=file:///]",
    "formats": "%s%n{0}{x}${seed}{{7*7}}{%",
    "a null": "a\0b",
    "a surrogate": "\ud800",
    "long": "x" * 100_000,
    "a way up": "../../outside/folder",
    "an absolute path": "OUTSIDE/folder/file",
    "a comment's end in C": "y*\\\n/\n#error owned\nint owned;\n/\\\n*",
    "a trigraph": "y??/\n*??/\n/ int owned;",
    "a text's end in Python": f"\"\"\"\n{CODE}\"\"\"'''\n{CODE}'''",
    "a backslash": "x\\",
    "a derivative of many": "d" + "_dx" * 30_000,
    "empty": "",
    "an override": "hydra.run.dir=OUTSIDE/folder",
    "an interpolation": "${oc.env:HOME}",
    "a class": "evil.Evil",
}
ODD = {
    **{name: json.dumps(text) for name, text in TEXTS.items()},
    "huge": "1" + "0" * 400,
    "minus huge": "-1" + "0" * 400,
    "very huge": "1" + "0" * 5000,
    "large": str(2**63),
    "many": str(10**9),
    "largest": "1.7e308",
    "minus one": "-1",
    "zero": "0",
    "half": "0.5",
    "nan": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "overflow": "1e999",
    "null": "null",
    "true": "true",
    "no items": "[]",
    "no keys": "{}",
    "nested": '{"a": {"b": [{"c": 1}]}}',
    "items": '["a", 1, null, [], {}]',
    "deep": DEEP,
    "deep keys": '{"a": ' * 900 + "1" + "}" * 900,
    "many items": json.dumps(["x"] * 100_000),
}
"""Values in JSON, as text."""

TARGETS = {
    "a module": {"_target_": "evil"},
    "a module's class": {"_target_": "evil.Evil"},
    "antigravity": {"_target_": "antigravity"},
    "a shell": {"_target_": "os.system", "command": TOUCH},
    "a process": {"_target_": "subprocess.Popen", "args": TOUCH, "shell": True},
    "its parameters by place": {"_target_": "subprocess.Popen", "_args_": [["touch", "OUTSIDE/owned"]]},
    "a part": {"_target_": "os.system", "_partial_": True, "command": TOUCH},
    "a file of torch": {"_target_": "torch.save", "f": "OUTSIDE/bashrc"},
    "code of sympy": {
        "_target_": "sympy.utilities.lambdify.lambdify",
        "args": "x",
        "expr": f"__import__('os').system('{TOUCH}')",
    },
    "a library": {"_target_": "runge.process.machine.ctypes.CDLL", "name": "OUTSIDE/bashrc"},
    "a function of ours": {"_target_": "runge.records.files.write", "path": "OUTSIDE/bashrc", "content": "owned"},
    "a folder of ours": {"_target_": "runge.records.files.claim", "path": "OUTSIDE/owned"},
    "a class of ours": {"_target_": "runge.loggers.tensorboard.TensorBoardLogger", "save_dir": "OUTSIDE/owned"},
    "a table of ours": {"_target_": "runge.data.table.Table", "file": "/dev/zero"},
    "a logger of Lightning": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "OUTSIDE/owned"},
    "a callback of Lightning": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "OUTSIDE/owned"},
    "a number": {"_target_": 3},
    "a list": {"_target_": ["os.system"]},
    "a colon": {"_target_": "evil:Evil"},
    "a private one": {"_target_": "runge.records.directories.__builtins__.exec", "source": CODE},
    "nested": {"nested": [{"_target_": "os.system", "command": TOUCH}]},
}
SECTIONS = (
    *(
        "target",
        "data",
        "sampling",
        "model",
        "model.activation",
        "loss",
        "loss.terms",
        "balance",
        "schedule",
        "resampling",
    ),
    *("optimizer", "optimizer.kind", "trainer", "penalty", "metrics", "callbacks", "logger", "objective", "options"),
    *("metrics.x", "callbacks.x", "penalty.x", "logger.x", "data.split", "target.domain"),
)
YAML = {
    "a bomb": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
    + "hydra:\n  overrides:\n    hydra: []\n    task: *a9\n",
    "a bomb of Hydra": "hydra:\n  overrides:\n    task: []\n    hydra: &b [&a [x,x,x],*a,*a,*a]\n",
    "its own item": "hydra:\n  overrides:\n    hydra: &a [*a]\n    task: [*a]\n",
    "merged keys": "a: &a {x: 1}\nhydra:\n  overrides:\n    <<: [*a, *a]\n    hydra: []\n    task: []\n",
    "an object": f"hydra: !!python/object/apply:os.system ['{TOUCH}']\n",
    "an object in a list": f"hydra:\n  overrides:\n    task: [!!python/object/new:os.system ['{TOUCH}']]\n",
    "the environment": "hydra:\n  overrides: ${oc.env:HOME}\n  sweeper: ${oc.env:HOME}\n",
    "a folder": "hydra: ${runge.directory:OUTSIDE/owned}\n",
    "a folder of a section": "hydra:\n"
    "  sweeper: ${runge.directory:OUTSIDE/owned}\n  overrides: ${runge.directory:OUTSIDE/owned}\n",
    "a section that is itself": "hydra: ${hydra}\n",
    "deep": "[" * 5000,
    "deep lines": "\n".join(" " * i + "- a:" for i in range(0, 2000, 2)),
    "numbers": "hydra:\n  overrides:\n    hydra: 3\n    task: [1e400, .nan, 2001-01-01, !!binary AAAA, null, {a: 1}]\n",
    "texts": "hydra:\n  overrides:\n    hydra: []\n    task: "
    + json.dumps([*TEXTS.values()], ensure_ascii=True)
    + "\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a text": "x",
    "nothing": "",
    "bytes": "\ufffe\x00",
    "octal": "a: 0o99\nb: 1:2:3\nc: !!int x\n",
}
LINKS = (
    "OUTSIDE/bashrc",
    "OUTSIDE/folder",
    "OUTSIDE/folder/file",
    "OUTSIDE/owned",
    "../outside/bashrc",
    "/dev/zero",
    ".",
    "..",
    "loop",
)
PLANTED = (
    *(
        "run.json",
        "metrics.json",
        "status.json",
        "history.csv",
        "points.csv",
        "fit.csv",
        "train.log",
        "fit.png",
        "curves.png",
    ),
    *("profiles.png", "points.png", "checkpoints", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "tensorboard"),
    *(".hydra", ".hydra.part", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", ".lock", ".stacks"),
    *(".stacks/x.ckpt", ".submitit", "multirun.yaml", "journal.json", "search.json", "leaderboard.json", "answer.json"),
    *("comparison.csv", "comparison.html", "comparison.png", "answer.png", "suggested.csv", "rows_predicted.csv"),
    *("function.c", "function.h", "function.json", "function.py", "predictions.csv", "fits", "fits.npz"),
)
"""The names of files and folders that commands read or write."""

MODULES = {
    **{
        f"{name}.py": CODE for name in ("jinja2", "plotly", "pandas", "torch", "evil", "sitecustomize", "usercustomize")
    },
    **{
        f"{name}.py": CODE
        for name in ("yaml", "rich", "numpy", "antigravity", "optuna", "sklearn", "onnx", "casadi", "csv")
    },
    **{f"{name}/__init__.py": CODE for name in ("plotly", "itables", "matplotlib", "runge", "tests", "function")},
    "hydra_plugins/x.py": CODE,
    "hydra_plugins/x/x.py": CODE,
    "hydra_plugins/__init__.py": CODE,
    "matplotlibrc": "backend: module://evil\nsavefig.directory: OUTSIDE/folder\n",
    "conf/config.yaml": "hydra:\n  run: {dir: OUTSIDE/folder}\ntarget: {_target_: evil.Evil}\n",
    "conf/target/runge.yaml": "_target_: evil.Evil\n",
    "config.yaml": "hydra:\n  run: {dir: OUTSIDE/folder}\n",
    "runge.ini": "x",
    "mplstyle": "backend: module://evil\n",
}
"""Files that some program executes if it takes the directory for a place of its own."""


STATE = (
    "status",
    "step",
    "message",
    "configuration",
    "rows",
    "checksums",
    "versions",
    "made_with",
    "began",
    "written",
    "new",
)


class Evil:
    """An object whose pickle runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self):
        return os.system, (self._command,)


def _nested() -> list[Any]:
    items: list[Any] = ["x"]
    for _ in range(40):
        items = [items, items]
    return items


def _deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(200):
        items = [items]
    return items


def _nan(x: Any) -> Any:
    return torch.full_like(x, torch.nan) if isinstance(x, torch.Tensor) and x.is_floating_point() else float("nan")


VALUES = {
    **{name: lambda _, text=text: text for name, text in TEXTS.items()},
    "null": lambda _: None,
    "huge": lambda _: 10**400,
    "many": lambda _: 10**9,
    "minus one": lambda _: -1,
    "zero": lambda _: 0,
    "nan": _nan,
    "true": lambda _: True,
    "no items": lambda _: [],
    "no keys": lambda _: {},
    "items": lambda _: ["a", 1, None, [], {}],
    "2**40 items by references": lambda _: _nested(),
    "deep": lambda _: _deep(),
    "stride 0": lambda _: torch.zeros(1).expand(10**10),
    "stride 0 in two dimensions": lambda _: torch.zeros(1, 1).expand(10**5, 10**5),
    "stride 0 of its own": lambda x: (
        x[(..., *[slice(1)] * x.ndim)].expand(*x.shape[:-1], 10**10) if _is_matrix(x) else x
    ),
    "stride 0 of members": lambda x: x[:1].expand(10**9, *x.shape[1:]) if _is_matrix(x) else x,
    "strides that overlap": lambda _: torch.as_strided(torch.zeros(20_000), (10_000, 10_000), (1, 1)),
    "sparse": lambda x: torch.sparse_coo_tensor(
        torch.zeros(1, 1).long(), torch.ones(1), (10**10,), check_invariants=True
    ),
    "sparse as it was": lambda x: x.to_sparse() if _is_matrix(x) else x,
    "meta": lambda x: torch.empty(x.shape if isinstance(x, torch.Tensor) else 10**12, device="meta"),
    "a scalar": lambda _: torch.tensor(3.0),
    "empty rows": lambda _: torch.zeros(0, 5),
    "transposed": lambda x: x.mT if _is_matrix(x) else x,
    "complex": lambda x: x.to(torch.complex64) if isinstance(x, torch.Tensor) else 1j,
    "integers": lambda x: x.long() if isinstance(x, torch.Tensor) else 3,
    "half": lambda x: x.half() if isinstance(x, torch.Tensor) else 0.5,
    "huge numbers": lambda x: torch.full_like(x, 1e30) if isinstance(x, torch.Tensor) and x.is_floating_point() else x,
    "small numbers": lambda x: x * 1e-300 if isinstance(x, torch.Tensor) else x,
    "bytes": lambda _: b"\x80",
    "a set": lambda _: {1, "a"},
}
"""Values in a checkpoint, given what was there."""

COLUMNS = {
    **{name: {"inputs": [text], "outputs": ["f"]} for name, text in TEXTS.items()},
    **{f"{name}, of an output": {"inputs": ["x"], "outputs": [text]} for name, text in TEXTS.items()},
    **{f"{name}, of two inputs": {"inputs": ["a", text], "outputs": ["y"]} for name, text in TEXTS.items()},
    "numbers": {"inputs": [1], "outputs": [2]},
    "twice": {"inputs": ["x"], "outputs": ["x"]},
    "many": {"inputs": [str(i) for i in range(100_000)], "outputs": ["f"]},
    "none": {"inputs": [], "outputs": []},
    "another key": {"inputs": ["x"], "outputs": ["f"], "networks": []},
    "an own key": {"inputs": ["x"], "outputs": ["f"], "runs": ["OUTSIDE"]},
    "texts": {"inputs": "x", "outputs": "f"},
    "a list": ["x"],
}


def _is_matrix(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.layout == torch.strided and x.ndim > 1


def _in_zip(path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write the members of a checkpoint again, each as `change` returns it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))


def _a_pickle_in_zip(path: Path, command: str) -> None:
    evil = pickle.dumps(Evil(command), protocol=2)
    _in_zip(path, lambda name, content: evil if name.endswith("data.pkl") else content)


def _call_in_zip(path: Path, _: str) -> None:
    """Call a class that torch allows with arguments that it does not expect."""
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(tR."
    _in_zip(path, lambda name, content: call if name.endswith("data.pkl") else content)


def _short_storage(path: Path, _: str) -> None:
    _in_zip(path, lambda name, content: content[:3] if "/data/" in name else content)


@cache
def _zeros() -> bytes:
    """Return a checkpoint of a few megabytes with a tensor of 1.9 gigabytes of zeros."""
    small, large, buffer = 70_001, 475_000_000, io.BytesIO()
    content = {"theta": torch.zeros(small), "network.theta": torch.zeros(1, 1), "step": 1}
    torch.save({"state_dict": content, "configuration": {"model": {}}, "stack": {}}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            if len(member) != 4 * small:
                archive.writestr(name, member.replace(struct.pack("<ci", b"J", small), struct.pack("<ci", b"J", large)))
                continue
            with archive.open(name, "w") as file:
                for begin in range(0, 4 * large, 2**22):
                    file.write(bytes(min(2**22, 4 * large - begin)))
    return compressed.getvalue()


CHECKPOINTS = {
    "a pickle": lambda path, command: path.write_bytes(pickle.dumps(Evil(command))),
    "torch's old format": lambda path, command: torch.save(Evil(command), path, _use_new_zipfile_serialization=False),
    "a pickle in torch's format": _a_pickle_in_zip,
    "a call in torch's format": _call_in_zip,
    "deflated": lambda path, _: _in_zip(path, lambda _, content: content, zipfile.ZIP_DEFLATED),
    "lzma": lambda path, _: _in_zip(path, lambda _, content: content, zipfile.ZIP_LZMA),
    "short storages": _short_storage,
    "another object": lambda path, _: torch.save([1, 2], path),
    "only sections": lambda path, _: torch.save({"state_dict": 1, "configuration": 2, "stack": 3}, path),
    "texts as sections": lambda path, _: torch.save({"state_dict": "a", "configuration": "b", "stack": "c"}, path),
    "deflated zeros": lambda path, _: path.write_bytes(_zeros()),
    "a tape archive": lambda path, _: path.write_bytes(b"a" + bytes(511)),
}


def _npz(header: str) -> bytes:
    """Return an archive of NumPy with an array of this header and little data."""
    text = header.encode().ljust(118) + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("x", "y", "dy_dx"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(80))
    return buffer.getvalue()


TABLES: dict[str, str | bytes] = {
    **{name: f'"{text}",y,"dy_d{text}"\n' + "".join(f"{i},{i},1\n" for i in range(12)) for name, text in TEXTS.items()},
    "a null byte": "x,y\n0,\0\n",
    "one name often": "x," * 10**4,
    "huge numbers": "x,y,dy_dx\n" + "1e308,1e308,1e308\n-1e308,-1e308,1e308\n" * 9,
    "denormal numbers": "x,y,dy_dx\n" + "".join(f"{i}e-320,{i}e-322,1\n" for i in range(12)),
    "many columns": ",".join(f"x{i}" for i in range(3000)) + "\n" + ",".join(["1"] * 3000) + "\n",
    "an open quote": 'x,y\n"0,1\n' + "0,1\n" * 50,
    "no rows": "x,y,dy_dx\n",
    "quotes": 'x,y,dy_dx\n"=1+1","$(touch OUTSIDE/owned)","\x1b[31m"\n',
    "one name": "x,x,x\n0,0,0\n",
    "a pipe's archive": _npz("{'descr': '<f8', 'fortran_order': False, 'shape': (10,)}"),
    "a large archive": _npz("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,)}"),
    "an archive of objects": _npz("{'descr': '|O', 'fortran_order': False, 'shape': (10,)}"),
    "an archive of calls": _npz("{'descr': __import__('os').system('touch OUTSIDE/owned'), 'shape': (1,)}"),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all parts of nested data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return nested data with another part at a path; `new` is called with the part that was there."""
    if not path:
        return new(value)
    key, *rest = path
    if isinstance(value, dict):
        return value | {key: _put(value.get(key), tuple(rest), new)}
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return [*value[:key], _put(value[key], tuple(rest), new), *value[key + 1 :]]
    return _put({}, path, new)


def _forget_checksums(path: Path) -> None:
    """Take the checksums of a run's files away, as somebody who changes them does."""
    status = path.parent / "status.json"
    if path != status and status.is_file() and not status.is_symlink():
        status.write_text(json.dumps(json.loads(status.read_text()) | {"checksums": {}, "made_with": {}}))


def _place(mail: Path, name: str, *, may_be_any: bool = False) -> Path:
    """Return the path of a file that an attack reads or writes, which an earlier one may have made a pipe or a link."""
    path = mail / name
    if not path.parent.resolve().is_relative_to(mail.resolve() if name else mail.parent.resolve()):
        raise FileExistsError(f"a link is above {path}")
    if not may_be_any and os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise FileExistsError(f"no file is at {path}")
    return path


def apply(mail: Path, outside: Path, attack: Attack) -> None:
    """Do an attack to a directory, whose texts are about the folder `outside`."""
    path = _place(mail, attack.path, may_be_any=attack.kind in ("link", "links", "pipe", "folder", "plant"))
    if attack.kind in _NEW:
        path.parent.mkdir(parents=True, exist_ok=True)
    if attack.kind in ("link", "pipe", "folder"):
        _remove(path)
    _DO[attack.kind](path, attack.detail, outside, mail)


def apply_all(mail: Path, outside: Path, several: Sequence[Attack]) -> None:
    """Do attacks to a directory, of which all but the first may need what an earlier one has destroyed."""
    for number, attack in enumerate(several):
        with suppress(Exception) if number else nullcontext():
            apply(mail, outside, attack)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _filled(text: str, outside: Path) -> bytes:
    return text.replace("OUTSIDE", str(outside)).encode(errors="surrogatepass")


def _filled_in(value: Any, outside: Path) -> Any:
    if isinstance(value, str):
        return value.replace("OUTSIDE", str(outside))
    if isinstance(value, dict):
        return {key: _filled_in(x, outside) for key, x in value.items()}
    if isinstance(value, list) and not any(isinstance(x, list) for x in value):  # others may have 2**40 items
        return [_filled_in(x, outside) for x in value]
    return value


def _flip(path, detail, *_):
    content = bytearray(path.read_bytes() or b"x")
    place = int(detail[0] * (len(content) - 1))
    content[place] ^= 1 << detail[1]
    path.write_bytes(content)


def _cut(path, detail, *_):
    content = path.read_bytes()
    path.write_bytes(content[: int(detail * len(content))])


def _append(path, detail, outside, _):
    path.write_bytes(path.read_bytes() + _filled(TEXTS[detail], outside))


def _swap(path, detail, _, mail):
    other = _place(mail, detail)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def _json(path, detail, outside, _):
    """Change a part of an object, or add a key to it."""
    place, key, odd = detail
    content = json.loads(path.read_text())
    found = places(content)
    where = found[int(place * (len(found) - 1))]
    where = (*where, TEXTS[key]) if key else where
    text = json.dumps(_put(content, where, lambda _: "@odd@"))
    path.write_bytes(_filled(text.replace('"@odd@"', ODD[odd]), outside))
    _forget_checksums(path)


def _write_text(texts):
    def write(path, detail, outside, _):
        text = texts[detail]
        path.write_bytes(
            text.replace(b"OUTSIDE", bytes(outside)) if isinstance(text, bytes) else _filled(text, outside)
        )
        _forget_checksums(path)

    return write


def _cells(path, detail, outside, _):
    """Change a cell of a table, which may be in its head."""
    share, odd = detail
    rows = list(csv.reader(path.read_text().splitlines()))
    row = rows[int(share * (len(rows) - 1))]
    row[int(share * 997) % len(row)] = re.sub(r'^"|"$', "", ODD[odd])[:100_000].replace("OUTSIDE", str(outside))
    with path.open("w", newline="", errors="surrogatepass") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    _forget_checksums(path)


def _target(path, detail, outside, _):
    section, name = detail
    payload = _filled_in(TARGETS[name], outside)

    def changed(configuration):
        return _put(configuration, tuple(section.split(".")), lambda x: (x if isinstance(x, dict) else {}) | payload)

    if path.suffix == ".ckpt":
        checkpoint = torch.load(path, weights_only=True)
        torch.save(checkpoint | {"configuration": changed(checkpoint["configuration"])}, path)
    else:
        path.write_text(json.dumps(changed(json.loads(path.read_text()))))


def _value(path, detail, outside, _):
    share, name = detail
    checkpoint = torch.load(path, weights_only=True)
    found = places(checkpoint)
    where = found[int(share * (len(found) - 1))]
    torch.save(_put(checkpoint, where, lambda x: _filled_in(VALUES[name](x), outside)), path)


def _weights(path, detail, *_):
    checkpoint = torch.load(path, weights_only=True)
    torch.save(
        checkpoint | {"state_dict": {key: VALUES[detail](x) for key, x in checkpoint["state_dict"].items()}}, path
    )


def _columns(path, detail, outside, _):
    torch.save(torch.load(path, weights_only=True) | {"columns": _filled_in(COLUMNS[detail], outside)}, path)


def _archive(path, detail, outside, _):
    CHECKPOINTS[detail](path, f"touch {outside}/owned")


def _link(path, detail, outside, _):
    path.symlink_to(path.name if detail == "loop" else detail.replace("OUTSIDE", str(outside)))


def _links(path, detail, outside, _):
    """Plant links under all names that are likely to be those of half-written files."""
    for name in PLANTED:
        if "/" not in name:
            part = path / f".{name}.part"
            _remove(part)
            _link(part, detail, outside, _)


def _key(path, detail, outside, _):
    """Change a key of an object, or add it."""
    key, odd = detail
    text = json.dumps(json.loads(path.read_text()) | {"status": "running", "checksums": {}, key: "@odd@"})
    path.write_bytes(_filled(text.replace('"@odd@"', ODD[odd]), outside))


def _copy(path, detail, _, mail):
    """Plant a file of the directory under another name."""
    content = _place(mail, detail).read_bytes()
    _remove(path)
    path.write_bytes(content)


_NEW = ("link", "pipe", "folder", "module", "table", "plant")
"""The kinds of attacks for which there need be no file."""

_DO = {
    "flip": _flip,
    "cut": _cut,
    "append": _append,
    "delete": lambda path, *_: path.unlink(),
    "swap": _swap,
    "plant": _copy,
    "json": _json,
    "odd": _write_text(ODD),
    "yaml": _write_text(YAML),
    "table": _write_text(TABLES),
    "module": _write_text(MODULES),
    "cells": _cells,
    "target": _target,
    "value": _value,
    "weights": _weights,
    "columns": _columns,
    "archive": _archive,
    "link": _link,
    "links": _links,
    "key": _key,
    "pipe": lambda path, *_: os.mkfifo(path),
    "folder": lambda path, *_: path.mkdir(),
}


READ = {
    "check": r"table\.csv",
    "compare": r".*\.(json|csv|yaml)",
    "draw": r".*(\.json|\.csv|best\.ckpt|multirun\.yaml)",
    "predict": r".*(\.json|best\.ckpt|table\.csv)",
    "suggest": r".*(\.json|best\.ckpt)",
    "export": r".*(\.json|best\.ckpt)",
    "read": r".*(\.json|\.csv|best\.ckpt)",
    "resume": r".*(\.json|last\.ckpt|\.yaml)",
    "train": r".*(\.json|\.ckpt|\.yaml)",
}
"""The files that commands read, by the first words of these."""


def attacks(files: Sequence[str], command: str) -> st.SearchStrategy[list[Attack]]:
    """Return a strategy for one to five attacks on a directory with these files, the first one on one that is read."""
    read = [name for name in files if re.fullmatch(READ[command.partition(" ")[0]], name)]
    return st.builds(lambda first, others: [first, *others], _attack(read), st.lists(_attack(files), max_size=4))


def _attack(files: Sequence[str]) -> st.SearchStrategy[Attack]:
    def of(*suffixes: str) -> st.SearchStrategy[str]:
        named = [name for name in files if name.endswith(suffixes)]
        return st.sampled_from(named) if named else st.nothing()

    def attack(kind: str, path: st.SearchStrategy[str], *detail: st.SearchStrategy[Any]) -> st.SearchStrategy[Attack]:
        details = st.tuples(*detail) if len(detail) > 1 else detail[0] if detail else st.none()
        return st.builds(Attack, st.just(kind), path, details)

    share, any_file = st.floats(0, 1, width=16), st.sampled_from(files)
    folders = st.sampled_from(sorted({""} | {name.partition("/")[0] for name in files if name.endswith("/run.json")}))
    parts = [f"{head}{slash}.{tail}.part" for head, slash, tail in (name.rpartition("/") for name in PLANTED)]
    planted = st.builds(
        lambda folder, name: f"{folder}/{name}".strip("/"), folders, st.sampled_from([*PLANTED, *parts])
    )
    texts, links, values, section, odd, targets = (
        st.sampled_from(sorted(names)) for names in (TEXTS, LINKS, VALUES, SECTIONS, ODD, TARGETS)
    )
    return st.one_of(
        attack("flip", any_file, share, st.integers(0, 7)),
        attack("cut", any_file, share),
        attack("append", any_file, texts),
        attack("delete", any_file),
        attack("swap", any_file, any_file),
        attack("plant", planted, any_file),
        attack("json", of(".json"), share, texts, odd),
        attack("json", of(".json"), share, st.none(), odd),
        attack("key", of("status.json"), st.sampled_from(STATE), odd),
        attack("odd", of(".json"), odd),
        attack("yaml", of(".yaml"), st.sampled_from(sorted(YAML))),
        attack("cells", of(".csv"), share, odd),
        attack("table", of(".csv"), st.sampled_from(sorted(TABLES))),
        attack("module", st.sampled_from(sorted(MODULES))).map(lambda one: one._replace(detail=one.path)),
        attack("target", of("run.json", "best.ckpt"), section, targets),
        attack("value", of(".ckpt"), share, values),
        attack("weights", of(".ckpt"), values),
        attack("columns", of("best.ckpt"), st.sampled_from(sorted(COLUMNS))),
        attack("archive", of(".ckpt"), st.sampled_from(sorted(CHECKPOINTS))),
        attack("link", any_file, links),
        attack("link", planted, links),
        attack("links", folders, links),
        attack("pipe", st.one_of(any_file, planted)),
        attack("folder", st.one_of(any_file, planted)),
    )
