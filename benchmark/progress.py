"""Shows how a sweep stands: bars with an estimate of the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from disbench.benchmark import store
from disbench.benchmark.store import Cell

LINE_EVERY = 15.0  # seconds between plain lines


class Tally:
    """Steps taken and cells ended per method, read from the cells' status files."""

    def __init__(self, run: Path, cells: Sequence[Cell]) -> None:
        self.run = run
        self.groups: dict[str, list[Cell]] = {}
        for cell in cells:
            self.groups.setdefault(cell.label, []).append(cell)
        self.ended: set[Path] = set()
        self.steps = dict.fromkeys(self.groups, 0)
        self.phases = dict.fromkeys(self.groups, "")

    def look(self) -> None:
        for label, cells in self.groups.items():
            taken, phases = 0, set()
            for cell in cells:
                total = int(cell.config["steps"])
                if cell.folder in self.ended:
                    taken += total
                    continue
                status = store.status(self.run / cell.folder)
                taken += min(int(status.get("step", 0)), total)
                if status["state"] == "running":
                    phases.add(str(status.get("phase", "")))
            self.steps[label], self.phases[label] = taken, ", ".join(sorted(phases))

    def total(self, label: str) -> int:
        return sum(int(cell.config["steps"]) for cell in self.groups[label])

    def done(self, label: str) -> int:
        return sum(cell.folder in self.ended for cell in self.groups[label])


@contextlib.contextmanager
def told(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A function that shows (what, done, of how much): bars on a terminal, now and then a line elsewhere."""
    said = time.monotonic()

    def line(what: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > LINE_EVERY:
            said = time.monotonic()
            console.print(f"{what}: {done:,} of {total:,}", highlight=False)

    if not console.is_terminal:
        yield line
        return
    with Progress(console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield bar


@contextlib.contextmanager
def watched(run: Path, cells: Sequence[Cell], console: Console) -> Iterator[Tally]:
    """Shows the cells' progress until the block ends; the caller adds to `ended` what has ended."""
    tally = Tally(run, cells)
    over = threading.Event()
    show = _bars if console.is_terminal else _lines
    thread = threading.Thread(target=show, args=(tally, console, over), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        over.set()
        thread.join()


def _bars(tally: Tally, console: Console, over: threading.Event) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.fields[cells]}  {task.completed:,.0f}/{task.total:,.0f} steps  {task.fields[phase]}"
        ),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=120) as bars:
        tasks: dict[str, TaskID] = {
            label: bars.add_task(label, total=tally.total(label), cells="", phase="")
            for label in tally.groups
        }
        while True:
            last = over.wait(0.5)
            tally.look()
            for label, task in tasks.items():
                seeds = f"{tally.done(label)}/{len(tally.groups[label])} seeds"
                bars.update(task, completed=tally.steps[label], cells=seeds, phase=tally.phases[label])
            if last:
                return


def _lines(tally: Tally, console: Console, over: threading.Event) -> None:
    started, first = time.monotonic(), None
    while not over.wait(LINE_EVERY):
        tally.look()
        taken = sum(tally.steps.values())
        first = taken if first is None else first
        total = sum(map(tally.total, tally.groups))
        elapsed = time.monotonic() - started
        gained = taken - first
        left = f"about {(elapsed - LINE_EVERY) * (total - taken) / gained:.0f} s left" if gained > 0 else "…"
        parts = [
            f"{label} {tally.done(label)}/{len(tally.groups[label])} seeds, "
            f"{tally.steps[label]:,}/{tally.total(label):,} steps"
            for label in tally.groups
        ]
        console.print(f"{elapsed:5.0f} s  " + "; ".join(parts) + f"; {left}", highlight=False, soft_wrap=True)
