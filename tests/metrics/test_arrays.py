import numpy as np

from disbench.metrics import arrays


def test_information_below_the_floor_is_zero():
    assert arrays.floor(np.array([1e-17, -1e-17, 1e-3])).tolist() == [0, 0, 1e-3]


def test_a_ratio_to_zero_is_zero():
    assert arrays.ratio(np.array([1.0, 2.0]), np.array([0.0, 4.0])).tolist() == [0, 0.5]


def test_standardise_measures_on_the_rows_given_and_zeroes_constants():
    z = arrays.standardise(np.array([[0.0, 5.0], [2.0, 5.0], [9.0, 7.0]]), np.array([0, 1]))
    assert z.tolist() == [[-1, 0], [1, 0], [8, 0]]
