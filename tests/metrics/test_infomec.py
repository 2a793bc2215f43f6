import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif

from disbench.errors import UsageError
from disbench.metrics import infomec
from disbench.metrics.infomec import nearest_neighbour_information

V = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (25, 1))


def test_separate_classes_have_a_closed_form(rng):
    """Far apart, all of the nearest share the label: psi(n) - psi(n / 2)."""
    y = np.repeat([0, 1], 50)
    z = y * 100 + rng.normal(size=100)
    expected = digamma(100) - digamma(50)
    assert nearest_neighbour_information(z, y, 5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_neighbours_are_those_of_scikit_learn(rng, shift):
    """Its jitter is 1e-10, so the two agree to about that, unequal and lonely classes included."""
    y = np.sort(rng.integers(0, 9, 400))
    y = np.append(y, [9, 10, 10])
    z = rng.normal(size=403) + shift * y
    theirs = mutual_info_classif(z[:, None], y, discrete_features=False, n_neighbors=10, random_state=0)[0]
    assert nearest_neighbour_information(z, y, 10) == pytest.approx(theirs, abs=1e-6)


def test_shares_by_hand(rng):
    """Codes v_0 and (v_0, v_1). Shares of NMI by code: (1, 0), (1/2, 1/2); by factor: (1/2, 1/2), (0, 1).

    Means of the largest are 3/4, and (3/4 - 1/2) / (1 - 1/2) = 1/2.
    """
    codes = np.column_stack([V[:, 0], V @ [2, 1]])
    s = infomec(codes, V, rng=rng, preset="hsu2023_discrete")
    np.testing.assert_allclose(s.parts["nmi"], [[1, 1], [0, 1]], atol=1e-12)
    assert s.score == s.parts["infom"] == pytest.approx(0.5)
    assert s.parts["infoc"] == pytest.approx(0.5)
    assert s.parts["infoe"] == pytest.approx(1, abs=0.01)


def test_a_code_of_small_range_is_not_active(rng):
    codes = np.column_stack([V, V[:, 0] / 21]) + 1e-6 * rng.normal(size=(100, 3))
    s = infomec(codes, V, rng=rng)
    assert s.live.tolist() == [True, True, False]
    # of 100 rows, the neighbours find some information between independent columns
    assert s.parts["infom"] == pytest.approx(1, abs=0.1)
    assert s.parts["infoc"] == pytest.approx(1, abs=0.1)
    spikes = np.where(np.arange(100) < 10, 50.0, 0.0)  # a large range, no spread between the quartiles
    s = infomec(np.column_stack([codes, spikes]), V, rng=rng, preset="tripod")
    assert s.live.tolist() == [True, True, False, False]


def test_explicitness_of_noise_is_near_zero(rng):
    s = infomec(rng.normal(size=(1000, 2)), np.tile(V, (10, 1)), rng=rng)
    assert s.parts["infoe"] == pytest.approx(0, abs=0.02)


def test_too_few_rows_and_unknown_choices_are_refused(rng):
    with pytest.raises(UsageError, match="at least 20 are needed for 10 neighbours"):
        infomec(V[:19], V[:19], rng=rng)
    for wrong in ({"estimator": "kde"}, {"prune": "std"}):
        with pytest.raises(UsageError, match="of infomec"):
            infomec(V, V, rng=rng, **wrong)
