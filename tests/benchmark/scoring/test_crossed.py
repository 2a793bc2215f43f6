"""Methods as the encoders and generators of `model_centrality`."""

import numpy as np
import pytest
import torch
from torch import nn

from disbench import metrics, models
from disbench.benchmark.scoring import crossed
from disbench.errors import UsageError
from disbench.models import DataInfo, Method, code_columns

CPU = torch.device("cpu")
DATA = DataInfo((1, 2, 2), 10)


class Pixels(Method):
    """An image is three codes and a pixel of noise, as they are; `turn` mixes what it reads and writes."""

    def __init__(self, turn=None, noisy=False):
        super().__init__(models.Config(), DATA)
        self.turn = torch.eye(4) if turn is None else turn
        self.norm = nn.BatchNorm1d(1)
        self.noisy = noisy

    def noise(self, batch, generator):
        return {"z": torch.randn(batch, 4, generator=generator)}

    def sample_latents(self, noise):
        return noise["z"], code_columns(1, [1, 2] if self.noisy else [1, 1, 1])

    def represent(self, images):
        assert not self.training
        return (images.flatten(1) @ self.turn.inverse())[:, 1:]

    def generate(self, latents):
        assert not self.training
        return (latents @ self.turn).reshape(-1, 1, 2, 2)


def test_one_code_of_each_vote_is_held_at_its_first_value():
    latents = torch.randn(4 * 5, 6)
    held = np.array([1, 0, 2, 0])
    votes = crossed.hold(latents, [range(1, 2), range(2, 3), range(4, 6)], held, 5).reshape(4, 5, 6)
    before = latents.reshape(4, 5, 6)
    for vote, columns in enumerate([[2], [1], [4, 5], [1]]):
        others = [column for column in range(6) if column not in columns]
        assert (votes[vote][:, columns] == before[vote][0, columns]).all()
        assert torch.equal(votes[vote][:, others], before[vote][:, others])
    assert latents.reshape(4, 5, 6)[1, 0, 1] != latents.reshape(4, 5, 6)[1, 1, 1]  # the input is left alone


def test_a_generator_draws_votes_with_all_else_free(monkeypatch):
    """In parts, too: the noise of a step is drawn for a few images at a time."""
    monkeypatch.setattr(crossed, "CHUNK", 16)
    own = crossed.generator(Pixels().train(), CPU, "x")
    assert own.codes == 3
    images = own.draw(np.array([0, 2, 1, 1]), 10, np.random.default_rng(0)).reshape(4, 10, 4)
    still = (images == images[:, :1]).all(dim=1)
    assert still.tolist() == [[k == held + 1 for k in range(4)] for held in (0, 2, 1, 1)]
    free = own.draw(np.zeros(40, int), 1, np.random.default_rng(0)).reshape(40, 4)
    assert len(free.unique(dim=0)) == 40
    again = own.draw(np.zeros(40, int), 1, np.random.default_rng(0)).reshape(40, 4)
    assert torch.equal(free, again)
    other = own.draw(np.zeros(40, int), 1, np.random.default_rng(1)).reshape(40, 4)
    assert not torch.equal(free, other)


def test_a_code_of_several_columns_is_held_as_a_whole():
    own = crossed.generator(Pixels(noisy=True), CPU, "x")
    assert own.codes == 2
    images = own.draw(np.array([1]), 10, np.random.default_rng(0)).reshape(10, 4)
    assert (images == images[:1]).all(dim=0).tolist() == [False, False, True, True]


def test_methods_that_agree_are_told_from_one_that_does_not():
    order = torch.eye(4)[[0, 3, 1, 2]] * torch.tensor([1.0, -2.0, 3.0, 0.5])
    odd = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    several = [Pixels(), Pixels(odd), Pixels(order)]
    found = metrics.model_centrality(
        [crossed.encoder(each, CPU) for each in several],
        [crossed.generator(each, CPU, "x") for each in several],
        rng=np.random.default_rng(0),
        preset="quick",
    )
    assert found.parts["pairwise"][0, 2] == found.parts["pairwise"][2, 0] == 1
    assert found.parts["models"].argmin() == 1
    assert found.parts["models"][1] < 0.6


def test_a_method_without_latents_is_no_generator(monkeypatch):
    monkeypatch.setattr(Pixels, "sample_latents", Method.sample_latents)
    assert crossed.generator(Pixels(), CPU, "x") is None


def test_a_diverged_generator_is_named():
    own = crossed.generator(Pixels(torch.full((4, 4), torch.nan)), CPU, "vae seed 3")
    with pytest.raises(UsageError, match="vae seed 3 draws images with NaN"):
        own.draw(np.zeros(3, int), 1, np.random.default_rng(0))
