import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import modularity

V = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])


def test_by_hand():
    """A code of two bits knows ln 2 of two factors of three: 1 - 1/(1 * 2). A code of three knows all: 0."""
    assert modularity(V, V).score == pytest.approx(1)
    assert modularity((V[:, :2] @ [2, 1])[:, None], V).score == pytest.approx(0.5)
    assert modularity((V @ [4, 2, 1])[:, None], V).score == pytest.approx(0)


def test_a_dead_code_counts_zero_or_not_at_all(rng):
    """Its information must be exactly 0: a rounding error of 1e-17, divided by itself, would score 1."""
    v = rng.integers(0, 3, (1000, 2))
    codes = np.column_stack([v, np.full(1000, 0.7)])
    s = modularity(codes, v)
    assert s.parts["codes"] == pytest.approx([1, 1, 0], abs=1e-4)
    assert s.score == pytest.approx(2 / 3, abs=1e-4)
    assert modularity(codes, v, over="live").score == pytest.approx(1, abs=1e-4)
    assert s.parts["weighted"] == pytest.approx(1, abs=1e-4)
    with pytest.raises(UsageError, match="unknown over of modularity"):
        modularity(codes, v, over="some")


def test_noise_does_not_score_zero_but_its_weight_is_small(rng):
    """Why `weighted` is there: noise codes pull the mean down, and hardly touch the weighted one."""
    v = rng.integers(0, 5, (2000, 5))
    s = modularity(np.hstack([v, rng.normal(size=(2000, 5))]), v)
    assert 0.5 < s.score < 0.9
    assert s.parts["weighted"] > 0.98


def test_with_one_factor_there_is_nothing_to_mix():
    s = modularity(V[:, :1], V[:, :1])
    assert s.score == 1
    assert "one factor" in s.warnings[0]
