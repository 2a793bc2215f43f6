"""Files that appear whole or not at all, JSON in them, and the one lock of the project.

The lock is the operating system's, which vanishes with its process however that ends. On some network disks
it holds only against the same machine or mount, and others have none. So the library `filelock` keeps a file
with host and process beside it, which its holder touches every `LEASE / 3` seconds. Such a lease is free when
its process is gone from this machine, or when nobody has touched it for `LEASE` seconds, since the machine of
its process may be gone.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from disbench.errors import UsageError, argument
from disbench.texts import short

# An object as JSON reads it.
Json = Mapping[str, Any]
# A number of a record is below it: no score or loss comes near, and axes cannot be drawn beyond.
LARGEST = 1e100
# Of a text of a run; the largest ones are hundredths of it.
MOST_BYTES = 2**26
# seconds after which a lease that nobody touches is free
LEASE = 30.0
# disks whose lack of locks was told
_TOLD: set[int] = set()
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
# a disk has also as many files as it may have, and a user as much as he may
FULL = (errno.ENOSPC, errno.EDQUOT)
ELSEWHERE = "give a folder that you may write to"
# what a disk or the system may refuse beside space, and what helps
ADVICE = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR), ELSEWHERE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files, `ulimit -n`"),
    errno.EFBIG: "allow larger files, `ulimit -f`",
    errno.ENAMETOOLONG: "give a shorter name",
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENXIO, errno.ENODEV),
        "look whether the disk is sound and connected, and try again",
    ),
}


def _temporary(path: Path) -> Path:
    # not tempfile: its files are for the owner's eyes alone, and a run is often shared
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def is_temporary(path: Path) -> bool:
    """Whether the path has the name of a file or folder that is not whole yet."""
    return re.fullmatch(r"\..+\.\d+-[0-9a-f]{8}", path.name) is not None


@contextlib.contextmanager
def replacing(path: Path, lasting: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end; on any error nothing is left behind.

    A process that is killed leaves a file that `is_temporary`.

    Args:
        path: of the file.
        lasting: wait until the disk has it, for what a power failure must not take.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        if lasting:
            flush(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        # where nothing can be written nothing can be removed, and the first error says why
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _rename(error, temporary, path)
        raise


def flush(path: Path) -> None:
    """Waits until the disk has a file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place at the end; on any error `path` stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            before = _temporary(path)
            os.rename(path, before)
            try:
                os.rename(temporary, path)
            except BaseException:
                os.rename(before, path)
                raise
            shutil.rmtree(before)
        else:
            os.rename(temporary, path)
    except OSError as error:
        _rename(error, temporary, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(error: BaseException, temporary: Path, path: Path) -> None:
    """Names in an error what was to be written: nobody knows the temporary file or folder."""
    if isinstance(error, OSError) and error.filename == str(temporary):
        error.filename = str(path)


def write_atomically(path: Path, write: Callable[[Path], object], lasting: bool = True) -> None:
    """Calls `write(temporary_path)` and renames the result to `path`, see `replacing`."""
    with replacing(path, lasting) as temporary:
        write(temporary)


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """UTF-8, atomically, see `replacing`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"), lasting)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, values: object, lasting: bool = True) -> None:
    """Strict JSON, atomically, see `replacing`: a NaN is written as null by the caller or not at all."""
    write_text(path, json.dumps(values, indent=1, allow_nan=False, default=list) + "\n", lasting)


def read_json(path: Path, again: str = "remove it, and it is made again") -> Any:
    """The content; None where there is no such file.

    Args:
        path: of the file.
        again: how to get a good file, the end of the sentence.

    Raises:
        UsageError: it is damaged or larger than `MOST_BYTES`, or as for `not_linked`.
    """
    text = read_text(path, again)
    if text is None:
        return None
    values = parse_json(text)
    if values is None:
        raise UsageError(f"{path} is damaged: it holds no JSON; {again}.")
    return values


def read_text(path: Path, again: str) -> str | None:
    """The text of a file of a run; None where there is none. Arguments and errors as of `read_json`."""
    try:
        with open(not_linked(path), "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; {again}.") from None
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} is larger than any that disbench writes ({MOST_BYTES:,} bytes); {again}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is damaged: it is no text in UTF-8; {again}.") from None


def parse_json(text: str) -> Any:
    """The values of a text; None where it is no JSON, is nested without end, or holds half letters."""
    # ValueError: also numbers of thousands of digits
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads(text)
        if "\\ud" in text.lower():
            # a letter in two halves is one letter now, and half a letter is an error
            json.dumps(values, ensure_ascii=False).encode()
        return values
    return None


def not_linked(path: Path) -> Path:
    """The path of a file within a run or a saved result.

    Raises:
        UsageError: it is a symbolic link, as a stranger's folder could show any file of its reader's, or a
            pipe or a device, which would be waited for.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        # whoever opens it finds out why
        return path
    if stat.S_ISLNK(mode):
        raise UsageError(f"{path} is a symbolic link, which is not followed here; put a copy in its place.")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"{path} is a pipe or a device and no file; remove it.")
    return path


def is_cut(path: Path) -> bool:
    """Whether an archive, such as a file of tensors, lacks its end or is no file; only its end is read.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return not zipfile.is_zipfile(file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return True
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}.") from None


def fits(values: object, kinds: Mapping[str, tuple[type, ...]], needed: Iterable[str] = ()) -> bool:
    """Whether JSON is an object whose fields are of these kinds, as far as it has them.

    Numbers are finite and below `LARGEST`; a truth value is no number.

    Args:
        values: the JSON.
        kinds: types of each field; float for any number.
        needed: the fields that it must have.
    """
    return (
        isinstance(values, dict)
        and all(name in values for name in needed)
        and all(_of(values[name], kind) for name, kind in kinds.items() if name in values)
    )


def _of(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int | float):
        whole = isinstance(value, int) and int in kinds
        return (whole or float in kinds) and abs(value) < (2**63 if whole else LARGEST)
    return isinstance(value, kinds)


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts of anything numpy; not-a-number and infinities become None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds a lock file against other processes; yields whether this process holds it.

    Args:
        path: of the lock file; its folder is made. The file stays, so that all processes lock the same one.
        wait: for another process that holds it, instead of yielding False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            _acquire(path, wait, held)
        except filelock.Timeout:
            yield False
            return
        yield True


def _acquire(path: Path, wait: bool, held: contextlib.ExitStack) -> None:
    """Takes the lock of the system, where the disk has such, and the lease; what is held releases them.

    Raises:
        filelock.Timeout: another process has one of them.
    """
    hard = filelock.UnixFileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        hard.acquire(blocking=wait)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _tell_no_locks(path, str(error.strerror))
        held.callback(_leased(path, wait).release)
        return
    held.callback(hard.release)
    _clear_of_zombie(path)
    try:
        held.callback(_leased(path, wait).release)
    except filelock.Timeout:
        raise
    except (OSError, RuntimeError):
        # a full disk has no room for it, and a full system no thread; it is missed where locks do not travel
        return


def _leased(path: Path, wait: bool) -> filelock.BaseFileLock:
    # another file: the existence of the first says nothing
    marker = _marker(path)
    soft = filelock.SoftFileLease(
        marker,
        lease_duration=LEASE,
        on_compromise=lambda lost: warnings.warn(
            f"the lease {marker} was lost ({lost.reason}): another process may do the same work", stacklevel=2
        ),
        thread_local=False,
    )
    try:
        soft.acquire(blocking=False)
    except (filelock.Timeout, filelock.LeaseSettingsMismatch) as busy:
        if not wait and not _untouched(path):
            raise filelock.Timeout(str(marker)) from None
        if isinstance(busy, filelock.LeaseSettingsMismatch):
            raise UsageError(
                f"{marker} is of another version of disbench; delete it if nobody works there."
            ) from None
        warnings.warn(
            f"waiting for {marker}, which is free {LEASE:g} seconds after it was last touched", stacklevel=5
        )
        # whoever watches it for that long by the clock of one machine need not trust those of others
        soft.acquire(timeout=-1 if wait else LEASE * 1.5)
    return soft


def _clear_of_zombie(path: Path) -> None:
    """Removes the lease of a process of this machine that has ended and that nobody has waited for."""
    marker = _marker(path)
    if not marker.exists():
        return
    lease = filelock.SoftFileLease(marker, lease_duration=LEASE, thread_local=False)
    owner = lease.owner
    if owner is None or owner.hostname != _host():
        return
    # other systems than Linux have no such file, and their first process waits for all
    with contextlib.suppress(OSError):
        if Path(f"/proc/{owner.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z":
            lease.break_lock()


@functools.cache
def _host() -> str:
    """What a lease records as this machine."""
    with tempfile.TemporaryDirectory() as folder:
        lease = filelock.SoftFileLease(Path(folder) / "lease", lease_duration=LEASE, thread_local=False)
        with lease:
            return "" if lease.owner is None else str(lease.owner.hostname)


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.lease")


def lapsed(path: Path) -> bool:
    """Whether a lock is a lease that nobody has touched for `LEASE` seconds, by the clock of its disk.

    Args:
        path: of the lock, see `locked`.
    """
    if not _untouched(path):
        return False
    hard = filelock.UnixFileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        hard.acquire(blocking=False)
    except filelock.Timeout:
        # its process is suspended
        return False
    except OSError:
        return True
    hard.release()
    return True


def _untouched(path: Path) -> bool:
    try:
        # opened, since a network disk may otherwise tell what it remembers
        with open(_marker(path), "rb") as marker:
            touched = os.fstat(marker.fileno()).st_mtime
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            return os.fstat(probe.fileno()).st_mtime - touched > LEASE
    except OSError:
        return False


def _tell_no_locks(path: Path, why: str) -> None:
    """Warns, once for each disk."""
    disk = path.parent.stat().st_dev
    if disk not in _TOLD:
        _TOLD.add(disk)
        warnings.warn(
            f"the disk that holds {path.parent} has no file locks ({why}); files that are touched every "
            f"{LEASE / 3:g} seconds take their place.",
            stacklevel=5,
        )


@contextlib.contextmanager
def reading(
    path: Path, kind: str = "", again: str = "get a whole copy of it or write it again"
) -> Iterator[None]:
    """Turns what a library says about a file that it cannot read into one sentence.

    Damaged input reaches code of numpy, HDF5, Arrow, pandas, torch, Pillow and others that raises whatever it
    likes, so every exception counts here; only calls into such libraries stand under it.

    Args:
        path: of the file.
        kind: what it is read as, such as "HDF5" or "a zip archive"; "" where that does not matter.
        again: how to get a good file, the end of the sentence.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError):
            raise UsageError(
                f"{path} cannot be read: it takes more memory than there is; free some, or, if it is "
                f"damaged, {again}."
            ) from None
        if (
            isinstance(error, OSError)
            and not isinstance(error, BlockingIOError)
            and error.errno is not None
            and error.strerror
        ):
            raise UsageError(f"cannot read {path}: {error.strerror}.") from None
        wanted = f" as {kind}" if kind else ""
        raise UsageError(
            f"{path} cannot be read{wanted} ({short(error)}); it is damaged, cut short or of another "
            f"version: {again}."
        ) from None


def check_temporary() -> None:
    """Raises UsageError where no folder for temporary files can be written, which torch needs as well."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UsageError(
            f"{str(error.strerror).lower()}; free some space in one of them, or set TMPDIR to a folder that "
            "you may write to."
        ) from None


def disk_is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in FULL


# How torch says that there is no memory on the CPU, and Python that there is no thread: neither has a type.
NO_MEMORY, NO_THREAD = "can't allocate memory", "can't start new thread"


def refused_by_system(error: OSError) -> bool:
    """Whether it is a disk, a right or a limit of this machine, and no fault of disbench."""
    return error.errno in (*FULL, *ADVICE)


def lacking(error: BaseException) -> UsageError | None:
    """The sentence for memory or a thread that the system did not give; None for any other error."""
    if (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and NO_MEMORY in str(error))
    ):
        # numpy and torch say how much they asked for
        said = re.search(r"allocate ([\d.]+ ?\w*)", str(error))
        asked = f" ({said[1]} more were asked for)" if said else ""
        return UsageError(
            f"there is too little memory{asked}; free some, or give less at once: fewer rows, codes or jobs."
        )
    if isinstance(error, RuntimeError) and NO_THREAD in str(error):
        return UsageError(
            "the system starts no further threads or processes for this user; allow more (`ulimit -u`), end "
            f"other programs, or give fewer {argument('jobs')}."
        )
    return None


def unwritable(path: Path, error: OSError) -> UsageError:
    """The sentence for a path that cannot be written."""
    if disk_is_full(error):
        return UsageError(f"the disk that holds {path} is full; free some space and try again.")
    advice = ADVICE.get(error.errno or 0, ELSEWHERE)
    return UsageError(f"cannot write to {path}: {error.strerror or short(error)}; {advice}.")


def now() -> str:
    """The time of day, with its zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
