"""The papers' comparison tables: published numbers and ours side by side.

A table is `tables/<name>.toml`: columns (a metric, its preset, mean or best), rows (a method and its
settings) and the sources of the published numbers. Ours come from the per-seed frame of `aggregate.scores`.

Two numbers are compared only if ours was measured under the table's protocol, on its data set, with the
settings of its row and with the metric preset of the published number. Otherwise a note says what differs,
and there is neither a difference nor a verdict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from disbench import units
from disbench.leaderboards import labels, published, statistics, wide
from disbench.leaderboards.aggregate import leaderboard, unended
from disbench.leaderboards.published import Number, Text
from disbench.strict import Folder, Strict


class Column(Strict):
    """A metric under a preset.

    Attributes:
        name: heading of the column.
        metric: name of the metric.
        preset: its preset.
        statistic: over the seeds.
        scale: factor of the numbers that are shown, 100 for percent.
    """

    name: Text
    metric: Text
    preset: Text
    statistic: Literal["mean", "best"] = "mean"
    scale: float = 1.0


class Row(Strict):
    """A method with its settings.

    Attributes:
        name: heading of the row.
        method: name of the method in disbench; None if disbench does not have it.
        variant: one of the method's.
        plain: whether this variant changes nothing, so that the method without a variant fills the row too.
        config: one of the method's named configs; None for the table's.
        settings: settings that differ from that config.
        size: image size in pixels; None for the table's.
        chosen_by: how the one model of this row is chosen without labels among all models of its method,
            whatever their settings, such as "udr:dlib"; None for a row over all seeds.
        published: rows of published sources, such as "ibgan/peak"; the first that has a number counts.
        unknown: why there is no published number; None for the table's reason.
    """

    name: Text
    method: Text | None = None
    variant: str = ""
    plain: bool = False
    config: Text | None = None
    settings: Mapping[str, int | float] = Field(default_factory=dict)
    size: int | None = None
    chosen_by: Text | None = None
    published: tuple[Text, ...] = ()
    unknown: Text | None = None


class Table(Strict):
    """A comparison table.

    Attributes:
        name: also the file's name.
        title: the caption.
        protocol: name of the protocol under which ours are measured.
        config: named config of the methods.
        dataset: name of the data set; with splits, "*" stands for the number of the split.
        size: image size in pixels.
        splits: number of splits that a row averages over; 0 for none.
        seeds: number of seeds that `disbench table NAME --plan` asks for.
        unknown: why there is no published number.
        columns: the columns.
        rows: the rows.
    """

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
        """The names of its data sets, one per split."""
        if not self.splits:
            return [self.dataset]
        return [self.dataset.replace("*", str(split)) for split in range(self.splits)]

    def sizes(self) -> list[int]:
        """The image sizes of its rows, in pixels, sorted."""
        return sorted({row.size or self.size for row in self.rows})

    def on(self, dataset: str) -> Table:
        """The same table on another data set, without the published numbers, which are not of that one.

        Args:
            dataset: name of the data set; of a table over splits, without the split.
        """
        _, colon, options = self.dataset.partition(":")
        rows = tuple(row.model_copy(update={"published": (), "unknown": None}) for row in self.rows)
        changes = {
            "dataset": dataset + (colon + options if self.splits else ""),
            "title": f"{self.title}; here on {dataset}",
            "unknown": f"no published number on {dataset} is known here",
            "rows": rows,
        }
        return self.model_copy(update=changes)

    def of_its_data(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The per-seed rows of its data set, at any of its sizes."""
        alike = [any(self.measured_on(name, size) for size in self.sizes()) for name in frame["dataset"]]
        return frame[np.array(alike, bool)]

    def measured_on(self, label: str, size: int) -> bool:
        """Whether a data set's label, such as "mnist:imbalanced-3-28", is of this table's with that size."""
        head, star, tail = f"{self.dataset}-{size}".partition("*")
        if not star:
            return label == head
        split = label.removeprefix(head).removesuffix(tail)
        return label == head + split + tail and split.isdecimal()


@dataclass(frozen=True)
class TableEntry:
    """One cell of a table; a missing number is None.

    Attributes:
        row: heading of the row.
        column: heading of the column.
        metric: name of the metric.
        preset: its preset.
        statistic: "mean", "best" or, of one model chosen without labels, "selected".
        theirs: the published number.
        theirs_text: as it was printed.
        theirs_spread: the number behind its ±.
        theirs_kind: the kind of that spread, see `published.Number`.
        theirs_n: number of their runs.
        theirs_preset: preset of their metric.
        theirs_source: row of the published source.
        theirs_note: remarks about their number.
        ours: our number.
        ours_std: standard deviation over our seeds.
        ours_low: lower end of the 95 % interval of our mean.
        ours_high: upper end of that interval.
        ours_n: number of our seeds.
        ours_failed: number of our failed seeds.
        ours_protocol: protocol of ours.
        ours_dataset: data set of ours.
        ours_preset: preset of our metric.
        ours_settings: settings of our method.
        ours_note: remarks about our number.
        comparable: whether both were measured in the same way.
        difference: ours minus theirs, where both were measured alike.
        inside: whether theirs lies in our interval.
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


FOLDER = Folder("table", Table, "disbench.leaderboards", "tables")


def names() -> list[str]:
    """The tables, sorted."""
    return FOLDER.names()


def read(name: str) -> Table:
    """The table of that name.

    Raises:
        UsageError: there is none; names the nearest.
    """
    return FOLDER.read(name)


def fill(table: Table, frame: pd.DataFrame) -> list[TableEntry]:
    """Every cell of a table, row by row, with ours from a per-seed frame (see `aggregate.scores`)."""
    return [_entry(table, row, column, frame) for row in table.rows for column in table.columns]


def frame_of(entries: Sequence[TableEntry]) -> pd.DataFrame:
    """The cells as a frame for programs, one row per cell."""
    return pd.DataFrame([asdict(e) for e in entries], columns=[field.name for field in fields(TableEntry)])


@dataclass(frozen=True)
class _Ours:
    """Our number for a cell.

    Attributes:
        row: row of a leaderboard; None if there is none.
        differs: differences from the way of measuring that the table asks for.
        note: remarks.
        rows: the per-seed rows behind it; None if there are none.
    """

    row: pd.Series | None
    differs: list[str]
    note: str
    rows: pd.DataFrame | None = None


def _entry(table: Table, row: Row, column: Column, frame: pd.DataFrame) -> TableEntry:
    statistic = "selected" if row.chosen_by else column.statistic
    entry = TableEntry(row.name, column.name, column.metric, column.preset, statistic)
    numbers = (published.find(source, column.metric, statistic) for source in row.published)
    number = next((number for number in numbers if number), None)
    if number is not None:
        entry = _with_theirs(entry, number, column)
    else:
        entry = replace(entry, theirs_note=row.unknown or table.unknown)
    ours = _ours(table, row, column, frame)
    differs, note = [*ours.differs], ours.note
    if ours.row is not None:
        entry = _with_ours(entry, ours.row, column)
        if number is not None:
            differs += _presets(number, column)
            entry = _compared(entry, not differs)
        if entry.comparable and statistic == "best" and entry.theirs_n not in (None, entry.ours_n):
            note = f"ours is the best of {entry.ours_n}, theirs of {entry.theirs_n}"
    if differs:
        different = ("measured differently: " if number else "") + ", ".join(differs)
        note = "; ".join([different, *([note] if note else [])])
    return replace(entry, ours_note=note)


def _compared(entry: TableEntry, comparable: bool) -> TableEntry:
    if entry.ours is None or entry.theirs is None:
        return entry
    inside = None
    if comparable and entry.ours_low is not None and entry.ours_high is not None:
        inside = entry.ours_low <= entry.theirs <= entry.ours_high
    # whoever reads a difference takes it for one of the methods
    difference = entry.ours - entry.theirs if comparable else None
    return replace(entry, difference=difference, comparable=comparable, inside=inside)


def _with_theirs(entry: TableEntry, number: Number, column: Column) -> TableEntry:
    spread = None if number.spread is None else float(number.spread)
    kind = {"sd": "standard deviation", "se": "standard error", "range": "range"}
    remarks = [f"{number.paper.partition(':')[0]}, {number.table}", number.note]
    if number.reported:
        remarks.insert(1, number.reported)
    if spread is not None and number.spread_kind in kind:
        remarks.append(f"± is the {kind[number.spread_kind]}")
    return replace(
        entry,
        theirs=float(number.value) * column.scale,
        theirs_text=number.printed,
        theirs_spread=None if spread is None else spread * column.scale,
        theirs_kind=number.spread_kind,
        theirs_n=number.n,
        theirs_preset=number.preset,
        theirs_source=number.source_id,
        theirs_note="; ".join(text for text in remarks if text),
    )


def _presets(number: Number, column: Column) -> list[str]:
    if number.preset is None:
        return ["the settings of their metric are not known"]
    if number.preset != column.preset:
        return [f"their metric has the preset {number.preset}, ours {column.preset}"]
    return []


def _with_ours(entry: TableEntry, ours: pd.Series, column: Column) -> TableEntry:
    def scaled(name: str) -> float | None:
        value = float(ours[name])
        return value * column.scale if math.isfinite(value) else None

    mean = entry.statistic == "mean"
    return replace(
        entry,
        # a chosen model is alone in its mean
        ours=scaled("best" if entry.statistic == "best" else "mean"),
        ours_std=scaled("std") if mean else None,
        ours_low=scaled("mean_low") if mean else None,
        ours_high=scaled("mean_high") if mean else None,
        ours_n=int(ours["n"]),
        ours_failed=int(ours["failed"]),
        ours_protocol=str(ours["protocol"]),
        ours_dataset=str(ours["dataset"]),
        ours_preset=str(ours["preset"]),
        ours_settings=str(ours["settings"]),
    )


def _ours(table: Table, row: Row, column: Column, frame: pd.DataFrame) -> _Ours:
    if row.method is None:
        return _Ours(None, [], "disbench does not have this method")
    config = row.config or table.config
    mine = _rows(row, frame[(frame["method"] == row.method) & (frame["metric"] == column.metric)])
    size = row.size or table.size
    on_dataset = np.array([table.measured_on(name, size) for name in mine["dataset"]], bool)
    exact = mine[
        (mine["protocol"] == table.protocol)
        & (mine["config"] == config)
        & (mine["preset"] == column.preset)
        & on_dataset
    ]
    if len(exact):
        return _aggregate(exact, table, row)
    # A row with a config of its own is another set-up than the usual one of its method.
    if config != table.config:
        mine = mine[mine["config"] == config]
    others = mine[mine["preset"] == column.preset]
    others = others if len(others) else mine
    columns = ["protocol", "dataset", "preset", "settings", "config"]
    keys = others[columns]
    if table.splits:
        keys = keys.assign(dataset=[labels.family(name) for name in keys["dataset"]])
    kinds = keys.assign(n=others["score"].notna()).groupby(columns, sort=False)["n"].sum().reset_index()
    if kinds.empty:
        return _Ours(None, [], _missing(table, row))
    # the number of seeds, unlike a score, chooses nobody's favourite
    most = kinds[kinds["n"] == kinds["n"].max()]
    if len(most) > 1:
        named = "; ".join(", ".join(map(str, kind[:4])) for kind in kinds.itertuples(index=False))
        return _Ours(None, [], f"several results match ({named}); name the run to use")
    kind = most.iloc[0]
    others = others[(keys == kind[columns]).all(axis=1)]
    less = [f"{protocol} ({n})" for protocol, n in zip(kinds["protocol"], kinds["n"], strict=True)]
    less.remove(f"{kind['protocol']} ({kind['n']})")
    differs = []
    if kind["protocol"] != table.protocol:
        differs.append(
            f"ours is of the protocol {kind['protocol']} on {labels.measured_on(others['dataset'])}"
        )
    else:
        if not any(table.measured_on(name, size) for name in others["dataset"]):
            differs.append(f"ours is on {labels.measured_on(others['dataset'])}")
        if kind["config"] != config:
            differs.append(f"ours has the config {kind['config']}")
    if kind["preset"] != column.preset:
        differs.append(f"our metric has the preset {kind['preset']}")
    found = _aggregate(others, table, row)
    told = [f"the result of most seeds; fewer have: {', '.join(less)}"] if less else []
    return replace(found, differs=differs, note="; ".join([*told, *([found.note] if found.note else [])]))


def _rows(row: Row, of_method: pd.DataFrame) -> pd.DataFrame:
    """The per-seed rows that fill a row of the table, of those of its method."""
    if row.chosen_by:
        chosen = [row.chosen_by in json.loads(text) for text in of_method["chosen_by"]]
        return of_method[np.array(chosen, bool)]
    changed = [_same(json.loads(text), row.settings) for text in of_method["changed"]]
    of_method = of_method[np.array(changed, bool)]
    mine = of_method[of_method["variant"] == row.variant]
    if mine.empty and row.plain:
        return of_method[of_method["variant"] == ""]
    return mine


def _missing(table: Table, row: Row) -> str:
    if row.chosen_by:
        return (
            f"no model of {row.method} was chosen by {row.chosen_by} yet: `disbench leaderboard RUN --select "
            f"{row.chosen_by} --where method={row.method}` chooses one of a run under the protocol "
            f"{table.protocol}"
        )
    return f"no result of {_title(row)} under the protocol {table.protocol} on {table.dataset}"


def _same(changed: Mapping[str, object], settings: Mapping[str, int | float]) -> bool:
    return set(changed) == set(settings) and all(changed[name] == settings[name] for name in settings)


def _title(row: Row) -> str:
    label = labels.label(str(row.method), row.variant)
    parts = ([f"config {row.config}"] if row.config else []) + [f"{k}={v:g}" for k, v in row.settings.items()]
    return f"{label} ({', '.join(parts)})" if parts else label


def _aggregate(rows: pd.DataFrame, table: Table, row: Row) -> _Ours:
    if rows.groupby("dataset")["cell"].nunique().max() > 1:
        return _Ours(None, [], "several results match; name the run to use")
    if rows["metric_settings"].nunique() > 1:
        return _Ours(None, [], "the metric was measured with different settings; name the run to use")
    by = ["protocol", "method", "variant", "metric", "preset"]
    ours = leaderboard(rows, by, iqm_interval=False).iloc[0].copy()
    ours["dataset"] = labels.measured_on(rows["dataset"])
    ours["settings"] = rows["settings"].iloc[0]
    notes = []
    if table.splits:
        splits = rows.loc[rows["score"].notna(), "dataset"].nunique()
        if splits != table.splits:
            notes.append(f"ours is of {splits} of {table.splits} splits")
    if ours["failed"]:
        notes.append(f"{units.count(int(ours['failed']), 'seed')} failed, in no average")
    if left := unended(rows)[["dataset", "seed"]].drop_duplicates().shape[0]:
        notes.append(f"{units.count(left, 'seed')} not finished, in no average")
    if not ours["n"]:
        reasons = "; ".join(dict.fromkeys(str(reason) for reason in rows["reason"].dropna()))
        return _Ours(None, [], f"no seed has a score: {reasons or 'none is done yet'}")
    if row.chosen_by:
        of = json.loads(rows["chosen_by"].iloc[0])[row.chosen_by]
        notes.append(f"ours is one model ({ours['settings']}), chosen among {of} by {row.chosen_by}")
    elif ours["reason"]:
        notes.append(str(ours["reason"]))
    return _Ours(ours, [], "; ".join(notes), rows)


# Columns of `paired`.
PAIRED = ("row", "other", "column", "metric", "preset", "n", "difference", "low", "high", "better", "reason")


def paired(table: Table, frame: pd.DataFrame, better: Mapping[str, bool]) -> pd.DataFrame:
    """The table's own method against each other row, split by split, which cancels how hard a split is.

    Args:
        table: one whose rows average over splits, with one `plain` row; of any other there are no pairs.
        frame: per-seed rows, see `aggregate.scores`.
        better: by metric, whether high is good.

    Returns:
        One row per other row and column: `difference` is the mean over splits of the method's score minus
        the other's, each averaged over the seeds of its split, with its 95 % interval (`low`, `high`);
        `better` is the share of splits on which the method is the better one, ties counting one half; `n` is
        their number, and `reason` says why there is no interval.
    """
    own = next((row for row in table.rows if row.plain), None)
    lines = []
    if table.splits and own is not None:
        of_own = [_by_split(_ours(table, own, column, frame).rows) for column in table.columns]
        for other in (row for row in table.rows if row != own):
            for column, ours in zip(table.columns, of_own, strict=True):
                theirs = _by_split(_ours(table, other, column, frame).rows)
                both = pd.concat([ours, theirs], axis=1).dropna()
                difference = -np.diff(statistics.settled(both))[:, 0]
                if not len(difference):
                    continue
                gain = difference if better[column.metric] else -difference
                ends = statistics.interval(difference)
                head = (own.name, other.name, column.name, column.metric, column.preset, len(difference))
                share = float(np.where(gain == 0, 0.5, gain > 0).mean())
                mean, low, high = (column.scale * x for x in (difference.mean(), ends.low, ends.high))
                lines.append((*head, mean, low, high, share, ends.reason))
    return pd.DataFrame(lines, columns=list(PAIRED))


def _by_split(rows: pd.DataFrame | None) -> pd.Series:
    """The mean score of each split."""
    if rows is None:
        return pd.Series(dtype=float)
    return rows.groupby(rows["dataset"].map(labels.split))["score"].mean().drop("", errors="ignore")


def shown_paired(table: Table, pairs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """`paired` as texts, one line per other row, and the sentences below them."""
    digits, lines = _digits(table), []
    for (own, other), group in pairs.groupby(["row", "other"], sort=False):
        cells = dict.fromkeys((column.name for column in table.columns), "–")
        cells |= {"": f"{own} − {other}", "splits": str(group["n"].max())}
        for pair in group.to_dict("records"):
            n, ends = digits[pair["column"]], ""
            if math.isfinite(pair["low"]):
                ends = f" ({pair['low']:+.{n}f} to {pair['high']:+.{n}f})"
            text = f"{pair['difference']:+.{n}f}{ends}, {round(100 * pair['better'])} %"
            cells[pair["column"]] = text.replace("-", "−")
        lines.append(cells)
    sentences = [
        "mean difference over splits, the method minus the other, and the share of splits on which the "
        "method is the better one"
    ]
    if pairs["low"].notna().any():
        sentences.append("in brackets its 95 % BCa bootstrap interval")
    reasons = [reason for reason in dict.fromkeys(pairs["reason"]) if reason]
    columns = ["", "splits", *(column.name for column in table.columns)]
    return pd.DataFrame(lines, columns=columns), [*sentences, *reasons]


class _Numbered:
    """The notes of a table, in the order in which cells refer to them."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def mark(self, note: str) -> str:
        """What refers to a note, such as "[2]"; "" for none."""
        if note and note not in self.notes:
            self.notes.append(note)
        return f"[{self.notes.index(note) + 1}]" if note else ""

    def lines(self) -> list[str]:
        """All of them with their numbers."""
        return [f"[{number}] {note}" for number, note in enumerate(self.notes, start=1)]


def _digits(table: Table) -> dict[str, int]:
    return {column.name: 3 if column.scale == 1 else 1 for column in table.columns}


def shown(table: Table, entries: Sequence[TableEntry]) -> tuple[pd.DataFrame, list[str]]:
    """A table as texts, and its notes: each row has a line for theirs, for ours and for the difference.

    A number in square brackets behind a cell refers to a note. A difference is of numbers that were measured
    alike, and says whether theirs lies in our interval.
    """
    numbered, digits = _Numbered(), _digits(table)

    def marked(text: str, note: str) -> str:
        return f"{text} {numbered.mark(note)}".rstrip()

    lines = []
    for row in table.rows:
        cells = [entry for entry in entries if entry.row == row.name]
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
    return text, [*_legend(entries), *numbered.lines()]


def paper(
    table: Table, entries: Sequence[TableEntry], better: Mapping[str, bool]
) -> tuple[wide.Wide, list[str]]:
    """A table as papers print it, and its notes: a line for theirs and one for ours, each ranked on its own.

    Lines without a number are left out, and said to be.

    Args:
        table: the table.
        entries: its cells, see `fill`.
        better: by metric, whether high is good.
    """
    numbered, digits = _Numbered(), _digits(table)
    columns = [
        # a scaled number, such as a percentage, has one decimal everywhere
        wide.Column(c.name, better[c.metric], None if c.scale == 1 else digits[c.name])
        for c in table.columns
    ]
    lines = []
    for row in table.rows:
        cells = [entry for entry in entries if entry.row == row.name]
        if any(entry.theirs is not None for entry in cells):
            theirs = {e.column: _theirs_cell(e, digits[e.column], numbered) for e in cells}
            lines.append(wide.Line({"method": row.name, "": "theirs"}, theirs, "theirs"))
        if any(entry.ours is not None for entry in cells):
            ours = {e.column: _ours_cell(e, numbered) for e in cells}
            lines.append(wide.Line({"method": row.name, "": "ours"}, ours, "ours"))
    left_out = [row.name for row in table.rows if not any(line.heads["method"] == row.name for line in lines)]
    missing = [f"without a number, theirs or ours: {', '.join(left_out)}"] if left_out else []
    whole = {row.name for row in table.rows} - {
        line.heads["method"] for line in lines if line.group == "ours"
    }
    why = dict.fromkeys(entry.ours_note for entry in entries if entry.row in whole and entry.ours_note)
    missing += [f"ours is missing: {'; '.join(why)}"] if why else []
    legend = [sentence for sentence in _legend(entries) if sentence.startswith("ours:")]
    return wide.wide(columns, lines), [*legend, *missing, *numbered.lines()]


def _theirs_cell(entry: TableEntry, digits: int, numbered: _Numbered) -> wide.Cell:
    if entry.theirs is None:
        return wide.Cell(after=numbered.mark(entry.theirs_note))
    printed = entry.theirs_text or "" if digits == 3 else _theirs_text(entry, digits)
    return wide.Cell(entry.theirs, printed=printed, after=numbered.mark(entry.theirs_note))


def _ours_cell(entry: TableEntry, numbered: _Numbered) -> wide.Cell:
    std = math.nan if entry.ours_std is None else entry.ours_std
    if entry.ours is None:
        return wide.Cell(after=numbered.mark(entry.ours_note))
    after = f"({entry.ours_n}) {numbered.mark(entry.ours_note)}".rstrip()
    return wide.Cell(entry.ours, std, after=after)


def _legend(entries: Sequence[TableEntry]) -> list[str]:
    sentences = []
    if any(entry.ours_std is not None for entry in entries):
        sentences.append("ours: mean ± standard deviation (divided by n - 1), n in brackets")
    if any(entry.inside is not None for entry in entries):
        sentences.append(
            "inside, outside: whether the published number lies in our 95 % interval of the mean "
            "(BCa bootstrap)"
        )
    return sentences


def _theirs_text(entry: TableEntry, digits: int) -> str:
    if entry.theirs is None:
        return "–"
    # With the decimals that were printed.
    if entry.theirs_text is not None and digits == 3:
        value, _, spread = entry.theirs_text.partition("±")
        parts = [f"0{part}" if part.startswith(".") else part for part in (value, spread) if part]
        return " ± ".join(parts)
    spread_text = "" if entry.theirs_spread is None else f" ± {entry.theirs_spread:.{digits}f}"
    return f"{entry.theirs:.{digits}f}{spread_text}"


def _ours_text(entry: TableEntry, digits: int) -> str:
    if entry.ours is None:
        return "–"
    spread = "" if entry.ours_std is None else f" ± {entry.ours_std:.{digits}f}"
    return f"{entry.ours:.{digits}f}{spread} ({entry.ours_n})"


def _difference(entry: TableEntry, digits: int) -> str:
    if entry.difference is None:
        return "–"
    text = f"{entry.difference:+.{digits}f}".replace("-", "−")
    if entry.inside is None:
        return text
    return f"{text}, {'inside' if entry.inside else 'outside'}"
