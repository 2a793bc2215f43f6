"""Writes the saved states of a group beside its training, which goes on meanwhile, and reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from disbench.benchmark.runs import store
from disbench.benchmark.training.trainer import State
from disbench.errors import UsageError
from disbench.files import not_linked
from disbench.models.checkpoint import load_tensors, save_tensors

STATE_KIND = "disbench training state"
# writing takes at most one part in so many of the time
SHARE = 20


def saved_step(folder: Path) -> int:
    """The step of the saved state of a cell; 0 without one, and -1 if the cell is trained.

    Raises:
        UsageError: as for `load_state`.
    """
    if (folder / "checkpoint.pt").exists():
        return -1
    path = not_linked(folder / "state.pt")
    return load_state(path).step if path.exists() else 0


def load_state(path: Path) -> State:
    """Reads a state.pt.

    Raises:
        UsageError: it is damaged, or another file.
    """
    try:
        saved = load_tensors(path)
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
                save_tensors({"kind": STATE_KIND, **vars(state)}, self.paths[i])
        except BaseException as error:
            # raised again where the training waits
            self.error = error
        self.took = time.monotonic() - self.begun
