import numpy as np
import pytest
from scipy.linalg import hadamard

from disbench.errors import UsageError
from disbench.metrics import gaussian_total_correlation

A, B, C = hadamard(8)[:, 1:4].T.astype(float)  # uncorrelated, variance 1


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9])
def test_two_codes_have_a_closed_form(rho):
    codes = np.column_stack([A, rho * A + np.sqrt(1 - rho**2) * B, C])
    assert gaussian_total_correlation(codes * [1, 9, 0.1]).score == pytest.approx(-0.5 * np.log(1 - rho**2))


def test_dead_codes_are_left_out():
    s = gaussian_total_correlation(np.column_stack([A, np.full(8, 0.7), B]))
    assert s.score == pytest.approx(0)
    assert s.live.tolist() == [True, False, True]
    assert "fewer than two codes vary" in gaussian_total_correlation(A[:, None]).warnings[0]


def test_dependent_codes_are_infinitely_correlated_and_it_says_so():
    s = gaussian_total_correlation(np.column_stack([A, B, A + B]))
    assert s.score == np.inf
    assert "linearly dependent" in s.warnings[0]


def test_fewer_rows_than_codes_are_refused():
    with pytest.raises(UsageError, match="3 rows are too few, at least 4"):
        gaussian_total_correlation(np.random.default_rng(0).normal(size=(3, 3)))
