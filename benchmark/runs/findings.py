"""The findings of runs that reports show beside scores: best seeds, pictures, logged values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from disbench.benchmark import protocols
from disbench.benchmark.runs import meant, provenance
from disbench.benchmark.runs.matrices import PARTS, stored
from disbench.benchmark.runs.rows import journal_rows
from disbench.benchmark.runs.settings import settings, swept, varying
from disbench.benchmark.runs.store import Record, told
from disbench.benchmark.runs.tuning import tuned as tune
from disbench.leaderboards import aggregate, labels, results, tuning
from disbench.leaderboards.provenance import Provenance
from disbench.leaderboards.report import Findings, Matrix, Traversal


def findings(runs: Sequence[Path], frame: pd.DataFrame, notes: Sequence[str], metric: str = "") -> Findings:
    """Everything that a report of runs or saved results shows.

    Args:
        runs: folders of runs or of saved results.
        frame: their per-seed rows.
        notes: sentences about these rows.
        metric: the metric that picks the best seed, see `meant.judge`.

    Raises:
        UsageError: there is no such metric.
    """
    named = {name: protocols.find(name) for name in dict.fromkeys(frame["protocol"])}
    scored = bool(frame["score"].notna().any())
    judged = meant.judge(frame, metric) if scored or metric else None
    configs = settings(runs)
    logged, odd = journals(runs)
    curves = {field: swept(frame, configs, field)[0] for field in varying(configs)}
    enough = {f: rows for f, rows in curves.items() if rows[rows["score"].notna()]["value"].nunique() > 1}
    tuned = tune(runs, frame, judged) if judged and tuning.several(frame) else None
    return Findings(
        runs=[run.resolve().name for run in runs],
        frame=frame,
        protocols={n: (p.summary, p.meaningful) if p else ("", True) for n, p in named.items()},
        # those about cells are among the notes already
        notes=[
            *notes,
            *(sentence for sentence in odd if sentence not in notes),
            *(tuned.notes if tuned else ()),
        ],
        journals=logged,
        swept=enough,
        tuned=tuned.pools if tuned else (),
        without=tuned.without if tuned else "",
        judge=judged,
        traversals=traversals(frame, *judged) if judged else {},
        matrices=matrices(frame, *judged) if judged else {},
        provenance=[_provenance(run, frame) for run in runs],
    )


def _provenance(run: Path, frame: pd.DataFrame) -> Provenance:
    if results.is_kept(run):
        return results.provenance(run)
    return provenance.describe(run.resolve().name, [run], frame[frame["run"] == str(run)])


def traversals(frame: pd.DataFrame, metric: str, preset: str) -> dict[str, list[Traversal]]:
    """The pictures of the best, median and worst seed of each training, by its name.

    Args:
        frame: per-seed rows.
        metric: the metric that ranks the seeds.
        preset: its preset.

    Returns:
        Only seeds that have a picture, and only trainings that have such seeds.
    """
    by_training = {}
    for name, group in _trainings(frame, metric, preset):
        pictures = []
        for place, row in aggregate.representatives(group):
            folder = _folder(row)
            path = folder / "traversal.png" if folder else None
            if path is not None and path.exists():
                pictures.append(Traversal(place, int(row["seed"]), float(row["score"]), path))
        if pictures:
            by_training[name] = pictures
    return by_training


def matrices(frame: pd.DataFrame, metric: str, preset: str) -> dict[str, dict[str, Matrix]]:
    """The matrices of the best seed of each training, by its name and their kind.

    Args:
        frame: per-seed rows.
        metric: the metric that ranks the seeds.
        preset: its preset.

    Returns:
        Only matrices that the scores hold.
    """
    by_training = {}
    for name, group in _trainings(frame, metric, preset):
        for _, row in aggregate.representatives(group)[:1]:
            folder = _folder(row)
            record, _ = told(partial(Record.read, folder), None) if folder else (None, "")
            kinds = {kind: stored(record, kind) for kind in PARTS} if record is not None else {}
            of_seed = {kind: matrix for kind, matrix in kinds.items() if matrix is not None}
            if of_seed:
                by_training[name] = of_seed
    return by_training


def _folder(row: pd.Series) -> Path | None:
    """The folder of a seed; None for one of a saved result, which has none."""
    run = Path(row["run"])
    return None if results.is_kept(run) else run / row["folder"]


def _trainings(frame: pd.DataFrame, metric: str, preset: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each training with one metric, under its name."""
    places = list(zip(frame["dataset"], frame["protocol"], strict=True))
    named = frame.assign(name=labels.with_places(labels.names(frame), places))
    mine = named[(named["metric"] == metric) & (named["preset"] == preset)]
    for name, group in mine.groupby("name", sort=False):
        yield str(name), group


def journals(runs: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """Every logged value of the runs, as `leaderboards.journals` takes them.

    Saved results have none.

    Returns:
        The rows, and a sentence for each file that cannot be read.
    """
    found = [journal_rows(run) for run in runs if not results.is_kept(run)]
    return pd.DataFrame([row for rows, _ in found for row in rows]), [s for _, odd in found for s in odd]
