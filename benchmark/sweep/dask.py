"""Runs the cells of a sweep on a Dask cluster that exists already.

The cluster and this program share no disk. A task carries the files of its cells to a worker, trains them
there for at most `SLICE` seconds in a temporary folder, and returns all files; the next task resumes from
them. So a worker that dies costs its last slice, which Dask gives to another one, and if this program dies
the run's folder has every slice that was returned. Each worker fetches or renders the data sets itself.

This uses `distributed.Client` and not joblib's Dask backend, which fails all cells if one exhausts its
workers, reports nothing about a cell before it ends, and cannot stop a running one.
"""

# distributed has types, but not for all of its functions
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import logging
import math
import queue
import secrets
import shlex
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from disbench.benchmark import datasets
from disbench.benchmark.datasets import fetching, manifest
from disbench.benchmark.datasets.naming import is_own, split_name
from disbench.benchmark.protocols import Protocol, need_classifier
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, Failure, Status
from disbench.benchmark.scoring import classifier
from disbench.benchmark.sweep import plan
from disbench.benchmark.sweep.cell import StatusFile, failure, run_group, triage
from disbench.benchmark.sweep.plan import Options, groups, has_begun
from disbench.benchmark.training import portable
from disbench.benchmark.training.gpu import choose_device, choose_tuning, is_gpu
from disbench.errors import UnfinishedError, UsageError, argument
from disbench.files import disk_is_full, unwritable, write_bytes
from disbench.texts import short

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

VERSION = importlib.metadata.version("disbench")
SLICE = 300.0  # seconds that a task trains before it returns its files
NEWS_EVERY = 1.0  # seconds between the status reports of a worker
LOOK_EVERY = 0.1  # seconds between checks for finished tasks
CONNECT_WITHIN = 10.0  # seconds
FETCH_WITHIN = 600.0  # seconds for the files of one finished task
# seeds of a group whose width nobody gave: the states of all travel in one message, of up to 54 MB each
MOST_TOGETHER = 8
QUIET = 30.0  # seconds without news, after which it is looked whether all workers have paused
# files that are written last, in this order
LAST = ("checkpoint.pt", "codes.npz", "scores.json", "status.json")

Files = Mapping[str, bytes]
# outcome and files of each cell of a task
Results = tuple[list[str], list[Files]]
# folder and status of several cells
News = list[tuple[str, dict[str, object]]]

# a worker with several threads trains one group at a time
_training = threading.Lock()
# in a worker, the sweeps that were asked to stop
_halted: set[str] = set()


@dataclass(frozen=True)
class Task:
    """The work of one task.

    Attributes:
        sweep: name of the sweep that the task belongs to.
        cells: the group.
        files: the files of each cell.
        protocol: the protocol of the cells.
        options: how they are trained.
        seconds: length of the slice.
        version: version of disbench, which the worker must have too.
        plugins: file name and source of each plug-in.
        classifier: file of the classifier of the data set, if a metric needs it.
    """

    sweep: str
    cells: Sequence[Cell]
    files: Sequence[Files]
    protocol: Protocol
    options: Options
    seconds: float
    version: str
    plugins: Sequence[tuple[str, bytes]] = ()
    classifier: bytes | None = None


@dataclass
class Batch:
    """A group that is trained on the cluster, or waits for that.

    Attributes:
        cells: those that still need work.
        locks: locks of their folders, from the first sending to the last receiving.
        slices: how often it was sent.
    """

    cells: list[Cell]
    locks: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    slices: int = 0


def pack(folder: Path) -> Files:
    """The files of a cell."""
    names = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in names}


def unpack(files: Files, folder: Path) -> None:
    """Replaces the files of a cell, in an order that leaves a valid folder if the program is killed."""
    order = ["metrics.jsonl", *(name for name in files if name not in ("metrics.jsonl", *LAST)), *LAST]
    for path in folder.iterdir() if folder.exists() else ():
        # what was set aside stays here
        if path.is_file() and not path.name.startswith(".") and path.name not in (*files, "state.pt"):
            path.unlink()
    for name in order:
        if name in files:
            write_bytes(folder / name, files[name])
    # without a state the cell is trained, and its checkpoint is here
    if "state.pt" not in files:
        (folder / "state.pt").unlink(missing_ok=True)


def work(task: Task) -> Results:
    """On a worker: one slice of a group of cells. Outcome and files of each cell.

    Raises:
        UsageError: this worker has another version, or lacks the device or the kernels.
    """
    from distributed import get_worker

    worker = get_worker()
    # one that came after the last look at the workers
    check_versions({worker.address: VERSION}, task.version)
    key = str(worker.get_current_task())
    with _training, tempfile.TemporaryDirectory(prefix="disbench-") as temporary:
        run = store.open_run(Path(temporary) / "run")
        for cell, files in zip(task.cells, task.files, strict=True):
            unpack(files, run / cell.folder)
        stop_file = Path(temporary) / "stop"
        device, tuning = choose_device(task.options.device), task.options.tuning
        if task.options.portable:
            portable.check(device)
            check_kernels({worker.address: portable.kernels()})
        options = dataclasses.replace(
            task.options,
            device=device,
            # where this worker has no GPU, what needs one is refused in a sentence
            tuning=choose_tuning(
                device, tuning.precision, tuning.graph or None, tuning.strategy, tuning.deterministic
            ),
            stop_file=stop_file,
            plugins=tuple(_placed(Path(worker.local_directory), task.plugins)),
        )
        over = threading.Event()
        attendant = threading.Thread(
            target=_attend, args=(task, key, run, stop_file, worker, over), daemon=True
        )
        attendant.start()
        try:
            if task.sweep in _halted:
                stop_file.touch()
            else:
                _provide_data(task, options)
            outcomes = run_group(run, task.cells, task.protocol, options)
        finally:
            over.set()
            attendant.join()
        return outcomes, [pack(run / cell.folder) for cell in task.cells]


def check_versions(found: Mapping[str, object], expected: str) -> None:
    """Checks that all workers have the disbench of this program.

    Args:
        found: address of each worker, with its version, or with the error of a look for it.
        expected: the version.

    Raises:
        UsageError: one has another version, or none.
    """
    for address, version in found.items():
        if version != expected:
            has = f"disbench {version}" if isinstance(version, str) else "no disbench"
            raise UsageError(
                f"the worker {address} has {has}, and this program has disbench {expected}; install the same "
                "version on all workers and start them again."
            )


def check_kernels(found: Mapping[str, str]) -> None:
    """Checks that all workers compute in portable arithmetic, which a process has from its start or never.

    Args:
        found: address of each worker, with its kernels.

    Raises:
        UsageError: one does not.
    """
    for address, kernels in found.items():
        if kernels != portable.PORTABLE:
            given = " ".join(f"{name}={shlex.quote(value)}" for name, value in portable.VARIABLES.items())
            raise UsageError(
                f"{argument('portable')} was given, but the worker {address} has {kernels} kernels; start "
                f"the workers with {given}, or omit {argument('portable')}."
            )


def _placed(folder: Path, plugins: Sequence[tuple[str, bytes]]) -> Iterator[Path]:
    """The plug-ins as files, at the same place in every task of a worker: they are loaded once."""
    for name, source in plugins:
        path = folder / "disbench-plugins" / hashlib.sha256(source).hexdigest()[:16] / name
        if not path.exists():
            write_bytes(path, source)
        yield path


def _attend(task: Task, key: str, run: Path, stop_file: Path, worker: Worker, over: threading.Event) -> None:
    """Beside a task: reports the status of its cells, and stops it at the end of its slice or if asked to.

    It stops as well if nobody wants its result any more, as when the program that sent it was killed.
    """
    started, reported = time.monotonic(), ""
    while not over.wait(min(NEWS_EVERY, task.seconds / 4)):
        if task.sweep in _halted or time.monotonic() - started > task.seconds or not _wanted(worker, key):
            stop_file.touch()
        news: News = [(str(cell.folder), Status.read(run / cell.folder).plain()) for cell in task.cells]
        if repr(news) != reported:
            reported = repr(news)
            worker.log_event(task.sweep, news)


def _wanted(worker: Worker, key: str) -> bool:
    """Whether the scheduler still waits for a task that this worker carries out."""
    known = worker.state.tasks.get(key)
    return known is not None and known.state == "executing"


def halt(sweep: str, dask_worker: Worker) -> list[str]:
    """On a worker: stops every task of a sweep after its current step; the keys of those begun here."""
    _halted.add(sweep)
    begun = ("executing", "memory", "error")
    return [str(key) for key, task in dask_worker.state.tasks.items() if task.state in begun]


def _provide_data(task: Task, options: Options) -> None:
    """Fetches data set and classifier as far as possible; `run_group` reports what is missing."""
    data = task.cells[0].dataset
    with contextlib.suppress(UsageError):
        try:
            data.load(options.data_dir)
        except UsageError:
            base, _ = split_name(data.name)
            while not is_own(base) and base:
                facts = manifest.read(base)
                fetching.fetch(facts, data_dir=options.data_dir, say=lambda line: None)
                base = facts.wrapper.base if facts.wrapper else ""
        if task.classifier is not None:
            path = classifier.place(data.name, size=data.size, data_dir=options.data_dir)
            if not path.exists():
                write_bytes(path, task.classifier)


@contextlib.contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """A client of the cluster.

    Raises:
        UsageError: Dask is not installed, or there is no scheduler at the address.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise UsageError(f'{argument("scheduler")} needs Dask: pip install "disbench[dask]"') from None
    # it warns of workers that leave, and prints tracebacks of errors that reach this program as well;
    # its import sets the level of the first two, and the third has no higher one than CRITICAL
    for name in ("distributed", "distributed.client", "distributed.protocol.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if scheduler.startswith("tls:"):
        check_certificates(scheduler)
    try:
        # results come from the workers; the scheduler passes on those of workers that cannot be reached,
        # and needs the memory for them
        client = Client(scheduler, timeout=CONNECT_WITHIN, set_as_default=False, direct_to_workers=True)
    except (OSError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"no Dask scheduler answers at {scheduler!r} ({why}); give the address that it prints when it "
            "starts, such as tcp://10.0.0.1:8786."
        ) from None
    try:
        yield client
    finally:
        try:
            client.close(timeout=CONNECT_WITHIN)
        except Exception as error:
            # a client without its scheduler has nobody to take leave of
            if not is_lost(error):
                raise


def check_certificates(scheduler: str) -> None:
    """Raises UsageError where Dask's configuration has no certificates that can be read.

    A client without them leaves a thread behind that ends with a traceback after a while.
    """
    from distributed.security import Security

    why = "none are set"
    try:
        if Security().get_connection_args("client").get("ssl_context") is not None:
            return
    except (OSError, ValueError) as error:
        why = short(error)
    raise UsageError(
        f"{scheduler} needs certificates, and Dask's configuration has none that can be read ({why}); set "
        "ca-file, client.cert and client.key of distributed.comm.tls in it, see docs/slurm.md."
    )


def is_lost(error: Exception) -> bool:
    """Whether a client raises this when it has lost its scheduler, in whichever call it learns that."""
    from distributed.client import ClosedClientError, FutureCancelledError, FuturesCancelledError
    from distributed.comm.core import CommClosedError

    # TimeoutError: the scheduler's machine is gone and refuses nothing
    cancelled = (FutureCancelledError, FuturesCancelledError)
    if isinstance(error, (CommClosedError, ClosedClientError, *cancelled, ConnectionError, TimeoutError)):
        return True
    # distributed's own, where connecting takes too long; that of a file has a number
    return type(error) is OSError and error.errno is None


def sweep(
    run: Path,
    cells: Sequence[Cell],
    protocol: Protocol,
    options: Options,
    scheduler: str,
    jobs: int = 0,
    fuse: int = 1,
    seconds: float = SLICE,
) -> Iterator[tuple[Cell, str]]:
    """Runs the cells on the cluster and yields each with its outcome, like `workers.sweep`.

    Args:
        run: folder of the run.
        cells: the cells, in the order in which they start.
        protocol: their protocol.
        options: how they are trained.
        scheduler: address of the scheduler.
        jobs: groups at a time; 0 for as many as the cluster takes at any moment.
        fuse: cells in a group; 0 for as many as suits the devices of the workers that are there.
        seconds: length of a slice.

    Raises:
        UsageError: no scheduler, or a worker of another version or without portable arithmetic.
        UnfinishedError: the connection to the scheduler was lost.
    """
    with connected(scheduler) as client:
        try:
            if options.portable:
                # workers that come later are checked by each task
                check_kernels(client.run(portable.kernels, on_error="ignore"))
            yield from _Sweep(run, protocol, options, client, jobs, seconds).train(cells, fuse)
        except Exception as error:
            if not is_lost(error):
                raise
            raise lost(scheduler) from None


def lost(scheduler: str) -> UnfinishedError:
    """The sentence for a scheduler that is gone."""
    return UnfinishedError(
        f"the connection to the Dask scheduler at {scheduler} was lost; nothing that workers had returned "
        "is lost: repeat the command when a scheduler answers, and it goes on from there (its log says why)."
    )


def width_on(devices: Collection[object], cells: Sequence[Cell]) -> int:
    """How many seeds train together on a cluster.

    Args:
        devices: that of each worker, or why it has none.
        cells: what is to be trained.
    """
    on_gpus = all(isinstance(device, str) and is_gpu(device) for device in devices)
    trainings = len({cell.training for cell in cells})
    # where some have a CPU, a group would keep them for as long as all its seeds take
    width = plan.width(len(cells) // trainings, trainings, len(devices) if on_gpus else 0)
    return min(width, MOST_TOGETHER)


class _Sweep:
    """One sweep on a cluster; arguments as of `sweep`."""

    def __init__(
        self, run: Path, protocol: Protocol, options: Options, client: Client, jobs: int, seconds: float
    ) -> None:
        self.run, self.protocol, self.options = run, protocol, options
        self.client, self.jobs, self.seconds = client, jobs, seconds
        self.name = f"disbench-{secrets.token_hex(6)}"
        self.plugins = [(path.name, path.read_bytes()) for path in options.plugins]
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self.sent: dict[Future[Results], Batch] = {}
        self.waiting: deque[Batch] = deque()
        # keys of the tasks that this program cancelled
        self.cancelled: set[object] = set()
        # whether the connection to the scheduler was lost
        self.lost = False
        # addresses of the workers whose version is right
        self.right: set[str] = set()
        # when something was last heard of the tasks; infinite once it is told that all workers have paused
        self.heard = time.monotonic()

    def train(self, cells: Sequence[Cell], fuse: int) -> Iterator[tuple[Cell, str]]:
        """Trains the cells and yields each with its outcome.

        Raises:
            ConnectionError: the scheduler is lost; or another error that `is_lost`.
        """
        self.client.subscribe_topic(self.name, lambda event: self.news.put(event[1]))
        try:
            parts = groups(cells, fuse or self.width(cells), partial(has_begun, self.run))
            self.waiting.extend(map(Batch, parts))
            while self.waiting or self.sent:
                if self.stopping:
                    yield from self.stop()
                self.check_workers()
                while self.waiting and len(self.sent) < self.capacity():
                    yield from self.send(self.waiting.popleft())
                for future in [future for future in self.sent if future.done()]:
                    yield from self.receive(self.sent.pop(future), future)
                self.write_news()
                self.tell_paused()
                time.sleep(LOOK_EVERY)
        finally:
            for batch in (*self.sent.values(), *self.waiting):
                batch.locks.close()
            if self.sent:
                self.client.cancel(list(self.sent))
            if not self.lost:
                self.client.unsubscribe_topic(self.name)
        if self.lost:
            raise ConnectionAbortedError("the scheduler dropped what was sent to it")

    def width(self, cells: Sequence[Cell]) -> int:
        """Cells in a group, by the devices of the workers that are there: others may never come."""
        self.check_workers()
        devices: dict[str, object] = {}
        if self.right:
            # a name that a worker has no device of is refused by its tasks
            devices = self.client.run(
                choose_device, self.options.device, workers=sorted(self.right), on_error="return"
            )
        return width_on(devices.values(), cells)

    @property
    def stopping(self) -> bool:
        """Whether nothing is sent any more."""
        return self.lost or self.options.asked_to_stop()

    def stop(self) -> Iterator[tuple[Cell, str]]:
        """Drops the waiting batches and stops those that were sent."""
        for batch in self.waiting:
            batch.locks.close()
            yield from ((cell, "stopped") for cell in batch.cells)
        self.waiting.clear()
        if self.lost or not self.sent:
            return
        # repeated, because workers come and go
        told = self.client.run(halt, self.name, on_error="ignore")
        begun = {key for keys in told.values() for key in keys}
        # what no worker has begun is not waited for: all may have paused, or none may be left
        idle = [future for future in self.sent if not future.done() and future.key not in begun]
        self.cancelled |= {future.key for future in idle}
        self.client.cancel(idle)

    def check_workers(self) -> None:
        """Checks the version of workers that have come.

        Raises:
            UsageError: one has another version of disbench, or none.
        """
        come = set() if self.lost else set(self.client.nthreads()) - self.right
        if come:
            # a function of Python itself, since nothing of ours may be there
            found = self.client.run(
                importlib.metadata.version, "disbench", workers=sorted(come), on_error="return"
            )
            missing = importlib.metadata.PackageNotFoundError
            # a worker may leave at this moment, which is no answer
            answers = {name: found[name] for name in found if isinstance(found[name], (str, missing))}
            check_versions(answers, VERSION)
            self.right |= set(answers)

    def tell_paused(self) -> None:
        """Warns, once, if nothing goes on since all workers have paused, which Dask tells only their logs."""
        if self.lost or time.monotonic() - self.heard < QUIET:
            return
        self.heard = time.monotonic()
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        if workers and all(worker["status"] == "paused" for worker in workers):
            self.heard = math.inf
            warnings.warn(
                "all workers have paused, since they have used most of the memory that Dask gives them, and "
                "nothing goes on; start them again with a larger memory limit.",
                stacklevel=2,
            )

    def capacity(self) -> int:
        """How many batches may be sent at a time: two per thread, so that no worker has to wait."""
        return self.jobs or 2 * max(1, sum(self.client.nthreads().values()))

    def send(self, batch: Batch) -> Iterator[tuple[Cell, str]]:
        """Sends a batch; yields those of its cells that need no work or are held by another process."""
        if not batch.slices:
            ready = []
            for cell in batch.cells:
                outcome = self.claim(cell, batch.locks)
                if outcome:
                    yield cell, outcome
                else:
                    ready.append(cell)
            batch.cells = ready
        if not batch.cells:
            batch.locks.close()
            return
        batch.slices += 1
        first = batch.cells[0]
        task = Task(
            sweep=self.name,
            cells=batch.cells,
            files=[pack(self.run / cell.folder) for cell in batch.cells],
            protocol=self.protocol,
            options=dataclasses.replace(self.options, stop_file=None, plugins=(), parent=None),
            seconds=self.seconds,
            version=VERSION,
            plugins=self.plugins,
            classifier=self.classifier(first),
        )
        key = f"{self.name}-{first.label}-{first.seed}-{batch.slices}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            self.sent[self.client.submit(work, task, key=key, pure=False)] = batch

    def claim(self, cell: Cell, locks: contextlib.ExitStack) -> str:
        """Locks the folder of a cell and makes it ready; returns the outcome if there is nothing to do."""
        folder = self.run / cell.folder
        try:
            settled = triage(self.run, cell, self.protocol, self.options, locks)
            if not settled and not (folder / "cell.json").exists():
                CellFile(cell).write(folder)
        except (UsageError, OSError) as error:
            if disk_is_full(error):
                return "full"
            self.fail(cell, failure(error, folder))
            return "failed"
        return settled

    def classifier(self, cell: Cell) -> bytes | None:
        """The file of the classifier of the data set, if a metric needs one."""
        if not need_classifier(self.protocol.metrics):
            return None
        name, size = cell.dataset.name, cell.dataset.size
        if datasets.load(name, size=size, data_dir=self.options.data_dir).labels is None:
            return None
        return classifier.place(name, size=size, data_dir=self.options.data_dir).read_bytes()

    def receive(self, batch: Batch, future: Future[Results]) -> Iterator[tuple[Cell, str]]:
        """Stores the files of a finished task; a batch that needs another slice waits for it."""
        unfinished = []
        if future.cancelled():
            self.lost = self.lost or future.key not in self.cancelled
            yield from ((cell, "stopped") for cell in batch.cells)
        elif future.status == "error":
            for cell in batch.cells:
                self.fail(cell, reason(future.exception()))
                yield cell, "failed"
        else:
            for cell, outcome, files in zip(batch.cells, *fetched(future), strict=True):
                stored = self.store(cell, outcome, files)
                if stored == "stopped" and not self.stopping:
                    unfinished.append(cell)
                else:
                    yield cell, stored
        batch.cells = unfinished
        if unfinished:
            self.waiting.appendleft(batch)
        else:
            batch.locks.close()

    def store(self, cell: Cell, outcome: str, files: Files) -> str:
        """Writes the files of a cell into its folder; returns its outcome, which a full disk changes."""
        folder = self.run / cell.folder
        try:
            unpack(files, folder)
            if outcome == "full":
                self.fail(cell, Failure("OSError", "the disk of the worker is full"))
                return "failed"
        except OSError as error:
            if not disk_is_full(error):
                raise unwritable(folder, error) from None
            return "full"
        return outcome

    def fail(self, cell: Cell, why: Failure) -> None:
        """Writes the failure of a cell."""
        # where not even that can be written, `store.why_failed` finds out why
        with contextlib.suppress(OSError):
            StatusFile(self.run / cell.folder, cell.steps).finish("failed", why)

    def write_news(self) -> None:
        """Writes the status that the workers reported for their cells."""
        folders = {str(cell.folder) for batch in self.sent.values() for cell in batch.cells}
        latest: dict[str, dict[str, object]] = {}
        with contextlib.suppress(queue.Empty):
            while True:
                latest |= dict(self.news.get_nowait())
        if latest and self.heard < math.inf:
            self.heard = time.monotonic()
        for name, values in latest.items():
            status = Status.of(values)
            if name in folders and status is not None and status.state == "running":
                # the next report comes soon
                with contextlib.suppress(OSError):
                    status.write(self.run / name)


def fetched(future: Future[Results]) -> Results:
    """The result of a finished task.

    Raises:
        UnfinishedError: it does not arrive; Dask would ask for it for ever.
    """
    try:
        return future.result(timeout=FETCH_WITHIN)
    except TimeoutError:
        raise UnfinishedError(
            f"what a worker returned did not arrive within {FETCH_WITHIN / 60:g} minutes: it cannot be "
            "reached from here, and the scheduler does not pass it on, perhaps for lack of memory (its log "
            "says why); nothing that came before is lost: mend that and repeat the command."
        ) from None


def reason(error: BaseException) -> Failure:
    """The failure of a task, for a status file; its error comes from a worker or from the network."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        message = "every worker that it was given to died, as often as the scheduler allows (out of memory?)"
        return Failure("WorkerDied", message)
    return failure(error)
