import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, factor_vae
from disbench.metrics.factor_vae import draw, stillest

SIZES = (3, 4, 5)
SMALL = {"votes": 300, "eval_votes": 150}


def test_each_vote_holds_one_factor(rng):
    grid = Grid(SIZES)
    spread, factor, rows = draw(grid, rng, 32, 50, 20, 100)
    assert spread.shape == (100,)
    assert rows.shape == (70, 32)
    values = grid.factors(rows)  # (votes, batch, factors)
    still = (values == values[:, :1]).all(axis=1)
    assert still[np.arange(70), factor].all()
    assert still.sum() < 75  # the others move, but for a few accidents


def test_the_stillest_code_is_relative_to_its_spread_and_alive():
    within = np.array([[2.0, 1.0, 0.5, 0.0], [0.1, 1.0, 0.5, 0.0]])
    variance = np.array([8.0, 2.0, 2.0, 0.0])
    live = np.array([True, True, True, False])
    # relative: 1/4, 1/2, 1/4 (a tie, to the lowest), and the dead code's 0/0 does not count
    assert stillest(within, variance, live).tolist() == [0, 0]
    assert stillest(within, variance, np.array([False, True, True, False])).tolist() == [2, 2]


def test_one_code_per_factor_scores_one(table, rng):
    s = factor_vae(table, SIZES, rng=rng, **SMALL)
    assert s.score == 1
    assert s.parts["decision"].tolist() == [0, 1, 2]
    assert s.n_encoded == 10_000 + 64 * 450


def test_dead_codes_never_win(table, rng):
    """Without a rule for 0/0 a constant code takes every vote, and the score is the share of one factor."""
    noisy = table + rng.normal(0, 0.05, table.shape)
    codes = np.column_stack([np.zeros(60), noisy, np.full(60, 0.7)])
    for variance_rows in (0, 1000):
        s = factor_vae(codes, SIZES, rng=rng, prune="none", variance_rows=variance_rows, **SMALL)
        assert s.score == 1
        assert s.live.tolist() == [False, True, True, True, False]
        assert s.parts["decision"].tolist() == [-1, 0, 1, 2, -1]


def test_a_good_code_of_small_scale_is_lost_to_the_variance_rule_only(table, rng):
    """A code of deviation .2 is above a threshold of .05 on the deviation, and below it on the variance."""
    codes = table / table.std(axis=0) * [1, 1, 0.2]
    assert factor_vae(codes, SIZES, rng=rng, prune="std", **SMALL).score == 1
    s = factor_vae(codes, SIZES, rng=rng, prune="var", **SMALL)
    assert s.live.tolist() == [True, True, False]
    assert s.score < 0.8


def test_a_single_code_scores_the_share_of_the_commonest_factor(table, rng):
    s = factor_vae(table[:, :1], SIZES, rng=rng, **SMALL)
    assert s.parts["train_accuracy"] == s.parts["votes"].max() / 300
    assert s.score == pytest.approx(1 / 3, abs=0.15)


def test_noise_is_at_chance(rng):
    s = factor_vae(rng.normal(size=(60, 8)), SIZES, rng=rng, prune="none", votes=2000, eval_votes=2000)
    # of 60 points of pure noise some are arranged by accident; held-out votes of 8 codes stay near 1/3
    assert s.score < 0.75
    big = factor_vae(rng.normal(size=(20**3, 8)), (20, 20, 20), rng=rng, votes=2000, eval_votes=2000)
    assert big.score == pytest.approx(1 / 3, abs=0.07)


def test_scoring_on_the_same_votes_is_what_ibgan_and_infogan_cr_do(rng):
    codes = rng.normal(size=(60, 8))
    for preset, encoded in (("ibgan", 800 * 200), ("infogan_cr", 10_000 + 500 * 100)):
        s = factor_vae(codes, SIZES, rng=rng, preset=preset)
        assert s.score == s.parts["train_accuracy"] == s.parts["eval_accuracy"]
        assert s.n_encoded == encoded


def test_adjusted_puts_chance_at_zero(table):
    codes = table[:, :2]
    plain = factor_vae(codes, SIZES, rng=np.random.default_rng(3), **SMALL).score
    adjusted = factor_vae(codes, SIZES, rng=np.random.default_rng(3), adjusted=True, **SMALL).score
    assert adjusted == pytest.approx((plain - 1 / 3) / (2 / 3))


def test_a_factor_of_one_value_takes_no_vote(table, rng):
    s = factor_vae(table, (3, 1, 4, 5), rng=rng, **SMALL)
    assert s.score == 1
    assert s.parts["decision"].tolist() == [0, 2, 3]
    assert s.dropped_factors == (1,)


@pytest.mark.parametrize("wrong", [{"batch": 1}, {"votes": 0}, {"eval_votes": -1}, {"variance_rows": 1}])
def test_settings_that_make_no_sense_are_refused(table, rng, wrong):
    with pytest.raises(UsageError, match=r"factor_vae(.\w+=-?\d was given|: variance_rows must)"):
        factor_vae(table, SIZES, rng=rng, **wrong)


def test_a_grid_without_variation_is_refused(rng):
    with pytest.raises(UsageError, match="no factor of the grid"):
        factor_vae(np.ones((1, 2)), (1, 1), rng=rng)
