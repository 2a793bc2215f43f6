"""Settings that are chosen with labels and without, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from disbench import leaderboards
from disbench.errors import UsageError
from disbench.leaderboards import plots, report, tuning
from disbench.leaderboards.report import Findings

SCORES = {"a": (0.5, 0.1), "b": (0.2, 0.36), "c": (0.1, 0.1)}
AGREEMENT = {"a": (0.2, 0.4), "b": (0.6, 0.6), "c": (0.1, 0.1)}
BETA = {"a": 1.0, "b": 4.0, "c": 16.0}


def row(cell, seed, score, metric="mig", higher=True, **more):
    return {
        "dataset": "dsprites-32",
        "protocol": "mini",
        "method": "vae",
        "variant": "",
        "settings": f"mini, beta={BETA.get(cell, 0)}",
        "cell": cell,
        "metric": metric,
        "preset": "dlib",
        "seed": seed,
        "score": score,
        "state": "done",
        "higher_is_better": higher,
        "run": "r",
        "folder": f"vae-{cell}/seed-{seed}",
        "metric_settings": "{}",
        "changed": "{}",
        **more,
    }


def frame(scores=SCORES, *more):
    rows = [row(cell, seed, score) for cell, of in scores.items() for seed, score in enumerate(of)]
    made = leaderboards.scores([*rows, *more])
    return made.assign(beta=made["cell"].map(BETA), steps=60)


def agreement(of=AGREEMENT):
    rows = [("r", f"vae-{cell}/seed-{seed}", u) for cell, each in of.items() for seed, u in enumerate(each)]
    return pd.DataFrame(rows, columns=["run", "folder", "score"])


def tuned(rows=None, metric="mig", of=AGREEMENT):
    return tuning.tuned(frame() if rows is None else rows, ["beta", "steps"], metric, "dlib", agreement(of))


def test_both_choices_by_hand():
    """Means .30, .28 and .10: a is chosen. Without seed 0, b is the best and has .2 with seed 0; without
    seed 1, a is, and has .1 with seed 1. The agreement is .3, .6 and .1: b is chosen, and the ranks 3, 2, 1
    and 2, 3, 1 correlate by 1 - 6 * 2 / (3 * 8).
    """
    (found,) = tuned()
    assert found.fields == ["beta"]
    assert found.table["cell"].tolist() == ["a", "b", "c"]
    assert found.table["rank"].tolist() == [1, 2, 3]
    assert found.table["score"].tolist() == pytest.approx([0.3, 0.28, 0.1])
    assert found.table["std"].tolist() == pytest.approx([0.4 / math.sqrt(2), 0.16 / math.sqrt(2), 0])
    assert found.table["agreement"].tolist() == pytest.approx([0.3, 0.6, 0.1])
    assert (found.chosen, found.unlabelled) == ([0], [1])
    worth = found.worth.iloc[0]
    names = ["settings", "chosen", "held_out", "unlabelled", "mean", "best", "spearman"]
    assert worth[names].tolist() == pytest.approx([3, 0.3, 0.15, 0.28, 0.68 / 3, 0.3, 0.5])


def test_a_metric_of_which_less_is_better_chooses_the_least():
    """Scores of irs: .5, .4 and .6 with both seeds. b is chosen, also without either seed."""
    irs = {"a": 0.5, "b": 0.4, "c": 0.6}
    rows = frame(SCORES, *(row(c, seed, irs[c], "irs", False) for c in irs for seed in (0, 1)))
    (found,) = tuned(rows, "irs")
    assert found.table["cell"].tolist() == ["b", "a", "c"]
    worth = found.worth.set_index("metric")
    assert worth.loc["irs", ["chosen", "held_out", "best", "spearman"]].tolist() == pytest.approx(
        [0.4, 0.4, 0.4, 1]
    )
    assert worth.loc["mig", ["chosen", "held_out"]].tolist() == pytest.approx([0.28, 0.28])


def test_failed_and_missing_seeds_are_counted_and_average_nothing_away():
    scores = {"a": (0.5, None), "b": (0.2, 0.36), "c": (None, None)}
    rows = frame(scores)
    failed = (rows["cell"] == "c") | ((rows["cell"] == "a") & (rows["seed"] == 1))
    rows["state"] = np.where(failed, "failed", "done")
    (found,) = tuned(rows)
    table = found.table.set_index("cell")
    assert table["n"].tolist() == [1, 2, 0]
    assert table["failed"].tolist() == [1, 0, 2]
    assert table.loc["c", ["rank", "score"]].isna().all()
    # without seed 0, only b has a score; without seed 1, a does, and has none with seed 1
    assert found.worth["held_out"][0] == pytest.approx(0.2)
    text = tuning.shown(found, "mig · dlib", "udr:dlib")
    assert text["rank"].tolist() == ["1", "2", "–"]
    assert text["failed"].tolist() == ["1", "0", "2"]


def test_a_mean_over_fewer_seeds_than_were_trained_is_told():
    """Of sap, one seed of a has no score, which its mean of the others does not show."""
    sap = [row(c, seed, None if (c, seed) == ("a", 1) else 0.2, "sap") for c in SCORES for seed in (0, 1)]
    (found,) = tuned(frame(SCORES, *sap))
    assert found.fewer == ["sap · dlib"]
    assert tuning.notes(found, "mig · dlib", "udr:dlib")[-1].endswith("trained seeds: sap · dlib")
    assert tuned()[0].fewer == []


def test_equal_settings_score_their_mean_and_are_named():
    """A setting that stands first by chance alone is no choice."""
    scores = {"a": (0.3, 0.3), "b": (0.3, 0.3), "c": (0.1, 0.1)}
    irs = {"a": 0.8, "b": 0.2, "c": 0.5}
    rows = frame(scores, *(row(c, seed, irs[c], "sap") for c in irs for seed in (0, 1)))
    (found,) = tuned(rows, of=dict.fromkeys(SCORES, (0.0, 0.0)))
    assert found.chosen == [0, 1]
    worth = found.worth.set_index("metric")
    assert worth.loc["sap", "chosen"] == pytest.approx(0.5)
    assert worth.loc["mig", "unlabelled"] == pytest.approx(0.7 / 3)
    told = tuning.notes(found, "mig · dlib", "udr:dlib")
    assert told[0] == "chosen by mig · dlib: vae (beta=1) and, equal to it, (beta=4), of 3 settings"
    assert told[1] == "chosen without labels by udr:dlib: vae none, since all settings are equal"


def test_settings_whose_means_differ_by_rounding_are_equal():
    """.1, .2 and .3 from either end; the agreement too."""
    of = {"a": (0.1, 0.2, 0.3), "b": (0.3, 0.2, 0.1), "c": (0.1, 0.1, 0.1)}
    (found,) = tuned(frame(of), of=of)
    assert found.chosen == found.unlabelled == [0, 1]
    assert list(found.table["rank"]) == [1, 1, 3]


def test_what_is_held_out_does_not_depend_on_the_order_of_equal_settings():
    """Without seed 2 both are equal, and it was the first of them that counted: .43 or .17 by their order.
    By hand: (.2 + .2 + (.9 + .1) / 2) / 3, where without seed 0 or 1 the first is the better.
    """
    scores = np.array([[0.2, 0.2, 0.9], [0.2, 0.2, 0.1]])
    assert tuning.held_out(scores, scores) == pytest.approx(0.3)
    assert tuning.held_out(scores[::-1], scores[::-1]) == pytest.approx(0.3)
    # the mean of three tenths is more than a tenth by rounding alone: (.5 + 3 * .1) / 4
    rounded = np.array([[0.9, 0.1, 0.1, 0.1], [0.1, 0.1, math.nan, math.nan]])
    assert tuning.held_out(rounded, rounded) == pytest.approx(0.2)


def test_a_choice_without_labels_says_among_how_many_settings_it_was():
    """With the agreement of two of three settings, their rank correlation was told to be of three."""
    (found,) = tuned(of={name: AGREEMENT[name] for name in "ab"})
    assert found.worth["settings"].tolist() == [3]
    assert found.worth["compared"].tolist() == [2]
    told = " ".join(tuning.notes(found, "mig · dlib", "udr:dlib"))
    assert "by udr:dlib: vae (beta=4), of 2 whose agreement is known" in told
    assert "of 2 settings: independent rankings" in tuning.notes_on_worth(found.worth, "mig · dlib", "udr")[1]
    (whole,) = tuned()
    assert "is known" not in " ".join(tuning.notes(whole, "mig · dlib", "udr:dlib"))
    # of one there is no correlation, and nothing is said of it
    (found,) = tuned(of={"a": AGREEMENT["a"]})
    assert "spearman" not in " ".join(tuning.notes_on_worth(found.worth, "mig · dlib", "udr:dlib"))


def test_without_agreement_there_is_no_choice_without_labels():
    (found,) = tuned(of={})
    assert found.unlabelled == []
    assert found.worth[["unlabelled", "spearman"]].isna().all(axis=None)
    assert "unlabelled" not in tuning.shown_worth(found.worth)
    assert len(tuning.notes(found, "mig · dlib", "udr:dlib")) == 1
    assert len(tuning.notes_on_worth(found.worth, "mig · dlib", "udr:dlib")) == 1


def test_one_seed_each_holds_nothing_out():
    (found,) = tuned(frame({cell: scores[:1] for cell, scores in SCORES.items()}))
    assert np.isnan(found.worth["held_out"][0])
    assert found.worth["chosen"][0] == 0.5


def test_methods_and_data_sets_are_pools_and_one_setting_is_none():
    other = [row(c, s, v, method="betavae") for c, of in SCORES.items() for s, v in enumerate(of)]
    apart = [row(c, s, v, dataset="digits-32") for c, of in SCORES.items() for s, v in enumerate(of)]
    lone = [row("a", seed, 0.5, method="gan") for seed in (0, 1)]
    found = tuned(frame(SCORES, *other, *apart, *lone))
    assert [(each.label, each.table["dataset"][0]) for each in found] == [
        ("vae", "digits-32"),
        ("betavae", "dsprites-32"),
        ("vae", "dsprites-32"),
    ]


def test_what_the_choice_without_labels_loses_is_told_over_methods():
    """By labels .15 held out, without .28, of any .227, of both methods alike."""
    other = [row(c, s, v, method="betavae") for c, of in SCORES.items() for s, v in enumerate(of)]
    worth = pd.concat([each.worth for each in tuned(frame(SCORES, *other))], ignore_index=True)
    told = tuning.notes_on_worth(worth, "mig · dlib", "udr:dlib")
    assert told[-1] == (
        "mig · dlib, averaged over 2 methods: 0.150 by labels (held out), 0.280 without labels, 0.227 of a "
        "setting at random"
    )


def test_a_report_shows_the_settings_of_a_method_that_has_several():
    rows = frame()
    facts = {"protocols": {"mini": ("summary", True)}, "judge": ("mig", "dlib")}
    page = report.render(Findings(["r"], rows, **facts, tuned=tuned(), without="udr:dlib"))
    assert '<section id="settings">' in page
    assert "chosen by mig · dlib: vae (beta=1), of 3 settings" in page
    assert "chosen without labels by udr:dlib: vae (beta=4)" in page
    assert 'id="settings"' not in report.render(Findings(["r"], rows, **facts))


def test_the_picture_marks_the_choices():
    (found,) = tuned()
    figure = plots.tuned([found], "MIG", "udr:dlib")
    (axis,) = figure.axes
    drawn = {line.get_marker(): [round(x, 3) for x in line.get_xdata()] for line in axis.lines}
    assert drawn["D"] == [0.28]
    assert drawn["|"] == [0.227]
    rings = [line for line in axis.lines if line.get_markerfacecolor() == "none"]
    assert [round(x, 3) for line in rings for x in line.get_xdata()] == [0.3]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["VAE\n3 settings"]
    (less,) = tuned(frame(SCORES, row("a", 2, None, state="failed", reason="diverged")))
    (axis,) = plots.tuned([less], "MIG", "udr:dlib").axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["VAE\n3 settings, 1 failed seed"]
    with pytest.raises(UsageError, match="no method has several settings"):
        plots.tuned([], "MIG", "udr:dlib")
