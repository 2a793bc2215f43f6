"""The contrastive regulariser of InfoGAN-CR against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from disbench.errors import UsageError
from disbench.models import configure

from .fixed import Fixed

NAME = "infogan_cr"


def drawn(make, inputs, **changes):
    method = make(NAME, changes=changes)
    return method, *inputs(method, 0, 0)


def test_an_h_that_knows_nothing_costs_the_log_of_the_number_of_codes_and_a_perfect_one_nothing(make, inputs):
    method, x, noise, step = drawn(make, inputs, alpha=3.0)
    for answer, cost in ((torch.zeros_like(noise["i"]), math.log(5)), (100 * noise["i"], 0.0)):
        method.h = Fixed(answer)
        assert method.contrast_loss(x, noise, step)["contrast"].item() == pytest.approx(cost, abs=1e-6)
        terms = method.contrasted_generator_loss(x, noise, step)
        assert terms["contrast"].item() == pytest.approx(3.0 * cost, abs=1e-6)


def test_an_h_that_is_right_three_times_in_four(make, inputs):
    """-log(3/4), and not the cross-entropy of another code, which would be log 16."""
    method, x, noise, step = drawn(make, inputs)
    method.h = Fixed((0.75 * noise["i"] + 0.0625 * (1 - noise["i"])).log())
    assert method.contrast_loss(x, noise, step)["contrast"].item() == pytest.approx(
        -math.log(3 / 4), rel=1e-5
    )


def test_a_pair_shares_one_code_and_the_noise_and_nothing_else(make):
    noise = make(NAME).noise(20_000, torch.Generator().manual_seed(0))
    first, second = noise["pair"].unbind(1)
    assert torch.equal(first == second, noise["i"].bool())
    assert torch.equal(noise["i"].sum(1), torch.ones(20_000))
    torch.testing.assert_close(noise["i"].mean(0), torch.full((5,), 0.2), atol=0.01, rtol=0)
    for codes in (first, second):
        torch.testing.assert_close(codes.mean(0), torch.zeros(5), atol=0.02, rtol=0)
        torch.testing.assert_close(codes.var(0), torch.full((5,), 1 / 3), atol=0.01, rtol=0)
    # where they are not shared, the codes of a pair know nothing of each other
    apart = noise["i"][:, 0] == 0
    together = torch.corrcoef(torch.stack([first[apart, 0], second[apart, 0]]))[0, 1]
    assert abs(together.item()) < 0.03
    assert not torch.equal(noise["pair"][:, 0], noise["c"])


def test_h_sees_the_two_images_of_its_codes_side_by_side(make, inputs):
    method, x, noise, step = drawn(make, inputs)
    painted, seen = [], []
    method.g.register_forward_pre_hook(lambda _, args: painted.append(args[0]))
    method.h.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    method.contrast_loss(x, noise, step)
    for j, latents in enumerate(painted):
        assert torch.equal(latents, torch.cat([noise["z of pair"], noise["pair"][:, j]], 1))
    assert len(painted) == 2
    assert seen[0].shape == (len(x), 2 * x.shape[1], *x.shape[2:])


def test_h_learns_without_g_and_g_helps_h(make, inputs):
    method, x, noise, step = drawn(make, inputs)
    alone = method.contrast_loss(x, noise, step)["contrast"]
    of_g = torch.autograd.grad(alone, list(method.g.parameters()), allow_unused=True)
    assert all(g is None for g in of_g)
    before = method.contrasted_generator_loss(x, noise, step)["contrast"]
    weights = list(method.g.parameters())
    with torch.no_grad():
        for weight, gradient in zip(weights, torch.autograd.grad(before, weights), strict=True):
            weight -= 0.01 * gradient
    after = method.contrasted_generator_loss(x, noise, step)["contrast"]
    assert after.item() < before.item()


def test_without_the_regulariser_it_is_infogan(make, inputs, train):
    plain, without = make("infogan"), make(NAME, changes={"alpha": 0})
    assert [u.losses for u in without.updates()] == [u.losses for u in plain.updates()]
    method, x, noise, step = drawn(make, inputs)
    for loss in ("discriminator_loss", "generator_loss"):
        expected = getattr(method, loss)(x, noise, step)
        assert "contrast" not in expected
    regularised = method.contrasted_generator_loss(x, noise, step)
    assert set(regularised) == {*method.generator_loss(x, noise, step), "contrast"}


def test_the_last_layer_of_h_has_no_spectral_norm(make):
    h = make(NAME).h
    assert isinstance(h[-1], nn.Linear)
    assert sum(isinstance(m, nn.Linear | nn.Conv2d) for m in h.modules()) == 1 + sum(
        type(m).__name__ == "Spectral" for m in h.modules()
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nets": "mnist"}, "infogan_cr.nets=mnist was given"),
        ({"continuous": 1}, "infogan_cr.continuous=1 was given, but it must be at least 2"),
        ({"categorical": "10"}, "infogan_cr.categorical=10 was given, but the regulariser tells real codes"),
    ],
)
def test_codes_that_the_regulariser_cannot_tell_apart_are_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        configure(NAME, "paper", changes)
