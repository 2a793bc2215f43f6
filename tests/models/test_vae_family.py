"""VAE, beta-VAE, FactorVAE, beta-TCVAE and JointVAE against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from disbench.errors import UsageError
from disbench.models import DataInfo, build, configure, get, vae
from disbench.models.betatcvae import decompose_kl, log_weights
from disbench.models.categorical import gumbel_noise, gumbel_softmax
from disbench.models.factorvae import permute, total_correlation
from disbench.models.jointvae import categorical_kl


def close(value, expected, **tolerance):
    assert torch.as_tensor(value).item() == pytest.approx(expected, **tolerance)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_kl_of_a_gaussian_by_hand():
    """mu 1, sigma 2: (1 + 4 - log 4 - 1) / 2; the prior itself: 0."""
    kl = vae.gaussian_kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[math.log(4.0), 0.0]]))
    close(kl[0, 0], (4 - math.log(4)) / 2)
    close(kl[0, 1], 0.0)


def test_kl_agrees_with_the_densities_it_is_made_of():
    mu, logvar = torch.tensor([[0.7]]), torch.tensor([[-1.0]])
    z = mu + (0.5 * logvar).exp() * normal(0, 200_000, 1)
    log_ratio = vae.log_normal(z, mu, logvar) - vae.log_normal(z, torch.zeros(1), torch.zeros(1))
    close(log_ratio.mean(), float(vae.gaussian_kl(mu, logvar)), abs=0.01)


def test_log_density_of_a_normal_by_hand():
    close(
        vae.log_normal(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0.0)), -0.5 * math.log(2 * math.pi)
    )
    # 2 standard deviations of size 3 off: -2 - log 3 - log(2 pi) / 2
    at = vae.log_normal(torch.tensor(7.0), torch.tensor(1.0), torch.tensor(2 * math.log(3.0)))
    close(at, -2 - math.log(3) - 0.5 * math.log(2 * math.pi))


def test_reconstruction_is_summed_over_pixels_and_averaged_over_images():
    x = torch.tensor([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2).repeat(3, 1, 1, 1)
    close(vae.bernoulli_nll(torch.zeros(3, 1, 2, 2), x), 4 * math.log(2))
    logits = torch.full((3, 1, 2, 2), math.log(3.0))  # p = 3/4
    close(vae.bernoulli_nll(logits, x), -2 * math.log(3 / 4) - 2 * math.log(1 / 4), rel=1e-6)


def test_the_whole_loss_of_a_vae_whose_nets_are_known():
    """Encoder: mu and logvar are the pixels; decoder: logits 0."""
    method = build("vae", configure("vae", "mini", {"codes": 2}), DataInfo((1, 16, 16), 100), 0)
    method.encoder, method.decoder = nn.Flatten(), nn.Linear(2, 4)
    nn.init.zeros_(method.decoder.weight)
    nn.init.zeros_(method.decoder.bias)
    x = torch.tensor([1.0, 0.5, 0.0, 0.25]).reshape(1, 4)
    terms = method.loss(x, {"eps": torch.ones(1, 2)}, torch.tensor(0.0))
    close(terms["reconstruction"], 4 * math.log(2))
    close(terms["kl"], 0.5 * (1 + 1 - 0 - 1) + 0.5 * (0.25 + math.exp(0.25) - 0.25 - 1))


def test_samples_have_the_posterior_of_the_encoder(make):
    """Means 1 and 0, standard deviations 1 and e^(1/2)."""
    method = make("vae", changes={"codes": 2})
    method.encoder, method.decoder = nn.Flatten(), nn.Linear(2, 4)
    method.penalty = lambda z, *_: {"mean": z.mean(0).sum(), "first": z[:, 0].std(), "second": z[:, 1].std()}
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0]]).repeat(50_000, 1)
    terms = method.loss(x, {"eps": normal(1, 50_000, 2)}, torch.tensor(0.0))
    close(terms["mean"], 1.0, abs=0.02)
    close(terms["first"], 1.0, abs=0.02)
    close(terms["second"], math.exp(0.5), abs=0.02)


def test_a_beta_vae_with_beta_one_is_the_vae_and_four_weighs_the_kl_fourfold(make, inputs):
    one, four, plain = make("betavae", changes={"beta": 1}), make("betavae", changes={"beta": 4}), make("vae")
    terms = [m.loss(*inputs(plain, 0, 0)) for m in (one, four, plain)]
    assert torch.equal(terms[0]["kl"], terms[2]["kl"])
    assert torch.equal(terms[0]["reconstruction"], terms[2]["reconstruction"])
    assert torch.equal(terms[1]["kl"], 4 * terms[2]["kl"])
    assert torch.equal(terms[1]["reconstruction"], terms[2]["reconstruction"])


def test_active_units_are_those_whose_mean_moves():
    mu = torch.stack([torch.linspace(-1, 1, 50), torch.full((50,), 3.0), 0.05 * torch.linspace(-1, 1, 50)], 1)
    assert vae.active_units(mu) == 1


# FactorVAE


def correlated(seed, n, rho):
    """Samples (n, 2) of N(0, [[1, rho], [rho, 1]]), whose total correlation is -log(1 - rho^2) / 2."""
    a, b = normal(seed, 2, n)
    return torch.stack([a, rho * a + math.sqrt(1 - rho**2) * b], 1)


def test_total_correlation_of_the_exact_density_ratio():
    rho = 0.8
    z = correlated(0, 200_000, rho)
    a, b = z.T
    log_joint = -(a**2 - 2 * rho * a * b + b**2) / (2 * (1 - rho**2)) - 0.5 * math.log(1 - rho**2)
    logits = torch.stack([log_joint, -(a**2 + b**2) / 2], 1)  # log q(z), sum_j log q(z_j), less log(2 pi)
    close(total_correlation(logits), -0.5 * math.log(1 - rho**2), abs=0.02)


def factorvae_on_codes(rho, steps=300):
    """FactorVAE whose images are the codes themselves: its discriminator after some training."""
    settings = {"codes": 2, "hidden": 32, "layers": 2, "batch": 128, "lr_d": 5e-3}
    method = build("factorvae", configure("factorvae", "mini", settings), DataInfo((1, 16, 16), 100), 0)
    method.encoder = nn.Flatten()
    g = torch.Generator().manual_seed(0)
    (update,) = [u for u in method.updates() if u.loss == "discriminator_loss"]
    optimizer = update.optimizer.over(list(method.d.parameters()))
    for step in range(steps):
        x = torch.cat([correlated(step, 256, rho), torch.full((256, 2), -30.0)], 1)  # no spread about mu
        optimizer.zero_grad()
        sum(method.discriminator_loss(x, method.noise(256, g), torch.tensor(0.0)).values()).backward()
        optimizer.step()
    x = torch.cat([correlated(10_001, 4000, rho), torch.full((4000, 2), -30.0)], 1)
    return method.monitor(x, method.noise(4000, g), torch.tensor(0.0))["tc_estimate"]


def test_the_learned_estimate_is_the_total_correlation_and_zero_for_independent_codes():
    close(factorvae_on_codes(0.8), -0.5 * math.log(1 - 0.64), abs=0.15)
    close(factorvae_on_codes(0.0), 0.0, abs=0.05)


def test_the_discriminator_loss_of_a_blind_one_is_log_two(make, inputs):
    method = make("factorvae")
    for p in method.d.parameters():
        nn.init.zeros_(p)
    terms = method.discriminator_loss(*inputs(method, 0, 0))
    close(terms["joint"], 0.5 * math.log(2))
    close(terms["product"], 0.5 * math.log(2))


def test_the_discriminator_teaches_the_encoder_nothing(make, inputs):
    method = make("factorvae")
    loss = sum(method.discriminator_loss(*inputs(method, 0, 0)).values())
    rest = [*method.encoder.parameters(), *method.decoder.parameters()]
    assert torch.autograd.grad(loss, rest, allow_unused=True) == (None,) * len(rest)


def test_the_total_correlation_reaches_the_encoder_with_weight_gamma(make, inputs):
    one, many = make("factorvae", changes={"gamma": 1}), make("factorvae", changes={"gamma": 35})
    terms = [m.loss(*inputs(m, 0, 0)) for m in (one, many)]
    close(terms[1]["tc"], 35 * terms[0]["tc"].item(), rel=1e-5)
    gradient = torch.autograd.grad(terms[0]["tc"], list(one.encoder.parameters()))
    assert sum(float(g.abs().sum()) for g in gradient) > 0


def test_one_batch_trains_the_vae_and_another_is_shuffled(make, inputs):
    method = make("factorvae")
    x, noise, step = inputs(method, 0, 0)
    half = len(x) // 2
    assert len(x) == 2 * method.config.batch
    first, second = x.clone(), x.clone()
    first[:half], second[half:] = 1 - first[:half], 1 - second[half:]
    start = method.loss(x, noise, step), method.discriminator_loss(x, noise, step)
    moved = method.loss(first, noise, step), method.discriminator_loss(first, noise, step)
    other = method.loss(second, noise, step), method.discriminator_loss(second, noise, step)
    assert torch.equal(start[0]["reconstruction"], other[0]["reconstruction"])
    assert torch.equal(start[1]["joint"], other[1]["joint"])
    assert torch.equal(start[1]["product"], moved[1]["product"])
    assert not torch.equal(start[1]["product"], other[1]["product"])
    assert not torch.equal(start[1]["joint"], moved[1]["joint"])


def test_each_latent_is_shuffled_by_itself(make):
    method = make("factorvae", changes={"batch": 64})
    perm = method.noise(128, torch.Generator().manual_seed(0))["perm"]
    z = torch.arange(64.0)[:, None].repeat(1, perm.shape[1])
    shuffled = permute(z, perm)
    assert torch.equal(shuffled.sort(0).values, z)
    columns = shuffled.T.tolist()
    assert len({tuple(c) for c in columns}) == len(columns)


# beta-TCVAE


def batch(b, rho=0.0, sd=0.5):
    """Posteriors whose aggregate q(z) is N(0, [[1, rho], [rho, 1]]), and a sample of each."""
    cov = torch.tensor([[1.0, rho], [rho, 1.0]]) - sd**2 * torch.eye(2)
    mu = normal(0, b, 2) @ torch.linalg.cholesky(cov).T
    return mu + sd * normal(1, b, 2), mu, torch.full_like(mu, 2 * math.log(sd))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.7])
def test_total_correlation_of_a_gaussian(rho):
    _, tc, _ = decompose_kl(*batch(2000, rho), n=2000, estimator="mss")
    close(tc, -0.5 * math.log(1 - rho**2), abs=0.05)


def test_mutual_information_and_marginal_kl_of_a_gaussian():
    """sd 1/2 in each of two dimensions: I = 2 log 2; every marginal is the prior: KL 0."""
    mi, _, dwkl = decompose_kl(*batch(2000), n=2000, estimator="mss")
    close(mi, 2 * math.log(2), abs=0.1)
    close(dwkl, 0.0, abs=0.05)


def test_minibatch_weighted_sampling_is_off_by_its_known_constant():
    """All weights 1/(NM) instead of some 1/M: log q(z) is low by log N, sum_d log q(z_d) by D log N."""
    b = 2000
    mi, tc, dwkl = decompose_kl(*batch(b, 0.5), n=b, estimator="mws")
    exact = decompose_kl(*batch(b, 0.5), n=b, estimator="mss")
    close(mi - exact[0], math.log(b), abs=0.02)
    close(tc - exact[1], math.log(b), abs=0.02)  # -log N + D log N, D = 2
    close(dwkl - exact[2], -2 * math.log(b), abs=0.02)


@pytest.mark.parametrize("estimator", ["mws", "mss"])
def test_two_images_by_hand(estimator):
    """One latent, posteriors N(0, 1) and N(2, 1), samples 0 and 2, N = 10."""
    mu = torch.tensor([[0.0], [2.0]])
    mi, tc, dwkl = decompose_kl(mu, mu, torch.zeros(2, 1), n=10, estimator=estimator)
    near, far = 1 / math.sqrt(2 * math.pi), math.exp(-2) / math.sqrt(2 * math.pi)
    q = (near + far) / 20 if estimator == "mws" else near / 10 + far * 9 / 10
    log_p = -0.5 * math.log(2 * math.pi) - torch.tensor([0.0, 2.0])
    close(mi, math.log(near / q), rel=1e-5)
    close(tc, 0.0, abs=1e-6)
    close(dwkl, math.log(q) - float(log_p.mean()), rel=1e-5)


def test_weights_stand_on_the_diagonal_and_sum_to_one():
    w = log_weights(5, 40, "mss", torch.zeros(1)).exp()
    torch.testing.assert_close(w.sum(1), torch.ones(5))
    torch.testing.assert_close(w.diagonal(), torch.full((5,), 1 / 40))
    torch.testing.assert_close(log_weights(5, 40, "mws", torch.zeros(1)).exp(), torch.full((5, 5), 1 / 200))


def test_sharp_posteriors_carry_more_than_the_batch_can_count():
    """sd 0.1 in ten dimensions: I = 10 log 10 = 23. Without the diagonal it stops at log 256 = 5.5."""
    mu = math.sqrt(0.99) * normal(2, 256, 10)
    z = mu + 0.1 * normal(3, 256, 10)
    mi, *_ = decompose_kl(z, mu, torch.full_like(mu, 2 * math.log(0.1)), n=737_280, estimator="mss")
    assert 10 < float(mi) < 23


@pytest.mark.parametrize("estimator", ["mws", "mss"])
def test_a_beta_tcvae_with_unit_weights_is_the_vae(make, estimator):
    changes = {"alpha": 1, "beta": 1, "gamma": 1, "estimator": estimator}
    method = make("betatcvae", changes=changes)
    z, mu, logvar = batch(64, 0.3)
    log_q = vae.log_normal(z, mu, logvar).sum(1)
    log_p = vae.log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    total = sum(method.penalty(z, mu, logvar, torch.tensor(0.0)).values())
    torch.testing.assert_close(total, (log_q - log_p).mean())


def test_each_weight_multiplies_its_own_term(make):
    z, mu, logvar = batch(64, 0.3)
    parts = decompose_kl(z, mu, logvar, 1000, "mws")
    terms = make("betatcvae", changes={"alpha": 2, "beta": 6, "gamma": 3}).penalty(z, mu, logvar, None)
    for key, weight, part in zip(("mi", "tc", "dwkl"), (2, 6, 3), parts, strict=True):
        torch.testing.assert_close(terms[key], weight * part)


def test_the_data_set_gives_the_size_for_the_estimate():
    z, mu, logvar = batch(64, 0.3)
    config = configure("betatcvae", "mini", {"estimator": "mss"})
    few, many = (
        build("betatcvae", config, DataInfo((1, 16, 16), n), 0).penalty(z, mu, logvar, None)["mi"]
        for n in (64, 64_000)
    )
    assert many > few


# JointVAE


def test_kl_of_a_categorical_by_hand():
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 1e-20, 1e-20], [1.0, 1e-20, 1e-20, 1e-20]])
    torch.testing.assert_close(categorical_kl(p.log()), torch.tensor([0.0, math.log(2), math.log(4)]))


def test_gumbel_noise_has_its_mean_and_variance():
    g = gumbel_noise(400_000, generator=torch.Generator().manual_seed(0))
    close(g.mean(), 0.5772157, abs=0.01)
    close(g.var(), math.pi**2 / 6, abs=0.02)


def test_gumbel_softmax_of_two_by_hand_and_in_its_limits():
    log_p = torch.tensor([[0.2, 0.8]]).log()
    g = torch.tensor([[0.5, -0.3]])
    difference = math.log(0.2) + 0.5 - math.log(0.8) + 0.3
    close(gumbel_softmax(log_p, g, 0.67)[0, 0], 1 / (1 + math.exp(-difference / 0.67)), rel=1e-5)
    many = gumbel_noise(50_000, 2, generator=torch.Generator().manual_seed(1))
    hard = gumbel_softmax(log_p.expand(50_000, 2), many, 1e-4)
    close(hard[:, 1].mean(), 0.8, abs=0.01)
    torch.testing.assert_close(gumbel_softmax(log_p, g, 1e6), torch.full((1, 2), 0.5))


def test_capacities_rise_linearly_and_the_discrete_one_stops_at_the_entropy(make):
    method = make("jointvae", changes={"capacity_z": 40, "capacity_c": 5, "capacity_steps": 100})
    at = [[float(c) for c in method.capacities(torch.tensor(float(t)))] for t in (0, 10, 100, 1000)]
    assert at[0] == [0, 0]
    assert at[1] == pytest.approx([4, 0.5])
    assert at[2] == pytest.approx([40, math.log(3)])
    assert at[3] == pytest.approx([40, math.log(3)])


def test_the_whole_loss_of_a_jointvae_whose_nets_are_known(make):
    """Two latents and one of three categories; the encoder shows the pixels, the decoder is blind."""
    changes = {"codes": 2, "capacity_z": 40, "capacity_c": 1, "capacity_steps": 100}
    method = make("jointvae", changes={**changes, "gamma_z": 5, "gamma_c": 7})
    method.encoder = nn.Flatten()
    method.decoder = nn.Sequential(nn.Linear(5, 7), nn.Unflatten(1, (1, 1, 7)))
    for p in method.decoder.parameters():
        nn.init.zeros_(p)
    x = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5]).reshape(1, 1, 1, 7)
    noise = {"eps": torch.zeros(1, 2), "gumbel": torch.zeros(1, 3)}
    terms = method.loss(x, noise, torch.tensor(10.0))  # C_z = 4, C_c = 0.1
    close(terms["reconstruction"], math.log(2), rel=1e-5)  # per pixel
    close(terms["kl_z"], 5 * abs(0.5 - 4) / 7, rel=1e-5)
    close(terms["kl_c"], 7 * 0.1 / 7, rel=1e-4)  # the uniform posterior has KL 0


def test_on_colour_images_only_the_reconstruction_of_a_jointvae_is_averaged_over_channels(make):
    """Seven pixels of three channels, blind nets. A sum over channels, seen failing here: 3 log 2."""
    changes = {"codes": 2, "capacity_z": 40, "capacity_steps": 100, "gamma_z": 5}
    method = make("jointvae", changes=changes)
    method.encoder = nn.Sequential(nn.Flatten(), nn.Linear(21, 7))
    method.decoder = nn.Sequential(nn.Linear(5, 21), nn.Unflatten(1, (3, 1, 7)))
    for p in [*method.encoder.parameters(), *method.decoder.parameters()]:
        nn.init.zeros_(p)
    noise = {"eps": torch.zeros(1, 2), "gumbel": torch.zeros(1, 3)}
    with torch.no_grad():
        terms = method.loss(torch.zeros(1, 3, 1, 7), noise, torch.tensor(10.0))  # C_z = 4
    close(terms["reconstruction"], math.log(2), rel=1e-5)
    close(terms["kl_z"], 5 * 4 / 7, rel=1e-5)


def test_the_code_of_a_jointvae_is_mu_and_alpha_or_the_category(make, inputs):
    soft = make("jointvae", changes={"discrete": "3,2"})
    hard = make("jointvae", changes={"discrete": "3,2", "category_code": "argmax"})
    x, *_ = inputs(soft, 0, 0)
    a, b = soft.represent(x).detach(), hard.represent(x).detach()
    assert (a.shape[1], b.shape[1]) == (6 + 5, 6 + 2)
    torch.testing.assert_close(a[:, 6:9].sum(1), torch.ones(len(x)))
    torch.testing.assert_close(a[:, 9:].sum(1), torch.ones(len(x)))
    assert torch.equal(b[:, 6], a[:, 6:9].argmax(1).float())
    assert torch.equal(b[:, 7], a[:, 9:].argmax(1).float())


def test_a_jointvae_without_a_discrete_latent_is_refused(data):
    with pytest.raises(UsageError, match="discrete is empty"):
        build("jointvae", configure("jointvae", "mini", {"discrete": ""}), data, 0)


# The study of Locatello et al. 2019


@pytest.mark.parametrize(
    ("name", "setting", "strengths"),
    [
        ("betavae", "beta", [1, 2, 4, 6, 8, 16]),
        ("factorvae", "gamma", [10, 20, 30, 40, 50, 100]),
        ("betatcvae", "beta", [1, 2, 4, 6, 8, 10]),
    ],
)
def test_the_variants_are_the_strengths_of_the_study(name, setting, strengths):
    """As in disentanglement_lib's sweep `unsupervised_study_v1`."""
    variants = get(name).VARIANTS
    assert list(variants.values()) == [{setting: strength} for strength in strengths]
    assert list(variants) == [f"{setting}{strength}" for strength in strengths]
