import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from disbench.errors import UsageError
from disbench.metrics import explicitness
from disbench.metrics.explicitness import areas

FIRST = np.arange(60)


def test_areas_by_hand():
    """Of the four pairs (one of the class, one not), three are in the right order."""
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]])
    y = np.array([0, 0, 1, 1])
    assert areas(scores, y).tolist() == [0.75, 0.75]
    assert areas(np.ones((4, 2)), y).tolist() == [0.5, 0.5]


def test_areas_are_scikit_learns(rng):
    y = rng.integers(0, 4, 200)
    scores = np.round(rng.normal(size=(200, 4)), 1)  # with ties
    expected = [roc_auc_score(y == c, scores[:, c]) for c in range(4)]
    np.testing.assert_allclose(areas(scores, y), expected)


def test_perfect_codes_and_their_rotation_are_explicit(table):
    codes = np.column_stack([table[:, 0] + table[:, 1], table[:, 0] - table[:, 1], table[:, 2]])
    split = (FIRST, FIRST)
    assert explicitness(codes, table[:, :1] // 2, split=split).score == 1
    assert explicitness(table, table[:, :2] // 2, split=split).score == 1


def test_noise_is_at_chance(rng, table):
    v = np.tile(table, (50, 1))
    z = rng.normal(size=(3000, 5))
    assert explicitness(z, v, rng=rng).score == pytest.approx(0.5, abs=0.02)
    assert explicitness(z, v, preset="ubisoft").score == pytest.approx(0, abs=0.12)


def test_dead_codes_are_left_out(table):
    """Standardising them would give 0/0."""
    alive = explicitness(table, table, split=(FIRST, FIRST))
    s = explicitness(np.insert(table, 0, 7, axis=1), table, split=(FIRST, FIRST))
    assert s.score == alive.score
    assert s.live.tolist() == [False, True, True, True]


def test_a_value_on_one_side_of_the_split_only_is_left_out_and_named():
    """Value 0 is not among the rows to test on: its probabilities must not be read as another value's."""
    v = np.array([0, 1, 2] * 10 + [1, 2] * 10)[:, None]
    z = np.column_stack([v == 0, v == 1, v == 2]).astype(float)
    s = explicitness(z, v, split=(np.arange(30), np.arange(30, 50)))
    assert s.score == 1
    assert s.warnings[0] == "factor 0: 1 values are missing on one side of the split and left out"
    s = explicitness(z, v, split=(np.flatnonzero(v[:, 0] < 2), np.flatnonzero(v[:, 0] == 2)))
    assert s.score == 0.5
    assert "counted as chance" in s.warnings[1]


@pytest.mark.parametrize("wrong", [{"scale": "log"}, {"classes": "all"}])
def test_unknown_choices_are_refused(table, wrong):
    with pytest.raises(UsageError, match="of explicitness"):
        explicitness(table, table, split=(FIRST, FIRST), **wrong)
