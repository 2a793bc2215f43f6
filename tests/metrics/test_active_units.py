import numpy as np

from disbench.metrics import active_units


def test_a_variance_of_a_hundredth_is_the_border():
    """Deviations .11, .09 and 0: variances .0121, .0081 and 0."""
    signs = np.tile([1.0, -1.0], 5000)
    s = active_units(np.column_stack([0.11 * signs, 0.09 * signs, np.full(10_000, 0.7)]))
    assert s.score == 1
    assert s.live.tolist() == [True, False, False]
    assert s.parts["share"] == 1 / 3
    assert active_units(0.09 * signs[:, None], threshold=0.001).score == 1
