"""The losses of each method, written once more from its paper, in plain numpy.

The symbols are those of the papers, and densities, sums and loops stand as they are printed there, where the
code in `models/` has a shorter or a more stable form. Settings are read from the method's own config.

`UPDATES[name](config, step)` lists what a training step of a method does, in its order. A loss is a function
`(nets, images, noise, step, config) -> {term: value}`; what an equation takes as given while a module learns
stands in `held`. To add a method, write its losses below, its entry in `UPDATES`, and its cases in
`test_parity.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .numpy_nets import Array, Nets, absolute, clamp, held, sigmoid, softmax

Terms = dict[str, Any]
Noise = Mapping[str, Array]
Loss = Callable[[Nets, Array, Noise, float, Any], Terms]


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


# GAN: Goodfellow et al. 2014


def log_d(logits: Array) -> Any:
    """E[log D(x)] of eq. 1."""
    return np.log(sigmoid(logits)).mean()


def log_not_d(logits: Array) -> Any:
    """E[log(1 - D(G(z)))] of eq. 1."""
    return np.log(1 - sigmoid(logits)).mean()


def log_standard_normal(x: Array) -> Array:
    """log N(x; 0, I) of each row."""
    return -0.5 * (x**2).sum(1) - 0.5 * x.shape[1] * math.log(2 * math.pi)


def with_instance_noise(x: Array, eps: Array, t: float, c: Any) -> Array:
    """x + sigma_t eps, kept within [-1, 1]: IB-GAN's code; sigma_t falls in a line."""
    sigma = c.noise_start + ramp(t, c.noise_end - c.noise_start, c.noise_steps)
    return clamp(x + sigma * eps, -1, 1)


def d_of(nets: Nets, x: Array) -> Array:
    """D's logits. Where D has spectral norms, "mini" iterates after each pass."""
    logits = nets("d", x)
    nets.power_iteration("d")
    return logits


def gan_discriminator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """-V(D, G) of eq. 1, from which D alone learns."""
    fake = with_instance_noise(held(nets("g", noise["z"])), noise["fake"], t, c)
    real = with_instance_noise(2 * x - 1, noise["real"], t, c)
    return {"real": -log_d(d_of(nets, real)), "fake": -log_not_d(d_of(nets, fake))}


def gan_generator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """G maximises log D(G(z)), section 3; Q = N(q(x), I) reads z from pictures that it does not change."""
    z = noise["z"]
    fake = with_instance_noise(nets("g", z), noise["fake"], t, c)
    log_q = log_standard_normal(z - nets("q", held(fake)))
    nets("q", with_instance_noise(2 * x - 1, noise["real"], t, c))
    constant = -0.5 * c.codes * math.log(2 * math.pi)
    return {"fool": -log_d(d_of(nets, fake)), "code": -(log_q - constant).mean()}


# InfoGAN: Chen et al. 2016


def infogan_images(nets: Nets, noise: Noise, t: float, c: Any, of: str = "") -> Array:
    """G(z, c), as D sees it."""
    drawn = [noise[f"{name}{of}"] for name in ("z", "c", "k") if f"{name}{of}" in noise]
    out = nets("g", np.concatenate(drawn, 1))
    if c.nets != "ibgan":
        return sigmoid(out)
    return with_instance_noise(out, noise["fake"], t, c)


def infogan_real(x: Array, noise: Noise, t: float, c: Any) -> Array:
    return with_instance_noise(2 * x - 1, noise["real"], t, c) if c.nets == "ibgan" else x


def infogan_bound(nets: Nets, h: Array, noise: Noise, c: Any, of: str = "") -> Terms:
    """-lambda E[log Q(c|x)] of eq. 5: Q is N(c_hat, I) for a real code, less its constant, or a softmax."""
    out = nets("q", h)
    terms: Terms = {}
    if c.continuous:
        given = noise[f"c{of}"]
        constant = -0.5 * c.continuous * math.log(2 * math.pi)
        log_q = log_standard_normal(given - out[:, : c.continuous]) - constant
        terms["info"] = -c.lam * log_q.mean()
    if c.categorical:
        start, log_q = 0, 0
        for K in c.categorical:
            Q = softmax(out[:, c.continuous + start : c.continuous + start + K])
            category = noise[f"k{of}"][:, start : start + K].argmax(1)
            log_q += np.mean([np.log(Q[i, k]) for i, k in enumerate(category)])
            start += K
        terms["info_categorical"] = -c.lam_categorical * log_q
    return terms


def infogan_discriminator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 6 for D, and for Q and the layers that both share where D's optimiser has them."""
    nets.power_iteration("trunk", "d", "q")
    h_real = nets("trunk", infogan_real(x, noise, t, c))
    h = nets("trunk", held(infogan_images(nets, noise, t, c)))
    terms = {"real": -log_d(nets("d", h_real)), "fake": -log_not_d(nets("d", h))}
    return {**terms, **infogan_bound(nets, h, noise, c)} if c.q_optimizer == "d" else terms


def infogan_generator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """Eq. 6 for G, which maximises log D(G(z, c)); on noise of its own in the authors' code, "mnist"."""
    of = " of G" if c.fresh else ""
    fake = infogan_images(nets, noise, t, c, of)
    h = nets("trunk", fake)
    terms = {"fool": -log_d(nets("d", h))}
    if c.inform_generator:
        terms |= infogan_bound(nets, h, noise, c, of)
    elif c.q_optimizer == "g":
        # figure 1: the plain GAN, whose Q reads images that do not learn from it
        terms |= infogan_bound(nets, nets("trunk", held(fake)), noise, c, of)
    if c.nets == "ibgan":
        nets("q", nets("trunk", infogan_real(x, noise, t, c)))
    return terms


# InfoGAN-CR: Lin, Thekumparampil, Fanti & Oh 2020


def contrast(nets: Nets, noise: Noise, of: Callable[[Array], Array]) -> Any:
    """L_c(G, H) = E_i E_(x, x') [log H_i(x, x')]: both images of a pair have code i and z in common.

    Args:
        of: `held` where G does not learn.
    """
    x, x_other = (
        of(sigmoid(nets("g", np.concatenate([noise["z of pair"], noise["pair"][:, j]], 1)))) for j in range(2)
    )
    H = softmax(nets("h", np.concatenate([x, x_other], 1)))
    return np.mean([np.log(H[n, i]) for n, i in enumerate(noise["i"].argmax(1))])


def contrast_of_h(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    nets.power_iteration("h")
    return {"contrast": -contrast(nets, noise, held)}


def contrasted_generator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """V(D, G) - lambda L_I(G, Q) - alpha L_c(G, H) for G."""
    terms = infogan_generator(nets, x, noise, t, c)
    return {**terms, "contrast": -c.alpha * contrast(nets, noise, lambda images: images)}


# IB-GAN: Jeon, Lee, Pyeon & Kim 2021


def ibgan_chain(nets: Nets, noise: Noise, t: float, c: Any) -> tuple[Array, Array, Array]:
    """Mean and log-variance of e(r|z), and G(r) of a sample r."""
    out = nets("e", noise["z"])
    mu, logvar = out[:, : c.codes], out[:, c.codes :]
    r = mu + np.exp(logvar / 2) * noise["eps"]
    return mu, logvar, with_instance_noise(nets("g", r), noise["fake"], t, c)


def ibgan_discriminator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """-V(D, G); where targets are smoothed, that of a real image is drawn from U(0.7, 1.2)."""
    fake = held(ibgan_chain(nets, noise, t, c)[2])
    of_real = d_of(nets, nets("front", with_instance_noise(2 * x - 1, noise["real"], t, c)))
    of_fake = d_of(nets, nets("front", fake))
    D = sigmoid(of_real)
    target = noise["target"] if c.smoothing else 1
    return {
        "real": -(target * np.log(D) + (1 - target) * np.log(1 - D)).mean(),
        "fake": -log_not_d(of_fake),
    }


def ibgan_generator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """V(D, G) - [lambda I^L - beta I^U], with I^L = E[log q(z|x)] + H(z) and I^U = E_z KL(e(r|z) || m(r)).

    H(z) = -E[log p(z)] is estimated from the z at hand. Without beta, the authors' code guards the KL.
    """
    mu, logvar, fake = ibgan_chain(nets, noise, t, c)
    z, h = noise["z"], nets("front", fake)
    z_hat = nets("q", h)
    nets("q", nets("front", with_instance_noise(2 * x - 1, noise["real"], t, c)))
    lower = (log_standard_normal(z - z_hat) - log_standard_normal(z)).mean()
    upper = gaussian_kl(mu, logvar)
    return {
        "fool": -log_d(d_of(nets, h)),
        "lower": -c.lam * lower,
        "upper": c.beta * upper if c.beta > 0 else 100 * upper * (np.real(upper) >= c.guard),
    }


# Elastic-InfoGAN: Ojha, Singh, Hsieh & Lee 2020


def elastic_code(nets: Nets, noise: Noise, c: Any) -> Array:
    """c ~ Cat(p): where pi is learned, the Gumbel-softmax sample of p = softmax(pi); else one-hot."""
    g = noise["gumbel"]
    if c.prior == "learned":
        p = softmax(c.prior_speed * nets.weights["prior.logits"])
        y = np.exp((np.log(p) + g) / c.tau)
        return y / y.sum(1, keepdims=True)
    p = c.class_prior if c.prior == "ground-truth" else np.full(c.k, 1 / c.k)
    return np.eye(c.k)[(np.log(p) + g).argmax(1)]


def elastic_images(nets: Nets, noise: Noise, code: Array) -> Array:
    return np.tanh(nets("g", np.concatenate([noise["z"], code], 1)))


# its delta, and the augmentation of what D sees


def linear_kernel(d: Array) -> Array:
    return np.maximum(1 - np.abs(d), 0)


def cubic_kernel(d: Array, a: float = -0.75) -> Array:
    """Keys 1981, with torch's a."""
    d = np.abs(d)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def drawn_from(picture: Array, source: Callable[[float, float], tuple[float, float]], kernel: Any) -> Array:
    """A picture (C,S,S) whose pixel at (x, y) shows what lies at `source(x, y)`; black outside the picture.

    Places are measured from the middle, right and down, in pixels.
    """
    side = picture.shape[1]
    centres = np.arange(side) + 0.5 - side / 2
    drawn = np.zeros(picture.shape)
    for i, y in enumerate(centres):
        for j, x in enumerate(centres):
            column, row = (kernel(at - centres) for at in source(x, y))
            drawn[:, i, j] = row @ picture @ column
    return drawn


def turned(x: float, y: float, angle: float) -> tuple[float, float]:
    """What lies there after the picture is turned by this angle, counterclockwise."""
    return math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y


def elastic_view(picture: Array, turn: float, zoom: float, bend: Array, c: Any) -> Array:
    """Ours: rotation, zoom, and the displacement of 4x4 points, in sides and interpolated between them."""
    side = picture.shape[1]

    def source(x: float, y: float) -> tuple[float, float]:
        column, row = (linear_kernel((at + side / 2 - 0.5) / (side - 1) * 3 - np.arange(4)) for at in (x, y))
        shift = [c.distortion * side * (row @ points @ column) for points in bend]
        u, v = turned(x, y, math.radians(c.rotation) * turn)
        return u / (1 + c.zoom * zoom) + shift[0], v / (1 + c.zoom * zoom) + shift[1]

    return drawn_from(picture, source, linear_kernel)


def official_view(picture: Array, turn: float, zoom: float, c: Any) -> Array:
    """The authors' code: Augmentor's rotation, which crops and enlarges, and its zoom about the middle."""
    side = picture.shape[1]
    degrees = math.copysign(min(math.floor(abs(turn) * (c.rotation + 1)), c.rotation), turn)
    angle = math.radians(degrees)
    # the turned picture lies on a canvas of whole pixels
    corners = [
        turned(x, y, angle)[0] + side / 2 for x in (-side / 2, side / 2) for y in (-side / 2, side / 2)
    ]
    X = math.ceil(max(corners)) - math.floor(min(corners))
    # the library subtracts tan^2 where the largest rectangle would have a division by 1 - tan^2
    slope = math.tan(abs(angle))
    across = slope * (X - X * slope) - slope**2
    down = slope * (X - across)
    box = [round(across), round(down), round(X - across), round(X - down)]

    def of_the_box(x: float, y: float) -> tuple[float, float]:
        u = box[0] + (x + side / 2) / side * (box[2] - box[0]) - X / 2
        v = box[1] + (y + side / 2) / side * (box[3] - box[1]) - X / 2
        return turned(u, v, angle)

    enlarged = round(side * round(1 + c.zoom * zoom, 2))
    offset = math.floor((enlarged - side) / 2)

    def of_the_enlarged(x: float, y: float) -> tuple[float, float]:
        u, v = ((at + side / 2 + offset) / enlarged * side - side / 2 for at in (x, y))
        return u, v

    for source in (of_the_box, of_the_enlarged):
        picture = drawn_from(picture, source, cubic_kernel).clip(0, 1)
    return picture


def transformed(x: Array, noise: Noise, c: Any) -> Array:
    """delta(x)."""
    drawn = zip(x, noise["turn"], noise["zoom"], noise["bend"], strict=True)
    if c.view == "official":
        return np.array([official_view(picture, turn, zoom, c) for picture, turn, zoom, _ in drawn])
    return np.array([elastic_view(picture, turn, zoom, bend, c) for picture, turn, zoom, bend in drawn])


def one_of(count: int, uniform: float) -> int:
    """One of 0, ..., count - 1, equally likely, of a uniform number in [-1, 1]."""
    return min(int((uniform + 1) / 2 * count), count - 1)


def augmented(x: Array, noise: Noise, kind: str, c: Any) -> Array:
    """T(x) of Zhao et al. 2020: moved by up to an eighth of the side; a square of half the side cut out."""
    out, side = x.copy(), x.shape[-1]
    if c.augment == "none":
        return out
    for picture, (down, right, row, column) in zip(out, noise[f"T of {kind}"], strict=True):
        if c.augment in ("translation", "both"):
            most, before = side // 8, picture.copy()
            dy, dx = (one_of(2 * most + 1, u) - most for u in (down, right))
            for i in range(side):
                for j in range(side):
                    inside = 0 <= i - dy < side and 0 <= j - dx < side
                    picture[:, i, j] = before[:, i - dy, j - dx] if inside else -1
        if c.augment in ("cutout", "both"):
            middle, reach = (one_of(side + 1, row), one_of(side + 1, column)), side // 4
            across, along = (slice(max(at - reach, 0), at + reach) for at in middle)
            picture[:, across, along] = -1
    return out


# its losses


def elastic_discriminator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """-V(D, G), from which D and the layers that it shares with Q learn."""
    fake = held(elastic_images(nets, noise, elastic_code(nets, noise, c)))
    return {
        "real": -log_d(nets("d", nets("trunk", augmented(2 * x - 1, noise, "real", c)))),
        "fake": -log_not_d(nets("d", nets("trunk", augmented(fake, noise, "fake", c)))),
    }


def elastic_generator(nets: Nets, x: Array, noise: Noise, t: float, c: Any) -> Terms:
    """-log D(G(z, c)) - lambda_1 E[log Q(argmax c|x)], and the constraint on Q of either version."""
    code = elastic_code(nets, noise, c)
    fake = elastic_images(nets, noise, code)
    h = nets("trunk", fake)
    Q = softmax(nets("q", h))
    named = held(code).argmax(1)
    h_seen = h if c.augment == "none" else nets("trunk", augmented(fake, noise, "fake", c))
    terms = {
        "fool": -log_d(nets("d", h_seen)),
        "info": -c.lam_info * np.mean([np.log(Q[i, k]) for i, k in enumerate(named)]),
    }
    if c.lam_trans == c.lam_ent == 0:
        return terms
    h, h_moved = (
        nets.before_last("q", nets("trunk", 2 * view - 1)) for view in (x, transformed(x, noise, c))
    )
    if c.version == "v2":
        return {**terms, "trans": c.lam_trans * nt_xent(h, h_moved, c.temperature)}
    P, P_moved = softmax(nets("q.3", h)), softmax(nets("q.3", h_moved))
    cosines = [(p @ q) / np.sqrt((p @ p) * (q @ q)) for p, q in zip(P, P_moved, strict=True)]
    entropies = [-(p * np.log(p)).sum() for p in (*P, *P_moved)]
    return {
        **terms,
        "trans": c.lam_trans * (1 - np.mean(cosines)),
        "ent": c.lam_ent * sum(entropies) / len(x),
    }


def nt_xent(h: Array, h_moved: Array, tau: float) -> Any:
    """Chen et al. 2020, eq. 1: l(i, j) = -log exp(sim(i, j) / tau) / sum_{k != i} exp(sim(i, k) / tau).

    Their mean over both orders of all pairs of views.
    """
    views, n = [*h, *h_moved], len(h)

    def sim(i: int, k: int) -> Any:
        return (views[i] @ views[k]) / np.sqrt((views[i] @ views[i]) * (views[k] @ views[k]))

    losses = []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = sum(np.exp(sim(i, k) / tau) for k in range(2 * n) if k != i)
        losses.append(-np.log(np.exp(sim(i, j) / tau) / others))
    return sum(losses) / (2 * n)


@dataclass(frozen=True)
class Learning:
    """What some modules learn from in a training step.

    Attributes:
        loss: its name.
        modules: those that learn.
        equations: the loss.
        times: optimiser steps per training step.
    """

    loss: str
    modules: tuple[str, ...]
    equations: Loss
    times: int = 1


def of_one_loss(equations: Loss) -> Callable[[Any, float], list[Learning]]:
    """The updates of a VAE without a discriminator."""
    return lambda c, t: [Learning("loss", ("encoder", "decoder"), equations)]


def infogan(c: Any, t: float) -> list[Learning]:
    """In the code of InfoGAN-CR, where the nets "modified" are from, G takes two steps."""
    of_d, of_g = (("trunk", "d", "q"), ("g",)) if c.q_optimizer == "d" else (("trunk", "d"), ("g", "q"))
    return [
        Learning("discriminator_loss", of_d, infogan_discriminator),
        Learning("generator_loss", of_g, infogan_generator, c.g_steps),
    ]


def infogan_cr(c: Any, t: float) -> list[Learning]:
    """InfoGAN's, and from a step on the regulariser; H learns first."""
    of_d, of_g = infogan(c, t)
    if t < c.begin or c.alpha == 0:
        return [of_d, of_g]
    return [
        Learning("contrast_loss", ("h",), contrast_of_h),
        of_d,
        Learning("contrasted_generator_loss", of_g.modules, contrasted_generator, c.g_steps),
    ]


UPDATES: dict[str, Callable[[Any, float], list[Learning]]] = {
    "vae": of_one_loss(vae),
    "betavae": of_one_loss(betavae),
    "annealedvae": of_one_loss(annealedvae),
    "dipvae": of_one_loss(dipvae),
    "factorvae": lambda c, t: [
        Learning("loss", ("encoder", "decoder"), factorvae),
        Learning("discriminator_loss", ("d",), factorvae_discriminator),
    ],
    "betatcvae": of_one_loss(betatcvae),
    "jointvae": of_one_loss(jointvae),
    "gan": lambda c, t: [
        Learning("discriminator_loss", ("d",), gan_discriminator, c.d_steps),
        Learning("generator_loss", ("g", "q"), gan_generator, c.g_steps),
    ],
    "infogan": infogan,
    "infogan_cr": infogan_cr,
    "ibgan": lambda c, t: [
        Learning("discriminator_loss", ("front", "d"), ibgan_discriminator, c.d_steps),
        Learning("generator_loss", ("e", "g", "q"), ibgan_generator, c.g_steps),
    ],
    # pi is learned with G
    "elastic_infogan": lambda c, t: [
        Learning("discriminator_loss", ("trunk", "d"), elastic_discriminator),
        Learning(
            "generator_loss", ("g", "q", "prior") if c.prior == "learned" else ("g", "q"), elastic_generator
        ),
    ],
}
