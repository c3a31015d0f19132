"""Generate the reference of the configuration: keys and defaults from `conf/`, their meaning from the docstrings.

Each public function writes a part of a page. A key without a description is an error.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.config_store import ConfigStore

from runge.optimizers.gradient import Gradient
from runge.records.metrics import QUANTITIES, RELATIVE

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "conf"

SECTIONS = {
    "data": "runge.data.sampled.Data",
    "model": "runge.sobolev.network.Model",
    "loss": "runge.training.settings.Loss",
    "trainer": "runge.training.settings.Training",
}
"""The classes whose docstrings explain the keys of a section."""

OTHERS = {
    "seed": "The seed of the weights, and of the data unless `data.seed` is given.",
    "objective": "What a search minimises: a metric key of the validation points, or a list of them. `val/nrmse` is "
    "the root mean square of `val/nrmse_f` and `val/nrmse_df`. Errors on the test points are not allowed.",
    "pictures": "Draw a run's plots at its end: `true`, `false`, or `auto` (single runs only). "
    "`runge draw DIR` draws them later.",
    "tags": "Words of 1 to 64 characters by which a run is found again. They change no result.",
    "note": "A text about the run, which changes no result.",
    "resume": "The directory of a run that did not finish, to resume it, or of one that gets a larger "
    "`trainer.max_steps`.",
    "logger.tracking_uri": "The store, a SQLite file or a server: `sqlite:///FILE`, `http://HOST:PORT`; `null`: that "
    "of `MLFLOW_TRACKING_URI`, or else `sqlite:///mlflow.db`, which `mlflow ui` shows.",
    "logger.reinit": "As for `wandb.init`: each member of a stack is a run.",
    "logger.settings": "As for `wandb.init`: the output and the load of the process, which belong to all members, are "
    "not logged.",
    "logger.tags": "As for `wandb.init`: the tags of the run.",
    "logger.notes": "As for `wandb.init`: the note of the run.",
}
"""The meaning of the keys that no docstring of ours explains, first those at the top level."""


class Option(NamedTuple):
    """One file of a group."""

    name: str
    head: str
    target: type
    keys: dict[str, Any]
    also: dict[str, dict[str, Any]]


def sections() -> str:
    """Write a table of each section of `conf/config.yaml`."""
    content = yaml.safe_load((CONFIGURATIONS / "config.yaml").read_text())
    lines = ["## Top level", "", *_head("key", "meaning", "default")]
    lines += [_row(f"`{key}`", _meaning(key, {}), _value(content[key])) for key in OTHERS if key in content]
    for section, name in SECTIONS.items():
        if section in content:
            part = _import(name)
            explained = {key: text + _choices(part, key, text) for key, text in _explained(part).items()}
            lines += ["", f"## {section}", "", *_head("key", "meaning", "default")]
            lines += [_key_row(f"{section}.{key}", explained, value) for key, value in content[section].items()]
    return "\n".join(lines)


def groups() -> str:
    """Write the options of each group, and a table of their keys."""
    content = yaml.safe_load((CONFIGURATIONS / "config.yaml").read_text())
    chosen = {group: name for part in content["defaults"] if isinstance(part, dict) for group, name in part.items()}
    lines = []
    for directory in sorted(
        path for path in CONFIGURATIONS.iterdir() if path.is_dir() and path.name not in ("experiment", "search")
    ):
        group, options = directory.name, list(_options(directory))
        targets = [option.target for option in options]
        lines += ["", f"## {group}", "", *_head(f"`{group}=`", "what it is")]
        for option in options:
            text = option.head if option.head and targets.count(option.target) > 1 else _summary(option.target)
            for who, settings in option.also.items():
                text += f" {who} sets " + ", ".join(f"`{key}={_text(value)}`" for key, value in settings.items()) + "."
            default = " (default)" if chosen.get(group) == option.name else ""
            lines.append(_row(f"`{option.name}`{default}", text))
        rows: dict[tuple[str, str], dict[str, list[str]]] = {}
        for option in options:
            for key, value in option.keys.items():
                row = rows.setdefault((f"{group}.{key}", _meaning(f"{group}.{key}", _explained(option.target))), {})
                row.setdefault(_value(value), []).append(f"`{option.name}`")
        if rows:
            lines += ["", *_head("key", "meaning", "default")]
        for (key, text), defaults in rows.items():
            values = "; ".join(f"{', '.join(names)}: {value}" for value, names in defaults.items())
            lines.append(_row(f"`{key}`", text, values))
    return "\n".join(lines)


def quantities() -> str:
    """Write a table of the errors of a run."""
    rows = [_row(f"`{name}`", text) for name, text in (QUANTITIES | RELATIVE).items()]
    return "\n".join([*_head("quantity", "meaning"), *rows])


def launcher() -> str:
    """Write a table of the launcher's keys."""
    importlib.import_module("hydra_plugins.runge_fused")
    node: Any = ConfigStore.instance().repo["hydra"]["launcher"]["fused.yaml"].node  # pyright: ignore
    explained = _explained(_import("runge.sweeps.slurm.LauncherSettings"))
    rows = [_key_row(f"hydra.launcher.{key}", explained, node[key]) for key in node if key != "_target_"]
    return "\n".join([*_head("key", "meaning", "default"), *rows])


def search() -> str:
    """Write a table of the keys of `search=optuna`."""
    return _search("optuna", "runge.sweeps.policies.optuna.OptunaSettings")


def best() -> str:
    """Write a table of the keys of `search=best`."""
    return _search("best", "runge.search.search.SearchSettings")


def grid() -> str:
    """Write a table of the keys of `search=none`."""
    return _search("none", "runge.sweeps.policies.grid.GridSettings")


def _search(option: str, settings: str) -> str:
    """Write a table of the keys of an option; mappings, the candidates, are too long for it."""
    content, explained = (
        yaml.safe_load((CONFIGURATIONS / f"search/{option}.yaml").read_text()),
        _explained(_import(settings)),
    )
    meanings = {key: _meaning(f"search.{key}", explained) for key in content}
    rows = [_row(f"`search.{key}`", meaning, _default(option, content[key])) for key, meaning in meanings.items()]
    return "\n".join([*_head("key", "meaning", "default"), *rows])


def _default(option: str, value: Any) -> str:
    return f"those of `conf/search/{option}.yaml`" if isinstance(value, dict) else _value(value)


def experiments() -> str:
    """Write a table of the experiments, and what they say at their heads."""
    lines = _head("`experiment=`", "what it is")
    for path in sorted(CONFIGURATIONS.glob("experiment/**/*.yaml")):
        name = path.relative_to(CONFIGURATIONS / "experiment").with_suffix("").as_posix()
        lines.append(_row(f"`{name}`", _comment(path.read_text())))
    return "\n".join(lines)


def _options(directory: Path) -> Iterator[Option]:
    contents = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(directory.glob("*.yaml"))}
    for name, content in contents.items():
        own, chosen, also = dict(content), {}, {}
        for part in own.pop("defaults", []):
            if isinstance(part, dict):  # an option of another group
                chosen |= {group.removeprefix("override /"): option for group, option in part.items()}
            elif part != "_self_":
                own = {**contents.get(part, {}), **own}
        if directory.name in own:  # an option that sets keys of other sections too
            sets = {key: "null" if x is None else x for key, x in chosen.items()}
            also["It"] = sets | _keys({key: part for key, part in own.items() if key != directory.name})
            own = own[directory.name]
        for path in sorted(directory.glob(f"on/*_{name}.yaml")):
            kind = path.stem.removesuffix(f"_{name}")
            also[f"With `data={kind}` it also"] = _keys(yaml.safe_load(path.read_text()))
        own = own.get(name, own)  # a logger has its name
        target = _import(own.pop("_target_", SECTIONS.get(directory.name)))
        yield Option(name, _comment((directory / f"{name}.yaml").read_text()), target, own, also)


def _keys(sections: dict[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, part in sections.items() for key, value in part.items()}


def _comment(text: str) -> str:
    """Return the first paragraph of the comment at the head of a file of YAML, without `@package`."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#") or (lines and line == "#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def _import(name: str) -> Any:
    return pkgutil.resolve_name(name)


def _summary(target: type) -> str:
    return _markdown((inspect.getdoc(target) or "").split("\n\n")[0])


def _explained(part: type) -> dict[str, str]:
    """Read the `Args:` and `Attributes:` of a class, and of the classes from which it derives."""
    texts: dict[str, str] = {}
    for one in part.__mro__:
        for section in re.findall(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", _docstring(one), re.MULTILINE):
            for name, text in re.findall(r"^    (\w+): ((?:.*\n?)(?:     .*\n?)*)", section, re.MULTILINE):
                texts.setdefault(name, text)
    return texts


def _choices(part: type, name: str, text: str) -> str:
    """Return the words that an argument may be, where its text does not list them."""
    parameter = inspect.signature(part).parameters.get(name)
    words = re.findall(r"'(\w+)'", str(parameter.annotation)) if parameter and "Literal" in str(parameter) else []
    if words and not all(f"`{word}`" in text for word in words):
        return " Allowed: " + ", ".join(f"`{word}`" for word in words) + "."
    return ""


def _docstring(part: type) -> str:
    return inspect.cleandoc(part.__dict__.get("__doc__") or "")


def _meaning(key: str, explained: dict[str, str]) -> str:
    name = key.rpartition(".")[2]
    text = OTHERS.get(key) or explained.get(name) or _explained(Gradient).get(name)
    if text is None:
        raise ValueError(f"{key}: no docstring explains this key")
    text = _markdown(text)
    return text[:1].upper() + text[1:] if re.match(r"(?!true\b)[a-z]{3,}|an? ", text) else text


def _key_row(key: str, explained: dict[str, str], value: Any) -> str:
    return _row(f"`{key}`", _meaning(key, explained), _value(value))


def _value(value: Any) -> str:
    if isinstance(value, dict) and "_target_" in value:
        return f"`{value['_target_'].rpartition('.')[2]}`"
    return f"`{_text(value)}`"


def _text(value: Any) -> str:
    """Return a value as it is written on the command line; an interpolation in words."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(part)}" for key, part in value.items()) + "}"
    text = {None: "null", True: "true", False: "false"}.get(value, value) if isinstance(value, bool | None) else value
    text = re.sub(r"\$\{runge\.share:([\d.]+),\$\{([\w.]+)\}(?:,(\d+))?\}", _share, str(text))
    return re.sub(r"\$\{([\w.]+)\}", r"\1", text)


def _share(found: re.Match[str]) -> str:
    part, steps, most = found.groups()
    return f"{part} of {steps}" + (f", from 1 to {most}" if most else "")


def _markdown(text: str) -> str:
    """Turn the reStructuredText of a docstring into one line of Markdown."""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", " ".join(text.split()))
    text = re.sub(r"`([^`<]+) <([^>]+)>`_", r"[\1](\2)", text)
    return re.sub(r"\bNone\b", "`null`", text)


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
