"""Answers worked out by hand, as every formula should have."""

import numpy as np
import pytest
import torch
from disbench_example.rank_gap import rank_gap
from disbench_example.wae import WAE, Config, kernel, mmd

from disbench import datasets, models


def test_the_kernel_by_hand():
    """Points at distance 5 in the plane: C = 4, so 4 / (4 + 25)."""
    found = kernel(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[4 / 29, 1.0]]))


def test_the_distance_of_two_samples_by_hand():
    """In one dimension C = 2: kernels of 2/3 at distance 1, 1/3 at distance 2, 2/11 at distance 3."""
    z, prior = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    expected = 2 / 3 + 2 / 11 - 2 * (1 + 2 / 11 + 2 / 3 + 1 / 3) / 4
    assert float(mmd(z, prior)) == pytest.approx(expected)


def test_samples_of_the_prior_are_at_no_distance_and_a_shifted_one_is():
    g = torch.Generator().manual_seed(0)
    z, prior = torch.randn(2, 2000, 3, generator=g)
    assert float(mmd(z, prior)) == pytest.approx(0.0, abs=1e-3)
    assert float(mmd(z + 1, prior)) > 0.05


def test_the_loss_by_hand():
    """Four pixels of 0 or 1 against grey: 4 (1/2)^2. Both codes are 5 from both points of the prior."""
    method = WAE(Config(nets="mini", codes=2, batch=2, lam=5), models.DataInfo((1, 32, 32), 4))
    method.encoder, method.decoder = torch.nn.Linear(4, 2), torch.nn.Linear(2, 4)
    for parameter in method.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.tensor([[0.0, 1.0, 1.0, 1.0]]).repeat(2, 1)
    prior = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    terms = method.loss(x, {"prior": prior}, torch.tensor(0))
    assert terms["reconstruction"].item() == pytest.approx(1.0)
    assert terms["mmd"].item() == pytest.approx(5 * (1 + 1 - 2 * 4 / 29))


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
