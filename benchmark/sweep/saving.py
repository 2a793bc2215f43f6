"""Writes the saved states of a group beside its training, which goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from disbench.benchmark.training.trainer import State
from disbench.models.checkpoint import save_tensors

STATE_KIND = "disbench training state"
# writing takes at most one part in so many of the time
SHARE = 20


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
