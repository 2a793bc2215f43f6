"""AnnealedVAE: Burgess, Higgins, Pal, Matthey, Watters, Desjardins & Lerchner, 2018, arXiv:1804.03599.

Minimises, per image (eq. 8 with its sign flipped):

    L = -E_q[log p(x|z)] + gamma |KL(q(z|x) || N(0, I)) - C(t)|

The capacity C rises linearly from 0, so that the latents take up information one after another.

    paper           here              shape    meaning
    q(z|x)          mu, logvar        (B, D)   mean and log-variance of the encoder's Gaussian
    C               capacity(step)    ()       nats; target of the KL, which is averaged over the batch
    gamma           gamma             ()       weight of the distance to that target

With gamma = 1 and C = 0 this is the VAE. The variants are the six final capacities that Locatello et al. 2019
(arXiv:1811.12359) compare, with the settings "dlib".

Deviations: the KL is averaged over the batch before its distance to C is taken, as in disentanglement_lib;
eq. 8 is of one image. 300,000 steps are those of disentanglement_lib. "mini" is ours: its steps are few and
its images small, so its gamma and capacity are small too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from disbench.models import method, vae
from disbench.models.method import Noise, Terms
from disbench.ranges import Count, NotNegative, Positive


@dataclass(frozen=True)
class Config(vae.Config):
    nets: vae.Nets = "burgess"  # this and all below: Burgess et al. 2018, dSprites
    lr: Positive = 5e-4
    gamma: NotNegative = 1000.0  # weight of |KL - C|
    capacity: NotNegative = 25.0  # C at the end of its rise, in nats
    capacity_steps: Count = 100_000  # length of the rise


class AnnealedVAE(vae.VAE):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "dlib": Config(nets="dlib", lr=1e-4),
        "mini": Config(**vae.MINI, gamma=5.0, capacity=15.0, capacity_steps=5_600),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        f"capacity{nats}": {"capacity": float(nats)} for nats in (5, 10, 25, 50, 75, 100)
    }

    def capacity(self, step: Tensor) -> Tensor:
        """C(t), in nats."""
        return method.linear(step, 0.0, self.config.capacity, self.config.capacity_steps)

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        kl = vae.gaussian_kl(mu, logvar).sum(1).mean()
        return {"kl": self.config.gamma * (kl - self.capacity(step)).abs()}

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        return {**super().monitor(x, noise, step), "capacity": self.capacity(step)}


METHOD = AnnealedVAE
