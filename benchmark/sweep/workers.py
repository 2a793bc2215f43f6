"""Parallel training: each group of cells in a process of its own, which may be killed."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, Failure, Status
from disbench.benchmark.sweep.cell import StatusFile, is_whole, run_group
from disbench.benchmark.sweep.plan import Options, groups
from disbench.benchmark.training import portable
from disbench.benchmark.training.gpu import PLAIN, is_gpu
from disbench.errors import UsageError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# deaths of the process that trains a cell, after which the cell counts as failed
MOST_DEATHS = 2


def sweep(
    run: Path,
    cells: Sequence[Cell],
    protocol: Protocol,
    options: Options,
    jobs: int,
    fuse: int = 1,
    devices: Sequence[str] = (),
) -> Iterator[tuple[Cell, str]]:
    """Runs the cells and yields each with its outcome.

    On GPUs, a group is trained and encoded on one of them; the rest of its scoring is for processes without
    one, so that the next group trains meanwhile.

    Args:
        run: folder of the run.
        cells: the cells, in the order in which they start.
        protocol: their protocol.
        options: how they are trained.
        jobs: groups at a time.
        fuse: cells in a group.
        devices: the GPUs over which the groups are spread, in turns; none for that of the options.
    """
    waiting = []
    for cell in cells:
        if is_settled(run / cell.folder, protocol):
            yield cell, "done"
        else:
            waiting.append(cell)
    left = groups(waiting, fuse)
    here = len(waiting) == 1 or (not is_gpu(options.device) and (jobs == 1 or len(left) == 1))
    # this process has loaded its libraries already, with the kernels that they chose
    if here and not options.portable:
        for group in left:
            yield from zip(group, run_group(run, group, protocol, options), strict=True)
    elif waiting:
        yield from in_workers(run, left, protocol, lanes(options, jobs, len(left), len(waiting), devices))


def is_settled(folder: Path, protocol: Protocol) -> bool:
    """Whether a cell is done in every respect, so that it needs no lock."""
    with contextlib.suppress(UsageError, OSError):
        return is_whole(folder, protocol) and Status.read(folder).state == "done"
    return False


def lanes(
    options: Options, jobs: int, groups: int, cells: int, devices: Sequence[str] = ()
) -> dict[str, list[Options]]:
    """What works at a time, by the stage that it does: the options of each process.

    Args:
        options: how cells are trained.
        jobs: groups at a time.
        groups: how many there are.
        cells: how many cells they have.
        devices: see `sweep`.
    """
    options = dataclasses.replace(options, parent=os.getpid())
    if not is_gpu(options.device):
        return {"all": [options] * min(jobs, groups)}
    on = itertools.islice(itertools.cycle(devices or [options.device]), min(jobs, groups))
    training = [dataclasses.replace(options, device=device, stage="train") for device in on]
    on_cpu = dataclasses.replace(options, device="cpu", tuning=PLAIN, stage="score")
    scorers = max(1, min(joblib.cpu_count() - len(training), cells))
    return {"train": training, "score": [on_cpu] * scorers}


def in_workers(
    run: Path, left: Sequence[Sequence[Cell]], protocol: Protocol, lanes: Mapping[str, Sequence[Options]]
) -> Iterator[tuple[Cell, str]]:
    """Runs groups in processes.

    Each process is a pool of its own, so that the death of one does not end the others. Its group resumes
    from the saved state in a new process; after the second death it counts as failed.

    Args:
        run: folder of the run.
        left: the groups.
        protocol: of the cells.
        lanes: see `lanes`; the groups begin in the first stage, and trained cells go on in "score".
    """
    waiting: dict[str, deque[Sequence[Cell]]] = {stage: deque() for stage in lanes}
    waiting[next(iter(lanes))].extend(left)
    deaths = Counter[Cell]()
    idle = {
        stage: [(new_worker(options), options) for options in several] for stage, several in lanes.items()
    }
    running: dict[Future[list[tuple[Cell, str]]], tuple[ProcessPoolExecutor, Options, Sequence[Cell]]] = {}
    try:
        while running or any(waiting.values()):
            for stage, queue in waiting.items():
                while queue and idle[stage]:
                    (worker, options), group = idle[stage].pop(), queue.popleft()
                    task = worker.submit(run_in_worker, run, group, protocol, options)
                    running[task] = worker, options, group
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                worker, options, group = running.pop(ended)
                try:
                    for cell, outcome in ended.result():
                        if outcome == "trained":
                            waiting["score"].append([cell])
                        else:
                            yield cell, outcome
                except BrokenProcessPool:
                    worker.shutdown(kill_workers=True)
                    worker = new_worker(options)
                    deaths[group[0]] += 1
                    if deaths[group[0]] < MOST_DEATHS:
                        waiting[options.stage].appendleft(group)
                    else:
                        for cell in group:
                            died(run / cell.folder, cell.steps)
                            yield cell, "failed"
                idle[options.stage].append((worker, options))
    finally:
        for several in idle.values():
            for worker, _ in several:
                worker.shutdown(kill_workers=True)
        for worker, *_ in running.values():
            worker.shutdown(kill_workers=True)


def new_worker(options: Options) -> ProcessPoolExecutor:
    """A process that starts with its first task and uses one thread in all its libraries."""
    variables = {**dict.fromkeys(THREADS, "1"), **(portable.VARIABLES if options.portable else {})}
    return ProcessPoolExecutor(max_workers=1, timeout=None, env=variables)


def died(folder: Path, steps: int) -> None:
    """Writes the failure of a cell whose process was killed."""
    why = Failure("WorkerDied", f"its process was killed {MOST_DEATHS} times (out of memory?)")
    with store.hold(folder) as ours:
        if ours:
            StatusFile(folder, steps).finish("failed", why)


def run_in_worker(
    run: Path, group: Sequence[Cell], protocol: Protocol, options: Options
) -> list[tuple[Cell, str]]:
    """`run_group` in a process of its own, which leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outcomes = run_group(run, group, protocol, options)
    # nobody reads the result, and the pool would wait for minutes
    if options.orphaned():
        os._exit(1)
    return list(zip(group, outcomes, strict=True))
