"""The losses of each method, written once more from its paper, in plain numpy.

The symbols are those of the papers, and densities, sums and loops stand as they are printed there, where the
code in `models/` has a shorter or a more stable form. Settings are read from the method's own config.

`UPDATES[name](config)` lists what one training step of a method does, in its order: the name of each loss,
the modules that learn from it, and the function `(nets, images, noise, step, config) -> {term: value}`. What
an equation takes as given while a module learns stands in `held`. To add a method, write its losses below and
its line at the end of the file, and its cases in `test_parity.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .numpy_nets import Array, Nets, absolute, held, sigmoid, softmax

Terms = dict[str, Any]
Noise = Mapping[str, Array]
Loss = Callable[[Nets, Array, Noise, float, Any], Terms]
Steps = list[tuple[str, tuple[str, ...], Loss]]


def ramp(t: float, end: float, length: int) -> float:
    """A quantity that rises from 0 at t = 0 in a line, and stays at `end` from t = `length` on."""
    return end * t / length if t < length else end


# VAE: Kingma & Welling 2014


def log_bernoulli(x: Array, logits: Array) -> Array:
    """log p(x|z) of each image, appendix C.1, eq. 11: sum_i x_i log y_i + (1 - x_i) log(1 - y_i)."""
    y = sigmoid(logits)
    return (x * np.log(y) + (1 - x) * np.log(1 - y)).reshape(len(x), -1).sum(1)


def gaussian_kl(mu: Array, logvar: Array) -> Any:
    """KL(q(z|x) || N(0, I)), appendix B: -1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2); their mean."""
    sigma = np.exp(logvar / 2)
    return np.mean([-0.5 * sum(1 + np.log(s**2) - m**2 - s**2) for m, s in zip(mu, sigma, strict=True)])


def encode(nets: Nets, x: Array, eps: Array, d: int) -> tuple[Array, Array, Array]:
    """Mean, log-variance, and the sample mu + sigma eps of section 2.4."""
    out = nets("encoder", x)
    mu, logvar = out[:, :d], out[:, d : 2 * d]
    return mu, logvar, mu + np.exp(logvar / 2) * eps


def vae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    mu, logvar, z = encode(nets, x, noise["eps"], c.codes)
    return {"reconstruction": -log_bernoulli(x, nets("decoder", z)).mean(), "kl": gaussian_kl(mu, logvar)}


# beta-VAE: Higgins et al. 2017


def betavae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 4."""
    terms = vae(nets, x, noise, t, c)
    return {**terms, "kl": c.beta * terms["kl"]}


# AnnealedVAE: Burgess et al. 2018


def annealedvae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 8: gamma |KL - C|, C rising from zero."""
    terms = vae(nets, x, noise, t, c)
    capacity = ramp(t, c.capacity, c.capacity_steps)
    return {**terms, "kl": c.gamma * absolute(terms["kl"] - capacity)}


# DIP-VAE: Kumar, Sattigeri & Balakrishnan 2018


def dipvae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 6 of Cov_p(x)[mu(x)] for "i", eq. 7 of E_p(x)[Sigma(x)] + Cov_p(x)[mu(x)] for "ii"."""
    mu, logvar, z = encode(nets, x, noise["eps"], c.codes)
    b, d = mu.shape
    cov = np.zeros((d, d), mu.dtype)
    for i in range(d):
        for j in range(d):
            cov[i, j] = sum(mu[n, i] * mu[n, j] for n in range(b)) / b - sum(mu[:, i]) / b * sum(mu[:, j]) / b
            if c.kind == "ii" and i == j:
                cov[i, j] += sum(np.exp(logvar[:, i])) / b
    return {
        "reconstruction": -log_bernoulli(x, nets("decoder", z)).mean(),
        "kl": gaussian_kl(mu, logvar),
        "off_diagonal": c.lambda_od * sum(cov[i, j] ** 2 for i in range(d) for j in range(d) if i != j),
        "diagonal": c.lambda_d * sum((cov[i, i] - 1) ** 2 for i in range(d)),
    }


# FactorVAE: Kim & Mnih 2018


def factorvae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 2 and 3, of the first of two batches: TC = E_q(z)[log D(z) / (1 - D(z))]."""
    m = len(x) // 2
    mu, logvar, z = encode(nets, x[:m], noise["eps"][:m], c.codes)
    D = softmax(nets("d", z))[:, 0]
    return {
        "reconstruction": -log_bernoulli(x[:m], nets("decoder", z)).mean(),
        "kl": gaussian_kl(mu, logvar),
        "tc": c.gamma * np.log(D / (1 - D)).mean(),
    }


def factorvae_discriminator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Algorithm 2: -1/(2m) [sum_i log D(z_i) + sum_i log(1 - D(z'_perm(i)))], from which D alone learns."""
    m = len(x) // 2
    z = held(encode(nets, x, noise["eps"], c.codes)[2])
    # algorithm 1: each latent of the second batch in an order of its own
    shuffled = np.array([[z[m + noise["perm"][i, j], j] for j in range(c.codes)] for i in range(m)])
    D, D_shuffled = softmax(nets("d", z[:m]))[:, 0], softmax(nets("d", shuffled))[:, 0]
    return {
        "joint": -np.log(D).sum() / (2 * m),
        "product": -np.log(1 - D_shuffled).sum() / (2 * m),
    }


# beta-TCVAE: Chen, Li, Grosse & Duvenaud 2018


def normal_density(z: Array, mu: Array, logvar: Array) -> Array:
    sigma = np.exp(logvar / 2)
    return np.exp(-((z - mu) ** 2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)


def aggregate(densities: Array, i: int, N: int, estimator: str) -> Any:
    """The estimate of q(z_i) from the densities of z_i under the posteriors of the images in the batch.

    Args:
        densities: one per image of the batch.
        i: the image that z_i is a sample of.
        N: number of images in the data set.
        estimator: "mws", section 4.1: 1/(NM) sum_j q(z_i|n_j). "mss", appendix C: with M other images beside
            n* = n_i, f = 1/N q(z|n*) + 1/M sum_{m < M} q(z|n_m) + (N-M)/(NM) q(z|n_M); here the mean of f
            over the choice of the image that stands last.
    """
    if estimator == "mws":
        return sum(densities) / (N * len(densities))
    others = [q for j, q in enumerate(densities) if j != i]
    M = len(others)
    f = [
        densities[i] / N
        + sum(q for j, q in enumerate(others) if j != last) / M
        + (N - M) / (N * M) * others[last]
        for last in range(M)
    ]
    return sum(f) / M


def betatcvae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 2 and 4; each expectation is a mean over the batch's samples z_i."""
    mu, logvar, z = encode(nets, x, noise["eps"], c.codes)
    N, (b, d) = c.n, z.shape
    mi = tc = dwkl = 0
    for i in range(b):
        q = normal_density(z[i], mu, logvar)  # (B, D): z_i under each posterior
        q_z = aggregate(np.prod(q, axis=1), i, N, c.estimator)
        q_zj = [aggregate(q[:, j], i, N, c.estimator) for j in range(d)]
        p_z = np.prod(normal_density(z[i], np.zeros(d), np.zeros(d)))
        mi += np.log(np.prod(q[i]) / q_z) / b
        tc += np.log(q_z / np.prod(q_zj)) / b
        dwkl += np.log(np.prod(q_zj) / p_z) / b
    return {
        "reconstruction": -log_bernoulli(x, nets("decoder", z)).mean(),
        "mi": c.alpha * mi,
        "tc": c.beta * tc,
        "dwkl": c.gamma * dwkl,
    }


# JointVAE: Dupont 2018


def jointvae(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 7 with Gumbel-softmax samples, over the number of pixels as in the authors' code.

    That code's reconstruction is a mean over channels too.
    """
    _, channels, h, w = x.shape
    out = nets("encoder", x)
    mu, logvar = out[:, : c.codes], out[:, c.codes : 2 * c.codes]
    latents, kl_c, start = [mu + np.exp(logvar / 2) * noise["eps"]], 0, 0
    for K in c.discrete:
        alpha = softmax(out[:, 2 * c.codes + start : 2 * c.codes + start + K])
        g = noise["gumbel"][:, start : start + K]
        y = np.exp((np.log(alpha) + g) / c.tau)
        latents.append(y / y.sum(1, keepdims=True))
        # KL of the categorical to the uniform one
        kl_c += (alpha * np.log(alpha / (1 / K))).sum(1).mean()
        start += K
    capacity_c = min(ramp(t, c.capacity_c, c.capacity_steps), sum(math.log(K) for K in c.discrete))
    capacity_z = ramp(t, c.capacity_z, c.capacity_steps)
    log_p = log_bernoulli(x, nets("decoder", np.concatenate(latents, 1))).mean()
    return {
        "reconstruction": -log_p / channels / (h * w),
        "kl_z": c.gamma_z * absolute(gaussian_kl(mu, logvar) - capacity_z) / (h * w),
        "kl_c": c.gamma_c * absolute(kl_c - capacity_c) / (h * w),
    }


UPDATES: dict[str, Callable[[Any], Steps]] = {
    **{
        f.__name__: lambda c, f=f: [("loss", ("encoder", "decoder"), f)]
        for f in (vae, betavae, annealedvae, dipvae, betatcvae, jointvae)
    },
    "factorvae": lambda c: [
        ("loss", ("encoder", "decoder"), factorvae),
        ("discriminator_loss", ("d",), factorvae_discriminator),
    ],
}
