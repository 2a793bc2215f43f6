"""The private memory of a process: what each further worker costs, beside the files that all of them map.

It is read from Linux' /proc; on other systems it is unknown (None).
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from disbench.units import MIB

SAMPLE_EVERY = 0.2  # seconds


def private_bytes() -> int | None:
    """Anonymous resident memory of this process (heap, stacks, copies of pages that it wrote)."""
    try:
        text = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return None
    line = re.search(r"^RssAnon:\s+(\d+) kB$", text, re.MULTILINE)
    return int(line[1]) * 1024 if line else None


class Peak:
    """The largest private memory of this process within a `with` block, sampled every 0.2 s."""

    def __init__(self) -> None:
        self.most = private_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def mb(self) -> int | None:
        """The peak in MiB, rounded up; None if it is unknown."""
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
