"""Where saved results lie, and the files of a leaderboard in the folder of a run or of a saved result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from disbench.benchmark.runs import choices, store
from disbench.benchmark.runs.environment import ROOT
from disbench.errors import UsageError, argument
from disbench.files import write_text
from disbench.leaderboards import formats, results, shown


def results_folder(given: Path | None) -> Path:
    """The folder of the saved results.

    Args:
        given: the folder, or None for leaderboards/results of this checkout.

    Raises:
        UsageError: no folder was given, and this disbench is installed without its repository.
    """
    if given is not None:
        if given.exists() and not given.is_dir():
            raise UsageError(
                f"{argument('results')} {given} is a file; give the folder of the saved results."
            )
        return given
    if not (ROOT / "pyproject.toml").is_file():
        raise UsageError(
            "disbench is installed without its repository; "
            f"name the folder with {argument('results')} FOLDER."
        )
    return results.FOLDER


def saved(given: Path | None) -> list[Path]:
    """The saved results of a folder that is read, sorted.

    Args:
        given: the folder, or None for leaderboards/results of this disbench, which may be empty.

    Raises:
        UsageError: there is no such folder, or it has other things than saved results.
    """
    folder = results.FOLDER if given is None else results_folder(given)
    names = results.names(folder)
    if given is not None and not names and not (given.is_dir() and not any(given.iterdir())):
        what = "holds no saved results" if given.is_dir() else "does not exist"
        raise UsageError(
            f"{argument('results')} {given} {what}; give the folder that {argument('keep')} saved into."
        )
    return [folder / name for name in names]


def is_part(folder: Path, place: Path) -> bool:
    """Whether a path is that of a file which a run or a saved result consists of.

    Of a run that is every file of its seeds, its marker and its choices; tables and reports beside them can
    be made again.

    Args:
        folder: of the run or of the saved result; any other has no parts.
        place: of the file, which need not be there.
    """
    if not place.is_file() or folder.resolve() not in place.resolve().parents:
        return False
    name, *below = place.resolve().relative_to(folder.resolve()).parts
    if results.is_kept(folder):
        return name in results.PARTS
    of_seed = len(below) > 1 and below[0].startswith("seed-")
    return store.is_run(folder) and (of_seed or name == store.MARKER or Path(name).match(choices.FILES))


def owner(place: Path) -> Path | None:
    """The run or the saved result that a file is part of; None without one."""
    for folder in place.resolve().parents:
        if is_part(folder, place):
            own = place.resolve().parent.name.startswith("seed-") and place.name not in store.OF_SEED
            return None if own else folder
    return None


def write_leaderboard(
    folder: Path, frame: pd.DataFrame, board: pd.DataFrame, notes: Sequence[str], title: str = ""
) -> None:
    """Writes leaderboard.csv, leaderboard.md and the per-seed scores.csv into a folder.

    Args:
        folder: of a run, or of a saved result in the making.
        frame: per-seed rows.
        board: the leaderboard of these rows.
        notes: sentences below the table.
        title: above the table.
    """
    write_text(folder / "scores.csv", formats.csv(frame))
    write_text(folder / "leaderboard.csv", formats.csv(board))
    write_text(
        folder / "leaderboard.md", formats.markdown(shown.leaderboard(board), title=title, notes=notes)
    )
