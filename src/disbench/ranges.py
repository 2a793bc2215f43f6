"""Ranges of settings, declared beside the field of a `Config`: `zoom: Annotated[float, Range(0, 1)] = 0.1`.

A type checker sees a plain number. `registry.configure` refuses a value outside its range, and the page of
the method shows the range. The names below are those that most settings need.
"""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`.

    Attributes:
        low: the least value.
        high: the largest value; infinity where there is none.
        above: `low` itself is outside.
        below: `high` itself is outside.
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        enough = value > self.low if self.above else value >= self.low
        little = value < self.high if self.below else value <= self.high
        return _finite(value) and enough and little

    def __str__(self) -> str:
        least = f"above {self.low}" if self.above else f"at least {self.low}"
        most = f"below {self.high}" if self.below else f"at most {self.high}"
        return least if self.high == math.inf else f"{least} and {most}"


def _finite(value: float) -> bool:
    """Whether a float can hold it: an integer may be too large."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


Count = Annotated[int, Range(1)]
"""Number of things of which there must be one: latents, channels, steps."""
CountOrNone = Annotated[int, Range(0)]
"""Number of things that may be absent."""
Batch = Annotated[int, Range(2)]
"""Number of images of a batch; a batch norm needs two."""
Categories = Annotated[int, Range(2)]
"""Number of categories of a code; a single one would be a constant."""
NotNegative = Annotated[float, Range(0)]
"""A weight of a term of a loss, which 0 switches off."""
Positive = Annotated[float, Range(0, above=True)]
"""A learning rate, a temperature, a standard deviation."""


def declared(config: type) -> dict[str, Range]:
    """The range of each field that has one; that of a tuple's field holds for each of its numbers."""
    ranges = {}
    for field, hint in typing.get_type_hints(config, include_extras=True).items():
        if typing.get_origin(hint) is tuple:
            hint = typing.get_args(hint)[0]
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, Range):
                ranges[field] = note
    return ranges


def fault(setting: str, value: object, allowed: Range | None) -> str | None:
    """The sentence that refuses a value, such as "betavae.codes=-1 was given, but it must be at least 1."

    Args:
        setting: its name, for the sentence.
        value: of the right type.
        allowed: its range; None where none is declared, when any finite number will do.

    Returns:
        None where the value is allowed.
    """
    numbers = value if isinstance(value, tuple) else (value,)
    wrong = [
        number
        for number in numbers
        if isinstance(number, int | float) and not (_finite(number) if allowed is None else number in allowed)
    ]
    if not wrong:
        return None
    must = "" if allowed is None else str(allowed)
    if not all(map(_finite, wrong)):
        must = f"finite and {must}" if must else "finite"
    subject = "each number" if isinstance(value, tuple) else "it"
    return f"{setting}={','.join(map(str, numbers))} was given, but {subject} must be {must}."
