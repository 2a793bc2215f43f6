"""What a run's folder tells: where each cell stands, its scores and its logged values, as plain rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from disbench import models, plugins
from disbench.benchmark import protocols, scoring, store
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


def describe(cell: Cell) -> str:
    """The cell's settings for people: the named config, and what was changed in it by hand."""
    if cell.plugin and cell.method not in models.names():
        raise plugins.absent("methods", cell.method, cell.plugin)
    protocol = protocols.get(cell.protocol)
    variant = models.get(cell.method).VARIANTS.get(cell.variant, {})
    usual = models.configure(cell.method, cell.config_name, {**protocol.changes(cell.method), **variant})
    changed = [
        f"{name}={value}"
        for name, value in cell.config.items()
        if store.plain(value) != store.plain(getattr(usual, name, None))
    ]
    return ", ".join([cell.config_name, *changed])


def journal_rows(run: Path) -> list[dict[str, Any]]:
    """Every logged value of a run: one row per (method, variant, settings, seed, step, quantity, index)."""
    found = []
    for cell, folder in store.cells(run):
        head = {
            "label": cell.label,
            "settings": describe(cell),
            "cell": cell.folder.parts[0],
            "seed": cell.seed,
        }
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
        entries = store.read_json(folder / "scores.json")
        if not isinstance(entries, list):
            entries = [scoring.pending(choice) for choice in protocols.get(cell.protocol).metrics]
        for entry in entries:
            error = state.get("error", {}).get("message")
            found.append(
                {
                    "dataset": f"{cell.dataset['name']}-{cell.dataset['size']}",
                    "protocol": cell.protocol,
                    "method": cell.method,
                    "variant": cell.variant,
                    "settings": describe(cell),
                    "cell": cell.folder.parts[0].rpartition("-")[2],
                    "metric": entry["metric"],
                    "preset": entry["label"],
                    "seed": cell.seed,
                    "score": entry["score"],
                    "state": standing(folder),
                    "reason": error or entry.get("reason"),
                    "higher_is_better": entry.get("higher_is_better", True),
                    "folder": str(folder.relative_to(run)),
                }
            )
    return found
