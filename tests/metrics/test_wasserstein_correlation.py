import numpy as np
import pytest
from scipy.linalg import hadamard

from disbench.metrics import wasserstein_correlation

A, B, C = hadamard(8)[:, 1:4].T.astype(float) * np.sqrt(7 / 8)  # uncorrelated, variance 1 with ddof 1


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_two_codes_have_a_closed_form(rho):
    """Eigenvalues 1 + rho and 1 - rho: W = 4 - 2 sqrt(1 + rho) - 2 sqrt(1 - rho), and a trace of 2."""
    codes = np.column_stack([A, rho * A + np.sqrt(1 - rho**2) * B])
    w = 4 - 2 * np.sqrt(1 + rho) - 2 * np.sqrt(1 - rho)
    assert wasserstein_correlation(codes).score == pytest.approx(w, abs=1e-7)
    assert wasserstein_correlation(codes, preset="dlib_norm").score == pytest.approx(w / 2, abs=1e-7)


def test_only_the_normalised_form_is_free_of_the_unit():
    codes = np.column_stack([A, A + B])
    plain, scaled = wasserstein_correlation(codes).parts, wasserstein_correlation(3 * codes).parts
    assert scaled["distance"] == pytest.approx(9 * plain["distance"])
    assert scaled["normalised"] == pytest.approx(plain["normalised"])


def test_dead_codes_are_uncorrelated():
    codes = np.column_stack([A, A + B])
    padded = np.column_stack([codes, np.zeros(8)])
    assert wasserstein_correlation(padded).score == pytest.approx(wasserstein_correlation(codes).score)
    assert "all codes are constant" in wasserstein_correlation(np.ones((8, 2))).warnings[0]
