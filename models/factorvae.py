"""FactorVAE: Kim & Mnih, "Disentangling by Factorising", ICML 2018, arXiv:1802.05983.

Minimises, per image (eq. 2 with its sign flipped; the density ratio of eq. 3):

    L = -E_q[log p(x|z)] + KL(q(z|x) || N(0, I)) + gamma TC(z),    TC(z) = KL(q(z) || prod_j q(z_j))
    TC(z) = E_q(z)[log D(z) / (1 - D(z))] = E_q(z)[D_0(z) - D_1(z)]

D classifies samples of q(z) (class 0) and of prod_j q(z_j) (class 1), and is trained alongside the VAE by

    L_D = -1/2 E[log softmax_0 D(z)] - 1/2 E[log softmax_1 D(perm(z'))]                  (algorithm 2)

    paper            here                     shape        meaning
    x, x'            halves of `x`            (B,C,H,W)    two independent batches
    z, z'            z, z_other               (B, D)       samples of q(z|x), q(z'|x'); detached for L_D
    perm(z')         permute(z', perm)        (B, D)       each latent shuffled over the batch by itself
    D_0, D_1         d(z)                     (B, 2)       logits of the two classes

The variants are the six values of gamma that Locatello et al. 2019 (arXiv:1811.12359) compare, with the
settings "dlib".

Deviations: each update runs on current weights, so the encoder has taken its step before D learns. D has five
hidden layers of 1000 (the "6 layers" of the paper, counted with the last one). 300,000 steps are those of
disentanglement_lib. "dlib" has that library's nets, with six hidden layers in D; there the shuffled codes are
those of the same batch, here of a second one, as in the paper. That library clips D's probabilities to
[1e-6, 1 - 1e-6] in L_D, where a clipped one has no gradient; here L_D is exact. "mini" has a smaller gamma,
since its images have a quarter of the pixels, and a smaller D: three hidden layers of 256.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from disbench.models import vae
from disbench.models.layers import glorot, leaky
from disbench.models.method import DataInfo, Noise, Terms, Update
from disbench.models.nets import mlp
from disbench.models.optimizer import adam
from disbench.ranges import Count, NotNegative, Positive


@dataclass(frozen=True)
class Config(vae.Config):
    gamma: NotNegative = 35.0  # weight of TC(z); Kim & Mnih 2018, dSprites
    hidden: Count = 1000  # units of each hidden layer of D; Kim & Mnih 2018
    layers: Count = 5  # hidden layers of D
    lr_d: Positive = 1e-4  # Kim & Mnih 2018, with Adam's betas (0.5, 0.9)


def permute(z: Tensor, perm: Tensor) -> Tensor:
    """Each latent of `z` (B, D) in the order of its column of `perm` (B, D): a sample of prod_j q(z_j)."""
    return z.gather(0, perm)


def total_correlation(logits: Tensor) -> Tensor:
    """TC(z) as the mean log density ratio of class 0, q(z), to class 1: (B, 2) to a scalar, in nats."""
    return (logits[:, 0] - logits[:, 1]).mean()


class FactorVAE(vae.VAE):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "dlib": Config(nets="dlib", layers=6),
        "mini": Config(**{**vae.MINI, "steps": 6_000}, gamma=8.0, hidden=256, layers=3),
    }

    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        f"gamma{gamma}": {"gamma": float(gamma)} for gamma in (10, 20, 30, 40, 50, 100)
    }

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        self.d = mlp([config.codes, *[config.hidden] * config.layers, 2], leaky)
        if config.nets == "dlib":
            glorot(self.d)

    @property
    def images_per_step(self) -> int:
        return 2 * self.config.batch

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        device, d = generator.device, self.config.codes
        order = torch.rand(batch // 2, d, generator=generator, device=device).argsort(0)
        return {"eps": torch.randn(batch, d, generator=generator, device=device), "perm": order}

    def updates(self) -> tuple[Update, ...]:
        discriminator = Update("discriminator_loss", ("d",), adam(self.config.lr_d, 0.5, 0.9))
        return (*super().updates(), discriminator)

    def loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        # eq. 2: `VAE.loss` of x, the first half of the images, calls `penalty`, which adds gamma TC;
        # x', the second half, is for D alone
        half = len(x) // 2
        return super().loss(x[:half], {"eps": noise["eps"][:half]}, step)

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        return {
            "kl": vae.gaussian_kl(mu, logvar).sum(1).mean(),
            "tc": self.config.gamma * total_correlation(self.d(z)),
        }

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar = self.posterior(x)
        z, z_other = (mu + (0.5 * logvar).exp() * noise["eps"]).detach().chunk(2)
        return {
            "joint": -0.5 * F.log_softmax(self.d(z), 1)[:, 0].mean(),
            "product": -0.5 * F.log_softmax(self.d(permute(z_other, noise["perm"])), 1)[:, 1].mean(),
        }

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar = self.posterior(x)
        z = mu + (0.5 * logvar).exp() * noise["eps"]
        return {**super().monitor(x, noise, step), "tc_estimate": total_correlation(self.d(z))}


METHOD = FactorVAE
