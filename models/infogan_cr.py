"""InfoGAN-CR: Lin, Thekumparampil, Fanti & Oh, "InfoGAN-CR and ModelCentrality: Self-supervised Model
Training and Selection for Disentangling GANs", ICML 2020, arXiv:1906.06034.

InfoGAN with a contrastive regulariser: two images share one of their codes, and another network H must see
which one it is. G helps H, so that what one code changes looks unlike what another changes:

    min_{G,Q,H} max_D  V(D, G) - lambda L_I(G, Q) - alpha L_c(G, H)
    L_c(G, H) = E_{i ~ U{1..D}} E_{(x, x') ~ Q^(i)} [log H_i(x, x')]  <=  0

    paper       here                  shape       meaning
    i           noise["i"]            (B, D)      one-hot: the code that both images of a pair share
    c, c'       noise["pair"]         (B, 2, D)   the codes of a pair; equal in column i
    z           noise["z of pair"]    (B, N)      incompressible noise, the same in both images
    H(x, x')    h                     (B, D)      logits; both images lie side by side as channels
    alpha       alpha                 ()          0 until `begin`

All else is InfoGAN's: see `infogan.py`. `metrics.model_centrality` chooses among trained models.

Deviations: those of InfoGAN's "paper". The equations are those of the authors' code; their numbers in the
paper are not given. H is trained from `begin` on: in the authors' code it is trained from the start, but
nothing learns from it until it is initialised again when alpha rises from 0, so that both are the same. The
authors' code can keep a gap between codes that differ; it is 0 on dSprites, as here, and the decreasing gap
of 3D Teapots is not here. "mini" is ours: the small InfoGAN with a third more steps, which are regularised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from disbench.models import gan, infogan, layers, nets
from disbench.models.infogan import InfoGAN
from disbench.models.method import DataInfo, Noise, Terms, Update
from disbench.ranges import CountOrNone, NotNegative, Positive, Range


@dataclass(frozen=True)
class Config(infogan.Config):
    continuous: Annotated[int, Range(2)] = 5  # D, number of real codes
    alpha: NotNegative = 2.0  # weight of L_c; this and below: the authors' code
    begin: CountOrNone = 288_000  # training step from which on there is L_c: 25 epochs of dSprites
    lr_h: Positive = 2e-3

    def check(self) -> str | None:
        """The nets "modified", and real codes alone: H tells them apart."""
        if self.nets != "modified":
            return f"nets={self.nets} was given, but the regulariser has nets of its own kind; give modified."
        if self.categorical:
            given = ",".join(map(str, self.categorical))
            return f"categorical={given} was given, but the regulariser tells real codes apart; give none."
        return super().check()


class InfoGANCR(InfoGAN):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        # 28 epochs
        "paper": Config(steps=322_560),
        "mini": Config(**vars(replace(InfoGAN.CONFIGS["mini"], steps=6_000)), begin=4_500),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {}

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        self.h = nets.infogan_pair_head(data.shape, config.channels, config.continuous)
        layers.initialise(self.h, std=config.init_std, truncated=True)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        drawn, codes = super().noise(batch, generator), self.config.continuous
        one, other = (self.latents(batch, generator) for _ in range(2))
        shared = torch.rand(batch, codes, generator=generator, device=generator.device).argsort(1) == 0
        second = torch.where(shared, one["c"], other["c"])
        pair = torch.stack([one["c"], second], 1)
        return {**drawn, "i": shared.to(pair.dtype), "pair": pair, "z of pair": one["z"]}

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        d, g = super().updates()
        if not c.alpha:
            return d, g
        h = Update("contrast_loss", ("h",), gan.optimizer(c.optimizer, c.lr_h), begins=c.begin)
        return h, d, replace(g, later=(c.begin, "contrasted_generator_loss"))

    def contrast(self, noise: Noise, learning: bool) -> Tensor:
        """-L_c, the cross-entropy of H on generated pairs: a scalar, nats.

        Args:
            noise: the codes of the pairs.
            learning: whether G learns from it.
        """
        pair = [self.paint(torch.cat([noise["z of pair"], noise["pair"][:, j]], 1)) for j in range(2)]
        images = torch.cat(pair, dim=1)
        log_h: Tensor = self.h(images if learning else images.detach()).log_softmax(1)
        return -(noise["i"] * log_h).sum(1).mean()

    def contrast_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        layers.power_iteration(self.h)
        return {"contrast": self.contrast(noise, learning=False)}

    def contrasted_generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        terms = self.generator_loss(x, noise, step)
        return {**terms, "contrast": self.config.alpha * self.contrast(noise, learning=True)}


METHOD = InfoGANCR
