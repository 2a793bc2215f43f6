import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, z_max_var
from disbench.metrics.z_max_var import draw

SIZES = (3, 4, 5)


def test_only_one_factor_moves_within_a_vote(rng):
    grid = Grid(SIZES)
    _, factor, rows = draw(grid, rng, 30, 40, 10, 5)
    values = grid.factors(rows)
    moves = (values != values[:, :1]).any(axis=1)
    assert moves.sum() == 50
    assert moves[np.arange(50), factor].all()


def test_one_code_per_factor_scores_one_and_dead_codes_never_win(table, rng):
    codes = np.column_stack([np.zeros(60), table, np.ones(60)])
    s = z_max_var(codes, SIZES, rng=rng, prune="none")
    assert s.score == 1
    assert s.parts["decision"].tolist() == [-1, 0, 1, 2, -1]


def test_a_code_of_large_unit_does_not_win_by_it(table, rng):
    """The first code holds some of the second factor, in a large unit: little for its spread."""
    codes = np.column_stack([1000 * table[:, 0] + 100 * table[:, 1], table[:, 1], table[:, 2]])
    assert z_max_var(codes, SIZES, rng=rng).score == 1


def test_a_single_code_is_at_chance(table, rng):
    s = z_max_var(table.sum(axis=1, keepdims=True), SIZES, rng=rng)
    assert s.score == pytest.approx(1 / 3, abs=0.07)
    adjusted = z_max_var(table, SIZES, rng=rng, preset="ubisoft")
    assert adjusted.score == 1


def test_settings_that_make_no_sense_are_refused(table, rng):
    with pytest.raises(UsageError, match=r"z_max_var.variance_rows=0 was given, but it must be at least 2"):
        z_max_var(table, SIZES, rng=rng, variance_rows=0)
