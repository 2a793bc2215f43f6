import math
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from disbench.errors import UsageError
from disbench.metrics import information


def test_a_histogram_has_numpys_bins(rng):
    z = rng.normal(size=(500, 2))
    bins = information.histogram(z, 20)
    for column, binned in zip(z.T, bins.T, strict=True):
        assert np.bincount(binned, minlength=20).tolist() == np.histogram(column, 20)[0].tolist()


def test_bins_of_equal_frequency_do_not_mind_an_outlier():
    z = np.append(np.arange(99.0), 1e9)[:, None]
    assert len(np.unique(information.histogram(z, 10))) == 2
    assert np.bincount(information.histogram(z, 10, "quantile")[:, 0]).tolist() == [10] * 10
    with pytest.raises(UsageError, match="unknown binning"):
        information.histogram(z, 10, "kmeans")


def test_entropies_by_hand():
    column = np.array([[0, 5], [0, 5], [3, 5], [4, 5]])
    np.testing.assert_allclose(information.entropy(column), [1.5 * math.log(2), 0])
    a, b = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])
    np.testing.assert_allclose(information.joint_entropy(a, b), [[math.log(4)]])


def test_information_by_hand():
    """v tells 4 values; its high bit shares ln 2 with it, and nothing with its low bit."""
    v = np.arange(4)[:, None]
    bits = np.hstack([v // 2, v % 2])
    np.testing.assert_allclose(information.mutual_information(v, bits), [[math.log(2)] * 2])
    np.testing.assert_allclose(information.mutual_information(bits, bits), math.log(2) * np.eye(2))


def test_information_is_that_of_scikit_learn(rng):
    a, b = rng.integers(0, 7, (300, 3)), rng.integers(-4, 5, (300, 2))
    b[:, 0] += a[:, 1]
    expected = [[mutual_info_score(x, y) for y in b.T] for x in a.T]
    np.testing.assert_allclose(information.mutual_information(a, b), expected, atol=1e-12)


def test_information_of_a_constant_is_exactly_zero(rng):
    a = np.column_stack([np.zeros(1000, int), rng.integers(0, 9, 1000)])
    assert information.mutual_information(a, a)[0].tolist() == [0, 0]


def test_the_gap_of_one_is_itself():
    assert information.gap(np.array([[3.0, 1.0]])).tolist() == [3, 1]
    assert information.gap(np.array([[3.0, 1.0], [5.0, 1.0], [0.0, 0.0]])).tolist() == [2, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("start", [0.3, 1.0, -1.0, 1e8, 1e-30, 1e30])
def test_codes_a_few_last_digits_apart_keep_their_values_apart(dtype, start):
    """Five neighbouring numbers, in twenty bins: each has its own, as 0, 1, 2, 3, 4 have."""
    steps = [dtype(start)]
    for _ in range(4):
        steps.append(np.nextafter(steps[-1], dtype(np.inf)))
    which = np.array([0, 3, 1, 4, 2, 2, 0])
    binned = information.histogram(np.array(steps, dtype)[which][:, None], 20)
    assert (binned == information.histogram(which[:, None].astype(float), 20)).all()


@pytest.mark.parametrize("binning", ["width", "quantile"])
def test_single_precision_has_the_bins_of_the_same_numbers_in_double(rng, binning):
    z = (rng.normal(size=(300, 4)) * [1, 1e-30, 1e30, 1e-3] + [0, 0, 0, 1e4]).astype(np.float32)
    assert (
        information.histogram(z, 20, binning) == information.histogram(z.astype(np.float64), 20, binning)
    ).all()


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e200, 1e300])
def test_the_unit_of_codes_does_not_matter_to_bins(rng, unit):
    z = rng.normal(size=(300, 3))
    assert (information.histogram(z * unit, 20) == information.histogram(z, 20)).all()
    far = np.array([[-1.7e308], [1.7e308], [0.0]])
    assert information.histogram(far, 10).ravel().tolist() == [0, 9, 5]


def test_two_columns_share_no_more_than_either_has(rng):
    a = rng.integers(0, 7, (200, 30))
    a[:, 1::2] = a[:, ::2] * 3
    mi, h = information.mutual_information(a, a), information.entropy(a)
    assert (mi <= np.minimum(h[:, None], h)).all()
    assert (np.diag(mi) / h <= 1).all()


def test_the_information_of_many_codes_takes_the_room_of_a_few_columns_beside_them():
    """Bins have a byte each; ranks in eight bytes are made of one column at a time."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(10_000, 100)).astype(np.float32)
    factors = rng.integers(0, 5, (10_000, 2))
    tracemalloc.start()
    information.mutual_information(information.histogram(codes, 20), factors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < codes.size + 15 * len(codes) * 8
