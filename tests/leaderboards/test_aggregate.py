import numpy as np
import pandas as pd
import pytest

from disbench import leaderboards
from disbench.leaderboards.aggregate import shown


def row(seed, score, method="betavae", state="done", higher=True, **more):
    return {
        "dataset": "dsprites-32",
        "protocol": "mini",
        "method": method,
        "variant": "",
        "settings": "mini",
        "cell": "aaaa",
        "metric": "factor_vae",
        "preset": "dlib",
        "reason": None,
        "folder": "",
        "seed": seed,
        "score": score,
        "state": state,
        "higher_is_better": higher,
        **more,
    }


def board(*rows):
    return leaderboards.leaderboard(leaderboards.scores(rows))


def test_statistics_by_hand():
    found = board(row(0, 0.2), row(1, 0.4), row(2, 0.9)).iloc[0]
    assert (found["n"], found["failed"]) == (3, 0)
    assert found["mean"] == pytest.approx(0.5)
    assert found["std"] == pytest.approx(np.sqrt((0.09 + 0.01 + 0.16) / 2))  # divided by n - 1, not by n
    assert (found["median"], found["best"], found["worst"]) == (0.4, 0.9, 0.2)


def test_where_less_is_better_the_best_is_the_least():
    found = board(row(0, 0.2, higher=False), row(1, 0.4, higher=False)).iloc[0]
    assert (found["best"], found["worst"]) == (0.2, 0.4)


def test_a_failed_seed_is_counted_and_never_averaged():
    found = board(row(0, 0.2), row(1, None, state="failed", reason="loss.kl is not finite at step 7")).iloc[0]
    assert (found["n"], found["failed"], found["mean"]) == (1, 1, 0.2)
    assert np.isnan(found["std"])


def test_a_method_of_failed_seeds_alone_keeps_its_row():
    found = board(row(0, None, state="failed")).iloc[0]
    assert (found["n"], found["failed"]) == (0, 1)
    assert np.isnan(found["best"])


def test_a_seed_still_to_come_is_in_neither_count():
    found = board(row(0, 0.2), row(1, None, state="running")).iloc[0]
    assert (found["n"], found["failed"]) == (1, 0)


def test_different_settings_presets_and_data_are_never_mixed():
    rows = [
        row(0, 0.1),
        row(0, 0.2, settings="mini, beta=6.0", cell="bbbb"),
        row(0, 0.3, preset="ibgan"),
        row(0, 0.4, dataset="dsprites-64"),
        row(0, 0.5, cell="cccc"),
    ]
    assert sorted(board(*rows)["mean"]) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_missing_is_a_dash_and_idle_columns_are_left_out():
    text = shown(board(row(0, 0.25), row(0, None, method="ibgan", state="failed")))
    assert list(text.columns) == [
        "method",
        "metric",
        "preset",
        "n",
        "failed",
        *["mean", "std", "median", "best", "worst"],
    ]
    assert list(text["mean"]) == ["0.250", "–"]
    assert list(text["std"]) == ["–", "–"]


def test_settings_are_shown_where_a_method_has_several():
    text = shown(board(row(0, 0.1), row(0, 0.2, settings="mini, beta=6.0", cell="bbbb")))
    assert list(text["settings"]) == ["mini", "mini, beta=6.0"]


def test_markdown_has_a_line_per_row():
    lines = leaderboards.markdown(board(row(0, 0.25), row(0, 0.5, method="vae"))).splitlines()
    assert len(lines) == 4
    assert "0.250" in lines[2]


def test_scores_keep_every_seed():
    frame = leaderboards.scores([row(1, 0.5), row(0, None, state="failed")])
    assert list(frame["seed"]) == [0, 1]
    assert isinstance(frame, pd.DataFrame)
