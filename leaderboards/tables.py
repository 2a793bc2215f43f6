"""The papers' comparison tables: published numbers and ours side by side.

A table is `tables/<name>.toml`: columns (a metric, its preset, mean or best), rows (a method and its
settings) and where the published numbers stand. Ours come from the per-seed frame of `aggregate.scores`.

Two numbers are compared only where ours was measured under the table's protocol, on its data set, with the
settings of its row and with the metric preset that the published number was measured with. Everything else is
shown with a note that says what differs, its difference in brackets and without a verdict.
"""

from __future__ import annotations

import fnmatch
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from disbench.errors import UsageError, unknown
from disbench.leaderboards import labels, published
from disbench.leaderboards.aggregate import leaderboard
from disbench.leaderboards.published import Number, Strict, Text

FOLDER = files("disbench.leaderboards") / "tables"


class Column(Strict):
    """A metric under a preset; `scale` multiplies what is shown, 100 for percent."""

    name: Text
    metric: Text
    preset: Text
    statistic: Literal["mean", "best"] = "mean"
    scale: float = 1.0


class Row(Strict):
    """A method with its settings, or with none where disbench has it not.

    Attributes:
        variant: one of the method's.
        plain: that variant changes nothing, so that the method without a variant may stand here.
        config: one of its named configs; else the protocol's.
        settings: what is changed in it.
        size: another image size than the table's.
        published: rows of published sources, such as "ibgan/peak"; the first that has a number counts.
        unknown: why there is no published number; else the table's reason.
    """

    name: Text
    method: Text | None = None
    variant: str = ""
    plain: bool = False
    config: Text | None = None
    settings: Mapping[str, float] = Field(default_factory=dict)
    size: int | None = None
    published: tuple[Text, ...] = ()
    unknown: Text | None = None


class Table(Strict):
    """A comparison table. A data set that ends in * has so many splits, which a row averages over."""

    name: Text
    title: Text
    protocol: Text
    config: Text = "paper"
    dataset: Text
    size: int
    splits: int = 0
    seeds: Annotated[int, Field(ge=1)]
    unknown: Text
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    def datasets(self) -> list[str]:
        """The names of its data sets, as `disbench run --dataset` takes them."""
        if not self.splits:
            return [self.dataset]
        return [self.dataset.replace("*", str(split)) for split in range(self.splits)]


@dataclass(frozen=True)
class Entry:
    """One cell of a table; None where there is nothing.

    Attributes:
        theirs, theirs_spread, theirs_kind, theirs_n, theirs_preset, theirs_source: the published number.
        ours, ours_std, ours_low, ours_high, ours_n, ours_failed: ours, std and 95 % interval of the mean.
        ours_protocol, ours_dataset, ours_preset, ours_settings: how ours was measured.
        comparable: whether both were measured alike.
        difference: ours minus theirs.
        inside: whether theirs falls into our interval; None where it cannot be said.
        theirs_note, ours_note: what a reader must know about either.
    """

    row: str
    column: str
    metric: str
    preset: str
    statistic: str
    theirs: float | None = None
    theirs_text: str | None = None
    theirs_spread: float | None = None
    theirs_kind: str | None = None
    theirs_n: int | None = None
    theirs_preset: str | None = None
    theirs_source: str | None = None
    theirs_note: str = ""
    ours: float | None = None
    ours_std: float | None = None
    ours_low: float | None = None
    ours_high: float | None = None
    ours_n: int | None = None
    ours_failed: int | None = None
    ours_protocol: str | None = None
    ours_dataset: str | None = None
    ours_preset: str | None = None
    ours_settings: str | None = None
    ours_note: str = ""
    comparable: bool = False
    difference: float | None = None
    inside: bool | None = None


def names() -> list[str]:
    return sorted(entry.name[: -len(".toml")] for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))


def read(name: str) -> Table:
    """The table of that name.

    Raises:
        UsageError: there is none; names the nearest.
    """
    if name not in names():
        raise unknown("table", name, names())
    try:
        return Table(name=name, **tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"table {name!r}: {where}: {first['msg']}") from None


def fill(table: Table, frame: pd.DataFrame) -> list[Entry]:
    """Every cell of a table, row by row, with ours from a per-seed frame (see `aggregate.scores`)."""
    return [_entry(table, row, column, frame) for row in table.rows for column in table.columns]


def frame_of(entries: Sequence[Entry]) -> pd.DataFrame:
    """The cells as a frame for programs, one row per cell."""
    return pd.DataFrame([asdict(e) for e in entries], columns=[field.name for field in fields(Entry)])


def _entry(table: Table, row: Row, column: Column, frame: pd.DataFrame) -> Entry:
    found: dict[str, Any] = {
        "row": row.name,
        "column": column.name,
        "metric": column.metric,
        "preset": column.preset,
        "statistic": column.statistic,
    }
    number = next(
        (n for source in row.published if (n := published.find(source, column.metric, column.statistic))),
        None,
    )
    found |= _theirs(number, column) if number else {"theirs_note": row.unknown or table.unknown}
    ours, differs, note = _ours(table, row, column, frame)
    if ours is not None:
        found |= _as_ours(ours, column)
    if number and ours is not None:
        differs += _presets(number, column)
        found["difference"] = found["ours"] - found["theirs"]
        found["comparable"] = not differs
        if found["comparable"] and found["ours_low"] is not None:
            found["inside"] = found["ours_low"] <= found["theirs"] <= found["ours_high"]
        if found["comparable"] and column.statistic == "best" and number.n not in (None, found["ours_n"]):
            note = f"ours is the best of {found['ours_n']}, theirs of {number.n}"
    if differs:
        alike = ("not measured alike: " if number else "") + ", ".join(differs)
        note = "; ".join([alike, *([note] if note else [])])
    return Entry(**found, ours_note=note)


def _theirs(number: Number, column: Column) -> dict[str, Any]:
    spread = None if number.spread is None else float(number.spread)
    kind = {"sd": "standard deviation", "se": "standard error", "range": "range"}
    note = [f"{number.paper.partition(':')[0]}, {number.table}", number.note]
    if spread is not None and number.spread_kind in kind:
        note.append(f"± is the {kind[number.spread_kind]}")
    return {
        "theirs": float(number.value) * column.scale,
        "theirs_text": number.printed,
        "theirs_spread": None if spread is None else spread * column.scale,
        "theirs_kind": number.spread_kind,
        "theirs_n": number.n,
        "theirs_preset": number.preset,
        "theirs_source": number.source_id,
        "theirs_note": "; ".join(text for text in note if text),
    }


def _presets(number: Number, column: Column) -> list[str]:
    if number.preset is None:
        return ["the settings of their metric are not known"]
    if number.preset != column.preset:
        return [f"their metric has the preset {number.preset}, ours {column.preset}"]
    return []


def _as_ours(ours: pd.Series[Any], column: Column) -> dict[str, Any]:
    def scaled(name: str) -> float | None:
        value = float(ours[name])
        return value * column.scale if math.isfinite(value) else None

    mean = column.statistic == "mean"
    return {
        "ours": scaled(column.statistic),
        "ours_std": scaled("std") if mean else None,
        "ours_low": scaled("mean_low") if mean else None,
        "ours_high": scaled("mean_high") if mean else None,
        "ours_n": int(ours["n"]),
        "ours_failed": int(ours["failed"]),
        "ours_protocol": str(ours["protocol"]),
        "ours_dataset": str(ours["dataset"]),
        "ours_preset": str(ours["preset"]),
        "ours_settings": str(ours["settings"]),
    }


def _ours(
    table: Table, row: Row, column: Column, frame: pd.DataFrame
) -> tuple[pd.Series[Any] | None, list[str], str]:
    """Our row of the leaderboard for a cell, what was measured otherwise than the table asks, and a note."""
    if row.method is None:
        return None, [], "disbench does not have this method"
    config = row.config or table.config
    changed = np.array([_same(json.loads(text), row.settings) for text in frame["changed"]], bool)
    of = frame[(frame["method"] == row.method) & (frame["metric"] == column.metric) & changed]
    mine = of[of["variant"] == row.variant]
    if mine.empty and row.plain:
        mine = of[of["variant"] == ""]
    wanted = f"{table.dataset}-{row.size or table.size}"
    there = np.array([fnmatch.fnmatchcase(name, wanted) for name in mine["dataset"]], bool)
    exact = mine[
        (mine["protocol"] == table.protocol)
        & (mine["config"] == config)
        & (mine["preset"] == column.preset)
        & there
    ]
    if len(exact):
        return _aggregate(exact, table)
    if config != table.config:  # another set-up than the one that bears the method's name
        mine = mine[mine["config"] == config]
    others = mine[mine["preset"] == column.preset]
    others = others if len(others) else mine
    kinds = others[["protocol", "dataset", "preset", "settings", "config"]]
    if table.splits:
        kinds = kinds.assign(dataset=[labels.family(name) for name in kinds["dataset"]])
    kinds = kinds.drop_duplicates()
    if kinds.empty:
        return None, [], f"no result of {_title(row)} under the protocol {table.protocol}"
    if len(kinds) > 1:
        named = "; ".join(", ".join(map(str, kind[:4])) for kind in kinds.itertuples(index=False))
        return None, [], f"several results could stand here ({named}); give the run that is meant"
    kind = kinds.iloc[0]
    differs = []
    if kind["protocol"] != table.protocol:
        differs.append(
            f"ours is of the protocol {kind['protocol']} on {labels.measured_on(others['dataset'])}"
        )
    else:
        if not fnmatch.fnmatchcase(kind["dataset"], wanted):
            differs.append(f"ours is on {labels.measured_on(others['dataset'])}")
        if kind["config"] != config:
            differs.append(f"ours has the config {kind['config']}")
    if kind["preset"] != column.preset:
        differs.append(f"our metric has the preset {kind['preset']}")
    found, _, note = _aggregate(others, table)
    return found, differs, note


def _same(changed: Mapping[str, Any], settings: Mapping[str, float]) -> bool:
    return set(changed) == set(settings) and all(changed[name] == settings[name] for name in settings)


def _title(row: Row) -> str:
    label = labels.label(str(row.method), row.variant)
    parts = ([f"config {row.config}"] if row.config else []) + [f"{k}={v:g}" for k, v in row.settings.items()]
    return f"{label} ({', '.join(parts)})" if parts else label


def _aggregate(rows: pd.DataFrame, table: Table) -> tuple[pd.Series[Any] | None, list[str], str]:
    by = ["protocol", "method", "variant", "metric", "preset"]
    found = leaderboard(rows, by).iloc[0].copy()
    found["dataset"] = labels.measured_on(rows["dataset"])
    found["settings"] = rows["settings"].iloc[0]
    notes = []
    if table.splits:
        splits = rows.loc[rows["score"].notna(), "dataset"].nunique()
        if splits != table.splits:
            notes.append(f"ours is of {splits} of {table.splits} splits")
    if rows.groupby("dataset")["cell"].nunique().max() > 1:
        return None, [], "several results could stand here; give the run that is meant"
    if rows["metric_settings"].nunique() > 1:
        return None, [], "the metric was measured with different settings; give the run that is meant"
    if found["failed"]:
        notes.append(f"{found['failed']} seeds failed and are in no average")
    if not found["n"]:
        reasons = "; ".join(dict.fromkeys(str(reason) for reason in rows["reason"].dropna()))
        return None, [], f"no seed has a score: {reasons or 'none is done yet'}"
    if found["reason"]:
        notes.append(str(found["reason"]))
    return found, [], "; ".join(notes)


def shown(table: Table, entries: Sequence[Entry]) -> tuple[pd.DataFrame, list[str]]:
    """As texts for people: of each row a line of theirs, of ours and of the difference; and the notes.

    A number in square brackets behind a cell is that of its note. A difference in round brackets is of two
    numbers that were not measured alike; the others say whether theirs falls into our interval.
    """
    notes: list[str] = []

    def marked(text: str, note: str) -> str:
        if not note:
            return text
        if note not in notes:
            notes.append(note)
        return f"{text} [{notes.index(note) + 1}]"

    lines = []
    for row in table.rows:
        cells = [entry for entry in entries if entry.row == row.name]
        digits = {column.name: 3 if column.scale == 1 else 1 for column in table.columns}
        lines.append(
            {"method": row.name, "": "theirs"}
            | {e.column: marked(_theirs_text(e, digits[e.column]), e.theirs_note) for e in cells}
        )
        lines.append(
            {"method": "", "": "ours"}
            | {e.column: marked(_ours_text(e, digits[e.column]), e.ours_note) for e in cells}
        )
        if any(entry.difference is not None for entry in cells):
            lines.append(
                {"method": "", "": "difference"} | {e.column: _difference(e, digits[e.column]) for e in cells}
            )
    text = pd.DataFrame(lines, columns=["method", "", *(column.name for column in table.columns)])
    told = [f"[{number}] {note}" for number, note in enumerate(notes, start=1)]
    return text, [*_legend(entries), *told]


def _legend(entries: Sequence[Entry]) -> list[str]:
    found = []
    if any(entry.ours_std is not None for entry in entries):
        found.append("ours: mean ± standard deviation (divided by n - 1), n in brackets")
    if any(entry.inside is not None for entry in entries):
        found.append(
            "inside, outside: whether theirs falls into our 95 % interval of the mean (BCa bootstrap)"
        )
    if any(entry.difference is not None and not entry.comparable for entry in entries):
        found.append("(difference): of two numbers that were not measured alike")
    return found


def _theirs_text(entry: Entry, digits: int) -> str:
    if entry.theirs is None:
        return "–"
    if entry.theirs_text is not None and digits == 3:  # with the decimals that were printed
        value, _, spread = entry.theirs_text.partition("±")
        parts = [f"0{part}" if part.startswith(".") else part for part in (value, spread) if part]
        return " ± ".join(parts)
    spread_text = "" if entry.theirs_spread is None else f" ± {entry.theirs_spread:.{digits}f}"
    return f"{entry.theirs:.{digits}f}{spread_text}"


def _ours_text(entry: Entry, digits: int) -> str:
    if entry.ours is None:
        return "–"
    spread = "" if entry.ours_std is None else f" ± {entry.ours_std:.{digits}f}"
    return f"{entry.ours:.{digits}f}{spread} ({entry.ours_n})"


def _difference(entry: Entry, digits: int) -> str:
    if entry.difference is None:
        return "–"
    text = f"{entry.difference:+.{digits}f}".replace("-", "−")
    if not entry.comparable:
        return f"({text})"
    if entry.inside is None:
        return text
    return f"{text}, {'inside' if entry.inside else 'outside'}"
