"""The sweep as a function: what `disbench.run(...)` and the command of that name call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import joblib

from disbench import models, plugins
from disbench.benchmark import datasets, progress, protocols, scoring, store, sweep
from disbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

Names = str | Sequence[str]
PathLike = str | Path


@dataclass(frozen=True)
class Run:
    """A run's folder: what was trained there, and how it scored.

    Attributes:
        path: the folder.
        outcomes: how many seeds of the last call are "done", "failed", "stopped", "busy" (another process is
            at them) or "full" (the disk was). All 0 for a run that was only opened.
        interrupted: whether Ctrl-C or SIGTERM stopped the last call.
    """

    path: Path
    outcomes: Mapping[str, int] = field(default_factory=Counter)
    interrupted: bool = False

    def __post_init__(self) -> None:
        store.check_run(self.path)

    def scores(self) -> pd.DataFrame:
        """One row per seed and metric, failed seeds included, with the settings of each."""
        from disbench import leaderboards
        from disbench.benchmark import records

        return leaderboards.scores(records.rows(self.path))

    def leaderboard(self) -> pd.DataFrame:
        """One row per method, settings, metric and preset: n, failed, mean, IQM, interval, best, worst."""
        from disbench import leaderboards

        return leaderboards.leaderboard(self.scores())

    def status(self) -> pd.DataFrame:
        """One row per seed: method, seed, state (done, running, stopped or failed) and, if it failed, why."""
        import pandas as pd

        from disbench.benchmark import records

        rows = []
        for cell, folder in store.cells(self.path):
            state = records.standing(folder)
            failed = state == "failed"
            error = store.status(folder).get("error", {}).get("message", "") if failed else ""
            rows.append({"method": cell.label, "seed": cell.seed, "state": state, "error": error})
        return pd.DataFrame(rows, columns=["method", "seed", "state", "error"])

    def checkpoints(self) -> list[Path]:
        """Of the seeds that are trained, sorted by method and seed."""
        found = [folder / "checkpoint.pt" for _, folder in store.cells(self.path)]
        return [path for path in found if path.is_file()]


def run(
    methods: Names,
    *,
    seeds: int | Iterable[int] = 1,
    protocol: str = "mini",
    dataset: Names | None = None,
    size: int | None = None,
    config: str | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    variants: Names = (),
    out: PathLike = "runs/default",
    device: str = "auto",
    jobs: int = 0,
    fuse: int = 0,
    data_dir: PathLike | None = None,
    retry_failed: bool = False,
    plugin: PathLike | Sequence[PathLike] = (),
    console: Console | None = None,
) -> Run:
    """Trains and scores methods over seeds. Called again with the same folder, it goes on where it stopped.

    Call it from the main thread: the first Ctrl-C stops after the step at hand and saves, and what was done
    stays done.

    Args:
        methods: one or several names, see `disbench.models.names()`.
        seeds: how many (32 is seeds 0 to 31), or which.
        protocol: fixes data set, image size, networks, budget and metrics.
        dataset: one or several, instead of the protocol's.
        size: pixels a side; else the protocol's, else the data set's.
        config: another named config than the protocol's.
        settings: changes to the methods' settings, such as {"betavae": {"beta": 6}}.
        variants: names of variants of the methods, or "all".
        out: the run's folder.
        device: "auto", "cpu" or "cuda".
        jobs: seeds trained at a time, one thread each; 0 is one per core.
        fuse: seeds trained in one program; 0 is all on a GPU, one on a CPU.
        data_dir: where data sets are kept; else $DISBENCH_DATA, else the user's cache folder.
        retry_failed: train failed seeds again.
        plugin: Python files with methods, metrics or data sets.
        console: where to tell what happens; by default nowhere.

    Raises:
        UsageError: an unknown name, a setting that does not fit, data that are not here, a folder that
            cannot be written, a full disk. A seed that fails does not raise: see `Run.outcomes`.
    """
    from rich.console import Console

    for path in _several(plugin):
        plugins.load(path)
    console = console or Console(quiet=True)
    chosen, out = [str(name) for name in _several(methods)], Path(out)
    numbers = _seeds(seeds)
    for option, value, usual in (("jobs", jobs, "one per core"), ("fuse", fuse, "the default")):
        if value < 0:
            raise UsageError(f"--{option} {value} was given; give 1 or more, or 0 for {usual}.")
    folder = None if data_dir is None else Path(data_dir)
    setting = protocols.get(protocol)
    where = sweep.choose_device(device)
    entries = sweep.entries(setting, chosen, settings or {}, [str(v) for v in _several(variants)], config)
    data = [
        datasets.load(name, size=size or sweep.usual_size(name, setting), data_dir=folder)
        for name in dict.fromkeys(str(name) for name in _several(dataset or setting.dataset))
    ]
    for loaded in data:
        scoring.check_classifier(loaded, setting.metrics, folder)
    store.open_run(out)
    cells = sweep.plan(setting, entries, numbers, data)
    jobs = jobs or (1 if where == "cuda" else joblib.cpu_count())
    fuse = fuse or (len(numbers) if where == "cuda" else 1)
    _say(
        console,
        f"{', '.join(chosen)} x {len(numbers)} seeds on "
        f"{', '.join(f'{d.name} {d.shape[1]}x{d.shape[2]}' for d in data)}, "
        f"protocol {protocol} ({setting.summary}), {where}, {min(jobs, len(cells))} at a time, in {out}",
    )
    outcomes: Counter[str] = Counter()
    with sweep.stoppable(out) as (stop_file, stopped):
        options = sweep.Options(where, folder, retry_failed, stop_file=stop_file)
        with progress.watched(out, cells, console) as tally:
            for cell, outcome in sweep.sweep(out, cells, setting, options, jobs, fuse):
                outcomes[outcome] += 1
                if outcome != "stopped":
                    tally.ended.add(cell.folder)
                if outcome in ("failed", "full"):
                    error = store.status(out / cell.folder).get("error", {})
                    why = error.get("message", "the disk is full")
                    _say(console, f"{cell.label} seed {cell.seed} failed: {why}")
        interrupted = stopped()
    if outcomes["full"] and not outcomes["done"]:
        raise UsageError(
            f"the disk that holds {out} is full; free some space and run again with --retry-failed."
        )
    return Run(out, outcomes, interrupted)


def load(
    checkpoint: PathLike, *, device: str = "cpu", plugin: PathLike | Sequence[PathLike] = ()
) -> models.Method:
    """A trained method, in evaluation mode: `represent(images)` gives codes, `generate(latents)` images.

    Nothing in the file can run code.

    Args:
        checkpoint: a `checkpoint.pt` that `run` wrote.
        device: of the weights: "auto", "cpu" or "cuda".
        plugin: the Python file of the method, if it comes from one.

    Raises:
        UsageError: no such file, or one that is damaged, hostile or does not fit.
    """
    for path in _several(plugin):
        plugins.load(path)
    return models.load_checkpoint(Path(checkpoint)).build(sweep.choose_device(device))


def _several(value: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [value] if isinstance(value, str | Path) else list(value)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if isinstance(seeds, int):
        if seeds < 1:
            raise UsageError(f"--seeds {seeds} asks for no seed; give 1 or more, or name them (3,7).")
        return list(range(seeds))
    numbers = sorted(set(seeds))
    if not numbers or numbers[0] < 0:
        raise UsageError(f"--seeds {numbers} names no seed or a negative one; seeds are 0 or more.")
    return numbers


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, highlight=False, soft_wrap=True, markup=False)
