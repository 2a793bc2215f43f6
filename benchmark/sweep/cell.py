"""Cells at work: one, or several that train fused, trained, scored and drawn, each folder kept up to date.

A sweep in the same folder goes on: a cell that is done is skipped, one that was stopped resumes at its last
saved state, and one that failed stays failed until it is asked for again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from disbench import models, plugins
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import pictures, store
from disbench.benchmark.runs.codes import KeptCodes
from disbench.benchmark.runs.environment import environment
from disbench.benchmark.runs.store import Cell, CellFile, Failure, Journal, Status
from disbench.benchmark.scoring import scoring
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.sweep import memory
from disbench.benchmark.sweep.plan import Options
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.benchmark.training.trainer import DivergedError, Fused, Single, State, use_one_core
from disbench.errors import UsageError
from disbench.files import disk_is_full, now, unwritable
from disbench.models.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)

STATE_KIND = "disbench training state"


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
                settled = triage(run, cell, protocol, options, locks)
                if settled:
                    outcomes[cell] = settled
                elif options.asked_to_stop():
                    outcomes[cell] = "stopped"
                else:
                    try:
                        ready.setdefault(saved_step(folder), []).append(cell)
                    # a saved state that cannot be read is this cell's trouble alone
                    except UsageError as error:
                        group = Group(run, [cell], protocol, options)
                        group.fail(cell, error)
                        outcomes |= group.outcomes
            for together in ready.values():
                outcomes |= Group(run, together, protocol, options).run()
    # not even a cell's own folder can be written
    except OSError as error:
        if not disk_is_full(error):
            raise unwritable(run, error) from None
        outcomes |= {cell: "full" for cell in cells if cell not in outcomes}
    return [outcomes[cell] for cell in cells]


def triage(run: Path, cell: Cell, protocol: Protocol, options: Options, locks: contextlib.ExitStack) -> str:
    """Holds a cell and makes its folder ready.

    Returns:
        "busy", "done" or "failed" where there is nothing to do, else "".
    """
    folder = run / cell.folder
    if not locks.enter_context(store.hold(folder)):
        return "busy"
    store.tidy(folder)
    if store.is_done(folder, protocol):
        # a process may have been killed just before it said so
        if Status.read(folder).state != "done":
            StatusFile(folder, cell.steps).finish("done")
        return "done"
    return "failed" if Status.read(folder).state == "failed" and not options.retry_failed else ""


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
        self.files = {c: StatusFile(self.folders[c], c.steps, self.peak) for c in cells}
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
                made_by = environment(self.options.device, self.options.tuning.precision)
                file = CellFile(cell, made_by, self.options.device, together=len(self.cells))
                file.write(self.folders[cell])
                self.files[cell]("preparing", self.files[cell].step)
            data = self.cells[0].dataset.load(self.options.data_dir)
            self.train(data, device)
        except StoppedError:
            for cell in self.going():
                self.end(cell, "stopped")
        # an error of one group must not end the others
        except Exception as error:
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

    def end(self, cell: Cell, outcome: str, why: Failure | None = None) -> None:
        self.outcomes[cell] = outcome
        self.files[cell].finish(outcome, why)

    def fail(self, cell: Cell, error: Exception) -> None:
        try:
            self.end(cell, "failed", failure(error, self.folders[cell]))
        # no room even for the reason: the caller tells it
        except OSError:
            self.outcomes[cell] = "failed"
        if disk_is_full(error):
            self.outcomes[cell] = "full"

    def train(self, data: Dataset, device: torch.device) -> None:
        """Leaves a checkpoint for every cell that does not diverge."""
        cells = [cell for cell in self.cells if not (self.folders[cell] / "checkpoint.pt").exists()]
        if not cells:
            # left by a process that was killed between the two
            for folder in self.folders.values():
                (folder / "state.pt").unlink(missing_ok=True)
            return
        info, first = data.info, cells[0]
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
                self.files[cell]("training", step)

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
                dataset=cell.dataset.plain(),
                protocol=cell.protocol,
                variant=cell.variant,
                seed=cell.seed,
                step=trainer.step,
                weights=trainer.state(i).weights,
                plugin=cell.plugin,
            )
            # those of a checkpoint that was deleted
            for name in ("codes.npz", "scores.json"):
                (self.folders[cell] / name).unlink(missing_ok=True)
            save_checkpoint(checkpoint, self.folders[cell] / "checkpoint.pt")
            states[i].unlink(missing_ok=True)

    def score(self, cell: Cell, data: Dataset, device: torch.device) -> None:
        """Scores and draws what was saved, not what is in memory; the codes are kept."""
        folder = self.folders[cell]
        self.files[cell]("scoring", cell.steps)

        @functools.cache
        def trained() -> Trained:
            method = load_checkpoint(folder / "checkpoint.pt").build(device)
            return Trained(method, data, device, self.options.data_dir)

        source = KeptCodes(folder / "codes.npz", cell.dataset, data, trained)
        stop = self.options.asked_to_stop
        entries = scoring.score(source, data, self.protocol.metrics, stop=stop)
        # where there are scores, they were drawn before the protocol changed
        if not (folder / "scores.json").exists():
            pictures.write_all(trained().method, data, device, folder)
        store.write_scores(folder, entries)


def data_info(data: Dataset) -> models.DataInfo:
    prior = None if data.labels is None else tuple(float(share) for share in data.class_prior)
    return models.DataInfo(data.shape, len(data), prior)


def failure(error: BaseException, folder: Path) -> Failure:
    """An error as a status file tells it; with a traceback where nobody foresaw it."""
    name, message = type(error).__name__, str(error)
    if isinstance(error, DivergedError):
        return Failure(name, message, step=error.step, term=error.term)
    if isinstance(error, OSError):
        return Failure(name, str(unwritable(folder, error)))
    if isinstance(error, UsageError):
        return Failure(name, message)
    return Failure(name, message, traceback="".join(traceback.format_exception(error)))


class StatusFile:
    """Keeps a cell's status.json up to date, once a second at most.

    Seconds are those of all starts of the cell together; "training" are those of its training alone.
    """

    def __init__(self, folder: Path, steps: int, peak: memory.Peak | None = None) -> None:
        self.folder, self.steps, self.peak = folder, steps, peak
        before = Status.read(folder)
        self.seconds, self.training = before.seconds or 0.0, before.training or 0.0
        self.looked = self.written = time.monotonic()
        self.phase, self.step = "", before.step

    def __call__(self, phase: str, step: int) -> None:
        self._look()
        self.step = step
        if phase != self.phase or time.monotonic() - self.written > 1.0:
            self.phase, self.written = phase, time.monotonic()
            self._write("running", phase=phase, process=os.getpid())

    def finish(self, state: str, error: Failure | None = None) -> None:
        self._look()
        self._write(state, error=error)

    def _look(self) -> None:
        at = time.monotonic()
        self.seconds += at - self.looked
        if self.phase == "training":
            self.training += at - self.looked
        self.looked = at

    def _write(
        self, state: str, phase: str = "", process: int | None = None, error: Failure | None = None
    ) -> None:
        Status(
            state=state,
            phase=phase,
            process=process,
            error=error,
            step=self.step,
            steps=self.steps,
            seconds=round(self.seconds, 2),
            training=round(self.training, 2),
            peak_private_mb=self.peak.mb if self.peak else None,
            updated=now(),
        ).write(self.folder)
