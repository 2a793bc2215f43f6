"""What papers printed: `published/*.toml`, one file per source that was seen, read strictly.

A number from memory or hearsay has no place here: every row has a source that somebody opened, and the only
certainty that the format knows is "seen".
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from disbench.errors import UsageError, unknown

FOLDER = files("disbench.leaderboards") / "published"
PRINTED = re.compile(r"(\d*\.?\d+)(?:±(\d*\.?\d+))?")
Text = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Number(Strict):
    """One published number with everything that is known about it.

    Attributes:
        source_id: file and row, such as "ibgan/peak".
        paper, authors, venue, arxiv, table, row: where it stands.
        dataset, size: what it was measured on.
        method, settings: of disbench, where it has the method; else None.
        metric: of disbench. preset: the one it was measured with; None where that is not known.
        statistic: "mean" over runs, "best" of them, or "selected" without looking at scores.
        value, spread: with the decimals that were printed; printed: the text itself.
        spread_kind: standard deviation, standard error, range, or "unknown".
        n: runs; None where not stated.
        certainty: "seen".
    """

    source_id: str
    paper: str
    authors: str
    venue: str
    arxiv: str
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
    certainty: Literal["seen"]
    note: str


class Row(Strict):
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


class Source(Strict):
    """A file of `published/`: what is the same for all its rows, and the rows."""

    paper: Text
    authors: Text
    venue: Text
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{5}$")]
    dataset: Text
    size: int
    source: Annotated[str, Field(min_length=20)]
    certainty: Literal["seen"]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]


def names() -> list[str]:
    return sorted(entry.name[: -len(".toml")] for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))


def parse(name: str, text: str) -> list[Number]:
    """The numbers of a file's text, in its order.

    Raises:
        UsageError: it is not of this form, or two rows have one id.
    """
    try:
        source = Source(**tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"published {name}.toml is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"published {name}.toml: {where}: {first['msg']}") from None
    ids = [row.id for row in source.rows]
    twice = {found for found in ids if ids.count(found) > 1}
    if twice:
        raise UsageError(f"published {name}.toml has more than one row {', '.join(sorted(twice))}")
    shared = {field: getattr(source, field) for field in Source.model_fields if field != "rows"}
    return [
        _number(name, shared, row, metric, text)
        for row in source.rows
        for metric, text in row.printed.items()
    ]


def _number(name: str, shared: Mapping[str, Any], row: Row, metric: str, printed: str) -> Number:
    found = PRINTED.fullmatch(printed)
    assert found  # Row has checked it
    return Number(
        **shared,
        source_id=f"{name}/{row.id}",
        table=row.table,
        row=row.row,
        method=row.method,
        settings=row.settings,
        metric=metric,
        preset=row.preset,
        statistic=row.statistic,
        value=Decimal(found[1]),
        spread=None if found[2] is None else Decimal(found[2]),
        spread_kind=None if found[2] is None else row.spread,
        n=row.n,
        printed=printed,
        note=row.note,
    )


@functools.cache
def get(name: str) -> tuple[Number, ...]:
    """The numbers of one source.

    Raises:
        UsageError: there is none of that name; names the nearest.
    """
    if name not in names():
        raise unknown("published source", name, names())
    return tuple(parse(name, (FOLDER / f"{name}.toml").read_text("utf-8")))


def find(source_id: str, metric: str, statistic: str) -> Number | None:
    """The number of one row, such as "ibgan/peak", for a metric; None where the row has none.

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
