"""What a metric is asked for beside its data is refused where it makes no sense, in one sentence."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from disbench import metrics, ranges
from disbench.errors import UsageError
from disbench.metrics.registry import built_in
from disbench.ranges import Range

F = np.stack(np.unravel_index(np.arange(240) % 60, (3, 4, 5)), axis=1)
SETTINGS = [(name, setting) for name in built_in() for setting in metrics.get(name).settings()]


def range_of(kind):
    """The range in a type, also within a union or a tuple."""
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, Range):
            return note
    found = [range_of(inner) for inner in typing.get_args(kind) if inner is not Ellipsis]
    return next((each for each in found if each), None)


def holds(kind, wanted):
    """Whether a type is one of those wanted, or has one within it."""
    return kind in wanted or any(holds(inner, wanted) for inner in typing.get_args(kind))


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_every_number_declares_its_range_and_every_preset_lies_in_it(name, setting):
    kind = metrics.get(name).hints.get(setting)
    assert kind is not None, "declare its type, and of a number its range, as in disbench/ranges.py"
    for preset in metrics.get(name).presets.values():
        assert ranges.mistake(setting, preset[setting], kind) is None
    if not holds(kind, (int, float)):
        assert holds(kind, (bool, str))
        return
    known = range_of(kind)
    assert known is not None, "declare its range, as in disbench/ranges.py"
    low = known.low if known.above else known.low - 1
    wrong = low if holds(kind, (float,)) else int(low)
    for value in (wrong, float("nan"), "3"):
        several = (value,) if typing.get_origin(kind) is tuple else value
        with pytest.raises(UsageError, match=f"{name}.{setting}=.* was given, but"):
            metrics.get(name).settings(**{setting: several})


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("sap", {"C": -1}, "sap.C=-1 was given, but it must be above 0."),
        ("sap", {"held_out": "false"}, "but it must be True or False."),
        ("sap", {"continuous": "no"}, "but it must be True or False or a tuple, each of it True or False."),
        ("dci", {"weighted": 1}, "dci.weighted=1 was given, but it must be True or False."),
        ("dci", {"trees": True}, "but it must be a whole number or None."),
        ("mig", {"bins": 20.0}, "mig.bins=20.0 was given, but it must be a whole number."),
        ("mig", {"bins": None}, "but it must be a whole number."),
        ("mig", {"preset": ""}, "unknown preset of mig ''"),
        ("downstream", {"sizes": ()}, "but it must be a tuple, each of it a whole number."),
        (
            "sap",
            {"rng": 3},
            "rng must be a np.random.Generator, but is int 3; pass rng=np.random.default_rng(3)",
        ),
        ("infomec", {"rng": None}, "but is None; pass rng=np.random.default_rng(0)"),
        ("dci", {"rng": np.random.RandomState(0)}, "rng must be a np.random.Generator, but is RandomState"),
        ("dci", {"n_jobs": 0}, "n_jobs must be a number of processes, or -1 for one per core, but is 0"),
        ("sap", {"split": 0.5}, "split must be two lists of row numbers, (train, test), but is 0.5"),
        ("sap", {"split": ([0, 1], [2], [3])}, "(train, test), but is ([0, 1], [2], [3])"),
        ("sap", {"split": ([-1, 0], [2])}, "the train part of split names row -1, but there are 240 rows"),
    ],
)
def test_it_is_refused_in_one_sentence(name, settings, said):
    rng = {"rng": np.random.default_rng(0)} if metrics.get(name).takes("rng") else {}
    with pytest.raises(UsageError) as refused:
        metrics.get(name)(F, F, **{**rng, **settings})
    assert said in str(refused.value)
    assert str(refused.value).startswith((name, "unknown"))


def test_a_needed_generator_that_is_not_given_is_asked_for():
    with pytest.raises(UsageError, match=r"dci: rng must be a np.random.Generator, but is None"):
        metrics.dci(F, F)
    with pytest.raises(UsageError, match=r"factor_vae: rng must be"):
        metrics.get("factor_vae").rows((3, 4), 0)


def test_numbers_of_numpy_are_recorded_as_python_s_own():
    score = metrics.mig(F, F, bins=np.int64(5))
    assert type(score.settings["bins"]) is int
    assert score.preset == "dlib, bins=5"
    which = np.array([True, False, True])
    assert metrics.sap(F, F, rng=np.random.default_rng(0), continuous=which).settings["continuous"] == (
        True,
        False,
        True,
    )


@pytest.mark.parametrize("sizes", [np.array([3, 4]), 5, (3.0, 4.0), (), (3, 0)])
def test_a_grid_is_a_tuple_of_whole_numbers(sizes):
    with pytest.raises(UsageError, match="a grid needs a tuple of whole numbers"):
        metrics.Grid(sizes)


def test_a_clustering_metric_says_what_it_takes():
    with pytest.raises(UsageError, match="nmi: takes a ContingencyTable, but got ndarray"):
        metrics.nmi(np.eye(3))
    labels = np.array([0, 1], "u8")
    assert metrics.ContingencyTable.from_labels(labels, labels).counts.tolist() == [[1, 0], [0, 1]]
