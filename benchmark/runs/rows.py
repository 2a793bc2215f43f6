"""What a run's folder tells: where each cell stands, its scores and its logged values, as plain rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disbench import models, plugins
from disbench.benchmark import protocols
from disbench.benchmark.runs import store
from disbench.benchmark.runs.store import Cell, CellFile, Status
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.errors import UsageError
from disbench.files import plain

if TYPE_CHECKING:
    import pandas as pd


def abandoned(folder: Path) -> bool:
    """Whether a cell says that it is running while no process holds it."""
    if Status.read(folder).state != "running":
        return False
    with store.hold(folder) as ours:
        return ours and Status.read(folder).state == "running"


def standing(folder: Path) -> str:
    """Where a cell stands in truth: "running" only while a process holds it, else what it left."""
    return "stopped" if abandoned(folder) else Status.read(folder).state


def changed(cell: Cell) -> dict[str, Any]:
    """What was changed by hand in the cell's named config, under its protocol and in its variant.

    Raises:
        UsageError: the cell's method is a plug-in's that is not here.
    """
    if cell.plugin and cell.method not in models.names():
        raise plugins.absent("methods", cell.method, cell.plugin)
    protocol = protocols.get(cell.protocol)
    variant = models.get(cell.method).VARIANTS.get(cell.variant, {})
    usual = models.configure(cell.method, cell.config_name, {**protocol.changes(cell.method), **variant})
    return {
        name: plain(value)
        for name, value in cell.config.items()
        if plain(value) != plain(getattr(usual, name, None))
    }


def describe(cell: Cell) -> str:
    """The cell's settings for people: the named config, and what was changed in it by hand."""
    return ", ".join([cell.config_name, *(f"{name}={value}" for name, value in changed(cell).items())])


def journal_rows(run: Path) -> list[dict[str, Any]]:
    """Every logged value of a run: one row per (training, seed, step, quantity, index)."""
    found = []
    for cell, folder in store.cells(run):
        head = training(cell) | {"seed": cell.seed}
        for line in store.read_lines(folder / "metrics.jsonl"):
            for quantity, value in {**line["terms"], **line["monitor"]}.items():
                for index, number in enumerate(value if isinstance(value, list) else [value]):
                    row = {"step": line["step"], "quantity": quantity, "index": index, "value": number}
                    found.append({**head, **row})
    return found


def score_rows(run: Path) -> list[dict[str, Any]]:
    """One row per cell and metric for the leaderboard; a failed cell has its rows too, with its reason."""
    found = []
    for cell, folder in store.cells(run):
        status, file = Status.read(folder), CellFile.read(folder)
        entries = store.scores(folder)
        if entries is None:
            entries = [ScoreEntry.pending(choice) for choice in protocols.get(cell.protocol).metrics]
        of_cell = {
            **training(cell),
            "seed": cell.seed,
            "state": standing(folder),
            "seconds": status.seconds,
            "data_sha256": cell.dataset.sha256,
            "config": cell.config_name,
            "changed": json.dumps(changed(cell), sort_keys=True),
            "version": file.environment.get("disbench") if file else None,
            "run": str(run),
            "folder": str(folder.relative_to(run)),
        }
        found += [
            {
                **of_cell,
                "metric": entry.metric,
                "preset": entry.label,
                "score": entry.score,
                "reason": status.why or entry.reason,
                "higher_is_better": entry.higher_is_better,
                "metric_settings": metric_settings(entry),
            }
            for entry in entries
        ]
    return found


def training(cell: Cell) -> dict[str, str]:
    """What a row says of the training that it is of: `labels.TRAINING`, and the plug-in's code."""
    return {
        "dataset": cell.dataset.label,
        "protocol": cell.protocol,
        "method": cell.method,
        "variant": cell.variant,
        "settings": describe(cell),
        "cell": cell.digest,
        "plugin": cell.plugin,
    }


def metric_settings(entry: ScoreEntry) -> str | None:
    """What decided a score beside the model and the data, as JSON; None where nothing was measured."""
    if entry.settings is None:
        return None
    judge = {"classifier": entry.classifier, "plugin": entry.plugin}
    return json.dumps({**entry.settings, **{k: v for k, v in judge.items() if v}}, sort_keys=True)


def gather(runs: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """The per-seed rows of several runs; beside them, which seeds were in two of them.

    Args:
        runs: folders of runs or of kept results.

    Raises:
        UsageError: no run, an empty one, or runs that disagree about a seed.
    """
    import pandas as pd

    from disbench.leaderboards import aggregate, results, shown

    frames = []
    for run in dict.fromkeys(runs):
        if results.is_kept(run):
            frames.append(results.scores(run))
            continue
        store.check_run(run)
        found = score_rows(run)
        if not found:
            raise UsageError(f"{run} holds no seeds yet; train some with `disbench run --out {run}`.")
        frames.append(aggregate.scores(found))
    frame, repeated = aggregate.deduplicated(aggregate.ordered(pd.concat(frames)))
    return frame, shown.repeated(repeated)


def warnings(frame: pd.DataFrame) -> list[str]:
    """Sentences about protocols whose scores mean nothing."""
    known = [protocols.get(name) for name in sorted(set(frame["protocol"])) if name in protocols.names()]
    return [f"protocol {found.name}: {found.summary}" for found in known if not found.meaningful]
