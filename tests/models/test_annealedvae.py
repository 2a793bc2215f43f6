"""AnnealedVAE against numbers worked out by hand.

Variants seen failing here: a capacity that is reached at once, a KL without the absolute value, its square,
the absolute value taken image by image, and a mean over latents instead of their sum.
"""

import pytest
import torch

from disbench.models import get

CHANGES = {"gamma": 10, "capacity": 4, "capacity_steps": 100}


def penalty(method, mu, step):
    return method.penalty(mu, mu, torch.zeros_like(mu), torch.tensor(float(step)))["kl"].item()


def test_the_penalty_by_hand(make):
    """One latent of mean 2 and variance 1 has a KL of 2 nats; the capacity is 0, 1, 2, 4 and 4 nats."""
    method = make("annealedvae", changes=CHANGES)
    found = [penalty(method, torch.tensor([[2.0]]), step) for step in (0, 25, 50, 100, 1000)]
    assert found == pytest.approx([20, 10, 0, 20, 20])


def test_latents_are_summed(make):
    """Means 2 and 4 have KLs of 2 and 8 nats: 10 above a capacity of 0."""
    assert penalty(make("annealedvae", changes=CHANGES), torch.tensor([[2.0, 4.0]]), 0) == pytest.approx(100)


def test_the_kl_of_the_batch_is_held_to_the_capacity_and_not_that_of_each_image(make):
    """KLs of 0 and 4 nats are 2 on average, the capacity at half of the rise; by image it would be 20."""
    method = make("annealedvae", changes=CHANGES)
    assert penalty(method, torch.tensor([[0.0], [8.0**0.5]]), 50) == pytest.approx(0, abs=1e-5)


def test_with_gamma_one_and_no_capacity_it_is_the_vae(make, inputs):
    method, plain = make("annealedvae", changes={"gamma": 1, "capacity": 0}), make("vae")
    x, noise, _ = inputs(plain, 0, 0)
    for step in (0.0, 10_000.0):
        terms, expected = (m.loss(x, noise, torch.tensor(step)) for m in (method, plain))
        assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in expected.items()}


def test_the_capacity_is_monitored(make, inputs):
    method = make("annealedvae", changes=CHANGES)
    x, noise, _ = inputs(method, 0, 0)
    assert method.monitor(x, noise, torch.tensor(25.0))["capacity"].item() == 1.0


def test_the_settings_of_the_study_are_those_of_disentanglement_lib():
    method = get("annealedvae")
    config = method.CONFIGS["dlib"]
    assert (config.gamma, config.capacity_steps, config.steps, config.lr) == (1000, 100_000, 300_000, 1e-4)
    assert (config.batch, config.codes, config.nets) == (64, 10, "dlib")
    assert [change["capacity"] for change in method.VARIANTS.values()] == [5, 10, 25, 50, 75, 100]
