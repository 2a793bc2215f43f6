"""The entries of `scores.json`: what was asked, the score, and whether they answer another question."""

import dataclasses
import json

import numpy as np
import pytest

from disbench import metrics, plugins
from disbench.benchmark.protocols import MetricChoice, choose_metrics
from disbench.benchmark.scoring.entries import Draws, ScoreEntry, answer, read_entries
from disbench.metrics import Grid

GRID = Grid((3, 4))
FACTORS = GRID.factors(np.arange(len(GRID)))
(MIG,) = choose_metrics("mig")
CHANGED = MetricChoice(name="mig", preset="dlib", settings={"bins": 5}).resolved()


def measured(choice):
    score = metrics.get(choice.name)(FACTORS + 0.25, FACTORS, preset=choice.preset, **choice.settings)
    return ScoreEntry.measured(choice, score, None, 1.23456)


def through_json(entry):
    return ScoreEntry.read(json.loads(json.dumps(entry.plain(), allow_nan=False)))


def test_a_measured_entry_by_hand():
    entry = measured(CHANGED)
    assert (entry.metric, entry.preset, entry.changed, entry.plugin) == ("mig", "dlib", {"bins": 5}, None)
    assert entry.label == "dlib, bins=5"
    assert entry.settings["bins"] == 5
    assert entry.seconds == 1.235
    assert entry.score == pytest.approx(1.0)
    assert entry.reason is None
    assert entry.draws is None


@pytest.mark.parametrize(
    "entry",
    [
        measured(MIG),
        measured(CHANGED),
        dataclasses.replace(measured(MIG), draws=Draws.of([0.25, 0.75]), shuffled=Draws.of([0.0, 0.1])),
        dataclasses.replace(measured(MIG), draws=Draws.of([0.25, None])),
        dataclasses.replace(measured(MIG), draws=Draws.of_parts([0.25, 0.5], 0.25)),
        ScoreEntry.pending(MIG),
        ScoreEntry.pending(CHANGED, "mig: 3 rows are too few"),
    ],
    ids=["measured", "changed", "draws", "a draw without a score", "parts", "pending", "refused"],
)
def test_as_json_and_back_it_is_the_same(entry):
    assert through_json(entry) == entry


def test_several_draws_are_summed_up_by_hand():
    assert Draws.of([1.0, 3.0]) == Draws([1.0, 3.0], mean=2.0, std=pytest.approx(2**0.5), min=1.0, max=3.0)
    assert Draws.of([0.5]) == Draws([0.5], mean=0.5, std=None, min=0.5, max=0.5)
    assert Draws.of([0.5, None]) == Draws([0.5, None], None, None, None, None)


def test_the_spread_of_a_whole_follows_from_that_of_its_quarters_by_hand():
    """Of independent rows, quarters without replacement differ by s^2 (4 - 1) from the whole's mean."""
    parts = Draws.of_parts([1.0, 3.0], 0.25)
    assert parts == Draws([1.0, 3.0], None, pytest.approx((2 / 3) ** 0.5), None, None, 0.25)


@pytest.mark.parametrize(
    ("score", "chance", "perfect", "adjusted"),
    [(0.6, 0.2, 1.0, 0.5), (1.5, 2.0, 0.0, 0.25), (0.6, 0.2, None, None), (0.6, None, 1.0, None)],
)
def test_an_adjusted_score_is_0_by_chance_and_1_if_perfect(score, chance, perfect, adjusted):
    shuffled = None if chance is None else Draws.of([chance - 0.1, chance + 0.1])
    entry = dataclasses.replace(measured(MIG), score=score, perfect=perfect, shuffled=shuffled)
    assert entry.adjusted == (None if adjusted is None else pytest.approx(adjusted))


def test_further_warnings_come_after_the_metric_s_own():
    entry = dataclasses.replace(measured(MIG), warnings=["one"]).with_notes(("two",))
    assert entry.warnings == ["one", "two"]


def test_an_entry_without_a_score_says_only_what_was_asked():
    assert ScoreEntry.pending(CHANGED, "why").plain() == {
        "metric": "mig",
        "preset": "dlib",
        "changed": {"bins": 5},
        "plugin": None,
        "score": None,
        "label": "dlib, bins=5",
        "reason": "why",
        "higher_is_better": True,
    }


def test_an_entry_without_a_score_has_the_direction_of_its_metric():
    """Beside scored ones a leaderboard would otherwise have two columns of one metric."""
    (error,) = choose_metrics("reconstruction")
    assert through_json(ScoreEntry.pending(error, "why")).higher_is_better is False


def test_a_score_that_is_no_number_has_the_metric_s_warnings_as_its_reason():
    score = metrics.Score(float("nan"), parts={"a": np.array([np.inf, 1])}, warnings=("one", "two"))
    entry = ScoreEntry.measured(MIG, score, None, 0.0)
    assert entry.score is None
    assert entry.reason == "one; two"
    assert entry.parts == {"a": [None, 1.0]}
    assert through_json(entry) == entry


def test_what_an_older_file_lacks_has_its_default():
    older = measured(MIG).plain()
    for name in ("plugin", "classifier", "n_encoded", "live", "seconds"):
        del older[name]
    entry = ScoreEntry.read(older)
    assert (entry.plugin, entry.classifier, entry.n_encoded, entry.live, entry.seconds) == (
        None, None, 0, None, 0.0,
    )  # fmt: skip
    assert entry.score == measured(MIG).score


def test_what_a_newer_file_has_besides_is_not_read():
    assert ScoreEntry.read({**measured(MIG).plain(), "mood": "good"}) == measured(MIG)


@pytest.mark.parametrize("content", [None, {}, "mig", [1], [{}], [{"preset": "dlib"}]])
def test_what_are_no_entries_are_none(content):
    assert read_entries(content) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"draws": {"scores": [0.1], "mean": "x", "std": None, "min": None, "max": None}},
        {"draws": {"mean": 0.1}},
        {"shuffled": {"scores": [[0.1]], "mean": 0.1, "std": 0.1, "min": 0.1, "max": 0.1}},
        {"shuffled": {"scores": [0.1], "mean": 1e308, "std": 0.1, "min": 0.1, "max": 0.1}},
        {"shuffled": {"scores": [0.1], "mean": 0.1, "std": True, "min": 0.1, "max": 0.1}},
        {"beside": {"rule": "kl", "live": "4", "codes": 10, "score": 0.1}},
        {"beside": {"rule": "kl", "live": 4, "codes": 10, "score": 0.1, "draws": {"scores": "abc"}}},
        {"perfect": "one"},
    ],
)
def test_what_is_known_of_a_score_is_numbers_or_the_file_is_none(odd):
    good = measured(MIG).plain()
    assert read_entries([good])
    assert read_entries([{**good, **odd}]) is None


def test_a_file_s_entries_are_read_in_order():
    entries = [measured(MIG), ScoreEntry.pending(CHANGED, "why")]
    assert read_entries([entry.plain() for entry in entries]) == entries


def test_scores_answer_exactly_their_own_question(monkeypatch):
    (sap,) = choose_metrics("sap")
    entries = [through_json(measured(MIG)), ScoreEntry.pending(sap, "why")]
    assert answer(entries, [MIG, sap])
    assert not answer(None, [MIG, sap])
    assert answer(entries, [sap, MIG]), "another order"
    assert answer(entries, [MIG]), "others may be there too"
    assert not answer(entries, [CHANGED, sap]), "another setting"
    other = next(preset for preset in metrics.get("mig").presets if preset != MIG.preset)
    assert not answer(entries, [MetricChoice(name="mig", preset=other), sap]), "another preset"
    monkeypatch.setattr(plugins, "source", lambda kind, name: "mine.py, sha256 0" if name == "mig" else "")
    assert not answer(entries, [MIG, sap]), "the code of another plug-in"
    assert answer([dataclasses.replace(entries[0], plugin="mine.py, sha256 0"), entries[1]], [MIG, sap])


def test_a_list_setting_is_answered_after_json():
    """TOML and JSON have lists where Python has tuples."""
    names = [name for name in metrics.names() if metrics.get(name).kind == "table"]
    name, setting, value = next(
        (name, setting, value)
        for name in names
        for setting, value in metrics.get(name).settings().items()
        if isinstance(value, tuple)
    )
    choice = MetricChoice(name=name, settings={setting: value}).resolved()
    assert through_json(ScoreEntry.pending(choice)).answers(
        MetricChoice(name=name, settings={setting: list(value)}).resolved()
    )
