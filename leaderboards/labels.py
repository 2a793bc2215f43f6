"""The one rule for names: how a row is called, and how two rows are told apart.

A training is a method with a variant, under settings, on a data set, under a protocol. Its digest is the
*cell*, which covers all of that and the code of a plug-in. Its short name is the label, such as "betavae" or
"elastic_infogan-uniform". Where a frame holds several trainings of one label, `names` adds the difference:
settings, then the code of the plug-in, then the cell. No two trainings on one data set under one protocol
share a name.
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
# What follows a metric's name, or its preset in a row, for a score of the generator.
OF_GENERATOR = "@generator"
# Between the hash of a training and a digest, where the scores of one training have several.
APART = "/"
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]\d+)?")

K = TypeVar("K", bound=Hashable)


def label(method: str, variant: str) -> str:
    """The short name of a method with its variant."""
    return f"{method}-{variant}" if variant else str(method)


def labels(frame: pd.DataFrame) -> list[str]:
    """The short name of each row."""
    return [label(method, variant) for method, variant in zip(frame["method"], frame["variant"], strict=True)]


def metric(name: object, preset: object) -> str:
    """A metric under a preset: "mig · dlib"."""
    return f"{name} · {preset}"


def side_of(preset: str) -> tuple[str, bool]:
    """The preset in the label of a row, and whether it is a score of the generator: `dlib@generator, ...`."""
    base = preset.partition(",")[0].strip()
    return base.removesuffix(OF_GENERATOR), base.endswith(OF_GENERATOR)


def folder(label: str, cell: str) -> str:
    """The folder of a training within a run: "betavae-1a2b3c4d"."""
    return f"{label}-{cell}"


def cell_of(cell: str) -> str:
    """The hash of a training, without the digest that `aggregate.set_apart` may have added."""
    return cell.partition(APART)[0]


def split_folder(name: str) -> tuple[str, str]:
    """Label and cell of a folder's name."""
    label, _, cell = name.rpartition("-")
    return label, cell


def names(frame: pd.DataFrame, of: pd.DataFrame | None = None) -> list[str]:
    """The name of each row: its label and, in brackets, what tells it from others of that label.

    A name says nothing of data set and protocol, so that a training on another data set has the same one.

    Args:
        frame: rows with the columns `TRAINING`.
        of: the rows among which the names must differ; the frame itself by default.
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
    # An addition for one place is made for all, so that a training has the same name on every data set.
    with_plugin = {(label, setting) for _, label, setting in plugins}
    with_cell = {tuple(about) for _, *about in cells}
    names = []
    for _, label, setting, plugin, cell in trainings:
        parts = [setting] if label in with_settings else []
        if (label, setting) in with_plugin:
            parts.append(f"plug-in {plugin.rpartition(' ')[2][:8]}" if plugin else "built in")
        if (label, setting, plugin) in with_cell:
            parts.append(cell)
        names.append(f"{label} ({', '.join(parts)})" if parts else label)
    return names


def with_places(names: Sequence[str], places: Sequence[tuple[str, str]]) -> list[str]:
    """The names, with data set and protocol where these differ: "vae on mnist-28 under mini".

    Args:
        names: of trainings.
        places: (data set, protocol) of each.
    """
    datasets, protocols = ({place[i] for place in places} for i in (0, 1))
    return [
        name
        + (f" on {dataset}" if len(datasets) > 1 else "")
        + (f" under {protocol}" if len(protocols) > 1 else "")
        for name, (dataset, protocol) in zip(names, places, strict=True)
    ]


def crowded(frame: pd.DataFrame) -> list[bool]:
    """Whether each row has the label and the settings of another training on the same data set."""
    several = _several(((place, label, setting), cell) for place, label, setting, _, cell in described(frame))
    return [(place, label, setting) in several for place, label, setting, _, _ in described(frame)]


def needless(frame: pd.DataFrame) -> list[str]:
    """Those of the columns settings and cell that tell no two rows apart."""
    columns = []
    for column, before in (("settings", ("method", "variant")), ("cell", TRAINING[:-1])):
        if column in frame and {"method", "variant"} <= set(frame):
            kinds = frame.groupby([name for name in before if name in frame], dropna=False)[column].nunique()
            columns += [column] if (kinds <= 1).all() else []
    return columns


def family(dataset: str) -> str:
    """The name of a data set without the number of its imbalanced split: "digits:imbalanced-*-28"."""
    head, middle, tail = dataset.partition(SPLIT)
    return f"{head}{middle}*-{tail.rpartition('-')[2]}" if middle else dataset


def split(dataset: str) -> str:
    """The number of a data set's imbalanced split: "0" of "digits:imbalanced-0-28"; "" where it is none."""
    _, middle, tail = dataset.partition(SPLIT)
    return tail.rpartition("-")[0] if middle else ""


def measured_on(datasets: Iterable[str]) -> str:
    """The data sets that a row averages over, in words; splits of one data set as a family."""
    known = list(dict.fromkeys(datasets))
    if len(known) == 1:
        return known[0]
    return " and ".join(dict.fromkeys(map(family, known)))


def over_splits(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with all splits of a data set as one, if it holds nothing but splits.

    The cell differs from split to split, so it is emptied, except for two trainings on one split that only
    the cell tells apart.
    """
    families = frame["dataset"].map(family)
    if (families == frame["dataset"]).any() or frame["dataset"].nunique() < 2:
        return frame
    cells = [cell if mixed else "" for cell, mixed in zip(frame["cell"], crowded(frame), strict=True)]
    return frame.assign(dataset=families, cell=cells)


def by_value(text: str) -> str:
    """A sort key of a text in which numbers sort by value: steps=9000 before steps=18000."""
    return NUMBER.sub(lambda number: f"{float(number[0]):040.20f}", text)


def _several(pairs: Iterable[tuple[K, str]]) -> set[K]:
    """The keys that come with more than one value."""
    values: defaultdict[K, set[str]] = defaultdict(set)
    for key, value in pairs:
        values[key].add(value)
    return {key for key, known in values.items() if len(known) > 1}


def _trainings(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(zip(*(frame[column].astype(str) for column in TRAINING), strict=True))


def described(frame: pd.DataFrame) -> list[tuple[Hashable, str, str, str, str]]:
    """(place, label, settings, plug-in, cell) of each row, as `tell_apart` takes them."""
    plugins = frame["plugin"] if "plugin" in frame else [""] * len(frame)
    places = zip(frame["dataset"], frame["protocol"], strict=True)
    columns = (labels(frame), frame["settings"].astype(str), plugins, frame["cell"].astype(str))
    # Rows from before plug-ins were recorded have no text there.
    return [
        (place, label, setting, plugin if isinstance(plugin, str) else "", cell)
        for place, label, setting, plugin, cell in zip(places, *columns, strict=True)
    ]
