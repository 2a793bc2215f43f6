"""What plots and reports show beside scores: settings that vary, matrices of codes and factors, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from disbench.benchmark import protocols
from disbench.benchmark.runs import provenance
from disbench.benchmark.runs.matrices import PARTS, stored
from disbench.benchmark.runs.rows import journal_rows
from disbench.benchmark.runs.settings import settings, swept, varying
from disbench.errors import UsageError, unknown
from disbench.leaderboards import aggregate, labels, results
from disbench.leaderboards.report import Findings, Matrix, Traversal


def judge(frame: pd.DataFrame, metric: str = "") -> tuple[str, str]:
    """The metric and preset by which seeds are told best from worst: the one asked for, else factor_vae's,
    else the first that has scores.

    Raises:
        UsageError: no such metric, or no score.
    """
    scored = frame[frame["score"].notna()]
    pairs = list(dict.fromkeys(zip(scored["metric"], scored["preset"], strict=True)))
    if not pairs:
        raise UsageError("no seed has a score yet, so none is the best; train and score some first.")
    wanted, _, preset = (metric or "factor_vae").partition(":")
    found = [pair for pair in pairs if pair[0] == wanted and preset in ("", pair[1])]
    if metric and not found:
        raise unknown("metric of this run", metric, [f"{name}:{label}" for name, label in pairs])
    return (found or pairs)[0]


def traversals(frame: pd.DataFrame, metric: str, preset: str) -> dict[str, list[Traversal]]:
    """By training, the pictures of its best, median and worst seed by a metric; a seed without a picture is
    left out."""
    found = {}
    for name, group in _trainings(frame, metric, preset):
        made = []
        for what, row in aggregate.representatives(group):
            path = Path(row["run"]) / row["folder"] / "traversal.png"
            if path.exists():
                made.append(Traversal(what, int(row["seed"]), float(row["score"]), path))
        if made:
            found[name] = made
    return found


def matrices(frame: pd.DataFrame, metric: str, preset: str) -> dict[str, dict[str, Matrix]]:
    """By training, the matrices by kind that the scores of its best seed hold."""
    found = {}
    for name, group in _trainings(frame, metric, preset):
        for _, row in aggregate.representatives(group)[:1]:
            folder = Path(row["run"]) / row["folder"]
            of_seed = {kind: made for kind in PARTS if (made := stored(folder, kind)) is not None}
            if of_seed:
                found[name] = of_seed
    return found


def _trainings(frame: pd.DataFrame, metric: str, preset: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each training with one metric, under its name; where needed, with data set and protocol."""
    named = frame.assign(name=labels.names(frame))
    mine = named[(named["metric"] == metric) & (named["preset"] == preset)]
    for (dataset, protocol, name), group in mine.groupby(["dataset", "protocol", "name"], sort=False):
        on = f" on {dataset}" if frame["dataset"].nunique() > 1 else ""
        under = f" under {protocol}" if frame["protocol"].nunique() > 1 else ""
        yield f"{name}{on}{under}", group


def pixels(path: Path) -> NDArray[np.uint8]:
    """A picture as (h, w, 3).

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} is no picture that can be read: {error}") from None


def journals(runs: Sequence[Path]) -> pd.DataFrame:
    """Every logged value of the runs, one row per (seed, step, quantity, index) of each cell; of kept results
    there are none."""
    return pd.DataFrame([row for run in runs if not results.is_kept(run) for row in journal_rows(run)])


def findings(runs: Sequence[Path], frame: pd.DataFrame, told: Sequence[str], metric: str = "") -> Findings:
    """Everything that a report of runs or kept results shows.

    Args:
        frame: their per-seed rows. told: what a reader must know about them.
        metric: by which the best seed is chosen, see `judge`.

    Raises:
        UsageError: there is no such metric.
    """
    known = set(protocols.names())
    named = {
        name: protocols.get(name) if name in known else None for name in dict.fromkeys(frame["protocol"])
    }
    scored = bool(frame["score"].notna().any())
    judged = judge(frame, metric) if scored or metric else None
    fields = varying(settings(runs))
    curves = {field: swept(frame, runs, field)[0] for field in fields}
    enough = {f: rows for f, rows in curves.items() if rows[rows["score"].notna()]["value"].nunique() > 1}
    return Findings(
        runs=[run.resolve().name for run in runs],
        frame=frame,
        protocols={n: (p.summary, p.meaningful) if p else ("", True) for n, p in named.items()},
        told=told,
        journals=journals(runs),
        swept=enough,
        judge=judged,
        traversals=traversals(frame, *judged) if judged else {},
        matrices=matrices(frame, *judged) if judged else {},
        facts=[_facts(run, frame) for run in runs],
    )


def _facts(run: Path, frame: pd.DataFrame) -> dict[str, Any]:
    if results.is_kept(run):
        return results.provenance(run)
    return provenance.describe(run.resolve().name, [run], frame[frame["run"] == str(run)])
