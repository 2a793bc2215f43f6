"""IB-GAN: Jeon, Lee, Pyeon & Kim, "IB-GAN: Disentangled Representation Learning with Information Bottleneck
Generative Adversarial Networks", AAAI 2021.

With the chain Z -> R -> X, I(Z; X) <= I(Z; R), and with lambda >= beta >= 0:

    min_{G,e,q} max_D  V(D, G) - [ lambda I^L - beta I^U ]
    I^L = E[log q(z|x)] + H(z)  <=  I(Z; X)              reconstructor q(z|x) = N(q(x), I)
    I^U = E_z KL(e(r|z) || m(r))  >=  I(Z; R)            m(r) = N(0, I)

    paper        here                  shape       meaning
    z            noise["z"]            (B, N)      N(0, I)
    e(r|z)       mu, logvar            (B, D)      stochastic encoder; r = mu + sigma noise["eps"]
    x = G(r)     fake                  (B,C,H,W)   in [-1, 1]
    q(z|x)       z_hat                 (B, N)      mean of the reconstructor
    I^L, I^U     lower, upper          ()          nats; H(z) by Monte Carlo, so that constants cancel

Limits: beta = 0 is InfoGAN, lambda = beta = 0 is GAN.

Deviations: signs are those of the equations and of the authors' code; the printed Algorithm 1, taken
literally, would maximise the code error. The two updates each run on current weights (the authors' code mixes
old and new ones, which current torch refuses), so G runs twice a step, and its batch norm sees each batch
twice. "mini" is ours: smaller nets for 32x32 images, Adam, spectral norm in D, 8 codes, batches of 32.
"cdsprites", "celeba" and "3dchairs" are the authors' other settings; they have not been run here. On the last
two, D and q share a front of three convolutions that learns from D's loss alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disbench.models import gan, method
from disbench.models.gan import (
    confidence,
    fake_term,
    instance_noise,
    lower_bound,
    noisy,
    optimizer,
    real_term,
    show,
)
from disbench.models.layers import initialise, relu
from disbench.models.method import DataInfo, Method, Noise, Terms, Update
from disbench.models.nets import ibgan_front, ibgan_front_head, ibgan_generator, ibgan_head, mlp
from disbench.models.vae import active_units, gaussian_kl
from disbench.ranges import Count, NotNegative


@dataclass(frozen=True)
class Config(gan.Config):
    z: Count = 16  # N, size of z; `codes` is D, the size of r, which is the code
    lam: NotNegative = 1.0  # weight of the lower bound
    beta: NotNegative = 0.141  # weight of the upper bound: the authors' dSprites command line
    guard: NotNegative = 20.0  # nats; where beta = 0 the KL stays below, by weight 100 (authors' code)
    front: bool = False  # D and q share their first three convolutions, and e is deeper
    smoothing: bool = False  # D's target of a real image is U(0.7, 1.2) instead of 1
    init: Literal["dcgan", "orthogonal"] = "dcgan"

    def check(self) -> str | None:
        """`beta` is at most `lam`: lambda >= beta in the objective."""
        if self.beta > self.lam:
            return f"beta={self.beta} was given, but it must be at most lam, which is {self.lam}."
        return None


# the authors' code for CelebA and 3D Chairs
FRONT: dict[str, Any] = {
    "z": 64,
    "lr_d": 2e-6,
    "noise_start": 0.5,
    "noise_end": 0.01,
    "front": True,
    "smoothing": True,
    "init": "orthogonal",
}


def upper_bound(mu: Tensor, logvar: Tensor) -> Tensor:
    """I^U, a scalar in nats."""
    return gaussian_kl(mu, logvar).sum(1).mean()


def smoothed_term(logits: Tensor, target: Tensor) -> Tensor:
    """-E[t log D(x) + (1 - t) log(1 - D(x))] with target t in place of 1, nats."""
    return (F.softplus(logits) - target * logits).mean()


class IBGAN(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "cdsprites": Config(steps=500_000, beta=0.071),
        "celeba": Config(
            **FRONT, steps=1_000_000, noise_steps=1_000_000, codes=15, beta=0.35, width=64, width_d=64
        ),
        "3dchairs": Config(**FRONT, steps=700_000, noise_steps=700_000, beta=0.325, width=32),
        "mini": Config(**gan.MINI, codes=8),
    }

    TRAVERSED: ClassVar[str] = "r"

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        c, side = config, data.shape[1]
        self.g = ibgan_generator(data.shape, c.codes, c.width, c.base)
        if c.front:
            self.e = mlp([c.z, 64, 64, 32, 2 * c.codes], relu, norm=True)
            self.front: nn.Module = ibgan_front(data.shape, c.width_d)
            self.d = ibgan_front_head(side, 1, c.width_d)
            self.q = ibgan_front_head(side, c.z, c.width_d)
        else:
            self.e = mlp([c.z, 32, 32, 2 * c.codes], relu)
            self.front = nn.Identity()
            self.d = ibgan_head(data.shape, 1, c.width_d, c.base, c.spectral)
            self.q = ibgan_head(data.shape, c.z, c.width_d, c.base, hidden=True)
        initialise(self, c.init, c.init_std)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        c, device = self.config, generator.device
        drawn = {
            "z": torch.randn(batch, c.z, generator=generator, device=device),
            "eps": torch.randn(batch, c.codes, generator=generator, device=device),
            **instance_noise(batch, self.data.shape, generator),
        }
        if c.smoothing:
            drawn["target"] = 0.7 + 0.5 * torch.rand(batch, 1, generator=generator, device=device)
        return drawn

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        return (
            Update("discriminator_loss", ("front", "d"), optimizer(c.optimizer, c.lr_d), times=c.d_steps),
            Update("generator_loss", ("e", "g", "q"), optimizer(c.optimizer, c.lr_g), times=c.g_steps),
        )

    def encode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of e(r|z), (B, D) each."""
        mu, logvar = self.e(z).chunk(2, dim=1)
        return mu, logvar

    def sample(self, noise: Noise, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mu and logvar of e(r|z), and G(r) under instance noise."""
        mu, logvar = self.encode(noise["z"])
        r = mu + (0.5 * logvar).exp() * noise["eps"]
        return mu, logvar, noisy(self.config, self.g(r), noise["fake"], step)

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        *_, fake = self.sample(noise, step)
        real = self.discriminate(noisy(self.config, 2 * x - 1, noise["real"], step))
        return {
            "real": smoothed_term(real, noise["target"]) if self.config.smoothing else real_term(real),
            "fake": fake_term(self.discriminate(fake.detach())),
        }

    def generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        c = self.config
        mu, logvar, fake = self.sample(noise, step)
        h = self.front(fake)
        lower, upper = lower_bound(self.q(h), noise["z"]), upper_bound(mu, logvar)
        terms = {
            "fool": real_term(self.d(h)),
            "lower": -c.lam * lower,
            "upper": c.beta * upper if c.beta else 100.0 * torch.where(upper >= c.guard, upper, 0.0),
        }
        show(nn.Sequential(self.front, self.q), noisy(c, 2 * x - 1, noise["real"], step))
        return terms

    def discriminate(self, x: Tensor) -> Tensor:
        """Logit of D(x), (B, 1)."""
        logits: Tensor = self.d(self.front(x))
        return logits

    def reconstructor(self, x: Tensor) -> Tensor:
        """Mean of q(z|x), (B, N)."""
        z_hat: Tensor = self.q(self.front(x))
        return z_hat

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar, fake = self.sample(noise, step)
        kl = gaussian_kl(mu, logvar).mean(0)  # (D,)
        real = noisy(self.config, 2 * x - 1, noise["real"], step)
        return {
            "I_lower": lower_bound(self.reconstructor(fake), noise["z"]),
            "I_upper": kl.sum(),
            "kl_per_latent": kl,
            "active_units": active_units(mu),
            **confidence(self.discriminate(real), self.discriminate(fake)),
        }

    def represent(self, images: Tensor) -> Tensor:
        # as in the authors' evaluator
        return self.gaussians(images)[0]

    def gaussians(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # e(r|z) at the mean of q(z|x); its prior is m(r)
        return self.encode(self.reconstructor(2 * images - 1))

    def generate(self, latents: Tensor) -> Tensor:
        images: Tensor = self.g(latents)
        return (images + 1) / 2

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        mu, logvar = self.encode(noise["z"])
        r = mu + (0.5 * logvar).exp() * noise["eps"]
        return r, method.code_columns(0, [1] * self.config.codes)


METHOD = IBGAN
