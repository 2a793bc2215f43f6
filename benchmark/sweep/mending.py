"""Damaged files of a cell that is about to be trained: what is made anew, and what a retry sets aside.

A sweep writes status, scores, codes and pictures again wherever they are missing, so damaged ones are set
aside each time. A cell.json, a saved state, a journal or a checkpoint is what the seed's result rests on:
where one is damaged, the seed fails, and a sweep that retries failed seeds sets it aside with everything that
was made from it and trains the seed again. Nothing is deleted: see `store.set_aside`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from disbench.benchmark.runs import store
from disbench.benchmark.runs.codes import own_checkpoint
from disbench.benchmark.runs.store import OF_CHECKPOINT, OF_STATE, CellFile, Status, told
from disbench.benchmark.sweep.saving import load_state, saved_step
from disbench.errors import UsageError
from disbench.files import not_linked

PICTURES = ("traversal.png", "traversal.gif", "reconstructions.png", "categories.png", "output.txt")


def renew(folder: Path) -> None:
    """Sets aside what a sweep makes again anyway and cannot, since it is damaged or no file.

    Args:
        folder: of a cell that this process holds.
    """
    for name, read in (("status.json", Status.load), ("scores.json", store.load_scores)):
        _aside_if(folder / name, lambda read=read: read(folder))  # type: ignore[misc]
    # beside a checkpoint a state is a left-over, which training removes
    left_over = ("state.pt",) if _exists(folder / "checkpoint.pt") else ()
    for name in ("codes.npz", *PICTURES, *left_over):
        _aside_if(folder / name, lambda name=name: _check_file(folder / name))  # type: ignore[misc]


def mend(folder: Path) -> None:
    """Sets aside what the training of a cell cannot go on from; it begins again where that is so.

    Args:
        folder: of a cell that is not done and that this process holds.
    """
    damaged = _aside_if(folder / "cell.json", lambda: CellFile.read(folder))
    if damaged or told(lambda: store.check_described(folder), None)[1]:
        # without it nobody knows what the others were made with
        _aside(
            folder, (*OF_STATE, *OF_CHECKPOINT), "it belongs to a cell.json that is missing or cannot be read"
        )
    checkpoint, state, journal = (folder / name for name in ("checkpoint.pt", "state.pt", "metrics.jsonl"))
    if _exists(checkpoint):
        if _aside_if(checkpoint, lambda: own_checkpoint(folder).build()):
            _aside(folder, (*OF_STATE, *OF_CHECKPOINT), "it belongs to a checkpoint that cannot be used")
    elif _exists(state) and _aside_if(state, lambda: load_state(state)):
        _aside(folder, OF_STATE, "it belongs to a state that cannot be used")
    elif why := told(lambda: saved_step(folder), 0)[1]:
        _aside(folder, OF_STATE, why)
    elif _aside_if(journal, lambda: store.read_lines(journal)):
        _aside(folder, OF_STATE, "its steps are not in the journal")


def _aside_if(path: Path, read: Callable[[], object]) -> bool:
    """Sets a file aside if `read` says that it cannot be used.

    Raises:
        OSError: it cannot even be opened.
    """
    if not _exists(path):
        return False
    if path.is_file() and not path.is_symlink():
        # where a right or the disk is missing, the content is not to blame: this raises
        with open(path, "rb") as file:
            file.read(1)
    why = told(read, None)[1]
    if why:
        store.set_aside(path, why)
    return bool(why)


def _aside(folder: Path, names: tuple[str, ...], why: str) -> None:
    for name in names:
        store.set_aside(folder / name, why)


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _check_file(path: Path) -> None:
    if not_linked(path).is_dir():
        raise UsageError(f"{path} is a folder in place of a file.")
