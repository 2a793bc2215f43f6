"""CPU time and memory of the metrics, see `disbench bench metrics`.

Each metric is called once, in a process of its own. Its memory is what the system counts for this process:
the largest resident size during the call, above that before it, with the codes already there. Linux keeps it
without taking samples, so that a short peak is not missed, and with what compiled code allocates.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import re
import resource
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from disbench import metrics
from disbench.benchmark.datasets.dsprites import SIZES as SIZES
from disbench.benchmark.scoring.draws import PICTURES, TEST_ROWS, TRAIN_ROWS
from disbench.benchmark.scoring.plans import seconds_of
from disbench.errors import UsageError
from disbench.metrics import boosted_trees, voting
from disbench.metrics.arrays import Ints
from disbench.metrics.model_centrality import Generator
from disbench.metrics.oracle.quality import Quality, quality
from disbench.metrics.oracle.reading import of_bits
from disbench.metrics.registry import Metric

CODES = 10
ROWS = TRAIN_ROWS + TEST_ROWS
# Downstream accuracy needs 1,000 labels to fit on.
FEWEST = 1_500
# Rows of each model, of a metric that compares models by their codes.
SHARED = 2_000
MODELS = 6


@dataclass(frozen=True)
class Cost:
    """The cost of one call of a metric.

    Attributes:
        seconds: CPU time.
        peak: memory in bytes that the call took at most, beside its arguments; None if it is unknown.
        score: the score.
    """

    seconds: float
    peak: int | None
    score: float


@dataclass(frozen=True)
class Size:
    """How large the arguments of a metric are.

    Attributes:
        codes: d; 0 for a metric that takes none.
        rows: n, the images that have codes or, of a metric that draws its own, may be drawn; 0 for a metric
            that takes none.
    """

    codes: int
    rows: int


def size_of(name: str, codes: int, rows: int) -> Size:
    """The size at which a metric is measured, of those asked for: not every kind has both."""
    metric = metrics.get(name)
    if metric.kind in ("clustering", "reconstruction", "pictures"):
        return Size(0, 0)
    if _needs_grid(metric):
        return Size(codes, len(metrics.Grid(SIZES)))
    return Size(codes, SHARED if metric.kind == "models" else rows)


def expected(name: str, size: Size) -> float:
    """CPU seconds that a metric says it takes; 0 if it says nothing."""
    metric = metrics.get(name)
    asked = size.rows
    if metric.kind == "sampling":
        asked = len(metric.rows(SIZES, np.random.default_rng(0)))
    return seconds_of(metric, asked, size.codes, sum(SIZES), metric.settings())


def measure(name: str, size: Size, memory: int) -> Cost | None:
    """Calls a metric with its default preset in a process of its own.

    Args:
        name: of the metric.
        size: of its arguments.
        memory: bytes that this process may take.

    Returns:
        Its cost; None if it needs more memory.

    Raises:
        UsageError: the metric cannot be computed at this size.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measured, name, size, memory).result()
        except MemoryError:
            return None
        except BrokenProcessPool:
            raise UsageError(
                f"{name}: the process that measured it at {size.rows:,} rows and {size.codes:,} codes was "
                "ended by the system, as happens where memory is short; take fewer rows or codes."
            ) from None


def _measured(name: str, size: Size, memory: int) -> Cost:
    # of what it allocates: libraries that are mapped and not used do not count
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
    metric = metrics.get(name)
    arguments, options = inputs(name, size)
    if "library" in metric.settings():
        boosted_trees.prepare()
    _give_back()
    before = _resident("VmRSS")
    started = time.process_time()
    score = metric(*arguments, **options).score
    seconds = time.process_time() - started
    after = _resident("VmHWM")
    return Cost(seconds, None if before is None or after is None else max(0, after - before), score)


def _give_back() -> None:
    """Hands freed memory back to the system, and starts to count the largest size anew."""
    libc = ctypes.CDLL(None)
    # glibc keeps what is freed for the next call, which would then seem to need nothing
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    counter = Path("/proc/self/clear_refs")
    if counter.exists():
        counter.write_text("5", "ascii")


def _resident(which: str) -> int | None:
    """Bytes of this process that are in memory, "VmRSS" now or "VmHWM" at most; None where it is unknown."""
    try:
        text = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return None
    line = re.search(rf"^{which}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(line[1]) * 1024 if line else None


def _needs_grid(metric: Metric) -> bool:
    return metric.kind == "sampling" or metric.takes("generators")


def held_rows(grid: metrics.Grid, held: Ints, batch: int, rng: np.random.Generator) -> Ints:
    """A grid as the generator of a model whose codes are the factors, and whose images are row numbers."""
    rows = rng.integers(len(grid), size=(len(held), batch))
    return voting.hold(rows, grid, held[:, None], voting.value_of(rows[:, :1], grid, held[:, None])).ravel()


def read_pictures() -> Quality:
    """What an oracle of small images reads in noise."""
    pixels = np.repeat(np.eye(16), 4, axis=1)
    oracle = of_bits(np.packbits(pixels > 0, axis=1), metrics.Grid((4, 4)), (1, 8, 8))
    noise = np.random.default_rng(0).random((PICTURES, 1, 8, 8))
    return quality(oracle, noise, oracle.read(noise), np.random.default_rng(1))


def inputs(name: str, size: Size) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """Arguments for a metric: a noisy copy of each factor, and noise in all further codes.

    The codes are in single precision, as those of a model. As many rows as the grid has are the whole grid,
    fewer are drawn from it.
    """
    metric, grid = metrics.get(name), metrics.Grid(SIZES)
    rng = np.random.default_rng(0)
    options: dict[str, object] = {"rng": rng} if metric.takes("rng") else {}
    if metric.takes("n_jobs"):
        # the CPU time of worker processes is not measured
        options["n_jobs"] = 1
    if metric.kind == "clustering":
        prior = np.full(10, 0.1)
        return (metrics.ContingencyTable(rng.integers(1, 100, (10, 10)), prior, prior),), options
    if metric.kind == "reconstruction":
        images = rng.random((PICTURES, 1, 64, 64))
        return (images, images + rng.normal(0, 0.1, images.shape)), options
    if metric.kind == "pictures":
        return (read_pictures(),), options
    n, d = size.rows, size.codes
    rows = rng.permutation(n) if n == len(grid) else rng.integers(len(grid), size=n)
    if _needs_grid(metric):
        rows = np.arange(n)
    factors = grid.factors(rows)
    codes = rng.standard_normal((n, d), dtype=np.float32)
    codes *= np.float32(0.1)
    shown = min(d, len(SIZES))
    codes[:, :shown] += (factors / np.array(SIZES))[:, :shown]
    if metric.kind == "sampling":
        return (codes, grid), options
    if metric.kind == "unsupervised":
        return (codes,), options
    if metric.takes("generators"):
        return ([codes.__getitem__] * 3, [Generator(len(SIZES), partial(held_rows, grid))] * 3), options
    if metric.kind == "models":
        return ([codes + np.float32(0.01 * i) for i in range(MODELS)],), options
    if metric.takes("split"):
        cut = n * TRAIN_ROWS // ROWS
        options["split"] = (np.arange(cut), np.arange(cut, n))
    if metric.kind == "posterior":
        return (codes, np.full(codes.shape, -4.0, np.float32), factors), options
    return (codes, factors), options
