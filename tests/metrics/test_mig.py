import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import mig


def test_one_code_per_factor_scores_one(table):
    assert mig(table, table).score == pytest.approx(1)


def test_a_second_copy_of_every_code_scores_zero(table):
    assert mig(np.hstack([table, table]), table).score == pytest.approx(0)


def test_codes_that_know_part_of_a_factor():
    """Both bits of v know ln 2 of its ln 4: gap 0. Next to v itself, a bit leaves (ln 4 - ln 2)/ln 4."""
    v = np.arange(4)[:, None]
    assert mig(np.hstack([v // 2, v % 2]), v).score == pytest.approx(0)
    assert mig(np.hstack([v, v % 2]), v).score == pytest.approx(0.5)


def test_one_code_has_its_information_as_gap():
    v = np.arange(4)[:, None]
    assert mig(v // 2, v).score == pytest.approx(0.5)


def test_factors_count_alike(table):
    s = mig(table[:, :1], table)
    assert s.parts["gap"] == pytest.approx([1, 0, 0])
    assert s.score == pytest.approx(1 / 3)


def test_ubisoft_divides_by_the_codes_entropy():
    """8 rows, 4 values, a code that tells every row: I = ln 4, H(v) = ln 4, H(z) = ln 8."""
    rows = np.arange(8)[:, None]
    assert mig(rows, rows // 2).score == pytest.approx(1)
    assert mig(rows, rows // 2, preset="ubisoft").score == pytest.approx(2 / 3)


def test_more_values_than_bins_lose_information():
    """40 values in 20 bins: the code knows ln 20 of ln 40."""
    v = np.arange(40)[:, None]
    assert mig(v, v).score == pytest.approx(np.log(20) / np.log(40))


def test_noise_is_near_zero(rng, table):
    assert mig(rng.normal(size=(6000, 10)), np.tile(table, (100, 1))).score < 0.02


def test_one_outlier_costs_equal_width_bins_their_score(table):
    codes = np.vstack([table, [[1e6] * 3]]).astype(float)
    factors = np.vstack([table, [[0, 0, 0]]])
    assert mig(codes, factors).score < 0.1
    assert mig(codes, factors, preset="quantile").score > 0.9


def test_the_divisor_must_be_known(table):
    with pytest.raises(UsageError, match="unknown divide_by of mig"):
        mig(table, table, divide_by="both")
