"""Distances of feature sets, against closed forms and hand counts."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from disbench.errors import UsageError
from disbench.metrics import feature_distances as fd

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5)) @ RNG.normal(size=(5, 5))


def test_fid_of_a_shift_is_its_square_and_of_equal_sets_zero():
    assert fd.fid(X, X) == pytest.approx(0, abs=1e-9)
    assert fd.fid(X, X + np.array([3, 0, 0, 4, 0])) == pytest.approx(25)


def test_fid_of_a_stretch():
    """Twice the deviations: S + 4 S - 2 (2 S) = S, and the means differ by the mean."""
    centred = X - X.mean(0)
    assert fd.fid(centred, 2 * centred) == pytest.approx(np.cov(X.T).trace())


def test_fid_is_the_formula_with_a_matrix_root():
    y = RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5)) + 1
    a, b = np.cov(X.T), np.cov(y.T)
    expected = np.square(X.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert fd.fid(X, y) == pytest.approx(expected)


def test_fid_of_fewer_pictures_than_features():
    """Two points each: all variance is on one line, orthogonal lines give the sum of both variances."""
    x, y = np.array([[1.0, 0, 0], [-1, 0, 0]]), np.array([[0, 2.0, 0], [0, -2, 0]])
    assert fd.fid(x, y) == pytest.approx(2 + 8)


def test_fid_at_infinity_has_less_bias_than_fid():
    """Two samples of one Gaussian in 20 dimensions: the truth is 0."""
    x, y = np.random.default_rng(1).normal(size=(2, 1000, 20))
    plain, infinite = fd.fid(x, y), fd.fid_infinity(x, y, np.random.default_rng(0))
    assert plain > 0.15
    assert abs(infinite) < plain / 3


def test_kid_by_hand():
    """One feature: k = (a b + 1)^3. x = (0, 1), y = (0, 2): within 1 and 1, across (1 + 1 + 1 + 27) / 4."""
    assert fd.kid(np.array([[0.0], [1]]), np.array([[0.0], [2]])) == pytest.approx(1 + 1 - 2 * 30 / 4)
    # of two features the product is halved: (1 x 2 + 1 x 2) / 2 + 1 = 3
    ones, twos = np.ones((2, 2)), np.full((2, 2), 2.0)
    assert fd.kid(ones, twos) == pytest.approx(2**3 + 5**3 - 2 * 3**3)


def test_kid_of_one_distribution_is_unbiased():
    draws = [fd.kid(*np.random.default_rng(seed).normal(size=(2, 30, 3))) for seed in range(400)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(400)
    assert min(draws) < 0


def test_kid_does_not_depend_on_the_chunks(monkeypatch):
    whole = fd.kid(X, X + 1)
    monkeypatch.setattr(fd, "CHUNK", 7)
    assert fd.kid(X, X + 1) == pytest.approx(whole)
    assert fd.radii(X, 3) == pytest.approx(np.sort(fd.squares(X, X), axis=1)[:, 3])


def test_balls_by_hand():
    """On a line, k = 1. x = 0, 1, 3 with radii 1, 1, 2; y = 0.5, 10 with radius 9.5 each."""
    x, y = np.array([[0.0], [1], [3]]), np.array([[0.5], [10.0]])
    assert fd.radii(x, 1) == pytest.approx([1, 1, 4])
    # 0.5 lies in two balls of x, 10 in none; all x lie in the ball of 0.5
    assert fd.precision_recall(x, y, k=1) == (0.5, 1.0)
    # 0.5 is within 1 of 0 and of 1, but 2.5 from 3: two balls of three hold one; density 2 / (1 x 2)
    assert fd.density_coverage(x, y, k=1) == pytest.approx((1.0, 2 / 3))


def test_sets_that_are_far_apart_have_nothing_in_common():
    found = fd.distances(X, X + 1000, np.random.default_rng(0)).values
    assert [found[name] for name in ("precision", "recall", "density", "coverage")] == [0, 0, 0, 0]


def test_one_distribution_has_density_one_and_the_expected_coverage():
    x, y = np.random.default_rng(2).normal(size=(2, 1500, 3))
    found = fd.distances(x, y, np.random.default_rng(0)).values
    assert found["density"] == pytest.approx(1, abs=0.08)
    assert found["coverage"] == pytest.approx(found["expected_coverage"], abs=0.02)
    # (n-1)/(2n-1) is all but a half, to the fifth power
    assert found["expected_coverage"] == pytest.approx(1 - 1 / 32, abs=0.001)


def test_a_collapsed_generator_has_precision_and_no_recall():
    y = np.repeat(X[:1], 400, axis=0)
    found = fd.distances(X, y, np.random.default_rng(0)).values
    assert found["precision"] == 1.0
    assert found["recall"] < 0.01
    assert found["coverage"] < 0.1


def test_few_pictures_are_told():
    warnings = fd.distances(X[:11], X[11:22], np.random.default_rng(0)).warnings
    assert len(warnings) == 1
    assert "biased up" in warnings[0]
    wide = RNG.normal(size=(2, 30, 20))
    assert "few for 20 features" in fd.distances(*wide, np.random.default_rng(0)).warnings[0]
    with pytest.raises(UsageError, match="too few"):
        fd.distances(X[:10], X[:10], np.random.default_rng(0))
    with pytest.raises(UsageError, match="one shape"):
        fd.distances(X[:20], X[:21], np.random.default_rng(0))
