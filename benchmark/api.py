"""The Python door: `disbench.run`, `forecast`, `score` and `load`, which the commands call as well."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import itertools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeGuard, TypeVar, cast, overload

from numpy.typing import ArrayLike

from disbench import html, models, plugins
from disbench.arguments import typed
from disbench.benchmark.datasets import fetching, naming
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import comparing, store
from disbench.benchmark.runs.compared import Compared
from disbench.benchmark.runs.compared import compare as compare_opened
from disbench.benchmark.runs.rows import gather
from disbench.benchmark.scoring import decoders, judged, plans, sources
from disbench.benchmark.scoring.encoding import one_thread
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.benchmark.sweep import dask, plan, progress, stop, tensorboard, workers
from disbench.benchmark.sweep.forecast import Forecast
from disbench.benchmark.sweep.forecast import forecast as forecast_of
from disbench.benchmark.sweep.request import Names, PathLike, Request, several
from disbench.benchmark.training import gpu
from disbench.console import say
from disbench.errors import UsageError, argument, spelled, unknown
from disbench.leaderboards.comparison import MINE

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from rich.console import Console

__all__ = [
    "Compared",
    "Forecast",
    "Request",
    "Run",
    "Scored",
    "compare",
    "forecast",
    "judge",
    "load",
    "run",
    "score",
    "score_all",
]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Run:
    """The folder of a run: what was trained there, and its scores.

    Attributes:
        path: the folder; a text will do to open one.
        outcomes: how many seeds of the last call are "done", "failed", "stopped", "busy" (another process
            trains them) or "full" (the disk was full). All 0 for a run that was only opened.
        interrupted: whether Ctrl-C, SIGTERM or SIGHUP stopped the last call.
        time_is_up: whether `max_seconds` stopped the last call.
    """

    path: Path
    outcomes: Mapping[str, int] = field(default_factory=Counter)
    interrupted: bool = False
    time_is_up: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        store.check_run(self.path)

    def _repr_html_(self) -> str:
        """The leaderboard, for a notebook; where there is none, the seeds and the reason."""
        from disbench.leaderboards import aggregate, shown

        try:
            frame, notes = gather([self.path])
            frame, _ = aggregate.comparable(frame)
        except UsageError as error:
            return html.result(self.path, [self.status()], [str(error)])
        board = aggregate.leaderboard(frame, iqm_interval=False)
        return html.result(self.path, [shown.leaderboard(board)], [*notes, *shown.notes(frame, board)])

    def scores(self) -> pd.DataFrame:
        """One row per seed and metric, with the settings; failed seeds are included.

        Raises:
            UsageError: no seed that can be read.
        """
        frame, notes = gather([self.path])
        _warn(notes)
        return frame

    @typed
    def leaderboard(self, *, where: Mapping[str, str] | None = None, mixed: bool = False) -> pd.DataFrame:
        """One row per method, settings, metric and preset: n, failed, mean, IQM, interval, best, worst.

        Args:
            where: only models with these values, such as {"method": "infogan"}.
            mixed: warn of results that are not comparable instead of refusing them.

        Raises:
            UsageError: no seed that can be read, no row with these values, or results that are not
                comparable.
        """
        from disbench.leaderboards import aggregate

        frame, notes = gather([self.path])
        frame, different = aggregate.comparable(frame, where, mixed)
        _warn([*notes, *different])
        return aggregate.leaderboard(frame)

    @typed
    def rescore(
        self,
        metrics: Names = "",
        *,
        jobs: int = 1,
        device: str = "cpu",
        data_dir: PathLike | None = None,
        plugin: PathLike | Sequence[PathLike] = (),
        console: Console | None = None,
    ) -> Mapping[str, int]:
        """Scores the trained seeds by further metrics, from their saved codes where these are there.

        Args:
            metrics: names, optionally with a preset ("dci:ibgan"); default: those of the protocol.
            jobs: seeds at a time, each in a process of its own (0: one per core).
            device: device of the models whose codes are missing: "auto", "cpu" or "cuda".
            data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).
            plugin: Python files with your own methods, metrics or data sets.
            console: rich console that says why a score is missing (default: nothing is printed).

        Returns:
            How many seeds were "scored", how many were "known" already, and how many were "busy", in another
            process.

        Raises:
            UsageError: an unknown metric, no trained seed, or data that are missing.
        """
        from rich.console import Console

        from disbench.benchmark.scoring.plans import of_one_model
        from disbench.benchmark.sweep.rescore import rescore

        for path in several(plugin):
            plugins.load(path)
        text = ",".join(map(str, several(metrics)))
        told = console or Console(quiet=True)
        with progress.counted(told) as count:
            return rescore(
                self.path,
                of_one_model(text) if text else (),
                jobs,
                device,
                None if data_dir is None else Path(data_dir),
                lambda sentence: say(told, sentence),
                count,
            )

    @typed
    def select(
        self,
        by: str = "udr",
        *,
        where: Mapping[str, str] | None = None,
        device: str = "auto",
        console: Console | None = None,
    ) -> pd.DataFrame:
        """Ranks the trained models of each method without labels, as `disbench leaderboard --select` does.

        Args:
            by: "udr", which reads the saved codes, or "model_centrality", which has the models draw images
                for each other; optionally with a preset ("udr:dlib_spearman").
            where: only models with these values, such as {"method": "infogan"}.
            device: device of the models: "auto", "cpu" or "cuda".
            console: rich console that shows the progress (default: nothing is printed).

        Returns:
            One row per model, the choice of each method first: rank, score (the one that needed no label),
            and a column for each metric that has scores.

        Raises:
            UsageError: another kind of metric, no method with three or more models that can be ranked,
                different data, or missing codes or checkpoints.
        """
        import pandas as pd
        from rich.console import Console

        from disbench.benchmark.runs import selection
        from disbench.leaderboards.selection import with_scores

        metric = selection.metric_of_models(by)
        frame, _ = selection.scored_rows([self.path], where or {})
        with progress.counted(console or Console(quiet=True)) as count:
            kept = selection.agreement([self.path], metric)
            ranked, _ = selection.select(frame, metric, device, count, kept)
        return pd.concat([with_scores(each.pool, frame) for each in ranked], ignore_index=True)

    @typed
    def tuned(
        self,
        metric: str = "",
        without: str = "udr",
        *,
        where: Mapping[str, str] | None = None,
        device: str = "auto",
        console: Console | None = None,
    ) -> pd.DataFrame:
        """Ranks the settings of each method, as `disbench leaderboard --tuned` does.

        Args:
            metric: the metric that chooses, such as "mig" or "factor_vae:ibgan" (default: factor_vae).
            without: what chooses without labels, as in `select`.
            where: only models with these values, such as {"method": "infogan"}.
            device: device of the models, if they are needed: "auto", "cpu" or "cuda".
            console: rich console that shows the progress (default: nothing is printed).

        Returns:
            One row per setting, the best of each method first: a column for each setting that varies, rank,
            n, failed, score (mean of the metric that chooses), std, agreement (mean over seeds; NaN where it
            is not known), and a column with the mean of each metric.

        Raises:
            UsageError: no method with several settings, no such metric, or results that are not comparable.
        """
        import pandas as pd
        from rich.console import Console

        from disbench.benchmark.runs import tuning

        with progress.counted(console or Console(quiet=True)) as count:
            found = tuning.of_runs([self.path], metric, without, where, device, count)
        return pd.concat([pool.table for pool in found.pools], ignore_index=True)

    def status(self) -> pd.DataFrame:
        """One row per seed: method, seed, state (done, running, stopped or failed), error of a failed one."""
        import pandas as pd

        rows = [
            (seed.name, seed.cell.seed, seed.state, seed.error if seed.state == "failed" else "")
            for seed in progress.of_records(_records(self.path))
        ]
        return pd.DataFrame(rows, columns=["method", "seed", "state", "error"])

    def checkpoints(self) -> list[Path]:
        """The checkpoints of the trained seeds, sorted by method and seed."""
        paths = [record.folder / "checkpoint.pt" for record in _records(self.path)]
        return [path for path in paths if path.is_file()]

    @typed
    def keep(self, name: str, *, results: PathLike | None = None) -> list[Path]:
        """Saves the leaderboard to the repository with its provenance, in place of an earlier one.

        Args:
            name: name of the saved result: lower-case letters, digits, dots and dashes.
            results: folder of the saved results (default: leaderboards/results of this checkout).

        Returns:
            The files.

        Raises:
            UsageError: an invalid name, a run without seeds or with results that are not comparable, or no
                folder to write to.
        """
        from disbench.benchmark.runs.keep import keep

        frame, _ = gather([self.path])
        return keep(name, [self.path], frame, None if results is None else Path(results))


def _records(run: Path) -> store.Records:
    """The cells of a run; warns of the files that cannot be read."""
    records = store.records(run)
    _warn(records.sentences)
    return records


def _warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=3)


class ByRequest(Protocol[P, T_co]):
    """A function that takes a request, or the arguments of one."""

    @overload
    def __call__(self, request: Request, /) -> T_co: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


def by_request(build: Callable[P, Request]) -> Callable[[Callable[[Request], T]], ByRequest[P, T]]:
    """Gives a function of a request the signature of `Request`, so that its arguments are written once."""

    def decorate(function: Callable[[Request], T]) -> ByRequest[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if len(args) == 1 and not kwargs and isinstance(args[0], Request):
                return function(args[0])
            return function(build(*args, **kwargs))

        returned = inspect.signature(function).return_annotation
        vars(call)["__signature__"] = inspect.signature(build).replace(return_annotation=returned)
        return cast("ByRequest[P, T]", call)

    return decorate


@by_request(Request)
def run(request: Request) -> Run:
    """Trains and scores methods over seeds. Called again with the same folder, it resumes from there.

    The arguments are those of `Request`, such as `run("betavae", seeds=32)`; a request can also be given as
    a whole. Call it from the main thread: the first Ctrl-C stops after the current step and saves, and what
    is done stays done.

    Returns:
        The run, with the outcomes of this call.

    Raises:
        UsageError: an unknown name, a setting that does not fit, data that are missing, a folder that
            cannot be written, or a full disk. A seed that fails does not raise: see `Run.outcomes`.
    """
    from rich.console import Console

    if request.tensorboard:
        tensorboard.check()
    prepared = request.prepare()
    out, cells, jobs, fuse = request.folder, prepared.cells, prepared.jobs, prepared.fuse
    console = request.console or Console(quiet=True)
    store.open_run(out)
    plan.check_precision(out, cells, prepared.options.tuning.precision)
    plan.check_kernels(out, cells, prepared.options)
    if request.limit is not None:
        expected = forecast_of(prepared)
        jobs, fuse = expected.jobs, expected.fuse
        if expected.fewer_jobs:
            say(console, expected.fewer_jobs)
    at_a_time = f"{min(jobs, len(cells))} at a time" if jobs else "as many at a time as they take"
    again = progress.taken_again(out, cells, prepared.protocol, request.retry_failed)
    say(console, f"{prepared.title}, {at_a_time}, in {out}", *prepared.advice)
    say(console, *progress.of_training_anew(again))
    outcomes: Counter[str] = Counter()
    busy: list[store.Cell] = []
    curves = tensorboard.mirrored(out, cells, console) if request.tensorboard else contextlib.nullcontext()
    with curves, stop.stoppable(out, request.max_seconds) as (stop_file, stopped):
        options = dataclasses.replace(prepared.options, stop_file=stop_file)
        with progress.watched(out, cells, console, jobs * fuse, again) as tally:
            work = (out, cells, prepared.protocol, options)
            if request.scheduler:
                ended = dask.sweep(*work, request.scheduler, jobs, request.fuse_on_workers)
            else:
                ended = workers.sweep(*work, jobs, fuse, prepared.devices)
            for cell, outcome in ended:
                if outcome == "busy":
                    busy.append(cell)
                else:
                    outcomes[outcome] += 1
                tally.end(cell, outcome)
                if outcome in ("failed", "full"):
                    why = store.why_failed(out / cell.folder, outcome == "full")
                    say(console, f"{tally.seeds[cell].name} seed {cell.seed} failed: {why}")
                for entry in store.failures(store.scores(out / cell.folder)):
                    say(
                        console, f"{tally.seeds[cell].name} seed {cell.seed}, without a score: {entry.reason}"
                    )
        reason = stopped()
    for cell in busy:
        # what another process had at its turn may have ended since
        outcomes[store.ended_elsewhere(out / cell.folder, prepared.protocol)] += 1
    if outcomes["full"] and not outcomes["done"]:
        raise UsageError(
            f"the disk that holds {out} is full; free some space and run again with "
            f"{argument('retry_failed')}."
        )
    return Run(out, outcomes, reason == stop.SIGNAL, reason == stop.TIME)


@by_request(Request)
def forecast(request: Request) -> Forecast:
    """Estimates time and memory of `run` with the same arguments, those of `Request`; writes nothing.

    A method without a finished seed in the run is measured with a few steps and images.

    Returns:
        A table of methods, and the total; print it, or see `Forecast.table`.

    Raises:
        UsageError: as `run` does, or a scheduler, whose workers cannot be measured from here.
    """
    if request.scheduler:
        raise UsageError(f"a forecast measures on this machine; omit {argument('scheduler')}.")
    prepared = request.prepare()
    store.check_free(request.folder)
    plan.check_precision(request.folder, prepared.cells, prepared.options.tuning.precision)
    plan.check_kernels(request.folder, prepared.cells, prepared.options)
    return forecast_of(prepared)


@dataclass(frozen=True)
class Scored:
    """The scores of one model or table of codes.

    Attributes:
        opened: the source, its data, and the assumptions about it.
        scores: one entry per metric: score, preset, settings, parts, warnings; or the reason for none.
    """

    opened: sources.Opened
    scores: tuple[ScoreEntry, ...]

    def __getitem__(self, metric: str) -> float | None:
        """The score of a metric, `mig@generator` of the generator; None if it cannot be computed.

        One that is there with several presets or settings has these in its name, as `mig:ubisoft`.
        """
        # without its side as well, where it has one only
        ways = [*zip(*map(_called, self.scores), strict=True), tuple(entry.metric for entry in self.scores)]
        found = [
            [e.score for e, name in zip(self.scores, way, strict=True) if name == metric] for way in ways
        ]
        for scores in found:
            if len(scores) == 1:
                return scores[0]
        if any(found):
            raise UsageError(f"there are several scores of {metric}; choose from: {', '.join(self)}.")
        raise unknown("metric of this score", metric, list(self))

    def __iter__(self) -> Iterator[str]:
        """The metrics, as `__getitem__` takes them, those without a score included."""
        ways = [Counter(way) for way in zip(*map(_called, self.scores), strict=True)]
        for names in map(_called, self.scores):
            yield next((name for name, way in zip(names, ways, strict=True) if way[name] == 1), names[-1])

    @property
    def entries(self) -> tuple[Mapping[str, object], ...]:
        """The scores as plain values, as `disbench score --json` prints them."""
        return tuple(entry.plain() for entry in self.scores)

    @property
    def assumed(self) -> tuple[str, ...]:
        """Sentences about what was detected or assumed: the form of the images, the output with the code."""
        return self.opened.assumed

    def _repr_html_(self) -> str:
        """The scores with their spread and their chance, for a notebook."""
        import pandas as pd

        columns = {"metric": [e.metric for e in self.scores], "preset": [e.label for e in self.scores]}
        columns |= {"score": [e.number() for e in self.scores]}
        if any(entry.shuffled for entry in self.scores):
            columns["by chance"] = [e.by_chance for e in self.scores]
        missing = [f"{e.name}: no score: {e.why()}" for e in self.scores if e.score is None]
        warned = [f"{e.name}: {warning}" for e in self.scores for warning in e.warnings]
        title = f"{self.opened.title} on {self.opened.data.name}"
        return html.result(title, [pd.DataFrame(columns)], [*self.assumed, *warned, *missing])

    def table(self) -> pd.DataFrame:
        """One row per metric: metric, preset, score, and the reason for a missing score."""
        import pandas as pd

        rows = [(e.metric, e.label, e.score, e.why() or "") for e in self.scores]
        return pd.DataFrame(rows, columns=["metric", "preset", "score", "reason"])


def _called(entry: ScoreEntry) -> tuple[str, str, str]:
    """What a score is called: by its metric and side, with its preset as well, or with its settings too."""
    side = entry.name.removeprefix(entry.metric)
    return entry.name, f"{entry.metric}:{entry.preset}{side}", f"{entry.metric}:{entry.label}"


@typed
def score(
    source: PathLike | ArrayLike | Callable[[torch.Tensor], object],
    *,
    metrics: Names = "",
    preset: str = "",
    dataset: PathLike = "",
    array: str = "",
    rows: ArrayLike | None = None,
    factors: ArrayLike | PathLike | None = None,
    bins: int | None = None,
    repeats: int | None = None,
    quick: bool = False,
    live: str = "",
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
        source: a file: `checkpoint.pt` of a run, codes (npz, npy, HDF5, MATLAB, CSV, Parquet, Arrow, .pt,
            safetensors), an encoder (TorchScript, torch.export, ONNX), or a state dict (.pt, safetensors)
            with `method` or `factory`. Or in memory: codes (n, d) as an array or tensor of any library or as
            a frame, or a module or function that takes images (b, c, h, w).
        metrics: names, optionally with a preset ("factor_vae:ibgan"); default: the protocol's, or else some
            quick ones.
        preset: preset, for every metric that has one of this name.
        dataset: data set of the codes or the encoder, unless the file names it.
        array: array of the file that holds the codes, or columns of a table that do, as names or patterns
            ("z*,extra"); default: `codes`, or what is clearly codes.
        rows: (n,) rows of the data set, for codes that are not in its order and bring no rows.
        factors: (n, k) factor values, or a file of them, for codes that bring none.
        bins: number of bins of equal width for continuous factors, for the metrics that need values.
        repeats: number of independent repetitions of each metric. By default each is repeated as often as its
            cost allows, on rows that are encoded anyway, and has its chance beside it: the score of the same
            codes with shuffled factors, see `ScoreEntry.draws` and `ScoreEntry.shuffled`.
        quick: a tenth of the votes of metrics that vote, so that far fewer images are encoded; the label of
            their scores says so.
        live: which codes count: "kl" (KL to the prior of .1 nats or more, for a source with a posterior),
            "std" (standard deviation of .05 or more) or "none" (all). By default each preset's own rule, and
            where some codes have collapsed by their KL, each entry has a second score in `beside`.
        method: disbench method to which a state dict belongs.
        config: named config of the method (default: paper).
        settings: changes to the settings of the method.
        factory: "package.module:function" that builds the module for a state dict.
        input_range: pixel range that the encoder expects: "0,1" (assumed by default), "-1,1", "0,255" or
            "uint8".
        layout: image layout: "nchw", "nhwc" or "flat" (default: the first that fits).
        size: image size in pixels (default: the first that fits).
        output: output that is the code: a name, a number or "first-half" (default: detected, see
            `Scored.assumed`).
        device: "auto", "cpu" or "cuda", for a checkpoint.
        data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).
        plugin: Python files with your own methods, metrics or data sets.
        console: rich console that shows the progress (default: nothing is printed).

    Raises:
        UsageError: a source that cannot be read or does not fit the data, unknown names, a rule for `live`
            without the posterior that it needs, or no metric that can be computed.
    """
    for path in several(plugin):
        plugins.load(path)
    options = sources.SourceOptions(
        dataset=naming.named(dataset),
        method=method,
        config=config,
        changes=settings or {},
        factory=factory,
        wanted=sources.Wanted(input_range, layout, size, output),
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
        array=array,
        factors=factors,
        rows=rows,
    )
    with _modes_kept(source):
        return score_all(
            [_opened(source, options)],
            metrics=metrics,
            preset=preset,
            bins=bins,
            repeats=repeats,
            quick=quick,
            live=live,
            console=console,
        )[0]


@contextlib.contextmanager
def _modes_kept(*given: object) -> Iterator[None]:
    """Modules in memory are scored in evaluation mode, and leave in their own: their training may go on."""
    import torch

    parts = [part for each in given if isinstance(each, torch.nn.Module) for part in each.modules()]
    modes = [part.training for part in parts]
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def _opened(source: object, options: sources.SourceOptions) -> sources.Opened:
    """A file, codes in memory, or a function of images."""
    if isinstance(source, str | os.PathLike):
        return sources.open_source(Path(source), options)
    if callable(source):
        return sources.open_encoder(source, options)
    return sources.open_codes(source, options)


@typed
def score_all(
    opened: Sequence[sources.Opened],
    *,
    metrics: Names = "",
    choices: Sequence[MetricChoice] = (),
    preset: str = "",
    bins: int | None = None,
    repeats: int | None = None,
    quick: bool = False,
    live: str = "",
    console: Console | None = None,
) -> list[Scored]:
    """Scores several opened sources with the same metrics, see `score`; `choices` are these, if given."""
    from rich.console import Console

    if repeats is not None and not 1 <= repeats <= 1000:
        raise UsageError(f"{argument('repeats')} {repeats} was given; give 1 to 1000.")
    opened = [sources.binned(one, bins) for one in opened]
    choices = tuple(choices) or sources.choose(opened, ",".join(map(str, several(metrics))), preset)
    if quick:
        fewer = tuple(map(plans.quick, choices))
        if fewer == choices:
            raise UsageError(
                f"{argument('quick')} takes a tenth of the votes, and none of these metrics votes; omit it."
            )
        choices = fewer

    def tell(sentence: str) -> None:
        # without a console a long silence would be taken for a hang
        if console is None:
            warnings.warn(sentence, stacklevel=2)
        else:
            say(console, sentence)

    with progress.counted(console or Console(quiet=True)) as count:
        scores = sources.score(
            opened,
            choices,
            draws=plans.BY_COST if repeats is None else repeats,
            progress=count,
            jobs=-1,
            tell=tell,
            live=live,
            early=None if console is None else lambda e: say(console, f"{e.name}: {e.number()}"),
        )
    return [Scored(one, tuple(entries)) for one, entries in zip(opened, scores, strict=True)]


@typed
def compare(
    mine: object,
    others: PathLike | Sequence[PathLike],
    *,
    name: str = "",
    metrics: Names = "",
    dataset: PathLike = "",
    array: str = "",
    factors: ArrayLike | PathLike | None = None,
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
    results: PathLike | None = None,
    plugin: PathLike | Sequence[PathLike] = (),
    console: Console | None = None,
) -> Compared:
    """Scores of one's own beside kept results, runs and published numbers that were measured alike.

    Args:
        mine: what `score` takes, or the folder of a run; of a list, each is a seed of one row. For several
            rows a mapping from their names.
        others: names of kept results ("mini"), protocols, published sources ("published" for all), or
            folders of runs.
        name: of the row; default "mine".
        metrics: the metrics to compare by, optionally with a preset ("dci:ibgan"); default: all of `others`.
        dataset: data set of the codes or the encoder; default: the file's, or else that of `others`.
        array: array or columns that hold the codes, as in `score`.
        factors: factor values of codes that bring none, as in `score`.
        method: disbench method to which a state dict belongs.
        config: named config of the method (default: paper).
        settings: changes to the settings of the method.
        factory: "package.module:function" that builds the module for a state dict.
        input_range: pixel range that an encoder expects, as in `score`.
        layout: image layout of an encoder, as in `score`.
        size: image size in pixels; default: the file's, or else that of `others`.
        output: output that is the code, as in `score`.
        device: "auto", "cpu" or "cuda", for a checkpoint.
        data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).
        results: folder of the kept results (default: leaderboards/results of this disbench).
        plugin: Python files with your own methods, metrics or data sets.
        console: rich console that shows the progress (default: nothing is printed).

    Raises:
        UsageError: a source that cannot be read, an unknown name, or nothing that compares: other data, image
            size, preset, settings or version of a metric. The sentence says what would compare.
    """
    for path in several(plugin):
        plugins.load(path)
    rows = _rows_of_mine(mine, name)
    # a folder may have a comma in its name
    wanted = [
        each.strip()
        for text in map(str, several(others))
        for each in ([text] if Path(text).is_dir() else text.split(","))
        if each.strip()
    ]
    found = comparing.others(wanted, None if results is None else Path(results))
    options = sources.SourceOptions(
        dataset=naming.named(dataset),
        method=method,
        config=config,
        changes=settings or {},
        factory=factory,
        wanted=sources.Wanted(input_range, layout, size, output),
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
        array=array,
        factors=factors,
        usual=found.usual(),
    )
    folders = [each for each in itertools.chain(*rows.values()) if _is_folder(each)]
    if len(folders) == sum(map(len, rows.values())):
        sources.refuse_of_runs(folders[0], options)

    def score_these(
        these: Sequence[sources.Opened], choices: Sequence[MetricChoice]
    ) -> list[tuple[ScoreEntry, ...]]:
        return [one.scores for one in score_all(these, choices=choices, console=console)]

    text = ",".join(map(str, several(metrics)))
    with _modes_kept(*itertools.chain(*rows.values())):
        opened: dict[str, list[sources.Opened | Path]] = {
            row: [each if _is_folder(each) else _opened(each, options) for each in given]
            for row, given in rows.items()
        }
        return compare_opened(opened, found, text, score_these, bool(name) or isinstance(mine, Mapping))


def _is_folder(source: object) -> TypeGuard[Path]:
    return isinstance(source, Path) and source.is_dir()


def _rows_of_mine(mine: object, name: str) -> dict[str, list[object]]:
    """The sources of each row; paths as such.

    Raises:
        UsageError: no source, a name beside a mapping, or one file twice.
    """
    if isinstance(mine, Mapping):
        if name:
            raise UsageError(f"{argument('name')} {name} names one row, and these have their names; omit it.")
        rows = {str(row): given for row, given in mine.items()}
    else:
        rows = {name or MINE: mine}
    listed = {row: list(given) if isinstance(given, list | tuple) else [given] for row, given in rows.items()}
    paths: list[Path] = []
    for row, given in listed.items():
        if not given:
            raise UsageError(f"the row {row} has no source; give codes, checkpoints, encoders or a run.")
        for i, each in enumerate(given):
            if isinstance(each, str | os.PathLike):
                given[i] = Path(each)
                paths.append(Path(each).resolve())
    twice = [path for path, times in Counter(paths).items() if times > 1]
    if twice:
        raise UsageError(f"{twice[0]} was given twice, and a seed counts once; omit one of them.")
    if not listed:
        raise UsageError("there is nothing to compare; give codes, checkpoints, encoders or a run.")
    _check_copies([path for path in paths if path.is_file()])
    return listed


def _check_copies(paths: Sequence[Path]) -> None:
    """Refuses two files of one content: a seed that counts twice makes an interval narrower than it is."""
    sizes = Counter(path.stat().st_size for path in paths)
    first: dict[str, Path] = {}
    for path in paths:
        if sizes[path.stat().st_size] > 1:
            other = first.setdefault(fetching.digest(path, "sha256"), path)
            if other != path:
                raise UsageError(
                    f"{other} and {path} are copies of one file, and a seed counts once; omit one of them."
                )


@dataclass(frozen=True)
class JudgedGenerator:
    """A generator with all that was measured on its pictures.

    Attributes:
        opened: the generator, its data, and the assumptions about it.
        judged: quality of its pictures, and disentanglement of its codes.
    """

    opened: decoders.OpenedGenerator
    judged: judged.Judged

    @property
    def assumed(self) -> tuple[str, ...]:
        """Sentences about what was detected or assumed."""
        features = self.judged.features
        return tuple(map(spelled, (*self.opened.notes, *(features.assumed if features is not None else ()))))

    def _repr_html_(self) -> str:
        """The quality of the pictures and the scores of the codes, for a notebook."""
        import pandas as pd

        frames = []
        if self.judged.grid is not None:
            quality = self.judged.grid.quality
            rows = [(name, share, quality.real.get(name)) for name, share in quality.shares.items()]
            frames.append(pd.DataFrame(rows, columns=["quality", "pictures", "real draws"]))
            scores = [(e.metric, e.label, e.number(), e.by_chance) for e in self.judged.grid.entries]
            names = ["metric of the generator", "preset", "score", "by chance"]
            frames.append(pd.DataFrame(scores, columns=names))
        if self.judged.features is not None:
            found = self.judged.features.values.items()
            distances = [(name, draws.mean, draws.std) for name, draws in found]
            frames.append(pd.DataFrame(distances, columns=["distance", "mean", "std"]))
        title = f"{self.opened.title}: {self.opened.path}, pictures of {self.opened.data.name}"
        return html.result(title, frames, [*self.assumed, *map(spelled, self.judged.missing)])

    def plain(self, spell: Callable[[str], str] = str) -> dict[str, object]:
        """Everything as plain values, as `disbench score --generator --json` prints it."""
        notes = [spelled(note, spell) for note in self.opened.notes]
        return {
            **self.opened.head,
            "data": self.opened.data.name,
            "assumed": notes,
            **self.judged.plain(spell),
        }


@typed
def judge(
    source: PathLike,
    *,
    metrics: Names = "",
    dataset: PathLike = "",
    pictures: int = judged.PICTURES,
    features: PathLike | None = None,
    input_range: str = "",
    layout: str = "",
    latents: int | None = None,
    prior: str = "",
    method: str = "",
    config: str = "",
    settings: Mapping[str, object] | None = None,
    size: int | None = None,
    output: str = "",
    device: str = "auto",
    data_dir: PathLike | None = None,
    plugin: PathLike | Sequence[PathLike] = (),
    console: Console | None = None,
) -> JudgedGenerator:
    """Judges a generator: the quality of its pictures, and how well its codes are the factors.

    Args:
        source: `checkpoint.pt` of a run, or a decoder (torch.export, TorchScript, ONNX), or a state dict with
            `method`.
        metrics: names of metrics of disentanglement, optionally with a preset; default: the protocol's, or
            else some quick ones.
        dataset: data set whose pictures it should draw, unless the file names it.
        pictures: number of pictures.
        features: file of a network that gives features of images, for FID and others (default: the frozen
            classifier of labelled data).
        input_range: pixel range that this network expects: "0,1" (assumed by default), "-1,1", "0,255" or
            "uint8".
        layout: image layout of this network: "nchw", "nhwc" or "flat" (default: the first that fits).
        latents: number of latents that a decoder takes, unless its file says so.
        prior: of these latents: "normal", N(0, 1) (default), or "uniform", U(-1, 1).
        method: disbench method to which a state dict belongs.
        config: named config of the method (default: paper).
        settings: changes to the settings of the method.
        size: image size in pixels (default: the data set's).
        output: output of a decoder that is the pictures: a name or a number.
        device: "auto", "cpu" or "cuda", for a checkpoint.
        data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).
        plugin: Python files with your own methods, metrics or data sets.
        console: rich console that shows the progress (default: nothing is printed).

    Raises:
        UsageError: no generator, unknown names, or data by which no picture can be judged.
    """
    from rich.console import Console

    for path in several(plugin):
        plugins.load(path)
    if not judged.FEWEST <= pictures <= judged.MOST:
        raise UsageError(
            f"{argument('pictures')} {pictures} was given; give {judged.FEWEST} to {judged.MOST:,}, such as "
            "10,000."
        )
    wanted = sources.Wanted(input_range, layout)
    for name, given in (("input_range", input_range), ("layout", layout)):
        if given and features is None:
            raise UsageError(f"{argument(name)} belongs to {argument('features')}; give both or neither.")
    folder = None if data_dir is None else Path(data_dir)
    options = sources.SourceOptions(
        dataset=naming.named(dataset),
        method=method,
        config=config,
        changes=settings or {},
        wanted=sources.Wanted(size=size, output=output),
        device=device,
        data_dir=folder,
    )
    opened = decoders.open_generator(Path(source), options, decoders.Latents(latents, prior))
    choices = sources.choose_for(opened.protocol, ",".join(map(str, several(metrics))))
    with progress.counted(console or Console(quiet=True)) as count, one_thread():
        found = judged.judge(
            opened.generator,
            opened.data,
            choices,
            n=pictures,
            features=None if features is None else Path(features),
            wanted=wanted,
            data_dir=folder,
            progress=count,
            jobs=-1,
        )
    return JudgedGenerator(opened, found)


@typed
def load(
    checkpoint: PathLike, *, device: str = "cpu", plugin: PathLike | Sequence[PathLike] = ()
) -> models.Method:
    """A trained method, in evaluation mode: `represent(images)` gives codes, `generate(latents)` images.

    Nothing in the file can run code.

    Args:
        checkpoint: a `checkpoint.pt` that `run` wrote.
        device: device of the weights: "auto", "cpu" or "cuda".
        plugin: Python file of the method, if it comes from one.

    Raises:
        UsageError: no such file, or one that is damaged, hostile or does not fit.
    """
    for path in several(plugin):
        plugins.load(path)
    return models.load_checkpoint(Path(checkpoint)).build(gpu.choose_device(device))
