import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import linear_r2

V = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (5, 1))


def test_any_linear_map_of_the_factors_is_perfect(rng):
    v = rng.normal(size=(200, 3))
    assert linear_r2(v @ rng.normal(size=(3, 5)) + 7, v, rng=rng).score == pytest.approx(1)


def test_by_hand():
    """Half of each factor's variance is in their sum."""
    s = linear_r2(V.sum(axis=1, keepdims=True), V, preset="in_sample")
    assert s.parts["factors"] == pytest.approx([0.5, 0.5])


def test_noise_does_no_better_than_the_mean_on_fresh_rows(rng):
    s = linear_r2(rng.normal(size=(2000, 5)), np.tile(V, (100, 1)), rng=rng)
    assert s.score == pytest.approx(0, abs=0.02)


def test_fewer_rows_than_codes_are_refused(rng):
    with pytest.raises(UsageError, match="at least 9 are needed to fit 7 codes"):
        linear_r2(rng.normal(size=(12, 7)), V[:12], rng=rng)


def test_a_factor_without_variation_in_the_test_rows_is_named():
    s = linear_r2(V.astype(float), V, split=(np.arange(20), np.array([0, 1])))
    assert s.parts["factors"] == pytest.approx([0, 1])
    assert "one value in the rows to test on" in s.warnings[0]


def test_a_linear_map_of_the_codes_is_exactly_as_good(rng):
    v = rng.normal(size=(200, 2))
    z = v + rng.normal(size=(200, 2))
    split = (np.arange(100), np.arange(100, 200))
    mixed = z @ np.array([[2.0, 1.0], [-1.0, 0.25]]) + [3, -1]
    assert linear_r2(mixed, v, split=split).score == pytest.approx(
        linear_r2(z, v, split=split).score, abs=1e-9
    )
