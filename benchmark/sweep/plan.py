"""The cells of a run: which methods, under which settings, with which seeds, on which data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disbench import models, plugins
from disbench.benchmark.datasets import Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.benchmark.protocols import Protocol
from disbench.benchmark.runs.store import Cell, CellFile
from disbench.benchmark.training.gpu import PLAIN, Tuning
from disbench.errors import UsageError, argument, unknown


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a result, but for rounding on a GPU.

    Attributes:
        device: "cpu" or "cuda", already chosen.
        data_dir: where data sets are kept; None for the default.
        retry_failed: train failed cells again.
        save_every: seconds between saved states.
        stop_file: when this file appears, training stops after its step.
        plugins: files that every worker loads.
        tuning: how steps are computed.
        parent: in a worker, the process that started it: when that one is gone, training stops too.
    """

    device: str = "cpu"
    data_dir: Path | None = None
    retry_failed: bool = False
    save_every: float = 60.0
    stop_file: Path | None = None
    plugins: tuple[Path, ...] = dataclasses.field(default_factory=plugins.files)
    tuning: Tuning = PLAIN
    parent: int | None = None

    def asked_to_stop(self) -> bool:
        return self.orphaned() or (self.stop_file is not None and self.stop_file.exists())

    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent


@dataclass(frozen=True)
class Entry:
    """What a run trains with each of its seeds: a method under one setting."""

    method: str
    variant: str
    config_name: str
    config: Mapping[str, Any]


def entries(
    protocol: Protocol,
    methods: Sequence[str],
    changes: Mapping[str, Mapping[str, object]],
    variants: Sequence[str] = (),
    config: str | None = None,
) -> list[Entry]:
    """The methods with their settings, checked.

    Args:
        changes: per method, config field to value, on top of the protocol's.
        variants: names of variants; "all" for every one of each method.
        config: another named config than the protocol's.

    Raises:
        UsageError: an unknown method, variant or field, or a value of the wrong type.
    """
    for method in changes:
        if method not in methods:
            raise UsageError(
                f"{argument('settings')} names the method {method!r}, which is not among "
                f"{argument('methods')} {','.join(methods)}."
            )
    made = []
    for method in methods:
        known = models.get(method).VARIANTS
        for variant in variants:
            if variant != "all" and variant not in known:
                raise unknown(f"variant of {method}", variant, known)
        for variant in (list(known) if "all" in variants else list(variants)) or [""]:
            merged = {**protocol.changes(method), **known.get(variant, {}), **changes.get(method, {})}
            name = config or protocol.config
            settings = dataclasses.asdict(models.configure(method, name, merged))
            made.append(Entry(method, variant, name, settings))
    return made


def plan(
    protocol: Protocol, chosen: Sequence[Entry], seeds: Sequence[int], data: Sequence[Dataset]
) -> list[Cell]:
    """The cells of a run, seed by seed, so that every method has something early on."""
    return [
        Cell(
            entry.method,
            entry.variant,
            entry.config_name,
            entry.config,
            dataset,
            protocol.name,
            seed,
            plugins.source("methods", entry.method),
        )
        for seed in seeds
        for dataset in map(DataRef.of, data)
        for entry in chosen
    ]


def groups(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Cells that may train fused, `size` at a time: those that differ in their seed alone."""
    alike: dict[Path, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(cell.folder.parent, []).append(cell)
    found = [together[i : i + size] for together in alike.values() for i in range(0, len(together), size)]
    return sorted(found, key=lambda group: cells.index(group[0]))


def check_precision(run: Path, cells: Sequence[Cell], precision: str) -> None:
    """Raises UsageError where seeds of these methods were begun in another precision: they would be mixed."""
    for method in dict.fromkeys(run / cell.folder.parent for cell in cells):
        for path in sorted(method.glob("seed-*/cell.json")):
            begun = CellFile.read(path.parent)
            before = begun.environment.get("precision", precision) if begun else precision
            if before != precision:
                raise UsageError(
                    f"{path.parent} was begun with precision {before}, and now it is {precision}; "
                    f"give {argument('precision')} {before}, or another folder with {argument('out')}."
                )
