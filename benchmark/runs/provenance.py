"""The provenance of runs: commands, versions, hardware, cost and settings, gathered from their cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

import disbench
from disbench.benchmark import protocols
from disbench.benchmark.protocols import MetricChoice, digests
from disbench.benchmark.runs import environment, store
from disbench.benchmark.runs.commands import Recipe, commands, hardware, of_scores
from disbench.benchmark.runs.rows import UNKNOWN, changed
from disbench.benchmark.runs.store import Cell, Record
from disbench.files import now
from disbench.leaderboards.labels import by_value
from disbench.leaderboards.provenance import Cost, Environment, Provenance, Settings


def recipes(cells: Iterable[Cell]) -> dict[Recipe, list[int]]:
    """The recipe of each training, with its seeds; none of one whose settings were not recorded in full."""
    trainings: dict[str, list[Cell]] = {}
    for cell in cells:
        trainings.setdefault(cell.training, []).append(cell)
    seeds: dict[Recipe, set[int]] = {}
    for same in trainings.values():
        cell, known = same[0], changed(same[0])
        if known is None:
            continue
        recipe = Recipe(
            cell.protocol,
            cell.dataset.short,
            cell.dataset.size,
            cell.config_name,
            cell.method,
            cell.variant,
            json.dumps(known, sort_keys=True),
        )
        seeds.setdefault(recipe, set()).update(each.seed for each in same)
    return {recipe: sorted(seeds[recipe]) for recipe in sorted(seeds, key=_order)}


def _order(recipe: Recipe) -> list[str]:
    """Default settings first, then by the values that are set, so that one command holds equal ranks."""
    parts = asdict(recipe) | {"changed": recipe.changed.strip("{}")}
    return [by_value(str(part)) for part in parts.values()]


def describe(name: str, runs: Sequence[Path], frame: pd.DataFrame) -> Provenance:
    """The provenance of a leaderboard.

    Args:
        name: of the leaderboard.
        runs: folders of the runs.
        frame: the per-seed rows of the leaderboard; cells of the runs that have no row in it do not count.
    """
    wanted = set(frame["folder"])
    records = [record for run in runs for record in store.records(run) if str(record.cell.folder) in wanted]
    cells = frame.drop_duplicates(["dataset", "protocol", "cell", "seed"])
    states, methods = cells["state"].value_counts(), cells.groupby("method")["seconds"].mean()
    core, gpu = _cost(records)
    return Provenance(
        name=name,
        kept=now(),
        kept_by={"disbench": disbench.__version__, "commit": environment.commit()},
        commands=_commands(records, f"runs/{name}"),
        states={str(state): int(n) for state, n in states.items()},
        seconds=Cost(
            core=core,
            gpu=gpu,
            total=round(float(cells["seconds"].sum()), 1),
            mean_by_method={str(method): round(float(mean), 1) for method, mean in methods.items()},
        ),
        data_sha256=dict(sorted(set(zip(cells["dataset"], cells["data_sha256"], strict=True)))),
        protocols={name: _protocol(name) for name in sorted(set(frame["protocol"]))},
        environments=_environments(records),
        settings={training: _settings(cell) for training, cell in sorted(_by_training(records).items())},
    )


def _protocol(recorded: str) -> dict[str, object]:
    """The fields of a protocol, and the digest of what they decide for all methods."""
    protocol = protocols.of_record(recorded)
    return {**protocol.model_dump(mode="json"), "digest": digests.of_all_methods(protocol)}


def _commands(records: Sequence[Record], out: str) -> list[str]:
    """The commands that train the cells again, those of other hardware or arithmetic each by their own."""
    kinds: dict[tuple[str, ...], list[Cell]] = {}
    for record in records:
        kinds.setdefault(hardware(record.file), []).append(record.cell)
    lines = [line for kind, cells in sorted(kinds.items()) for line in commands(recipes(cells), out, kind)]
    without = {r.cell.label: r.cell.plugin for r in records if changed(r.cell) is None}
    lines += [
        f"# {label} of the plug-in {plugin}: its command is {UNKNOWN}" for label, plugin in without.items()
    ]
    return list(dict.fromkeys([*lines, *_further(records, out)]))


def _further(records: Sequence[Record], out: str) -> list[str]:
    """The command for scores that no protocol of the seeds has, by `--metrics` or `disbench rescore`."""
    own: dict[str, None] = {}
    foreign: dict[str, None] = {}
    asked = {
        name: {
            (c.name, c.preset, c.pictures)
            for c in map(MetricChoice.resolved, protocols.of_record(name).metrics)
        }
        for name in {record.cell.protocol for record in records}
    }
    for record in records:
        for entry in record.entries or ():
            called = entry.metric, entry.preset, entry.pictures
            if entry.score is None or called in asked[record.cell.protocol]:
                continue
            if entry.plugin:
                foreign[f"# {entry.metric} of the plug-in {entry.plugin}: its command is {UNKNOWN}"] = None
            else:
                choice = MetricChoice(name=entry.metric, preset=entry.preset, pictures=entry.pictures)
                own[choice.shown] = None
    return [*([of_scores(list(own), out)] if own else []), *foreign]


def _cost(records: Sequence[Record]) -> tuple[float, float]:
    """Seconds of cores and of GPUs; what seeds spent together counts once.

    A process on a CPU has one thread, so its seconds are those of a core. What was trained on a GPU is
    scored on a core.
    """
    core = gpu = 0.0
    for record in records:
        seconds, together = record.status.seconds or 0.0, record.file.together
        if record.file.device == "cpu":
            core += seconds / together
        else:
            core += seconds - (record.status.training or 0.0)
            gpu += (record.status.training or 0.0) / together
    return round(core, 1), round(gpu, 1)


def _environments(records: Sequence[Record]) -> list[Environment]:
    counts: dict[str, Environment] = {}
    for record in records:
        versions = record.file.environment
        key = json.dumps(versions, sort_keys=True)
        seeds = counts[key].seeds if key in counts else 0
        counts[key] = Environment(versions, seeds + 1)
    return list(counts.values())


def _by_training(records: Sequence[Record]) -> dict[str, Cell]:
    return {record.cell.training: record.cell for record in records}


def _settings(cell: Cell) -> Settings:
    return Settings(cell.method, cell.variant, dict(cell.config), cell.plugin)
