import numpy as np
import pytest

from disbench.metrics import jemmig

LN2, LN10 = np.log(2), np.log(10)


def test_by_hand():
    """The factor itself: H(z, v) = I = ln 2, nothing left. Two code values for each: H(z, v) = ln 4."""
    v = np.array([[0], [0], [1], [1]])
    assert jemmig(v, v).score == pytest.approx(1)
    s = jemmig(np.arange(4)[:, None], v)
    assert s.parts["unscaled"] == pytest.approx([LN2])
    assert s.score == pytest.approx(1 - LN2 / (LN2 + LN10))


def test_a_copy_costs_its_information():
    v = np.array([[0], [1]])
    assert jemmig(np.hstack([v, v]), v).score == pytest.approx(1 - LN2 / (LN2 + LN10))


def test_of_codes_that_know_alike_the_one_that_holds_less_else_counts():
    v = np.array([[0], [0], [1], [1]])
    neat, loose = v, np.arange(4)[:, None]
    for codes in (np.hstack([neat, loose]), np.hstack([loose, neat])):
        assert jemmig(codes, v).parts["unscaled"] == pytest.approx([LN2])  # H = ln 2, less a gap of 0


def test_dead_codes_score_zero(table):
    assert jemmig(np.ones((60, 2)), table).score == 0
