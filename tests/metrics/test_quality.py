"""Generators made by hand: each fault moves its own numbers and no other."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from disbench.benchmark.datasets import dsprites
from disbench.errors import UsageError
from disbench.metrics import factor_vae, mig
from disbench.metrics.factors import Factors
from disbench.metrics.occurring import Occurring
from disbench.metrics.oracle import Levels, Oracle, Symmetry, sides
from disbench.metrics.oracle.quality import parts, quality
from disbench.metrics.oracle.reading import of_bits
from disbench.metrics.registry import Grid

# 3 shapes x 2 scales x 8 x 8 positions, of sprites whose scales and places differ clearly
GRID = Grid((3, 2, 8, 8), ("shape", "scale", "x", "y"))
N = 1000


@pytest.fixture(scope="module")
def oracle():
    blocks = [
        dsprites.sprites(shape, scale, 3, size=32).reshape(32, 32, -1)[::4, ::4]
        for shape in range(3)
        for scale in (1, 5)
    ]
    return of_bits(np.concatenate(blocks).reshape(len(GRID), -1), GRID, (1, 32, 32))


def perfect(oracle, n=N, seed=1):
    factors = GRID.draw(np.random.default_rng(seed), n)
    return factors, oracle.pictures(GRID.rows(factors))[:, 0]


def judged(oracle, pictures):
    return quality(oracle, pictures, oracle.read(pictures), np.random.default_rng(0))


def test_a_perfect_generator_scores_one_and_distance_zero(oracle):
    factors, pictures = perfect(oracle)
    reading = oracle.read(pictures)
    found = judged(oracle, pictures)
    assert (reading.distance == 0).all()
    assert (reading.factors == factors).all()
    assert found.error == {"median": 0, "mean": 0, "90 %": 0}
    for name in ("fidelity", "on"):
        assert found.shares[name] == 1.0
    for name in ("coverage", "recall", "rare"):
        assert found.shares[name] == pytest.approx(1.0, abs=0.08)
    for name in ("empty", "double", "off"):
        assert found.shares[name] == 0.0
    assert found.shares["duplicates"] == pytest.approx(found.real["duplicates"], abs=0.02)
    assert found.coverage == dict.fromkeys(GRID.names, 1.0)
    assert all(share > 0.97 for share in found.balance.values())
    codes = factors.astype(float)
    assert (
        factor_vae(
            codes, Occurring(Factors.whole(reading.factors)), rng=np.random.default_rng(0), votes=200
        ).score
        == 1.0
    )
    assert mig(codes, reading.factors).score > 0.95


def test_a_turned_basis_of_codes_lowers_disentanglement_and_nothing_else(oracle):
    factors, pictures = perfect(oracle)
    reading = oracle.read(pictures)
    standard = (factors - factors.mean(0)) / factors.std(0)
    # every code has a quarter of every factor's variance, so no code stands out for any
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    turned = standard @ hadamard
    assert mig(factors.astype(float), reading.factors).score > 0.95
    assert mig(turned, reading.factors).score < 0.1
    assert judged(oracle, pictures).shares["fidelity"] == 1.0


def test_one_shape_lowers_coverage_and_nothing_else(oracle):
    factors, _ = perfect(oracle)
    factors[:, 0] = 1
    pictures = oracle.pictures(GRID.rows(factors))[:, 0]
    found = judged(oracle, pictures)
    assert found.coverage == {"shape": pytest.approx(1 / 3), "scale": 1.0, "x": 1.0, "y": 1.0}
    assert found.balance["shape"] == pytest.approx(1 / 3, abs=0.02)
    assert found.pairs["shape, x"] == pytest.approx(1 / 3)
    assert found.pairs["x, y"] == 1.0
    # three of the six pairs of factors have a shape
    assert found.shares["coverage"] == pytest.approx(2 / 3)
    assert found.shares["recall"] == pytest.approx(1 / 3 / found.real["recall"], abs=0.01)
    assert found.shares["rare"] == 0.0
    assert found.shares["fidelity"] == found.shares["on"] == 1.0


def test_a_little_blur_lowers_fidelity_and_nothing_else(oracle):
    """Large sprites, since blur takes a larger part of small ones."""
    factors, pictures = perfect(oracle)
    large = factors[:, 1] == 1
    blurred = np.where(large[:, None, None], uniform_filter(pictures, (0, 3, 3)), pictures)
    found, before = judged(oracle, blurred), judged(oracle, pictures)
    assert found.shares["fidelity"] < 0.99
    assert found.error["90 %"] > 0.02
    for name in ("on", "coverage", "recall", "rare", "empty", "double"):
        assert found.shares[name] == pytest.approx(before.shares[name], abs=0.05)
    # and the readings stay right
    assert (oracle.read(blurred).factors == factors).all(axis=1).mean() > 0.95


def test_empty_double_and_noise_pictures_are_told_apart(oracle):
    _, pictures = perfect(oracle, 40)
    pictures = pictures.copy()
    pictures[:10] = 0
    # two sprites, far apart
    corner = oracle.pictures(GRID.rows(np.array([[0, 0, 0, 0], [0, 0, 7, 7]])))[:, 0]
    pictures[10:20] = np.maximum(*corner)
    # one block that is no sprite
    pictures[20:30] = 0
    pictures[20:30, 2:30, 14:17] = 1
    found = judged(oracle, pictures)
    assert list(found.kinds) == ["empty"] * 10 + ["double"] * 10 + ["off"] * 10 + ["on"] * 10
    assert found.shares["on"] == 0.25
    assert {found.shares[kind] for kind in ("empty", "double", "off")} == {0.25}
    # nine repeats in each block of ten
    assert found.shares["duplicates"] >= 27 / 40


def test_noise_covers_nothing(oracle):
    noise = np.random.default_rng(0).random((200, 32, 32))
    found = judged(oracle, noise)
    assert found.shares["on"] == 0.0
    assert set(found.coverage.values()) == {0.0}
    assert found.shares["fidelity"] < 0.01


def test_parts_touch_at_corners_and_small_ones_do_not_count():
    image = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    assert parts(image, 2) == 2
    assert parts(image, 3) == 0


def test_grey_levels_have_an_error_and_no_parts():
    images = np.array([[0, 0], [0, 200], [100, 0], [100, 200]], np.float32)
    oracle = Oracle(Levels(4, 2, lambda rows: images[rows]), Grid((2, 2)), (1, 1, 2))
    pictures = np.repeat(images[[0, 1, 2, 3]] / 255, 25, axis=0).reshape(-1, 1, 1, 2)
    pictures[0] = 1.0
    found = judged(oracle, pictures)
    # (1, 1) is nearest to (100, 200): root of the mean of (155/255)^2 and (55/255)^2
    assert found.error["mean"] == pytest.approx(np.hypot(155, 55) / np.sqrt(2) / 255 / 100)
    assert found.shares["off"] == 0.01
    assert found.shares["duplicates"] == pytest.approx(0.95)
    assert found.coverage == {"factor 0": 1.0, "factor 1": 1.0}


@pytest.mark.parametrize(("given", "sentence"), [({"off": 0.0}, "error above 0"), ({"bins": 0}, "1 bin or")])
def test_refused_settings(oracle, given, sentence):
    _, pictures = perfect(oracle, 5)
    with pytest.raises(UsageError, match=sentence):
        quality(oracle, pictures, oracle.read(pictures), np.random.default_rng(0), **given)


# --- sides ---


def test_effects_by_hand():
    """Factor 0 is code 0, factor 1 the sum of codes 0 and 1, factor 2 is constant; code 2 does nothing.

    Codes are 0 or 1, so code 0 drawn anew changes factor 0 by 1 in half of the draws: (1/2) / (2 1/4) = 1.
    The sum has the variance 1/2, of which each code makes half.
    """
    rng = np.random.default_rng(0)
    codes, again = rng.integers(2, size=(2, 20_000, 3))

    def factors(c):
        return np.column_stack([c[:, 0], c[:, 0] + c[:, 1], 0 * c[:, 0]])

    moved = [np.where(np.arange(3) == j, again, codes) for j in range(3)]
    found = sides.effects(factors(codes), np.stack([factors(c) for c in moved]))
    assert found == pytest.approx(np.array([[1, 0.5, 0], [0, 0.5, 0], [0, 0, 0]]), abs=0.03)


def test_effects_on_shapes_and_phases():
    """A shape or a phase drawn anew is gone in full, whatever the numbers of its values are."""
    rng = np.random.default_rng(0)
    factors, again = (
        np.column_stack([rng.integers(3, size=9000), rng.integers(39, size=9000)]) for _ in "ab"
    )
    moved = np.stack(
        [np.column_stack([again[:, 0], factors[:, 1]]), np.column_stack([factors[:, 0], again[:, 1]])]
    )
    found = sides.effects(factors, moved, Symmetry(0, 1, (4, 2, 1), 39))
    assert found == pytest.approx(np.eye(2), abs=0.03)


def test_agreement_is_one_for_equal_and_zero_for_independent_readings():
    rng = np.random.default_rng(0)
    symmetry = Symmetry(0, 1, (4, 2, 1), 39)
    a, b = (np.column_stack([rng.integers(3, size=9000), rng.integers(39, size=9000)]) for _ in "ab")
    assert sides.agreement(a, a, symmetry) == pytest.approx([1, 1])
    assert sides.agreement(a, b, symmetry) == pytest.approx([0, 0], abs=0.03)
    # opposite on the circle contradicts, as far as it can: |u - v|^2 = 4, variances 1 each
    half = Symmetry(0, 1, (1, 1, 1), 40)
    assert sides.agreement(a, a + np.array([0, 20]), half)[1] == pytest.approx(-1, abs=0.01)
    # by hand: 0, 0, 1, 1 against 0, 1, 1, 1: 1/4 / (1/4 + 3/16 + 1/16)
    ordered = sides.agreement(np.array([[0], [0], [1], [1]]), np.array([[0], [1], [1], [1]]))
    assert ordered == pytest.approx([0.5])
    assert np.isnan(sides.agreement(np.zeros((3, 1), int), np.zeros((3, 1), int))).all()


def test_cycle_is_the_squared_correlation():
    codes = np.array([[0.0, 1, 5], [1, 2, 5], [2, 3, 5]])
    again = np.array([[10.0, 0, 0], [8, 0, 1], [6, 1, 2]])
    # the second: (-1, 0, 1) against (-1/3, -1/3, 2/3): 1 / (2 x 2/3)
    assert sides.cycle(codes, again) == pytest.approx([1, 0.75, 0])
