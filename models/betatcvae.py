"""beta-TCVAE: Chen, Li, Grosse & Duvenaud, NeurIPS 2018, arXiv:1802.04942.

Minimises, per image (eq. 4 with its sign flipped; eq. 2 splits the KL of the ELBO in three):

    L = -E_q[log p(x|z)] + alpha I(z;n) + beta TC(z) + gamma sum_j KL(q(z_j) || p(z_j))

With alpha = beta = gamma = 1 this is the VAE. The variants are the six values of beta that Locatello et al.
2019 (arXiv:1811.12359) compare, with the settings "dlib".

    paper              here               shape        meaning
    q(z|n)             mu, logvar         (B, D)       posterior of image n
    q(z_d|n)           log_q              (B, B, D)    log density of sample i under image j's posterior
    q(z), q(z_d)       log_qz, log_qzd    (B,), (B,D)  aggregate posterior and its marginals, estimated
    N, M               n, b                            number of images in the data set and in the batch

Deviations: "mss" puts the weight 1/N on the diagonal, where it belongs; the authors' code has it in the first
column (rtqichen/beta-tcvae, issue 1). The default is theirs, "mws". "dlib" has the nets and the optimiser of
disentanglement_lib, which computes the KL in closed form and takes its TC from "mws"; here all three terms
are estimated, as in the paper. "mini" has the convolutional nets, batches of 64 and a smaller beta, since its
images have a quarter of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from disbench.errors import UsageError
from disbench.models import vae
from disbench.models.method import DataInfo, Noise, Terms
from disbench.ranges import Batch, Count, NotNegative, Positive

Estimator = Literal["mws", "mss"]


@dataclass(frozen=True)
class Config(vae.Config):
    steps: Count = 18_000  # 50 epochs of dSprites; this and all below: the authors' code
    batch: Batch = 2048
    nets: vae.Nets = "mlp"
    lr: Positive = 1e-3
    alpha: NotNegative = 1.0  # weight of I(z;n)
    beta: NotNegative = 6.0  # weight of TC(z)
    gamma: NotNegative = 1.0  # weight of the dimension-wise KL
    estimator: Estimator = "mws"  # of q(z): minibatch weighted or minibatch stratified sampling


def log_weights(b: int, n: int, estimator: Estimator, like: Tensor) -> Tensor:
    """log of the weight of q(z_i|n_j) in the estimate of q(z_i) from one batch, (B, B).

    "mws" (section 4.1): 1/(NM) for all; a row sums to 1/N, so log q(z) is low by a constant.
    "mss" (appendix C): 1/N for image i itself and (N-1)/(N(M-1)) for each other image; a row sums to 1, and
    q(z) is unbiased. The paper gives one other image, drawn at random, a different weight; this is the mean
    over that draw.

    Args:
        b: number of images in the batch, M.
        n: number of images in the data set, N.
        estimator: "mws" or "mss".
        like: a tensor of the dtype and device wanted.
    """
    if estimator == "mws":
        return torch.full((b, b), -math.log(b * n), dtype=like.dtype, device=like.device)
    others = math.log((n - 1) / (n * (b - 1)))
    return torch.full((b, b), others, dtype=like.dtype, device=like.device).fill_diagonal_(-math.log(n))


def decompose_kl(
    z: Tensor, mu: Tensor, logvar: Tensor, n: int, estimator: Estimator
) -> tuple[Tensor, Tensor, Tensor]:
    """I(z;n), TC(z) and sum_j KL(q(z_j) || p(z_j)) of eq. 2 from one batch, in nats.

    Args:
        z: a sample of q(z|n) for each image, (B, D).
        mu: means of q(z|n), (B, D).
        logvar: log-variances of q(z|n), (B, D).
        n: number of images in the data set.
        estimator: of q(z).
    """
    log_q = vae.log_normal(z[:, None], mu[None], logvar[None])  # (B, B, D)
    log_w = log_weights(len(z), n, estimator, z)

    log_qzn = vae.log_normal(z, mu, logvar).sum(1)  # (B,)
    log_qz = torch.logsumexp(log_w + log_q.sum(2), dim=1)  # (B,)
    log_qzd = torch.logsumexp(log_w[..., None] + log_q, dim=1)  # (B, D)
    log_pz = vae.log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)  # (B,)

    mi = (log_qzn - log_qz).mean()
    tc = (log_qz - log_qzd.sum(1)).mean()
    dwkl = (log_qzd.sum(1) - log_pz).mean()
    return mi, tc, dwkl


class BetaTCVAE(vae.VAE):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "mss": Config(estimator="mss"),
        "dlib": Config(steps=300_000, batch=64, nets="dlib", lr=1e-4),
        "mini": Config(**vae.MINI, batch=64, beta=3.0),
    }

    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        f"beta{beta}": {"beta": float(beta)} for beta in (1, 2, 4, 6, 8, 10)
    }

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        if data.n < 2:
            raise UsageError(
                f"betatcvae compares each image with the others, and the data have {data.n}; "
                "choose data of at least 2 images."
            )

    def penalty(self, z: Tensor, mu: Tensor, logvar: Tensor, step: Tensor) -> Terms:
        c = self.config
        mi, tc, dwkl = decompose_kl(z, mu, logvar, self.data.n, c.estimator)
        return {"mi": c.alpha * mi, "tc": c.beta * tc, "dwkl": c.gamma * dwkl}

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        mu, logvar = self.posterior(x)
        z = mu + (0.5 * logvar).exp() * noise["eps"]
        # "mss" whatever the loss uses: its weights sum to 1, while "mws" is off by a constant
        mi, tc, dwkl = decompose_kl(z, mu, logvar, self.data.n, "mss")
        return {**super().monitor(x, noise, step), "I_z_n": mi, "tc_estimate": tc, "dimension_wise_kl": dwkl}


METHOD = BetaTCVAE
