import numpy as np
import pandas as pd

from disbench.leaderboards import plots


def frame(quantity, values):
    """values (seeds, steps, entries)."""
    return pd.DataFrame(
        [
            {"seed": s, "step": 10 * t, "quantity": quantity, "index": i, "value": value}
            for (s, t, i), value in np.ndenumerate(np.asarray(values, float))
        ]
    )


def test_latents_are_compared_by_rank_and_not_by_number():
    """Seed 0 ends with its latent 1 largest, seed 1 with its latent 0: rank 0 is the largest of each."""
    steps, values = plots.ranked(frame("kl", [[[0, 0], [1, 3]], [[0, 0], [4, 2]]]))
    assert list(steps) == [0, 10]
    assert values[:, -1].tolist() == [[3, 1], [4, 2]]


def test_steps_that_not_every_seed_logged_are_left_out():
    both = pd.concat([frame("kl", [[[1], [2]]]), frame("kl", [[[1], [2], [3]]]).assign(seed=1)])
    assert list(plots.ranked(both)[0]) == [0, 10]


def test_a_bound_shares_the_panel_of_what_it_bounds():
    both = pd.concat([frame("L_I_categorical", [[[1], [2]]]), frame("H_categorical", [[[2.3], [2.3]]])])
    figure = plots.curves(both, "infogan")
    seen = [axis for axis in figure.axes if axis.get_visible()]
    assert len(seen) == 1
    assert len(seen[0].lines) == 2
    assert "dashed: H_categorical" in seen[0].get_title()


def test_the_line_is_the_median_and_the_band_reaches_from_least_to_most():
    figure = plots.curves(frame("loss", [[[1.0], [1.0]], [[2.0], [5.0]], [[9.0], [6.0]]]), "vae")
    axis = figure.axes[0]
    assert axis.lines[0].get_ydata().tolist() == [2.0, 5.0]
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 9.0)
