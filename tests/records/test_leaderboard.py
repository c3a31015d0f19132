import re

import pytest

from runge.configuration.errors import ConfigurationError
from runge.records.leaderboard import read_leaderboard
from tests.comparison.test_leaderboard_table import BOARD


def test_files(tmp_path):
    assert read_leaderboard([tmp_path]) is None
    BOARD.write(tmp_path)
    assert read_leaderboard([tmp_path]) == BOARD
    assert read_leaderboard([tmp_path, tmp_path]) is None
    file = tmp_path / "leaderboard.json"
    text = file.read_text()
    for key, given, damaged in (("steps", "100", '"many"'), ("curve", '"....', '"'), ("curve", '".', '"<')):
        file.write_text(re.sub(f'"{key}": {given}', f'"{key}": {damaged}', text, count=1))
        with pytest.raises(ConfigurationError, match=r"leaderboard.json is damaged"):
            read_leaderboard([tmp_path])
