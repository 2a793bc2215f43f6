"""What a run's folder tells: where each cell stands, its scores and its logged values, as plain rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disbench import models, plugins
from disbench.benchmark import protocols, scoring, store
from disbench.benchmark.datasets import loading
from disbench.benchmark.store import Cell


def abandoned(folder: Path) -> bool:
    """Whether a cell says that it is running while no process holds it."""
    if store.status(folder)["state"] != "running":
        return False
    with store.locked(folder) as ours:
        return ours and store.status(folder)["state"] == "running"


def standing(folder: Path) -> str:
    """Where a cell stands in truth: "running" only while a process holds it, else what it left."""
    return "stopped" if abandoned(folder) else str(store.status(folder)["state"])


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
        name: store.plain(value)
        for name, value in cell.config.items()
        if store.plain(value) != store.plain(getattr(usual, name, None))
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


def rows(run: Path) -> list[dict[str, Any]]:
    """One row per cell and metric for the leaderboard; a failed cell has its rows too, with its reason."""
    found = []
    for cell, folder in store.cells(run):
        state = store.status(folder)
        told = store.read_json(folder / "cell.json") or {}
        entries = store.read_json(folder / "scores.json")
        if not isinstance(entries, list):
            entries = [scoring.pending(choice) for choice in protocols.get(cell.protocol).metrics]
        of_cell = {
            **training(cell),
            "seed": cell.seed,
            "state": standing(folder),
            "seconds": state.get("seconds"),
            "data_sha256": cell.dataset["sha256"],
            "config": cell.config_name,
            "changed": json.dumps(changed(cell), sort_keys=True),
            "version": told.get("environment", {}).get("disbench"),
            "run": str(run),
            "folder": str(folder.relative_to(run)),
        }
        error = state.get("error", {}).get("message")
        found += [
            {
                **of_cell,
                "metric": entry["metric"],
                "preset": entry["label"],
                "score": entry["score"],
                "reason": error or entry.get("reason"),
                "higher_is_better": entry.get("higher_is_better", True),
                "metric_settings": metric_settings(entry),
            }
            for entry in entries
        ]
    return found


def training(cell: Cell) -> dict[str, str]:
    """What a row says of the training that it is of: `labels.TRAINING`, and the plug-in's code."""
    return {
        "dataset": f"{short(cell.dataset['name'])}-{cell.dataset['size']}",
        "protocol": cell.protocol,
        "method": cell.method,
        "variant": cell.variant,
        "settings": describe(cell),
        "cell": cell.digest,
        "plugin": cell.plugin,
    }


def short(dataset: str) -> str:
    """A data set's name; of a user's file, without the folder that it lies in (its sha256 tells it apart)."""
    base, options = loading.split_name(dataset)
    return ":".join([Path(base).name if base.endswith(".npz") else base, *options])


def metric_settings(entry: Mapping[str, Any]) -> str | None:
    """What decided a score beside the model and the data, as JSON; None where nothing was measured."""
    if "settings" not in entry:
        return None
    judge = {name: entry[name] for name in ("classifier", "plugin") if entry.get(name)}
    return json.dumps({**entry["settings"], **judge}, sort_keys=True)
