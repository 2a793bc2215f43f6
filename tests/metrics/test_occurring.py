import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, beta_vae, factor_vae, get, voting, z_max_var
from disbench.metrics.factors import read
from disbench.metrics.occurring import Occurring

FEW = {"votes": 300, "eval_votes": 300}
# a: 0 (3 rows), 1 (2 rows), 2 (one row); b: 0 (4 rows), 5 (2 rows)
TABLE = np.array([[0, 0], [0, 0], [1, 0], [1, 5], [2, 5], [0, 0]])


def table(values, **changed):
    return Occurring(read(values, "factors"), **changed)


def test_sizes_count_the_values_that_two_rows_share():
    space = table(TABLE)
    assert (len(space), space.sizes, space.varying, space.dropped) == (6, (2, 2), (0, 1), ())


def test_a_held_row_is_any_of_those_with_the_value_alike(rng):
    """Of a = 0 the rows 0, 1, 5; of b = 5, its second value, the rows 3 and 4: a third and a half each."""
    space = table(TABLE)
    for factor, value, expected in ((0, 0, {0, 1, 5}), (0, 1, {2, 3}), (1, 1, {3, 4})):
        rows = voting.draw_held(space, rng, np.array(factor), np.array(value), (6000,))
        found, counts = np.unique(rows, return_counts=True)
        assert set(found) == expected
        np.testing.assert_allclose(counts / 6000, 1 / len(expected), atol=0.03)


def test_a_drawn_value_is_as_frequent_as_its_rows_and_never_of_one_row(rng):
    """Of a: value 0 in three, value 1 in two of the five rows whose value another row shares."""
    drawn = table(TABLE).value(rng, np.zeros(10_000, int))
    np.testing.assert_allclose(np.bincount(drawn) / 10_000, [0.6, 0.4], atol=0.02)


def test_rows_are_numbered_as_in_the_data_they_are_of(rng):
    space = table(TABLE, having=np.array([10, 20, 30, 40, 50, 60]))
    assert set(space.draw(rng, 500)) == {10, 20, 30, 40, 50, 60}
    assert set(voting.draw_held(space, rng, np.array(1), np.array(1), (100,))) == {40, 50}


@pytest.mark.parametrize("metric", [factor_vae, beta_vae])
def test_on_a_grid_as_a_table_the_draws_are_those_of_the_grid(metric, rng):
    """The same score up to the spread of 300 votes for codes of one factor each and a rotated pair."""
    grid = Grid((4, 5, 3))
    factors = grid.factors(np.arange(len(grid)))
    z = factors @ np.array([[1.0, 1, 0], [1, -1, 0], [0, 0, 1]]) + rng.normal(0, 0.3, factors.shape)
    many = {"votes": 3000, "eval_votes": 3000}
    by_grid = metric(z, grid, rng=np.random.default_rng(0), **many)
    by_rows = metric(z, table(factors), rng=np.random.default_rng(1), **many)
    assert by_rows.score == pytest.approx(by_grid.score, abs=0.06)
    assert 0.4 < by_rows.score < 0.995


@pytest.mark.parametrize("metric", [factor_vae, beta_vae])
def test_perfect_codes_of_a_sample_score_one(metric, rng):
    factors = rng.integers(0, [5, 4, 6], size=(400, 3))
    score = metric(factors.astype(float), table(factors), rng=rng, **FEW)
    assert score.score == 1.0


def test_two_factors_that_are_equal_in_every_row_cannot_be_told_apart(rng):
    """Both codes stand still in every batch, and the tie goes to the first: half of the votes."""
    one = rng.integers(0, 4, size=200)
    factors = np.stack([one, one], axis=1)
    score = factor_vae(factors.astype(float), table(factors), rng=rng, votes=4000, eval_votes=4000)
    assert score.score == pytest.approx(0.5, abs=0.03)


def test_the_score_names_its_draws_beside_the_preset(rng):
    factors = np.column_stack([rng.integers(0, 3, (60, 2)), np.r_[0, np.ones(59, int)]])
    score = factor_vae(factors.astype(float), table(factors), rng=rng, **FEW)
    assert score.preset == "dlib, votes=300, eval_votes=300, values that occur"
    assert score.dropped_factors == (2,)
    said = " ".join(score.warnings)
    assert "a factor is held by drawing, of 60 rows, among those of one value" in said
    assert "factor 2 cannot be held and was left out" in said
    assert set(np.unique(score.parts["decision"])) <= {-1, 0, 1}


def test_values_of_one_row_are_named(rng):
    factors = np.column_stack([rng.integers(0, 3, 60), np.r_[[7, 9], rng.integers(0, 3, 58)]])
    score = beta_vae(factors.astype(float), table(factors), rng=rng, **FEW)
    assert any("factor 1: 2 values that one row alone has are never held" in w for w in score.warnings)


def test_what_cannot_be_held_is_refused(rng):
    with pytest.raises(UsageError, match="factor 1 is continuous; give bins"):
        table(np.column_stack([rng.integers(0, 3, 50), rng.normal(size=50)]))
    with pytest.raises(UsageError, match="1 of 2 factors have two values that two rows or more share"):
        table(np.column_stack([rng.integers(0, 3, 50), np.arange(50)]))


def test_a_metric_that_moves_one_factor_alone_needs_the_grid(rng):
    factors = rng.integers(0, 3, (60, 2))
    with pytest.raises(UsageError, match="z_max_var: needs a complete factor grid"):
        z_max_var(factors.astype(float), table(factors), rng=rng)
    with pytest.raises(UsageError, match="z_max_var: needs a complete factor grid"):
        get("z_max_var").rows(table(factors), rng)


def test_codes_of_another_number_of_rows_are_refused(rng):
    with pytest.raises(UsageError, match=r"codes \(5, 2\) must have one row for each of the 6 rows"):
        factor_vae(np.zeros((5, 2)), table(TABLE), rng=rng)


@pytest.mark.parametrize("preset", ["ibgan", "infogan_cr"])
def test_a_preset_for_the_factors_of_dsprites_is_for_no_others(preset, rng):
    """Five other factors are as many, and their trees would have depths that were chosen for dSprites."""
    dci = get("dci")
    settings, own = dci.settings(preset), ("shape", "scale", "orientation", "posX", "posY")
    assert dci.unfit(preset, settings, own, 5) == ""
    assert dci.unfit(preset, settings, (), 5) == ""
    assert dci.unfit(preset, settings, tuple(f"factor_{j}" for j in range(5)), 5) == ""
    norb = ("category", "instance", "elevation", "azimuth", "lighting")
    assert "5 factors vary (category, instance, " in dci.unfit(preset, settings, norb, 5)
    assert "3 factors vary; take a preset for any factors: dlib" in dci.unfit(preset, settings, (), 3)
    assert dci.unfit(preset, dci.settings(preset, depths=(1, 2, 3)), (), 3) == ""
    assert dci.unfit("dlib", dci.settings("dlib"), norb, 5) == ""
