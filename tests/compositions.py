"""Random compositions of every option and key; a new one is drawn without being named here.

The options are the files of `conf/`; the values of a key follow from its annotation.
"""

import dataclasses
import json
import types
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import CONFIGURATIONS, flatten
from runge.sobolev.activations import ACTIVATIONS
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import SECTIONS, Settings
from tests.conftest import compose

GROUPS = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
    for folder in sorted(CONFIGURATIONS.iterdir())
    if folder.is_dir()
    and folder.name not in ("experiment", "logger", "search")  # the former choose options of the others
}
GROUPS["data"].remove("table")  # which needs a file
GROUPS["optimizer"].remove("soap")  # a class of another package, whose keys have no limits here
GROUPS["target"] += ["expression"] * 4  # which stands for any formula
SMALL = ("data.n_train=16", "data.n_val=9", "data.n_test=11", "trainer.max_steps=8", "trainer.log_every=2")
SMALL += ("model.width=5", "trainer.precision=64", "trainer.compile=off", "trainer.progress_bar=false")
UNTYPED = {  # as Hydra reads them
    "model.activation": list(ACTIVATIONS),
    "target.domain": ["[-1,1]", "[0.1,0.9]", "[-2,5]", "[[-1,1],[0,2]]", "[[0,1],[-3,0.5]]", "[[0,1],[-1,1],[0,2]]"],
    "target.expr": [
        *("'exp(-x)*sin(8*x)'", "'tanh(10*x)'", "'abs(x-0.3)'", "'1+0*x'", "'x**3'"),
        *("'x*y'", "'sin(3*x)*exp(y/2)'", "'x*y+sin(z)'"),
    ],
    "trainer.start": ["null"],  # which needs a finished run
    "trainer.max_seconds": ["null"],  # with which two runs may differ in their last step
    "sampling.quotas": ["null", "{left:0.5,right:0.5}", "{boundary:0.7,interior:0.3}"],
}
BOUNDS = (Ge, Gt, Le, Lt)


def value(chance: Random, kind: Any, limits: list[Any], default: Any) -> Any:
    """Draw a value of a type within its limits: numbers are small, or near the default."""
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        inner = [limit for field in arguments[1:] for limit in getattr(field, "metadata", [field])]
        return value(chance, arguments[0], inner, default)
    if get_origin(kind) in (Union, types.UnionType):
        return value(chance, chance.choice(arguments), limits, default)
    if get_origin(kind) is Literal:
        return chance.choice(arguments)
    if get_origin(kind) is list:
        return [value(chance, arguments[0], [], item) for item in default]
    if kind is type(None):
        return None
    if kind is bool:
        return chance.random() < 0.5
    bounds = {type(limit): getattr(limit, type(limit).__name__.lower()) for limit in limits if type(limit) in BOUNDS}
    least, most = bounds.get(Ge, bounds.get(Gt, 1)), bounds.get(Le, bounds.get(Lt, 10**9))
    if kind is int:
        return chance.randint(least, min(most, least + chance.choice((2, 16))))
    if kind is float:
        drawn = least + ((default or 1) - least or 1) * 10 ** chance.uniform(-2, 3)
        drawn = drawn if drawn < most else least + (most - least) * chance.random()
        return chance.choice([drawn, drawn, drawn, *(bounds[end] for end in (Ge, Le) if bounds.get(end, 9) <= 1)])
    raise TypeError(f"give some values of {kind} in UNTYPED")


def draw_keys(member: Member) -> dict[str, Callable[[Random], str]]:
    """Return every key of a composition, with a function that draws an override of it."""
    found: dict[str, Callable[[Random], str]] = {}

    def add(prefix: str, part: object) -> None:
        for name, field in getattr(type(part), "__pydantic_fields__", {}).items():
            default, key = getattr(part, name), f"{prefix}.{name}".removeprefix("seed.")
            if dataclasses.is_dataclass(default):
                add(key, default)
            else:
                draw = partial(value, kind=field.annotation, limits=field.metadata, default=default)
                found[key] = lambda chance, draw=draw: json.dumps(draw(chance))

    for section in SECTIONS:
        add(section, getattr(member.settings, section))
    present = found.keys() | flatten(member.settings.configuration).keys()
    return found | {key: partial(Random.choice, seq=texts) for key, texts in UNTYPED.items() if key in present}


def accepted(overrides: Sequence[str]) -> Member | None:
    """Return the member that these overrides compose, or None if it is refused."""
    try:
        member = Member(Settings.of(compose(*overrides) | {"logger": {}}))
        prepare([member])
    except ConfigurationError:
        return None
    return member


def draw_run(chance: Random) -> list[str]:
    """Draw the overrides of a run that trains."""
    while True:
        overrides = [*SMALL, *(f"{group}={chance.choice(options)}" for group, options in GROUPS.items())]
        if member := accepted(overrides):
            for key, draw in draw_keys(member).items():
                if chance.random() < (0.6 if key in UNTYPED else 0.15):
                    overrides.append(f"{key}={draw(chance)}")
            if accepted(overrides):
                return overrides


def draw_stack(chance: Random) -> list[list[str]]:
    """Draw the overrides of runs that are trained in one stack: two or three, or one if none can be beside it."""
    first = draw_run(chance)
    alike = accepted(first)
    assert alike
    runs = [first]
    for seed in range(chance.choice((1, 2)) if alike.settings.optimizer.keeps_apart else 0):
        run, member = [*first, f"seed={100 + seed}"], alike
        for _ in range(5):
            group, (key, draw) = chance.choice(list(GROUPS)), chance.choice(list(draw_keys(member).items()))
            if chance.random() < 0.4:
                others = [override for override in run if not override.startswith((f"{group}=", f"{group}."))]
                changed = [*others, f"{group}={chance.choice(GROUPS[group])}"]
            else:
                changed = [*run, f"{key}={draw(chance)}"]
            if (candidate := accepted(changed)) and candidate.shared() == alike.shared():
                run, member = changed, candidate
        runs.append(run)
    return runs
