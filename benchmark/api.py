"""Sweeps and scores as functions: `disbench.run`, `disbench.score`, and what these commands call."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench import models, plugins
from disbench.benchmark import datasets, protocols
from disbench.benchmark.datasets import loading
from disbench.benchmark.runs import store
from disbench.benchmark.runs.rows import score_rows, standing
from disbench.benchmark.runs.store import Status
from disbench.benchmark.scoring import classifier, sources
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.scoring.tables import CodesTable
from disbench.benchmark.sweep import dask, memory, plan, progress, stop, workers
from disbench.benchmark.training import gpu
from disbench.benchmark.training.gpu import choose_tuning
from disbench.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd
    import torch
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
        time_is_up: whether `max_seconds` did.
    """

    path: Path
    outcomes: Mapping[str, int] = field(default_factory=Counter)
    interrupted: bool = False
    time_is_up: bool = False

    def __post_init__(self) -> None:
        store.check_run(self.path)

    def scores(self) -> pd.DataFrame:
        """One row per seed and metric, failed seeds included, with the settings of each."""
        from disbench import leaderboards

        return leaderboards.scores(score_rows(self.path))

    def leaderboard(self) -> pd.DataFrame:
        """One row per method, settings, metric and preset: n, failed, mean, IQM, interval, best, worst."""
        from disbench import leaderboards

        return leaderboards.leaderboard(self.scores())

    def status(self) -> pd.DataFrame:
        """One row per seed: method, seed, state (done, running, stopped or failed) and, if it failed, why."""
        import pandas as pd

        rows = []
        for cell, folder in store.cells(self.path):
            state = standing(folder)
            failed = state == "failed"
            error = Status.read(folder).why if failed else ""
            rows.append({"method": cell.label, "seed": cell.seed, "state": state, "error": error})
        return pd.DataFrame(rows, columns=["method", "seed", "state", "error"])

    def checkpoints(self) -> list[Path]:
        """Of the seeds that are trained, sorted by method and seed."""
        found = [folder / "checkpoint.pt" for _, folder in store.cells(self.path)]
        return [path for path in found if path.is_file()]


@dataclass(frozen=True)
class Prepared:
    """A sweep, checked and ready to begin; nothing is written in its folder so far.

    Attributes:
        chosen: what is trained on what, in words.
        jobs, fuse: groups of seeds at a time, and seeds in a group.
        scheduler: of the Dask cluster that trains them; "" for this machine.
    """

    chosen: str
    cells: list[store.Cell]
    protocol: protocols.Protocol
    options: plan.Options
    jobs: int
    fuse: int
    scheduler: str = ""


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
    precision: str = "float32",
    cuda_graph: bool = False,
    data_dir: PathLike | None = None,
    retry_failed: bool = False,
    max_memory: int | str | None = None,
    max_seconds: float = 0.0,
    scheduler: str = "",
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
        precision: of products and convolutions on a GPU: "float32", "tf32" or "bf16".
        cuda_graph: on a GPU, record a step once and replay it.
        data_dir: where data sets are kept; else $DISBENCH_DATA, else the user's cache folder.
        retry_failed: train failed seeds again.
        max_memory: bytes, or a text such as "6G", that all jobs together may have to themselves: takes fewer
            jobs where that is needed.
        max_seconds: stop after so long, as Ctrl-C does; 0 is never.
        scheduler: address of a Dask scheduler whose workers train the seeds, such as "tcp://10.0.0.1:8786".
        plugin: Python files with methods, metrics or data sets.
        console: where to tell what happens; by default nowhere.

    Raises:
        UsageError: an unknown name, a setting that does not fit, data that are not here, a folder that
            cannot be written, a full disk. A seed that fails does not raise: see `Run.outcomes`.
    """
    for path in _several(plugin):
        plugins.load(path)
    prepared = prepare(
        methods,
        seeds=seeds,
        protocol=protocol,
        dataset=dataset,
        size=size,
        config=config,
        settings=settings,
        variants=variants,
        device=device,
        jobs=jobs,
        fuse=fuse,
        precision=precision,
        cuda_graph=cuda_graph,
        data_dir=data_dir,
        retry_failed=retry_failed,
        scheduler=scheduler,
    )
    return carry_out(prepared, Path(out), max_memory, max_seconds, console)


def carry_out(
    found: Prepared,
    out: Path,
    max_memory: int | str | None = None,
    max_seconds: float = 0.0,
    console: Console | None = None,
) -> Run:
    """Trains and scores what was prepared; arguments as of `run`."""
    from rich.console import Console

    console = console or Console(quiet=True)
    if not 0 <= max_seconds < 1e9:
        raise UsageError(
            f"--max-seconds {max_seconds:g} was given; give a number of seconds, or 0 for no end."
        )
    limit = memory.parse_size(max_memory, "--max-memory") if max_memory is not None else None
    if limit is not None and found.scheduler:
        raise UsageError(
            "--max-memory is of this machine, and with --scheduler the workers do the work; "
            "leave it away, or limit the groups at a time with --jobs."
        )
    store.open_run(out)
    plan.check_precision(out, found.cells, found.options.tuning.precision)
    cells, jobs = found.cells, found.jobs
    if limit is not None:
        from disbench.benchmark.sweep import forecast

        expected = forecast.forecast(out, cells, found.protocol, found.options, found.fuse)
        jobs = expected.jobs_within(limit, jobs)
        if jobs < found.jobs:
            _say(console, f"{jobs} instead of {found.jobs} at a time: {expected.why(limit)}")
    at_a_time = f"{min(jobs, len(cells))} at a time" if jobs else "as many at a time as they take"
    _say(console, f"{found.chosen}, {at_a_time}, in {out}")
    outcomes: Counter[str] = Counter()
    with stop.stoppable(out, max_seconds) as (stop_file, stopped):
        options = dataclasses.replace(found.options, stop_file=stop_file)
        with progress.watched(out, cells, console, jobs * found.fuse) as tally:
            if found.scheduler:
                ended = dask.sweep(out, cells, found.protocol, options, found.scheduler, jobs, found.fuse)
            else:
                ended = workers.sweep(out, cells, found.protocol, options, jobs, found.fuse)
            for cell, outcome in ended:
                outcomes[outcome] += 1
                tally.end(cell, outcome)
                if outcome in ("failed", "full"):
                    why = Status.read(out / cell.folder).why or "the disk is full"
                    _say(console, f"{cell.label} seed {cell.seed} failed: {why}")
        reason = stopped()
    if outcomes["full"] and not outcomes["done"]:
        raise UsageError(
            f"the disk that holds {out} is full; free some space and run again with --retry-failed."
        )
    return Run(out, outcomes, reason == stop.SIGNAL, reason == stop.TIME)


def prepare(
    methods: Names,
    *,
    seeds: int | Iterable[int] = 1,
    protocol: str = "mini",
    dataset: Names | None = None,
    size: int | None = None,
    config: str | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    variants: Names = (),
    device: str = "auto",
    jobs: int = 0,
    fuse: int = 0,
    precision: str = "float32",
    cuda_graph: bool = False,
    data_dir: PathLike | None = None,
    retry_failed: bool = False,
    scheduler: str = "",
) -> Prepared:
    """Checks the arguments of `run` and makes its cells."""
    chosen, numbers = [str(name) for name in _several(methods)], _seeds(seeds)
    for option, value, usual in (("jobs", jobs, "one per core"), ("fuse", fuse, "the default")):
        if value < 0:
            raise UsageError(f"--{option} {value} was given; give 1 or more, or 0 for {usual}.")
    folder = None if data_dir is None else Path(data_dir)
    setting = protocols.get(protocol)
    if device not in gpu.DEVICES:
        raise unknown("device", device, gpu.DEVICES)
    where = device if scheduler else gpu.choose_device(device)  # a worker has devices of its own
    tuning = choose_tuning(where, precision, cuda_graph)
    entries = plan.entries(setting, chosen, settings or {}, [str(v) for v in _several(variants)], config)
    data = [
        datasets.load(name, size=size or loading.usual_size(name, setting.size), data_dir=folder)
        for name in dict.fromkeys(str(name) for name in _several(dataset or setting.dataset))
    ]
    for loaded in data:
        classifier.check_classifier(loaded, setting.metrics, folder)
    return Prepared(
        f"{', '.join(chosen)} x {len(numbers)} seeds on "
        f"{', '.join(f'{d.name} {d.shape[1]}x{d.shape[2]}' for d in data)}, "
        f"protocol {protocol} ({setting.summary}), {f'workers of {scheduler}' if scheduler else where}",
        plan.plan(setting, entries, numbers, data),
        setting,
        plan.Options(where, folder, retry_failed, tuning=tuning),
        jobs or (0 if scheduler else 1 if where == "cuda" else joblib.cpu_count()),
        fuse or (len(numbers) if where == "cuda" else 1),
        scheduler,
    )


@dataclass(frozen=True)
class Scored:
    """What one model or table of codes scored.

    Attributes:
        opened: what was scored, on which data, and what was assumed of it.
        scores: one entry per metric: score, preset, settings, parts, warnings; or the reason for none.
    """

    opened: sources.Opened
    scores: tuple[ScoreEntry, ...]

    def __getitem__(self, metric: str) -> float | None:
        """The score of a metric; None where it cannot have one."""
        found = {entry.metric: entry.score for entry in self.scores}
        if metric not in found:
            raise unknown("metric of this score", metric, found)
        return found[metric]

    @property
    def entries(self) -> tuple[Mapping[str, Any], ...]:
        """The scores as plain values, as `disbench score --json` prints them."""
        return tuple(entry.plain() for entry in self.scores)

    @property
    def assumed(self) -> tuple[str, ...]:
        """Sentences on what was found out or assumed: how images are taken, which output is the code."""
        return self.opened.assumed

    def table(self) -> pd.DataFrame:
        """One row per metric: metric, preset, score, and the reason where there is none."""
        import pandas as pd

        rows = [(e.metric, e.label, e.score, e.reason or "") for e in self.scores]
        return pd.DataFrame(rows, columns=["metric", "preset", "score", "reason"])


def score(
    source: PathLike | NDArray[Any] | Callable[[torch.Tensor], Any],
    *,
    metrics: Names = "",
    preset: str = "",
    dataset: str = "",
    rows: ArrayLike | None = None,
    factors: ArrayLike | None = None,
    repeats: int = 1,
    method: str = "",
    config: str = "",
    settings: Mapping[str, object] | None = None,
    factory: str = "",
    input_range: str = "",
    layout: str = "",
    size: int | None = None,
    output: str = "",
    device: str = "auto",
    data_dir: PathLike | None = None,
    plugin: PathLike | Sequence[PathLike] = (),
    console: Console | None = None,
) -> Scored:
    """Scores a checkpoint, codes, or an encoder that you trained yourself.

    Args:
        source: a file: `checkpoint.pt` of a run, codes (npz, npy, HDF5, CSV, Parquet), an encoder
            (TorchScript, torch.export, ONNX), or a state dict with `method` or `factory`. Or in memory: codes
            (n, d), or a module or function that takes images (b, c, h, w).
        metrics: names, with presets after a colon ("factor_vae:ibgan"); else the protocol's, or some quick
            ones.
        preset: of every metric that has it.
        dataset: for what does not say it itself.
        rows: (n,) rows of the data set, of codes in memory that are not all in its order.
        factors: (n, k) factor values of codes in memory, instead of rows or of a data set.
        repeats: independent draws of each metric.
        method, config, settings: of a state dict that is a method's, with its named config and changes.
        factory: "package.module:function" that makes the module of a state dict.
        input_range, layout, size, output: of an encoder: how it takes images, and which output is the code;
            else what fits, see `Scored.assumed`.
        device: "auto", "cpu" or "cuda"; of a checkpoint.
        data_dir: where data sets are kept; else $DISBENCH_DATA, else the user's cache folder.
        plugin: Python files with methods, metrics or data sets.
        console: where to tell how far it is; by default nowhere.

    Raises:
        UsageError: a source that cannot be read or does not fit the data, unknown names, or no metric that
            can be computed.
    """
    for path in _several(plugin):
        plugins.load(path)
    options = sources.SourceOptions(
        dataset=dataset,
        method=method,
        config=config,
        changes=settings or {},
        factory=factory,
        wanted=sources.Wanted(input_range, layout, size, output),
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
    )
    if isinstance(source, str | Path):
        if rows is not None or factors is not None:
            raise UsageError("rows and factors belong to codes in memory; a file brings its own.")
        opened = sources.open_source(Path(source), options)
    elif callable(source):
        opened = sources.open_encoder(source, options)
    else:
        known = None if rows is None else np.asarray(rows)
        values = None if factors is None else np.asarray(factors)
        opened = sources.open_codes(CodesTable(np.asarray(source), known, values), options)
    return score_all([opened], metrics=metrics, preset=preset, repeats=repeats, console=console)[0]


def score_all(
    opened: Sequence[sources.Opened],
    *,
    metrics: Names = "",
    preset: str = "",
    repeats: int = 1,
    console: Console | None = None,
) -> list[Scored]:
    """Scores several opened sources with the same metrics, see `score`."""
    from rich.console import Console

    if not 1 <= repeats <= 1000:
        raise UsageError(f"--repeats {repeats} was given; give 1 to 1000.")
    choices = sources.choose(opened, ",".join(map(str, _several(metrics))), preset)
    with progress.told(console or Console(quiet=True)) as told:
        found = sources.score(opened, choices, draws=repeats, progress=told, jobs=-1)
    return [Scored(one, tuple(entries)) for one, entries in zip(opened, found, strict=True)]


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
    return models.load_checkpoint(Path(checkpoint)).build(gpu.choose_device(device))


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
