"""Ranges of settings, declared beside the field of a `Config`, or the keyword of a metric:
`zoom: Annotated[float, Range(0, 1)] = 0.1`.

A type checker sees a plain number. The registries of methods and metrics refuse a value outside its range,
and the page of a method shows the range. The names below are those that most settings need.
"""

from __future__ import annotations

import math
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any


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


LARGEST_SIDE = 4096
"""Pixels of the largest images that are made or read; a file that says more is damaged or hostile."""

Count = Annotated[int, Range(1)]
"""Number of things of which there must be one: latents, channels, steps."""
CountOrNone = Annotated[int, Range(0)]
"""Number of things that may be absent."""
Batch = Annotated[int, Range(2)]
"""Number of images of a batch; a batch norm needs two."""
Categories = Annotated[int, Range(2)]
"""Number of categories of a code; a single one would be a constant."""
Several = Annotated[int, Range(2)]
"""Number of things of which there must be two: parts of the data, images whose variance is taken."""
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


# What a value must be, by its type.
WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}


def mistake(setting: str, value: object, hint: Any) -> str | None:
    """The sentence that refuses a value of another type than a hint, or out of its range; see `fault`.

    Args:
        setting: its name, for the sentence.
        value: of Python's own types, several as a tuple.
        hint: as it is annotated: `Count`, `Count | None`, `tuple[Count, ...]`. Of any other type than those
            in `WORDS`, every value will do.

    Returns:
        None where the value is allowed.
    """
    several = typing.get_origin(hint) in (typing.Union, types.UnionType)
    choices = [_Choice.of(each) for each in (typing.get_args(hint) if several else (hint,))]
    if not all(choice.kind in WORDS for choice in choices):
        return None
    fits = [choice for choice in choices if choice.fits(value)]
    if not fits:
        words = " or ".join(choice.words for choice in choices)
        return f"{setting}={value!r} was given, but it must be {words}."
    return fault(setting, value, fits[0].allowed)


@dataclass(frozen=True)
class _Choice:
    """One type that a setting may have.

    Attributes:
        kind: the type, of each number where there are several.
        several: whether the value is a tuple.
        allowed: the range; None where none is declared.
    """

    kind: type
    several: bool
    allowed: Range | None

    @classmethod
    def of(cls, hint: Any) -> _Choice:
        """Of one type, with or without a range, or a tuple of it."""
        several = typing.get_origin(hint) is tuple
        inner = typing.get_args(hint)[0] if several else hint
        notes = getattr(inner, "__metadata__", ())
        allowed = next((note for note in notes if isinstance(note, Range)), None)
        return cls(typing.get_args(inner)[0] if notes else inner, several, allowed)

    @property
    def words(self) -> str:
        """What the value must be."""
        return f"a tuple, each of it {WORDS[self.kind]}" if self.several else WORDS[self.kind]

    def fits(self, value: object) -> bool:
        """Whether a value is of this type; a whole number is a number, True is none."""
        kinds = (int, float) if self.kind is float else (self.kind,)
        if self.several:
            return isinstance(value, tuple) and len(value) > 0 and all(type(each) in kinds for each in value)
        return type(value) in kinds
