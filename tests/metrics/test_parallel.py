import warnings

import numpy as np
import pytest

from disbench.metrics import downstream, parallel, registry


def half(number):
    if number % 2:
        warnings.warn(f"{number} is odd\n", UserWarning, stacklevel=1)
    return number // 2


def test_results_warnings_and_progress_come_back():
    told = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        numbers = [(i,) for i in range(4)]
        assert parallel.each(half, numbers, 1, lambda *of: told.append(of)) == [0, 0, 1, 1]
    assert [str(w.message) for w in caught] == ["1 is odd\n", "3 is odd\n"]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.slow
def test_a_metric_in_two_processes_has_the_warnings_of_one(capfd, table):
    """In another process they would be printed there, and the score would lack them."""
    noisy = np.tile(table, (3, 1)) + 0.3 * np.random.default_rng(0).normal(size=(180, 3))
    settings = {"sizes": (100,), "max_iter": 2}
    scores = [
        downstream(noisy, np.tile(table, (3, 1)), rng=np.random.default_rng(0), n_jobs=n, **settings)
        for n in (1, 2)
    ]
    assert registry.UNFINISHED in scores[0].warnings
    assert scores[0].warnings == scores[1].warnings
    assert capfd.readouterr().err == ""
