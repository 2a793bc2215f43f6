"""The tables of the saved results in the README of a checkout."""

from __future__ import annotations

from pathlib import Path

from disbench.benchmark.runs.shelf import results_folder
from disbench.errors import UsageError, argument
from disbench.files import write_text
from disbench.leaderboards import results


def update(results_in: Path | None = None, check: bool = False) -> str:
    """Writes the README two folders above the results anew, if it is out of date.

    Args:
        results_in: folder of the saved results (default: leaderboards/results of this checkout).
        check: write nothing.

    Returns:
        A sentence about what was done.

    Raises:
        UsageError: there is no such README, or with `check` it is out of date.
    """
    folder = results_folder(results_in)
    if results_in is not None and not folder.is_dir():
        raise UsageError(
            f"{argument('results')} {folder} does not exist; give the folder of the saved results."
        )
    root = folder.resolve().parents[1]
    path = root / "README.md"
    if not path.is_file():
        raise UsageError(f"there is no README.md in {root}, two folders above the results.")
    before, names = path.read_text("utf-8"), ", ".join(results.names(folder))
    after = results.placed(before, folder, folder.resolve().relative_to(root).as_posix())
    if before == after:
        return f"{path} is current: {names or 'no results are saved yet'}"
    if check:
        raise UsageError(f"{path} is out of date; run `disbench leaderboard --readme`.")
    write_text(path, after)
    return f"written: {path}: {names}"
