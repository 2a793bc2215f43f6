"""The progress of a sweep: a live tree of methods and seeds on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.text import Text
from rich.tree import Tree

from disbench.benchmark.runs.rows import names
from disbench.benchmark.runs.store import Cell, Record, Status, abandoned, is_done, told
from disbench.console import say
from disbench.files import is_cut
from disbench.texts import clean
from disbench.units import count, duration

if TYPE_CHECKING:
    from disbench.benchmark.protocols import Protocol

LINE_EVERY = 15.0  # seconds between plain lines
LOOK_EVERY = 0.5  # seconds between readings of the status files on a terminal
MOST_NAMED = 8  # trainings that a line of progress tells apart
MOST_SHOWN = 8  # running seeds of one method that have a line of their own
# state: sign, the same in ASCII, colour; "busy" is a seed of another disbench process
GLYPHS = {
    "done": ("●", "#", "green"),
    "running": ("◐", ">", "cyan"),
    "queued": ("·", ".", "dim"),
    "stopped": ("◌", "-", "yellow"),
    "failed": ("✗", "x", "red"),
    "busy": ("◇", "o", "magenta"),
}


@dataclass
class Seed:
    """The progress of one cell.

    Attributes:
        cell: the cell.
        name: of its training, see `rows.names`.
        state: "queued", "running", "stopped", "failed", "done" or "busy".
        phase: of a running one: "preparing", "training" or "scoring".
        step: training steps taken.
        training: seconds of training.
        seconds: seconds in all.
        error: why it failed.
    """

    cell: Cell
    name: str
    state: str = "queued"
    phase: str = ""
    step: int = 0
    training: float = 0.0
    seconds: float = 0.0
    error: str = ""

    @property
    def steps(self) -> int:
        return self.cell.steps

    @property
    def beside(self) -> float:
        """Seconds of everything but training: preparing, scoring, drawing."""
        return max(self.seconds - self.training, 0.0)

    @property
    def open(self) -> bool:
        return self.state in ("queued", "running", "stopped")

    def look(self, folder: Path) -> None:
        """Reads the status file of the cell."""
        self.take(Status.read(folder))

    def take(self, status: Status) -> None:
        """Copies what a status says."""
        self.state, self.phase = status.state, status.phase
        self.step = min(status.step, self.steps)
        self.training, self.seconds = status.training or 0.0, status.seconds or 0.0
        self.error = status.why

    def begin_again(self, anew: bool) -> None:
        """Waits to be scored again, or to be trained as well."""
        self.state, self.step = "queued", 0 if anew else self.steps
        self.training = 0.0 if anew else self.training
        self.seconds = self.training


def ends(durations: Sequence[float], jobs: int) -> list[float]:
    """When each of several tasks ends, if they start in this order, `jobs` at a time."""
    free = [0.0] * max(min(jobs, len(durations)), 1)
    times = []
    for seconds in durations:
        times.append(heapq.heappop(free) + seconds)
        heapq.heappush(free, times[-1])
    return times


@dataclass(frozen=True)
class Left:
    """The remaining time of a sweep.

    Attributes:
        seconds: until the last seed of a training is done, by the folder of the training.
        whole: whether the time of scoring is included, which is known from the first finished seed.
    """

    seconds: Mapping[str, float]
    whole: bool

    def __str__(self) -> str:
        longest = max(self.seconds.values())
        return f"{'about' if self.whole or not longest else 'over'} {duration(longest)} left"


def remaining(seeds: Sequence[Seed], jobs: int) -> Left | None:
    """Remaining time, from the time per step of each method and what its finished seeds took beside training.

    A method that has not begun, or has no finished seed, counts like the others.

    Args:
        seeds: all seeds of the sweep.
        jobs: how many of them run at a time.

    Returns:
        None as long as nothing is known, or no seed is finished and all running ones are trained.
    """
    steps: dict[str, list[Seed]] = {}
    finished: dict[str, list[Seed]] = {}
    for seed in seeds:
        if seed.training and seed.step and seed.state != "failed":
            steps.setdefault(seed.cell.training, []).append(seed)
        if seed.state == "done" and seed.seconds:
            finished.setdefault(seed.cell.training, []).append(seed)
    every, ended = (list(chain.from_iterable(group.values())) for group in (steps, finished))
    waiting = sorted((seed for seed in seeds if seed.open), key=lambda seed: seed.state != "running")
    if not every or (not ended and waiting and all(seed.step >= seed.steps for seed in waiting)):
        return None
    durations = []
    for seed in waiting:
        alike, scored = steps.get(seed.cell.training), finished.get(seed.cell.training)
        rate = _mean([(s.training, s.step) for s in alike or every])
        beside = _mean([(s.beside, 1) for s in scored or ended])
        durations.append((seed.steps - seed.step) * rate + max(beside - seed.beside, 0.0))
    left = dict.fromkeys((seed.cell.training for seed in seeds), 0.0)
    for seed, end in zip(waiting, ends(durations, jobs), strict=True):
        left[seed.cell.training] = max(left[seed.cell.training], end)
    return Left(left, bool(ended))


def _mean(shares: Sequence[tuple[float, float]]) -> float:
    """Sum of the first numbers divided by the sum of the second; 0 without any."""
    return sum(a for a, _ in shares) / max(sum(b for _, b in shares), 1)


class Tally:
    """The progress of the cells of a sweep, read from their status files.

    Args:
        run: folder of the run.
        cells: the cells, in the order of the sweep.
        jobs: how many cells run at a time; 0 for as many as run at this moment.
        again: those that are done by their status and are taken again; whether they are trained anew.
    """

    def __init__(
        self, run: Path, cells: Sequence[Cell], jobs: int, again: Mapping[Cell, bool] | None = None
    ) -> None:
        self.run, self.jobs = run, jobs
        self.again = {cell: (Status.read(run / cell.folder), anew) for cell, anew in (again or {}).items()}
        named = names(cells)
        self.seeds = {cell: Seed(cell, named[cell.training]) for cell in cells}
        # cells of a killed sweep still say "running"; they are stopped until their status changes
        self.stale = {cell: Status.read(run / cell.folder) for cell in cells if abandoned(run / cell.folder)}
        self.ended: dict[Cell, str] = {}

    @property
    def trainings(self) -> dict[str, list[Seed]]:
        """The seeds of each training, by its folder."""
        return by_training(self.seeds.values())

    def end(self, cell: Cell, outcome: str) -> None:
        """Notes the outcome of a cell."""
        self.ended[cell] = "failed" if outcome == "full" else outcome

    def look(self) -> None:
        """Reads all status files."""
        for cell, seed in self.seeds.items():
            if seed.state not in ("done", "failed") or cell not in self.ended:
                seed.look(self.run / cell.folder)
            if cell in self.stale and Status.read(self.run / cell.folder) == self.stale[cell]:
                seed.state = "stopped"
            elif cell in self.again and Status.read(self.run / cell.folder) == self.again[cell][0]:
                seed.begin_again(self.again[cell][1])
            elif seed.state == "failed" and cell not in self.ended:
                # it failed earlier, and perhaps it is tried again when its turn comes
                seed.state = "queued"
            seed.state = self.ended.get(cell, seed.state)

    def left(self) -> Left | None:
        """The remaining time."""
        seeds = list(self.seeds.values())
        return remaining(seeds, self.jobs or sum(seed.state == "running" for seed in seeds))


def taken_again(run: Path, cells: Sequence[Cell], protocol: Protocol, retry_failed: bool) -> dict[Cell, bool]:
    """The cells that are done by their status, and whose checkpoint or scores are missing nevertheless.

    Returns:
        Of each, whether it has no whole checkpoint, and so is trained anew.
    """
    again = {}
    for cell in cells:
        folder = run / cell.folder
        if Status.read(folder).state != "done":
            continue
        done, odd = told(partial(is_done, folder, protocol, retry_failed), False)
        # what is odd about its files is said when its turn comes
        if not done and not odd:
            again[cell] = is_cut(folder / "checkpoint.pt")
    return again


def of_training_anew(again: Mapping[Cell, bool]) -> list[str]:
    """A sentence about the seeds that are trained anew, if there are some."""
    anew = [cell for cell, lost in again.items() if lost]
    if not anew:
        return []
    named = names(again)
    shown = ", ".join(f"{named[cell.training]} seed {cell.seed}" for cell in anew[:MOST_SHOWN])
    more = f" and {len(anew) - MOST_SHOWN} more" if len(anew) > MOST_SHOWN else ""
    return [
        f"{count(len(anew), 'seed')} that ended have no whole checkpoint.pt and train anew: {shown}{more}"
    ]


def of_records(records: Sequence[Record]) -> list[Seed]:
    """The cells of a run with their true states, in that order."""
    named = names(record.cell for record in records)
    seeds = []
    for record in records:
        seed = Seed(record.cell, named[record.cell.training])
        seed.take(record.status)
        seeds.append(seed)
    return seeds


def by_training(seeds: Iterable[Seed]) -> dict[str, list[Seed]]:
    """The seeds of each training, by its folder."""
    trainings: dict[str, list[Seed]] = {}
    for seed in seeds:
        trainings.setdefault(seed.cell.training, []).append(seed)
    return trainings


def strip(seeds: Sequence[Seed], encoding: str) -> Text:
    """One sign per seed."""
    ascii_only = "utf" not in encoding.lower()
    text = Text()
    for seed in seeds:
        sign, plain, colour = GLYPHS[seed.state]
        text.append(plain if ascii_only else sign, colour)
    return text


def tree(tally: Tally, elapsed: float, encoding: str) -> Tree:
    """Methods with a sign per seed and the remaining time, below each its running seeds."""
    left = tally.left()
    seeds = list(tally.seeds.values())
    n_done = sum(not seed.open for seed in seeds)
    root = Tree(
        Text(f"{n_done} of {len(seeds)} seeds, {duration(elapsed)} so far{f', {left}' if left else ''}"),
        guide_style="dim",
    )
    trainings = tally.trainings
    width = max(len(clean(each[0].name)) for each in trainings.values())
    longest = max(map(len, trainings.values()))
    for training, each in trainings.items():
        line = Text(f"{clean(each[0].name):<{width}}  ")
        line.append_text(strip(each, encoding))
        n_done, taken = sum(not seed.open for seed in each), sum(seed.step for seed in each)
        line.append(" " * (longest - len(each)) + f"  {n_done}/{len(each)}")
        line.append(f"  {taken:,} of {sum(seed.steps for seed in each):,} steps", "dim")
        if n_done < len(each) and left:
            line.append(f"  {duration(left.seconds[training])}")
        branch = root.add(line)
        running = [seed for seed in each if seed.state == "running"]
        for seed in running[:MOST_SHOWN]:
            at = f"seed {seed.cell.seed:<3} {clean(seed.phase)}  {seed.step:,} of {seed.steps:,}"
            branch.add(Text(at, "cyan"))
        if len(running) > MOST_SHOWN:
            branch.add(Text(f"and {len(running) - MOST_SHOWN} more", "cyan"))
    return root


@contextlib.contextmanager
def counted(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A function that shows (work, done, total): bars on a terminal, now and then a line elsewhere."""
    last = time.monotonic()
    # of each work, when it was first heard of, and how much was done by then
    begun: dict[str, tuple[float, int]] = {}

    def line(work: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        started, before = begun.setdefault(work, (now, done))
        if now - last > LINE_EVERY:
            last = now
            rest = ""
            # before anything is done, nothing is known of the time
            if done > before:
                rest = f", {duration((now - started) * (total - done) / (done - before))} left"
            say(console, f"{work}: {done:,} of {total:,}{rest}")

    if not console.is_terminal:
        yield line
        return
    with Progress(console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(work: str, done: int, total: int) -> None:
            if work not in tasks:
                tasks[work] = bars.add_task(escape(clean(work)), total=total)
            bars.update(tasks[work], completed=done)

        yield bar


@contextlib.contextmanager
def watched(
    run: Path,
    cells: Sequence[Cell],
    console: Console,
    jobs: int,
    again: Mapping[Cell, bool] | None = None,
) -> Iterator[Tally]:
    """Shows the progress of the cells until the block ends; the caller notes outcomes in the tally.

    Args:
        run: folder of the run.
        cells: the cells, in the order of the sweep.
        console: where the progress is shown.
        jobs: how many cells run at a time; 0 for as many as run at this moment.
        again: as of `Tally`.
    """
    tally = Tally(run, cells, jobs, again)
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
        say(console, as_line(tally, time.monotonic() - started))


def as_line(tally: Tally, elapsed: float) -> str:
    """One line for all trainings, or where these are many, for all methods."""
    groups: dict[str, list[Seed]] = {each[0].name: each for each in tally.trainings.values()}
    if len(groups) > MOST_NAMED:
        groups = {}
        for each in tally.trainings.values():
            groups.setdefault(each[0].cell.label, []).extend(each)
    parts = [
        f"{name} {sum(not seed.open for seed in each)}/{len(each)} seeds, "
        f"{sum(seed.step for seed in each):,}/{sum(seed.steps for seed in each):,} steps"
        for name, each in groups.items()
    ]
    left = tally.left()
    return f"{elapsed:5.0f} s  {'; '.join([*parts, *([str(left)] if left else [])])}"
