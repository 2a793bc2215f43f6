"""What `disbench bench host` measures: what a step of many seeds costs beside its arithmetic."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from disbench import models
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.runs.store import Journal
from disbench.benchmark.sweep.cell import Report, Seldom, StatusFile
from disbench.benchmark.sweep.saving import Saver
from disbench.benchmark.training.gpu import Losses, Resident, Tuning
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.benchmark.training.strategies import Fused
from disbench.benchmark.training.trainer import Monitored

BATCH = 2  # images a step: their arithmetic takes next to no time


class Idle(Fused):
    """Seeds that train together in a recorded step, but for the step: only what Python does for it."""

    def advance(self) -> Losses:
        source = self.source
        assert isinstance(source, Resident)
        source.upload(self.begin(self.step))
        self.step += 1
        return ["loss.none"], torch.zeros(1, len(self.seeds))

    def monitor(self) -> list[Monitored]:
        return [{} for _ in self.seeds]


@dataclass(frozen=True)
class HostCost:
    """CPU milliseconds of a step.

    Attributes:
        begin: row numbers and streams of random numbers of all seeds, all that a recorded step needs.
        books: the training loop with status files, journals and the look for a stop file, beside `begin`.
        noise: noise drawn seed by seed with images of `BATCH`, for a step that is not recorded.
    """

    begin: float
    books: float
    noise: float


def host(name: str, config: str, data: Dataset, seeds: int, device: torch.device, seconds: float) -> HostCost:
    """Measures what a step of so many seeds costs the host.

    Args:
        name: of the method.
        config: its named config.
        data: the data set.
        seeds: how many train together.
        device: where the noise is drawn.
        seconds: length of each of the three measurements.
    """
    settings = models.configure(name, config, {"batch": str(BATCH)})
    built = [models.build(name, settings, data.info, stream(seed, "weights")) for seed in range(seeds)]
    trainer = Idle(built, data, range(seeds), device, Tuning(resident=True, graph=True))
    begin = _milliseconds(trainer.advance, seconds)
    noise = _milliseconds(lambda: (trainer.begin(trainer.step), trainer.noise()), seconds) - begin
    with tempfile.TemporaryDirectory(prefix="disbench-") as folder:
        whole = _loop(trainer, Path(folder), int(settings.steps), seconds)
    return HostCost(begin, max(whole - begin, 0.0), max(noise, 0.0))


def _milliseconds(work: Callable[[], object], seconds: float) -> float:
    """CPU milliseconds of a call."""
    work()
    calls, started, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        work()
        calls += 1
    return 1e3 * (time.process_time() - cpu) / calls


def _loop(trainer: Idle, folder: Path, steps: int, seconds: float) -> float:
    """CPU milliseconds of a step of the training loop, as a group of a sweep runs it."""
    folders = [folder / f"seed-{seed}" for seed in trainer.seeds]
    journals = [Journal(each / "metrics.jsonl", 0) for each in folders]
    report = Report([StatusFile(each, steps) for each in folders])
    saver = Saver([each / "state.pt" for each in folders], every=60.0)
    stop_file, asked = Seldom((folder / "stop").exists), 0.0
    first, started, cpu = trainer.step, time.perf_counter(), time.process_time()

    def stop() -> bool:
        nonlocal asked
        over = stop_file() or time.perf_counter() - started > seconds
        if over and not asked:
            asked = (time.process_time() - cpu) / (trainer.step - first)
        return over

    with contextlib.suppress(StoppedError):
        trainer.run(
            trainer.step + max(steps, 200),
            log=lambda i, line: journals[i].append(line),
            progress=report.update,
            due=saver.due,
            save=lambda states: None,
            stop=stop,
        )
    saver.wait()
    return 1e3 * (asked or (time.process_time() - cpu) / (trainer.step - first))
