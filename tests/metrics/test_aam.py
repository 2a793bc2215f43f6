import numpy as np
import pytest

from disbench.metrics import aam, mig


def test_all_other_codes_count_together():
    """v knows ln 4 and its bits ln 2 each: the gap to one is half, to both together nothing."""
    v = np.arange(4)[:, None]
    assert aam(v, v).score == pytest.approx(1)
    assert aam(np.hstack([v, v // 2]), v).score == pytest.approx(0.5)
    both = np.hstack([v, v // 2, v % 2])
    assert aam(both, v).score == pytest.approx(0)
    assert mig(both, v).score == pytest.approx(0.5)


def test_it_does_not_fall_below_zero():
    v = np.arange(4)[:, None]
    assert aam(np.hstack([v, v, v]), v).score == 0
