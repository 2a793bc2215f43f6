import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, irs

V = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def test_by_hand():
    """z = v_0 + v_1 lies in 0..2 about 1. Given v_0 it still moves by 1/2 about its mean: 1 - .5/1."""
    s = irs(V.sum(axis=1, keepdims=True), V, preset="suter2019")
    np.testing.assert_allclose(s.parts["matrix"], [[0.5, 0.5]])
    assert s.score == pytest.approx(0.5)


def test_codes_weigh_by_their_range():
    """v_0 alone scores 1 with weight 1/2; three times the sum scores 1/2 with weight 3."""
    codes = np.column_stack([V[:, 0], 3 * V.sum(axis=1)])
    s = irs(codes, V, preset="suter2019")
    assert s.parts["weights"].tolist() == [0.5, 3]
    assert s.parts["parents"][0] == 0
    assert s.score == pytest.approx((0.5 * 1 + 3 * 0.5) / 3.5)


def test_the_quantile_forgives_outliers():
    """One row of 200 strays by 1; its group's .99 quantile does not see it, its maximum does."""
    v = np.repeat([0, 1], 200)[:, None]
    z = v * 10.0
    z[0] = 1
    assert irs(z, v, quantile=0.99).score > 0.99
    assert irs(z, v, quantile=1.0).score < 0.95


def test_dlib_puts_factors_of_many_values_into_twenty_bins():
    """z = v of 40 values: pinned down by v, but 2 values share a bin, and deviate by 1/2 of at most 19.5."""
    v = np.arange(40)[:, None]
    assert irs(v, v, preset="suter2019").score == 1
    assert irs(v, v).score == pytest.approx(1 - 0.5 / 19.5)


def test_dead_codes_have_no_say():
    codes = np.column_stack([V[:, 0], np.full(4, 0.7)])
    s = irs(codes, V)
    assert s.score == 1
    assert s.live.tolist() == [True, False]


def test_few_rows_for_each_value_are_told(rng):
    """A single row is its own mean: noise is then perfectly robust to a factor that numbers the rows."""
    codes, ids = rng.normal(size=(400, 3)), np.arange(400)[:, None]
    alone, many = (irs(codes, ids // rows, preset="suter2019") for rows in (1, 40))
    assert alone.score == 1
    assert many.score < 0.4
    assert [note.split(",")[0] for note in alone.warnings] == ["factor 0: 1.0 rows for each value are few"]
    assert not many.warnings
    assert not irs(codes, ids).warnings, "in 20 bins"


def test_a_grid_stands_for_its_whole_table():
    grid = Grid((2, 1, 2), ("x", "hue", "y"))
    s = irs(V.sum(axis=1, keepdims=True), grid, preset="suter2019")
    assert s.score == pytest.approx(0.5)
    assert s.dropped_factors == (1,)


@pytest.mark.parametrize("wrong", [{"quantile": 99}, {"precision": "half"}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="irs"):
        irs(V, V, **wrong)


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e7, 1e8])
def test_single_precision_loses_nothing_to_an_offset(rng, offset):
    """Summed far from 0 in single precision, an offset of 1e8 gave -19.4."""
    v = Grid((3, 4, 5)).factors(np.arange(60))
    far = (v + 0.3 * rng.normal(size=v.shape) + offset).astype(np.float32)
    s = irs(far, v)
    assert s.score == pytest.approx(irs(far.astype(np.float64), v).score, abs=1e-5)
    assert 0 <= s.score <= 1


def test_a_factor_of_few_values_keeps_each_of_them():
    """Values 0, 1 and 1,000 in 20 bins of equal width would merge the first two."""
    v = np.tile([0, 1, 1000], 20)[:, None]
    z = np.tile([0.0, 1.0, 2.0], 20)[:, None]
    assert irs(z, v).score == 1
    # of more than 20 values it is binned, by its numbers
    many = np.append(np.arange(20), 1000)
    assert irs(np.tile(many, 20)[:, None] * 1.0, np.tile(many, 20)[:, None]).score < 1


def test_a_code_that_vanishes_beside_the_others_is_constant():
    codes = np.column_stack([V[:, 0], 1e-30 * V[:, 1], 1e30 * V[:, 1]]).astype(np.float32)
    s = irs(codes, V)
    assert s.live.tolist() == [True, False, True]
    assert s.score == pytest.approx(1, abs=1e-5)
