"""The cells of a run: methods, settings, seeds and data sets."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from disbench import models, plugins
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, told
from disbench.benchmark.training import portable
from disbench.benchmark.training.gpu import PLAIN, Tuning
from disbench.errors import UsageError, argument, unknown
from disbench.files import plain

# the slowest steps and metrics that are known take minutes
PATIENCE = 3600.0


@dataclass(frozen=True)
class Options:
    """How cells are trained: nothing here changes a result, except for rounding.

    Attributes:
        device: "cpu", "cuda" or "cuda:1"; for a cluster also "auto".
        stage: what is done: "all"; "train" up to the codes, which a GPU encodes; "score" from there on.
        data_dir: folder of the data sets; None for the default.
        retry_failed: train failed cells again.
        save_every: seconds between saved states.
        patience: seconds without a step or a metric after which a group in a process of its own is ended; 0
            for no limit.
        stop_file: when this file appears, training stops after the current step.
        plugins: files that every worker loads.
        tuning: how steps are computed.
        portable: whether processes of portable arithmetic train them, see `training.portable`.
        parent: in a worker, the process that started it; training stops when that process is gone.
    """

    device: str = "cpu"
    stage: Literal["all", "train", "score"] = "all"
    data_dir: Path | None = None
    retry_failed: bool = False
    save_every: float = 60.0
    patience: float = PATIENCE
    stop_file: Path | None = None
    plugins: tuple[Path, ...] = dataclasses.field(default_factory=plugins.files)
    tuning: Tuning = PLAIN
    portable: bool = False
    parent: int | None = None

    def asked_to_stop(self) -> bool:
        """Whether training is to stop after the current step."""
        return self.orphaned() or (self.stop_file is not None and self.stop_file.exists())

    def orphaned(self) -> bool:
        """Whether the process that started this worker is gone."""
        return self.parent is not None and os.getppid() != self.parent


@dataclass(frozen=True)
class Entry:
    """A method with its settings, which a run trains with each of its seeds.

    Attributes:
        method: name of the method.
        variant: variant of the method, or "".
        config_name: name of the config that the settings started from.
        config: the settings, as they are written.
        changed: those of them that differ from the named config, the protocol's changes and the variant.
    """

    method: str
    variant: str
    config_name: str
    config: Mapping[str, object]
    changed: Mapping[str, object] = dataclasses.field(default_factory=dict)


def entries(
    protocol: Protocol,
    methods: Sequence[str],
    changes: Mapping[str, Mapping[str, object]],
    variants: Sequence[str] = (),
    config: str | None = None,
    grid: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
) -> list[Entry]:
    """The methods with their settings, checked.

    Args:
        protocol: the protocol.
        methods: names of the methods.
        changes: per method, config field to value, on top of the protocol's.
        variants: names of variants; "all" for every one of each method.
        config: named config, instead of the protocol's.
        grid: settings of a method that are compared, see `grid.points`, on top of all others.

    Raises:
        UsageError: an unknown method, variant or field, a value of the wrong type, or a field that two of
            settings, grid and variant set.
    """
    grid = grid or {}
    for name, named in (("settings", changes), ("grid", grid)):
        for method in named:
            if method not in methods:
                raise UsageError(
                    f"{argument(name)} names the method {method!r}, which is not among "
                    f"{argument('methods')} {','.join(methods)}."
                )
    chosen: list[Entry] = []
    for method in methods:
        known = models.get(method).VARIANTS
        for variant in variants:
            if variant != "all" and not known:
                raise UsageError(
                    f"{argument('variants')} {variant} was given, and {method} has no variants; omit one of "
                    "them."
                )
            if variant != "all" and variant not in known:
                raise unknown(f"variant of {method}", variant, known)
        for variant in (list(known) if "all" in variants else list(variants)) or [""]:
            usual = {**protocol.changes(method), **known.get(variant, {})}
            name = config or protocol.config
            before = dataclasses.asdict(models.configure(method, name, usual))
            own = changes.get(method, {})
            alike: dict[str, Entry] = {}
            for point in grid.get(method, [{}]):
                _check_set_once(method, point, own, variant, known.get(variant, {}))
                setting = models.configure(method, name, {**usual, **own, **point})
                values = dataclasses.asdict(setting)
                changed = {field: plain(value) for field, value in values.items() if value != before[field]}
                # two texts may be one number
                alike.setdefault(str(values), Entry(method, variant, name, setting.written(), changed))
            chosen += alike.values()
    return chosen


def _check_set_once(
    method: str,
    point: Mapping[str, object],
    changes: Mapping[str, object],
    variant: str,
    of_variant: Mapping[str, object],
) -> None:
    """Refuses a field that two of a grid's point, changes and variant set: one would replace the other."""
    named = f"the variant {variant}"
    for name, fields, by, others in (
        ("grid", point, argument("settings"), changes),
        ("grid", point, named, of_variant),
        ("settings", changes, named, of_variant),
    ):
        for field in fields:
            if field in others:
                raise UsageError(f"{argument(name)} {method}.{field} is set by {by} too; omit one of them.")


def plan(
    protocol: Protocol, chosen: Sequence[Entry], seeds: Sequence[int], data: Sequence[Dataset]
) -> list[Cell]:
    """The cells of a run, seed by seed, so that every method has results early."""
    return [
        Cell(
            entry.method,
            entry.variant,
            entry.config_name,
            entry.config,
            dataset,
            protocol.id,
            seed,
            plugins.source("methods", entry.method),
            entry.changed,
        )
        for seed in seeds
        for dataset in map(DataRef.of, data)
        for entry in chosen
    ]


def groups(
    cells: Sequence[Cell], size: int, begun: Callable[[Cell], bool] = lambda cell: False
) -> list[list[Cell]]:
    """Cells that may train fused, `size` at a time: those that differ in their seed alone.

    Args:
        cells: the cells, in the order in which they start.
        size: the most of a group.
        begun: whether a cell has taken a step; what an earlier sweep began is finished before all else.
    """
    alike: dict[str, list[tuple[int, Cell]]] = {}
    for place, cell in enumerate(cells):
        alike.setdefault(cell.training, []).append((place, cell))
    parts = [seeds[i : i + size] for seeds in alike.values() for i in range(0, len(seeds), size)]
    # in the order of their first cells
    ordered = [[cell for _, cell in part] for part in sorted(parts, key=lambda part: part[0][0])]
    return sorted(ordered, key=lambda group: not any(map(begun, group)))


def has_begun(run: Path, cell: Cell) -> bool:
    """Whether a cell has taken a step, as far as its files tell."""
    return told(lambda: store.has_begun(run / cell.folder), False)[0]


def width(seeds: int, trainings: int, gpus: int) -> int:
    """How many seeds train together if nobody said so: all on a GPU, one on a CPU.

    Args:
        seeds: how many there are.
        trainings: methods with their settings and data sets.
        gpus: how many there are; 0 for CPUs.
    """
    if not gpus:
        return 1
    # few methods are cut into parts, so that every GPU has one
    parts = -(-gpus // trainings)
    return -(-seeds // parts)


def check_precision(run: Path, cells: Sequence[Cell], precision: str) -> None:
    """Checks that no seed of these methods was started in another precision: their scores would be mixed.

    Args:
        run: folder of the run.
        cells: the cells to train.
        precision: the precision to train them in.

    Raises:
        UsageError: one was.
    """
    for training in dict.fromkeys(cell.training for cell in cells):
        for path in sorted((run / training).glob("seed-*/cell.json")):
            # one that cannot be read fails its own seed
            earlier, _ = told(partial(CellFile.read, path.parent), None)
            before = earlier.environment.get("precision", precision) if earlier else precision
            if before != precision:
                raise UsageError(
                    f"{path.parent} was started with precision {before}, but {precision} was given; "
                    f"give {argument('precision')} {before}, or another folder with {argument('out')}."
                )


def check_kernels(run: Path, cells: Sequence[Cell], options: Options) -> None:
    """Checks that no seed of these methods was begun in the other arithmetic, portable or not.

    Args:
        run: folder of the run.
        cells: the cells to train.
        options: how they are trained.

    Raises:
        UsageError: one was.
    """
    for training in dict.fromkeys(cell.training for cell in cells):
        for path in sorted((run / training).glob("seed-*/cell.json")):
            before = _kernels(path.parent)
            if before and (before == portable.PORTABLE) != options.portable:
                raise _other_draw(path.parent, before, options.portable)


def check_continued(folder: Path, kernels: str | None) -> None:
    """Checks that a seed goes on with the kernels that it was begun with.

    Args:
        folder: of the cell.
        kernels: those of this process; None on a GPU.

    Raises:
        UsageError: it was begun with others.
    """
    before = _kernels(folder)
    if before and kernels and before != kernels:
        raise _other_draw(folder, before, kernels == portable.PORTABLE)


def _kernels(folder: Path) -> str | None:
    """The kernels of a seed that has taken a step on a CPU."""
    earlier, _ = told(partial(CellFile.read, folder), None)
    if earlier is None or earlier.device != "cpu" or not store.has_begun(folder):
        return None
    # before there was portable arithmetic, they were not recorded
    return earlier.environment.get("kernels", portable.NATIVE)


def _other_draw(folder: Path, before: str, now_portable: bool) -> UsageError:
    if before == portable.PORTABLE:
        advice = f"give {argument('portable')}"
    elif now_portable:
        advice = f"omit {argument('portable')}"
    else:
        advice = "set the same variables in the environment"
    return UsageError(
        f"{folder} was begun with {before} kernels, and with others a seed is another draw; {advice}, or "
        f"give another folder with {argument('out')}."
    )
