import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disbench.errors import UsageError
from disbench.metrics import Grid, get, voting


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_hold_changes_one_factor_and_nothing_else(sizes, data):
    grid = Grid(tuple(sizes))
    row = data.draw(st.integers(0, len(grid) - 1))
    factor = data.draw(st.integers(0, len(sizes) - 1))
    value = data.draw(st.integers(0, sizes[factor] - 1))
    expected = grid.factors(np.array(row))
    expected[factor] = value
    held = voting.hold(np.array(row), grid, np.array(factor), np.array(value))
    assert grid.factors(held).tolist() == expected.tolist()
    assert voting.value_of(held, grid, np.array(factor)) == value


def test_moments_of_batches_are_numpys(rng):
    z = rng.normal(3, 2, size=(7, 9, 4))
    mean, variance = voting.batch_moments(z)
    np.testing.assert_allclose(mean, z.mean(axis=1))
    np.testing.assert_allclose(variance, z.var(axis=1, ddof=1))
    np.testing.assert_allclose(voting.total_variance(mean, variance, 9), z.reshape(63, 4).var(axis=0, ddof=1))


def test_a_code_that_does_not_move_has_a_variance_of_exactly_zero():
    """0.1 has no exact mean of 7 copies, so a variance about the mean would not be 0."""
    z = np.full((1, 7, 1), 0.1)
    assert voting.batch_moments(z)[1][0, 0] == 0


def test_prune_rules_by_hand():
    """Standard deviations .3, .2, .04 and 0, so variances .09, .04, .0016 and 0."""
    variance = np.array([0.09, 0.04, 0.0016, 0.0])

    def live(rule, threshold=0.05, given=None):
        return voting.live_codes("factor_vae", variance, rule, threshold, given).tolist()

    assert live("std") == [True, True, False, False]
    assert live("var") == [True, False, False, False]
    assert live("relative", 0.5) == [True, True, False, False]
    assert live("relative", 0.7) == [True, False, False, False]
    assert live("none") == [True, True, True, False]
    assert live("std", given=[False, False, True, True]) == [False, False, True, False]
    with pytest.raises(UsageError, match="unknown prune rule of factor_vae 'stdd'; did you mean 'std'"):
        live("stdd")
    with pytest.raises(UsageError, match=r"live has shape \(2,\), but there are 4 codes"):
        live("std", given=[True, False])


def test_a_majority_by_hand():
    """Codes 0, 0, 1 won on factors 0, 0, 2: the table is 0 -> 0, 1 -> 2, right for two of four votes."""
    grid = Grid((2, 1, 2))
    winner = np.array([0, 0, 1, 0, 0, 1, 1])
    factor = np.array([0, 0, 2, 0, 2, 2, 0])
    live = np.array([True, True, False, True])
    s = voting.majority(grid, winner, factor, 3, live, False, 99, np.ones(4))
    assert (s.score, s.parts["train_accuracy"], s.n_encoded) == (0.5, 1.0, 99)
    assert s.parts["votes"].tolist() == [[2, 0], [0, 1], [0, 0], [0, 0]]
    assert s.parts["decision"].tolist() == [0, 2, -1, 0]  # in the grid's numbers; a dead code decides nothing
    assert voting.majority(grid, winner, factor, 3, live, True, 99, np.ones(4)).score == 0  # 1/2 is chance
    assert voting.majority(grid, winner, factor, 7, live, False, 99, np.ones(4)).score == 5 / 7


def test_above_chance():
    assert voting.above_chance(0.2, 5) == pytest.approx(0)
    assert voting.above_chance(0.6, 5) == pytest.approx(0.5)
    assert voting.above_chance(1.0, 5) == 1
    assert voting.above_chance(1.0, 1) == 0


def test_an_array_must_cover_the_grid():
    with pytest.raises(UsageError, match="one row for each of the 6 points of the grid"):
        voting.encoder("factor_vae", np.zeros((5, 2)), (2, 3))
    with pytest.raises(UsageError, match=r"they look transposed, pass codes\.T"):
        voting.encoder("factor_vae", np.zeros((2, 6)), (2, 3))


def test_what_is_said_of_the_votes_that_are_scored():
    grid = voting.Grid((3, 40))
    assert voting.about_votes(grid, 1199, True) == ()
    assert "each of the 120 images 10 times" in voting.about_votes(grid, 1200, True)[0]
    assert voting.about_votes(grid, 9, False) == (
        "scored on the votes that were fitted, all of them (eval_votes=0)",
    )


@pytest.mark.parametrize("name", ["beta_vae", "factor_vae", "z_max_var"])
def test_random_codes_of_few_images_score_above_chance_and_it_is_said(name):
    sizes = (4, 5, 6)
    noise = np.random.default_rng(1).normal(size=(120, 100))
    s = get(name)(noise, sizes, rng=np.random.default_rng(0), votes=2000, eval_votes=1000)
    assert s.score > 0.6
    assert any("codes without information can score above chance" in note for note in s.warnings)


@pytest.mark.parametrize(
    ("prune", "threshold", "std", "named"),
    [
        # .0495 and its sampling error from 5,000 images, 2 x .0495 / sqrt(10,000) = .00099
        ("std", 0.05, [0.0495, 0.0480, 0.0520, 1.0], [0]),
        ("var", 0.05, [0.2240, 0.2180, 0.0500, 1.0], [0]),
        ("relative", 0.1, [0.2010, 0.0500, 0.1900, 2.0], [0]),
        ("none", 0.05, [0.0495, 0.0500, 0.0510, 1.0], []),
        ("std", 0.05, [0.0, 0.0505, 0.0495, 1.0], [1, 2]),
    ],
)
def test_codes_within_their_sampling_error_of_a_threshold_are_named(prune, threshold, std, named):
    notes = voting.about_rule(prune, threshold, None, np.square(std), 5000)
    found = [j for j in range(len(std)) if any(f"code {j} (" in note for note in notes)]
    assert found == named
    assert not voting.about_rule(prune, threshold, np.ones(4, bool), np.square(std), 5000)


def test_a_cliff_is_told_beside_the_score():
    """Two codes of standard deviation .05: a draw counts one, both or none of them."""
    grid, rng = Grid((4, 5)), np.random.default_rng(0)
    factors = grid.factors(np.arange(20)).astype(float)
    codes = factors / factors.std(axis=0) * 0.05
    score = get("z_max_var")(codes, grid, rng=rng, votes=50, eval_votes=50, variance_rows=2000)
    assert any("the score can jump" in warning for warning in score.warnings)
    score = get("z_max_var")(2 * codes, grid, rng=rng, votes=50, eval_votes=50, variance_rows=2000)
    assert not any("the score can jump" in warning for warning in score.warnings)
