"""WAE-MMD: Tolstikhin, Bousquet, Gelly & Schoelkopf, ICLR 2018, arXiv:1711.01558.

Minimises, per image (eq. 4, and algorithm 2 for the distance):

    L = |x - G(z)|^2 + lambda MMD(q(z), N(0, I)),    z = Q(x)

    paper           here              shape        meaning
    Q(x), G(z)      encoder, decoder               both deterministic
    z~              z                 (B, D)       codes of the images
    z               noise["prior"]    (B, D)       a sample of the prior N(0, I)
    k(z, z')        kernel(a, b)      (B, B)       inverse multiquadratic, C / (C + |z - z'|^2), C = 2 D

The MMD is an unbiased estimate from one batch, so it may fall below 0.

Deviations: the loss is that of the paper; the authors' code weighs the squared error by 0.05 and sums the
distance over seven values of C. Networks of the VAEs here, without the batch norm, the pretraining, the noise
and the falling learning rate of that code. "mini" is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from disbench.models import Config as Common
from disbench.models import DataInfo, Method, Noise, Terms, Update, adam, code_columns, vae
from disbench.models.nets import vae_nets
from disbench.ranges import Batch, Count, NotNegative, Positive


@dataclass(frozen=True)
class Config(Common):
    steps: Count = 737_280  # 100 epochs of dSprites; this and all below: the authors' code, dSprites
    batch: Batch = 100
    codes: Count = 12  # D, number of latents
    lr: Positive = 1e-3  # Adam with beta1 0.5
    lam: NotNegative = 10.0  # lambda, weight of the MMD
    nets: vae.Nets = "conv"  # Kim & Mnih 2018


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """C / (C + |a_i - b_j|^2) of the rows of a (n, D) and b (m, D), with C = 2 D: (n, m)."""
    c = 2 * a.shape[1]
    return c / (c + (a[:, None] - b[None]).square().sum(2))


def mmd(z: Tensor, prior: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of two samples (n, D), without bias: a scalar."""
    n = len(z)
    # the kernel of a point with itself is 1
    within = kernel(z, z).sum() + kernel(prior, prior).sum() - 2 * n
    return within / (n * (n - 1)) - 2 * kernel(z, prior).mean()


class WAE(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "mini": Config(batch=64, codes=10, **vae.MINI),
    }

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        self.encoder, self.decoder = vae_nets(config.nets, data.shape, config.codes, config.codes)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        return {"prior": torch.randn(batch, self.config.codes, generator=generator, device=generator.device)}

    def updates(self) -> tuple[Update, ...]:
        return (Update("loss", ("encoder", "decoder"), adam(self.config.lr, beta1=0.5)),)

    def loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        z = self.encoder(x)
        return {
            "reconstruction": (self.generate(z) - x).square().flatten(1).sum(1).mean(),
            "mmd": self.config.lam * mmd(z, noise["prior"]),
        }

    def represent(self, images: Tensor) -> Tensor:
        return self.encoder(images)

    def generate(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).sigmoid()

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        return noise["prior"], code_columns(0, [1] * self.config.codes)

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.generate(self.represent(images))


METHOD = WAE
