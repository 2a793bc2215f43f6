"""What a sweep will take: the time and the memory of its cells, before they are trained.

From the cells of the same settings that are done in the run already, else from a trial: a few real steps and
a few encoded images of each method, in a process of its own as a worker is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from disbench import models, plugins
from disbench.benchmark import datasets
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, Status
from disbench.benchmark.scoring import draws, scoring
from disbench.benchmark.scoring.trained import CHUNK, Trained
from disbench.benchmark.sweep import memory
from disbench.benchmark.sweep.plan import Options, groups
from disbench.benchmark.sweep.progress import ends
from disbench.benchmark.training.seeds import stream
from disbench.benchmark.training.trainer import Fused, Single, use_one_core
from disbench.errors import UsageError
from disbench.metrics.arrays import Ints

TRIAL_SECONDS = 1.0  # of steps, after three to warm up
BEYOND = 5  # arrays of the codes' size that scoring holds at a time, about


@dataclass(frozen=True)
class Cost:
    """What a cell costs one worker.

    Attributes:
        step: seconds of a training step; of a fused group's, where seeds train fused.
        after: seconds of what follows training: encoding, and, where that was measured, the metrics.
        private: bytes of memory that the worker has to itself at most; None where it is not known.
        measured: whether a trial measured it, and not a whole cell.
    """

    step: float
    after: float
    private: int | None
    measured: bool


@dataclass(frozen=True)
class Forecast:
    """What the cells that are to do will take.

    Attributes:
        costs: by the parent of the cells' folders.
        seconds: per cell, those that one worker still needs for it; 0 for one that is done.
    """

    costs: Mapping[Path, Cost]
    seconds: Mapping[Cell, float]

    @property
    def private(self) -> int | None:
        """The most that a worker needs for one cell; None where nothing is known of any."""
        return max((cost.private for cost in self.costs.values() if cost.private is not None), default=None)

    @property
    def measured(self) -> bool:
        """Whether a trial had a part in it."""
        return any(cost.measured for cost in self.costs.values())

    def at(self, jobs: int, fuse: int) -> float:
        """Seconds until all are done, with so many groups at a time."""
        open_ = [cell for cell, left in self.seconds.items() if left]
        together = [max(self.seconds[cell] for cell in group) for group in groups(open_, fuse)]
        return max(ends(together, jobs), default=0.0)

    @property
    def room(self) -> str:
        """What a worker needs, in words."""
        return "memory unknown" if self.private is None else f"about {memory.shown(self.private)} of memory"

    def why(self, limit: int) -> str:
        """Why there are fewer jobs than were asked for."""
        return f"each worker needs {self.room}, --max-memory is {memory.shown(limit)}"

    def jobs_within(self, limit: int, asked: int) -> int:
        """As many jobs as stay within so many bytes of private memory, at most those that were asked for.

        Raises:
            UsageError: there is no room for one.
        """
        if self.private is None:
            return asked
        if self.private > limit:
            raise UsageError(
                f"one worker needs about {memory.shown(self.private)} of memory of its own, more than the "
                f"{memory.shown(limit)} of --max-memory; give it more, or a smaller batch with --set."
            )
        return min(asked, limit // self.private)


def forecast(run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, fuse: int) -> Forecast:
    """Measures where the run holds no finished cell of the same settings; writes nothing in it."""
    open_ = [cell for cell in cells if not is_settled(run / cell.folder, protocol, options)]
    known = costs(run, open_, protocol, options, fuse)
    seconds = dict.fromkeys(cells, 0.0)
    for cell in open_:
        folder, cost = run / cell.folder, known[cell.folder.parent]
        steps = cell.steps
        if (folder / "checkpoint.pt").exists():
            steps = 0
        elif (folder / "state.pt").exists():
            steps -= Status.read(folder).step
        seconds[cell] = steps * cost.step + cost.after
    return Forecast(known, seconds)


def is_settled(folder: Path, protocol: Protocol, options: Options) -> bool:
    """Whether the sweep would leave the cell as it is."""
    failed = Status.read(folder).state == "failed" and not options.retry_failed
    return failed or store.is_done(folder, protocol)


def costs(
    run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, fuse: int
) -> dict[Path, Cost]:
    """The cost of the cells of each settings."""
    found: dict[Path, Cost] = {}
    lacking: dict[Path, Cell] = {}
    for cell in cells:
        cost = of_done(run / cell.folder.parent)
        if cost is not None:
            found[cell.folder.parent] = cost
        else:
            lacking.setdefault(cell.folder.parent, cell)
    if lacking:
        with ProcessPoolExecutor(max_workers=1) as pool:  # not here, where other memory is held
            for group, cell in lacking.items():
                try:
                    found[group] = pool.submit(trial, cell, protocol, options, fuse).result()
                except TerminatedWorkerError:
                    raise UsageError(
                        f"a few steps of {cell.label} were tried out, and the process was killed (out of "
                        "memory?); give it a smaller batch with --set, or more memory."
                    ) from None
    return found


def of_done(group: Path) -> Cost | None:
    """The mean of the cells that are done, the most memory of them; None where there are none."""
    told = [Status.read(path.parent) for path in group.glob("seed-*/status.json")]
    done = [
        (status, status.training) for status in told if status.state == "done" and status.training is not None
    ]
    if not done:
        return None
    peaks = [status.peak_private_mb for status, _ in done if status.peak_private_mb]
    return Cost(
        step=float(np.mean([training / status.steps for status, training in done])),
        after=float(np.mean([max((status.seconds or 0.0) - training, 0.0) for status, training in done])),
        private=max(peaks) * memory.MIB if peaks else None,
        measured=False,
    )


def trial(cell: Cell, protocol: Protocol, options: Options, fuse: int) -> Cost:
    """Trains and encodes a little with the cell's settings."""
    use_one_core()
    for path in options.plugins:
        plugins.load(path)
    device = torch.device(options.device)
    data = cell.dataset.load(options.data_dir)
    config = type(models.get(cell.method).CONFIGS[cell.config_name])(**cell.config)
    with memory.Peak() as peak:
        seeds = range(fuse)
        methods = [models.build(cell.method, config, data.info, stream(s, "weights")) for s in seeds]
        trainer = (Single if fuse == 1 else Fused)(methods, data, list(seeds), device, options.tuning)
        for _ in range(3):
            _, values = trainer.advance()
        steps, started = 0, time.perf_counter()
        while not steps or time.perf_counter() - started < TRIAL_SECONDS:
            _, values = trainer.advance()
            values.tolist()  # as the trainer looks at them; on a GPU this waits
            steps += 1
        step = (time.perf_counter() - started) / steps
        trainer.state(0)
        source = Trained(methods[0], data, device, options.data_dir)
        few = np.arange(min(len(data), CHUNK))
        source.codes(few)
        started = time.perf_counter()
        codes = source.codes(few)
        image = (time.perf_counter() - started) / len(few)
        encoded = len(needed(data, protocol, source))
        beyond = BEYOND * encoded * codes.shape[1] * codes.itemsize
        most = peak.mb
    private = None if most is None else most * memory.MIB + beyond
    return Cost(step, image * encoded, private, measured=True)


def needed(data: datasets.Dataset, protocol: Protocol, source: scoring.Source) -> Ints:
    """The rows that scoring will encode."""
    plans = [scoring.plan(choice, source, data, 1) for choice in protocol.metrics]
    rows = [draws.table_rows(data), *(drawn for plan in plans for drawn in plan.draws)]
    return draws.distinct(len(data), *rows)
