"""beta-VAE: Higgins, Matthey, Pal, Burgess, Glorot, Botvinick, Mohamed & Lerchner, ICLR 2017.

Minimises, per image (eq. 4 with its sign flipped):

    L = -E_q[log p(x|z)] + beta KL(q(z|x) || N(0, I)),    beta >= 1

beta is the multiplier of the constraint KL < epsilon; beta = 1 is the VAE. Symbols as in `vae.py`. The
variants are the six values that Locatello et al. 2019 (arXiv:1811.12359) compare, with the settings "dlib".

Deviations: "paper" uses the convolutional nets and Adam of Kim & Mnih 2018, on which the published dSprites
comparisons rest; the paper's own fully connected nets with Adagrad are the config "higgins2017". "mini" keeps
beta 4 although its images have a quarter of the pixels: a beta of 2 separated the factors less well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from disbench.models import vae
from disbench.models.method import Terms
from disbench.ranges import NotNegative


@dataclass(frozen=True)
class Config(vae.Config):
    beta: NotNegative = 4.0  # dSprites, Higgins et al. 2017


class BetaVAE(vae.VAE):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "higgins2017": Config(nets="mlp", optimizer="adagrad", lr=1e-2),
        "dlib": Config(nets="dlib"),
        "mini": Config(**vae.MINI),
    }

    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        f"beta{beta}": {"beta": float(beta)} for beta in (1, 2, 4, 6, 8, 16)
    }

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        return {"kl": self.config.beta * vae.gaussian_kl(mu, logvar).sum(1).mean()}


METHOD = BetaVAE
