"""IB-GAN: Jeon, Lee, Pyeon & Kim, "IB-GAN: Disentangled Representation Learning with Information Bottleneck
Generative Adversarial Networks", AAAI 2021.

With the chain Z -> R -> X, I(Z; X) <= I(Z; R), and with lambda >= beta >= 0:

    min_{G,e,q} max_D  V(D, G) - [ lambda I^L - beta I^U ]
    I^L = E[log q(z|x)] + H(z)  <=  I(Z; X)              reconstructor q(z|x) = N(q(x), I)
    I^U = E_z KL(e(r|z) || m(r))  >=  I(Z; R)            m(r) = N(0, I)

    paper        here                  shape       meaning
    z            noise["z"]            (B, 16)     N(0, I)
    e(r|z)       mu, logvar            (B, 10)     stochastic encoder; r = mu + sigma noise["eps"]
    x = G(r)     fake                  (B,C,H,W)   in [-1, 1]
    q(z|x)       z_hat                 (B, 16)     mean of the reconstructor
    I^L, I^U     lower, upper          ()          nats; H(z) by Monte Carlo, so that constants cancel

Limits: beta = 0 is InfoGAN, lambda = beta = 0 is GAN.

Deviations: signs are those of the equations and of the authors' code, not of the printed Algorithm 1, which
taken literally maximises the code error. The two updates each run on current weights (the authors' code mixes
old and new ones, which current torch refuses). "mini" is ours: smaller nets for 32x32 images, Adam,
spectral norm in D.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from disbench.models import gan, method
from disbench.models.gan import fake_term, instance_noise, noisy, optimizer, real_term
from disbench.models.method import DataInfo, Method, Noise, Terms, Update
from disbench.models.nets import ibgan_generator, ibgan_head, initialise, mlp
from disbench.models.vae import gaussian_kl


@dataclass(frozen=True)
class Config(gan.Config):
    z: int = 16  # size of z; `codes` is the size of r
    lam: float = 1.0  # weight of the lower bound
    beta: float = 0.141  # weight of the upper bound: the authors' dSprites command line
    guard: float = 20.0  # nats; where beta = 0 the KL is held below this with weight 100 (authors' code)


def lower_bound(z_hat: Tensor, z: Tensor) -> Tensor:
    """I^L of q = N(z_hat, I), a scalar in nats: E[1/2 |z|^2 - 1/2 |z - z_hat|^2]."""
    return 0.5 * (z.square() - (z - z_hat).square()).sum(1).mean()


def upper_bound(mu: Tensor, logvar: Tensor) -> Tensor:
    """I^U, a scalar in nats."""
    return gaussian_kl(mu, logvar).sum(1).mean()


class IBGAN(Method):
    CONFIGS: ClassVar[Mapping[str, Any]] = {"paper": Config(), "mini": Config(**gan.MINI, codes=8)}

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        c = config
        self.e = mlp([c.z, 32, 32, 2 * c.codes], nn.ReLU)
        self.g = ibgan_generator(data.shape, c.codes, c.width, c.base)
        self.d = ibgan_head(data.shape, 1, c.width, c.base, c.spectral)
        self.q = ibgan_head(data.shape, c.z, c.width, c.base, hidden=True)
        initialise(self, "dcgan")

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        draw = {"generator": generator, "device": generator.device}
        return {
            "z": torch.randn(batch, self.config.z, **draw),  # type: ignore[arg-type]
            "eps": torch.randn(batch, self.config.codes, **draw),  # type: ignore[arg-type]
            **instance_noise(batch, self.data.shape, generator),
        }

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        return (
            Update("discriminator_loss", ("d",), optimizer(c, c.lr_d)),
            Update("generator_loss", ("e", "g", "q"), optimizer(c, c.lr_g)),
        )

    def encode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.e(z).chunk(2, dim=1)  # (B, r) each
        return mu, logvar

    def sample(self, noise: Noise, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mu and logvar of e(r|z), and G(r) under instance noise."""
        mu, logvar = self.encode(noise["z"])
        r = mu + (0.5 * logvar).exp() * noise["eps"]
        return mu, logvar, noisy(self.config, self.g(r), noise["fake"], step)

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        *_, fake = self.sample(noise, step)
        return {
            "real": real_term(self.d(noisy(self.config, 2 * x - 1, noise["real"], step))),
            "fake": fake_term(self.d(fake.detach())),
        }

    def generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        c = self.config
        mu, logvar, fake = self.sample(noise, step)
        lower, upper = lower_bound(self.q(fake), noise["z"]), upper_bound(mu, logvar)
        held = (
            100.0 * torch.where(upper >= c.guard, upper, torch.zeros_like(upper))
            if c.beta == 0
            else c.beta * upper
        )
        return {"fool": real_term(self.d(fake)), "lower": -c.lam * lower, "upper": held}

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar, fake = self.sample(noise, step)
        kl = gaussian_kl(mu, logvar).mean(0)  # (r,)
        lower = lower_bound(self.q(fake), noise["z"])
        return {
            "I_lower": lower,
            "I_upper": kl.sum(),
            "kl_per_latent": kl,
            "active_units": (kl > 0.01).sum().float(),
        }

    def represent(self, images: Tensor) -> Tensor:
        return self.encode(self.q(2 * images - 1))[0]  # the mean of r given q's z, as the authors' evaluator

    def generate(self, latents: Tensor) -> Tensor:
        images: Tensor = self.g(latents)
        return (images + 1) / 2

    def traverse(self, image: Tensor, noise: Noise, steps: int) -> tuple[list[str], Tensor]:
        d = self.config.codes
        rows = method.traversal_rows(self.represent(image), range(d), *self.TRAVERSAL, steps)
        return [f"r{j}" for j in range(d)], self.generate(rows).unflatten(0, (d, steps))


METHOD = IBGAN
