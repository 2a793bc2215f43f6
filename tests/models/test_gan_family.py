"""GAN, InfoGAN and IB-GAN against numbers worked out by hand, and each as a limit of the next."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from disbench.models import DataInfo, build, configure, gan, ibgan

from .fixed import Fixed

T = torch.tensor


def close(value, expected, **tolerance):
    assert torch.as_tensor(value).item() == pytest.approx(expected, **tolerance)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Chain(nn.Module):
    """IB-GAN's encoder with fixed noise, then its generator: the generator of a GAN or of an InfoGAN."""

    def __init__(self, method, eps):
        super().__init__()
        self.method, self.eps = method, eps

    def forward(self, z):
        mu, logvar = self.method.encode(z)
        return self.method.g(mu + (0.5 * logvar).exp() * self.eps)


def test_adversarial_terms_by_hand():
    close(gan.real_term(T([0.0])), math.log(2))
    close(gan.fake_term(T([0.0])), math.log(2))
    logit = T([math.log(3.0)])  # D = 3/4
    close(gan.real_term(logit), -math.log(3 / 4), rel=1e-6)
    close(gan.fake_term(logit), -math.log(1 / 4), rel=1e-6)
    shown = gan.confidence(logit[None], -logit[None])
    close(shown["d_real"], 3 / 4)
    close(shown["d_fake"], 1 / 4)


def test_a_discriminator_is_rewarded_for_being_right_and_a_generator_for_being_believed(make, inputs):
    for name in ("gan", "ibgan", "infogan", "elastic_infogan"):
        method = make(name)
        x, noise, step = inputs(method, 0, 0)
        method.d = Fixed(torch.full((len(x), 1), 5.0))  # "all real"
        seen = {**method.discriminator_loss(x, noise, step), **method.generator_loss(x, noise, step)}
        close(seen["real"], math.log1p(math.exp(-5)), rel=1e-3)
        close(seen["fake"], 5 + math.log1p(math.exp(-5)), rel=1e-5)
        close(seen["fool"], math.log1p(math.exp(-5)), rel=1e-3)


def test_code_error_is_half_the_squared_distance_summed_over_codes():
    close(gan.code_error(T([[1.0, 2.0], [0.0, 0.0]]), T([[0.0, 0.0], [0.0, 2.0]])), 0.5 * (5 + 4) / 2)


def test_instance_noise_falls_linearly_and_is_clamped(make):
    c = make("gan", changes={"noise_start": 1.0, "noise_end": 0.0, "noise_steps": 100}).config
    x, eps = torch.zeros(1), torch.full((1,), 0.5)
    for step, expected in ((0, 0.5), (50, 0.25), (100, 0.0), (1000, 0.0)):
        close(gan.noisy(c, x, eps, T(float(step))), expected)
    close(gan.noisy(c, x + 0.9, eps, T(0.0)), 1.0)
    end = make("ibgan", changes={"noise_start": 0.5, "noise_end": 0.01, "noise_steps": 10}).config
    close(gan.noisy(end, x, eps, T(99.0)), 0.005)


# the two bounds of IB-GAN


@pytest.mark.parametrize("spread", [0.1, 0.5, 0.9])
def test_bounds_of_a_linear_gaussian_channel(spread):
    """r = a z + s eps with a^2 + s^2 = 1: I(Z;R) = -log s.

    r is then exactly N(0, 1), so that I^U is tight. With x = r and the best q, of mean a x but variance 1
    instead of s^2, I^L = (1 - s^2) / 2 falls short of it.
    """
    s, a = spread, math.sqrt(1 - spread**2)
    z, eps = normal(0, 400_000, 1), normal(1, 400_000, 1)
    x = a * z + s * eps
    upper = ibgan.upper_bound(a * z, torch.full_like(z, 2 * math.log(s)))
    lower = ibgan.lower_bound(a * x, z)
    close(upper, -math.log(s), abs=0.01)
    close(lower, (1 - s**2) / 2, abs=0.01)
    assert lower < -math.log(s)


def test_bounds_add_up_over_independent_channels():
    s, a = 0.5, math.sqrt(0.75)
    z, eps = normal(0, 400_000, 3), normal(1, 400_000, 3)
    close(ibgan.upper_bound(a * z, torch.full_like(z, 2 * math.log(s))), 3 * math.log(2), abs=0.02)
    close(ibgan.lower_bound(a * (a * z + s * eps), z), 3 * 0.75 / 2, abs=0.02)


def test_a_lossless_code_is_rewarded_and_a_wrong_one_punished(make, inputs):
    """The signs of the equations: the generator's loss falls as q comes nearer to z."""
    method = make("ibgan")
    x, noise, step = inputs(method, 0, 0)
    value = {}
    for factor in (1.0, 0.5, 0.0, -1.0):
        method.q = Fixed(factor * noise["z"])
        value[factor] = method.generator_loss(x, noise, step)["lower"].item()
    power = noise["z"].square().sum(1).mean().item()
    assert value[1.0] == pytest.approx(-power / 2, rel=1e-5)
    assert value[0.0] == pytest.approx(0.0, abs=1e-5)
    assert value[1.0] < value[0.5] < value[0.0] < value[-1.0]


def test_beta_weighs_the_upper_bound_and_lambda_the_lower(make, inputs):
    one = make("ibgan", changes={"beta": 1, "lam": 1})
    x, noise, step = inputs(one, 0, 0)
    unit = one.generator_loss(x, noise, step)
    terms = make("ibgan", changes={"beta": 0.141, "lam": 0.5}).generator_loss(x, noise, step)
    kl = ibgan.upper_bound(*one.encode(noise["z"])).item()
    assert kl > 0
    close(terms["upper"], 0.141 * kl, rel=1e-5)
    close(terms["lower"], 0.5 * unit["lower"].item(), rel=1e-5)


def test_without_beta_the_kl_is_free_up_to_the_guard(make, inputs):
    method = make("ibgan", changes={"beta": 0, "guard": 20})
    x, noise, step = inputs(method, 0, 0)
    d = method.config.codes
    for mean, expected in ((1.0, 0.0), (3.0, 100 * d * 4.5)):  # KL = d mean^2 / 2 = 4 and 36 nats
        method.e = Fixed(torch.cat([torch.full((len(x), d), mean), torch.zeros(len(x), d)], 1))
        close(method.generator_loss(x, noise, step)["upper"], expected, rel=1e-5)


def limits(make, inputs, **changes):
    # Without spectral norm, whose power iteration moves on with every pass.
    method = make("ibgan", changes={"spectral": "false", **changes})
    x, noise, step = inputs(method, 0, 0)
    return method, x, noise, step, method.generator_loss(x, noise, step)


def test_with_beta_zero_ib_gan_is_infogan(make, inputs):
    """Same nets, same noise: the losses differ by the constant E|z|^2 / 2, their gradients not at all."""
    ib, x, noise, step, terms = limits(make, inputs, beta=0)
    z = ib.config.z
    settings = {"continuous": z, "width": 8, "base": 4, "noise_steps": ib.config.noise_steps}
    info = build("infogan", configure("infogan", "limit", settings), ib.data, 0)
    info.g, info.d, info.q = Chain(ib, noise["eps"]), ib.d, ib.q
    same = info.generator_loss(x, {**noise, "c": noise["z"], "z": noise["z"][:, :0]}, step)
    assert set(same) == {"fool", "info"}
    torch.testing.assert_close(terms["fool"], same["fool"])
    half = 0.5 * noise["z"].square().sum(1).mean()
    torch.testing.assert_close(terms["lower"], same["info"] - half)
    parameters = [*ib.e.parameters(), *ib.g.parameters(), *ib.q.parameters()]
    ours = torch.autograd.grad(sum(terms.values()), parameters)
    theirs = torch.autograd.grad(sum(same.values()), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_with_lambda_and_beta_zero_ib_gan_is_the_gan(make, inputs):
    ib, x, noise, step, terms = limits(make, inputs, lam=0, beta=0)
    plain = make("gan", changes={"codes": ib.config.z})
    plain.g, plain.d = Chain(ib, noise["eps"]), ib.d
    torch.testing.assert_close(sum(terms.values()), plain.generator_loss(x, noise, step)["fool"])
    torch.testing.assert_close(
        sum(ib.discriminator_loss(x, noise, step).values()),
        sum(plain.discriminator_loss(x, noise, step).values()),
    )


def test_the_code_of_ib_gan_is_the_mean_of_r_given_the_z_that_q_reads(make, inputs):
    method = make("ibgan").eval()
    x, *_ = inputs(method, 0, 0)
    z_hat = method.q(2 * x - 1)
    assert z_hat.shape[1] == 16
    assert torch.equal(method.represent(x), method.e(z_hat)[:, : method.config.codes])


FRONT = {
    "front": "true",
    "smoothing": "true",
    "init": "orthogonal",
    "spectral": "false",
    "z": "12",
    "width": "4",
    "width_d": "2",
}


def test_a_shared_front_learns_from_the_discriminator_alone(make, train):
    method = make("ibgan", changes=FRONT)
    by = {u.loss: u.modules for u in method.updates()}
    assert by == {"discriminator_loss": ("front", "d"), "generator_loss": ("e", "g", "q")}
    assert any(True for _ in method.front.parameters())
    history = train(method, steps=2)
    assert all(math.isfinite(v) for terms in history for v in terms.values())


def test_smoothed_targets(make):
    logits = T([[0.3], [-2.0]])
    torch.testing.assert_close(ibgan.smoothed_term(logits, torch.ones(2, 1)), gan.real_term(logits))
    p = 1 / (1 + math.exp(-0.3))
    by_hand = -0.7 * math.log(p) - 0.3 * math.log(1 - p)
    close(ibgan.smoothed_term(logits[:1], T([[0.7]])), by_hand, rel=1e-6)
    target = make("ibgan", changes=FRONT).noise(2000, torch.Generator().manual_seed(0))["target"]
    assert 0.7 <= target.min() < 0.71
    assert 1.19 < target.max() <= 1.2


def test_only_the_discriminators_real_images_have_smoothed_targets(make, inputs):
    smooth, plain = make("ibgan", changes=FRONT), make("ibgan", changes={**FRONT, "smoothing": "false"})
    x, noise, step = inputs(smooth, 0, 0)
    for loss, differing in (("discriminator_loss", {"real"}), ("generator_loss", set())):
        a, b = getattr(smooth, loss)(x, noise, step), getattr(plain, loss)(x, noise, step)
        assert {k for k in a if not torch.equal(a[k], b[k])} == differing


def test_gan_reads_its_code_without_learning_from_it(make, inputs):
    method = make("gan")
    terms = method.generator_loss(*inputs(method, 0, 0))
    of_code = torch.autograd.grad(terms["code"], list(method.g.parameters()), allow_unused=True)
    assert all(g is None for g in of_code)
    of_belief = torch.autograd.grad(terms["fool"], list(method.q.parameters()), allow_unused=True)
    assert all(g is None for g in of_belief)


# InfoGAN


def cat10(make, **changes):
    return make("infogan", changes={"categorical": "10", "continuous": 0, **changes})


def test_the_bound_of_a_perfect_q_is_the_entropy_and_of_a_blind_one_zero(make, inputs):
    method = cat10(make)
    x, noise, step = inputs(method, 0, 0)
    method.q = Fixed(100 * noise["k"])
    shown = method.monitor(x, noise, step)
    close(shown["H_categorical"][0], math.log(10))
    close(shown["L_I_categorical"][0], math.log(10), rel=1e-5)
    close(method.generator_loss(x, noise, step)["info_categorical"], 0.0, abs=1e-5)
    method.q = Fixed(torch.zeros_like(noise["k"]))
    close(method.monitor(x, noise, step)["L_I_categorical"][0], 0.0, abs=1e-5)
    close(method.generator_loss(x, noise, step)["info_categorical"], math.log(10), rel=1e-5)


def test_the_bound_of_a_q_that_is_right_three_times_in_four(make, inputs):
    """Q puts 3/4 on the class it names; on average over 10 classes log 10 - log(4/3)."""
    method = cat10(make)
    x, noise, step = inputs(method, 0, 0)
    p = 0.75 * noise["k"] + (0.25 / 9) * (1 - noise["k"])
    method.q = Fixed(p.log())
    close(method.monitor(x, noise, step)["L_I_categorical"][0], math.log(10) - math.log(4 / 3), rel=1e-5)


@pytest.mark.parametrize(("prior", "entropy"), [("uniform", math.log(2)), ("normal", 1.4189385)])
def test_the_bound_of_a_real_code_that_is_read_exactly(make, inputs, prior, entropy):
    method = make("infogan", changes={"prior": prior, "continuous": 3})
    x, noise, step = inputs(method, 0, 0)
    method.q = Fixed(noise["c"])
    shown = method.monitor(x, noise, step)["L_I_continuous"]
    torch.testing.assert_close(shown, torch.full((3,), entropy - 0.5 * math.log(2 * math.pi)))


def test_codes_have_their_prior(make):
    method = make("infogan", changes={"categorical": "4", "continuous": 2, "noise": 3})
    noise = method.noise(40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise["k"].mean(0), torch.full((4,), 0.25), atol=0.01, rtol=0)
    assert torch.equal(noise["k"].sum(1), torch.ones(40_000))
    both = torch.cat([noise["z"], noise["c"]], 1)
    assert both.shape == (40_000, 5)
    torch.testing.assert_close(both.mean(0), torch.zeros(5), atol=0.02, rtol=0)
    torch.testing.assert_close(both.var(0), torch.full((5,), 1 / 3), atol=0.01, rtol=0)
    assert both.abs().max() <= 1


@pytest.mark.parametrize("optimizer", ["d", "g"])
def test_an_auxiliary_q_learns_but_the_generator_does_not_hear_of_it(make, inputs, optimizer):
    deaf = cat10(make, inform_generator="false", q_optimizer=optimizer)
    informed = cat10(make, q_optimizer=optimizer)
    x, noise, step = inputs(deaf, 0, 0)

    def of_generator(method):
        terms = method.generator_loss(x, noise, step)
        info = [terms[k] for k in terms if k.startswith("info")]
        return [
            torch.autograd.grad(v, list(method.g.parameters()), allow_unused=True, retain_graph=True)[0]
            for v in info
        ]

    assert all(g is None for g in of_generator(deaf))
    assert any(g.abs().sum() > 0 for g in of_generator(informed))
    (learns,) = [u for u in deaf.updates() if "q" in u.modules]
    loss = sum(getattr(deaf, learns.loss)(x, noise, step).values())
    assert any(g.abs().sum() > 0 for g in torch.autograd.grad(loss, list(deaf.q.parameters())))


def test_what_the_code_of_infogan_looks_like(make, inputs):
    changes = {"categorical": "4,3", "continuous": 2}
    hard = make("infogan", changes=changes)
    soft = make("infogan", changes={**changes, "category_code": "probabilities"})
    x, *_ = inputs(hard, 0, 0)
    a, b = hard.eval().represent(x), soft.eval().represent(x)
    assert (a.shape[1], b.shape[1]) == (4, 2 + 4 + 3)
    assert torch.equal(a[:, :2], b[:, :2])
    assert torch.equal(a[:, 2], b[:, 2:6].argmax(1).float())
    torch.testing.assert_close(b[:, 6:].sum(1), torch.ones(len(x)))


def test_the_three_infogans_differ_where_they_should():
    config = {name: configure("infogan", name) for name in ("paper", "mnist", "limit")}
    assert [c.nets for c in config.values()] == ["modified", "mnist", "ibgan"]
    assert [c.q_optimizer for c in config.values()] == ["d", "d", "g"]
    mnist = build("infogan", configure("infogan", "mini_mnist"), DataInfo((1, 28, 28), 100), 0)
    noise = mnist.noise(2, torch.Generator().manual_seed(0))
    assert {k: v.shape[1] for k, v in noise.items() if "of G" not in k} == {"z": 62, "c": 2, "k": 10}
    assert [c.g_steps for c in config.values()] == [2, 1, 1]
    assert [c.fresh for c in config.values()] == [False, True, False]


def test_the_generators_step_has_noise_of_its_own_where_the_paper_has():
    method = build("infogan", configure("infogan", "mini_mnist"), DataInfo((1, 28, 28), 100), 0)
    x, noise = torch.zeros(4, 1, 28, 28), method.noise(4, torch.Generator().manual_seed(0))
    assert set(noise) == {f"{name}{of}" for name in ("z", "c", "k") for of in ("", " of G")}
    assert not torch.equal(noise["z"], noise["z of G"])
    read = []
    method.g.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    for loss in ("discriminator_loss", "generator_loss"):
        getattr(method, loss)(x, noise, T(0.0))
    expected = [torch.cat([noise[f"{k}{of}"] for k in ("z", "c", "k")], 1) for of in ("", " of G")]
    for seen, wanted in zip(read, expected, strict=True):
        assert torch.equal(seen, wanted)


def spectral_vectors(method):
    return {k: v.clone() for k, v in method.named_buffers() if k.endswith(".u")}


def test_infogan_takes_one_power_iteration_per_training_step(make, inputs):
    """Before D's step: u becomes W W^T u, normalised; the two steps of G and the losses leave it alone."""
    method = make("infogan").train()
    arguments = inputs(method, 0, 0)
    before = spectral_vectors(method)
    method.discriminator_loss(*arguments)
    after = spectral_vectors(method)
    weight = method.d.layer.weight  # (1, 128): its only u is 1 or -1
    assert weight.shape[0] == 1
    first = method.q[0].layer.weight
    by_hand = first @ first.T @ before["q.0.u"]
    torch.testing.assert_close(after["q.0.u"], by_hand / by_hand.norm())
    for _ in range(2):
        method.generator_loss(*arguments)
    assert all(torch.equal(after[k], u) for k, u in spectral_vectors(method).items())


def test_the_convolutions_of_infogans_discriminator_begin_truncated_as_in_its_code():
    method = build("infogan", configure("infogan", "paper"), DataInfo((1, 64, 64), 100), 0)
    std = method.config.init_std
    of_d = torch.cat([m.weight.flatten() for m in method.trunk.modules() if isinstance(m, nn.Conv2d)])
    of_g = torch.cat([m.weight.flatten() for m in method.g.modules() if isinstance(m, nn.ConvTranspose2d)])
    assert of_d.abs().max() <= 2 * std < of_g.abs().max()
    # the variance of a standard normal number between -2 and 2: 1 - 4 phi(2) / (Phi(2) - Phi(-2))
    close(of_d.std() / std, math.sqrt(1 - 4 * 0.05399097 / 0.95449974), rel=0.02)
    close(of_g.std() / std, 1.0, rel=0.02)


# What q sees in training sets the batch norm that it is scored with


def batch_means(module, first, *batches):
    """Running means of the first batch norm of `module`; after these batches by the rule 0.9 m + 0.1 mean."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    mean = torch.zeros_like(norms[0].running_mean)
    for batch in batches:
        seen = first(batch)
        mean = 0.9 * mean + 0.1 * seen.mean(dim=[d for d in range(seen.dim()) if d != 1])
    return norms[0].running_mean, mean


@pytest.mark.parametrize("name", ["ibgan", "gan", "infogan"])
def test_q_sees_generated_images_and_then_real_ones_as_in_ibgans_solver(make, inputs, name):
    limit = {"nets": "ibgan", "q_optimizer": "g", "base": 4, "noise_start": 0.5, "noise_steps": 10}
    method = make(name, changes=limit if name == "infogan" else {}).double().train()
    x, noise, step = inputs(method, 0, 0)
    config = method.config
    z = {"ibgan": lambda: method.sample(noise, step)[2], "infogan": lambda: method.sample(noise, step)}
    fake = z[name]() if name in z else gan.noisy(config, method.g(noise["z"]), noise["fake"], step)
    real = gan.noisy(config, 2 * x - 1, noise["real"], step)
    before = [p.detach().clone() for p in method.q.parameters()]
    terms = method.generator_loss(x, noise, step)
    running, by_hand = batch_means(method.q, lambda y: method.q[2](method.q[1](method.q[0](y))), fake, real)
    torch.testing.assert_close(running, by_hand)
    # real images leave no gradient: the losses are those of generated ones
    gradients = torch.autograd.grad(sum(terms.values()), list(method.q.parameters()))
    again = method.generator_loss(torch.zeros_like(x), noise, step)
    expected = torch.autograd.grad(sum(again.values()), list(method.q.parameters()))
    for g, e in zip(gradients, expected, strict=True):
        torch.testing.assert_close(g, e)
    assert all(torch.equal(a, b) for a, b in zip(before, method.q.parameters(), strict=True))


def test_the_shared_front_sees_as_many_real_images_as_generated_ones(make, inputs):
    method = make("ibgan", changes=FRONT).train()
    seen = []
    method.front.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    arguments = inputs(method, 0, 0)
    method.discriminator_loss(*arguments)
    method.generator_loss(*arguments)
    real = gan.noisy(method.config, 2 * arguments[0] - 1, arguments[1]["real"], arguments[2])
    assert [torch.equal(x, real) for x in seen] == [True, False, False, True]
