"""Models ranked without labels, by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest

from disbench import leaderboards
from disbench.leaderboards import selection


def row(seed, score, metric="mig", higher=True, **more):
    return {
        "dataset": "dsprites-32",
        "protocol": "mini",
        "method": "vae",
        "variant": "",
        "settings": "mini",
        "cell": "c",
        "metric": metric,
        "preset": "dlib",
        "seed": seed,
        "score": score,
        "state": "done",
        "higher_is_better": higher,
        "run": "r",
        "folder": f"vae-c/seed-{seed}",
        **more,
    }


FRAME = leaderboards.scores(
    [row(seed, score) for seed, score in enumerate([0.4, 0.1, 0.3, 0.2])]
    + [row(seed, score, "irs", False) for seed, score in enumerate([0.4, 0.1, 0.3, 0.2])]
)
MODELS = FRAME.drop_duplicates(selection.MODEL).reset_index(drop=True)


def test_the_best_comes_first_and_equal_scores_share_a_rank():
    pool = selection.ranked(MODELS, [0.5, 0.7, 0.7, 0.1])
    assert pool["seed"].tolist() == [1, 2, 0, 3]
    assert pool["rank"].tolist() == [1, 1, 3, 4]
    assert pool["score"].tolist() == [0.7, 0.7, 0.5, 0.1]
    assert selection.ranked(MODELS, [0.5, 0.7, 0.7, 0.1], False)["seed"].tolist() == [3, 0, 1, 2]
    assert "equal to it: vae seed 2" in selection.notes(pool, "udr:dlib")


def test_each_metric_is_a_column_beside_the_rank():
    table = selection.with_scores(selection.ranked(MODELS, [1, 2, 3, 4]), FRAME)
    assert table["seed"].tolist() == [3, 2, 1, 0]
    assert table["mig · dlib"].tolist() == [0.2, 0.3, 0.1, 0.4]
    assert list(selection.shown(table, "udr:dlib").columns) == [
        *("method", "seed", "rank", "udr:dlib", "irs · dlib", "mig · dlib")
    ]


def test_what_the_choice_scores_by_hand():
    """The scores .4, .1, .3, .2 are in ranks 1, 4, 2, 3 and the others in 2, 4, 1, 3: the differences squared
    add up to 2, so that the correlation is 1 - 6 * 2 / (4 * 15) = .8; where low is good, it is the opposite.
    """
    pool = selection.ranked(MODELS, [0.8, 0.2, 0.9, 0.3])
    found = selection.compared(pool, FRAME).set_index("metric")
    assert found.loc["mig", "seed"] == 2
    assert found.loc["mig", ["chosen", "mean", "best", "spearman"]].tolist() == pytest.approx(
        [0.3, 0.25, 0.4, 0.8]
    )
    assert found.loc["irs", ["chosen", "best", "spearman"]].tolist() == pytest.approx([0.3, 0.1, -0.8])
    assert found["n"].tolist() == [4, 4]


def test_a_model_without_a_label_score_is_left_out_of_the_comparison_alone():
    frame = leaderboards.scores([row(0, 0.4), row(1, 0.1), row(2, None), row(3, 0.2)])
    found = selection.compared(selection.ranked(MODELS, [1, 2, 9, 4]), frame).iloc[0]
    assert (found["n"], found["seed"]) == (3, 2)
    assert np.isnan(found["chosen"])
    assert found["mean"] == pytest.approx(0.7 / 3)
    none = leaderboards.scores([row(seed, None) for seed in range(4)])
    assert selection.compared(selection.ranked(MODELS, [1, 2, 3, 4]), none).empty
    assert (
        selection.notes_on_comparison(selection.compared(selection.ranked(MODELS, [1, 2, 3, 4]), none)) == []
    )


def test_equal_models_are_no_choice():
    pool = selection.ranked(MODELS, [0.0] * 4)
    assert not selection.tells_apart(pool)
    assert selection.notes(pool, "udr:dlib") == ["no choice by udr:dlib: the 4 models of vae all have 0.000"]
    found = selection.compared(pool, FRAME)
    assert found["seed"].isna().all()
    assert found["chosen"].isna().all()
    assert found["spearman"].isna().all()
    assert set(selection.shown_comparison(found)["seed"]) == {"–"}


def test_the_choice_is_named_with_what_tells_it_from_others():
    models = pd.concat(
        [MODELS, MODELS.assign(settings="mini, beta=2.0", cell="d", run="s")], ignore_index=True
    )
    pool = selection.ranked(models, [1, 2, 3, 4, 5, 6, 7, 8])
    told = "chosen without labels by udr:dlib: vae (mini, beta=2.0) seed 3, of 8 models, in s"
    assert selection.notes(pool, "udr:dlib") == [told]
    shown = selection.shown(selection.with_scores(pool, FRAME), "udr:dlib")
    assert shown["settings"].tolist() == ["mini, beta=2.0"] * 4 + ["mini"] * 4
    assert shown["mig · dlib"].tolist()[:4] == ["–"] * 4  # the frame has no scores of these


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_what_independent_rankings_reach_is_counted_exactly(n):
    """All rankings of n, one by one: at most one in twenty exceeds the number, more than that reach it."""
    given = np.arange(n) - (n - 1) / 2
    all_of_them = np.array([np.dot(p, given) for p in itertools.permutations(given)]) / (given @ given)
    sizes, limit = np.abs(all_of_them), selection.by_accident(n)
    assert (sizes > limit + 1e-9).mean() <= 0.05 < (sizes > limit - 1e-9).mean()


def test_the_sentence_below_says_how_little_few_models_tell():
    few = selection.compared(selection.ranked(MODELS, [1, 2, 3, 4]), FRAME)
    assert "with 4 of them, independent rankings often reach ±1.00" in selection.notes_on_comparison(few)[1]
    assert "exceeds ±0.71" in selection.notes_on_comparison(few.assign(n=8))[1]
