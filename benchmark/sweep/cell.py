"""The sweep: plans the cells of a run, trains and scores each in a process of its own, keeps what is known.

`disbench run` twice does nothing twice: a cell that is done is skipped, one that was stopped goes on where
its last saved state stands, one that failed stays failed until it is asked for again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import os
import platform
import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from disbench import models, plugins
from disbench.benchmark import datasets, memory, origin, pictures, scoring, store
from disbench.benchmark.datasets import loading, manifest
from disbench.benchmark.device import Tuning
from disbench.benchmark.kept import Kept
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.store import Cell, Journal
from disbench.benchmark.trainer import (
    PLAIN,
    DivergedError,
    Fused,
    Single,
    State,
    StoppedError,
    stream,
    use_one_core,
)
from disbench.errors import UsageError, unknown
from disbench.models.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)

DEVICES = ("auto", "cpu", "cuda")
STATE_KIND = "disbench training state"
SIGNAL, TIME = "by a signal", "because its time was up"  # why a sweep stopped
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
MOST_DEATHS = 2  # of the process that a cell is trained in, before the cell counts as failed


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a result, but for rounding on a GPU.

    Attributes:
        device: "cpu" or "cuda", already chosen.
        data_dir: where data sets are kept; None for the default.
        retry_failed: train failed cells again.
        save_every: seconds between saved states.
        stop_file: when this file appears, training stops after its step.
        plugins: files that every worker loads.
        tuning: how steps are computed.
        parent: in a worker, the process that started it: when that one is gone, training stops too.
    """

    device: str = "cpu"
    data_dir: Path | None = None
    retry_failed: bool = False
    save_every: float = 60.0
    stop_file: Path | None = None
    plugins: tuple[Path, ...] = dataclasses.field(default_factory=plugins.files)
    tuning: Tuning = PLAIN
    parent: int | None = None

    def asked_to_stop(self) -> bool:
        return self.orphaned() or (self.stop_file is not None and self.stop_file.exists())

    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent


def choose_device(name: str) -> str:
    """auto: the GPU where there is one."""
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda was given, but torch sees no CUDA device here; use --device cpu or auto."
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


@dataclass(frozen=True)
class Entry:
    """What a run trains with each of its seeds: a method under one setting."""

    method: str
    variant: str
    config_name: str
    config: Mapping[str, Any]


def entries(
    protocol: Protocol,
    methods: Sequence[str],
    changes: Mapping[str, Mapping[str, object]],
    variants: Sequence[str] = (),
    config: str | None = None,
) -> list[Entry]:
    """The methods with their settings, checked.

    Args:
        changes: per method, config field to value, on top of the protocol's.
        variants: names of variants; "all" for every one of each method.
        config: another named config than the protocol's.

    Raises:
        UsageError: an unknown method, variant or field, or a value of the wrong type.
    """
    for method in changes:
        if method not in methods:
            raise UsageError(
                f"--set names the method {method!r}, which is not among --methods {','.join(methods)}."
            )
    made = []
    for method in methods:
        known = models.get(method).VARIANTS
        for variant in variants:
            if variant != "all" and variant not in known:
                raise unknown(f"variant of {method}", variant, known)
        for variant in (list(known) if "all" in variants else list(variants)) or [""]:
            merged = {**protocol.changes(method), **known.get(variant, {}), **changes.get(method, {})}
            name = config or protocol.config
            settings = dataclasses.asdict(models.configure(method, name, merged))
            made.append(Entry(method, variant, name, settings))
    return made


def plan(
    protocol: Protocol, chosen: Sequence[Entry], seeds: Sequence[int], data: Sequence[datasets.Dataset]
) -> list[Cell]:
    """The cells of a run, seed by seed, so that every method has something early on."""
    known = [{"name": d.name, "size": d.shape[1], "sha256": d.sha256} for d in data]
    return [
        Cell(
            entry.method,
            entry.variant,
            entry.config_name,
            entry.config,
            dataset,
            protocol.name,
            seed,
            plugins.source("methods", entry.method),
        )
        for seed in seeds
        for dataset in known
        for entry in chosen
    ]


def usual_size(name: str, protocol: Protocol) -> int | None:
    """The protocol's size where the data set is offered at it, else None: the data set's own."""
    base, _ = loading.split_name(name)
    if base.endswith(".npz") or protocol.size not in manifest.read(base).sizes:
        return None
    return protocol.size


def environment(options: Options) -> dict[str, Any]:
    """What produced a result: versions and hardware."""
    packages = ("disbench", "numpy", "scipy", "scikit-learn", "pandas", "h5py")
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # names the build too
        **{name: importlib.metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else origin.processor(),
        "precision": options.tuning.precision,
        "commit": origin.commit(),
    }


def check_precision(run: Path, cells: Sequence[Cell], precision: str) -> None:
    """Raises UsageError where seeds of these methods were begun in another precision: they would be mixed."""
    for method in dict.fromkeys(run / cell.folder.parent for cell in cells):
        for path in sorted(method.glob("seed-*/cell.json")):
            found = store.read_json(path) or {}
            before = found.get("environment", {}).get("precision", precision)
            if before != precision:
                raise UsageError(
                    f"{path.parent} was begun with precision {before}, and now it is {precision}; "
                    f"give --precision {before}, or another folder with --out."
                )


def is_done(folder: Path, protocol: Protocol) -> bool:
    return (folder / "checkpoint.pt").is_file() and scoring.answers(
        store.read_json(folder / "scores.json"), protocol.metrics
    )


def run_group(run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options) -> list[str]:
    """Trains and scores cells that differ in their seed alone; never raises for what happens inside.

    Several cells train fused, in one program. Those that stand at different saved steps train one group after
    another.

    Returns:
        Per cell "done", "failed", "full" (failed because the disk is full), "stopped", or "busy" where
        another process is at work on it.
    """
    outcomes: dict[Cell, str] = {}
    for path in options.plugins:
        plugins.load(path)
    try:
        with contextlib.ExitStack() as locks:
            ready: dict[int, list[Cell]] = {}
            for cell in cells:
                folder = run / cell.folder
                if not locks.enter_context(store.locked(folder)):
                    outcomes[cell] = "busy"
                    continue
                store.tidy(folder)
                if is_done(folder, protocol):
                    outcomes[cell] = "done"
                    if store.status(folder)["state"] != "done":  # of a process killed just before it said so
                        Report(folder, int(cell.config["steps"])).finish("done")
                elif store.status(folder)["state"] == "failed" and not options.retry_failed:
                    outcomes[cell] = "failed"
                elif options.asked_to_stop():
                    outcomes[cell] = "stopped"
                else:
                    try:
                        ready.setdefault(saved_step(folder), []).append(cell)
                    except (
                        UsageError
                    ) as error:  # a saved state that cannot be read is this cell's trouble alone
                        group = Group(run, [cell], protocol, options)
                        group.fail(cell, error)
                        outcomes |= group.outcomes
            for together in ready.values():
                outcomes |= Group(run, together, protocol, options).run()
    except OSError as error:  # not even a cell's own folder can be written
        if not store.disk_is_full(error):
            raise store.unwritable(run, error) from None
        outcomes |= {cell: "full" for cell in cells if cell not in outcomes}
    return [outcomes[cell] for cell in cells]


def saved_step(folder: Path) -> int:
    """The step at which a cell's training stands: 0, that of its saved state, or -1 where it is trained."""
    if (folder / "checkpoint.pt").exists():
        return -1
    path = folder / "state.pt"
    return load_state(path).step if path.exists() else 0


def load_state(path: Path) -> State:
    saved = load_tensors(path)
    if not isinstance(saved, dict) or saved.get("kind") != STATE_KIND:
        raise UsageError(f"{path} is not a saved training state; delete it to train this seed again.")
    return State(saved["step"], saved["weights"], saved["optimizers"])


class Group:
    """Cells that train together: one, or several that differ in their seed alone."""

    def __init__(self, run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options) -> None:
        self.cells, self.protocol, self.options = list(cells), protocol, options
        self.folders = {cell: run / cell.folder for cell in cells}
        self.peak = memory.Peak()
        self.reports = {c: Report(self.folders[c], int(c.config["steps"]), self.peak) for c in cells}
        self.outcomes: dict[Cell, str] = {}

    def run(self) -> dict[Cell, str]:
        """Outcome per cell."""
        with self.peak:
            self.work()
        return self.outcomes

    def work(self) -> None:
        use_one_core()
        device = torch.device(self.options.device)
        try:
            for cell in self.cells:
                found = {
                    "cell": dataclasses.asdict(cell),
                    "environment": environment(self.options),
                    "device": self.options.device,
                    "together": len(self.cells),  # how many cells share its time
                }
                store.write_json(self.folders[cell] / "cell.json", found)
                self.reports[cell]("preparing", self.reports[cell].step)
            wanted = self.cells[0].dataset
            data = datasets.load(wanted["name"], size=wanted["size"], data_dir=self.options.data_dir)
            check_data(wanted, data)
            self.train(data, device)
        except StoppedError:
            for cell in self.going():
                self.end(cell, "stopped")
        except Exception as error:  # what breaks one group must not take the others along
            for cell in self.going():
                self.fail(cell, error)
        for cell in self.going():
            try:
                self.score(cell, data, device)
                self.end(cell, "done")
            except StoppedError:
                self.end(cell, "stopped")
            except Exception as error:
                self.fail(cell, error)

    def going(self) -> list[Cell]:
        return [cell for cell in self.cells if cell not in self.outcomes]

    def end(self, cell: Cell, outcome: str, reason: Mapping[str, Any] | None = None) -> None:
        self.outcomes[cell] = outcome
        self.reports[cell].finish(outcome, reason)

    def fail(self, cell: Cell, error: Exception) -> None:
        reason: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
        if isinstance(error, DivergedError):
            reason |= {"step": error.step, "term": error.term}
        elif isinstance(error, OSError):
            reason["message"] = str(store.unwritable(self.folders[cell], error))
        elif not isinstance(error, UsageError):
            reason["traceback"] = "".join(traceback.format_exception(error))
        try:
            self.end(cell, "failed", reason)
        except OSError:  # no room even for the reason: the caller tells it
            self.outcomes[cell] = "failed"
        if store.disk_is_full(error):
            self.outcomes[cell] = "full"

    def train(self, data: datasets.Dataset, device: torch.device) -> None:
        """Leaves a checkpoint for every cell that does not diverge."""
        cells = [cell for cell in self.cells if not (self.folders[cell] / "checkpoint.pt").exists()]
        if not cells:
            for folder in self.folders.values():  # of a process that was killed between the two
                (folder / "state.pt").unlink(missing_ok=True)
            return
        info, first = data_info(data), cells[0]
        config = type(models.get(first.method).CONFIGS[first.config_name])(**first.config)
        methods = [models.build(c.method, config, info, stream(c.seed, "weights")) for c in cells]
        strategy = Single if len(cells) == 1 else Fused
        trainer = strategy(methods, data, [cell.seed for cell in cells], device, self.options.tuning)
        states = [self.folders[cell] / "state.pt" for cell in cells]
        if states[0].exists():
            trainer.restore([load_state(path) for path in states])
        journals = [Journal(self.folders[cell] / "metrics.jsonl", trainer.step) for cell in cells]

        def progress(step: int) -> None:
            for cell in cells:
                self.reports[cell]("training", step)

        failed = trainer.run(
            config.steps,
            log=lambda i, line: journals[i].append(line),
            progress=progress,
            save=lambda i, state: save_tensors({"kind": STATE_KIND, **vars(state)}, states[i]),
            stop=self.options.asked_to_stop,
            save_every=self.options.save_every,
        )
        for i, cell in enumerate(cells):
            if i in failed:
                self.fail(cell, failed[i])
                continue
            checkpoint = Checkpoint(
                method=cell.method,
                config=dict(cell.config),
                shape=info.shape,
                n=info.n,
                class_prior=info.class_prior,
                dataset=dict(cell.dataset),
                protocol=cell.protocol,
                variant=cell.variant,
                seed=cell.seed,
                step=trainer.step,
                weights=trainer.state(i).weights,
                plugin=cell.plugin,
            )
            for name in ("codes.npz", "scores.json"):  # of a checkpoint that someone deleted
                (self.folders[cell] / name).unlink(missing_ok=True)
            save_checkpoint(checkpoint, self.folders[cell] / "checkpoint.pt")
            states[i].unlink(missing_ok=True)

    def score(self, cell: Cell, data: datasets.Dataset, device: torch.device) -> None:
        """Scores and draws what was saved, not what is in memory; the codes are kept."""
        folder = self.folders[cell]
        self.reports[cell]("scoring", int(cell.config["steps"]))

        @functools.cache
        def trained() -> scoring.Trained:
            method = load_checkpoint(folder / "checkpoint.pt").build(device)
            return scoring.Trained(method, data, device, self.options.data_dir)

        source = Kept(folder / "codes.npz", cell.dataset, data, trained)
        stop = self.options.asked_to_stop
        entries = scoring.score(source, data, self.protocol.metrics, stop=stop)
        if not (folder / "scores.json").exists():  # else they were drawn before the protocol changed
            pictures.write_all(trained().method, data, device, folder)
        store.write_json(folder / "scores.json", entries)


def check_data(expected: Mapping[str, Any], data: datasets.Dataset) -> None:
    if data.sha256 != expected["sha256"]:
        raise UsageError(
            f"the data set {data.name} here has sha256 {data.sha256[:12]}..., "
            f"this model was trained on {str(expected['sha256'])[:12]}...: scores would not compare; "
            "use the same data set."
        )


def revive(
    saved: Checkpoint, device: str, data_dir: Path | None
) -> tuple[models.Method, datasets.Dataset, torch.device]:
    """The method of a checkpoint, the data set that it was trained on, and the device that was asked for."""
    where = choose_device(device)
    method = saved.build(where)
    size = saved.dataset.get("size")
    data = datasets.load(str(saved.dataset.get("name")), size=size, data_dir=data_dir)
    check_data(saved.dataset, data)
    return method, data, torch.device(where)


class Report:
    """Keeps status.json up to date, once a second at most.

    Seconds are those of all starts of the cell together; "training" are those of its training alone.
    """

    def __init__(self, folder: Path, steps: int, peak: memory.Peak | None = None) -> None:
        self.folder, self.steps, self.peak = folder, steps, peak
        before = store.status(folder)
        self.spent = {name: float(before.get(name, 0.0)) for name in ("seconds", "training")}
        self.looked = self.told = time.monotonic()
        self.phase, self.step = "", int(before.get("step", 0))

    def __call__(self, phase: str, step: int) -> None:
        self._look()
        self.step = step
        if phase != self.phase or time.monotonic() - self.told > 1.0:
            self.phase, self.told = phase, time.monotonic()
            self._write({"state": "running", "phase": phase, "process": os.getpid()})

    def finish(self, state: str, error: Mapping[str, Any] | None = None) -> None:
        self._look()
        self._write({"state": state, **({"error": error} if error else {})})

    def _look(self) -> None:
        now = time.monotonic()
        self.spent["seconds"] += now - self.looked
        if self.phase == "training":
            self.spent["training"] += now - self.looked
        self.looked = now

    def _write(self, values: Mapping[str, Any]) -> None:
        known = {
            "step": self.step,
            "steps": self.steps,
            **{name: round(seconds, 2) for name, seconds in self.spent.items()},
            "peak_private_mb": self.peak.mb if self.peak else None,
            "updated": store.now(),
        }
        store.write_json(self.folder / "status.json", {**values, **known})


def data_info(data: datasets.Dataset) -> models.DataInfo:
    prior = None if data.labels is None else tuple(float(share) for share in data.class_prior)
    return models.DataInfo(data.shape, len(data), prior)


@contextlib.contextmanager
def stoppable(run: Path, seconds: float = 0.0) -> Iterator[tuple[Path, Callable[[], str]]]:
    """A file that appears at the first SIGINT or SIGTERM, or after so many seconds (0: never).

    At a second signal the program ends at once. The function beside the file says why it appeared: SIGNAL,
    TIME, or "" if it did not.
    """
    stop_file = run / f".stop-{os.getpid()}"
    stop_file.unlink(missing_ok=True)
    why = ""

    def ask(number: int, frame: object) -> None:
        nonlocal why
        if why == SIGNAL:
            raise KeyboardInterrupt
        why = SIGNAL
        stop_file.touch()

    def time_is_up() -> None:
        nonlocal why
        why = why or TIME
        stop_file.touch()

    timer = threading.Timer(seconds, time_is_up) if seconds else None
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield stop_file, lambda: why
    finally:
        if timer:
            timer.cancel()
            timer.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_file.unlink(missing_ok=True)


def in_worker(
    run: Path, group: Sequence[Cell], protocol: Protocol, options: Options
) -> list[tuple[Cell, str]]:
    """`run_group` in a process of its own: the parent alone answers to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outcomes = run_group(run, group, protocol, options)
    if options.orphaned():  # nobody hears the answer, and the pool would wait for minutes
        os._exit(1)
    return list(zip(group, outcomes, strict=True))


def groups(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Cells that may train fused, `size` at a time: those that differ in their seed alone."""
    alike: dict[Path, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(cell.folder.parent, []).append(cell)
    found = [together[i : i + size] for together in alike.values() for i in range(0, len(together), size)]
    return sorted(found, key=lambda group: cells.index(group[0]))


def sweep(
    run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, jobs: int, fuse: int = 1
) -> Iterator[tuple[Cell, str]]:
    """Runs the cells, `fuse` in one program and `jobs` programs at a time; yields each with its outcome."""
    waiting = []
    for cell in cells:
        if is_done(run / cell.folder, protocol) and store.status(run / cell.folder)["state"] == "done":
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

    Each process is a pool of its own, so that one that is killed takes no other along. What it was at goes on
    from its saved state in a new one, but not for ever: who dies twice has failed.
    """
    options = dataclasses.replace(options, parent=os.getpid())
    waiting, deaths = deque(left), Counter[Cell]()
    idle = [new_worker() for _ in range(min(jobs, len(left)))]
    at_work: dict[Future[list[tuple[Cell, str]]], tuple[ProcessPoolExecutor, Sequence[Cell]]] = {}
    try:
        while waiting or at_work:
            while waiting and idle:
                worker, group = idle.pop(), waiting.popleft()
                at_work[worker.submit(in_worker, run, group, protocol, options)] = worker, group
            for ended in wait(at_work, return_when=FIRST_COMPLETED).done:
                worker, group = at_work.pop(ended)
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
                            died(run / cell.folder, int(cell.config["steps"]))
                            yield cell, "failed"
                idle.append(worker)
    finally:
        for worker in (*idle, *(worker for worker, _ in at_work.values())):
            worker.shutdown(kill_workers=True)


def new_worker() -> ProcessPoolExecutor:
    """A process that starts with its first piece of work, one thread in all its libraries."""
    return ProcessPoolExecutor(max_workers=1, timeout=None, env=dict.fromkeys(THREADS, "1"))


def died(folder: Path, steps: int) -> None:
    reason = {"type": "WorkerDied", "message": f"its process was killed {MOST_DEATHS} times (out of memory?)"}
    with store.locked(folder) as ours:
        if ours:
            Report(folder, steps).finish("failed", reason)
