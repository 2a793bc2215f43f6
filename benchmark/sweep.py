"""The sweep: plans the cells of a run, trains and scores each in a process of its own, keeps what is known.

`disbench run` twice does nothing twice: a cell that is done is skipped, one that was stopped goes on where
its last saved state stands, one that failed stays failed until it is asked for again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import platform
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch

from disbench import models
from disbench.benchmark import datasets, pictures, scoring, store
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.store import Cell, Journal
from disbench.benchmark.trainer import DivergedError, State, StoppedError, Trainer, stream
from disbench.errors import UsageError, unknown
from disbench.models.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)

STATE_KIND = "disbench training state"


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a result.

    Attributes:
        device: "cpu" or "cuda", already chosen.
        data_dir: where data sets are kept; None for the default.
        retry_failed: train failed cells again.
        save_every: seconds between saved states.
        stop_file: when this file appears, training stops after its step.
    """

    device: str = "cpu"
    data_dir: Path | None = None
    retry_failed: bool = False
    save_every: float = 60.0
    stop_file: Path | None = None


def choose_device(name: str) -> str:
    """auto: the GPU where there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise unknown("device", name, ("auto", "cpu", "cuda"))
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
    config: Mapping[str, Any]


def entries(
    protocol: Protocol,
    methods: Sequence[str],
    changes: Mapping[str, Mapping[str, object]],
    variants: Sequence[str] = (),
) -> list[Entry]:
    """The methods with their settings, checked.

    Args:
        changes: per method, config field to value, on top of the protocol's.
        variants: names of variants; "all" for every one of each method.

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
            config = models.configure(method, protocol.config, merged)
            made.append(Entry(method, variant, dataclasses.asdict(config)))
    return made


def plan(
    protocol: Protocol, chosen: Sequence[Entry], seeds: Sequence[int], data: datasets.Dataset
) -> list[Cell]:
    """The cells of a run, seed by seed, so that every method has something early on."""
    dataset = {"name": data.name, "size": data.shape[1], "sha256": data.sha256}
    return [
        Cell(entry.method, entry.variant, protocol.config, entry.config, dataset, protocol.name, seed)
        for seed in seeds
        for entry in chosen
    ]


def environment(device: str) -> dict[str, Any]:
    """What produced a result: versions and hardware."""
    packages = ("disbench", "torch", "numpy", "scipy", "scikit-learn", "pandas", "h5py")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else platform.processor() or platform.machine(),
    }


def is_done(folder: Path, protocol: Protocol) -> bool:
    return (folder / "checkpoint.pt").is_file() and scoring.answers(
        store.read_json(folder / "scores.json"), protocol.metrics
    )


def run_cell(run: Path, cell: Cell, protocol: Protocol, options: Options) -> str:
    """Trains and scores one cell as far as it will go; never raises for what happens inside.

    Returns:
        "done", "failed", "full" (failed because the disk is full), "stopped", or "busy" where another process
        is at work on it.
    """
    folder = run / cell.folder
    try:
        with store.locked(folder) as ours:
            if not ours:
                return "busy"
            if is_done(folder, protocol):
                return "done"
            if store.status(folder)["state"] == "failed" and not options.retry_failed:
                return "failed"
            if options.stop_file and options.stop_file.exists():
                return "stopped"
            return _run_locked(folder, cell, protocol, options)
    except OSError as error:  # not even the cell's own folder can be written
        if store.disk_is_full(error):
            return "full"
        raise store.unwritable(run, error) from None


def _run_locked(folder: Path, cell: Cell, protocol: Protocol, options: Options) -> str:
    steps = int(cell.config["steps"])
    report = Report(folder, steps)
    try:
        found = {"cell": dataclasses.asdict(cell), "environment": environment(options.device)}
        store.write_json(folder / "cell.json", found)
        torch.set_num_threads(1)
        device = torch.device(options.device)
        report("preparing", 0)
        data = datasets.load(cell.dataset["name"], size=cell.dataset["size"], data_dir=options.data_dir)
        check_data(cell.dataset, data)
        method = train(folder, cell, data, device, options, report)
        report("scoring", steps)
        entries = scoring.score(method, data, protocol.metrics, device)
        pictures.write_traversal(method, data, device, folder / "traversal")
        store.write_json(folder / "scores.json", entries)
    except StoppedError:
        report.finish("stopped")
        return "stopped"
    except Exception as error:  # a cell that breaks must not take the others along
        reason: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
        if isinstance(error, DivergedError):
            reason |= {"step": error.step, "term": error.term}
        elif isinstance(error, OSError) and not isinstance(error, UsageError):
            reason["message"] = str(store.unwritable(folder, error))
        elif not isinstance(error, UsageError):
            reason["traceback"] = traceback.format_exc()
        full = store.disk_is_full(error)
        with contextlib.suppress(OSError):  # on a full disk the reason is told by the caller instead
            report.finish("failed", reason)
        return "full" if full else "failed"
    report.finish("done")
    return "done"


def check_data(expected: Mapping[str, Any], data: datasets.Dataset) -> None:
    if data.sha256 != expected["sha256"]:
        raise UsageError(
            f"the data set {data.name} here has sha256 {data.sha256[:12]}..., "
            f"this model was trained on {str(expected['sha256'])[:12]}...: scores would not compare; "
            "use the same data set."
        )


class Report:
    """Keeps status.json up to date, once a second at most."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        before = store.status(folder)
        self.seconds_before = float(before.get("seconds", 0.0))
        self.started, self.told = time.monotonic(), 0.0
        self.phase, self.step = "", int(before.get("step", 0))

    def __call__(self, phase: str, step: int) -> None:
        self.step = step
        if phase != self.phase or time.monotonic() - self.told > 1.0:
            self.phase, self.told = phase, time.monotonic()
            self._write({"state": "running", "phase": phase, "process": store.process()})

    def finish(self, state: str, error: Mapping[str, Any] | None = None) -> None:
        self._write({"state": state, **({"error": error} if error else {})})

    def _write(self, values: Mapping[str, Any]) -> None:
        seconds = self.seconds_before + time.monotonic() - self.started
        known = {"step": self.step, "steps": self.steps, "seconds": round(seconds, 1), "updated": store.now()}
        store.write_json(self.folder / "status.json", {**values, **known})


def data_info(data: datasets.Dataset) -> models.DataInfo:
    prior = None if data.labels is None else tuple(float(share) for share in data.class_prior)
    return models.DataInfo(data.shape, len(data), prior)


def train(
    folder: Path, cell: Cell, data: datasets.Dataset, device: torch.device, options: Options, report: Report
) -> models.Method:
    """The trained method: from its checkpoint, from its saved state on, or from the start."""
    path, state_path = folder / "checkpoint.pt", folder / "state.pt"
    if path.exists():
        return load_checkpoint(path).build(device)
    config = models.get(cell.method).CONFIGS[cell.config_name]
    config = type(config)(**cell.config)
    info = data_info(data)
    method = models.build(cell.method, config, info, stream(cell.seed, "weights"))
    trainer = Trainer(method, data, cell.seed, device)
    if state_path.exists():
        saved = load_tensors(state_path)
        if not isinstance(saved, dict) or saved.get("kind") != STATE_KIND:
            raise UsageError(
                f"{state_path} is not a saved training state; delete it to train this seed again."
            )
        trainer.restore(State(saved["step"], saved["weights"], saved["optimizers"]))
    journal = Journal(folder / "metrics.jsonl", trainer.step)

    def save(state: State) -> None:
        save_tensors({"kind": STATE_KIND, **vars(state)}, state_path)

    looked = 0.0

    def stop() -> bool:
        nonlocal looked
        if options.stop_file is None or time.monotonic() - looked < 0.2:
            return False
        looked = time.monotonic()
        return options.stop_file.exists()

    trainer.run(
        config.steps,
        log=journal.append,
        progress=lambda step: report("training", step),
        save=save,
        stop=stop,
        save_every=options.save_every,
    )
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
        weights=method.state_dict(),
    )
    save_checkpoint(checkpoint, path)
    state_path.unlink(missing_ok=True)
    return load_checkpoint(path).build(device)  # what is scored is what was saved


@contextlib.contextmanager
def stoppable(run: Path) -> Iterator[tuple[Path, Callable[[], bool]]]:
    """A file that appears at the first SIGINT or SIGTERM; at the second the program ends at once."""
    stop_file = run / f".stop-{os.getpid()}"
    stop_file.unlink(missing_ok=True)
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop_file.touch()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_file, lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_file.unlink(missing_ok=True)


def in_worker(run: Path, cell: Cell, protocol: Protocol, options: Options) -> str:
    """`run_cell` in a process of its own: the parent alone answers to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return run_cell(run, cell, protocol, options)


def sweep(
    run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options, jobs: int
) -> Iterator[tuple[Cell, str]]:
    """Runs the cells, `jobs` at a time, and yields each with its outcome as it ends."""
    waiting = [cell for cell in cells if not is_done(run / cell.folder, protocol)]
    for cell in cells:
        if cell not in waiting:
            yield cell, "done"
    if jobs == 1 or len(waiting) <= 1:
        for cell in waiting:
            yield cell, run_cell(run, cell, protocol, options)
        return
    while waiting:
        pool = joblib.Parallel(jobs, backend="loky", return_as="generator_unordered", batch_size=1)
        ended: list[Cell] = []
        try:
            for cell, outcome in pool(joblib.delayed(_named)(run, c, protocol, options) for c in waiting):
                ended.append(cell)
                yield cell, outcome
            return
        except joblib.externals.loky.process_executor.TerminatedWorkerError:
            # a worker was killed: the cells at work then are failed, by the lock they no longer hold
            waiting = [cell for cell in waiting if cell not in ended]
            for cell in list(waiting):
                folder = run / cell.folder
                with store.locked(folder) as ours:
                    if ours and store.status(folder)["state"] == "running":
                        reason = {"type": "WorkerDied", "message": "the worker process was killed"}
                        Report(folder, int(cell.config["steps"])).finish("failed", reason)
                        waiting.remove(cell)
                        yield cell, "failed"


def _named(run: Path, cell: Cell, protocol: Protocol, options: Options) -> tuple[Cell, str]:
    return cell, in_worker(run, cell, protocol, options)


def rows(run: Path) -> list[dict[str, Any]]:
    """One row per cell and metric for the leaderboard; a failed cell has its rows too, with its reason."""
    from disbench.benchmark import protocols

    found = []
    for cell, folder in store.cells(run):
        state = store.status(folder)
        entries = store.read_json(folder / "scores.json")
        if not isinstance(entries, list):
            entries = [scoring.pending(choice) for choice in protocols.get(cell.protocol).metrics]
        for entry in entries:
            error = state.get("error", {}).get("message")
            found.append(
                {
                    "dataset": f"{cell.dataset['name']}-{cell.dataset['size']}",
                    "protocol": cell.protocol,
                    "method": cell.method,
                    "variant": cell.variant,
                    "settings": cell.folder.parts[0].rpartition("-")[2],
                    "metric": entry["metric"],
                    "preset": entry["label"],
                    "seed": cell.seed,
                    "score": entry["score"],
                    "state": state["state"],
                    "reason": error or entry.get("reason"),
                    "higher_is_better": entry.get("higher_is_better", True),
                    "folder": str(folder.relative_to(run)),
                }
            )
    return found
