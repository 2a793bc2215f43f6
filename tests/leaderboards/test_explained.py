"""The share of the variance that method, setting and seed explain, by hand."""

import numpy as np
import pandas as pd
import pytest

from disbench.leaderboards import shown
from disbench.leaderboards.explained import explained


def frame(*trainings, metric="mig"):
    """Trainings are (method, setting, scores)."""
    rows = [
        {
            "dataset": "d",
            "protocol": "p",
            "method": method,
            "variant": "",
            "settings": setting,
            "cell": f"{method}{setting}",
            "metric": metric,
            "preset": "dlib",
            "seed": seed,
            "score": score,
        }
        for method, setting, scores in trainings
        for seed, score in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def shares(*trainings):
    (row,) = explained(frame(*trainings))[["method", "setting", "seed"]].to_numpy(float)
    return list(row)


def test_method_and_seed_by_hand():
    """Around 3: 20 over 3. Around 1 and 5: 4 over 2. So 1 - 2 / (20 / 3) = .7, where the plain R^2 is .8."""
    found = shares(("a", "", [0, 2]), ("b", "", [4, 6]))
    assert found == pytest.approx([0.7, np.nan, 0.3], nan_ok=True)


def test_settings_by_hand():
    """Around 8: 240 / 7. Around 3 and 13: 40 / 6. Around the trainings: 8 / 4."""
    found = shares(("a", "1", [0, 2]), ("a", "2", [4, 6]), ("b", "1", [10, 12]), ("b", "2", [14, 16]))
    whole = 240 / 7
    assert found == pytest.approx([1 - 40 / 6 / whole, (40 / 6 - 2) / whole, 2 / whole])
    assert sum(found) == pytest.approx(1)


def test_settings_of_one_method_by_hand():
    found = shares(("a", "1", [0, 2]), ("a", "2", [4, 6]))
    assert found == pytest.approx([np.nan, 0.7, 0.3], nan_ok=True)


def test_of_seeds_alone_nothing_else_explains_anything_on_average():
    """With three seeds of six methods the plain R^2 is 5 / 17 on average."""
    rng = np.random.default_rng(0)
    drawn = [shares(*((name, "", rng.normal(size=3)) for name in "abcdef")) for _ in range(300)]
    # shares below 0 are set to 0, so that the mean is a little above it
    assert np.mean(drawn, axis=0)[0] < 0.12
    assert np.median(drawn, axis=0)[0] < 0.02


@pytest.mark.parametrize(
    "trainings",
    [
        [("a", "", [1, 2, 3])],
        [("a", "", [1]), ("b", "", [2])],
        [("a", "", [1, 1]), ("b", "", [1, 1])],
        [("a", "", [0.1] * 3), ("b", "", [0.1] * 5), ("c", "", [0.1] * 7)],
        [("a", "", [1, None]), ("b", "", [2, None])],
    ],
    ids=["one training", "one seed", "equal", "equal, but not their means", "no second score"],
)
def test_what_cannot_be_told_is_left_out(trainings):
    found = explained(frame(*trainings))
    assert found.empty
    assert list(found.columns)[-3:] == ["method", "setting", "seed"]


def test_it_is_shown_in_percent_with_its_reading():
    found = explained(frame(("a", "", [0, 2]), ("b", "", [4, 6])))
    text, sentences = shown.explained(found)
    assert text[["metric", "method", "seed"]].to_numpy().tolist() == [["mig", "70 %", "30 %"]]
    assert "setting" not in text
    assert "2 methods, 4 scores" in " ".join(sentences)
