"""What a refusal must contain, in whatever words: the key, what was given, and what is allowed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runge.configuration.errors import ConfigurationError


def check_refusal(message: str, key: str, given: str = "", *allowed: str) -> None:
    """Check that a message is one line that begins with the key, and contains what was given and what is allowed."""
    text = message.removeprefix("error: ").rstrip()
    assert text.startswith(key), text
    assert "\n" not in text
    assert given in text.removeprefix(key), text
    for rule in allowed:
        assert rule in text, text


@contextmanager
def refuses(key: str, given: str = "", *allowed: str) -> Iterator[None]:
    """Check that the block raises a `ConfigurationError` with such a message (`check_refusal`)."""
    with pytest.raises(ConfigurationError) as error:
        yield
    check_refusal(str(error.value), key, given, *allowed)
