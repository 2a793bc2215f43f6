"""What the definitions promise for any data, here drawn by hypothesis; `test_promises` has the whole list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disbench.metrics import get, mcc, mig

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
BINNED = ("mig", "mig_sup", "dcimig", "jemmig", "aam", "modularity")
quick = settings(max_examples=25, deadline=None)


def noisy(seed, columns=3):
    rng = np.random.default_rng(seed)
    return np.tile(GRID, (2, 1)) @ rng.normal(size=(3, columns)) + rng.normal(size=(120, columns))


FACTORS = np.tile(GRID, (2, 1))
SEEDS = st.integers(0, 10**6)
# powers of two scale without rounding, so that no code changes its bin
UNITS = st.lists(st.sampled_from([0.25, 0.5, 2.0, 1024.0]), min_size=3, max_size=3)
SIGNS = st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3)


@quick
@given(SEEDS, st.permutations(range(3)), SIGNS, UNITS, st.permutations(range(5)))
@pytest.mark.parametrize("name", BINNED)
def test_order_sign_unit_and_names_do_not_matter(name, seed, order, signs, units, renamed):
    z = noisy(seed)
    factors = FACTORS.copy()
    factors[:, 2] = np.array(renamed)[FACTORS[:, 2]]
    changed = (z * signs * units)[:, order]
    assert get(name)(changed, factors).score == pytest.approx(get(name)(z, FACTORS).score, abs=1e-9)


@quick
@given(SEEDS)
@pytest.mark.parametrize("name", [*BINNED, "irs", "mcc"])
def test_scores_lie_between_zero_and_one(name, seed):
    assert -1e-9 <= get(name)(noisy(seed, 4), FACTORS).score <= 1 + 1e-9


@quick
@given(SEEDS, st.floats(-5, 5))
def test_an_origin_does_not_matter(seed, shift):
    """Rounding may move a code on the edge of a bin, hence not to the last digit."""
    z = noisy(seed)
    assert mig(z + shift, FACTORS).score == pytest.approx(mig(z, FACTORS).score, abs=0.02)


@quick
@given(SEEDS)
def test_a_copy_of_every_code_leaves_no_gap(seed):
    z = noisy(seed)
    assert mig(np.hstack([z, z]), FACTORS).score == pytest.approx(0, abs=1e-12)


@quick
@given(SEEDS, st.integers(0, 3))
@pytest.mark.parametrize("name", ["mig", "mig_sup", "dcimig", "jemmig", "aam", "irs", "mcc"])
def test_a_dead_code_changes_nothing(name, seed, place):
    z = noisy(seed)
    padded = np.insert(z, place, 0.7, axis=1)
    assert get(name)(padded, FACTORS).score == pytest.approx(get(name)(z, FACTORS).score, abs=1e-9)


@quick
@given(SEEDS, st.integers(0, 3))
@pytest.mark.parametrize("name", [*BINNED, "irs", "mcc"])
def test_a_constant_factor_changes_nothing(name, seed, place):
    z = noisy(seed)
    s = get(name)(z, np.insert(FACTORS, place, 4, axis=1))
    assert s.score == get(name)(z, FACTORS).score
    assert s.dropped_factors == (place,)


@quick
@given(SEEDS)
def test_a_rotation_costs_every_gap(seed):
    """Two factors of equal size, turned by 45 degrees: both codes know both alike."""
    rng = np.random.default_rng(seed)
    v = np.stack(np.unravel_index(np.arange(16), (4, 4)), axis=1)[rng.permutation(16)]
    turned = np.column_stack([v[:, 0] + v[:, 1], v[:, 0] - v[:, 1]])
    assert mig(turned, v).score == pytest.approx(0, abs=1e-9)
    assert mcc(turned, v).score == pytest.approx(np.sqrt(0.5))
