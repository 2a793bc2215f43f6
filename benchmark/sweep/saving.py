"""Writes the saved states of a group beside its training, which goes on meanwhile, and reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import CellFile
from disbench.benchmark.training.trainer import State, log_every
from disbench.errors import UsageError
from disbench.files import flush, not_linked
from disbench.models.checkpoint import load_tensors, save_tensors

STATE_KIND = "disbench training state"
# writing takes at most one part in so many of the time
SHARE = 20


def saved_step(folder: Path) -> int:
    """The step of the saved state of a cell; 0 without one, and -1 if the cell is trained.

    Raises:
        UsageError: as for `load_state` and `check_journal`.
    """
    if (folder / "checkpoint.pt").exists():
        return -1
    path = folder / "state.pt"
    if not (path.exists() or path.is_symlink()):
        return 0
    step = load_state(path).step
    check_journal(folder, step)
    return step


def check_journal(folder: Path, step: int) -> None:
    """Checks that the journal of a cell has every line from before its saved state.

    Training would go on without them, and its curves would begin in the middle.

    Args:
        folder: of the cell.
        step: of the saved state.

    Raises:
        UsageError: it lacks some, or cannot be read.
    """
    path, file = folder / "metrics.jsonl", CellFile.read(folder)
    if file is None:
        return
    every = log_every(file.cell.steps)
    lacking = {*range(every, step + 1, every)} - {
        line["step"] for line in store.read_lines(path, store.RETRY)
    }
    if lacking:
        raise UsageError(
            f"{path} lacks {len(lacking)} of the lines that were logged before step {step:,} of the saved "
            f"state; {store.RETRY}."
        )


def load_state(path: Path) -> State:
    """Reads a state.pt.

    Raises:
        UsageError: it is damaged, or another file.
    """
    try:
        saved = load_tensors(not_linked(path))
    except UsageError as error:
        raise UsageError(f"{path} is no saved state that can be read ({error}); {store.RETRY}.") from None
    whole = (
        isinstance(saved, dict)
        and saved.get("kind") == STATE_KIND
        and isinstance(saved.get("step"), int)
        and saved["step"] >= 0
        and isinstance(saved.get("weights"), dict)
        and all(isinstance(weight, Tensor) for weight in saved["weights"].values())
        and isinstance(saved.get("optimizers"), list)
    )
    if not whole:
        raise UsageError(f"{path} is not a saved training state; {store.RETRY}.")
    return State(saved["step"], saved["weights"], saved["optimizers"])


class Saver:
    """Writes states in a thread of its own, one set after the other.

    Args:
        paths: where the state of each seed is written.
        every: seconds between two sets; more if one takes long to write.
    """

    def __init__(self, paths: Sequence[Path], every: float) -> None:
        self.paths, self.every = paths, every
        self.begun, self.took = time.monotonic(), 0.0
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None

    def due(self) -> bool:
        """Whether it is time for the next set."""
        busy = self.thread is not None and self.thread.is_alive()
        return not busy and time.monotonic() - self.begun > max(self.every, SHARE * self.took)

    def save(self, states: Mapping[int, State]) -> None:
        """Begins to write the states, by the positions of their seeds; they must not change any more.

        Raises:
            OSError: an earlier set could not be written.
        """
        self.wait()
        self.begun = time.monotonic()
        self.thread = threading.Thread(target=self._write, args=(states,))
        self.thread.start()

    def wait(self) -> None:
        """Until all is written.

        Raises:
            OSError: something could not be written.
        """
        if self.thread is not None:
            self.thread.join()
        self.thread = None
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _write(self, states: Mapping[int, State]) -> None:
        try:
            for i, state in states.items():
                # what a state rests on must not be lost where the state is not
                flush(self.paths[i].with_name("metrics.jsonl"))
                save_tensors({"kind": STATE_KIND, **vars(state)}, self.paths[i])
        except BaseException as error:
            # raised again where the training waits
            self.error = error
        self.took = time.monotonic() - self.begun
