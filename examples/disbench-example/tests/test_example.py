"""Answers worked out by hand, as every formula should have."""

import numpy as np
import pytest
import torch
from disbench_example.dip_vae import DIPVAE, Config, covariance
from disbench_example.rank_gap import rank_gap

from disbench import datasets, models

MU = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])  # Cov = diag(1/2, 2)
LOGVAR = torch.tensor([0.5, 2.0]).log().expand(4, 2)


@pytest.mark.parametrize(("kind", "diagonal"), [("i", [0.5, 2.0]), ("ii", [1.0, 4.0])])
def test_the_covariance_of_four_points(kind, diagonal):
    torch.testing.assert_close(covariance(MU, LOGVAR, kind), torch.diag(torch.tensor(diagonal)))


def test_the_penalties_by_hand():
    """DIP-VAE-II on codes of variance 1 and 4 without covariance: 0 off the diagonal, 10 (0 + 9) on it."""
    method = DIPVAE(Config(nets="mini", codes=2, batch=4), models.DataInfo((1, 32, 32), 4))
    method.encoder = torch.nn.Identity()
    noise = {"eps": torch.zeros(4, 2)}
    method.decoder = torch.nn.Linear(2, 4)
    terms = method.loss(torch.cat([MU, LOGVAR], dim=1), noise, torch.tensor(0))
    assert float(terms["off_diagonal"]) == pytest.approx(0.0, abs=1e-5)
    assert float(terms["diagonal"]) == pytest.approx(90.0, rel=1e-5)


def test_the_rank_gap_by_hand():
    factors = np.arange(5)[:, None]
    warped = np.exp(factors)
    swapped = np.array([0, 1, 2, 4, 3])[:, None]  # Spearman: 1 - 6 * 2 / (5 * 24) = 0.9
    assert rank_gap(warped, factors).score == pytest.approx(1.0)
    assert rank_gap(np.hstack([warped, swapped]), factors).score == pytest.approx(0.1)
    assert rank_gap(np.hstack([warped, -warped]), factors).score == pytest.approx(0.0)


def test_the_bars_are_where_their_factors_say(tmp_path):
    bars = datasets.load("bars", data_dir=tmp_path)
    row = bars.grid.rows(np.array([1, 3, 2]))
    image = bars.images([row])[0, 0]
    assert image.sum() == 2 * 8  # step 2 wide, 2 * step * 2 long
    assert image[4:12, 12:14].min() == 1
