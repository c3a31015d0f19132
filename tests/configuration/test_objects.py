import re

import pytest
import yaml

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import CONFIGURATIONS, OF_STEPS, build, flatten
from runge.sampling import Endpoint, Sampling
from runge.targets import Target
from tests.conftest import compose


class Parabola(Target):
    """A target of a user's own."""

    def __init__(self, domain, factor):
        super().__init__(domain)
        self.factor = factor

    def value(self, x):
        return self.factor * x[..., 0] ** 2

    def derivative(self, x):
        return 2 * self.factor * x


def test_a_class_of_the_user_s_own():
    values = {"_target_": "tests.configuration.test_objects.Parabola", "domain": [0, 1], "factor": 3}
    assert build("target", values, Target).factor == 3
    with pytest.raises(ConfigurationError, match=r"target\.domain: .*lower < upper"):
        build("target", values | {"domain": [1, 0]}, Target)
    with pytest.raises(ConfigurationError, match=r"target\.factr: unknown key; target has domain, factor"):
        build("target", values | {"factr": 1}, Target)


def test_messages():
    target = {"_target_": "runge.sampling.Endpoint"}
    assert build("sampling", target | {"strength": 2}, Sampling) == Endpoint(strength=2.0)
    with pytest.raises(ConfigurationError, match=r"^sampling\.strength: is missing$"):
        build("sampling", target, Sampling)
    with pytest.raises(ConfigurationError, match=r"^sampling\.strength: .* greater than or equal to 0.2, got -1$"):
        build("sampling", target | {"strength": -1}, Sampling)
    with pytest.raises(ConfigurationError, match=r"sampling\._target_: must name a class derived from Sampling"):
        build("sampling", {"_target_": "builtins.dict"}, Sampling)
    with pytest.raises(ConfigurationError, match=r"data: must be a section"):
        build("data", 3, Sampling)
    with pytest.raises(ConfigurationError, match=r"sampling\._target_: .* no colon"):
        build("sampling", {"_target_": "runge.sampling:Random"}, Sampling)


def test_keys_whose_defaults_follow_from_the_steps():
    interpolated = set()
    for path in CONFIGURATIONS.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        group = path.parent.relative_to(CONFIGURATIONS).as_posix()
        values = flatten(content if group == "." or "# @package _global_" in text else {group: content})
        interpolated |= {key for key, x in values.items() if re.search(r"\$\{trainer\.(max_steps|log_every)\}", str(x))}
    assert interpolated == {*OF_STEPS}


@pytest.mark.parametrize("data", ["sampled", "table"])
def test_what_an_optimizer_sets_holds_for_all_data(data):
    """A kind of data, which is read later, only changes what a file of its own for this optimizer says."""
    for path in sorted((CONFIGURATIONS / "optimizer").glob("*.yaml")):
        files = path, path.parent / "on" / f"{data}_{path.name}"
        texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
        expected = dict[str, object]()
        for text in texts:
            expected |= flatten(yaml.safe_load(text)) if "# @package _global_" in text else {}
        composed = flatten(compose(f"data={data}", f"optimizer={path.stem}")) if expected else {}
        expected = {key: x for key, x in expected.items() if key in composed and not str(x).startswith("${")}
        assert {key: composed[key] for key in expected} == expected
