"""Times and amounts of memory as people write them."""

import pytest

from disbench import units
from disbench.errors import UsageError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (12.4, "12 s"), (600, "10 min"), (3 * 3600 + 300, "3 h 05 min"), (50 * 3600, "2 d 2 h")],
)
def test_durations(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("6G", 6 * 2**30), ("512M", 2**29), ("1.5GiB", 3 * 2**29), ("800 mb", 800 * 2**20), ("2097152", 2**21)],
)
def test_sizes(text, bytes_):
    assert units.parse_memory(text, "max_memory") == bytes_


@pytest.mark.parametrize("text", ["", "much", "-3G", "0", "6X", "G", "6GG", "1e9", "nan", "3 4G", "12"])
def test_nonsense_is_refused(text):
    with pytest.raises(UsageError, match=r"^max_memory .* is not an amount"):
        units.parse_memory(text, "max_memory")


def test_sizes_for_people():
    assert units.memory(3 * 2**29) == "1.5 GiB"
    assert units.memory(350 * 2**20 - 5) == "350 MiB"
