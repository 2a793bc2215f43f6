import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, beta_vae
from disbench.metrics.beta_vae import draw

SIZES = (3, 4, 5)
SMALL = {"votes": 400, "eval_votes": 200}


@pytest.mark.parametrize("pairs", ["own", "shared"])
def test_both_images_of_a_pair_share_the_held_factor_only(rng, pairs):
    grid = Grid(SIZES)
    factor, rows = draw(grid, rng, 40, 30, 10, pairs)
    a, b = np.split(grid.factors(rows), 2, axis=1)  # (points, pairs, factors) each
    same = (a == b).all(axis=1)
    assert same[np.arange(40), factor].all()
    assert same.sum() == 40
    values = np.take_along_axis(a, factor[:, None, None], axis=2)
    one_value = (values == values[:, :1]).all()
    assert one_value == (pairs == "shared")


def test_one_code_per_factor_scores_one(table, rng):
    s = beta_vae(table, SIZES, rng=rng, **SMALL)
    assert s.score == 1
    assert s.n_encoded == 2 * 64 * 600


def test_all_factors_but_one_are_enough(table, rng):
    """Kim & Mnih's objection: the last factor is the one for which nothing shrank."""
    assert beta_vae(table[:, :2], SIZES, rng=rng, **SMALL).score == 1


def test_noise_is_at_chance(rng):
    s = beta_vae(rng.normal(size=(8000, 6)), (20, 20, 20), rng=rng, votes=2000, eval_votes=2000)
    assert s.score == pytest.approx(1 / 3, abs=0.07)


def test_codes_of_tiny_scale_need_standardising(table, rng):
    codes = 1e-6 * table
    assert beta_vae(codes, SIZES, rng=rng, **SMALL).score < 0.7
    assert beta_vae(codes, SIZES, rng=rng, standardise=True, **SMALL).score == 1


def test_a_score_that_the_unit_of_the_codes_decides_says_so(table, rng):
    s = beta_vae(1e-3 * table, SIZES, rng=rng, **SMALL)
    assert s.parts["standardised"] == 1
    said = f"with standardised differences (standardise=True) it is 1.000, not {s.score:.3f}"
    assert any(warning.startswith(said) for warning in s.warnings)
    for settings in ({}, {"standardise": True}):
        s = beta_vae(table, SIZES, rng=rng, **SMALL, **settings)
        assert not any("standardised differences" in warning for warning in s.warnings)


def test_the_papers_classifier_does_not_depend_on_the_unit(table):
    scores = {
        beta_vae(unit * table, SIZES, rng=np.random.default_rng(1), preset="higgins2017", **SMALL).score
        for unit in (1e-4, 1, np.array([1e-3, 1, 1e3]))
    }
    assert len(scores) == 1


def test_one_against_the_rest_is_another_classifier(table, rng):
    assert beta_vae(table, SIZES, rng=rng, preset="dlib_liblinear", **SMALL).score == 1
    with pytest.raises(UsageError, match="unknown solver of beta_vae 'adagrad'"):
        beta_vae(table, SIZES, rng=rng, solver="adagrad", **SMALL)


def test_adjusted_puts_chance_at_zero(rng):
    codes = rng.normal(size=(60, 2))
    plain, adjusted = (
        beta_vae(codes, SIZES, rng=np.random.default_rng(3), adjusted=a, **SMALL).score for a in (False, True)
    )
    assert adjusted == pytest.approx((plain - 1 / 3) / (2 / 3))


def test_infogan_cr_scores_the_points_it_fitted(rng):
    s = beta_vae(rng.normal(size=(60, 4)), SIZES, rng=rng, preset="infogan_cr")
    assert s.score == s.parts["train_accuracy"]
    assert s.n_encoded == 500 * 100


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"votes": 1}, {"eval_votes": -1}])
def test_settings_that_make_no_sense_are_refused(table, rng, wrong):
    with pytest.raises(UsageError, match=r"beta_vae.\w+=-?\d was given"):
        beta_vae(table, SIZES, rng=rng, **wrong)
    with pytest.raises(UsageError, match="unknown pairs of beta_vae 'mine'"):
        beta_vae(table, SIZES, rng=rng, pairs="mine")


def test_the_mean_difference_of_a_code_is_zero_where_its_factor_is_held(rng):
    """|a - b| of two independent uniform values 0, 1, 2 has mean 8 / 9, of 0 to 3 it has 5 / 4."""
    grid = Grid((3, 4))
    codes = grid.factors(np.arange(12)).astype(float)
    found = beta_vae(codes, grid, rng=rng, votes=600, eval_votes=0).parts["differences"]
    np.testing.assert_allclose(found, [[0.0, 8 / 9], [5 / 4, 0.0]], atol=0.02)
