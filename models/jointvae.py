"""JointVAE: Dupont, "Learning Disentangled Joint Continuous and Discrete Representations", NeurIPS 2018.
arXiv:1804.00104.

Minimises, per image and pixel (eq. 7 with its sign flipped):

    L = -E_q[log p(x|z,c)] + gamma_z |KL(q(z|x) || p(z)) - C_z(t)| + gamma_c |KL(q(c|x) || p(c)) - C_c(t)|

On colour images the first term is averaged over the channels, as in the authors' code. The capacities C_z and
C_c rise linearly from 0; C_c stops at sum_i log K_i, the largest KL of c.

    paper           here             shape         meaning
    q(z|x)          mu, logvar       (B, D)        Gaussian posterior of the continuous latents
    q(c_i|x)        alpha            (B, K_i)      probabilities of discrete latent i; prior uniform
    z, c            latents          (B, D+sum K)  mu + sigma eps; Gumbel-softmax samples of temperature tau
    KL(q(c)||p(c))  categorical_kl   (B,)          log K - H(alpha)

Deviations: the decoder of "mnist" has 64 and 32 channels between its three layers, the authors' 32 and 32.
Their code adds 1e-12 within its logarithms, and its first step has the capacities of step 1, here of step 0.
"mini" and "mini_mnist" are ours: smaller nets and capacities for 32x32 images, and a gamma of 5. With 30 and
so few steps, the latents filled their capacity with a constant mean, or with one category for all images,
which carries no information.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from disbench.models import method, vae
from disbench.models.categorical import (
    CategoryCode,
    category_codes,
    gumbel_noise,
    gumbel_softmax,
    one_hot,
    one_hot_rows,
    uniform_prior,
)
from disbench.models.method import DataInfo, Method, Noise, Terms, Update
from disbench.models.nets import vae_nets
from disbench.models.optimizer import adam
from disbench.ranges import Categories, Count, NotNegative, Positive


@dataclass(frozen=True)
class Config(method.Config):
    steps: Count = 345_000  # 30 epochs of dSprites; this and all below: the authors' code, dSprites
    codes: Count = 6  # continuous latents
    discrete: tuple[Categories, ...] = (3,)  # number of categories of each discrete latent
    nets: vae.Nets = "jointvae"
    lr: Positive = 5e-4
    tau: Positive = 0.67  # temperature of the Gumbel-softmax
    gamma_z: NotNegative = 150.0
    gamma_c: NotNegative = 150.0
    capacity_z: NotNegative = 40.0  # nats, at the end of the rise
    capacity_c: NotNegative = 1.1
    capacity_steps: Count = 300_000  # length of the rise
    category_code: CategoryCode = "probabilities"  # in `represent`

    def check(self) -> str | None:
        """`discrete` holds at least one number."""
        return None if self.discrete else "discrete is empty; give at least one number of categories."

    def category_columns(self) -> int:
        return len(self.discrete) if self.category_code == "argmax" else 0


def categorical_kl(log_alpha: Tensor) -> Tensor:
    """KL(alpha || uniform) = log K - H(alpha) of each row, (B, K) to (B,), in nats."""
    return math.log(log_alpha.shape[1]) + (log_alpha.exp() * log_alpha).sum(1)


class JointVAE(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "mnist": Config(
            steps=93_800,  # 100 epochs
            codes=10,
            discrete=(10,),
            nets="jointvae32",
            gamma_z=30.0,
            gamma_c=30.0,
            capacity_z=5.0,
            capacity_c=5.0,
            capacity_steps=25_000,
        ),
        "mini": Config(**vae.MINI, gamma_z=5.0, gamma_c=5.0, capacity_z=15.0, capacity_steps=5_600),
        "mini_mnist": Config(
            **vae.MINI,
            codes=10,
            discrete=(10,),
            gamma_z=5.0,
            gamma_c=5.0,
            capacity_z=5.0,
            capacity_c=5.0,
            capacity_steps=5_600,
        ),
    }
    CATEGORICAL: ClassVar[str] = "c"

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        latents, outputs = config.codes + sum(config.discrete), 2 * config.codes + sum(config.discrete)
        self.encoder, self.decoder = vae_nets(config.nets, data.shape, latents, outputs)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        c = self.config
        return {
            "eps": torch.randn(batch, c.codes, generator=generator, device=generator.device),
            "gumbel": gumbel_noise(batch, sum(c.discrete), generator=generator),
        }

    def updates(self) -> tuple[Update, ...]:
        return (Update("loss", ("encoder", "decoder"), adam(self.config.lr)),)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """mu and logvar (B, D), and log alpha (B, K_i) of each discrete latent."""
        d = self.config.codes
        mu, logvar, *logits = torch.split(self.encoder(x), [d, d, *self.config.discrete], dim=1)
        return mu, logvar, [block.log_softmax(1) for block in logits]

    def loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        c, (_, channels, height, width) = self.config, x.shape
        pixels = height * width
        mu, logvar, log_alpha = self.posterior(x)
        z = mu + (0.5 * logvar).exp() * noise["eps"]
        gumbel = torch.split(noise["gumbel"], list(c.discrete), dim=1)
        samples = [gumbel_softmax(a, g, c.tau) for a, g in zip(log_alpha, gumbel, strict=True)]
        capacity_z, capacity_c = self.capacities(step)
        kl_z = vae.gaussian_kl(mu, logvar).sum(1).mean()
        kl_c = torch.stack([categorical_kl(a).mean() for a in log_alpha]).sum()
        nll = vae.bernoulli_nll(self.decoder(torch.cat([z, *samples], 1)), x)
        return {
            # the authors' code averages over channels, while the KLs are per pixel
            "reconstruction": nll / (channels * pixels),
            "kl_z": c.gamma_z * (kl_z - capacity_z).abs() / pixels,
            "kl_c": c.gamma_c * (kl_c - capacity_c).abs() / pixels,
        }

    def capacities(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """C_z(t) and C_c(t), in nats."""
        c = self.config
        most = sum(math.log(k) for k in c.discrete)
        capacity_c = method.linear(step, 0.0, c.capacity_c, c.capacity_steps)
        return method.linear(step, 0.0, c.capacity_z, c.capacity_steps), capacity_c.clamp(max=most)

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar, log_alpha = self.posterior(x)
        capacity_z, capacity_c = self.capacities(step)
        return {
            "kl_per_latent": vae.gaussian_kl(mu, logvar).mean(0),  # (D,)
            "kl_per_discrete": torch.stack([categorical_kl(a).mean() for a in log_alpha]),
            "active_units": vae.active_units(mu),
            "capacity_z": capacity_z,
            "capacity_c": capacity_c,
        }

    def represent(self, images: Tensor) -> Tensor:
        mu, _, log_alpha = self.posterior(images)
        return torch.cat([mu, *category_codes(log_alpha, self.config.category_code)], dim=1)

    def gaussians(self, images: Tensor) -> tuple[Tensor, Tensor]:
        _, logvar, _ = self.posterior(images)
        codes = self.represent(images)
        categories = codes.new_full((len(codes), codes.shape[1] - logvar.shape[1]), math.nan)
        return codes, torch.cat([logvar, categories], dim=1)

    def generate(self, latents: Tensor) -> Tensor:
        logits: Tensor = self.decoder(latents)
        return logits.sigmoid()

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        # from the prior, whose categories are hard
        c = self.config
        hard = [one_hot(g) for g in torch.split(noise["gumbel"], list(c.discrete), dim=1)]
        latents = torch.cat([noise["eps"], *hard], 1)
        return latents, method.code_columns(0, [*[1] * c.codes, *c.discrete])

    def latents(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """mu (B, D), and the most likely category of each discrete latent as one-hot rows (B, K_i)."""
        mu, _, log_alpha = self.posterior(images)
        return mu, [one_hot(a) for a in log_alpha]

    def reconstruct(self, images: Tensor) -> Tensor:
        mu, hard = self.latents(images)
        return self.generate(torch.cat([mu, *hard], 1))

    def traverse(
        self, image: Tensor, noise: Noise, steps: int, ends: tuple[float, float] | None = None
    ) -> tuple[list[str], Tensor]:
        c = self.config
        mu, hard = self.latents(image)
        start = torch.cat([mu, *hard], 1)
        rows = [method.traversal_rows(start, range(c.codes), *(ends or self.span()), steps)]
        for i, k in enumerate(c.discrete):
            shown = torch.arange(steps, device=image.device) * k // steps
            rows.append(torch.cat([mu.expand(steps, -1), one_hot_rows(hard, i)[shown, 0]], 1))
        labels = [
            *(f"{self.TRAVERSED}{j}" for j in range(c.codes)),
            *(f"{self.CATEGORICAL}{i}" for i in range(len(c.discrete))),
        ]
        return labels, self.generate(torch.cat(rows)).reshape(len(labels), steps, *self.data.shape)

    def class_prior(self) -> Tensor | None:
        return uniform_prior(self.config.discrete, next(self.parameters()))

    def categories(self, noise: Noise) -> tuple[list[str], Tensor]:
        """Samples of the prior with one category held fixed per row: labels and (rows, B, c, h, w)."""
        c = self.config
        blocks = [one_hot(g) for g in torch.split(noise["gumbel"], list(c.discrete), dim=1)]
        held = torch.cat([one_hot_rows(blocks, i) for i in range(len(blocks))])  # (rows, B, sum K)
        latents = torch.cat([noise["eps"].expand(len(held), -1, -1), held], 2)
        labels = [f"{self.CATEGORICAL}{i} = {j}" for i, k in enumerate(c.discrete) for j in range(k)]
        return labels, self.generate(latents.flatten(0, 1)).reshape(*latents.shape[:2], *self.data.shape)


METHOD = JointVAE
