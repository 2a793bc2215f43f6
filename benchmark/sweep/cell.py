"""Trains, scores and draws a cell, or several that train fused, and keeps their folders up to date.

Another sweep in the same folder skips a finished cell, resumes a stopped one from its last saved state, and
leaves a failed one alone unless `retry_failed` is set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import os
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from disbench import models, plugins, units
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.protocols import Protocol, digests
from disbench.benchmark.runs import codes, pictures, store
from disbench.benchmark.runs.codes import KeptCodes
from disbench.benchmark.runs.environment import environment
from disbench.benchmark.runs.store import Cell, CellFile, Failure, Journal, Status
from disbench.benchmark.scoring import scoring, sides
from disbench.benchmark.scoring.entries import ScoreEntry, answer, merged
from disbench.benchmark.scoring.plans import BY_COST, chosen
from disbench.benchmark.sweep import memory, mending, output, plan
from disbench.benchmark.sweep.plan import Options
from disbench.benchmark.sweep.saving import Saver, load_state, saved_step
from disbench.benchmark.training import strategies
from disbench.benchmark.training.gpu import Tuning, resident
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.benchmark.training.trainer import DivergedError, Trainer, use_one_core
from disbench.errors import UsageError, argument
from disbench.files import Json, disk_is_full, lacking, not_linked, now, unwritable
from disbench.models.checkpoint import Checkpoint, save_checkpoint
from disbench.models.method import Config, Method
from disbench.texts import clean_lines, short

# seconds between two writings of a status, and between two looks for a stop file
WRITE_EVERY, ASK_EVERY = 1.0, 0.1
# letters of an error that are kept: code may raise one of any length
MOST_TOLD = 4000


def run_group(run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options) -> list[str]:
    """Trains and scores cells that differ in their seed alone; an error of a cell is its outcome.

    Several cells train fused, in one program, if they are at the same step; otherwise one group follows the
    other.

    Args:
        run: folder of the run.
        cells: the cells.
        protocol: their protocol.
        options: how they are trained.

    Returns:
        Per cell "done", "trained" (of the stage "train"), "failed", "full" (failed because the disk is full),
        "stopped", or "busy" (another process trains it).
    """
    outcomes: dict[Cell, str] = {}
    for path in options.plugins:
        # what this process runs stays what was planned, though the file is edited meanwhile
        if path not in plugins.files():
            plugins.load(path)
    with contextlib.ExitStack() as locks:
        ready: dict[int, list[Cell]] = {}
        for cell in cells:
            try:
                settled = triage(run, cell, protocol, options, locks)
                if settled:
                    outcomes[cell] = settled
                elif options.asked_to_stop():
                    outcomes[cell] = "stopped"
                else:
                    ready.setdefault(saved_step(run / cell.folder), []).append(cell)
            except (UsageError, OSError) as error:
                # a file that cannot be read, or a folder that cannot be written, fails this cell alone
                outcomes |= Group(run, [cell], protocol, options).failed(error)
        waiting = deque(ready.values())
        while waiting:
            together = waiting.popleft()
            group = Group(run, together, protocol, options)
            try:
                outcomes |= group.run()
            except OSError as error:
                # not even a status can be written
                outcomes |= group.failed(error)
            except (MemoryError, RuntimeError) as error:
                # nor a thread be started that watches the memory
                if (sentence := lacking(error)) is None:
                    raise
                outcomes |= group.failed(sentence)
            # those that did not fit into the memory of a GPU
            half = -(-len(group.going()) // 2)
            for start in range(0, len(group.going()), max(half, 1)):
                waiting.append(group.going()[start : start + half])
    return [outcomes[cell] for cell in cells]


def triage(run: Path, cell: Cell, protocol: Protocol, options: Options, locks: contextlib.ExitStack) -> str:
    """Locks a cell and makes its folder ready.

    Args:
        run: folder of the run.
        cell: the cell.
        protocol: its protocol.
        options: how it is trained.
        locks: takes the lock.

    Returns:
        "busy", "done" or "failed" if there is nothing to do, otherwise "".

    Raises:
        UsageError, OSError: its folder cannot be used.
    """
    folder = run / cell.folder
    if not locks.enter_context(store.hold(folder)):
        return "busy"
    if cell.plugin and (here := plugins.source("methods", cell.method)) != cell.plugin:
        raise UsageError(
            f"the plug-in of {cell.method} changed after the run began: it was {cell.plugin}, and is {here}; "
            "run the command again for the code as it is now."
        )
    store.tidy(folder)
    # a process that was killed left it empty, or as long as it was
    output.shorten(folder)
    mending.renew(folder)
    if options.retry_failed and not is_whole(folder, protocol):
        mending.mend(folder)
    # whatever else such a cell has, it is not done
    store.check_described(folder)
    store.check_checkpoint(folder)
    if store.is_done(folder, protocol, options.retry_failed):
        # a process may have been killed before it wrote that
        if Status.read(folder).state != "done":
            StatusFile(folder, cell.steps).finish("done")
        return "done"
    return "failed" if Status.read(folder).state == "failed" and not options.retry_failed else ""


def is_whole(folder: Path, protocol: Protocol) -> bool:
    """Whether a cell is done and can be shown, as far as its files tell.

    Raises:
        UsageError: its folder is a link.
    """
    for path in (folder.parent, folder):
        not_linked(path)
    return not store.told(lambda: store.check_described(folder), None)[1] and store.is_done(folder, protocol)


class Group:
    """Cells that train together: one, or several that differ in their seed alone.

    Args:
        run: folder of the run.
        cells: the cells.
        protocol: their protocol.
        options: how they are trained.
    """

    def __init__(self, run: Path, cells: Sequence[Cell], protocol: Protocol, options: Options) -> None:
        self.cells, self.protocol, self.options = list(cells), protocol, options
        self.folders = {cell: run / cell.folder for cell in cells}
        self.peak = memory.Peak()
        self.files = {c: StatusFile(self.folders[c], c.steps, self.peak) for c in cells}
        self.outcomes: dict[Cell, str] = {}

    def run(self) -> dict[Cell, str]:
        """Trains and scores the cells; returns the outcome of each."""
        with contextlib.ExitStack() as around:
            around.enter_context(self.peak)
            # a process that was started for this, and whose output is nobody's
            if self.options.parent is not None:
                around.enter_context(output.captured(self.folders[self.cells[0]]))
            self.work()
        return self.outcomes

    @property
    def caught(self) -> tuple[type[BaseException], ...]:
        """What code of a method or a metric may raise; in a process of its own Ctrl-C is none of ours."""
        return (Exception, SystemExit) if self.options.parent is None else (BaseException,)

    def work(self) -> None:
        """Trains all cells, then scores one after the other."""
        use_one_core()
        device, too_much = torch.device(self.options.device), ""
        try:
            for cell in self.cells:
                if self.options.stage != "score":
                    made_by = environment(self.options.device, self.options.tuning.precision, self.way)
                    plan.check_continued(self.folders[cell], made_by.get("kernels"))
                    self.described(cell, made_by).write(self.folders[cell])
                self.files[cell].update("preparing", self.files[cell].step)
            data = self.cells[0].dataset.load(self.options.data_dir)
            self.sign(data)
            self.train(data, device)
        except torch.OutOfMemoryError as error:
            too_much = short(error)
        except StoppedError:
            for cell in self.going():
                self.end(cell, "stopped")
        except self.caught as error:
            # an error of one group, or a method that ends the program, must not end the others
            for cell in self.going():
                self.fail(cell, error)
        if too_much:
            # only here does nothing hold the memory of the training any more
            self.make_room(device, too_much)
            return
        for cell in self.going():
            self.files[cell].write_running("scoring", cell.steps)
        for cell in self.going():
            try:
                if self.options.stage == "train":
                    self.encode(cell, data, device)
                    self.outcomes[cell] = "trained"
                    continue
                self.score(cell, data, device)
                self.end(cell, "done")
            except StoppedError:
                self.end(cell, "stopped")
            except self.caught as error:
                self.fail(cell, error)

    def described(self, cell: Cell, made_by: Mapping[str, str | None]) -> CellFile:
        """The cell.json of a seed that begins; one that goes on keeps the digest and the protocol it has.

        One that is trained keeps what trained it, whatever scores it now.
        """
        folder = self.folders[cell]
        file = CellFile(cell, made_by, self.options.device, together=len(self.cells))
        before = CellFile.read(folder)
        if before is None or not store.has_begun(folder):
            return file
        if before.environment and (folder / "checkpoint.pt").exists():
            file = before
        changed = cell.changed if before.cell.changed is None else before.cell.changed
        return dataclasses.replace(
            file,
            cell=dataclasses.replace(before.cell, changed=changed),
            digest=before.digest,
            asked=before.asked,
        )

    def sign(self, data: Dataset) -> None:
        """Notes what decides the models that begin, and compares it with what those that go on began with.

        What they are to be scored by is noted, too: one that fails has no scores, which would tell.

        Raises:
            UsageError: a seed was begun with other nets, data or settings behind the same names.
        """
        left = [cell for cell in self.cells if not (self.folders[cell] / "checkpoint.pt").exists()]
        if self.options.stage == "score" or not left:
            return
        cell = left[0]
        digest = digests.of_training(
            cell.method, configured(cell), data.info, cell.dataset.sha256, cell.plugin
        )
        asked: list[Json] = [ScoreEntry.pending(choice).plain() for choice in chosen(self.protocol, data)]
        for cell in left:
            folder = self.folders[cell]
            file = CellFile.read(folder)
            # it was written a moment ago
            assert file is not None
            if store.has_begun(folder) and file.digest not in ("", digest):
                raise UsageError(
                    f"{folder} was begun with other nets, or with a method of another version (digest "
                    f"{file.digest}, now {digest}); use the disbench that began it, or give another folder "
                    f"with {argument('out')}."
                )
            # of one that was begun before digests were, it is not known what began it
            known = file.digest if store.has_begun(folder) else digest
            if (file.digest, file.asked) != (known, asked):
                dataclasses.replace(file, digest=known, asked=asked).write(folder)

    @property
    def way(self) -> str:
        """How the cells train together, in words."""
        n, tuning = len(self.cells), self.options.tuning
        first, device = self.cells[0], torch.device(self.options.device).type
        strategy = strategies.choose(n, tuning, first.method, device, first.dataset.size)
        together = f"{n} seeds {strategy.TOGETHER}" if n > 1 else "one seed"
        extras = [name for name in ("graph", "deterministic") if getattr(tuning, name)]
        return ", ".join([together, *extras])

    def make_room(self, device: torch.device, why: str) -> None:
        """After a group that was too large: one seed fails, several go on in halves, and that is said."""
        resident.cache_clear()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        going = self.going()
        if len(going) == 1:
            self.fail(going[0], UsageError(too_large(going[0], device, why)))
            return
        warnings.warn(
            f"{len(going)} seeds of {going[0].label} need more than {memory_of(device)}; they go on "
            f"{-(-len(going) // 2)} at a time ({argument('fuse')} sets how many).",
            stacklevel=2,
        )

    def going(self) -> list[Cell]:
        """The cells without an outcome."""
        return [cell for cell in self.cells if cell not in self.outcomes]

    def end(self, cell: Cell, outcome: str, why: Failure | None = None) -> None:
        """Notes an outcome and writes it."""
        self.outcomes[cell] = outcome
        self.files[cell].finish(outcome, why)

    def failed(self, error: OSError | UsageError) -> dict[Cell, str]:
        """Fails the cells without an outcome; returns the outcome of each."""
        for cell in self.going():
            self.fail(cell, error)
        return self.outcomes

    def fail(self, cell: Cell, error: BaseException) -> None:
        """Notes an error as outcome and writes it, if the disk has room."""
        try:
            self.end(cell, "failed", failure(error, self.folders[cell]))
        except OSError:
            # there is no room even for the reason
            self.outcomes[cell] = "failed"
        if disk_is_full(error):
            self.outcomes[cell] = "full"

    def train(self, data: Dataset, device: torch.device) -> None:
        """Writes a checkpoint for every cell that does not diverge."""
        cells = [cell for cell in self.cells if not (self.folders[cell] / "checkpoint.pt").exists()]
        if not cells:
            # left by a process that was killed between checkpoint and removal
            for folder in self.folders.values():
                (folder / "state.pt").unlink(missing_ok=True)
            return
        seeds = [cell.seed for cell in cells]
        trainer, _ = set_up(cells[0], seeds, data, device, self.options.tuning)
        states = [self.folders[cell] / "state.pt" for cell in cells]
        if states[0].exists() and not self.restored(trainer, states):
            trainer, _ = set_up(cells[0], seeds, data, device, self.options.tuning)
        journals = [Journal(self.folders[cell] / "metrics.jsonl", trainer.step) for cell in cells]

        saver, report = Saver(states, self.options.save_every), Report([self.files[cell] for cell in cells])
        report.update(trainer.step)
        try:
            failed = trainer.run(
                cells[0].steps,
                log=lambda i, line: journals[i].append(line),
                progress=report.update,
                due=saver.due,
                save=saver.save,
                stop=Seldom(self.options.asked_to_stop),
            )
        finally:
            report.end()
            saver.wait()
        trained = trainer.states()
        for i, cell in enumerate(cells):
            if i in failed:
                self.fail(cell, failed[i])
                continue
            checkpoint = Checkpoint(
                method=cell.method,
                config=dict(cell.config),
                shape=data.info.shape,
                n=data.info.n,
                class_prior=data.info.class_prior,
                dataset=cell.dataset.plain(),
                protocol=cell.protocol,
                variant=cell.variant,
                seed=cell.seed,
                step=trainer.step,
                weights=trained[i].weights,
                plugin=cell.plugin,
            )
            # they belong to a checkpoint that was deleted
            for name in ("codes.npz", "scores.json"):
                (self.folders[cell] / name).unlink(missing_ok=True)
            save_checkpoint(checkpoint, self.folders[cell] / "checkpoint.pt")
            states[i].unlink(missing_ok=True)

    def restored(self, trainer: Trainer, states: Sequence[Path]) -> bool:
        """Whether training goes on from saved states; if not, they are set aside, and it begins again.

        Raises:
            UsageError: they do not fit, and failed seeds are not tried again.
        """
        try:
            trainer.restore([load_state(path) for path in states])
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            why = f"{states[0]} does not fit this seed ({short(error)}); {store.RETRY}."
            if not self.options.retry_failed:
                raise UsageError(why) from None
            for path in states:
                store.set_aside(path, why)
                store.set_aside(path.with_name("metrics.jsonl"), "it belongs to a state that does not fit")
            return False
        return True

    def goes_on(self, cell: Cell) -> Callable[..., None]:
        """Notes that the scoring of a cell goes on, whatever it is called with."""
        return lambda *work: self.files[cell].update("scoring", cell.steps)

    def source(self, cell: Cell, data: Dataset, device: torch.device) -> KeptCodes:
        """The codes of the saved checkpoint, not of the method in memory, which are saved too."""
        return codes.of_seed(
            self.folders[cell],
            cell.dataset,
            data,
            device,
            self.options.data_dir,
            lambda: resident(data, device).images if self.options.tuning.resident else None,
        )

    def encode(self, cell: Cell, data: Dataset, device: torch.device) -> None:
        """Saves all codes that the metrics need, so that another process computes them on a CPU."""
        source = self.source(cell, data, device)
        scoring.encode(source, data, chosen(self.protocol, data), BY_COST, self.goes_on(cell))

    def score(self, cell: Cell, data: Dataset, device: torch.device) -> None:
        """Scores and draws the saved checkpoint."""
        folder = self.folders[cell]
        self.files[cell].update("scoring", cell.steps)
        source = self.source(cell, data, device)
        goes_on = self.goes_on(cell)

        def stop() -> bool:
            goes_on()
            return self.options.asked_to_stop()

        choices = chosen(self.protocol, data)
        before = store.scores(folder) or []
        known = [entry for entry in before if not (self.options.retry_failed and entry.traceback)]
        left = [choice for choice in choices if not answer(known, [choice])]
        entries = sides.score(source, data, left, goes_on, draws=BY_COST, stop=stop, beside=True)
        # with scores, the pictures were drawn before the protocol changed
        if not (folder / "scores.json").exists():
            pictures.write_all(source.trained().method, data, device, folder)
        store.write_scores(folder, merged(before, entries, choices))


def configured(cell: Cell) -> Config:
    """The settings of a cell as its method takes them."""
    return models.restored(cell.method, cell.config, cell.config_name)


def set_up(
    cell: Cell, seeds: Sequence[int], data: Dataset, device: torch.device, tuning: Tuning
) -> tuple[Trainer, list[Method]]:
    """The trainer of these seeds of a training, fused if there are several, and their untrained methods."""
    config = configured(cell)
    methods = [models.build(cell.method, config, data.info, stream(seed, "weights")) for seed in seeds]
    strategy = strategies.choose(len(methods), tuning, cell.method, device.type, cell.dataset.size)
    return strategy(methods, data, seeds, device, tuning), methods


def memory_of(device: torch.device) -> str:
    """The memory of a device in words."""
    if device.type != "cuda":
        return "the memory"
    return f"the {units.memory(torch.cuda.get_device_properties(device).total_memory)} of the GPU"


def too_large(cell: Cell, device: torch.device, why: str) -> str:
    """The sentence for one seed that does not fit into the memory of a GPU."""
    return (
        f"one seed of {cell.label} needs more than {memory_of(device)} ({why}); give a smaller batch with "
        f"{argument('settings')}, a smaller {argument('size')}, or {argument('precision')} bf16."
    )


def failure(error: BaseException, folder: Path | None = None) -> Failure:
    """An error for a status file, with a traceback if it was not foreseen.

    Args:
        error: the error.
        folder: where it arose, if this process wrote there: an error of the system then names it.
    """
    name, message = type(error).__name__, clean_lines(error)[:MOST_TOLD]
    if isinstance(error, SystemExit):
        message = f"the code of a method or metric called sys.exit({message})"
    if isinstance(error, DivergedError):
        return Failure(name, message, step=error.step, term=error.term)
    if isinstance(error, OSError) and folder is not None:
        return Failure(name, str(unwritable(folder, error)))
    if isinstance(error, UsageError):
        return Failure(name, message)
    where = clean_lines("".join(traceback.format_exception(error)))
    return Failure(name, message, traceback=where[-10 * MOST_TOLD :])


class StatusFile:
    """Writes the status.json of a cell, at most once a second.

    Its seconds count all starts of the cell together, and so do those of training alone.

    Args:
        folder: folder of the cell.
        steps: how many steps it trains.
        peak: the memory of this process.
    """

    def __init__(self, folder: Path, steps: int, peak: memory.Peak | None = None) -> None:
        self.folder, self.steps, self.peak = folder, steps, peak
        before = Status.read(folder)
        self.seconds, self.training = before.seconds or 0.0, before.training or 0.0
        self.counted = self.written = time.monotonic()
        self.phase, self.step = "", before.step

    def update(self, phase: str, step: int) -> None:
        """Notes that the cell is running, at most once a second in one phase."""
        if phase != self.phase or time.monotonic() - self.written > WRITE_EVERY:
            self.write_running(phase, step)

    def write_running(self, phase: str, step: int, leader: str = "") -> None:
        """Writes that the cell is running; see `Status.leader`."""
        self.at(phase, step)
        self.written = time.monotonic()
        self._write("running", phase=phase, process=os.getpid(), leader=leader)

    def at(self, phase: str, step: int) -> None:
        """Notes how far the cell is, without writing it."""
        self._count()
        self.phase, self.step = phase, step

    def finish(self, state: str, error: Failure | None = None) -> None:
        """Writes "done", "stopped" or "failed"."""
        self._count()
        self._write(state, error=error)

    def _count(self) -> None:
        """Adds the seconds since the last call."""
        moment = time.monotonic()
        self.seconds += moment - self.counted
        if self.phase == "training":
            self.training += moment - self.counted
        self.counted = moment

    def _write(
        self,
        state: str,
        phase: str = "",
        process: int | None = None,
        leader: str = "",
        error: Failure | None = None,
    ) -> None:
        Status(
            state=state,
            phase=phase,
            process=process,
            leader=leader,
            error=error,
            step=self.step,
            steps=self.steps,
            seconds=round(self.seconds, 2),
            training=round(self.training, 2),
            peak_private_mb=self.peak.mb if self.peak else None,
            updated=now(),
        ).write(self.folder)


class Report:
    """The progress of a group in training: one file is written a second, to which those of the others lead.

    Args:
        files: the status files of its cells.
    """

    def __init__(self, files: Sequence[StatusFile]) -> None:
        self.files, self.step, self.written = files, files[0].step, -math.inf

    def update(self, step: int) -> None:
        """Notes a step that was taken."""
        self.step = step
        if time.monotonic() - self.written < WRITE_EVERY:
            return
        leader, *others = self.files
        if self.written == -math.inf:
            for file in others:
                file.write_running("training", step, leader.folder.name)
        leader.write_running("training", step)
        self.written = time.monotonic()

    def end(self) -> None:
        """Notes the last step for all."""
        for file in self.files:
            file.at("training", self.step)


class Seldom:
    """A question that is asked anew after a while only: its answer takes a look at the disk."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self.ask, self.asked = ask, -math.inf

    def __call__(self) -> bool:
        if time.monotonic() - self.asked < ASK_EVERY:
            return False
        self.asked = time.monotonic()
        return self.ask()
