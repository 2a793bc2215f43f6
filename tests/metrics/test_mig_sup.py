import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import mig_sup


def test_copies_do_no_harm_and_mixtures_do(table):
    assert mig_sup(np.hstack([table, table]), table).score == pytest.approx(1)
    # one code of two bits knows both factors alike; a code of one knows that one
    v = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    both = v @ [2, 1]
    assert mig_sup(both[:, None], v).score == pytest.approx(0)
    assert mig_sup(np.column_stack([both, v[:, 0]]), v).score == pytest.approx(0.5)


def test_dead_codes_are_left_out(table):
    codes = np.insert(table, 1, 4, axis=1)
    s = mig_sup(codes, table)
    assert s.score == pytest.approx(1)
    assert s.live.tolist() == [True, False, True, True]


def test_ubisoft_divides_by_the_codes_entropy():
    rows = np.arange(8)[:, None]
    assert mig_sup(rows, rows // 2, preset="ubisoft").score == pytest.approx(2 / 3)
    with pytest.raises(UsageError, match="unknown divide_by"):
        mig_sup(rows, rows // 2, divide_by="none")
