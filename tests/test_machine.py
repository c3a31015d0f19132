import os

import pytest

from runge.machine import cache_folder, compiling_pays, processor


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx avx2 avx512f", "A 1, AVX-512"), ("fpu avx avx2", "A 1, AVX2"), ("fpu", "A 1")]
)
def test_a_processor_is_named_with_its_widest_vectors(flags, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(2 * f"processor\t: 0\nmodel name\t: A 1\nflags\t\t: {flags}\n\n")
    monkeypatch.setattr("runge.machine.Path", lambda path: tmp_path / path.rpartition("/")[2])
    assert processor() == expected
    (tmp_path / "cpuinfo").unlink()
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert processor() == "arm"


def test_compiling_pays_for_much_work():
    assert not compiling_pays(neurons=2**15, steps=80)
    assert compiling_pays(neurons=2**15, steps=8000)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"RUNGE_CACHE_DIR": "own", "XDG_CACHE_HOME": "caches"}, "own"),
        ({"XDG_CACHE_HOME": "caches", "HOME": "home"}, "caches/runge"),
        ({"HOME": "home"}, "home/.cache/runge"),
    ],
)
def test_the_cache_directory_is_this_users_alone(variables, folder, tmp_path, monkeypatch):
    for name in ("RUNGE_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    assert cache_folder() == tmp_path / folder
    for mode in (0o770, 0o707, 0o500):
        (tmp_path / folder).chmod(mode)
        assert cache_folder() is None or (mode == 0o500 and os.geteuid() == 0)


def test_windows_has_a_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o777)
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.delattr(os, "geteuid")
    assert cache_folder() == tmp_path
