"""Shows how a sweep stands: a live tree of methods and seeds on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import Progress, TaskID
from rich.text import Text
from rich.tree import Tree

from disbench.benchmark.runs.store import Cell, Status, abandoned

LINE_EVERY = 15.0  # seconds between plain lines
LOOK_EVERY = 0.5  # seconds between looks at the cells' files on a terminal
MOST_SHOWN = 8  # seeds at work that have a line of their own, of one method
GLYPHS = {  # state: sign, the same where there is only ASCII, colour
    "done": ("●", "#", "green"),
    "running": ("◐", ">", "cyan"),
    "queued": ("·", ".", "dim"),
    "stopped": ("◌", "-", "yellow"),
    "failed": ("✗", "x", "red"),
    "busy": ("◇", "o", "magenta"),  # another disbench process is at it
}


@dataclass
class Seed:
    """One cell as it stands."""

    cell: Cell
    state: str = "queued"
    phase: str = ""
    step: int = 0
    training: float = 0.0
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        return self.cell.steps

    @property
    def beside(self) -> float:
        """Seconds that were not training: preparing, scoring, drawing."""
        return max(self.seconds - self.training, 0.0)

    @property
    def open(self) -> bool:
        return self.state in ("queued", "running", "stopped")

    def look(self, folder: Path) -> None:
        status = Status.read(folder)
        self.state, self.phase = status.state, status.phase
        self.step = min(status.step, self.steps)
        self.training, self.seconds = status.training or 0.0, status.seconds or 0.0


def ends(durations: Sequence[float], jobs: int) -> list[float]:
    """When each of several pieces of work ends, if they are begun in this order, `jobs` at a time."""
    free = [0.0] * max(jobs, 1)
    found = []
    for duration in durations:
        found.append(heapq.heappop(free) + duration)
        heapq.heappush(free, found[-1])
    return found


@dataclass(frozen=True)
class Left:
    """How long a sweep will still take.

    Attributes:
        seconds: until a method's last seed is done, by the folder of the method's settings.
        whole: whether the time of scoring is in that, which the first finished seed shows.
    """

    seconds: Mapping[str, float]
    whole: bool

    def __str__(self) -> str:
        longest = max(self.seconds.values())
        return f"{'about' if self.whole or not longest else 'over'} {duration(longest)} left"


def remaining(seeds: Sequence[Seed], jobs: int) -> Left | None:
    """From the time per step of each method's seeds so far, and what its finished ones took beside training.

    A method that has not begun, or has no finished seed, is taken to be as the others are. None while nothing
    is known, or while no seed has been finished and those at work are all trained.
    """
    steps: dict[str, list[Seed]] = {}
    finished: dict[str, list[Seed]] = {}
    for seed in seeds:
        if seed.training and seed.step and seed.state != "failed":
            steps.setdefault(seed.cell.training, []).append(seed)
        if seed.state == "done" and seed.seconds:
            finished.setdefault(seed.cell.training, []).append(seed)
    every, ended = (list(chain.from_iterable(found.values())) for found in (steps, finished))
    waiting = sorted((seed for seed in seeds if seed.open), key=lambda seed: seed.state != "running")
    if not every or (not ended and waiting and all(seed.step >= seed.steps for seed in waiting)):
        return None
    durations = []
    for seed in waiting:
        alike, scored = (found.get(seed.cell.training) for found in (steps, finished))
        rate = _mean([(s.training, s.step) for s in alike or every])
        beside = _mean([(s.beside, 1) for s in scored or ended])
        durations.append((seed.steps - seed.step) * rate + max(beside - seed.beside, 0.0))
    found = dict.fromkeys((seed.cell.training for seed in seeds), 0.0)
    for seed, end in zip(waiting, ends(durations, jobs), strict=True):
        found[seed.cell.training] = max(found[seed.cell.training], end)
    return Left(found, bool(ended))


def _mean(shares: Sequence[tuple[float, float]]) -> float:
    """Sum of the first by sum of the second; 0 where there is nothing."""
    return sum(a for a, _ in shares) / max(sum(b for _, b in shares), 1)


def duration(seconds: float | None) -> str:
    """`40 s`, `12 min`, `3 h 05 min`, `4 d 2 h`; `–` where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24} h"


class Tally:
    """How the cells of a sweep stand, read from their status files.

    Args:
        run, cells: the sweep's, in its order.
        jobs: how many cells are at work at a time; 0 for as many as are just now.
    """

    def __init__(self, run: Path, cells: Sequence[Cell], jobs: int) -> None:
        self.run, self.jobs = run, jobs
        self.seeds = {cell: Seed(cell) for cell in cells}
        # a killed sweep left cells that say they are running; not so, before somebody says it anew
        self.stale = {cell: Status.read(run / cell.folder) for cell in cells if abandoned(run / cell.folder)}
        self.ended: dict[Cell, str] = {}

    @property
    def methods(self) -> dict[str, list[Seed]]:
        found: dict[str, list[Seed]] = {}
        for seed in self.seeds.values():
            found.setdefault(seed.cell.training, []).append(seed)
        return found

    def end(self, cell: Cell, outcome: str) -> None:
        self.ended[cell] = "failed" if outcome == "full" else outcome

    def look(self) -> None:
        for cell, seed in self.seeds.items():
            if seed.state not in ("done", "failed") or cell not in self.ended:
                seed.look(self.run / cell.folder)
            if cell in self.stale and Status.read(self.run / cell.folder) == self.stale[cell]:
                seed.state = "stopped"
            elif seed.state == "failed" and cell not in self.ended:
                seed.state = "queued"  # failed earlier; whether it is tried again shows when its turn comes
            seed.state = self.ended.get(cell, seed.state)

    def left(self) -> Left | None:
        seeds = list(self.seeds.values())
        return remaining(seeds, self.jobs or sum(seed.state == "running" for seed in seeds))


def strip(seeds: Sequence[Seed], encoding: str) -> Text:
    """One sign per seed."""
    ascii_only = "utf" not in encoding.lower()
    found = Text()
    for seed in seeds:
        sign, plain, colour = GLYPHS[seed.state]
        found.append(plain if ascii_only else sign, colour)
    return found


def tree(tally: Tally, elapsed: float, encoding: str) -> Tree:
    """Methods with a sign per seed, below each the seeds at work; what is left of each, and in all."""
    left = tally.left()
    seeds = list(tally.seeds.values())
    n_done = sum(not seed.open for seed in seeds)
    root = Tree(
        Text(f"{n_done} of {len(seeds)} seeds, {duration(elapsed)} so far, {left or '– left'}"),
        guide_style="dim",
    )
    methods = tally.methods
    width = max(len(each[0].cell.label) for each in methods.values())
    longest = max(map(len, methods.values()))
    for settings, each in methods.items():
        line = Text(f"{each[0].cell.label:<{width}}  ")
        line.append_text(strip(each, encoding))
        n_done, taken = sum(not seed.open for seed in each), sum(seed.step for seed in each)
        line.append(" " * (longest - len(each)) + f"  {n_done}/{len(each)}")
        line.append(f"  {taken:,} of {sum(seed.steps for seed in each):,} steps", "dim")
        if n_done < len(each):
            line.append(f"  {duration(left.seconds[settings] if left else None)}")
        branch = root.add(line)
        running = [seed for seed in each if seed.state == "running"]
        for seed in running[:MOST_SHOWN]:
            at = f"seed {seed.cell.seed:<3} {seed.phase}  {seed.step:,} of {seed.steps:,}"
            branch.add(Text(at, "cyan"))
        if len(running) > MOST_SHOWN:
            branch.add(Text(f"and {len(running) - MOST_SHOWN} more", "cyan"))
    return root


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
def watched(run: Path, cells: Sequence[Cell], console: Console, jobs: int) -> Iterator[Tally]:
    """Shows the cells' progress until the block ends; the caller tells the tally what has ended."""
    tally = Tally(run, cells, jobs)
    over = threading.Event()
    show = _live if console.is_terminal else _lines
    thread = threading.Thread(target=show, args=(tally, console, over), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        over.set()
        thread.join()


def _live(tally: Tally, console: Console, over: threading.Event) -> None:
    started = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not over.wait(LOOK_EVERY):
            tally.look()
            live.update(tree(tally, time.monotonic() - started, console.encoding), refresh=True)


def _lines(tally: Tally, console: Console, over: threading.Event) -> None:
    started = time.monotonic()
    while not over.wait(LINE_EVERY):
        tally.look()
        console.print(as_line(tally, time.monotonic() - started), highlight=False, soft_wrap=True)


def as_line(tally: Tally, elapsed: float) -> str:
    """One line for all methods."""
    parts = [
        f"{each[0].cell.label} {sum(not seed.open for seed in each)}/{len(each)} seeds, "
        f"{sum(seed.step for seed in each):,}/{sum(seed.steps for seed in each):,} steps"
        for each in tally.methods.values()
    ]
    return f"{elapsed:5.0f} s  {'; '.join(parts)}; {tally.left() or '– left'}"
