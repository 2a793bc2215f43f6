"""Each preset is one share of what the oracle reads, and all shares come along."""

import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import Grid, sample_quality
from disbench.metrics.oracle.quality import quality
from disbench.metrics.oracle.reading import of_bits
from disbench.metrics.sample_quality import SHARES

# 4 x 2 images of one white bar of four pixels each
BARS = np.repeat(np.eye(8), 4, axis=1)
GRID = Grid((4, 2), ("place", "side"))


def seen(pictures):
    oracle = of_bits(np.packbits(BARS > 0, axis=1), GRID, (1, 4, 8))
    given = np.asarray(pictures, float).reshape(-1, 4, 8)
    return quality(oracle, given, oracle.read(given), np.random.default_rng(0))


def test_each_preset_by_hand():
    wrong = BARS[0].copy()
    wrong[0] = 0
    # half of the pictures are the first bar, the others lack one of its four white pixels
    found = seen([BARS[0], wrong] * 100)
    assert sample_quality(found, preset="fidelity").score == pytest.approx(1 - 1 / 8)
    # an error of .25 is not above .25
    assert sample_quality(found).score == 1.0
    # one of 8 pairs of place and side, and of 3 x 2 coarse cells, which as many real draws do not fill
    assert sample_quality(found, preset="coverage").score == pytest.approx(1 / 8)
    assert sample_quality(found, preset="recall").score == pytest.approx(1 / 6 / found.real["recall"])
    assert sample_quality(found, preset="rare").score == 0.0


def test_the_parts_are_all_shares_and_the_coverage_of_each_factor():
    score = sample_quality(seen([BARS[0], BARS[1], 0 * BARS[0], 0 * BARS[0]] * 50), preset="coverage")
    assert score.parts["empty"] == 0.5
    assert score.parts["on"] == 0.5
    assert score.parts["coverage_of"] == {"place": 1 / 4, "side": 1.0}
    assert set(SHARES) < set(score.parts)
    assert score.n_encoded == 200


def test_an_unknown_preset_is_named():
    with pytest.raises(UsageError, match="did you mean 'coverage'"):
        sample_quality(seen([BARS[0]] * 2), preset="covrage")
