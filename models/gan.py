"""GAN: Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio, NeurIPS 2014.
arXiv:1406.2661.

    min_G max_D  V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]                          (eq. 1)

    paper     here          shape        meaning
    x         x             (B,C,H,W)    image, scaled to [-1, 1]
    z         noise["z"]    (B, D)       N(0, I)
    D         d             (B, 1)       logit, so that log D = -softplus(-d)
    -         q             (B, D)       z read back from the image; G never learns from it

Deviations: the generator maximises log D(G(z)) (section 3 of the paper). To give a GAN a code, q is trained
alongside it on detached images with 1/2 |z - q(G(z))|^2, as in the "regular GAN with Q" of the InfoGAN paper.
Networks, optimiser and instance noise are those of IB-GAN, of which this is the limit lambda = beta = 0.
"mini" is ours, as IB-GAN's is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disbench.models import method
from disbench.models.layers import initialise
from disbench.models.method import DataInfo, Method, Noise, Terms, Update, later
from disbench.models.nets import ibgan_generator, ibgan_head
from disbench.models.optimizer import Optimizer, adam, rmsprop
from disbench.ranges import Count, CountOrNone, NotNegative, Positive


@dataclass(frozen=True)
class Config(method.Config):
    steps: Count = 150_000  # IB-GAN's official code, dSprites; likewise all below
    codes: Count = 10  # D, size of z, which is the code
    width: Count = 16  # ngf: channels of the generator's last feature map
    width_d: Count = 16  # ndf: channels of the first feature map of D and q
    base: Count = 8  # side of the generator's first feature map
    spectral: bool = False  # spectral norm instead of batch norm in D
    lr_g: Positive = 5e-5
    lr_d: Positive = 1e-6
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    init_std: Positive = 0.02  # of the initial weights
    noise_start: NotNegative = 1.0  # standard deviation of the instance noise at step 0
    noise_end: NotNegative = 0.0
    noise_steps: CountOrNone = 100_000  # steps from start to end
    d_steps: Count = later(1)  # steps of D per training step
    g_steps: Count = later(1)  # steps of G per training step


# ours: 32x32 images, one core
MINI: dict[str, Any] = {
    "steps": 4_500,
    "batch": 32,
    "width": 8,
    "width_d": 8,
    "base": 4,
    "spectral": True,
    "optimizer": "adam",
    "lr_g": 1e-3,
    "lr_d": 1e-3,
    "noise_steps": 3_000,
    "init_std": 0.05,
}


def optimizer(kind: Literal["rmsprop", "adam"], lr: float) -> Optimizer:
    """RMSprop with momentum 0.9 as in IB-GAN's code, or Adam with beta1 0.5."""
    return rmsprop(lr, momentum=0.9) if kind == "rmsprop" else adam(lr, beta1=0.5)


def real_term(logits: Tensor) -> Tensor:
    """-E[log D(x)], nats."""
    return F.softplus(-logits).mean()


def fake_term(logits: Tensor) -> Tensor:
    """-E[log(1 - D(G(z)))], nats."""
    return F.softplus(logits).mean()


def code_error(c_hat: Tensor, c: Tensor) -> Tensor:
    """-E[log Q(c|x)] for Q = N(c_hat, I), without its constant: a scalar, nats."""
    return 0.5 * (c_hat - c).square().sum(1).mean()


def lower_bound(c_hat: Tensor, c: Tensor) -> Tensor:
    """E[log Q(c|x)] + H(c) of Q = N(c_hat, I) and c ~ N(0, I): E[1/2 |c|^2 - 1/2 |c - c_hat|^2], nats.

    The entropy is estimated from the same sample, so the constants of both terms cancel.
    """
    return 0.5 * (c.square() - (c - c_hat).square()).sum(1).mean()


def show(q: nn.Module, real: Tensor) -> None:
    """Passes real images through q, which learns from generated ones alone.

    Nothing comes of it but the running statistics of its batch norm. They are what q reads real images with
    when it is scored, and in the code of IB-GAN's authors both kinds of images go into them.
    """
    with torch.no_grad():
        q(real)


def confidence(real: Tensor, fake: Tensor) -> Terms:
    """Mean D(x) and D(G(z)) of logits, (B, 1) each; both are 1/2 where D cannot tell real from fake."""
    return {"d_real": real.sigmoid().mean(), "d_fake": fake.sigmoid().mean()}


class GAN(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {"paper": Config(), "mini": Config(**MINI, codes=8)}

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        c = config
        self.g = ibgan_generator(data.shape, c.codes, c.width, c.base)
        self.d = ibgan_head(data.shape, 1, c.width_d, c.base, c.spectral)
        self.q = ibgan_head(data.shape, c.codes, c.width_d, c.base, hidden=True)
        initialise(self, std=c.init_std)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        z = torch.randn(batch, self.config.codes, generator=generator, device=generator.device)
        return {"z": z, **instance_noise(batch, self.data.shape, generator)}

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        return (
            Update("discriminator_loss", ("d",), optimizer(c.optimizer, c.lr_d), times=c.d_steps),
            Update("generator_loss", ("g", "q"), optimizer(c.optimizer, c.lr_g), times=c.g_steps),
        )

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        fake = self.g(noise["z"]).detach()
        return {
            "real": real_term(self.d(noisy(self.config, 2 * x - 1, noise["real"], step))),
            "fake": fake_term(self.d(noisy(self.config, fake, noise["fake"], step))),
        }

    def generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        fake = noisy(self.config, self.g(noise["z"]), noise["fake"], step)
        terms = {
            "fool": real_term(self.d(fake)),
            "code": code_error(self.q(fake.detach()), noise["z"]),
        }
        show(self.q, noisy(self.config, 2 * x - 1, noise["real"], step))
        return terms

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        fake = noisy(self.config, self.g(noise["z"]), noise["fake"], step)
        real = noisy(self.config, 2 * x - 1, noise["real"], step)
        return {"L_I": lower_bound(self.q(fake), noise["z"]), **confidence(self.d(real), self.d(fake))}

    def represent(self, images: Tensor) -> Tensor:
        codes: Tensor = self.q(2 * images - 1)
        return codes

    def generate(self, latents: Tensor) -> Tensor:
        images: Tensor = self.g(latents)
        return (images + 1) / 2

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        return noise["z"], method.code_columns(0, [1] * self.config.codes)


def instance_noise(batch: int, shape: tuple[int, int, int], generator: torch.Generator) -> Noise:
    """Standard normal pictures (B,C,H,W) to be added to the real and to the generated images."""
    eps = torch.randn(2, batch, *shape, generator=generator, device=generator.device)
    return {"real": eps[0], "fake": eps[1]}


class NoiseSchedule(Protocol):
    """The settings of a config that `noisy` reads."""

    @property
    def noise_start(self) -> float: ...

    @property
    def noise_end(self) -> float: ...

    @property
    def noise_steps(self) -> int: ...


def noisy(c: NoiseSchedule, x: Tensor, eps: Tensor, step: Tensor) -> Tensor:
    """Instance noise: x + sigma_t eps, clamped to [-1, 1], sigma_t falling linearly."""
    return (x + method.linear(step, c.noise_start, c.noise_end, c.noise_steps) * eps).clamp(-1.0, 1.0)


METHOD = GAN
