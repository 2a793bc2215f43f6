"""The one rule for names: how a row is called, and what tells two rows apart.

A training is a method with a variant, under settings, on a data set, under a protocol. Its digest is the
*cell*, which covers all of that and the code of a plug-in. Its short name is the label, such as "betavae" or
"elastic_infogan-uniform". Where a frame holds several trainings of one label, `names` adds the difference:
settings, then the code of the plug-in, then the cell. No two trainings on one data set ever share a name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

# What tells two trainings apart: rows that agree in all of these may differ in the seed alone.
TRAINING = ("dataset", "protocol", "method", "variant", "settings", "cell")
SPLIT = ":imbalanced-"
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]\d+)?")

K = TypeVar("K", bound=Hashable)


def label(method: str, variant: str) -> str:
    """A method's short name, its variant included."""
    return f"{method}-{variant}" if variant else str(method)


def labels(frame: pd.DataFrame) -> list[str]:
    """The short name of each row."""
    return [label(method, variant) for method, variant in zip(frame["method"], frame["variant"], strict=True)]


def metric(name: object, preset: object) -> str:
    """A metric under a preset: "mig · dlib"."""
    return f"{name} · {preset}"


def folder(label: str, cell: str) -> str:
    """The folder of a training within a run: "betavae-1a2b3c4d"."""
    return f"{label}-{cell}"


def split_folder(name: str) -> tuple[str, str]:
    """Label and cell of a folder's name."""
    label, _, cell = name.rpartition("-")
    return label, cell


def names(frame: pd.DataFrame, of: pd.DataFrame | None = None) -> list[str]:
    """The name of each row: its label and, in brackets, what tells it from others of that label.

    A name says nothing of data set and protocol, so that a training on another data set has the same one.

    Args:
        frame: rows with the columns `TRAINING`.
        of: the rows among which the names must differ; else the frame itself.
    """
    known = of if of is not None else frame
    by_training = dict(zip(_trainings(known), tell_apart(described(known)), strict=True))
    return [by_training[training] for training in _trainings(frame)]


def tell_apart(trainings: Sequence[tuple[Hashable, str, str, str, str]]) -> list[str]:
    """A name for each training, as in `names`.

    Args:
        trainings: (place, label, settings, plug-in, cell) of each. A place is a data set under a protocol.
            Trainings in different places may share a name.
    """
    with_settings = _several((label, setting) for _, label, setting, _, _ in trainings)
    plugins = _several(((place, label, setting), plugin) for place, label, setting, plugin, _ in trainings)
    cells = _several(((place, *about), cell) for place, *about, cell in trainings)
    # an addition for one place is one for all, so that a training has the same name on every data set
    with_plugin = {(label, setting) for _, label, setting in plugins}
    with_cell = {tuple(about) for _, *about in cells}
    found = []
    for _, label, setting, plugin, cell in trainings:
        parts = [setting] if label in with_settings else []
        if (label, setting) in with_plugin:
            parts.append(f"plug-in {plugin.rpartition(' ')[2][:8]}" if plugin else "built in")
        if (label, setting, plugin) in with_cell:
            parts.append(cell)
        found.append(f"{label} ({', '.join(parts)})" if parts else label)
    return found


def crowded(frame: pd.DataFrame) -> list[bool]:
    """Of each row, whether label and settings alone would mix it with another training on its data set."""
    several = _several(((place, label, setting), cell) for place, label, setting, _, cell in described(frame))
    return [(place, label, setting) in several for place, label, setting, _, _ in described(frame)]


def needless(frame: pd.DataFrame) -> list[str]:
    """Which of the columns settings and cell tell no rows apart that the columns before them do not."""
    found = []
    for column, before in (("settings", ("method", "variant")), ("cell", TRAINING[:-1])):
        if column in frame and {"method", "variant"} <= set(frame):
            kinds = frame.groupby([name for name in before if name in frame], dropna=False)[column].nunique()
            found += [column] if (kinds <= 1).all() else []
    return found


def family(dataset: str) -> str:
    """A data set's name without the number of its split into unequal classes: "digits:imbalanced-*-28"."""
    head, middle, tail = dataset.partition(SPLIT)
    return f"{head}{middle}*-{tail.rpartition('-')[2]}" if middle else dataset


def measured_on(datasets: Iterable[str]) -> str:
    """The data of a row that averages over data sets: the only one, the family of splits, or all of them."""
    known = list(dict.fromkeys(datasets))
    if len(known) == 1:
        return known[0]
    return " and ".join(dict.fromkeys(map(family, known)))


def over_splits(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a method on all splits as one training, where the frame is of splits alone.

    The cell differs from split to split. It is left out, unless it tells two trainings on one split apart.
    """
    families = frame["dataset"].map(family)
    if (families == frame["dataset"]).any() or frame["dataset"].nunique() < 2:
        return frame
    cells = [cell if mixed else "" for cell, mixed in zip(frame["cell"], crowded(frame), strict=True)]
    return frame.assign(dataset=families, cell=cells)


def by_value(text: str) -> str:
    """What to sort a text by so that numbers in it go by their values: steps=9000 before steps=18000."""
    return NUMBER.sub(lambda found: f"{float(found[0]):040.20f}", text)


def _several(pairs: Iterable[tuple[K, str]]) -> set[K]:
    """The keys that come with more than one value."""
    values: defaultdict[K, set[str]] = defaultdict(set)
    for key, value in pairs:
        values[key].add(value)
    return {key for key, known in values.items() if len(known) > 1}


def _trainings(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(zip(*(frame[column].astype(str) for column in TRAINING), strict=True))


def described(frame: pd.DataFrame) -> list[tuple[Hashable, str, str, str, str]]:
    """Of each row (place, label, settings, plug-in, cell), as `tell_apart` takes them."""
    plugins = frame["plugin"] if "plugin" in frame else [""] * len(frame)
    places = zip(frame["dataset"], frame["protocol"], strict=True)
    columns = (labels(frame), frame["settings"].astype(str), plugins, frame["cell"].astype(str))
    # a row that was written before plug-ins were recorded has none
    return [
        (place, label, setting, plugin if isinstance(plugin, str) else "", cell)
        for place, label, setting, plugin, cell in zip(places, *columns, strict=True)
    ]
