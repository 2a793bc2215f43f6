"""The time and the memory of a run before it begins.

They come from finished cells of the same training, or else from a trial: a few real steps and a few encoded
images of each method, in a process of its own like a worker.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from disbench import html, plugins, units
from disbench.benchmark import datasets
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import store
from disbench.benchmark.runs.rows import describe
from disbench.benchmark.runs.store import Cell, Status
from disbench.benchmark.scoring import plans, scoring
from disbench.benchmark.scoring.encoding import CHUNK
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.sweep import memory
from disbench.benchmark.sweep.cell import memory_of, set_up, too_large
from disbench.benchmark.sweep.plan import Options, groups
from disbench.benchmark.sweep.progress import ends
from disbench.benchmark.sweep.request import Prepared
from disbench.benchmark.sweep.workers import new_worker
from disbench.benchmark.training.trainer import Trainer, use_one_core
from disbench.errors import UsageError, argument
from disbench.texts import short

if TYPE_CHECKING:
    import pandas as pd

# of training steps, after three that warm up
TRIAL_SECONDS = 1.0
# arrays of the size of the codes that scoring holds at a time, roughly
SCORING_ARRAYS = 5


@dataclass(frozen=True)
class Cost:
    """Time and memory of one cell in one worker.

    Attributes:
        step: seconds of a training step, of the whole group if seeds train fused.
        after: seconds after the training: encoding and, if a whole cell was measured, the metrics.
        private: largest private memory of the worker in bytes; None if it is unknown.
        measured: whether it comes from a trial, not from a finished cell.
        on_gpu: largest memory of the GPU that the group took in bytes; None without a GPU, or if unknown.
        fits: seeds of that group, fewer than were asked for if the GPU has no room for so many; None if it
            was not measured.
    """

    step: float
    after: float
    private: int | None
    measured: bool
    on_gpu: int | None = None
    fits: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What the cells that are not settled will take.

    Attributes:
        costs: by the folder of the training, within the run.
        seconds: per cell, what one worker still needs for it; 0 for a settled one.
    """

    costs: Mapping[str, Cost]
    seconds: Mapping[Cell, float]

    @property
    def private(self) -> int | None:
        """The most memory that a worker needs for one cell; None if it is unknown for all of them."""
        return max((cost.private for cost in self.costs.values() if cost.private is not None), default=None)

    @property
    def measured(self) -> bool:
        """Whether a part of it comes from a trial."""
        return any(cost.measured for cost in self.costs.values())

    def times(self, cells: Iterable[Cell], fuse: int) -> list[float]:
        """Seconds of each group of those cells that are not settled."""
        unsettled = [cell for cell in cells if self.seconds[cell]]
        together = groups(unsettled, fuse)
        halves = [-(-len(g) // (self.costs[g[0].training].fits or len(g))) for g in together]
        return [n * max(self.seconds[cell] for cell in g) for n, g in zip(halves, together, strict=True)]

    def until_done(self, jobs: int, fuse: int) -> float:
        """Seconds until all cells are done, with `jobs` groups at a time."""
        return max(ends(self.times(self.seconds, fuse), jobs), default=0.0)

    @property
    def memory(self) -> str:
        """Memory of a worker in words."""
        return "memory unknown" if self.private is None else f"about {units.memory(self.private)} of memory"

    def width_within(self, limit: int, fuse: int) -> int:
        """As many seeds at a time as fit into `limit` bytes of a GPU, and at most `fuse`.

        Raises:
            UsageError: not even one fits.
        """
        shares = [cost.on_gpu // cost.fits for cost in self.costs.values() if cost.on_gpu and cost.fits]
        if max(shares, default=0) > limit:
            raise UsageError(
                f"one seed needs about {units.memory(max(shares))} of the GPU, more than the "
                f"{units.memory(limit)} of {argument('max_memory')}; raise it, or use a smaller batch with "
                f"{argument('settings')}."
            )
        return min([fuse, *(limit // share for share in shares)])

    def jobs_within(self, limit: int, jobs: int) -> int:
        """As many jobs as fit into `limit` bytes of private memory, and at most `jobs`.

        Raises:
            UsageError: not even one fits.
        """
        if self.private is None:
            return jobs
        if self.private > limit:
            raise UsageError(
                f"one worker needs about {units.memory(self.private)} of memory of its own, more than the "
                f"{units.memory(limit)} of {argument('max_memory')}; raise it, or use a smaller batch with "
                f"{argument('settings')}."
            )
        return min(jobs, limit // self.private)


@dataclass(frozen=True)
class Forecast:
    """The time and the memory that a run would take. Printed, it is a table with the sentences below it.

    Attributes:
        prepared: the run.
        estimate: seconds and memory of its cells.
        jobs: groups of seeds at a time, on a CPU as many as `max_memory` permits.
        fuse: seeds in a group, on a GPU as many as `max_memory` permits.
    """

    prepared: Prepared
    estimate: Estimate
    jobs: int
    fuse: int

    @property
    def seconds(self) -> float:
        """Wall time until all seeds are done."""
        return self.estimate.until_done(self.jobs, self.fuse)

    def _repr_html_(self) -> str:
        """The table with the sentences below it, for a notebook."""
        return html.result("forecast", [self.shown()], self.sentences())

    def table(self) -> pd.DataFrame:
        """One row per method with its settings and data set.

        Its columns: `method`, `data`, `config`; how many seeds are `to_do` and how many are `done`;
        `seconds_per_seed`, of the longest one; `memory_per_worker` in bytes; and `seconds`, summed over the
        groups of seeds to do. A value that is unknown is missing.
        """
        import pandas as pd

        trainings: dict[str, list[Cell]] = {}
        for cell in self.prepared.cells:
            trainings.setdefault(cell.training, []).append(cell)
        rows = []
        for training, cells in trainings.items():
            cost, times = self.estimate.costs.get(training), [self.estimate.seconds[cell] for cell in cells]
            to_do = sum(time > 0 for time in times)
            rows.append(
                {
                    "method": cells[0].label,
                    "data": cells[0].dataset.label,
                    "config": describe(cells[0]),
                    "to_do": to_do,
                    "done": len(cells) - to_do,
                    "seconds_per_seed": max(times) if to_do else None,
                    "memory_per_worker": cost.private if cost else None,
                    "seconds": sum(self.estimate.times(cells, self.fuse)),
                }
            )
        frame = pd.DataFrame(rows)
        return frame.astype({"seconds_per_seed": "Float64", "memory_per_worker": "Int64"})

    def shown(self) -> pd.DataFrame:
        """The table as texts."""
        import pandas as pd

        frame = self.table().drop(columns="seconds")
        frame["to_do"], frame["done"] = frame["to_do"].astype(str), frame["done"].astype(str)
        for column, text in (("seconds_per_seed", units.duration), ("memory_per_worker", units.memory)):
            frame[column] = ["" if pd.isna(value) else text(value) for value in frame[column]]
        names = {"to_do": "to do", "seconds_per_seed": "a seed", "memory_per_worker": "memory"}
        return frame.rename(columns=names)

    def sentences(self) -> list[str]:
        """Total time and memory in words, and their source."""
        cells, estimate = self.prepared.cells, self.estimate
        to_do = sum(seconds > 0 for seconds in estimate.seconds.values())
        source = (
            "from a few steps and images on this machine, for methods without a finished seed in this run; "
            "the time of the metrics is not included"
            if estimate.measured
            else "from the finished seeds of this run"
        )
        known = [
            self.prepared.title,
            f"{to_do} of {len(cells)} seeds to do, {min(self.jobs, max(to_do, 1))} at a time: about "
            f"{units.duration(self.seconds)}, {estimate.memory} in each worker",
            f"estimated {source}; nothing was written",
            *self.prepared.advice,
        ]
        return [*known, *self.on_gpu, *([self.fewer_jobs] if self.fewer_jobs else [])]

    @property
    def on_gpu(self) -> list[str]:
        """The memory of a GPU that the groups take, and which have to be smaller than was asked for."""
        labels = {cell.training: cell.label for cell in self.prepared.cells}
        known = {t: cost for t, cost in self.estimate.costs.items() if cost.on_gpu is not None}
        if not known:
            return []
        most = max(cost.on_gpu or 0 for cost in known.values())
        has = memory_of(torch.device(self.prepared.options.device))
        smaller = [
            f"{labels[training]}: {cost.fits} seeds at a time, for {self.prepared.fuse} there is no room"
            for training, cost in known.items()
            if cost.fits and cost.fits < self.prepared.fuse
        ]
        return [f"a group takes up to {units.memory(most)} of {has}", *smaller]

    @property
    def fewer_jobs(self) -> str:
        """Why fewer jobs are started than were asked for; empty if they are not fewer."""
        limit = self.prepared.request.limit
        if limit is not None and self.fuse != self.prepared.fuse:
            return (
                f"{self.fuse} instead of {self.prepared.fuse} seeds at a time: more would need more than "
                f"{units.memory(limit)} of the GPU"
            )
        if limit is None or self.jobs == self.prepared.jobs:
            return ""
        return (
            f"{self.jobs} instead of {self.prepared.jobs} at a time: each worker needs "
            f"{self.estimate.memory}, the limit is {units.memory(limit)}"
        )

    def __str__(self) -> str:
        return "\n".join([self.shown().to_string(index=False), *self.sentences()])


def forecast(prepared: Prepared) -> Forecast:
    """Measures methods without a finished seed in the run; writes nothing in its folder."""
    request = prepared.request
    cells, protocol, options = prepared.cells, prepared.protocol, prepared.options
    expected = estimate(request.folder, cells, protocol, options, prepared.fuse)
    limit = request.limit
    jobs, fuse = prepared.jobs, prepared.fuse
    if limit is not None and prepared.devices:
        fuse = expected.width_within(limit, fuse)
    elif limit is not None:
        jobs = expected.jobs_within(limit, jobs)
    return Forecast(prepared, expected, jobs, fuse)


def estimate(run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, fuse: int) -> Estimate:
    """From finished cells of the same training if the run has some, else from a trial."""
    unsettled = [cell for cell in cells if not is_settled(run / cell.folder, protocol, options)]
    known = costs(run, unsettled, protocol, options, fuse)
    seconds = dict.fromkeys(cells, 0.0)
    for cell in unsettled:
        folder, cost = run / cell.folder, known[cell.training]
        steps = cell.steps
        if (folder / "checkpoint.pt").exists():
            steps = 0
        elif (folder / "state.pt").exists():
            steps -= Status.read(folder).step
        seconds[cell] = steps * cost.step + cost.after
    return Estimate(known, seconds)


def is_settled(folder: Path, protocol: Protocol, options: Options) -> bool:
    """Whether a sweep would skip the cell."""
    failed = Status.read(folder).state == "failed" and not options.retry_failed
    return failed or store.is_done(folder, protocol, options.retry_failed)


def costs(
    run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, fuse: int
) -> dict[str, Cost]:
    """The cost of a cell of each training."""
    known: dict[str, Cost] = {}
    lacking: dict[str, Cell] = {}
    for cell in cells:
        cost = of_finished(run / cell.training)
        if cost is not None:
            known[cell.training] = cost
        else:
            lacking.setdefault(cell.training, cell)
    if lacking:
        # in another process, because this one holds other memory
        with new_worker(options) as pool:
            tried: dict[str, Cost] = {}
            for training, cell in lacking.items():
                alike = _work(cell)
                try:
                    if alike not in tried:
                        tried[alike] = pool.submit(trial, cell, protocol, options, fuse).result()
                    known[training] = tried[alike]
                except TerminatedWorkerError:
                    raise UsageError(
                        f"the trial of {cell.label} was killed (out of memory?); use a smaller batch with "
                        f"{argument('settings')}, or more memory."
                    ) from None
    return known


def _work(cell: Cell) -> str:
    """What decides how long a step takes: all but the seed and fractions, which are weights and rates."""
    shape = {name: value for name, value in cell.config.items() if not isinstance(value, float)}
    return str((cell.method, cell.variant, cell.dataset, sorted(shape.items())))


def of_finished(training: Path) -> Cost | None:
    """The mean time and the largest memory of the finished cells; None if there are none."""
    statuses = [Status.read(path.parent) for path in training.glob("seed-*/status.json")]
    done = [(s, s.training) for s in statuses if s.state == "done" and s.training is not None]
    if not done:
        return None
    peaks = [status.peak_private_mb for status, _ in done if status.peak_private_mb]
    return Cost(
        step=float(np.mean([seconds / status.steps for status, seconds in done])),
        after=float(np.mean([max((status.seconds or 0.0) - seconds, 0.0) for status, seconds in done])),
        private=max(peaks) * units.MIB if peaks else None,
        measured=False,
    )


def trial(cell: Cell, protocol: Protocol, options: Options, fuse: int) -> Cost:
    """Measures a few training steps and encoded images with the settings of the cell.

    Where a GPU has no room for the whole group, half of it is tried, and so on.

    Raises:
        UsageError: it has no room for one seed.
    """
    use_one_core()
    for path in options.plugins:
        plugins.load(path)
    device = torch.device(options.device)
    data = cell.dataset.load(options.data_dir)
    while True:
        try:
            return measured(cell, protocol, options, data, device, fuse)
        except torch.OutOfMemoryError as error:
            too_much = short(error)
        if fuse == 1:
            raise UsageError(too_large(cell, device, too_much))
        fuse = -(-fuse // 2)


def measured(
    cell: Cell, protocol: Protocol, options: Options, data: datasets.Dataset, device: torch.device, fuse: int
) -> Cost:
    """The cost of a cell in a group of `fuse` seeds."""
    options.tuning.apply(device)
    if device.type == "cuda":
        # torch knows no device before the first tensor is there
        torch.zeros((), device=device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with memory.Peak() as peak:
        trainer, methods = set_up(cell, range(fuse), data, device, options.tuning)
        # an update that begins later makes the steps from there on dearer
        later = {start for update in trainer.schedule for start in update.starts if 0 < start < cell.steps}
        starts = [0, *sorted(later)]
        step = 0.0
        for start, end in itertools.pairwise([*starts, cell.steps]):
            trainer.step = start
            step += seconds_of_step(trainer) * (end - start) / cell.steps
        trainer.state(0)
        source = Trained(methods[0], data, device, options.data_dir)
        few = np.arange(min(len(data), CHUNK))
        source.codes(few)
        started = time.perf_counter()
        codes = source.codes(few)
        image = (time.perf_counter() - started) / len(few)
        choices = plans.chosen(protocol, data)
        encoded = len(scoring.rows(source, data, choices, plans.BY_COST))
        planned = [plans.plan(choice, source, data, plans.BY_COST) for choice in choices]
        scored = sum(plans.all_seconds(each, data, codes.shape[1], plans.BY_COST) for each in planned)
        # log-variances are as many as codes
        tables = SCORING_ARRAYS * (1 if source.no_posterior else 2)
        beyond = tables * encoded * codes.shape[1] * codes.itemsize
        most = peak.mb
    private = None if most is None else most * units.MIB + beyond
    on_gpu = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
    return Cost(step, image * encoded + scored, private, True, on_gpu, fuse)


def seconds_of_step(trainer: Trainer) -> float:
    """Wall seconds of a training step from `trainer.step` on, the mean of some."""
    for _ in range(3):
        _, values = trainer.advance()
    steps, started = 0, time.perf_counter()
    while not steps or time.perf_counter() - started < TRIAL_SECONDS:
        _, values = trainer.advance()
        # the trainer reads them too; on a GPU this waits for the step
        values.tolist()
        steps += 1
    return (time.perf_counter() - started) / steps
