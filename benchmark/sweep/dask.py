"""Runs the cells of a sweep on a Dask cluster that exists already.

The cluster and this program share no disk. A task carries the files of its cells to a worker, trains them
there for at most `SLICE` seconds in a temporary folder, and brings all files back; the next task goes on from
them. So a worker that dies costs its last slice, which Dask gives to another one, and when this program dies
the run's folder knows every slice that was brought back. Data sets are fetched or rendered by each worker.

`distributed.Client` itself and not joblib's Dask backend: that one fails all cells when one exhausts its
workers, gives no word of a cell before it ends, and cannot stop one in the middle.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import logging
import queue
import secrets
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disbench.benchmark import datasets
from disbench.benchmark.datasets import fetching, loading, manifest
from disbench.benchmark.protocols import Protocol, need_classifier
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, Failure, Status
from disbench.benchmark.scoring import classifier
from disbench.benchmark.sweep.cell import StatusFile, failure, run_group, triage
from disbench.benchmark.sweep.plan import Options, groups
from disbench.benchmark.training.gpu import choose_device, choose_tuning
from disbench.errors import UsageError, argument
from disbench.files import disk_is_full, unwritable, write_bytes

VERSION = importlib.metadata.version("disbench")
SLICE = 300.0  # seconds that a task trains before it brings its files back
NEWS_EVERY = 1.0  # seconds between a worker's words on how its cells stand
LOOK_EVERY = 0.1  # seconds between looks at what has come back
CONNECT_WITHIN = 10.0  # seconds
LAST = ("checkpoint.pt", "codes.npz", "scores.json", "status.json")  # to be written, in this order

Files = Mapping[str, bytes]

_training = threading.Lock()  # a worker with several threads trains one group at a time all the same
_halted: set[str] = set()  # sweeps that were asked to stop, in a worker


@dataclass(frozen=True)
class Task:
    """What a task is to do.

    Attributes:
        sweep: names the sweep that the task belongs to.
        cells, files: the group, and per cell what its folder holds.
        seconds: the length of the slice.
        version: of disbench, which the worker must have too.
        plugins: file name and source of each plug-in.
        judge: the file of the classifier of the data set's classes, where a metric needs it.
    """

    sweep: str
    cells: Sequence[Cell]
    files: Sequence[Files]
    protocol: Protocol
    options: Options
    seconds: float
    version: str
    plugins: Sequence[tuple[str, bytes]] = ()
    judge: bytes | None = None


@dataclass
class Flight:
    """A group at work on the cluster, or about to be.

    Attributes:
        cells: those that still need work.
        locks: on their folders, from the first take-off to the last landing.
        slices: how often it has taken off.
    """

    cells: list[Cell]
    locks: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    slices: int = 0


def pack(folder: Path) -> Files:
    """The files of a cell."""
    names = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in names}


def unpack(files: Files, folder: Path) -> None:
    """Makes the folder hold these files; killed in between, it is one that a sweep can go on from."""
    order = ["metrics.jsonl", *(name for name in files if name not in ("metrics.jsonl", *LAST)), *LAST]
    for path in folder.iterdir() if folder.exists() else ():
        if not path.name.startswith(".") and path.name not in (*files, "state.pt"):
            path.unlink()
    for name in order:
        if name in files:
            write_bytes(folder / name, files[name])
    if "state.pt" not in files:  # it is trained, and the checkpoint is here
        (folder / "state.pt").unlink(missing_ok=True)


def work(order: Task) -> tuple[list[str], list[Files]]:
    """On a worker: one slice of a group of cells. Outcomes and files, one per cell.

    Raises:
        UsageError: this worker is of another version or lacks the device.
    """
    from distributed import get_worker

    worker = get_worker()
    if order.version != VERSION:
        raise UsageError(f"the worker {worker.address} has disbench {VERSION}, expected {order.version}.")
    with _training, tempfile.TemporaryDirectory(prefix="disbench-") as temporary:
        run = store.open_run(Path(temporary) / "run")
        for cell, files in zip(order.cells, order.files, strict=True):
            unpack(files, run / cell.folder)
        stop_file = Path(temporary) / "stop"
        device, tuning = choose_device(order.options.device), order.options.tuning
        options = dataclasses.replace(
            order.options,
            device=device,
            tuning=choose_tuning(device, tuning.precision, tuning.graph),
            stop_file=stop_file,
            plugins=tuple(_placed(Path(worker.local_directory), order.plugins)),
        )
        over = threading.Event()
        companion = threading.Thread(target=_attend, args=(order, run, stop_file, worker, over), daemon=True)
        companion.start()
        try:
            if order.sweep in _halted:
                stop_file.touch()
            else:
                _provide(order, options)
            outcomes = run_group(run, order.cells, order.protocol, options)
        finally:
            over.set()
            companion.join()
        return outcomes, [pack(run / cell.folder) for cell in order.cells]


def _placed(folder: Path, plugins: Sequence[tuple[str, bytes]]) -> Iterator[Path]:
    """The plug-ins as files, at the same place in every task of a worker: they are loaded once."""
    for name, source in plugins:
        path = folder / "disbench-plugins" / hashlib.sha256(source).hexdigest()[:16] / name
        if not path.exists():
            write_bytes(path, source)
        yield path


def _attend(order: Task, run: Path, stop_file: Path, worker: Any, over: threading.Event) -> None:
    """Beside a task: sends word of its cells, and stops it when asked to or when its slice is over."""
    started, told = time.monotonic(), ""
    while not over.wait(min(NEWS_EVERY, order.seconds / 4)):
        if order.sweep in _halted or time.monotonic() - started > order.seconds:
            stop_file.touch()
        news = [(str(cell.folder), Status.read(run / cell.folder).plain()) for cell in order.cells]
        if repr(news) != told:
            told = repr(news)
            worker.log_event(order.sweep, news)


def halt(sweep: str) -> None:
    """On a worker: lets every task of a sweep stop after its step."""
    _halted.add(sweep)


def _provide(order: Task, options: Options) -> None:
    """Fetches the data set if it can be had, and keeps the classifier; what is lacking, `run_group` tells."""
    about = order.cells[0].dataset
    with contextlib.suppress(UsageError):
        try:
            about.load(options.data_dir)
        except UsageError:
            base, _ = loading.split_name(about.name)
            while not base.endswith(".npz") and base:
                facts = manifest.read(base)
                fetching.fetch(facts, data_dir=options.data_dir, say=lambda line: None)
                base = facts.wrapper.base if facts.wrapper else ""
        if order.judge is not None:
            path = classifier.place(about.name, size=about.size, data_dir=options.data_dir)
            if not path.exists():
                write_bytes(path, order.judge)


@contextlib.contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A client of the cluster.

    Raises:
        UsageError: Dask is not installed, or there is no scheduler at the address.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise UsageError(f'{argument("scheduler")} needs Dask: pip install "disbench[dask]"') from None
    try:
        client: Any = Client(scheduler, timeout=CONNECT_WITHIN, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"no Dask scheduler answers at {scheduler!r} ({why}); give the address that it prints when it "
            "starts, such as tcp://10.0.0.1:8786."
        ) from None
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_WITHIN)


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
    """Runs the cells on the cluster and yields each with its outcome, as the sweep on this machine does.

    Args:
        jobs: groups at work at a time; 0 for as many as the cluster takes, however that changes.
        seconds: the length of a slice.

    Raises:
        UsageError: no scheduler, or the connection to it was lost.
    """
    logging.getLogger("distributed").setLevel(logging.ERROR)  # workers that leave are told of otherwise
    with connected(scheduler) as client:
        yield from _Sweep(run, protocol, options, client, jobs, seconds).over(cells, fuse)


class _Sweep:
    def __init__(
        self, run: Path, protocol: Protocol, options: Options, client: Any, jobs: int, seconds: float
    ) -> None:
        self.run, self.protocol, self.options = run, protocol, options
        self.client, self.jobs, self.seconds = client, jobs, seconds
        self.name = f"disbench-{secrets.token_hex(6)}"
        self.plugins = [(path.name, path.read_bytes()) for path in options.plugins]
        self.news: queue.SimpleQueue[list[tuple[str, dict[str, Any]]]] = queue.SimpleQueue()
        self.flying: dict[Any, Flight] = {}
        self.waiting: deque[Flight] = deque()
        self.called_back: set[str] = set()  # tasks that were cancelled here
        self.lost = False  # the connection to the scheduler

    def over(self, cells: Sequence[Cell], fuse: int) -> Iterator[tuple[Cell, str]]:
        self.client.subscribe_topic(self.name, lambda event: self.news.put(event[1]))
        self.waiting.extend(Flight(group) for group in groups(cells, fuse))
        try:
            while self.waiting or self.flying:
                if self.stopping:
                    yield from self.stop()
                while self.waiting and len(self.flying) < self.room():
                    yield from self.take_off(self.waiting.popleft())
                for future in [future for future in self.flying if future.done()]:
                    yield from self.land(self.flying.pop(future), future)
                self.tell()
                time.sleep(LOOK_EVERY)
        finally:
            for flight in (*self.flying.values(), *self.waiting):
                flight.locks.close()
            if self.flying:
                self.client.cancel(list(self.flying))
            if not self.lost:
                self.client.unsubscribe_topic(self.name)
        if self.lost:
            raise UsageError(
                "the connection to the Dask scheduler was lost; the same command goes on where it stopped."
            )

    @property
    def stopping(self) -> bool:
        return self.lost or self.options.asked_to_stop()

    def stop(self) -> Iterator[tuple[Cell, str]]:
        """Sends nothing out any more, and calls back what is out."""
        for flight in self.waiting:
            flight.locks.close()
            yield from ((cell, "stopped") for cell in flight.cells)
        self.waiting.clear()
        if self.lost or not self.flying:
            return
        if self.client.nthreads():
            self.client.run(halt, self.name, on_error="ignore")  # each time: workers come and go
        else:
            for future in self.flying:
                self.called_back.add(future.key)
            self.client.cancel(list(self.flying))

    def room(self) -> int:
        """How many groups may be out: two per thread, so that no worker waits for its next one."""
        return self.jobs or 2 * max(1, sum(self.client.nthreads().values()))

    def take_off(self, flight: Flight) -> Iterator[tuple[Cell, str]]:
        """Sends a group out; yields those of its cells that need no work, or that another process has."""
        if not flight.slices:
            going = []
            for cell in flight.cells:
                outcome = self.board(cell, flight.locks)
                if outcome:
                    yield cell, outcome
                else:
                    going.append(cell)
            flight.cells = going
        if not flight.cells:
            flight.locks.close()
            return
        flight.slices += 1
        first = flight.cells[0]
        order = Task(
            sweep=self.name,
            cells=flight.cells,
            files=[pack(self.run / cell.folder) for cell in flight.cells],
            protocol=self.protocol,
            options=dataclasses.replace(self.options, stop_file=None, plugins=(), parent=None),
            seconds=self.seconds,
            version=VERSION,
            plugins=self.plugins,
            judge=self.judge(first),
        )
        key = f"{self.name}-{first.label}-{first.seed}-{flight.slices}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            self.flying[self.client.submit(work, order, key=key, pure=False)] = flight

    def board(self, cell: Cell, locks: contextlib.ExitStack) -> str:
        """Holds a cell's folder and makes it ready; the outcome of a cell where there is nothing to do."""
        settled = triage(self.run, cell, self.protocol, self.options, locks)
        folder = self.run / cell.folder
        if not settled and not (folder / "cell.json").exists():
            CellFile(cell).write(folder)
        return settled

    def judge(self, cell: Cell) -> bytes | None:
        """The classifier of the classes, where a metric needs one."""
        if not need_classifier(self.protocol.metrics):
            return None
        name, size = cell.dataset.name, cell.dataset.size
        if datasets.load(name, size=size, data_dir=self.options.data_dir).labels is None:
            return None
        return classifier.place(name, size=size, data_dir=self.options.data_dir).read_bytes()

    def land(self, flight: Flight, future: Any) -> Iterator[tuple[Cell, str]]:
        """Puts away what a task brought back; what its slice did not suffice for takes off again."""
        going = []
        if future.cancelled():
            self.lost = self.lost or future.key not in self.called_back
            yield from ((cell, "stopped") for cell in flight.cells)
        elif future.status == "error":
            for cell in flight.cells:
                self.fail(cell, reason(future.exception(), self.run / cell.folder))
                yield cell, "failed"
        else:
            for cell, outcome, files in zip(flight.cells, *future.result(), strict=True):
                outcome = self.put_away(cell, outcome, files)
                if outcome == "stopped" and not self.stopping:
                    going.append(cell)
                else:
                    yield cell, outcome
        flight.cells = going
        if going:
            self.waiting.appendleft(flight)
        else:
            flight.locks.close()

    def put_away(self, cell: Cell, outcome: str, files: Files) -> str:
        """Writes a cell's files into its folder; its outcome, which a full disk changes."""
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
        StatusFile(self.run / cell.folder, cell.steps).finish("failed", why)

    def tell(self) -> None:
        """Writes down what the workers said of cells that are out."""
        out = {str(cell.folder) for flight in self.flying.values() for cell in flight.cells}
        latest: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(queue.Empty):
            while True:
                latest |= dict(self.news.get_nowait())
        for name, values in latest.items():
            status = Status.of(values)
            if name in out and status.state == "running":
                with contextlib.suppress(OSError):  # the next word comes soon
                    status.write(self.run / name)


def reason(error: BaseException, folder: Path) -> Failure:
    """Why a task came to nothing, as a status file tells it."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        message = "every worker that it was given to died, as often as the scheduler allows (out of memory?)"
        return Failure("WorkerDied", message)
    return failure(error, folder)
