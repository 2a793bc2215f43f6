"""A report: one self-contained HTML file with everything that is known about a run.

`render` turns `Findings` into the page. The template escapes all texts of a run (names, reasons, versions);
only the drawings of `plots` are inserted as they are, and these escape their own texts.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from disbench import units
from disbench.errors import UsageError
from disbench.leaderboards import (
    aggregate,
    explained,
    explorer,
    journals,
    labels,
    plots,
    sheets,
    shown,
    sides,
    tables,
    template,
    titles,
    tuning,
)
from disbench.leaderboards.provenance import Cost, Provenance
from disbench.leaderboards.tuning import Tuned

# Bytes of all traversals together; larger pictures are shown smaller.
PICTURE_BYTES = 5_000_000
# Bytes of all training curves together; the curves beyond are left out.
CURVE_BYTES = 2_500_000
# Methods with traversals.
MOST_SHOWN = 12
# Rows of the table of seeds.
MOST_ROWS = 2_000
STATES = ("done", "failed", "running", "stopped", "queued")
# The columns that identify a seed.
SEED = ["dataset", "protocol", "cell", "seed"]


@dataclass(frozen=True)
class Traversal:
    """The picture of a seed.

    Attributes:
        place: "best", "median", "worst" or "only", by some score.
        seed: the seed.
        score: that score.
        path: path of the picture.
    """

    place: str
    seed: int
    score: float
    path: Path


@dataclass(frozen=True)
class Matrix:
    """A matrix of codes and factors.

    Attributes:
        values: (d, k).
        codes: names of the codes.
        factors: names of the factors.
        title: the model and the metric that it is of.
    """

    values: NDArray[np.float64]
    codes: list[str]
    factors: list[str]
    title: str


@dataclass(frozen=True)
class Findings:
    """Everything that a report shows.

    Attributes:
        runs: names of the runs.
        frame: the per-seed rows, see `aggregate.scores`.
        protocols: summary of each protocol, and whether its scores mean anything.
        notes: sentences about the rows, such as the seeds that two runs hold.
        journals: logged values, see `journals`.
        swept: rows for `plots.sweep`, by the setting that varies.
        tuned: the settings of each method that has several, ranked by `judge`.
        without: what else ranks them, without labels.
        judge: metric and preset by which seeds are ranked; None if there is no score.
        traversals: pictures by method.
        matrices: matrices of the best seed by method and by kind, see `plots.MATRICES`.
        provenance: provenance of each run.
    """

    runs: Sequence[str]
    frame: pd.DataFrame
    protocols: Mapping[str, tuple[str, bool]]
    notes: Sequence[str] = ()
    journals: pd.DataFrame = field(default_factory=pd.DataFrame)
    swept: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tuned: Sequence[Tuned] = ()
    without: str = ""
    judge: tuple[str, str] | None = None
    traversals: Mapping[str, Sequence[Traversal]] = field(default_factory=dict)
    matrices: Mapping[str, Mapping[str, Matrix]] = field(default_factory=dict)
    provenance: Sequence[Provenance] = ()


@dataclass(frozen=True)
class HtmlCell:
    """One cell of a table.

    Attributes:
        text: its text.
        number: the number that it sorts by; None if it has none.
        again: whether it repeats the cell above, so that only a screen reader says it again.
    """

    text: str
    number: float | None = None
    again: bool = False


@dataclass(frozen=True)
class HtmlTable:
    """A table.

    Attributes:
        caption: what it shows.
        columns: headings, and whether the column holds numbers.
        rows: rows of cells.
        sortable: whether a click on a heading sorts it.
    """

    caption: str
    columns: list[tuple[str, bool]]
    rows: list[list[HtmlCell]]
    sortable: bool = True


NotedTable = tuple[HtmlTable, list[str]]


@dataclass(frozen=True)
class HtmlFigure:
    """A drawing, or the reason why there is none.

    Attributes:
        svg: the drawing as `<svg>`.
        reason: a sentence if there is no drawing.
    """

    svg: Markup = field(default_factory=Markup)
    reason: str = ""


@dataclass(frozen=True)
class HtmlPicture:
    """A picture with its heading.

    Attributes:
        heading: the text above it.
        alt: what it shows, in words.
        data: the PNG as base64.
        width: in pixels.
        height: in pixels.
    """

    heading: str
    alt: str
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class MetricSection:
    """The part of a page about one metric.

    Attributes:
        heading: metric and preset; data set and protocol if these are several.
        higher: whether higher is better.
        table: its leaderboard.
        figure: the scores of every seed.
    """

    heading: str
    higher: bool
    table: HtmlTable
    figure: HtmlFigure


@dataclass(frozen=True)
class Pictures:
    """The traversals of a page.

    Attributes:
        by_method: pictures under the name of their method.
        shrunk: the largest factor by which a picture was shrunk.
        left: names of methods whose pictures are left out.
        unreadable: a sentence for each picture that cannot be read.
    """

    by_method: list[tuple[str, list[HtmlPicture]]]
    shrunk: int
    left: list[str]
    unreadable: list[str]


@dataclass(frozen=True)
class Curves:
    """The training curves of a page.

    Attributes:
        figures: figures under their titles.
        left: titles that are left out.
    """

    figures: list[tuple[str, HtmlFigure]]
    left: list[str]


@dataclass(frozen=True)
class Facts:
    """The provenance of a run with its parts as texts.

    Attributes:
        provenance: the provenance.
        cost: sentences about seconds.
        protocols: fields of each protocol as JSON.
        settings: settings of each training as JSON.
    """

    provenance: Provenance
    cost: list[str]
    protocols: dict[str, str]
    settings: dict[str, str]


class Drawer:
    """Draws figures whose ids differ within the page."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, draw: Callable[[], Figure], alt: str) -> HtmlFigure:
        """The figure that `draw()` returns, or the sentence of its UsageError if there is too little to draw.

        Args:
            draw: returns the figure.
            alt: what it shows, in words.
        """
        try:
            figure = draw()
        except UsageError as error:
            return HtmlFigure(reason=str(error))
        self.count += 1
        return HtmlFigure(Markup(plots.inline(figure, f"f{self.count}", alt)))


def render(findings: Findings) -> str:
    """The page as HTML."""
    draw = Drawer()
    frame = findings.frame.assign(name=labels.names(findings.frame))
    board = aggregate.leaderboard(frame, iqm_interval=False)
    board = board.assign(name=labels.names(board, of=frame))
    meaningless = [name for name, (_, meaningful) in findings.protocols.items() if not meaningful]
    # beside scores that mean nothing, no published number is shown
    compared = frame[~frame["protocol"].isin(meaningless)]
    browsed = explorer.board_rows(frame, board)
    page: dict[str, object] = {
        "title": f"disbench report: {', '.join(findings.runs)}",
        "runs": list(findings.runs),
        "protocols": findings.protocols,
        "meaningless": meaningless,
        "counts": _counts(frame),
        "datasets": list(dict.fromkeys(frame["dataset"])),
        "methods": list(dict.fromkeys(frame["name"])),
        "overview": _overview(board),
        "rows": explorer.data(
            browsed + explorer.printed_rows([row for row in browsed if row["protocol"] not in meaningless])
        ),
        "alone": False,
        "metrics": _metrics(frame, board, draw),
        "notes": [*findings.notes, *shown.notes(frame, board)],
        "pairs": _pairs(frame),
        "ranks": _ranks(frame),
        "explained": _explained(frame),
        "published": _published(compared),
        "unpublished": tables.names() if len(compared) else [],
        "sweeps": [
            (field, draw(partial(plots.sweep, rows, field), f"Scores against the setting {field}."))
            for field, rows in findings.swept.items()
        ],
        "settings": _settings(findings),
        "tuned": draw(
            partial(plots.tuned, findings.tuned, titles.measure(*findings.judge), findings.without),
            "Every setting's mean score, and which of them were chosen.",
        )
        if findings.tuned and findings.judge
        else None,
        "correlation": draw(
            partial(plots.correlation, frame), "Rank correlation of each two metrics over trained models."
        ),
        "sides": None
        if sides.paired(frame).empty
        else draw(partial(plots.two_sides, frame), "Scores of the generator against those of the encoder."),
        "judge": labels.metric(*findings.judge) if findings.judge else "",
        "pictures": _pictures(findings),
        "matrices": _matrices(findings, draw),
        "curves": _curves(findings.journals, draw),
        "failed": _failed(frame),
        "seeds": _seeds(frame),
        "left_rows": max(0, len(_per_seed(frame)) - MOST_ROWS),
        "facts": [_facts(provenance) for provenance in findings.provenance],
    }
    return template.environment().get_template("report.html").render(page)


def number(value: float, digits: int = 3) -> HtmlCell:
    """A number for people; "–" for NaN and infinities.

    Args:
        value: the number.
        digits: number of decimals.
    """
    if not math.isfinite(value):
        return HtmlCell("–")
    return HtmlCell(f"{value:,.{digits}f}".replace("-", "−"), float(value))


def _counts(frame: pd.DataFrame) -> list[tuple[int, str]]:
    states = _per_seed(frame)["state"].value_counts()
    return [(int(states[state]), state) for state in STATES if state in states]


def _overview(board: pd.DataFrame) -> list[HtmlTable]:
    """Per data set and protocol, the mean of every metric by method."""
    overview = []
    for (dataset, protocol), group in board.groupby(["dataset", "protocol"], sort=False):
        kinds = list(
            dict.fromkeys(zip(group["metric"], group["preset"], group["higher_is_better"], strict=True))
        )
        rows = []
        for name, mine in group.groupby("name", sort=False):
            by_kind = {(row["metric"], row["preset"]): row for _, row in mine.iterrows()}
            failed, seeds = int(mine["failed"].max()), [int(n) for n in mine["n"]]
            n = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else str(seeds[0])
            cells = [HtmlCell(str(name)), HtmlCell(n, max(seeds)), HtmlCell(str(failed), failed)]
            cells += [_mean(by_kind.get((metric, preset))) for metric, preset, _ in kinds]
            rows.append([*cells, number(float(mine["seconds"].mean()), 0)])
        columns = [("method", False), ("n", True), ("failed", True)]
        columns += [(_head(metric, preset, higher), True) for metric, preset, higher in kinds]
        caption = f"{dataset}, protocol {protocol}: mean ± standard deviation; seconds a seed"
        overview.append(HtmlTable(caption, [*columns, ("seconds", True)], rows))
    return overview


def _mean(row: pd.Series | None) -> HtmlCell:
    if row is None or not math.isfinite(row["mean"]):
        return HtmlCell("–")
    spread = f" ± {row['std']:.3f}" if math.isfinite(row["std"]) else ""
    return HtmlCell(f"{number(row['mean']).text}{spread}", float(row["mean"]))


def _head(metric: str, preset: str, higher: bool) -> str:
    return f"{labels.metric(metric, preset)} {'↑' if higher else '↓'}"


def _metrics(frame: pd.DataFrame, board: pd.DataFrame, draw: Drawer) -> list[MetricSection]:
    """A section per data set, protocol, metric and preset."""
    sections = []
    keys = ["dataset", "protocol", "metric", "preset"]
    rows_of = dict(iter(frame.groupby(keys, sort=False)))
    several = len(board[["dataset", "protocol"]].drop_duplicates()) > 1
    for key, group in board.groupby(keys, sort=False):
        higher = bool(group["higher_is_better"].iloc[0])
        group = group.sort_values("mean", ascending=not higher, kind="stable", na_position="last")
        metric = labels.metric(key[2], key[3])
        heading = f"{metric}, {key[0]} ({key[1]})" if several else metric
        scored = group[group["mean"].notna()]
        means = [
            f"{name} {mean:.3f} ({n} seeds)"
            for name, mean, n in zip(scored["name"], scored["mean"], scored["n"], strict=True)
        ]
        alt = f"Every seed's score by {metric}. Means, best first: {'; '.join(means) or 'none'}."
        figure = draw(partial(plots.strip, rows_of[key], group), alt)
        sections.append(MetricSection(heading, higher, _board_table(group, heading), figure))
    return sections


def _board_table(group: pd.DataFrame, heading: str) -> HtmlTable:
    ends = shown.intervals(group["mean_low"], group["mean_high"])
    rows = []
    for (_, row), interval in zip(group.iterrows(), ends, strict=True):
        counts = [HtmlCell(str(row[name]), float(row[name])) for name in ("n", "failed", "unscored")]
        low = HtmlCell(interval, _finite(row["mean_low"]))
        single = [number(row[name]) for name in ("std", "spread", "chance")]
        other = HtmlCell(shown.beside(row["beside"], row["beside_live"]), _finite(row["beside"]))
        rest = [number(row[name]) for name in ("median", "iqm", "best", "worst")]
        rows.append([HtmlCell(str(row["name"])), *counts, number(row["mean"]), low, *single, other, *rest])
    names = ["method", "n", "failed", "unscored", "mean", "95 %", "std", "spread", "chance", "other codes"]
    names += ["median", "IQM", "best", "worst"]
    table = HtmlTable(f"Leaderboard by {heading}", [(name, name != "method") for name in names], rows)
    idle = ["unscored"] if (group["unscored"] == 0).all() else []
    columns = {"95 %": "mean_low", "spread": "spread", "chance": "chance", "other codes": "beside"}
    idle += [name for name, column in columns.items() if group[column].isna().all()]
    return _without(table, idle)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _without(table: HtmlTable, headings: Sequence[str]) -> HtmlTable:
    left = [i for i, (name, _) in enumerate(table.columns) if name not in headings]
    rows = [[row[i] for i in left] for row in table.rows]
    return HtmlTable(table.caption, [table.columns[i] for i in left], rows, table.sortable)


def _of_texts(text: pd.DataFrame, caption: str) -> HtmlTable:
    """A table of texts; texts that are numbers sort as numbers."""
    rows = [
        [HtmlCell(str(value), _number(str(value))) for value in row] for row in text.itertuples(index=False)
    ]
    columns = []
    for i, column in enumerate(text.columns):
        known = [row[i] for row in rows if row[i].text not in ("–", "")]
        columns.append((str(column), bool(known) and all(cell.number is not None for cell in known)))
    return HtmlTable(caption, columns, rows)


def _number(text: str) -> float | None:
    head = text.split(" ")[0].replace("−", "-").replace(",", "")
    try:
        value = float(head)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _pairs(frame: pd.DataFrame) -> NotedTable | None:
    pairs = aggregate.improvements(frame)
    if pairs.empty:
        return None
    text, notes = shown.improvements(pairs)
    return _of_texts(text, "Which method beats which"), notes


def _ranks(frame: pd.DataFrame) -> list[NotedTable]:
    noted = []
    for name, ranks, missing in aggregate.ranks(frame):
        text, notes = shown.ranks(ranks, missing)
        noted.append((_of_texts(text, f"Ranks by {name}"), notes))
    return noted


def _explained(frame: pd.DataFrame) -> NotedTable | None:
    found = explained.explained(frame)
    if found.empty:
        return None
    text, notes = shown.explained(found)
    return _of_texts(text, "What explains the scores"), notes


def _settings(findings: Findings) -> list[NotedTable]:
    """A table of the settings of each method that has several, and one of what their choices are worth."""
    if not (findings.tuned and findings.judge):
        return []
    by, noted = labels.metric(*findings.judge), []
    for found in findings.tuned:
        text = tuning.shown(found, by, findings.without)
        notes = tuning.notes(found, by, findings.without)
        noted.append((_of_texts(text, f"Settings of {found.label}"), notes))
    worth = pd.concat([found.worth for found in findings.tuned], ignore_index=True)
    table = _of_texts(tuning.shown_worth(worth), "What the choices score")
    return [*noted, (table, tuning.notes_on_worth(worth, by, findings.without))]


def _published(frame: pd.DataFrame) -> list[NotedTable]:
    """The papers' tables that have a number of theirs and of ours, with the rows that have one of ours."""
    noted = []
    for name in tables.names():
        spec = tables.read(name)
        entries = tables.fill(spec, frame)
        ours = {entry.row for entry in entries if entry.ours is not None}
        if not ours or all(entry.theirs is None for entry in entries):
            continue
        part = spec.model_copy(update={"rows": tuple(row for row in spec.rows if row.name in ours)})
        text, notes = tables.shown(part, [entry for entry in entries if entry.row in ours])
        again = text["method"] == ""
        text = text.assign(method=text["method"].where(~again).ffill()).rename(columns={"": "whose"})
        rows = [[HtmlCell(value) for value in row] for row in text.itertuples(index=False)]
        for row, repeats in zip(rows, again, strict=True):
            row[0] = HtmlCell(row[0].text, again=bool(repeats))
        columns = [(str(column), i > 1) for i, column in enumerate(text.columns)]
        left = len(spec.rows) - len(part.rows)
        if left:
            notes.append(f"{left} rows of the table without a number of ours are left out")
        noted.append((HtmlTable(f"{name}: {spec.title}", columns, rows, sortable=False), notes))
    return noted


def _pictures(findings: Findings) -> Pictures:
    """Traversals by method, shrunk until all of them together stay within `PICTURE_BYTES`."""
    first = dict(list(findings.traversals.items())[:MOST_SHOWN])
    budget = PICTURE_BYTES // max(1, sum(map(len, first.values())))
    by_method, most, unreadable = [], 1, []
    for name, traversals in first.items():
        row = []
        for one in traversals:
            try:
                data, width, height, shrunk = picture(one.path, budget)
            except UsageError as error:
                unreadable.append(f"{name}, seed {one.seed}: {error}")
                continue
            most = max(most, shrunk)
            heading = f"{one.place}: seed {one.seed}, {one.score:.3f}"
            alt = f"Latent traversal of {name}, {heading}: one code moved along each row."
            row.append(HtmlPicture(heading, alt, data, width, height))
        by_method.append((name, row))
    return Pictures(by_method, most, list(findings.traversals)[MOST_SHOWN:], unreadable)


def picture(path: Path, budget: int) -> tuple[str, int, int, int]:
    """A picture as PNG, shrunk until it fits.

    Args:
        path: the picture.
        budget: number of bytes.

    Returns:
        The PNG as base64, its width, its height, and the factor by which it was shrunk.

    Raises:
        UsageError: it cannot be read.
    """
    whole = sheets.opened(path)
    for shrunk in (1, 2, 4, 8):
        size = (max(1, whole.width // shrunk), max(1, whole.height // shrunk))
        buffer = io.BytesIO()
        smaller = whole if shrunk == 1 else whole.resize(size, Image.Resampling.BOX)
        smaller.save(buffer, "PNG", optimize=True)
        if len(buffer.getvalue()) <= budget:
            break
    return base64.b64encode(buffer.getvalue()).decode("ascii"), *size, shrunk


def _matrices(findings: Findings, draw: Drawer) -> list[tuple[str, list[HtmlFigure]]]:
    """The matrices of the best seeds of the first `MOST_SHOWN` methods."""
    figures = []
    for name, kinds in list(findings.matrices.items())[:MOST_SHOWN]:
        of_method = []
        for kind, one in kinds.items():
            plot, what = plots.MATRICES[kind]
            alt = f"{what} of codes and factors, {one.title}."
            of_method.append(draw(partial(plot, one.values, one.codes, one.factors, one.title), alt))
        figures.append((name, of_method))
    return figures


def _curves(logged: pd.DataFrame, draw: Drawer) -> Curves:
    figures: list[tuple[str, HtmlFigure]] = []
    left: list[str] = []
    used = 0
    for title, group in journals.trainings(logged) if not logged.empty else ():
        if used > CURVE_BYTES:
            left.append(title)
            continue
        figure = draw(partial(plots.curves, group, title), f"Training curves of {title}.")
        used += len(figure.svg)
        figures.append((title, figure))
    return Curves(figures, left)


def _failed(frame: pd.DataFrame) -> HtmlTable | None:
    """Unfinished and failed seeds, and trained seeds without a score, each with its reason."""
    cells = frame[(frame["state"] != "done") | frame["score"].isna()]
    rows = []
    for _, group in cells.groupby(SEED, sort=False):
        one = group.iloc[0]
        reasons = "; ".join(dict.fromkeys(str(reason) for reason in group["reason"].dropna()))
        missing = ", ".join(dict.fromkeys(group["metric"]))
        state = str(one["state"]) if one["state"] != "done" else f"no {missing}"
        unknown = "no reason was recorded" if one["state"] in ("failed", "done") else "–"
        rows.append([*_about(one), HtmlCell(state), HtmlCell(reasons or unknown)])
    columns = [("method", False), ("data set", False), ("seed", True), ("state", False), ("reason", False)]
    return HtmlTable("Seeds without a score", columns, rows) if rows else None


def _about(row: pd.Series) -> list[HtmlCell]:
    """The first cells of a seed's row."""
    seed = HtmlCell(str(row["seed"]), float(row["seed"]))
    return [HtmlCell(str(row["name"])), HtmlCell(str(row["dataset"])), seed]


def _per_seed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop_duplicates(SEED)


def _seeds(frame: pd.DataFrame) -> HtmlTable:
    kinds = frame[["metric", "preset", "higher_is_better"]].drop_duplicates(["metric", "preset"])
    kinds_of = list(kinds.itertuples(index=False, name=None))
    scores = {tuple(key): score for *key, score in frame[[*SEED, "metric", "preset", "score"]].to_numpy()}
    rows = []
    for _, row in _per_seed(frame).head(MOST_ROWS).iterrows():
        identity = tuple(row[name] for name in SEED)
        numbers = [
            number(float(scores.get((*identity, metric, preset), np.nan))) for metric, preset, _ in kinds_of
        ]
        health = HtmlCell("; ".join(json.loads(row["health"])) or "–")
        seconds = number(float(row["seconds"]), 0)
        rows.append([*_about(row), HtmlCell(str(row["state"])), *numbers, seconds, health])
    columns = [("method", False), ("data set", False), ("seed", True), ("state", False)]
    columns += [(_head(metric, preset, bool(higher)), True) for metric, preset, higher in kinds_of]
    table = HtmlTable("Scores of every seed", [*columns, ("seconds", True), ("health", False)], rows)
    return _without(table, ["health"] if (frame["health"] == "[]").all() else [])


def _facts(provenance: Provenance) -> Facts:
    return Facts(
        provenance,
        _cost(provenance.seconds),
        {name: json.dumps(fields, indent=1, default=str) for name, fields in provenance.protocols.items()},
        {name: json.dumps(each.plain(), indent=1, default=str) for name, each in provenance.settings.items()},
    )


def _cost(seconds: Cost) -> list[str]:
    cost = [f"{units.duration(seconds.total)} of wall time, summed over seeds"] if seconds.total else []
    for unit, used in (("core-seconds", seconds.core), ("GPU-seconds", seconds.gpu)):
        if used:
            cost.append(f"{used:,.0f} {unit} ({used / 3600:,.2f} h)")
    return cost
