"""How much memory a process has to itself: what each further worker costs, beside the files that all map.

Read from Linux' /proc; elsewhere it is not known, and None.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from disbench.errors import UsageError

MIB = 2**20
SAMPLE_EVERY = 0.2  # seconds
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def private_bytes(process: int | str = "self") -> int | None:
    """Anonymous resident memory of a process (heap, stacks, written copies of pages): its own alone."""
    try:
        text = Path(f"/proc/{process}/status").read_text("ascii")
    except OSError:
        return None
    found = re.search(r"^RssAnon:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


class Peak:
    """The most private memory of this process within a `with` block, looked at every 0.2 s."""

    def __init__(self) -> None:
        self.most = private_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def mb(self) -> int | None:
        """In MiB, rounded up; None where it is not known."""
        self._look()
        return None if self.most is None else -(-self.most // MIB)

    def __enter__(self) -> Self:
        if self.most is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_EVERY):
            self._look()

    def _look(self) -> None:
        now = private_bytes()
        if now is not None and self.most is not None:
            self.most = max(self.most, now)


def parse_size(text: str | int, option: str) -> int:
    """Bytes: a number of them, or of a size such as 6G, 512M or 1.5GiB, where units are powers of 1,024.

    Raises:
        UsageError: it is none, or is nothing.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if size < MIB:
        raise UsageError(f"{option} {text!r} is no amount of memory; give one such as 6G or 800M.")
    return size


def shown(size: int) -> str:
    """`1.4 GiB` or `350 MiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{-(-size // MIB)} MiB"
