"""A report: one HTML file that shows everything a run found out, and needs nothing but itself.

`render` turns plain values and frames into the page. Whatever comes from a run (names, reasons, versions) is
escaped by the template; only pictures drawn by `plots` go in as they are, and those escape their own texts.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from disbench import units
from disbench.errors import UsageError
from disbench.leaderboards import aggregate, labels, plots, tables

PICTURE_BYTES = 5_000_000  # of all traversals together; larger ones are shown smaller
CURVE_BYTES = 2_500_000  # of all training curves together; what is beyond is left out
MOST_SHOWN = 12  # methods with traversals
MOST_ROWS = 2_000  # per-seed rows
STATES = ("done", "failed", "running", "stopped", "queued")


@dataclass(frozen=True)
class Traversal:
    """One seed's picture: the "best", "median", "worst" or "only" one by some score, and where it is."""

    what: str
    seed: int
    score: float
    path: Path


@dataclass(frozen=True)
class Matrix:
    """Values (d, k) of codes and factors, with what they are called and where they come from."""

    values: NDArray[np.float64]
    codes: list[str]
    factors: list[str]
    title: str


@dataclass(frozen=True)
class Findings:
    """What a report is made of.

    Attributes:
        runs: names of the runs.
        frame: the per-seed rows, see `aggregate.scores`.
        protocols: of each protocol, its summary and whether its scores mean anything.
        told: sentences about the rows, such as seeds that were in two runs.
        journals: logged values, one row per (training, seed, step, quantity, index).
        swept: settings that vary, each with rows for `plots.sweep`.
        judge: metric and preset that tell seeds best from worst; None where there is no score.
        traversals: pictures by method.
        matrices: by method, those of its best seed, "mi" and "dci".
        facts: provenance of each run, as plain values.
    """

    runs: Sequence[str]
    frame: pd.DataFrame
    protocols: Mapping[str, tuple[str, bool]]
    told: Sequence[str] = ()
    journals: pd.DataFrame = field(default_factory=pd.DataFrame)
    swept: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    judge: tuple[str, str] | None = None
    traversals: Mapping[str, Sequence[Traversal]] = field(default_factory=dict)
    matrices: Mapping[str, Mapping[str, Matrix]] = field(default_factory=dict)
    facts: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        number: what it sorts by; None where there is no number.
        again: whether it repeats the cell above, for those who cannot see that.
    """

    text: str
    number: float | None = None
    again: bool = False


@dataclass(frozen=True)
class Table:
    """Columns with whether they hold numbers, rows of cells, and what the table shows, in words."""

    caption: str
    columns: list[tuple[str, bool]]
    rows: list[list[Cell]]
    sortable: bool = True


@dataclass(frozen=True)
class Figure:
    """A drawing as `<svg>`, or none and the reason."""

    svg: Markup = field(default_factory=Markup)
    reason: str = ""


@dataclass(frozen=True)
class Picture:
    heading: str
    alt: str
    data: str
    width: int
    height: int


class Drawer:
    """Makes figures whose ids differ within the page, and counts their bytes."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, draw: Any, alt: str) -> Figure:
        """The figure that `draw()` returns; where there is too little to draw, its sentence."""
        try:
            drawn = draw()
        except UsageError as error:
            return Figure(reason=str(error))
        self.made += 1
        return Figure(Markup(plots.inline(drawn, f"f{self.made}", alt)))


def render(found: Findings) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("disbench.leaderboards"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    draw = Drawer()
    frame = found.frame.assign(name=labels.names(found.frame))
    board = aggregate.leaderboard(frame)
    board = board.assign(name=labels.names(board, of=frame))
    page: dict[str, Any] = {
        "title": f"disbench report: {', '.join(found.runs)}",
        "runs": list(found.runs),
        "protocols": found.protocols,
        "meaningless": [name for name, (_, meaningful) in found.protocols.items() if not meaningful],
        "counts": _counts(frame),
        "datasets": list(dict.fromkeys(frame["dataset"])),
        "methods": list(dict.fromkeys(frame["name"])),
        "overview": _overview(frame, board),
        "metrics": _metrics(frame, board, draw),
        "notes": [*found.told, *aggregate.notes(frame, board)],
        "pairs": _pairs(frame),
        "ranks": _ranks(frame),
        "published": _published(frame),
        "unpublished": [] if len(frame) == 0 else tables.names(),
        "sweeps": [
            (
                name,
                draw(
                    lambda rows=rows, name=name: plots.sweep(rows, name),
                    f"Scores against the setting {name}.",
                ),
            )
            for name, rows in found.swept.items()
        ],
        "correlation": draw(
            lambda: plots.correlation(frame), "Rank correlation of each two metrics over trained models."
        ),
        "judge": found.judge,
        **_traversals(found),
        "matrices": _matrices(found, draw),
        "curves": _curves(found.journals, draw),
        "failed": _failed(frame),
        "seeds": _seeds(frame),
        "left_rows": max(0, len(_per_seed(frame)) - MOST_ROWS),
        "facts": [_facts(fact) for fact in found.facts],
    }
    return environment.get_template("report.html").render(page)


def number(value: float, digits: int = 3) -> Cell:
    """A number as a cell; "–", which sorts last, where it is not one."""
    if not math.isfinite(value):
        return Cell("–")
    return Cell(f"{value:,.{digits}f}".replace("-", "−"), float(value))


def _counts(frame: pd.DataFrame) -> list[tuple[int, str]]:
    states = frame.drop_duplicates(["dataset", "protocol", "cell", "seed"])["state"].value_counts()
    return [(int(states[state]), state) for state in STATES if state in states]


def _overview(frame: pd.DataFrame, board: pd.DataFrame) -> list[Table]:
    """Per data set and protocol, the mean of every metric by method."""
    made = []
    for (dataset, protocol), group in board.groupby(["dataset", "protocol"], sort=False):
        kinds = list(
            dict.fromkeys(zip(group["metric"], group["preset"], group["higher_is_better"], strict=True))
        )
        rows = []
        for name, mine in group.groupby("name", sort=False):
            by_kind = {(row["metric"], row["preset"]): row for row in mine.to_dict("records")}
            worst = max(int(row["failed"]) for row in by_kind.values())
            seeds = [int(row["n"]) for row in by_kind.values()]
            many = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else str(seeds[0])
            cells = [Cell(str(name)), Cell(many, max(seeds)), Cell(str(worst), worst)]
            for metric, preset, _ in kinds:
                row = by_kind.get((metric, preset))
                if row is None or not math.isfinite(row["mean"]):
                    cells.append(Cell("–"))
                    continue
                spread = f" ± {row['std']:.3f}" if math.isfinite(row["std"]) else ""
                cells.append(Cell(f"{number(row['mean']).text}{spread}", float(row["mean"])))
            rows.append([*cells, number(float(mine["seconds"].mean()), 0)])
        columns = [("method", False), ("n", True), ("failed", True)]
        columns += [(_head(metric, preset, higher), True) for metric, preset, higher in kinds]
        caption = f"{dataset}, protocol {protocol}: mean ± standard deviation; seconds a seed"
        made.append(Table(caption, [*columns, ("seconds", True)], rows))
    return made


def _head(metric: str, preset: str, higher: bool) -> str:
    return f"{metric} · {preset} {'↑' if higher else '↓'}"


def _metrics(frame: pd.DataFrame, board: pd.DataFrame, draw: Drawer) -> list[dict[str, Any]]:
    """Per data set, protocol, metric and preset: heading, table, drawing."""
    made = []
    keys = ["dataset", "protocol", "metric", "preset"]
    rows_of = dict(iter(frame.groupby(keys, sort=False)))
    several = len(board[["dataset", "protocol"]].drop_duplicates()) > 1
    for key, group in board.groupby(keys, sort=False):
        higher = bool(group["higher_is_better"].iloc[0])
        group = group.sort_values("mean", ascending=not higher, kind="stable", na_position="last")
        judged = f"{key[2]} · {key[3]}"
        heading = f"{judged}, {key[0]} ({key[1]})" if several else judged
        told = [f"{row.name_} {row.mean_:.3f} ({row.n} seeds)" for row in _means(group)]
        alt = f"Every seed's score by {judged}. Means, best first: {'; '.join(told) or 'none'}."
        rows = rows_of[key]
        made.append(
            {
                "heading": heading,
                "higher": higher,
                "table": _board_table(group, heading),
                "figure": draw(lambda rows=rows, group=group: plots.strip(rows, group), alt),
            }
        )
    return made


def _means(group: pd.DataFrame) -> Iterable[Any]:
    kept = group[group["mean"].notna()][["name", "mean", "n"]]
    return kept.rename(columns={"name": "name_", "mean": "mean_"}).itertuples()


def _board_table(group: pd.DataFrame, heading: str) -> Table:
    ends = aggregate.between(group["mean_low"], group["mean_high"])
    rows = []
    for row, interval in zip(group.to_dict("records"), ends, strict=True):
        counts = [Cell(str(row[name]), float(row[name])) for name in ("n", "failed", "unscored")]
        low = Cell(interval, float(row["mean_low"]) if math.isfinite(row["mean_low"]) else None)
        rest = [number(row[name]) for name in ("std", "median", "iqm", "best", "worst")]
        rows.append([Cell(str(row["name"])), *counts, number(row["mean"]), low, *rest])
    names = ["method", "n", "failed", "unscored", "mean", "95 %", "std", "median", "IQM", "best", "worst"]
    table = Table(f"Leaderboard by {heading}", [(name, name != "method") for name in names], rows)
    idle = [3] if (group["unscored"] == 0).all() else []
    idle += [5] if group["mean_low"].isna().all() else []
    return _without(table, idle)


def _without(table: Table, idle: Sequence[int]) -> Table:
    columns = [column for i, column in enumerate(table.columns) if i not in idle]
    rows = [[cell for i, cell in enumerate(row) if i not in idle] for row in table.rows]
    return Table(table.caption, columns, rows, table.sortable)


def _of_texts(text: pd.DataFrame, caption: str) -> Table:
    """A table of texts, those that are numbers sorted as numbers."""
    rows = [[Cell(str(value), _number(str(value))) for value in row] for row in text.itertuples(index=False)]
    columns = []
    for i, column in enumerate(text.columns):
        known = [row[i] for row in rows if row[i].text not in ("–", "")]
        columns.append((str(column), bool(known) and all(cell.number is not None for cell in known)))
    return Table(caption, columns, rows)


def _number(text: str) -> float | None:
    head = text.split(" ")[0].replace("−", "-").replace(",", "")
    try:
        value = float(head)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _pairs(frame: pd.DataFrame) -> tuple[Table, list[str]] | None:
    pairs = aggregate.improvements(frame)
    if pairs.empty:
        return None
    text, told = aggregate.shown_improvements(pairs)
    return _of_texts(text, "Which method beats which"), told


def _ranks(frame: pd.DataFrame) -> list[tuple[Table, list[str]]]:
    made = []
    for name, found, missing in aggregate.ranks(frame):
        text, told = aggregate.shown_ranks(found, missing)
        made.append((_of_texts(text, f"Ranks by {name}"), told))
    return made


def _published(frame: pd.DataFrame) -> list[tuple[Table, list[str]]]:
    """The papers' tables in which any cell is ours, with the rows that have one."""
    made = []
    for name in tables.names():
        spec = tables.read(name)
        entries = tables.fill(spec, frame)
        ours = {entry.row for entry in entries if entry.ours is not None}
        if ours:
            kept = spec.model_copy(update={"rows": tuple(row for row in spec.rows if row.name in ours)})
            text, told = tables.shown(kept, [entry for entry in entries if entry.row in ours])
            again = text["method"] == ""
            text = text.assign(method=text["method"].where(~again).ffill()).rename(columns={"": "whose"})
            rows = [[Cell(value) for value in row] for row in text.itertuples(index=False)]
            for row, repeats in zip(rows, again, strict=True):
                row[0] = Cell(row[0].text, again=bool(repeats))
            columns = [(str(column), i > 1) for i, column in enumerate(text.columns)]
            left = len(spec.rows) - len(kept.rows)
            if left:
                told.append(f"{left} rows of the table have nothing of ours and are left out")
            made.append((Table(f"{name}: {spec.title}", columns, rows, sortable=False), told))
    return made


def _traversals(found: Findings) -> dict[str, Any]:
    """Pictures by method, shrunk until all of them together stay within `PICTURE_BYTES`."""
    kept = dict(list(found.traversals.items())[:MOST_SHOWN])
    budget = PICTURE_BYTES // max(1, sum(map(len, kept.values())))
    shown, least, lost = [], 1, []
    for name, pictures in kept.items():
        row = []
        for one in pictures:
            try:
                data, width, height, shrunk = picture(one.path, budget)
            except (OSError, ValueError, Image.DecompressionBombError):
                lost.append(f"{name}, seed {one.seed}: its picture cannot be read")
                continue
            least = max(least, shrunk)
            heading = f"{one.what}: seed {one.seed}, {one.score:.3f}"
            alt = f"Latent traversal of {name}, {heading}: one code moved along each row."
            row.append(Picture(heading, alt, data, width, height))
        shown.append((name, row))
    left = list(found.traversals)[MOST_SHOWN:]
    return {"traversals": shown, "shrunk": least, "left_traversals": left, "lost_traversals": lost}


def picture(path: Path, budget: int) -> tuple[str, int, int, int]:
    """A PNG as base64, with its width, height and by how much it was shrunk to fit into `budget` bytes.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    with Image.open(path) as image:
        whole = image.convert("RGB")
    for shrunk in (1, 2, 4, 8):
        size = (max(1, whole.width // shrunk), max(1, whole.height // shrunk))
        buffer = io.BytesIO()
        smaller = whole if shrunk == 1 else whole.resize(size, Image.Resampling.BOX)
        smaller.save(buffer, "PNG", optimize=True)
        if len(buffer.getvalue()) <= budget:
            break
    return base64.b64encode(buffer.getvalue()).decode("ascii"), *size, shrunk


def _matrices(found: Findings, draw: Drawer) -> list[tuple[str, list[Figure]]]:
    """Of the first `MOST_SHOWN` methods, what the codes of the best seed know about the factors."""
    made = []
    for name, kinds in list(found.matrices.items())[:MOST_SHOWN]:
        drawn = []
        for kind, one in kinds.items():
            plot = plots.information if kind == "mi" else plots.importance
            what = "Mutual information" if kind == "mi" else "DCI's importance"
            alt = f"{what} of codes and factors, {one.title}."
            drawn.append(draw(lambda f=plot, m=one: f(m.values, m.codes, m.factors, m.title), alt))
        made.append((name, drawn))
    return made


def _curves(journals: pd.DataFrame, draw: Drawer) -> dict[str, Any]:
    if journals.empty:
        return {"shown": [], "left": []}
    shown: list[tuple[str, Figure]] = []
    left, used = [], 0
    for title, group in trainings(journals):
        if used > CURVE_BYTES:
            left.append(title)
            continue
        figure = draw(lambda g=group, t=title: plots.curves(g, t), f"Training curves of {title}.")
        used += len(figure.svg)
        shown.append((title, figure))
    return {"shown": shown, "left": left}


def trainings(journals: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The logged values of each training, under a name with its settings."""
    named = journals.assign(name=labels.names(journals), label=labels.labels(journals))
    for _, group in named.groupby(["label", "cell"], sort=False):
        first = group.iloc[0]
        name = first["name"] if first["name"] != first["label"] else f"{first['label']} ({first['settings']})"
        yield str(name), group


def _failed(frame: pd.DataFrame) -> Table | None:
    """Seeds that are not done, and trained ones without a score, each with its reason."""
    cells = frame[(frame["state"] != "done") | frame["score"].isna()]
    rows = []
    for _, group in cells.groupby(["dataset", "protocol", "cell", "seed"], sort=False):
        one = group.iloc[0]
        reasons = list(dict.fromkeys(str(reason) for reason in group["reason"].dropna()))
        lost = ", ".join(dict.fromkeys(group["metric"]))
        state = str(one["state"]) if one["state"] != "done" else f"no {lost}"
        told = "; ".join(reasons) or ("no reason was recorded" if one["state"] in ("failed", "done") else "–")
        head = [Cell(str(one["name"])), Cell(str(one["dataset"])), Cell(str(one["seed"]), float(one["seed"]))]
        rows.append([*head, Cell(state), Cell(told)])
    columns = [("method", False), ("data set", False), ("seed", True), ("state", False), ("reason", False)]
    return Table("Seeds without a score", columns, rows) if rows else None


def _per_seed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop_duplicates(["name", "dataset", "protocol", "cell", "seed"])


def _seeds(frame: pd.DataFrame) -> Table:
    kinds = list(dict.fromkeys(zip(frame["metric"], frame["preset"], strict=True)))
    higher = dict(
        zip(zip(frame["metric"], frame["preset"], strict=True), frame["higher_is_better"], strict=True)
    )
    identity = ["dataset", "protocol", "cell", "seed"]
    scores = {
        (*row[:4], row[4], row[5]): row[6]
        for row in frame[[*identity, "metric", "preset", "score"]].itertuples(index=False)
    }
    rows = []
    for row in _per_seed(frame).head(MOST_ROWS).to_dict("records"):
        key = tuple(row[name] for name in identity)
        found = [number(float(scores.get((*key, *kind), np.nan))) for kind in kinds]
        head = [Cell(str(row["name"])), Cell(str(row["dataset"])), Cell(str(row["seed"]), float(row["seed"]))]
        rows.append([*head, Cell(str(row["state"])), *found, number(float(row["seconds"]), 0)])
    columns = [("method", False), ("data set", False), ("seed", True), ("state", False)]
    columns += [(_head(*kind, bool(higher[kind])), True) for kind in kinds]
    return Table("Scores of every seed", [*columns, ("seconds", True)], rows)


def _facts(fact: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance as the template shows it."""
    import json

    versions = []
    for environment in fact.get("environments", []):
        versions.append(
            {
                "device": str(environment.get("device", "not recorded")),
                "commit": str(environment.get("commit") or "not recorded"),
                "seeds": environment.get("seeds", 0),
                "versions": [
                    (str(name), str(value))
                    for name, value in environment.items()
                    if name not in ("device", "commit", "seeds")
                ],
            }
        )
    seconds = fact.get("seconds", {})
    cost = (
        [f"{units.duration(seconds['total'])} of wall time, summed over seeds"] if "total" in seconds else []
    )
    for unit in ("core", "gpu"):
        if seconds.get(unit):
            name = {"core": "core-seconds", "gpu": "GPU-seconds"}[unit]
            cost.append(f"{seconds[unit]:,.0f} {name} ({seconds[unit] / 3600:,.2f} h)")
    return {
        "name": str(fact.get("name", "")),
        "commands": [str(command) for command in fact.get("commands", [])],
        "data": [(str(name), str(digest)) for name, digest in fact.get("data_sha256", {}).items()],
        "environments": versions,
        "cost": cost,
        "protocols": {n: json.dumps(v, indent=1, default=str) for n, v in fact.get("protocols", {}).items()},
        "settings": {n: json.dumps(v, indent=1, default=str) for n, v in fact.get("settings", {}).items()},
    }
