"""DIP-VAE: Kumar, Sattigeri & Balakrishnan, ICLR 2018, arXiv:1711.00848.

Minimises, per image (eq. 6 and 7 with their sign flipped):

    L = -E_q[log p(x|z)] + KL(q(z|x) || N(0, I)) + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2
    C = Cov_x[mu(x)]                      DIP-VAE-I
    C = Cov_x[mu(x)] + E_x[Sigma(x)]      DIP-VAE-II: the covariance of z itself

    paper           here          shape      meaning
    q(z|x)          mu, logvar    (B, D)     mean and log-variance of the encoder's Gaussian
    Sigma           exp(logvar)   (B, D)     diagonal of its covariance
    C               c             (D, D)     estimated from one batch, divided by B

With lambda_od = lambda_d = 0 this is the VAE. "paper" is DIP-VAE-II: DIP-VAE-I asks every mean to have
variance 1, that of an unused latent too. The variants are the six strengths of either kind that Locatello et
al. 2019 (arXiv:1811.12359) compare, with the settings "dlib". A change of `kind` or `lambda_od` alone leaves
`lambda_d` as it is.

Deviations: networks and optimiser are those of Kim & Mnih 2018, as for the other VAEs, and the strengths are
from the study of Locatello et al. 2019. "mini" is ours: its images have a quarter of the pixels, so its
strengths are smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from disbench.models import vae
from disbench.models.method import Terms
from disbench.ranges import NotNegative

Kind = Literal["i", "ii"]


@dataclass(frozen=True)
class Config(vae.Config):
    kind: Kind = "ii"  # DIP-VAE-I or DIP-VAE-II
    lambda_od: NotNegative = 10.0  # weight of the entries off C's diagonal; Locatello et al. 2019, as below
    lambda_d: NotNegative = 10.0  # weight of the diagonal: lambda_od for DIP-VAE-II, 10 lambda_od for I


def covariance(mu: Tensor, logvar: Tensor, kind: Kind) -> Tensor:
    """C of a batch, (D, D).

    Args:
        mu: means of q(z|x), (B, D).
        logvar: log-variances of q(z|x), (B, D).
        kind: "i" for the covariance of the means, "ii" for that of the samples.
    """
    centred = mu - mu.mean(0)
    c = centred.T @ centred / len(mu)
    return c + torch.diag(logvar.exp().mean(0)) if kind == "ii" else c


class DIPVAE(vae.VAE):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "dlib": Config(nets="dlib"),
        "mini": Config(**vae.MINI, lambda_od=5.0, lambda_d=5.0),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        f"{kind}-lambda{strength}": {
            "kind": kind,
            "lambda_od": float(strength),
            "lambda_d": float(ratio * strength),
        }
        for kind, ratio in (("i", 10), ("ii", 1))
        for strength in (1, 2, 5, 10, 20, 50)
    }

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        c = covariance(mu, logvar, self.config.kind)
        diagonal = c.diagonal()
        return {
            "kl": vae.gaussian_kl(mu, logvar).sum(1).mean(),
            "off_diagonal": self.config.lambda_od * (c - torch.diag(diagonal)).square().sum(),
            "diagonal": self.config.lambda_d * (diagonal - 1).square().sum(),
        }


METHOD = DIPVAE
