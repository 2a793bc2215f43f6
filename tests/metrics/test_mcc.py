import numpy as np
import pytest
from scipy.linalg import hadamard

from disbench.errors import UsageError
from disbench.metrics import mcc

H = hadamard(8)[:, 1:].astype(float)  # orthogonal columns of mean 0 and variance 1


def test_order_and_sign_do_not_matter(table):
    assert mcc(-table[:, [2, 0, 1]], table).score == pytest.approx(1)


def test_a_rotation_by_hand(table):
    """Codes (f + g) / sqrt 2 and (f - g) / sqrt 2 correlate with each factor by 1 / sqrt 2."""
    f, g = H[:, 0], H[:, 1]
    s = mcc(np.column_stack([f + g, f - g]), np.column_stack([f, g]))
    assert s.score == pytest.approx(np.sqrt(0.5))


def test_the_assignment_is_the_best_and_not_the_greedy_one():
    """Correlations ((.75, .6), (.7, 0)): greedily .75 + 0, at best .6 + .7."""
    f, g, rest = H[:, 0], H[:, 1], H[:, 2]
    codes = np.column_stack(
        [0.75 * f + 0.6 * g + np.sqrt(1 - 0.75**2 - 0.6**2) * rest, 0.7 * f + np.sqrt(0.51) * rest]
    )
    s = mcc(codes, np.column_stack([f, g]))
    assert s.score == pytest.approx(0.65)
    assert s.parts["assignment"].tolist() == [1, 0]


def test_factors_without_a_code_count_zero():
    s = mcc(H[:, :1], H[:, :2])
    assert s.score == pytest.approx(0.5)
    assert s.parts["assignment"].tolist() == [0, -1]
    assert "1 codes cannot be matched to 2 factors" in s.warnings[0]


def test_ranks_see_any_monotone_code_as_perfect(rng):
    v = rng.normal(size=(500, 2))
    assert mcc(np.exp(3 * v), v, preset="spearman").score == pytest.approx(1)
    assert mcc(np.exp(3 * v), v).score < 0.9
    with pytest.raises(UsageError, match="unknown correlation"):
        mcc(v, v, correlation="kendall")


def test_rounding_does_not_lift_it_above_one():
    v = np.random.default_rng(0).uniform(size=(2000, 3))
    s = mcc(v + 0.01, v)
    assert 1 - 1e-9 < s.score <= 1
    assert s.parts["correlation"].max() <= 1
