"""Parallel training: each group of cells in a process of its own, which may be killed."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, Failure, Status
from disbench.benchmark.sweep.cell import StatusFile, run_group
from disbench.benchmark.sweep.plan import Options, groups

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# deaths of the process that trains a cell, after which the cell counts as failed
MOST_DEATHS = 2


def sweep(
    run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, jobs: int, fuse: int = 1
) -> Iterator[tuple[Cell, str]]:
    """Runs the cells and yields each with its outcome.

    Args:
        run: folder of the run.
        cells: the cells, in the order in which they start.
        protocol: their protocol.
        options: how they are trained.
        jobs: groups at a time.
        fuse: cells in a group.
    """
    waiting = []
    for cell in cells:
        if store.is_done(run / cell.folder, protocol) and Status.read(run / cell.folder).state == "done":
            yield cell, "done"
        else:
            waiting.append(cell)
    left = groups(waiting, fuse)
    if jobs == 1 or len(left) == 1:
        for group in left:
            yield from zip(group, run_group(run, group, protocol, options), strict=True)
    else:
        yield from in_workers(run, left, protocol, options, jobs)


def in_workers(
    run: Path, left: Sequence[Sequence[Cell]], protocol: Protocol, options: Options, jobs: int
) -> Iterator[tuple[Cell, str]]:
    """Runs groups in `jobs` processes.

    Each process is a pool of its own, so that the death of one does not end the others. Its group resumes
    from the saved state in a new process; after the second death it counts as failed.
    """
    options = dataclasses.replace(options, parent=os.getpid())
    waiting, deaths = deque(left), Counter[Cell]()
    idle = [new_worker() for _ in range(min(jobs, len(left)))]
    running: dict[Future[list[tuple[Cell, str]]], tuple[ProcessPoolExecutor, Sequence[Cell]]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                worker, group = idle.pop(), waiting.popleft()
                running[worker.submit(run_in_worker, run, group, protocol, options)] = worker, group
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                worker, group = running.pop(ended)
                try:
                    yield from ended.result()
                except BrokenProcessPool:
                    worker.shutdown(kill_workers=True)
                    worker = new_worker()
                    deaths[group[0]] += 1
                    if deaths[group[0]] < MOST_DEATHS:
                        waiting.appendleft(group)
                    else:
                        for cell in group:
                            died(run / cell.folder, cell.steps)
                            yield cell, "failed"
                idle.append(worker)
    finally:
        for worker in (*idle, *(worker for worker, _ in running.values())):
            worker.shutdown(kill_workers=True)


def new_worker() -> ProcessPoolExecutor:
    """A process that starts with its first task and uses one thread in all its libraries."""
    return ProcessPoolExecutor(max_workers=1, timeout=None, env=dict.fromkeys(THREADS, "1"))


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
