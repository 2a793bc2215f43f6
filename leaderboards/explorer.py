"""Scores to browse: what a page of results needs so that people can filter, sort, open and save them.

`board_rows` makes plain values of a leaderboard, a row per training and metric with the scores of its seeds,
and `printed_rows` those of published numbers. `templates/explorer.js` does the rest in the browser, from the
page alone: no server, no network. All that a reader chooses is in the page's address.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from disbench.leaderboards import aggregate, labels, published, template, titles
from disbench.leaderboards.published import Number
from disbench.texts import clean_lines

# Characters that end a script or an attribute, or that JavaScript takes for the end of a line.
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&'\u2028\u2029"}
# The words of a published row in the place of a protocol.
PUBLISHED = "published"
DIGITS = 6
# Seeds of a row that are drawn.
MOST_DOTS = 1_000


def board_rows(frame: pd.DataFrame, board: pd.DataFrame, source: str = "") -> list[dict[str, object]]:
    """Every row of a leaderboard with the scores of its seeds.

    Args:
        frame: per-seed rows, see `aggregate.scores`.
        board: their leaderboard, with a column `name` as `labels.names` makes it.
        source: where they are kept.

    Returns:
        Rows for JSON: source, dataset, protocol, method, title, settings, metric, preset, measure (the
        metric under its preset, for people), heading (these two apart), higher, n, failed, mean, std, low,
        high, spread, chance, seeds and scores (None for a seed without one), note.
    """
    seeds = dict(iter(frame.groupby(list(aggregate.BY), sort=False, dropna=False)))
    return [
        _row(source, title, row, seeds[tuple(row[column] for column in aggregate.BY)])
        for title, (_, row) in zip(titles.rows(board), board.iterrows(), strict=True)
    ]


def printed_rows(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows of the published numbers of the metrics and data sets of some rows, image sizes aside."""
    higher = {(str(row["dataset"]).rpartition("-")[0], row["metric"]): row["higher"] for row in rows}
    return [
        _printed(number, bool(higher[number.dataset, number.metric]))
        for name in published.names()
        for number in published.get(name)
        if (number.dataset, number.metric) in higher
    ]


def _row(source: str, title: str, row: pd.Series, seeds: pd.DataFrame) -> dict[str, object]:
    shown = len(seeds) <= MOST_DOTS
    return {
        "source": source,
        "dataset": row["dataset"],
        "protocol": row["protocol"],
        "method": labels.label(row["method"], row["variant"]),
        "title": title,
        "settings": row["settings"],
        **_measure(row["metric"], row["preset"]),
        "higher": bool(row["higher_is_better"]),
        "n": int(row["n"]),
        "failed": int(row["failed"]),
        **{name: _plain(row[name]) for name in ("mean", "std", "spread", "chance")},
        "low": _plain(row["mean_low"]),
        "high": _plain(row["mean_high"]),
        "seeds": [int(seed) for seed in seeds["seed"]] if shown else [],
        "scores": [_plain(score) for score in seeds["score"]] if shown else [],
        "note": "" if shown else f"scores of more than {MOST_DOTS:,} seeds are not drawn",
    }


def _printed(number: Number, higher: bool) -> dict[str, object]:
    preset = number.preset or "not stated"
    kind = {"sd": "standard deviation", "se": "standard error"}.get(str(number.spread_kind), "unknown")
    spread = None if number.spread is None else float(number.spread)
    words = [f"{number.authors}, {number.venue}, {number.table}", f"printed {number.printed}"]
    words += [number.reported] if number.reported else []
    words += [f"{number.statistic} of {number.n} runs" if number.n else number.statistic]
    words += [f"± is of kind: {kind}"] if spread is not None else []
    return {
        "source": number.source_id,
        "dataset": f"{number.dataset}-{number.size}",
        "protocol": PUBLISHED,
        "method": number.method or number.row,
        "title": number.row,
        "settings": "",
        **_measure(number.metric, preset),
        "higher": higher,
        "n": number.n,
        "failed": 0,
        "mean": float(number.value),
        "std": spread,
        **dict.fromkeys(("spread", "chance", "low", "high")),
        "seeds": [],
        "scores": [],
        "note": "; ".join([*words, *([number.note] if number.note else [])]),
    }


def _measure(metric: str, preset: str) -> dict[str, object]:
    return {
        "metric": metric,
        "preset": preset,
        "measure": titles.measure(metric, preset),
        "heading": [titles.metric(metric), titles.preset(preset)],
    }


def _plain(value: float) -> float | None:
    return round(float(value), DIGITS) if math.isfinite(value) else None


def data(rows: Sequence[Mapping[str, object]]) -> Markup:
    """Rows of `board_rows` and `printed_rows` as JSON that may stand within a page's script."""
    seen = [{name: _seen(value) for name, value in row.items()} for row in rows]
    text = json.dumps(seen, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(UNSAFE))


def _seen(value: object) -> object:
    """A value as people see it: texts of strangers without what is invisible."""
    if isinstance(value, str):
        return clean_lines(value)
    return [_seen(each) for each in value] if isinstance(value, list) else value


def page_part(rows: Sequence[Mapping[str, object]]) -> str:
    """HTML in which rows are browsed, with its style and script, for a page that has neither."""
    return template.environment().get_template("explorer.html").render(rows=data(rows), alone=True)
