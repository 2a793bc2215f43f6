import mmap
import sys

import pytest

from disbench.benchmark.sweep import memory
from disbench.errors import UsageError

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="read from Linux' /proc")


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("6G", 6 * 2**30), ("512M", 2**29), ("1.5GiB", 3 * 2**29), ("800 mb", 800 * 2**20), ("2097152", 2**21)],
)
def test_sizes(text, bytes_):
    assert memory.parse_size(text, "--max-memory") == bytes_


@pytest.mark.parametrize("text", ["", "much", "-3G", "0", "6X", "G", "6GG", "1e9", "nan", "3 4G", "12"])
def test_nonsense_is_refused(text):
    with pytest.raises(UsageError, match="--max-memory"):
        memory.parse_size(text, "--max-memory")


def test_sizes_for_people():
    assert memory.shown(3 * 2**29) == "1.5 GiB"
    assert memory.shown(350 * 2**20 - 5) == "350 MiB"


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
