"""Saves the results of runs to the repository: `leaderboards/results/<name>/`, with their provenance."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import kept_codes, provenance, store, tuning
from disbench.benchmark.runs.rows import warnings
from disbench.benchmark.runs.shelf import results_folder, write_leaderboard
from disbench.errors import UsageError, argument
from disbench.files import replacing_folder
from disbench.leaderboards import aggregate, formats, labels, results, shown

# With more trainings, as where settings were tried, pairs of them fill megabytes, and a picture has no room.
MOST = 20


def keep(
    name: str,
    runs: Sequence[Path],
    frame: pd.DataFrame,
    results_in: Path | None = None,
    data_dir: Path | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> list[Path]:
    """Writes `results/<name>/` as a whole, with the codes of its seeds, in place of an earlier one.

    Args:
        name: of the result: lower-case letters, digits, dots and dashes.
        runs: folders of the runs.
        frame: their per-seed rows, see `aggregate.scores`.
        results_in: the folder of all saved results; leaderboards/results of this checkout by default.
        data_dir: folder of the data sets, which takes codes that are too large for the repository.
        tell: is called with a sentence about where the codes are, and about seeds without any.

    Returns:
        The files, sorted.

    Raises:
        UsageError: the name is not valid, its folder exists and is not a saved result, one of the runs is a
            saved result, or the rows are not comparable.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise UsageError(
            f"{argument('keep')} {name!r} is not a valid name; "
            "use lower-case letters, digits, dots and dashes."
        )
    for run in runs:
        if not store.is_run(run):
            raise UsageError(f"{argument('keep')} saves runs, but {run} is already a saved result.")
    path = results_folder(results_in) / name
    if path.exists() and not results.is_kept(path):
        raise UsageError(f"{path} exists and is not a saved result; choose another name.")
    aggregate.check_comparable(frame)
    wanted = set(frame["folder"])
    records = [record for run in runs for record in store.records(run) if str(record.cell.folder) in wanted]
    with replacing_folder(path) as folder:
        _write(folder, frame.assign(run=name), name)
        provenance.describe(name, runs, frame).write(folder)
        trained = [record for record in records if record.status.state == "done"]
        said = [*kept_codes.write(folder, trained, data_dir), *tuning.write(folder, frame)]
    for sentence in said:
        tell(sentence)
    return sorted(path.iterdir())


def rescore(path: Path, choices: Sequence[MetricChoice], data_dir: Path | None = None) -> list[str]:
    """Scores a saved result by further metrics, from its codes, and writes it again with these scores.

    Args:
        path: folder of the saved result.
        choices: the metrics.
        data_dir: folder of the data sets; None for the default.

    Returns:
        Sentences: what was scored, and why a score is missing.

    Raises:
        UsageError: the result keeps no codes, or their files or their data are missing or others.
    """
    frame, said = kept_codes.rows_by(path, results.scores(path), choices, data_dir)
    with replacing_folder(path) as folder:
        shutil.copytree(path, folder, dirs_exist_ok=True)
        _write(folder, frame, path.resolve().name)
    return said


def _write(folder: Path, frame: pd.DataFrame, name: str) -> None:
    """Scores, leaderboard, pairs and picture of a saved result in the making."""
    # only here, since drawing takes long to load
    from disbench.leaderboards import plots

    board = aggregate.leaderboard(frame)
    notes = shown.notes(frame, board) + warnings(frame)
    write_leaderboard(folder, frame, board, notes, title=name)
    # one panel a metric, not one a split
    whole = labels.over_splits(frame)
    many = len(set(labels.names(whole))) > MOST
    if not many:
        (folder / "pairs.csv").write_text(formats.csv(aggregate.improvements(frame)), "utf-8")
    if not board["n"].any():
        return
    if many:
        # one row a method, not one a setting
        whole = whole.assign(name=labels.labels(whole))
        by = [column for column in aggregate.BY if column not in ("settings", "cell")]
        board = aggregate.leaderboard(whole, by, iqm_interval=False)
        picture = plots.strip(whole, board.assign(name=labels.labels(board)))
    else:
        picture = plots.strip(whole, aggregate.leaderboard(whole, iqm_interval=False))
    (folder / results.PICTURE).write_bytes(plots.render(picture, "png"))
