"""What a leaderboard that is kept tells of its making."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

import disbench
from disbench.benchmark import protocols
from disbench.benchmark.runs import environment, store
from disbench.benchmark.runs.commands import Recipe, commands
from disbench.benchmark.runs.rows import changed
from disbench.benchmark.runs.store import Cell, CellFile, Status
from disbench.files import now
from disbench.leaderboards.labels import by_value


def recipes(cells: Iterable[Cell]) -> dict[Recipe, list[int]]:
    """What cells were trained with, and with which seeds."""
    found: dict[Recipe, list[int]] = {}
    for cell in cells:
        recipe = Recipe(
            cell.protocol,
            cell.dataset.short,
            cell.dataset.size,
            cell.config_name,
            cell.method,
            cell.variant,
            json.dumps(changed(cell), sort_keys=True),
        )
        found.setdefault(recipe, []).append(cell.seed)
    return {recipe: sorted(set(found[recipe])) for recipe in sorted(found, key=_order)}


def _order(recipe: Recipe) -> list[str]:
    """What nobody changed first, a small value before a great one, so that one command holds one rank."""
    parts = asdict(recipe) | {"changed": recipe.changed.strip("{}")}
    return [by_value(str(part)) for part in parts.values()]


def describe(name: str, runs: Sequence[Path], frame: pd.DataFrame) -> dict[str, Any]:
    """Everything that a kept leaderboard tells of its making, as plain values.

    Args:
        frame: the per-seed rows that are kept; cells of the runs without rows in it are left out.
    """
    wanted = set(frame["folder"])
    found = [(c, folder) for run in runs for c, folder in store.cells(run) if str(c.folder) in wanted]
    environments: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, Any]] = {}
    cost = {"core": 0.0, "gpu": 0.0}
    for cell, folder in found:
        file = CellFile.read(folder) or CellFile(cell)
        # a process on a CPU has one thread
        unit = "gpu" if file.device == "cuda" else "core"
        cost[unit] += (Status.read(folder).seconds or 0.0) / file.together
        key = json.dumps(file.environment, sort_keys=True)
        where = environments.setdefault(key, {**file.environment, "seeds": 0})
        where["seeds"] += 1
        plugin = {"plugin": cell.plugin} if cell.plugin else {}
        kept = {"method": cell.method, "variant": cell.variant, "config": dict(cell.config), **plugin}
        settings[str(cell.folder.parent)] = kept
    cells = frame.drop_duplicates(["dataset", "protocol", "cell", "seed"])
    return {
        "name": name,
        "kept": now(),
        "kept_by": {"disbench": disbench.__version__, "commit": environment.commit()},
        "commands": commands(recipes(cell for cell, _ in found), f"runs/{name}"),
        "states": {str(state): int(n) for state, n in cells["state"].value_counts().items()},
        "seconds": {
            "what": "total and mean_by_method: wall seconds in which a seed was trained and scored; "
            "core, gpu: seconds of a core or GPU, those that seeds spent together counted once",
            **{unit: round(seconds, 1) for unit, seconds in cost.items()},
            "total": round(float(cells["seconds"].sum()), 1),
            "mean_by_method": {
                str(method): round(float(seconds), 1)
                for method, seconds in cells.groupby("method")["seconds"].mean().items()
            },
        },
        "data_sha256": dict(sorted(set(zip(cells["dataset"], cells["data_sha256"], strict=True)))),
        "protocols": {
            name: protocols.get(name).model_dump(mode="json") for name in sorted(set(frame["protocol"]))
        },
        "environments": list(environments.values()),
        "settings": dict(sorted(settings.items())),
    }
