"""Scores trained seeds by further metrics: from their kept codes, and from the models only where these lack.

Nothing is trained, and a seed's status and its other scores stay. What is scored already is skipped, so that
the same command goes on after a stop.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from disbench import plugins
from disbench.benchmark import protocols
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import codes, rows, store
from disbench.benchmark.runs.store import Cell, Record
from disbench.benchmark.scoring import sides
from disbench.benchmark.scoring.encoded import Progress
from disbench.benchmark.scoring.entries import ScoreEntry, answer, merged
from disbench.benchmark.scoring.plans import BY_COST, chosen
from disbench.benchmark.sweep import workers
from disbench.benchmark.training.gpu import choose_device
from disbench.benchmark.training.trainer import use_one_core
from disbench.errors import UsageError, argument
from disbench.files import disk_is_full

OUTCOMES = ("scored", "known", "busy")


@dataclass(frozen=True)
class Task:
    """A seed to score.

    Attributes:
        folder: of the seed.
        cell: what was trained there.
        choices: the metrics; none for those of the protocol.
        device: "cpu" or a GPU, for a model whose codes are missing.
        data_dir: folder of the data sets.
        plugins: files that a worker loads.
    """

    folder: Path
    cell: Cell
    choices: tuple[MetricChoice, ...]
    device: str
    data_dir: Path | None
    plugins: tuple[Path, ...]


def check_jobs(jobs: int) -> None:
    """Raises UsageError for a number of seeds at a time that there cannot be."""
    if jobs < 0:
        raise UsageError(f"{argument('jobs')} {jobs} was given; give 1 or more, or 0 for one per core.")


def rescore(
    run: Path,
    choices: Sequence[MetricChoice] = (),
    jobs: int = 1,
    device: str = "cpu",
    data_dir: Path | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
    progress: Progress | None = None,
) -> Counter[str]:
    """Scores all trained seeds of a run by metrics that they have no score of.

    Args:
        run: its folder.
        choices: the metrics; none for those of each seed's protocol.
        jobs: seeds at a time; 0 for one per core.
        device: "auto", "cpu" or "cuda", for models whose codes are missing.
        data_dir: folder of the data sets; None for the default.
        tell: is called with a sentence about each metric without a score, and about what is not scored.
        progress: is called after each seed.

    Returns:
        How many seeds are "scored", "known" (there was nothing to do) or "busy" (another process has them).

    Raises:
        UsageError: no such number of jobs, no seed is trained, the data set of a seed is not here, or nothing
            can be written.
    """
    check_jobs(jobs)
    records = store.records(run)
    trained = [record for record in records if record.status.state == "done"]
    if not trained:
        raise rows.no_seeds(run, (), "trained seeds")
    for sentence in records.sentences:
        tell(sentence)
    store.check_writable(run)
    if len(trained) < len(records):
        tell(f"{len(records) - len(trained)} seeds are not trained, and not scored")
    where = choose_device(device)
    for about in dict.fromkeys(record.cell.dataset for record in trained):
        _data(about, data_dir)
    tasks = [_task(record, tuple(choices), where, data_dir) for record in trained]
    outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
    for task, outcome, failed in _ended(tasks, jobs or joblib.cpu_count()):
        outcomes[outcome] += 1
        if progress:
            progress("seeds scored", outcomes.total(), len(tasks))
        for reason in failed:
            tell(f"{task.cell.label} seed {task.cell.seed}, without a score: {reason}")
    return outcomes


def _task(record: Record, choices: tuple[MetricChoice, ...], device: str, data_dir: Path | None) -> Task:
    return Task(record.folder, record.cell, choices, device, data_dir, plugins.files())


def _ended(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str, list[str]]]:
    """Each task with its outcome and the reasons of missing scores, as they end."""
    if jobs == 1 or len(tasks) == 1:
        for task in tasks:
            yield (task, *score_seed(task))
        return
    pool = workers.pool(min(jobs, len(tasks)))
    try:
        with workers.starting():
            running = {pool.submit(score_seed, task): task for task in tasks}
        for ended in as_completed(running):
            yield (running[ended], *ended.result())
    except TerminatedWorkerError:
        raise UsageError(
            "a worker was killed (out of memory?) while it scored; the scores of the other seeds are kept. "
            f"Repeat the command with fewer {argument('jobs')}."
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


def score_seed(task: Task) -> tuple[str, list[str]]:
    """Scores one seed; its outcome, see `rescore`, and the reason of each score that it has not.

    An error of the seed, such as codes that are missing with their model, is the reason of each metric.
    """
    for path in task.plugins:
        plugins.load(path)
    with store.hold(task.folder) as ours:
        if not ours:
            return "busy", []
        protocol = protocols.of_record(task.cell.protocol)
        of_protocol = chosen(protocol, _data(task.cell.dataset, task.data_dir))
        before = store.scores(task.folder) or []
        known = [entry for entry in before if entry.score is not None]
        left = [choice for choice in task.choices or of_protocol if not answer(known, [choice])]
        if not left:
            return "known", []
        try:
            entries = _scored(task, left)
        except (Exception, SystemExit) as error:
            if disk_is_full(error):
                raise
            entries = [ScoreEntry.failed(choice, error) for choice in left]
        store.write_scores(task.folder, merged(before, entries, (*of_protocol, *task.choices)))
    return "scored", [str(entry.why()) for entry in entries if entry.score is None]


def _scored(task: Task, choices: Sequence[MetricChoice]) -> list[ScoreEntry]:
    use_one_core()
    data = _data(task.cell.dataset, task.data_dir)
    device = torch.device(task.device)
    source = codes.of_seed(task.folder, task.cell.dataset, data, device, task.data_dir)
    return sides.score(source, data, choices, draws=BY_COST, beside=True)


@functools.lru_cache(maxsize=2)
def _data(about: DataRef, data_dir: Path | None) -> Dataset:
    return about.load(data_dir)
