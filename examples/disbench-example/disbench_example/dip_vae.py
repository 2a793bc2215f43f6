"""DIP-VAE: Kumar, Sattigeri & Balakrishnan, ICLR 2018, arXiv:1711.00848.

Minimises, per image (eq. 6 and 7 with their sign flipped):

    L = -E_q[log p(x|z)] + KL(q(z|x) || N(0, I)) + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2
    C = Cov_x[mu(x)]                      DIP-VAE-I
    C = Cov_x[mu(x)] + E_x[Sigma(x)]      DIP-VAE-II: the covariance of z itself

    paper           here          shape      meaning
    q(z|x)          mu, logvar    (B, D)     mean and log-variance of the encoder's Gaussian
    C               c             (D, D)     estimated from one batch

Deviations: networks and optimiser of Kim & Mnih 2018, as for the other VAEs.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from disbench.models import DataInfo, Method, Noise, Terms, Update, adam, vae
from disbench.models.nets import vae_nets


@dataclass(frozen=True)
class Config(vae.Config):
    kind: Literal["i", "ii"] = "ii"
    lambda_od: float = 10.0  # of the values compared by Locatello et al. 2019
    lambda_d: float = 10.0  # ten times lambda_od for DIP-VAE-I, the same for II: Locatello et al. 2019


def covariance(mu: Tensor, logvar: Tensor, kind: str) -> Tensor:
    """C (D, D) of a batch (B, D)."""
    centred = mu - mu.mean(0)
    c = centred.T @ centred / len(mu)
    return c + torch.diag(logvar.exp().mean(0)) if kind == "ii" else c


class DIPVAE(Method):
    config: Config
    CONFIGS: ClassVar = {"paper": Config(), "mini": Config(**vae.MINI)}

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        self.encoder, self.decoder = vae_nets(config.nets, data.shape, config.codes, 2 * config.codes)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        return {"eps": torch.randn(batch, self.config.codes, generator=generator, device=generator.device)}

    def updates(self) -> tuple[Update, ...]:
        return (Update("loss", ("encoder", "decoder"), adam(self.config.lr)),)

    def loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + (0.5 * logvar).exp() * noise["eps"]
        c = covariance(mu, logvar, self.config.kind)
        diagonal = c.diagonal()
        return {
            "reconstruction": vae.bernoulli_nll(self.decoder(z), x),
            "kl": vae.gaussian_kl(mu, logvar).sum(1).mean(),
            "off_diagonal": self.config.lambda_od * (c.square().sum() - diagonal.square().sum()),
            "diagonal": self.config.lambda_d * (diagonal - 1).square().sum(),
        }

    def represent(self, images: Tensor) -> Tensor:
        return self.encoder(images).chunk(2, dim=1)[0]

    def generate(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).sigmoid()


METHOD = DIPVAE
