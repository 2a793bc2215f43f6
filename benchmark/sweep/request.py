"""The arguments of a run, checked in one place for Python and for the command line."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import joblib
import torch

from disbench import arguments, metrics, models, plugins, units
from disbench.benchmark import datasets, protocols
from disbench.benchmark.datasets import loading, naming
from disbench.benchmark.runs.store import Cell
from disbench.benchmark.scoring import classifier, plans
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.sweep import grid as grids
from disbench.benchmark.sweep import plan
from disbench.benchmark.training import gpu, portable
from disbench.errors import UsageError, argument
from disbench.files import check_temporary
from disbench.texts import short, whole_numbers

if TYPE_CHECKING:
    from rich.console import Console

# of a run
MOST_SEEDS = 100_000
# seeds that train together on a CPU where that was asked for
USUAL_WIDTH = 8

Names = str | Sequence[str]
Seeds = int | str | Iterable[int]
PathLike = str | Path


@dataclass(frozen=True)
class Request:
    """Everything that can be asked of `disbench.run` and `disbench.forecast`.

    Attributes:
        methods: names of methods, see `disbench.models.names()`: a list, or a text with commas.
        seeds: number of seeds (32 means seeds 0 to 31), or a list of seeds ([3, 7], "3,7" or "0..31").
        protocol: fixes data set, image size, networks, budget and metrics; "mini" is its newest version,
            "mini-v1" the first.
        dataset: one or several data sets, instead of the protocol's; "mnist:imbalanced-0..9" is ten.
        size: image size in pixels (default: the protocol's, or else the data set's default).
        config: named config, instead of the protocol's.
        metrics: metrics to score instead of the protocol's, optionally with presets ("dci:ibgan,mig"). Scores
            of others that a seed has already stay.
        settings: changes to the settings of methods, such as {"betavae": {"beta": 6}}.
        variants: variants of the methods, or "all".
        grid: settings of methods to compare, each with all seeds: lists of values or texts such as "1,2,4",
            "2..10" or "log:1..16" by method and field; the product of several fields, see `sweep.grid`.
        random: number of random settings of each grid, instead of the product.
        random_seed: of these draws.
        out: folder of the run; give the same folder again to resume.
        device: "auto", "cpu", "cuda" (all GPUs), "cuda:1" or "cuda:0,cuda:1"; "auto" uses the GPUs if there
            are any.
        jobs: number of groups of seeds trained in parallel, on a CPU with one thread each (0: one per core,
            or one per GPU).
        fuse: number of seeds trained as one program (0: all on a GPU, one on a CPU).
        strategy: how several seeds train together: "stacked" (one program over stacked weights), "branches"
            (side by side), "single" (each on its own) or "auto" (what was quickest for the method
            when it was measured).
        precision: precision of matrix products on a GPU: "float32", "tf32" or "bf16".
        cuda_graph: on a GPU, capture the training step as a CUDA graph and replay it (default: yes).
        deterministic: on a GPU, use only operations that give the same bits each time.
        portable: on a CPU, compute with kernels that give equal bits on every x86-64 with AVX2; slower.
        data_dir: folder of the data sets (default: $DISBENCH_DATA, or else the user's cache folder).
        retry_failed: train failed seeds again, and compute metrics that failed again.
        max_memory: memory limit for all jobs together, or for a group on a GPU, in bytes or as a text such
            as "6G"; reduces the number of jobs, or the seeds of a group, if necessary.
        max_seconds: stop after this time as Ctrl-C would (0: no limit).
        max_step_seconds: a seed that takes no step and finishes no metric for this time fails, if it trains
            in a process of its own, as several at a time and code of a plug-in do (0: no limit).
        scheduler: address of a Dask scheduler whose workers train the seeds, such as "tcp://10.0.0.1:8786".
        tensorboard: write the curves as event files for TensorBoard as well, in `tensorboard/` of the run.
        plugin: Python files with your own methods, metrics or data sets.
        console: rich console that shows the progress (default: nothing is printed).

    Raises:
        UsageError: an argument that is out of range or contradicts another one.
    """

    methods: Names
    _: KW_ONLY
    seeds: Seeds = 1
    protocol: str = "mini"
    dataset: PathLike | Sequence[PathLike] | None = None
    size: int | None = None
    config: str | None = None
    metrics: Names = ()
    settings: Mapping[str, Mapping[str, object]] | None = None
    variants: Names = ()
    grid: Mapping[str, Mapping[str, object]] | None = None
    random: int = 0
    random_seed: int = 0
    out: PathLike = "runs/default"
    device: str = "auto"
    jobs: int = 0
    fuse: int = 0
    strategy: str = "auto"
    precision: str = "float32"
    cuda_graph: bool | None = None
    deterministic: bool = False
    portable: bool = False
    data_dir: PathLike | None = None
    retry_failed: bool = False
    max_memory: int | str | None = None
    max_seconds: float = 0.0
    max_step_seconds: float = plan.PATIENCE
    scheduler: str = ""
    tensorboard: bool = False
    plugin: PathLike | Sequence[PathLike] = ()
    console: Console | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        # what is wrong with these is said more fully below
        fuller = ("seeds", "settings", "grid")
        hints = {name: hint for name, hint in arguments.hints_of(Request).items() if name not in fuller}
        arguments.check(hints, vars(self))
        # an iterator can be read only once, and what was given may be changed by whoever gave it
        object.__setattr__(self, "seeds", seed_numbers(self.seeds))
        object.__setattr__(self, "methods", names(self.methods, "methods"))
        for name in ("metrics", "dataset", "variants", "plugin"):
            if not isinstance(given := getattr(self, name), str | Path | None):
                object.__setattr__(self, name, tuple(given))
        for name in ("settings", "grid"):
            object.__setattr__(self, name, _of_methods(name, getattr(self, name)))
        for name, value, usual in (("jobs", self.jobs, "one per core"), ("fuse", self.fuse, "the default")):
            if value < 0:
                raise UsageError(f"{argument(name)} {value} was given; give 1 or more, or 0 for {usual}.")
        if not 0 <= self.random <= grids.MOST:
            raise UsageError(
                f"{argument('random')} {self.random} was given; give 1 to {grids.MOST:,} draws, or 0 for the "
                "product of all values."
            )
        if self.random_seed < 0 or (self.random_seed and not self.random):
            raise UsageError(
                f"{argument('random_seed')} {self.random_seed} was given; give it with {argument('random')}, "
                "and 0 or more."
            )
        if self.random and not self.grid:
            raise UsageError(
                f"{argument('random')} draws from a {argument('grid')}, which is missing; give one."
            )
        gpu.check_devices(self.device)
        gpu.check_tuning(self.precision, self.strategy)
        if self.strategy == "single" and self.fuse > 1:
            raise UsageError(
                f"{argument('strategy')} single trains each seed on its own, but {argument('fuse')} "
                f"{self.fuse} was given; omit one of them."
            )
        for name, limit in (("max_seconds", self.max_seconds), ("max_step_seconds", self.max_step_seconds)):
            if not 0 <= limit < 1e9:
                raise UsageError(
                    f"{argument(name)} {limit:g} was given; give a number of seconds, or 0 for no limit."
                )
        if self.limit is not None and self.scheduler:
            raise UsageError(
                f"{argument('max_memory')} limits this machine, but with {argument('scheduler')} the workers "
                f"train; omit it, or limit the groups at a time with {argument('jobs')}."
            )

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return Path(self.out)

    @property
    def limit(self) -> int | None:
        """Memory limit in bytes."""
        return None if self.max_memory is None else units.parse_memory(self.max_memory, "max_memory")

    def prepare(self) -> Prepared:
        """Loads plug-ins and data, and plans the cells; writes nothing in the run's folder.

        Raises:
            UsageError: an unknown name, a setting that does not fit, or data that are missing.
        """
        check_temporary()
        for path in several(self.plugin):
            plugins.load(path)
        methods, seeds = names(self.methods, "methods"), seed_numbers(self.seeds)
        data_dir = None if self.data_dir is None else Path(self.data_dir)
        protocol = protocols.get(self.protocol)
        if self.metrics:
            wanted = plans.of_one_model(",".join(map(str, several(self.metrics))))
            protocol = protocol.model_copy(update={"metrics": wanted, "unlabelled": wanted})
        if self.scheduler:
            # a worker of a cluster chooses a device of its own, and what is possible there
            devices: tuple[str, ...] = (self.device,)
            tuning = gpu.Tuning(
                graph=bool(self.cuda_graph),
                precision=cast(gpu.Precision, self.precision),
                strategy=cast(gpu.Strategy, self.strategy),
                deterministic=self.deterministic,
            )
        else:
            devices = gpu.choose_devices(self.device)
            tuning = gpu.choose_tuning(
                devices[0], self.precision, self.cuda_graph, self.strategy, self.deterministic
            )
        on_gpu = not self.scheduler and gpu.is_gpu(devices[0])
        if self.portable and not self.scheduler:
            portable.check(devices[0])
        variants = names(self.variants, "variants") if self.variants else []
        grid = {
            method: grids.points(method, self.config or protocol.config, axes, self.random, self.random_seed)
            for method, axes in (self.grid or {}).items()
            if method in methods
        }
        grid |= {method: [] for method in self.grid or {} if method not in methods}
        entries = plan.entries(protocol, methods, self.settings or {}, variants, self.config, grid)
        named = [naming.named(name) for name in several(self.dataset or protocol.dataset)]
        data = [
            datasets.load(name, size=self.size or loading.usual_size(name, protocol.size), data_dir=data_dir)
            for name in dict.fromkeys(one for name in named for one in naming.expanded(name))
        ]
        said: dict[str | None, None] = dict.fromkeys(note for loaded in data for note in loaded.notes)
        for loaded in data:
            loaded.side("a run")
            defined, sentences = scored(protocol, loaded)
            classifier.check_classifier(loaded, defined, data_dir)
            said |= dict.fromkeys(sentences)
            for entry in entries:
                said |= dict.fromkeys(advise(entry, loaded, defined))
        sizes = {d.name: f"{d.shape[1]}x{d.shape[2]}" for d in data}
        short = naming.as_ranges(list(sizes)) if len(set(sizes.values())) == 1 else list(sizes)
        on = ", ".join(f"{name} {sizes.get(name, next(iter(sizes.values())))}" for name in short)
        where = f"workers of {self.scheduler}" if self.scheduler else ", ".join(devices)
        where += f", {portable.PORTABLE}" if self.portable else ""
        default_jobs = 0 if self.scheduler else len(devices) if on_gpu else joblib.cpu_count()
        cells = plan.plan(protocol, entries, seeds, data)
        return Prepared(
            request=self,
            title=f"{_told(entries)} x {len(seeds)} seeds on {on}, "
            f"protocol {protocol.id} ({protocol.summary}), {where}",
            advice=tuple(filter(None, said)),
            cells=cells,
            protocol=protocol,
            options=plan.Options(
                devices[0],
                data_dir=data_dir,
                retry_failed=self.retry_failed,
                tuning=tuning,
                portable=self.portable,
                patience=self.max_step_seconds,
            ),
            jobs=self.jobs or default_jobs,
            fuse=self.width(len(cells) // len(seeds), len(devices) if on_gpu else 0),
            devices=devices if on_gpu else (),
        )

    def width(self, trainings: int, gpus: int) -> int:
        """How many seeds train together.

        Args:
            trainings: methods with their settings and data sets.
            gpus: how many there are; 0 for a CPU.
        """
        seeds = len(seed_numbers(self.seeds))
        if self.fuse:
            # a group has no more than there are, and a forecast tries one of this size
            return min(self.fuse, seeds)
        if self.strategy == "single":
            return 1
        if not gpus and self.strategy != "auto":
            return min(seeds, USUAL_WIDTH)
        return plan.width(seeds, trainings, gpus)

    @property
    def fuse_on_workers(self) -> int:
        """Seeds in a group on a cluster; 0 where the devices of its workers decide."""
        return 0 if not self.fuse and self.strategy == "auto" else self.width(1, 0)


@dataclass(frozen=True)
class Prepared:
    """A request with its names and data looked up and its cells planned.

    Attributes:
        request: the arguments.
        title: methods, seeds, data sets, protocol and device in words.
        advice: how the images of a user's file were read, which metrics there will be no score of, and what
            the methods say of their settings on these data, a sentence each.
        cells: one per method, seed and data set.
        protocol: the protocol.
        options: how the cells are trained.
        jobs: groups of seeds at a time; 0 for as many as a cluster takes.
        fuse: seeds in a group.
        devices: the GPUs over which the groups are spread; none on a CPU.
    """

    request: Request
    title: str
    advice: tuple[str, ...]
    cells: list[Cell]
    protocol: protocols.Protocol
    options: plan.Options
    jobs: int
    fuse: int
    devices: tuple[str, ...] = ()


def _told(entries: Sequence[plan.Entry]) -> str:
    """The methods, with the number of their settings where it is not one."""
    counts = Counter(entry.method for entry in entries)
    return ", ".join(f"{name} in {n} settings" if n > 1 else name for name, n in counts.items())


def scored(
    protocol: protocols.Protocol, data: datasets.Dataset
) -> tuple[list[protocols.MetricChoice], list[str]]:
    """The metrics of a protocol that are defined on a data set, and sentences about the others.

    Raises:
        UsageError: none of them is.
    """
    defined: list[protocols.MetricChoice] = []
    missing: dict[str, list[str]] = {}
    choices = plans.chosen(protocol, data)
    asked = [*protocol.metrics, *(choice for choice in choices if choice not in protocol.metrics)]
    for choice in asked:
        if why := plans.undefined(choice, data):
            # the same reason for several metrics is given once
            missing.setdefault(why, []).append(choice.shown)
        elif choice in choices:
            defined.append(choice)
    sentences = [f"{data.name}: no score of {', '.join(names)}: {why}" for why, names in missing.items()]
    if not defined:
        raise UsageError(
            f"protocol {protocol.name} has no metric that is defined on these data: {'; '.join(sentences)}."
        )
    if all(choice.name in protocols.LABEL_FREE for choice in defined):
        names = ", ".join(choice.shown for choice in defined)
        sentences.append(
            f"{data.name}: its seeds are scored by what needs no labels ({names}); three seeds or more of a "
            "method are ranked by `disbench leaderboard RUN --select udr`"
        )
    return defined, sentences


def advise(
    entry: plan.Entry, data: datasets.Dataset, choices: Iterable[protocols.MetricChoice] = ()
) -> list[str]:
    """What a method says of its settings on these data, and of which metrics it can have no score.

    Args:
        entry: the method with its settings.
        data: the data set.
        choices: the metrics that are defined on it.

    Raises:
        UsageError: the settings do not fit the data.
    """
    config = models.restored(entry.method, entry.config, entry.config_name)
    try:
        method = models.build(entry.method, config, data.info, seed=0)
    except UsageError as error:
        raise UsageError(f"{entry.method} on {data.name}: {error}") from None
    except (Exception, SystemExit):
        # a fault of its code: its seeds will say so, and the other methods train
        return []
    own = method.advice()
    sentences = [own] if own else []
    source, missing = Trained(method, data, torch.device("cpu")), dict[str, list[str]]()
    for choice in choices:
        try:
            why = source.lacks("pictures" if choice.pictures else metrics.get(choice.name).kind)
        except (Exception, SystemExit):
            # likewise
            continue
        if why:
            missing.setdefault(why, []).append(choice.shown)
    sentences += [f"no score of {', '.join(names)}: {why}" for why, names in missing.items()]
    return [f"{entry.method} on {data.name}: {sentence}" for sentence in sentences]


def seed_numbers(seeds: Seeds) -> tuple[int, ...]:
    """Seeds as sorted numbers: 32 and "32" are seeds 0 to 31, "3,7" and [3, 7] those two, "5," seed 5.

    Ranges are texts such as "0..31", "0-31" or "0..3,7".

    Raises:
        UsageError: no seed, a negative one, one that is no whole number, or a text that is not a number.
    """
    named = argument("seeds")
    if isinstance(seeds, str):
        numbers = whole_numbers(seeds, MOST_SEEDS)
        if numbers is None and re.fullmatch(r"[\s\d,-]*", seeds):
            # whatever is wrong with these numbers is said below
            found = [int(part) for part in re.findall(r"(?:(?<=[,\s])|^)-?\d+", seeds)]
            numbers = found if any(number < 0 for number in found) else None
        if not numbers:
            raise UsageError(
                f"{named} {seeds!r} is not a number; give how many (32 means seeds 0 to 31), a list (3,7) or "
                "a range (0..31)."
            )
        seeds = numbers if re.search(r",|\d-|\.\.", seeds) else numbers[0]
    try:
        given = list(seeds) if isinstance(seeds, Iterable) else [seeds]
        if any(isinstance(seed, bool) for seed in given):
            # which Python counts as 1
            raise TypeError
        if not isinstance(seeds, Iterable):
            count = operator.index(seeds)
            if not 1 <= count <= MOST_SEEDS:
                most = f"at most {MOST_SEEDS:,}" if count > 0 else "at least 1"
                raise UsageError(f"{named} must be {most}, or a list (3,7), not {count}.")
            return tuple(range(count))
        numbers = sorted({operator.index(seed) for seed in given})
    except TypeError:
        raise UsageError(
            f"{named} {short(str(seeds), 80)} is no whole number and no list of them; give how many (32 "
            "means seeds 0 to 31), or a list such as [3, 7]."
        ) from None
    if not numbers or numbers[0] < 0:
        raise UsageError(f"{named} {numbers} is empty or has a negative seed; give seeds of 0 or more.")
    return tuple(numbers)


def names(given: Names, name: str) -> list[str]:
    """Names without repeats, of a list or of a text with commas.

    Args:
        given: the names.
        name: the argument that they were given for.

    Raises:
        UsageError: there is none.
    """
    parts = given.split(",") if isinstance(given, str) else given
    chosen = list(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
    if not chosen:
        raise UsageError(f"{argument(name)} is empty; give names separated by commas.")
    return chosen


def _of_methods(
    name: str, given: Mapping[str, Mapping[str, object]] | None
) -> dict[str, dict[str, object]] | None:
    """A copy of the settings of each method.

    Args:
        name: the argument that they were given for.
        given: method to field to value.

    Raises:
        UsageError: they are of another form.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(isinstance(fields, Mapping) for fields in given.values()):
        raise UsageError(
            f"{argument(name)} {short(str(given), 80)} is not method to setting to value; give such as "
            '{"betavae": {"beta": 6}}.'
        )
    # values of a grid may be an iterator, too
    return {
        method: {field: list(v) if isinstance(v, Iterator) else v for field, v in fields.items()}
        for method, fields in given.items()
    }


def several(value: PathLike | Sequence[PathLike]) -> list[PathLike]:
    """One value or several as a list; a text is one value, even with a comma."""
    return [value] if isinstance(value, str | Path) else list(value)
