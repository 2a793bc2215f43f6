"""What papers printed: `published/*.toml`, one file per source that was seen, read strictly.

A number from memory or hearsay has no place here: every row has a source that somebody opened. It is "seen"
if that is the paper or its authors' page, and "secondary" if others report the number, which is always shown.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from disbench.errors import UsageError, unknown
from disbench.strict import Folder, Strict

PRINTED = re.compile(r"(\d*\.?\d+)(?:±(\d*\.?\d+))?")
Certainty = Literal["seen", "secondary"]
Text = Annotated[str, Field(min_length=1)]


class Number(Strict):
    """One published number with everything that is known about it.

    Attributes:
        source_id: file and row, such as "ibgan/peak".
        paper: title of the paper that prints the number.
        authors: authors of that paper.
        venue: conference or journal, with the year.
        arxiv: arXiv number of the paper; "" if it is elsewhere.
        url: address of the paper if it is not on arXiv, else "".
        table: number of the table in the paper.
        row: heading of the row in that table.
        dataset: name of the data set.
        size: image size in pixels.
        method: name of the method in disbench; None if disbench does not have it.
        settings: settings of that method that the row changes.
        metric: name of the metric in disbench.
        preset: preset of that metric; None if the paper does not say enough.
        statistic: "mean" over runs, "best" of them, or "selected" without looking at scores.
        value: the number, with the decimals that were printed.
        spread: the number behind ±, with the decimals that were printed; None if there is none.
        spread_kind: standard deviation, standard error, range, or "unknown"; None without a spread.
        n: number of runs; None if not stated.
        printed: the text itself.
        source: how the number was read.
        certainty: "seen", or "secondary" where not the paper was seen but what others say of it.
        note: a remark for readers.
    """

    source_id: str
    paper: str
    authors: str
    venue: str
    arxiv: str
    url: str
    table: str
    row: str
    dataset: str
    size: int
    method: str | None
    settings: Mapping[str, float]
    metric: str
    preset: str | None
    statistic: Literal["mean", "best", "selected"]
    value: Decimal
    spread: Decimal | None
    spread_kind: Literal["sd", "se", "range", "unknown"] | None
    n: int | None
    printed: str
    source: str
    certainty: Certainty
    note: str

    @property
    def reported(self) -> str:
        """What must stand beside the number where the paper was not seen; "" where it was."""
        return "reported by others, the paper was not seen" if self.certainty == "secondary" else ""

    @property
    def link(self) -> str:
        """Address of the paper."""
        return self.url or f"https://arxiv.org/abs/{self.arxiv}"


class PrintedRow(Strict):
    """A row of a paper's table; `printed` holds the text of each metric, the other fields as in `Number`."""

    id: Text
    table: Text
    row: Text
    method: Text | None = None
    settings: dict[str, float] = Field(default_factory=dict)
    preset: Text | None = None
    statistic: Literal["mean", "best", "selected"] = "mean"
    spread: Literal["sd", "se", "range", "unknown"] = "unknown"
    n: Annotated[int, Field(ge=1)] | None = None
    printed: Annotated[dict[str, str], Field(min_length=1)]
    note: str = ""

    @field_validator("printed")
    @classmethod
    def _readable(cls, printed: dict[str, str]) -> dict[str, str]:
        for metric, text in printed.items():
            if not PRINTED.fullmatch(text):
                raise ValueError(f"{metric} = {text!r} is neither a value nor value±spread")
        return printed


class Publication(Strict):
    """A file of `published/`: the fields of `Number` that are the same for all rows, and the rows."""

    paper: Text
    authors: Text
    venue: Text
    arxiv: Annotated[str, Field(pattern=r"^(\d{4}\.\d{5})?$")] = ""
    url: Annotated[str, Field(pattern=r"^(https://\S+)?$")] = ""
    dataset: Text
    size: int
    source: Annotated[str, Field(min_length=20)]
    certainty: Certainty
    rows: Annotated[tuple[PrintedRow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _found(self) -> Publication:
        if bool(self.arxiv) == bool(self.url):
            raise ValueError("a source has an arxiv number or an url, one of the two")
        return self


FOLDER = Folder("published source", Publication, "disbench.leaderboards", "published")


def names() -> list[str]:
    """The published sources, sorted."""
    return FOLDER.names()


def parse(name: str, text: str) -> list[Number]:
    """The numbers of a file, in its order.

    Args:
        name: the file's name without extension.
        text: its content.

    Raises:
        UsageError: it is not of this form, or two rows have one id.
    """
    return _numbers(name, FOLDER.parse(name, text))


def _numbers(name: str, source: Publication) -> list[Number]:
    ids = [row.id for row in source.rows]
    twice = {each for each in ids if ids.count(each) > 1}
    if twice:
        raise UsageError(f"published source {name!r} has more than one row {', '.join(sorted(twice))}")
    return [
        _number(name, source, row, metric, printed)
        for row in source.rows
        for metric, printed in row.printed.items()
    ]


def _number(name: str, source: Publication, row: PrintedRow, metric: str, printed: str) -> Number:
    value = PRINTED.fullmatch(printed)
    # PrintedRow has checked it.
    assert value
    return Number(
        **source.model_dump(exclude={"rows"}),
        source_id=f"{name}/{row.id}",
        table=row.table,
        row=row.row,
        method=row.method,
        settings=row.settings,
        metric=metric,
        preset=row.preset,
        statistic=row.statistic,
        value=Decimal(value[1]),
        spread=None if value[2] is None else Decimal(value[2]),
        spread_kind=None if value[2] is None else row.spread,
        n=row.n,
        printed=printed,
        note=row.note,
    )


def along(methods: Iterable[str], field: str, metric: str, dataset: str) -> list[Number]:
    """The published numbers of rows that set one setting and no other, by the value of that setting.

    Args:
        methods: names of methods.
        field: name of the setting.
        metric: name of the metric.
        dataset: data set as tables have it, such as "dsprites-32"; its size does not matter.
    """
    wanted = set(methods)
    found = [
        number
        for name in names()
        for number in get(name)
        if set(number.settings) == {field}
        and (number.method in wanted and number.metric == metric)
        and dataset.rpartition("-")[0] == number.dataset
    ]
    return sorted(found, key=lambda number: (str(number.method), number.paper, number.settings[field]))


@functools.cache
def get(name: str) -> tuple[Number, ...]:
    """The numbers of one source.

    Raises:
        UsageError: there is none of that name; names the nearest.
    """
    return tuple(_numbers(name, FOLDER.read(name)))


def find(source_id: str, metric: str, statistic: str) -> Number | None:
    """The number of one row for a metric; None where the row has none.

    Args:
        source_id: file and row, such as "ibgan/peak".
        metric: name of the metric.
        statistic: "mean", "best" or "selected".

    Raises:
        UsageError: there is no such row.
    """
    name, _, _ = source_id.partition("/")
    rows = [number for number in get(name) if number.source_id == source_id]
    if not rows:
        raise unknown("published row", source_id, {number.source_id for number in get(name)})
    for number in rows:
        if (number.metric, number.statistic) == (metric, statistic):
            return number
    return None
