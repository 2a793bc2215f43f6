"""Grids: the settings of a method that a run compares, as a product of values or as random draws of ranges.

    beta=1,2,4,8,16           these values
    codes=2..10               every whole number from 2 to 10, for a setting of whole numbers
    beta=1..16                with a number of draws: uniform between 1 and 16
    beta=log:1..16            likewise, uniform in the logarithm

Several settings of a method make the product of their values. Draws are seeded by the method's name too, and
the first ones are the same however many there are, so that a run can be given more later.
"""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from disbench import models
from disbench.benchmark.training.seeds import stream
from disbench.errors import UsageError, argument, unknown

DIGITS = 4  # significant, of a number that was drawn: it is in names of settings
MOST = 10_000  # settings of a method
TRIES = 100  # draws in a row that all were there already

Axes = Mapping[str, object]
Point = dict[str, object]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both of which belong to it.

    Attributes:
        low: the least.
        high: the largest.
        whole: whether it has whole numbers only.
        log: whether draws are uniform in the logarithm.
    """

    low: float
    high: float
    whole: bool
    log: bool

    def draw(self, rng: np.random.Generator) -> float:
        """A number of it."""
        if self.whole and not self.log:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        return round(drawn) if self.whole else float(f"{drawn:.{DIGITS}g}")


def points(method: str, config: str, axes: Axes, draws: int = 0, seed: int = 0) -> list[Point]:
    """The settings of a grid, each as field to value.

    Args:
        method: name of the method.
        config: name of the config that has the fields.
        axes: the values of each field, a list of them or a text as above.
        draws: number of random draws; 0 for the product of all values.
        seed: of the draws.

    Raises:
        UsageError: an unknown field, one that a grid cannot have, a value or range that cannot be read, or
            fewer settings than draws.
    """
    kinds = typing.get_type_hints(type(models.get(method).CONFIGS[config]))
    read: dict[str, Range | list[object]] = {}
    for field, values in axes.items():
        if field not in kinds:
            raise unknown(f"setting of {method}", field, kinds)
        read[field] = _axis(f"{method}.{field}", values, kinds[field])
    lists = {field: axis for field, axis in read.items() if not isinstance(axis, Range)}
    if not draws:
        for field in read.keys() - lists.keys():
            raise UsageError(
                f"{argument('grid')} {method}.{field} is a range; give its values with commas, or the number "
                f"of draws with {argument('random')}."
            )
        size = math.prod(map(len, lists.values()))
        if size > MOST:
            raise UsageError(
                f"{argument('grid')} makes {size:,} settings of {method}; give {MOST:,} or fewer."
            )
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    return _drawn(method, read, draws, np.random.default_rng(stream(seed, f"grid/{method}")))


def _drawn(
    method: str, axes: Mapping[str, Range | list[object]], draws: int, rng: np.random.Generator
) -> list[Point]:
    found: dict[tuple[str, ...], Point] = {}
    idle = 0
    while len(found) < draws:
        point: Point = {
            field: axis.draw(rng) if isinstance(axis, Range) else axis[int(rng.integers(len(axis)))]
            for field, axis in axes.items()
        }
        idle = idle + 1 if tuple(map(str, point.values())) in found else 0
        found.setdefault(tuple(map(str, point.values())), point)
        if idle == TRIES * max(draws, 10):
            raise UsageError(
                f"{argument('grid')} has only {len(found)} settings of {method}, but {argument('random')} "
                f"{draws} was given; give fewer draws, or more values."
            )
    return list(found.values())


def _axis(label: str, given: object, kind: object) -> Range | list[object]:
    """The values of a field, or the range that they are drawn from."""
    if typing.get_origin(kind) is tuple:
        raise UsageError(
            f"{argument('grid')} {label} has a list for its value, which a grid cannot vary; give it with "
            f"{argument('settings')}, in a run for each."
        )
    if not isinstance(given, str):
        values = list(given) if isinstance(given, Sequence) else [given]
        return _distinct(label, values)
    log = given.startswith("log:")
    parts = [part.strip() for part in given.removeprefix("log:").split(",") if part.strip()]
    ranges = [_range(label, part, kind, log) if ".." in part else None for part in parts]
    if len(parts) == 1 and ranges[0] is not None:
        only = ranges[0]
        short = only.whole and not log and only.high - only.low < MOST
        return list(range(int(only.low), int(only.high) + 1)) if short else only
    if log or any(each is not None and not each.whole for each in ranges):
        raise UsageError(
            f"{argument('grid')} {label}={given} mixes values and a range; give values with commas, or one "
            "range such as 1..16 or log:1..16."
        )
    values = []
    for part, each in zip(parts, ranges, strict=True):
        values += [part] if each is None else range(int(each.low), int(each.high) + 1)
    return _distinct(label, values)


def _distinct(label: str, values: Sequence[object]) -> list[object]:
    """The values without repeats."""
    distinct = list({str(value): value for value in values}.values())
    if not distinct or len(distinct) > MOST:
        raise UsageError(
            f"{argument('grid')} {label} has {len(distinct)} values; give 1 to {MOST:,}, such as 1,2,4."
        )
    return distinct


def _range(label: str, text: str, kind: object, log: bool) -> Range:
    """A range such as "1..16"."""
    low, _, high = text.partition("..")
    number = int if kind is int else float
    try:
        if kind not in (int, float):
            raise ValueError
        ends = number(low), number(high)
    except ValueError:
        ends = (1, 0)
    if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] <= ends[1]):
        what = {int: "whole numbers", float: "numbers"}.get(typing.cast(type, kind))
        raise UsageError(
            f"{argument('grid')} {label}={text} is no range"
            + (f" of {what}; give one such as 1..16." if what else "; this setting has no numbers.")
        )
    if log and ends[0] <= 0:
        raise UsageError(
            f"{argument('grid')} {label}=log:{text} begins at or below 0, where there is no logarithm."
        )
    if ends[1] - ends[0] >= 1e15:
        raise UsageError(f"{argument('grid')} {label}={text} is too wide a range; give a narrower one.")
    return Range(ends[0], ends[1], kind is int, log)
