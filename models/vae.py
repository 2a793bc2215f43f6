"""VAE: Kingma & Welling, ICLR 2014, arXiv:1312.6114.

Minimises, per image (eq. 3 with its sign flipped, eq. 10 for the KL):

    L = -E_q[log p(x|z)] + KL(q(z|x) || N(0, I))
    KL = 1/2 sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1)

    paper           here          shape        meaning
    x               x             (B,C,H,W)    image, in [0, 1]
    q(z|x)          mu, logvar    (B, D)       mean and log-variance of the encoder's Gaussian
    z               z             (B, D)       mu + sigma eps
    p(x|z)          logits        (B,C,H,W)    Bernoulli mean of each pixel before the sigmoid

Pixels and latents are summed and images averaged; a mean over pixels would change the meaning of every weight
of the KL.

Deviations: networks and optimiser are those that Kim & Mnih 2018 (arXiv:1802.05983) used for VAEs on
dSprites; the paper itself has neither convolutions nor dSprites. "dlib" is the setting of disentanglement_lib
(Locatello et al. 2019, arXiv:1811.12359), initial weights included, here and in the other VAEs. "mini" is
ours in all of them: smaller nets for 32x32 images, fewer steps, and a rate of 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from disbench.errors import UsageError
from disbench.models import method
from disbench.models.method import DataInfo, Method, Noise, Terms, Update
from disbench.models.nets import vae_nets
from disbench.models.optimizer import Optimizer
from disbench.ranges import Batch, Count, Positive

Nets = Literal["conv", "burgess", "dlib", "jointvae", "jointvae32", "mini", "mlp"]


@dataclass(frozen=True)
class Config(method.Config):
    steps: Count = 300_000  # Locatello et al. 2019, disentanglement_lib
    batch: Batch = 64  # Kim & Mnih 2018
    codes: Count = 10  # D, number of latents; dSprites, Higgins et al. 2017
    nets: Nets = "conv"  # Kim & Mnih 2018; see `nets.vae_nets`
    optimizer: Literal["adam", "adagrad"] = "adam"  # Higgins et al. 2017 used Adagrad
    lr: Positive = 1e-4  # Kim & Mnih 2018


# ours: 32x32 images, one core
MINI: dict[str, Any] = {"steps": 7_500, "nets": "mini", "lr": 1e-3}

LOG_2_PI = 1.8378770664093453


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of each latent of each image, (B, D), in nats."""
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1.0)


def log_normal(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log N(z; mu, exp(logvar)), elementwise, in nats."""
    return -0.5 * ((z - mu).square() * (-logvar).exp() + logvar + LOG_2_PI)


def active_units(mu: Tensor) -> Tensor:
    """Number of latents with Var_x(E[z|x]) > 0.01 (Burda et al. 2016, arXiv:1509.00519, section 5.2)."""
    return (mu.var(0) > 0.01).sum().to(mu.dtype)


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x|z), summed over pixels and averaged over images: a scalar, in nats."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


class VAE(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "dlib": Config(nets="dlib"),
        "mini": Config(**MINI),
    }

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        self.encoder, self.decoder = vae_nets(config.nets, data.shape, config.codes, 2 * config.codes)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        return {"eps": torch.randn(batch, self.config.codes, generator=generator, device=generator.device)}

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        return (Update("loss", ("encoder", "decoder"), Optimizer(c.optimizer, {"lr": c.lr})),)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), (B, D) each."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar = self.posterior(x)
        z = mu + (0.5 * logvar).exp() * noise["eps"]
        # first, since the order of the graph decides in which order gradients are added
        reconstruction = bernoulli_nll(self.decoder(z), x)
        penalty = self.penalty(z, mu, logvar, step)
        if not isinstance(penalty, dict) or "reconstruction" in penalty:
            raise UsageError(
                f"the penalty of {type(self).__name__} must be a dict of terms, of which none is called "
                '"reconstruction": that term is there already.'
            )
        return {"reconstruction": reconstruction, **penalty}

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        """The terms besides the reconstruction; the methods of this family differ in them.

        Args:
            z: a sample of q(z|x), (B, D).
            mu: its mean, (B, D).
            logvar: its log-variance, (B, D).
            step: number of the training step, ().
        """
        return {"kl": gaussian_kl(mu, logvar).sum(1).mean()}

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar = self.posterior(x)
        kl = gaussian_kl(mu, logvar).mean(0)  # (D,)
        return {"kl_per_latent": kl, "active_units": active_units(mu)}

    def represent(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def gaussians(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.posterior(images)

    def generate(self, latents: Tensor) -> Tensor:
        logits: Tensor = self.decoder(latents)
        return logits.sigmoid()

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        # from the prior, N(0, I)
        return noise["eps"], method.code_columns(0, [1] * self.config.codes)

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.generate(self.represent(images))


METHOD = VAE
