"""What has one value in some rows is known exactly, and not by a sum of rounded numbers; and its like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from disbench import metrics
from disbench.errors import UsageError

RARE = np.column_stack([(np.arange(150) == 0).astype(int), np.arange(150) % 5])


@pytest.mark.parametrize("preset", ["eastwood2018_lasso", "eastwood2018_forest"])
def test_a_factor_with_one_value_in_the_rows_to_test_on_counts_as_0(preset):
    codes = RARE + 0.1 * np.random.default_rng(4).normal(size=RARE.shape)
    told = "factor 0 has one value in the rows to test on, so its informativeness there counts as 0"
    # the other factor is predicted nearly without error
    for seed in (3, 4, 5):
        rng = np.random.default_rng(seed)
        found = metrics.dci(codes, RARE, rng=rng, preset=preset, n_jobs=1)
        assert found.parts["informativeness_test"] == pytest.approx(0.5, abs=0.01)
        assert found.parts["factors_informativeness"][0] == 0
        assert told in found.warnings


@pytest.mark.parametrize("values", [(3, 1), (0.3, 0.1)])
def test_fractions_are_as_constant_as_whole_numbers(values):
    v = np.where(np.arange(150) < 5, *values)
    z = RARE + 0.1 * np.random.default_rng(4).normal(size=RARE.shape)
    found = metrics.linear_r2(z, v, split=(np.arange(100), np.arange(100, 150)))
    assert found.score == 0
    assert "a factor has one value in the rows to test on; its R^2 counts as 0" in found.warnings


@pytest.mark.parametrize("gray", [0.5, 0.1])
def test_of_equal_images_nothing_can_be_explained(gray):
    images = np.full((3, 1, 4, 4), gray)
    found = metrics.reconstruction(images, images + 0.01)
    assert found.parts["explained"] == 0
    assert found.warnings == ("all images are equal, so there is no share to explain",)


def test_images_of_bytes_are_refused_beside_images_up_to_1():
    x = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8)).astype(np.uint8)
    with pytest.raises(UsageError, match="divide bytes"):
        metrics.reconstruction(x, x / 255.0)
    with pytest.raises(UsageError, match=r"again reach from -1 to 1, but must lie in \[0, 1\]"):
        metrics.reconstruction(x / 255.0, x / 127.5 - 1)
    # a decoder without a sigmoid
    assert metrics.reconstruction(x / 255.0, x / 255.0 - 0.1).score == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["factor_vae", "beta_vae", "z_max_var"])
def test_votes_about_a_single_factor_say_that_they_tell_nothing(name):
    noise = np.random.default_rng(0).normal(size=(50, 3))
    few = {"votes": 100, "eval_votes": 100}
    plain, adjusted = (
        metrics.get(name)(noise, (50,), rng=np.random.default_rng(0), adjusted=each, **few)
        for each in (False, True)
    )
    assert (plain.score, adjusted.score) == (1, 0)
    assert (
        "a single factor varies, so there is nothing to tell apart, and guessing scores 1" in plain.warnings
    )
    assert plain.live.all()


@pytest.mark.parametrize("small", [1e-3, 1e-5, 1e-7])
def test_nearly_dependent_codes_have_a_large_total_correlation(small):
    """Of (a, a + s b) it is -1/2 ln(1 - rho^2) with rho^2 = 1 / (1 + s^2), about -ln s."""
    a, b = np.random.default_rng(0).normal(size=(2, 4000))
    found = metrics.gaussian_total_correlation(np.column_stack([a, a + small * b]))
    assert found.score == pytest.approx(-np.log(small), abs=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 100])
def test_dependent_codes_have_an_infinite_one_in_any_precision(dtype, offset):
    a = np.random.default_rng(0).normal(size=4000)
    found = metrics.gaussian_total_correlation(np.column_stack([a, 3 * a + offset]).astype(dtype))
    assert found.score == np.inf


def test_an_ordered_category_of_pandas_keeps_its_order():
    place = np.arange(300) % 3
    frame = pd.DataFrame({"size": pd.Categorical.from_codes(place, ["low", "mid", "high"], ordered=True)})
    assert metrics.mcc(place[:, None], frame).score == pytest.approx(1)
    # the alphabet's order of high, low, mid is no order of sizes
    assert metrics.mcc(place[:, None], frame.astype(str)).score == pytest.approx(0.5)
    pa = pytest.importorskip("pyarrow")
    assert metrics.mcc(place[:, None], pa.Table.from_pandas(frame)).score == pytest.approx(1)
    frame.loc[3, "size"] = np.nan
    for table in (frame, pa.Table.from_pandas(frame)):
        with pytest.raises(UsageError, match="missing"):
            metrics.mcc(place[:, None], table)


def test_a_factor_behind_one_hot_columns_is_called_by_its_own_column():
    hot = np.eye(3, dtype=int)[np.arange(120) % 3]
    factors = np.column_stack([hot, np.full(120, 7), np.arange(120) % 4])
    found = metrics.mig(factors, factors)
    assert found.dropped_factors == (3,)
    assert "factor 3 has one value and was left out" in found.warnings


def test_counts_need_no_neighbours():
    few = np.stack(np.unravel_index(np.arange(18), (3, 3, 2)), axis=1)
    rng = np.random.default_rng(0)
    assert metrics.infomec(few, few, rng=rng, preset="hsu2023_discrete").score > 0.9
    with pytest.raises(UsageError, match="at least 20 are needed for 10 neighbours"):
        metrics.infomec(few, few, rng=rng)
