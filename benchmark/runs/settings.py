"""The settings of trainings, and the scores against one that varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from disbench.benchmark.runs import store
from disbench.errors import UsageError, unknown
from disbench.files import plain
from disbench.leaderboards import labels, results


def settings(runs: Sequence[Path]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The config of every training, by its label and cell."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for run in runs:
        if results.is_kept(run):
            for folder, told in results.provenance(run)["settings"].items():
                found[labels.split_folder(str(folder))] = told["config"]
            continue
        for cell, _ in store.cells(run):
            found[cell.label, cell.digest] = {k: plain(v) for k, v in cell.config.items()}
    return found


def varying(settings: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Fields that differ between the configs of one method, sorted.

    Args:
        settings: config by label and cell, such as ("betavae", "23e03361").
    """
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for (label, _), config in settings.items():
        by_method.setdefault(label, []).append(config)
    return sorted(
        {
            field
            for configs in by_method.values()
            for field in configs[0]
            if len({str(config.get(field)) for config in configs}) > 1
        }
    )


def swept(frame: pd.DataFrame, runs: Sequence[Path], field: str = "") -> tuple[pd.DataFrame, str]:
    """The rows of methods that have a setting with several values, for `plots.sweep`, and that setting.

    Methods with other settings that vary too are as many lines as those have values.

    Args:
        field: the setting; needed where several vary.

    Raises:
        UsageError: none varies, or several do, or not this one.
    """
    configs = settings(runs)
    fields = varying(configs)
    if not fields:
        raise UsageError(
            "no setting varies within a method, so there is no curve over one; train some with, say, "
            "`disbench run --set betavae.beta=2` into the same folder."
        )
    if not field and len(fields) > 1:
        raise UsageError(f"several settings vary: {', '.join(fields)}; choose one with --field.")
    field = field or fields[0]
    if field not in fields:
        raise unknown("setting that varies", field, fields)
    own = {m: varying({k: v for k, v in configs.items() if k[0] == m}) for m in {m for m, _ in configs}}
    others, values, drawn = [], [], []
    for label, cell in zip(labels.labels(frame), frame["cell"], strict=True):
        config = configs[label, cell]
        others.append(", ".join(f"{other}={config[other]}" for other in own[label] if other != field))
        values.append(config.get(field))
        drawn.append(field in own[label])
    frame = frame.assign(value=pd.Series(values, index=frame.index, dtype=object))
    lines = [
        ((place, str(value)), label, other, plugin, cell)
        for (place, label, _, plugin, cell), value, other in zip(
            labels.described(frame), values, others, strict=True
        )
    ]
    return frame.assign(name=labels.tell_apart(lines))[drawn], field
