"""Times, amounts of memory and numbers of things as people write them."""

import re

from disbench.errors import UsageError, argument

MIB = 2**20
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def duration(seconds: float | None) -> str:
    """`40 s`, `12 min`, `3 h 05 min`, `4 d 2 h`; `–` if the duration is unknown."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24} h"


def count(n: int, thing: str) -> str:
    """`1 seed`, `2 seeds`, `1,024 seeds`."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def memory(size: int) -> str:
    """Bytes as `1.4 GiB` or `350 MiB`, the latter rounded up."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{-(-size // MIB)} MiB"


def parse_memory(text: str | int, name: str) -> int:
    """Bytes of a text such as 6G, 512M or 1.5GiB (powers of 1,024) or of a plain number.

    Args:
        text: the amount.
        name: the argument that it was given for.

    Raises:
        UsageError: the text is not an amount of memory, or it is below 1 MiB.
    """
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    size = int(float(parts[1]) * UNITS[parts[2].upper()]) if parts else 0
    if size < MIB:
        raise UsageError(
            f"{argument(name)} {text!r} is not an amount of memory; give one such as 6G or 800M."
        )
    return size
