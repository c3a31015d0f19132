"""The error for an unknown key: the keys that there are in `conf/`, and the one that was meant."""

from collections.abc import Collection
from pathlib import Path

import yaml

from runge.configuration.errors import ConfigurationError, did_you_mean

_HERE = Path(__file__).resolve().parents[1]
CONFIGURATIONS = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
"""The folder of the groups and the experiments: in the installed package, or beside it in a clone."""

_OWN_PARTS = {
    "callbacks": "+callbacks.NAME._target_=CLASS (for early stopping, trainer.patience)",
    "metrics": "+metrics.NAME._target_=FUNCTION",
    "penalty": "+penalty._target_=FUNCTION",
}
"""The sections of a user's own parts, which are empty in `conf/`, and how a part is added."""

_ELSEWHERE = {
    "accumulate_grad_batches": "data.batch_size",
    "ckpt_path": "resume",
    "early_stopping": "trainer.patience",
    "epochs": "trainer.max_steps",
    "gradient_clip_val": "optimizer.clip_norm",
    "learning_rate": "optimizer.lr",
    "limit_train_batches": "data.n_train",
    "max_time": "trainer.max_seconds",
    "neurons": "model.width",
    "scheduler": "optimizer.lr_schedule",
    "val_check_interval": "trainer.log_every",
}
"""The keys by their names in other packages."""


def no_such_key(key: str, name: str, allowed: Collection[str]) -> ConfigurationError:
    """Return the error for a name that is no key of a section: it names the option that has it, or a similar key.

    A key of the same name in another section is similar, too.

    Example:
        >>> print(no_such_key("data", "file", ["n_train", "n_val"]))
        data.file: unknown key; data has n_train, n_val; only data=table has it: add that, or remove the key
    """
    if not key and (how := _OWN_PARTS.get(name)):
        what = f"there are none, and no options in conf/{name}/ or in a folder of your own"
        return ConfigurationError(f"{name}: {what}; add one with {how}")
    options = {path.stem: path.read_text(encoding="utf-8") for path in sorted((CONFIGURATIONS / key).glob("*.yaml"))}
    allowed = allowed if key else [*dict.fromkeys([*allowed, *_OWN_PARTS])]
    hint, has = "", f"{key or 'the top level'} has {', '.join(allowed) or 'none'}"
    if having := [option for option, text in options.items() if key and name in _own_keys(key, text)]:
        hint = f"; only {key}={' or '.join(having)} has it: add that, or remove the key"
    elif name == "_target_":
        hint = f"; +{join(key, name)} adds a class of your own"
    elif question := did_you_mean(name, _keys_by_name() | {similar: join(key, similar) for similar in allowed}):
        hint = f"; {question}"
    return ConfigurationError(f"{join(key, name)}: unknown key; {has}{hint}")


def _keys_by_name() -> dict[str, str]:
    """Return the keys of all sections, such as `optimizer.lr`, by their last names, such as `lr`."""
    content = yaml.safe_load((CONFIGURATIONS / "config.yaml").read_text(encoding="utf-8"))
    sections = {name: keys for name, keys in content.items() if isinstance(keys, dict) and name != "hydra"}
    pairs = {(name, key) for name, keys in sections.items() for key in keys}
    for path in CONFIGURATIONS.glob("*/*.yaml"):
        if (group := path.parent.name) != "experiment":
            pairs |= {(group, key) for key in _own_keys(group, path.read_text(encoding="utf-8"))}
    keys_by_name = dict(_ELSEWHERE)
    for name, key in sorted(pairs):
        keys_by_name[key] = f"{keys_by_name[key]} or {name}.{key}" if key in keys_by_name else f"{name}.{key}"
    return keys_by_name


def _own_keys(group: str, text: str) -> Collection[str]:
    """Return the keys that an option's file sets in the section of its group."""
    content = yaml.safe_load(text) or {}
    return content.get(group) or {} if "# @package _global_" in text else content


def join(*names: object) -> str:
    """Return the full key of a name in sections, of which empty ones are left out."""
    return ".".join(str(name) for name in names if name != "")
