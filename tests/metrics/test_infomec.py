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


def test_a_factor_without_a_value_that_occurs_twice_is_refused(rng):
    """An id: its information was the mean of nothing, with a warning of numpy, and InfoM was 0."""
    u = np.stack([np.arange(200) % 4, np.arange(200)], axis=1)
    with pytest.raises(UsageError, match="no value of factor 1 occurs twice"):
        infomec(u + 0.1 * rng.random((200, 2)), u, rng=rng)
    u[:2, 1] = 0
    s = infomec(u + 0.1 * rng.random((200, 2)), u, rng=rng)
    assert "factor 1: 198 values occur once and are left out of the estimate" in s.warnings


def test_no_code_tells_more_than_the_factor_or_the_code_has(rng):
    """The code has its second value in one of 2,000 rows: its entropy is .0043 nats."""
    v = np.zeros((2000, 2), int)
    v[:40, 0] = 1
    v[:, 1] = np.arange(2000) % 3
    codes = np.column_stack([np.zeros(2000), v[:, 1] + 0.01 * rng.normal(size=2000)])
    codes[7, 0] = 1.0
    nmi = infomec(codes, v, rng=rng, prune="varying").parts["nmi"]

    def entropy(share):
        return -(share * np.log(share) + (1 - share) * np.log(1 - share))

    assert nmi[0, 0] <= entropy(1 / 2000) / entropy(40 / 2000)
    assert nmi.max() <= 1


def test_a_fit_without_an_end_is_told_in_our_words(rng):
    s = infomec(V + 0.3 * rng.normal(size=V.shape), V, rng=rng, max_iter=1)
    assert "a fit reached its limit of steps before it converged; with more steps the score may change" in (
        s.warnings
    )
