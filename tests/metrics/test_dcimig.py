import numpy as np
import pytest

from disbench.metrics import dcimig

V = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def test_by_hand():
    assert dcimig(V, V).score == pytest.approx(1)
    assert dcimig(V[:, :1], V).score == pytest.approx(0.5)  # ln 2 of 2 ln 2
    assert dcimig((V @ [2, 1])[:, None], V).score == pytest.approx(0)  # no lead of one factor over the other
    assert dcimig(np.column_stack([V[:, 0], V[:, 0], V[:, 1]]), V).score == pytest.approx(1)  # copies


def test_factors_weigh_by_their_entropy(table):
    """Without a code for the factor of 3 values, ln 20 of ln 60 is left."""
    assert dcimig(table[:, 1:], table).score == pytest.approx(np.log(20) / np.log(60))
