"""The settings of trainings, and the scores against one that varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from disbench.benchmark.runs import store
from disbench.errors import UsageError, argument, unknown
from disbench.files import plain
from disbench.leaderboards import labels, results

Configs = Mapping[tuple[str, str], Mapping[str, object]]


def settings(runs: Sequence[Path]) -> Configs:
    """The config of every training, by its label and cell.

    A setting that some trainings of a method have, and others are from before, has its value there.
    """
    configs: dict[tuple[str, str], Mapping[str, object]] = {}
    methods: dict[str, list[tuple[str, str]]] = {}
    for run in runs:
        if results.is_kept(run):
            for folder, training in results.provenance(run).settings.items():
                name = labels.split_folder(folder)
                configs[name] = training.config
                methods.setdefault(training.method, []).append(name)
            continue
        for cell, _ in store.cells(run):
            name = cell.label, cell.digest
            configs[name] = {field: plain(value) for field, value in cell.config.items()}
            methods.setdefault(cell.method, []).append(name)
    for method, trainings in methods.items():
        if len({frozenset(configs[name]) for name in trainings}) > 1:
            before = _before(method)
            configs |= {name: {**before, **configs[name]} for name in trainings}
    return configs


def _before(method: str) -> Mapping[str, object]:
    """The settings that a method got later, with their values before; none of a method that is not here."""
    # here, so that a look at settings loads no torch where all trainings have the same
    from disbench import models

    return models.get(method).CONFIGS["paper"].before() if method in models.names() else {}


def varying(configs: Configs) -> list[str]:
    """Fields that differ between the configs of one method, sorted.

    Args:
        configs: config by label and cell, such as ("betavae", "23e03361").
    """
    by_method: dict[str, list[Mapping[str, object]]] = {}
    for (label, _), config in configs.items():
        by_method.setdefault(label, []).append(config)
    return sorted(
        {
            field
            for group in by_method.values()
            for field in group[0]
            if len({str(config.get(field)) for config in group}) > 1
        }
    )


def with_settings(frame: pd.DataFrame, configs: Configs) -> pd.DataFrame:
    """The rows with a column for each setting that varies within a method, such as `beta`.

    Args:
        frame: per-seed rows of the runs.
        configs: the settings of their trainings, see `settings`.
    """
    fields = [field for field in varying(configs) if field not in frame]
    cells = [
        configs.get((label, labels.cell_of(cell)), {})
        for label, cell in zip(labels.labels(frame), frame["cell"], strict=True)
    ]
    columns = {field: _column([config.get(field) for config in cells], frame.index) for field in fields}
    frame = frame.assign(**columns)
    return frame.sort_values([*labels.TRAINING[:4], *fields], kind="stable", ignore_index=True)


def _column(values: list[object], index: pd.Index) -> pd.Series:
    """The values as numbers, or else as texts; missing where a method has no such setting."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pd.to_numeric(pd.Series(values, index=index, dtype=object))
    return pd.Series([None if v is None else str(v) for v in values], index=index, dtype=object)


def points(frame: pd.DataFrame, configs: Configs) -> list[str]:
    """What each row is called among those of its method: the settings that vary there, "beta=4, steps=60"."""
    labelled = labels.labels(frame)
    own = {
        label: varying({key: config for key, config in configs.items() if key[0] == label})
        for label in set(labelled)
    }
    named = []
    for label, cell in zip(labelled, frame["cell"], strict=True):
        config = configs[label, labels.cell_of(cell)]
        values = [(field, config.get(field)) for field in own[label]]
        named.append(", ".join(f"{f}={v:g}" if isinstance(v, float) else f"{f}={v}" for f, v in values))
    return named


def swept(frame: pd.DataFrame, configs: Configs, field: str = "") -> tuple[pd.DataFrame, str]:
    """The rows of methods with several values of a setting, as `plots.sweep` takes them, and that setting.

    A method of which other settings vary too has a line for each combination of their values; if none of them
    has two values of this setting, as where all were drawn at random, it has its dots alone, and `joined` is
    False.

    Args:
        frame: per-seed rows of the runs.
        configs: the settings of their trainings, see `settings`.
        field: name of the setting; may be omitted if only one varies.

    Raises:
        UsageError: no setting varies, several do and none is named, or the named one does not.
    """
    fields = varying(configs)
    if not fields:
        raise UsageError(
            "no setting varies within a method, so there is no curve to draw; train other values, such as "
            "`disbench run --set betavae.beta=2`, into the same folder."
        )
    if not field and len(fields) > 1:
        raise UsageError(f"several settings vary: {', '.join(fields)}; choose one with {argument('field')}.")
    field = field or fields[0]
    if field not in fields:
        raise unknown("setting that varies", field, fields)
    methods = {label for label, _ in configs}
    own = {label: varying({k: v for k, v in configs.items() if k[0] == label}) for label in methods}
    others, values, drawn = [], [], []
    for label, cell in zip(labels.labels(frame), frame["cell"], strict=True):
        config = configs[label, labels.cell_of(cell)]
        others.append(", ".join(f"{other}={config[other]}" for other in own[label] if other != field))
        values.append(config.get(field))
        drawn.append(field in own[label])
    seen: dict[str, dict[str, set[str]]] = {}
    for label, other, value in zip(labels.labels(frame), others, values, strict=True):
        seen.setdefault(label, {}).setdefault(other, set()).add(str(value))
    random = {label for label, of in seen.items() if len(of) > 1 and max(map(len, of.values())) == 1}
    frame = frame.assign(value=pd.Series(values, index=frame.index, dtype=object))
    lines = [
        ((place, str(value)), label, other, plugin, cell)
        for (place, label, _, plugin, cell), value, other in zip(
            labels.described(frame), values, others, strict=True
        )
    ]
    alone = [label in random for label in labels.labels(frame)]
    names = [
        label if one else name
        for label, name, one in zip(labels.labels(frame), labels.tell_apart(lines), alone, strict=True)
    ]
    return frame.assign(name=names, joined=np.logical_not(alone))[drawn], field
