import tracemalloc

import numpy as np
import pytest

from disbench.metrics import arrays


def test_information_below_the_floor_is_zero():
    assert arrays.floor(np.array([1e-17, -1e-17, 1e-3])).tolist() == [0, 0, 1e-3]


def test_a_ratio_to_zero_is_zero():
    assert arrays.ratio(np.array([1.0, 2.0]), np.array([0.0, 4.0])).tolist() == [0, 0.5]


def test_standardise_measures_on_the_rows_given_and_zeroes_constants():
    z = arrays.standardise(np.array([[0.0, 5.0], [2.0, 5.0], [9.0, 7.0]]), np.array([0, 1]))
    assert z.tolist() == [[-1, 0], [1, 0], [8, 0]]


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-700, 0.25, 1.0, 2.0**100, 2.0**1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conditioning_is_exact(unit, dtype):
    """Moved and scaled by a power of two: the differences of the codes are kept, to the last digit."""
    values = np.array([[1.0, 8.0, -3.0], [1.5, 8.0 + 2.0**-20, 5.0], [1.25, 8.0, 6.0]])
    with np.errstate(over="ignore"):
        codes = (values * unit).astype(dtype)
    if not np.isfinite(codes).all() or (codes == 0).any():
        return
    z, e = arrays.conditioned(codes)
    assert np.abs(z).max() <= 1
    assert (z.max(axis=0) - z.min(axis=0) >= 1 / 32).all()
    wide = codes.astype(np.longdouble)
    assert (np.ldexp(z.astype(np.longdouble)[1:] - z[0], e) == wide[1:] - wide[0]).all()


def test_conditioning_together_keeps_the_sizes_of_codes():
    codes = np.array([[3.0, 300.0], [5.0, 500.0]])
    z, e = arrays.conditioned(codes, together=True)
    assert e.tolist() == [9, 9]
    assert (z == codes / 512).all()
    # each by its own power of two
    assert arrays.conditioned(codes)[1].tolist() == [3, 9]


def test_a_row_that_was_not_fitted_may_be_beyond_all_others():
    (one, two, far), _ = arrays.conditioned(np.array([[1e-300], [2e-300], [1e300]]), np.array([0, 1]))
    assert two == 2 * one <= 1
    assert far == arrays.LARGEST


def test_the_deviation_of_rounding_by_hand():
    """Half of the rows at 1, half at the next number: a deviation of half of the step."""
    codes = np.where(np.arange(10) % 2, 1.0, np.nextafter(1.0, 2.0))[:, None]
    assert arrays.deviation(codes) == pytest.approx(2.0**-53, rel=1e-12)
    assert arrays.deviation(1e200 * np.array([[1.0], [3.0]])) == pytest.approx(1e200)
    assert arrays.deviation(np.array([[1.0], [3.0]]), ddof=1) == pytest.approx(np.sqrt(2))
    assert arrays.deviation(np.full((5, 1), 0.1)) == 0


def test_conditioning_copies_codes_twice_and_no_more():
    """A third copy of all codes is what a large grid has no room for."""
    codes = np.random.default_rng(0).normal(size=(10_000, 20)).astype(np.float32)
    tracemalloc.start()
    arrays.conditioned(codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.2 * codes.size * 8


def test_seconds_of_codes_and_of_pairs_by_hand():
    """1,000 rows of 10 codes: 10,000 times 50 ns, and 100,000 times 2 ns for pairs."""
    assert arrays.each(50, 2)(1_000, 10, 7, {}) == pytest.approx(5e-4 + 2e-4)


def test_ranks_are_those_of_sorting():
    columns = np.array([[5, -3, 10**12], [7, -3, 0], [5, 2, 7], [-1, 2, 7]])
    expected = [[1, 0, 2], [2, 0, 0], [1, 1, 1], [0, 1, 1]]
    assert arrays.relabel(columns).tolist() == expected
    assert arrays.relabel(columns + 0.5).tolist() == expected
    assert arrays.relabel((columns % 5).astype(np.uint8)).tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 1],
        [2, 0, 1],
    ]


def test_ranks_of_small_integers_do_not_overflow():
    """127 - (-128) is 255, which is no int8."""
    column = np.array([[127], [-128], [0]] * 100, np.int8)
    assert arrays.relabel(column)[:3, 0].tolist() == [2, 0, 1]
