"""Files that appear whole, and locks where the file system has none."""

import errno
import subprocess
import sys
import threading

import filelock
import pytest

from disbench import files
from disbench.errors import UsageError

HOLDS = """
import pathlib, sys
from disbench import files
from disbench.errors import UsageError
with files.locked(pathlib.Path(sys.argv[1])) as ours:
    print(ours)
"""


def another_process_holds(path):
    found = subprocess.run([sys.executable, "-c", HOLDS, path], capture_output=True, text=True, check=True)
    return found.stdout.strip() == "True"


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "deep" / ".lock"
    with files.locked(path) as ours:
        assert ours
        assert not another_process_holds(path)
        with files.locked(path) as again:
            assert not again
    assert another_process_holds(path)


@pytest.mark.parametrize("number", files.NO_LOCKS)
def test_a_file_system_without_locks_has_soft_ones(tmp_path, monkeypatch, number):
    """A file that the system once locked stays beside them and says nothing."""
    path = tmp_path / ".lock"
    path.touch()

    def refuse(*_, **__):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(filelock.UnixFileLock, "acquire", refuse)
    with files.locked(path) as ours, files.locked(path) as again:
        assert (ours, again) == (True, False)
    assert [found.name for found in tmp_path.iterdir()] == [".lock"]
    with files.locked(path) as ours:
        assert ours


def test_waiting_for_a_soft_lock_is_said(tmp_path, monkeypatch):
    """A process of another machine that was killed leaves it behind, so nobody may wait in silence."""

    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(filelock.UnixFileLock, "acquire", refuse)
    marker = tmp_path / ".lock.soft"
    marker.write_text("1\nanother-machine\n")
    timer = threading.Timer(0.2, marker.unlink)
    timer.start()
    lock = files.locked(tmp_path / ".lock", wait=True)
    with pytest.warns(UserWarning, match=f"holds {marker}; delete it"):
        assert lock.__enter__()
    timer.join()
    assert marker.exists()
    lock.__exit__(None, None, None)
    assert not marker.exists()


def test_another_error_of_a_lock_is_not_swallowed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(filelock.UnixFileLock, "acquire", refuse)
    with pytest.raises(OSError, match="broken"), files.locked(tmp_path / ".lock"):
        pass


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path):
    files.write_text(tmp_path / "a", "before")

    def write(temporary):
        temporary.write_text("half")
        assert files.is_temporary(temporary)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.write_atomically(tmp_path / "a", write)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "before"}


def test_a_folder_takes_the_place_of_the_one_before_or_leaves_it(tmp_path):
    for text in ("first", "second"):
        with files.replacing_folder(tmp_path / "f") as made:
            (made / text).touch()
    with pytest.raises(ZeroDivisionError), files.replacing_folder(tmp_path / "f") as made:
        raise ZeroDivisionError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["f", "f/second"]


def broken(path, error, **words):
    with pytest.raises(UsageError) as refused, files.reading(path, **words):
        raise error
    return str(refused.value)


def test_what_a_library_says_about_a_file_is_one_sentence(tmp_path):
    path = tmp_path / "a.h5"
    assert broken(path, KeyError("x\ny\x00" + 200 * "z"), kind="HDF5", again="fetch it again") == (
        f"{path} cannot be read as HDF5 ('x\\ny\\x00{148 * 'z'}...); it is damaged, cut short or of another "
        "version: fetch it again."
    )
    assert "cannot be read (EOFError); it is damaged" in broken(path, EOFError())
    assert broken(path, PermissionError(13, "Permission denied")) == f"cannot read {path}: Permission denied."
    assert "takes more memory than there is" in broken(path, MemoryError())
    assert broken(path, UsageError("as it was")) == "as it was"
