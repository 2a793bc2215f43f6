"""The curves of a run for TensorBoard: what metrics.jsonl logs, as event files, while the seeds train.

One process, that of the sweep, reads the journals of all cells and writes `RUN/tensorboard/TRAINING/SEED/`,
wherever the cells train. It looks up what the event files hold already, so that a sweep that goes on, or is
repeated, writes no point twice. The library is an extra: `pip install "disbench[tensorboard]"`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell
from disbench.console import say
from disbench.errors import UsageError, argument
from disbench.files import unwritable

if TYPE_CHECKING:
    from rich.console import Console
    from torch.utils.tensorboard import SummaryWriter

# Folder within a run, seconds between two looks at the journals, and event files that are open at a time.
FOLDER, EVERY, MOST_OPEN = "tensorboard", 10.0, 64


def check() -> None:
    """Whether the library is here.

    Raises:
        UsageError: it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            f'{argument("tensorboard")} needs the library of that name: pip install "disbench[tensorboard]"'
        )


class Mirror:
    """Writes the logged values of cells as event files, each step once.

    Args:
        run: folder of the run.
        cells: the cells.
    """

    def __init__(self, run: Path, cells: Sequence[Cell]) -> None:
        self.run = run
        self.cells = cells
        # of each cell, size and time of its journal at the last look, and the last step that is written
        self._seen: dict[Cell, tuple[int, int]] = {}
        self._last: dict[Cell, int] = {}
        self._open: OrderedDict[Cell, SummaryWriter] = OrderedDict()

    def look(self) -> None:
        """Writes what the journals have had since the last look.

        Raises:
            UsageError: a journal is damaged.
            OSError: no event file can be written.
        """
        for cell in self.cells:
            path = self.run / cell.folder / "metrics.jsonl"
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                now = (about.st_size, about.st_mtime_ns)
                if self._seen.get(cell) != now:
                    self._write(cell, path)
                    self._seen[cell] = now

    def close(self) -> None:
        """Closes all event files."""
        for writer in self._open.values():
            writer.close()
        self._open.clear()

    def _write(self, cell: Cell, path: Path) -> None:
        folder = self.run / FOLDER / cell.folder
        if cell not in self._last:
            self._last[cell] = last_step(folder)
        fresh = [line for line in store.read_lines(path) if line["step"] > self._last[cell]]
        if not fresh:
            return
        writer = self._writer(cell, folder)
        for line in fresh:
            for tag, value in scalars(line).items():
                writer.add_scalar(tag, value, line["step"])
        writer.flush()
        self._last[cell] = fresh[-1]["step"]

    def _writer(self, cell: Cell, folder: Path) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        if cell not in self._open:
            if len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[cell] = SummaryWriter(str(folder))
        self._open.move_to_end(cell)
        return self._open[cell]


def scalars(line: Mapping[str, object]) -> dict[str, float]:
    """The numbers of a line of a journal by tag: `monitor/kl_per_latent/0` for the first of several.

    A value that is missing, because it was not finite, has no point.
    """
    found: dict[str, float] = {}
    for group in ("terms", "monitor"):
        values = line.get(group, {})
        if not isinstance(values, Mapping):
            continue
        for name, value in values.items():
            if isinstance(value, list):
                several = {f"{group}/{name}/{i}": each for i, each in enumerate(value)}
            else:
                several = {f"{group}/{name}": value}
            found |= {tag: float(each) for tag, each in several.items() if each is not None}
    return found


def last_step(folder: Path) -> int:
    """The last step that the event files of a folder hold; -1 without any."""
    if not folder.is_dir():
        return -1
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    steps = [
        event.step
        for path in folder.glob("events.out.tfevents.*")
        for event in EventFileLoader(str(path)).Load()
        if event.HasField("summary")
    ]
    return max(steps, default=-1)


@contextlib.contextmanager
def mirrored(run: Path, cells: Sequence[Cell], console: Console) -> Iterator[None]:
    """Writes event files until the block ends, now and then and once more at its end.

    Where they cannot be written, a sentence says so, and the seeds train on without them.

    Args:
        run: folder of the run.
        cells: the cells.
        console: for that sentence.
    """
    mirror, over, broken = Mirror(run, cells), threading.Event(), threading.Event()

    def look() -> None:
        try:
            mirror.look()
        except (OSError, UsageError) as error:
            broken.set()
            told = error if isinstance(error, UsageError) else unwritable(run / FOLDER, error)
            say(console, f"no more event files are written: {told}")

    def watch() -> None:
        while not over.wait(EVERY) and not broken.is_set():
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if not broken.is_set():
            look()
        mirror.close()
