"""A run's results kept in the repository: `leaderboards/results/<name>/`, with how they were made."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disbench.benchmark.runs import provenance, store
from disbench.benchmark.runs.environment import ROOT
from disbench.benchmark.runs.rows import warnings
from disbench.errors import UsageError, argument
from disbench.files import replacing_folder
from disbench.leaderboards import aggregate, formats, plots, results, shown


def results_folder(given: Path | None) -> Path:
    """Where results are kept.

    Raises:
        UsageError: this disbench is installed and not a checkout, and no folder was given.
    """
    if given is not None:
        return given
    if not (ROOT / "pyproject.toml").is_file():
        raise UsageError(
            f"this disbench is no checkout of its repository; say where with {argument('results')} FOLDER."
        )
    return results.FOLDER


def keep(name: str, runs: Sequence[Path], frame: pd.DataFrame, results_in: Path | None = None) -> list[Path]:
    """Writes `results/<name>/` as a whole, in place of an earlier one.

    Args:
        name: a plain word.
        runs: the runs that the rows are of.
        frame: their per-seed rows, see `aggregate.scores`.
        results_in: the folder of all kept results; else leaderboards/results of this checkout.

    Returns:
        The files.

    Raises:
        UsageError: a name that is no plain word, a folder that holds something else, or results that are kept
            already.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise UsageError(
            f"{argument('keep')} {name!r} is no plain name; use small letters, digits, dots and dashes."
        )
    for run in runs:
        if not store.is_run(run):
            raise UsageError(f"{argument('keep')} keeps runs, and {run} is a result that is kept already.")
    path = results_folder(results_in) / name
    if path.exists() and not results.is_kept(path):
        raise UsageError(f"{path} holds something else than kept results; choose another name.")
    frame = frame.assign(run=name)
    board, pairs = aggregate.leaderboard(frame), aggregate.improvements(frame)
    facts = provenance.describe(name, runs, frame)
    notes = shown.notes(frame, board) + warnings(frame)
    with replacing_folder(path) as made:
        (made / "scores.csv").write_text(frame.to_csv(index=False), "utf-8")
        (made / "leaderboard.csv").write_text(board.to_csv(index=False), "utf-8")
        (made / "leaderboard.md").write_text(
            formats.markdown(shown.leaderboard(board), title=name, notes=notes), "utf-8"
        )
        (made / "pairs.csv").write_text(pairs.to_csv(index=False), "utf-8")
        if board["n"].any():
            (made / results.PICTURE).write_bytes(plots.render(plots.strip(frame, board), "png"))
        (made / "provenance.json").write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", "utf-8")
    return sorted(path.iterdir())
