import numpy as np
import pytest

from disbench.metrics import pairwise_mi


def test_by_hand(table):
    """Independent columns share nothing; of three pairs one is a copy of 4 values, ln 4."""
    assert pairwise_mi(table).score == pytest.approx(0)
    assert pairwise_mi(table[:, [0, 1, 1]]).score == pytest.approx(np.log(4) / 3)


def test_one_code_has_no_pair(table):
    s = pairwise_mi(table[:, :1])
    assert s.score == 0
    assert "no pair" in s.warnings[0]
