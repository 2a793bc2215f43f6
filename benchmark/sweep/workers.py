"""Training in processes: each group of cells in one of its own, which may end, hang or print as it likes.

Several groups at a time need that, and so does code of a plug-in. What a process does costs at most its
group: one that dies is started again, once; one that takes no step for a stated time, or prints without end,
is ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from pathlib import Path

import joblib
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    ShutdownExecutorError,
)

from disbench import plugins
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, Failure, Status
from disbench.benchmark.sweep import output
from disbench.benchmark.sweep.cell import StatusFile, is_whole, run_group
from disbench.benchmark.sweep.plan import Options, groups, has_begun
from disbench.benchmark.training import portable
from disbench.benchmark.training.gpu import PLAIN, is_gpu
from disbench.errors import UsageError, argument
from disbench.files import lacking
from disbench.texts import short

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# deaths of the process that trains a cell, after which the cell counts as failed
MOST_DEATHS = 2
# seconds between two looks at running groups, and until a process has begun
LOOK_EVERY, START = 0.5, 120.0
# seconds that a killed process may take to be gone
GONE_WITHIN = 20.0


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
    run, waiting = run.absolute(), []
    for cell in cells:
        if is_settled(run / cell.folder, protocol):
            yield cell, "done"
        else:
            waiting.append(cell)
    left = groups(waiting, fuse, partial(has_begun, run))
    here = len(waiting) == 1 or (not is_gpu(options.device) and (jobs == 1 or len(left) == 1))
    # this process has loaded its libraries already, with the kernels that they chose, and foreign code could
    # end it
    if here and not options.portable and not foreign(waiting, protocol, options):
        for group in left:
            yield from zip(group, run_group(run, group, protocol, options), strict=True)
    elif waiting:
        yield from in_workers(run, left, protocol, lanes(options, jobs, len(left), len(waiting), devices))


def foreign(cells: Sequence[Cell], protocol: Protocol, options: Options) -> bool:
    """Whether code of plug-ins takes part in the training or the scoring of cells."""
    of_metrics = (plugins.source("metrics", choice.name) for choice in protocol.metrics)
    return bool(options.plugins) or any(cell.plugin for cell in cells) or any(of_metrics)


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
    from the saved state in a new process. After the second death, or after the first if it was ended here
    (see `Watch`), the cells of a group go on one by one, and a single one counts as failed.

    Args:
        run: folder of the run.
        left: the groups.
        protocol: of the cells.
        lanes: see `lanes`; the groups begin in the first stage, and trained cells go on in "score".
    """
    waiting: dict[str, deque[Sequence[Cell]]] = {stage: deque() for stage in lanes}
    waiting[next(iter(lanes))].extend(left)
    deaths = Counter[Cell]()
    start_tracker()
    idle = {
        stage: [(new_worker(options), options) for options in several] for stage, several in lanes.items()
    }
    running: dict[Future[list[tuple[Cell, str]]], tuple[ProcessPoolExecutor, Options, Sequence[Cell]]] = {}
    watches: dict[Future[list[tuple[Cell, str]]], Watch] = {}
    try:
        while running or any(waiting.values()):
            for stage, queue in waiting.items():
                while queue and idle[stage]:
                    (worker, options), group = idle[stage].pop(), queue.popleft()
                    with starting():
                        task = worker.submit(run_in_worker, run, group, protocol, options)
                    running[task] = worker, options, group
                    watches[task] = Watch([run / cell.folder for cell in group], options.patience)
            for ended in wait(running, LOOK_EVERY, return_when=FIRST_COMPLETED).done:
                worker, options, group = running.pop(ended)
                watch = watches.pop(ended)
                try:
                    for cell, outcome in ended.result():
                        if outcome == "trained":
                            waiting["score"].append([cell])
                        else:
                            yield cell, outcome
                except (BrokenProcessPool, ShutdownExecutorError) as error:
                    worker.shutdown(kill_workers=True)
                    worker = new_worker(options)
                    deaths[group[0]] += 1
                    if not watch.verdict and deaths[group[0]] < MOST_DEATHS:
                        waiting[options.stage].appendleft(group)
                    elif len(group) > 1:
                        deaths.update(dict.fromkeys(group, -deaths[group[0]]))
                        waiting[options.stage].extendleft([cell] for cell in reversed(group))
                    else:
                        # its own process cannot any more
                        output.shorten(run / group[0].folder)
                        died(run / group[0].folder, group[0].steps, watch.verdict or killed(error))
                        yield group[0], "failed"
                idle[options.stage].append((worker, options))
            for task, watch in watches.items():
                if not watch.verdict and watch.look():
                    running[task][0].shutdown(wait=False, kill_workers=True)
    finally:
        for several in idle.values():
            for worker, _ in several:
                worker.shutdown(kill_workers=True)
        for worker, *_ in running.values():
            worker.shutdown(kill_workers=True)


def start_tracker() -> None:
    """Starts the process in which loky notes what to tidy up: it knows Ctrl-C, but not a lost terminal."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with starting():
            resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)


def new_worker(options: Options) -> ProcessPoolExecutor:
    """A process that starts with its first task and uses one thread in all its libraries."""
    return pool(1, portable.VARIABLES if options.portable else {})


def pool(processes: int, variables: Mapping[str, str] | None = None) -> ProcessPoolExecutor:
    """Processes that start with their first task and use one thread each in all libraries.

    Args:
        processes: how many.
        variables: of their environment, beside those of this process.

    Raises:
        UsageError: this machine refuses what processes share.
    """
    given = {**dict.fromkeys(THREADS, "1"), **(variables or {})}
    with starting():
        return ProcessPoolExecutor(
            max_workers=processes, timeout=None, env=given, initializer=attend, initargs=(os.getpid(),)
        )


# Set while a process trains or scores a group, which ends by itself when nobody waits for it any more.
BUSY = threading.Event()


def attend(parent: int) -> None:
    """Ends this process once the one that started it is gone, unless a group is at work; called once in it.

    A process that waits for its next task never learns otherwise that none will come.
    """

    def watch() -> None:
        while os.getppid() == parent or BUSY.is_set():
            time.sleep(LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Turns what the system says of processes that cannot be started into a sentence.

    Raises:
        UsageError: they cannot.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"further processes cannot be started: {error.strerror or short(error)}; give them shared memory "
            f"(/dev/shm) and more open files (`ulimit -n`), or give fewer {argument('jobs')}: 1 needs none "
            "unless code of a plug-in takes part."
        ) from None
    except (MemoryError, RuntimeError) as error:
        raise lacking(error) or error from None


def killed(error: BaseException) -> str:
    """The sentence for a process that died, with its signal or exit code as far as that is known."""
    codes = re.findall(r"\{(.+)\}", str(error))
    known = f"with {codes[-1]}" if codes else "without a word"
    hint = " (out of memory?)" if not codes or "SIGKILL" in codes[-1] else ""
    return f"its process was killed {MOST_DEATHS} times, {known}{hint}"


def died(folder: Path, steps: int, why: str) -> None:
    """Writes the failure of a cell whose process ended, and with it, in a moment, its lock."""
    until = time.monotonic() + GONE_WITHIN
    with contextlib.suppress(OSError, UsageError):
        while True:
            with store.hold(folder) as ours:
                if ours:
                    StatusFile(folder, steps).finish("failed", Failure("WorkerDied", why))
                if ours or time.monotonic() > until:
                    return
            time.sleep(LOOK_EVERY)


class Watch:
    """Looks at a group in another process: whether it goes on, and how much it has printed.

    A group goes on as long as a status file of its changes, which each step and each metric sees to. Time in
    which this process was stopped does not count.

    Args:
        folders: of its cells.
        patience: seconds without a change; 0 for no limit.
    """

    def __init__(self, folders: Sequence[Path], patience: float) -> None:
        self.folders, self.patience = folders, patience
        # why the group must end, "" as long as it need not
        self.verdict = ""
        self.seen, self.begun = self.state(), False
        self.looked, self.idle = time.monotonic(), 0.0

    def state(self) -> list[tuple[int, int]]:
        """What changes when a status file is written."""
        found = []
        for folder in self.folders:
            with contextlib.suppress(OSError):
                about = (folder / "status.json").stat()
                found.append((about.st_mtime_ns, about.st_ino))
        return found

    def look(self) -> str:
        """The verdict at this moment."""
        moment, state = time.monotonic(), self.state()
        self.idle += min(moment - self.looked, 4 * LOOK_EVERY)
        self.looked = moment
        if state != self.seen:
            self.seen, self.begun, self.idle = state, True, 0.0
        # a process that starts has libraries to load
        if self.patience and self.idle > (self.patience if self.begun else max(self.patience, START)):
            self.verdict = (
                f"it took no step and finished no metric for {self.patience:g} seconds, all the time that a "
                "step may take"
            )
        for folder in self.folders:
            if output.size(folder) > output.MOST:
                self.verdict = f"it printed more than {output.MOST:,} bytes; see {folder / output.NAME}"
        return self.verdict


def run_in_worker(
    run: Path, group: Sequence[Cell], protocol: Protocol, options: Options
) -> list[tuple[Cell, str]]:
    """`run_group` in a process of its own, which leaves Ctrl-C and the like to its parent.

    A terminal sends them to all processes, and its parent asks it to save and stop.
    """
    # not SIGTERM, with which the pool ends it
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    BUSY.set()
    try:
        outcomes = run_group(run, group, protocol, options)
    finally:
        BUSY.clear()
    return list(zip(group, outcomes, strict=True))
