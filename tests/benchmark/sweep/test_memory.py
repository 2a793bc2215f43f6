"""The peak of a process's private memory."""

import mmap
import sys

import pytest

from disbench.benchmark.sweep import memory

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="read from Linux' /proc")


@ON_LINUX
def test_the_peak_counts_what_was_held_in_between():
    with memory.Peak() as peak:
        before = peak.mb
        with mmap.mmap(-1, 100 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
            held[:] = bytes([1]) * len(held)
            during = peak.mb
        after = peak.mb
    assert 95 <= during - before <= 230  # the bytes object is one more, for a moment
    assert after == during
