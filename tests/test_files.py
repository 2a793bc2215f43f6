"""Files that appear whole, and locks where the file system has none."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

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


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks, and leases of a second."""

    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.UnixFileLock, "acquire", refuse)
    monkeypatch.setattr(files, "LEASE", 1.0)
    monkeypatch.setattr(files, "_TOLD", set())


@pytest.mark.parametrize("number", files.NO_LOCKS)
def test_a_file_system_without_locks_has_leases_and_that_is_told(tmp_path, monkeypatch, number):
    """A file that the system once locked stays beside them and says nothing."""
    path = tmp_path / ".lock"
    path.touch()

    def refuse(*_, **__):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(filelock.UnixFileLock, "acquire", refuse)
    monkeypatch.setattr(files, "_TOLD", set())
    told = f"the disk that holds {tmp_path} has no file locks \\(no locks here\\)"
    with (
        pytest.warns(UserWarning, match=told) as warned,
        files.locked(path) as ours,
        files.locked(path) as again,
    ):
        assert (ours, again) == (True, False)
    assert len(warned) == 1
    assert [found.name for found in tmp_path.iterdir()] == [".lock"]
    with files.locked(path) as ours:
        assert ours


@pytest.mark.filterwarnings("ignore:the disk that holds")
def test_a_lease_of_a_process_that_is_gone_from_this_machine_is_free(tmp_path, no_locks):
    code = """
import errno, filelock, os, pathlib, sys
from disbench import files
def refuse(*_, **__):
    raise OSError(errno.ENOLCK, "none")
filelock.UnixFileLock.acquire, files.LEASE = refuse, 1.0
held = files.locked(pathlib.Path(sys.argv[1]))
held.__enter__()
os._exit(9)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, tmp_path / ".lock"], check=False)
    assert (tmp_path / ".lock.lease").exists()
    with files.locked(tmp_path / ".lock") as ours:
        assert ours


def of_another_machine(folder):
    """A lease whose holder is on a machine that cannot be asked."""
    with files.locked(folder / ".lock") as ours:
        assert ours
        held = (folder / ".lock.lease").read_text()
    (folder / ".lock.lease").write_text(held.replace(socket.gethostname(), "elsewhere"))
    assert "elsewhere" in (folder / ".lock.lease").read_text(), held
    return folder / ".lock.lease"


@pytest.mark.filterwarnings("ignore:the disk that holds", "ignore:waiting for")
@pytest.mark.parametrize("wait", [False, True])
def test_a_lease_of_another_machine_is_free_when_nobody_touches_it(tmp_path, no_locks, wait):
    marker = of_another_machine(tmp_path)
    assert not files.lapsed(tmp_path / ".lock")
    if not wait:
        with files.locked(tmp_path / ".lock") as ours:
            assert not ours
    before = time.time() - 2
    os.utime(marker, (before, before))
    assert files.lapsed(tmp_path / ".lock")
    with files.locked(tmp_path / ".lock", wait) as ours:
        assert ours


@pytest.mark.filterwarnings("ignore:the disk that holds", "ignore:waiting for")
def test_a_lease_that_is_touched_is_not_free_however_old_it_seems(tmp_path, no_locks):
    """The clock of its machine may be wrong, so it is watched."""
    marker, over = of_another_machine(tmp_path), threading.Event()

    def beat():
        age = 100.0
        while not over.wait(0.2):
            age -= 0.2
            os.utime(marker, (time.time() - age,) * 2)

    before = time.time() - 100
    os.utime(marker, (before, before))
    thread = threading.Thread(target=beat)
    thread.start()
    with files.locked(tmp_path / ".lock") as ours:
        assert not ours
    over.set()
    thread.join()


def test_a_lock_that_does_not_travel_is_seen_by_its_lease(tmp_path, monkeypatch):
    """As between two machines, or two mounts of one disk, where each gets the lock of its own system."""
    monkeypatch.setattr(filelock.UnixFileLock, "acquire", lambda *_, **__: None)
    monkeypatch.setattr(filelock.UnixFileLock, "release", lambda *_, **__: None)
    with files.locked(tmp_path / ".lock") as ours:
        assert ours
        assert not another_process_holds(tmp_path / ".lock")
        with files.locked(tmp_path / ".lock") as again:
            assert not again
    assert another_process_holds(tmp_path / ".lock")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="zombies are known by /proc")
def test_a_lease_of_a_process_that_nobody_waited_for_is_free(tmp_path):
    held = "h = files.locked(pathlib.Path(sys.argv[1])); h.__enter__(); os._exit(9)"
    code = f"import os, pathlib, sys; from disbench import files; {held}"
    ended = subprocess.Popen([sys.executable, "-c", code, tmp_path / ".lock"])
    process, deadline = Path(f"/proc/{ended.pid}"), time.monotonic() + 60

    def gone():
        # its first thread may end before the one that keeps the lease, with which the files are open
        return " Z " in (process / "stat").read_text("utf-8") and len(list((process / "task").iterdir())) == 1

    while not gone() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / ".lock.lease").exists()
    with files.locked(tmp_path / ".lock") as ours:
        assert ours
    ended.wait()


def test_a_system_without_a_further_thread_has_its_lock_alone(tmp_path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", refuse)
        held = files.locked(tmp_path / ".lock")
        assert held.__enter__()
    assert not (tmp_path / ".lock.lease").exists()
    assert not another_process_holds(tmp_path / ".lock")
    held.__exit__(None, None, None)
    assert another_process_holds(tmp_path / ".lock")


def test_a_full_disk_has_the_lock_of_the_system_alone(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock.SoftFileLease, "acquire", refuse)
    with files.locked(tmp_path / ".lock") as ours:
        assert ours
        assert not another_process_holds(tmp_path / ".lock")


def test_a_suspended_process_keeps_its_lock(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    with files.locked(path):
        os.utime(tmp_path / ".lock.lease", (time.time() - 100,) * 2)
        assert not files.lapsed(path)
    of_another_machine(tmp_path)
    os.utime(tmp_path / ".lock.lease", (time.time() - 100,) * 2)
    assert files.lapsed(path)


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


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "there is too little memory; free some"),
        (MemoryError("Unable to allocate 28.1 MiB for an array"), "(28.1 MiB more were asked for)"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 bytes. Error"),
            "(40 bytes more were asked for)",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is too little memory"),
        (RuntimeError("can't start new thread"), "starts no further threads or processes for this user"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (OSError(errno.ENOENT, "No such file or directory"), None),
        (ValueError("can't start new thread"), None),
    ],
)
def test_what_the_system_lacks_is_a_sentence(error, sentence):
    found = files.lacking(error)
    assert found is None if sentence is None else sentence in str(found)
