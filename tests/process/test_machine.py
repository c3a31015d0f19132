import os
import platform
import subprocess

import pytest

from runge.process.machine import cache_folder, compiling_pays, is_own, own_folder, processor, provenance


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx avx2 avx512f", "A 1, AVX-512"), ("fpu avx avx2", "A 1, AVX2"), ("fpu", "A 1")]
)
def test_a_processor_is_named_with_its_widest_vectors(flags, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(2 * f"processor\t: 0\nmodel name\t: A 1\nflags\t\t: {flags}\n\n")
    monkeypatch.setattr("runge.process.machine.Path", lambda path: tmp_path / path.rpartition("/")[2])
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


@pytest.mark.parametrize(
    ("mode", "own"), [(0o700, True), (0o755, True), (0o1777, True), (0o770, False), (0o707, False), (0o777, False)]
)
def test_a_folder_is_ones_own_if_no_other_user_can_replace_it(mode, own, tmp_path):
    """A sticky folder, such as /tmp, lets a user replace only what is the user's."""
    folder = tmp_path / "above" / "middle" / "folder"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "above").chmod(mode)
    assert own_folder(folder) == own_folder(tmp_path / "link") == own
    folder.chmod(0o1777)
    assert not own_folder(folder)


def test_what_is_another_users_is_not_ones_own(tmp_path, monkeypatch):
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to("file")
    assert is_own(tmp_path / "file")
    assert not is_own(tmp_path / "link")
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert not is_own(tmp_path / "file")
    assert not own_folder(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_below_one_of_another_user_is_not_ones_own(tmp_path):
    (tmp_path / "above" / "folder").mkdir(parents=True)
    assert own_folder(tmp_path / "above" / "folder")
    os.chown(tmp_path / "above", 12345, -1)
    assert not own_folder(tmp_path / "above" / "folder")


def test_a_new_cache_directory_does_not_depend_on_the_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path / "new" / "cache"))
    before = os.umask(0)
    try:
        assert cache_folder() == tmp_path / "new" / "cache"
    finally:
        os.umask(before)


def test_windows_has_a_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o777)
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.delattr(os, "geteuid")
    assert cache_folder() == tmp_path


def test_the_commit_of_the_working_directory_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    provenance.cache_clear()
    assert "directory's commit" not in provenance()
    (tmp_path / "file").write_text("1")
    identity = "-c", "user.name=a", "-c", "user.email=a@b"
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-q", "-m", "One"], ["tag", "v1"]):
        subprocess.run(["git", *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    provenance.cache_clear()
    assert provenance()["directory's commit"] == head
    assert provenance()["Python"] == platform.python_version()
    # A stranger's directory: git would run its filter to see if a file is changed.
    subprocess.run(["git", "config", "filter.x.clean", f"touch {tmp_path / 'owned'}; cat"], check=True)
    (tmp_path / ".gitattributes").write_text("* filter=x")
    (tmp_path / "file").write_text("2")
    provenance.cache_clear()
    assert provenance()["directory's commit"] == head
    assert not (tmp_path / "owned").exists()
    monkeypatch.setenv("PATH", "")
    provenance.cache_clear()
    assert provenance().keys() == {"Python", "processor"}
    provenance.cache_clear()
