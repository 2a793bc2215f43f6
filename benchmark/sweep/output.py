"""What code prints while a seed trains: in a process of its own, into a file of the seed, with an end.

A flood of prints would hide the progress of the sweep, and fill the disk that a log is on. The file keeps the
beginning; a group that goes on printing beyond `MOST` is ended by the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from disbench.texts import clean

NAME = "output.txt"
# bytes that are kept of a seed, and from which on it fails
KEPT, MOST = 2**20, 2**26
HERE = str(Path(__file__).parents[2])


@contextlib.contextmanager
def captured(folder: Path) -> Iterator[None]:
    """Sends standard output and standard error of this process, those of its libraries too, to a file.

    Warnings of disbench itself still appear on standard error. Nothing is left of an empty file.

    Args:
        folder: of the cell; its file is appended to.
    """
    path = folder / NAME
    before = [os.dup(number) for number in (1, 2)]
    show = warnings.showwarning

    def shown(message, category, filename, lineno, file=None, line=None):  # type: ignore[no-untyped-def]
        if filename.startswith(HERE):
            os.write(before[1], f"disbench: {clean(message)}\n".encode())
        else:
            show(message, category, filename, lineno, file, line)

    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.open(path, flags, 0o666)
        for number in (1, 2):
            os.dup2(file, number)
        os.close(file)
        warnings.showwarning = shown
        yield
    finally:
        warnings.showwarning = show
        for stream in (sys.stdout, sys.stderr):
            # code may have closed it, or the disk may be full
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        for number, kept in zip((1, 2), before, strict=True):
            os.dup2(kept, number)
            os.close(kept)
        shorten(folder)


def size(folder: Path) -> int:
    """Bytes that were printed so far, 0 without a file."""
    with contextlib.suppress(OSError):
        return (folder / NAME).lstat().st_size
    return 0


def shorten(folder: Path) -> None:
    """Removes an empty file, and cuts a long one down to its beginning."""
    path = folder / NAME
    with contextlib.suppress(OSError):
        printed = path.lstat().st_size
        if not printed:
            path.unlink()
        elif printed > KEPT:
            os.truncate(path, KEPT)
            with open(path, "ab") as file:
                file.write(f"\n[{printed - KEPT:,} bytes more were printed]\n".encode())
