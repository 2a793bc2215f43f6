"""InfoGAN: Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel, NeurIPS 2016, arXiv:1606.03657.

    min_{G,Q} max_D  E_x[log D(x)] + E_{z,c}[log(1 - D(G(z,c)))] - lambda L_I(G, Q)       (eq. 6)
    L_I(G, Q) = E_{c, x~G(z,c)}[log Q(c|x)] + H(c)  <=  I(c; G(z,c))                       (eq. 5)

    paper         here             shape       meaning
    z             noise["z"]       (B, n)      incompressible noise
    c, real       noise["c"]       (B, D)      code in [-1, 1] or N(0, 1); Q(c|x) = N(c_hat, I)
    c, category   noise["k"]       (B, sum K)  one-hot codes side by side; Q(c|x) a softmax: a cross-entropy
    D, Q          d, q on trunk                share all but the last layers (section 6)

Three set-ups carry this name, and a result must say which:
"paper" (= "modified"): the well-tuned one of InfoGAN-CR (Lin et al., ICML 2020) on dSprites: spectral norm, 5
uniform
    codes + 5 of noise, lambda 0.05. The paper itself has no dSprites experiment.
"mnist": the paper's own: 62 of noise, one category of 10, two uniform codes, lambda 1.
"limit": IB-GAN without its bottleneck (beta = 0): IB-GAN's separate D and Q and its optimiser, no noise z.

Deviations: the generator maximises log D(G) (non-saturating), as the authors' code does. Q learns with D's
optimiser, the trunk included, as there ("limit": with G's, as in IB-GAN). "mini" is "modified" in small, for
32x32 images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disbench.models import gan, method, nets
from disbench.models.gan import code_error, fake_term, instance_noise, noisy, real_term
from disbench.models.method import DataInfo, Method, Noise, Terms, Update


@dataclass(frozen=True)
class Config(method.Config):
    steps: int = 288_000  # 25 epochs of dSprites; this and all below: InfoGAN-CR's code, "InfoGAN (modified)"
    nets: str = "modified"  # "modified", "mnist" or "ibgan"
    channels: tuple[int, ...] = (32, 32, 64, 64)  # of the trunk; the generator has them reversed
    noise: int = 5  # size of z
    continuous: int = 5  # number of real codes
    categorical: tuple[int, ...] = ()  # number of categories of each categorical code
    prior: str = "uniform"  # of z and of real codes: "uniform" on [-1, 1] or "normal"
    lam: float = 0.05  # weight of L_I of the real codes
    lam_categorical: float = 1.0  # weight of L_I of the categorical codes
    inform_generator: bool = True  # False: Q learns but G does not, the "GAN with Q" of the paper's figure 1
    optimizer: str = "adam"
    lr_g: float = 1e-3
    lr_d: float = 2e-3
    q_optimizer: str = "d"  # whose optimiser trains Q: "d" or "g"
    noise_start: float = 0.0  # instance noise, only in IB-GAN's limit
    noise_end: float = 0.0
    noise_steps: int = 0
    width: int = 16  # of IB-GAN's nets
    base: int = 8  # of IB-GAN's nets


MNIST = Config(
    # the authors' code: 100 updates x 50 epochs, batch 128
    steps=5_000,
    batch=128,
    nets="mnist",
    noise=62,
    continuous=2,
    categorical=(10,),
    lam=1.0,
    lr_g=1e-3,
    lr_d=2e-4,
)
LIMIT = Config(
    steps=150_000,
    nets="ibgan",
    noise=0,
    continuous=10,
    prior="normal",
    lam=1.0,
    optimizer="rmsprop",
    lr_g=5e-5,
    lr_d=1e-6,
    q_optimizer="g",
    noise_start=1.0,
    noise_steps=100_000,
)


class InfoGAN(Method):
    CONFIGS: ClassVar[Mapping[str, Any]] = {
        "paper": Config(),
        "mnist": MNIST,
        "limit": LIMIT,
        "mini": Config(steps=7_500, channels=(16, 16, 32)),
    }
    TRAVERSAL: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        c = config
        inputs = c.noise + c.continuous + sum(c.categorical)
        outputs = c.continuous + sum(c.categorical)
        if c.nets == "modified":
            self.g = nets.infogan_generator(data.shape, inputs, c.channels[::-1])
            self.trunk: nn.Module = nets.infogan_trunk(data.shape, c.channels)
            self.d: nn.Module = nets.Spectral(nn.Linear(128, 1))
            self.q: nn.Module = nn.Sequential(
                nets.Spectral(nn.Linear(128, 128)),
                nn.LeakyReLU(nets.LEAK),
                nets.Spectral(nn.Linear(128, outputs)),
            )
        elif c.nets == "mnist":
            self.g = nets.mnist_generator(data.shape, inputs)
            self.trunk = nets.mnist_trunk(data.shape)
            self.d = nn.Linear(1024, 1)
            self.q = nets.mnist_q_head(1024, outputs)
        else:
            self.g = nets.ibgan_generator(data.shape, inputs, c.width, c.base)
            self.trunk = nn.Identity()
            self.d = nets.ibgan_head(data.shape, 1, c.width, c.base)
            self.q = nets.ibgan_head(data.shape, outputs, c.width, c.base, hidden=True)
        nets.initialise(self, "dcgan")

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        c, device = self.config, generator.device
        normal = torch.empty(batch, c.noise + c.continuous, device=device)
        z = (
            normal.normal_(generator=generator)
            if c.prior == "normal"
            else normal.uniform_(-1, 1, generator=generator)
        )
        drawn = {"z": z[:, : c.noise], "c": z[:, c.noise :]}
        if c.categorical:
            classes = [torch.randint(k, (batch,), generator=generator, device=device) for k in c.categorical]
            drawn["k"] = torch.cat(
                [F.one_hot(i, k) for i, k in zip(classes, c.categorical, strict=True)], 1
            ).float()
        if c.noise_steps:
            drawn |= instance_noise(batch, self.data.shape, generator)
        return drawn

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        q_with_d = c.q_optimizer == "d"
        return (
            Update(
                "discriminator_loss",
                ("trunk", "d", "q") if q_with_d else ("trunk", "d"),
                gan.optimizer(c, c.lr_d),
            ),
            Update("generator_loss", ("g",) if q_with_d else ("g", "q"), gan.optimizer(c, c.lr_g)),
        )

    def sample(self, noise: Noise, step: Tensor) -> Tensor:
        """G(z, c) in the range that D sees, under instance noise where there is any."""
        parts = [noise["z"], noise["c"], *([noise["k"]] if "k" in noise else [])]
        fake = self.paint(torch.cat(parts, dim=1))
        return noisy(self.config, fake, noise["fake"], step) if "fake" in noise else fake

    def paint(self, latents: Tensor) -> Tensor:
        out: Tensor = self.g(latents)  # IB-GAN's generator ends in tanh, the others before their sigmoid
        return out if self.config.nets == "ibgan" else out.sigmoid()

    def real(self, x: Tensor, noise: Noise, step: Tensor) -> Tensor:
        scaled = 2 * x - 1 if self.config.nets == "ibgan" else x
        return noisy(self.config, scaled, noise["real"], step) if "real" in noise else scaled

    def info(self, h: Tensor, noise: Noise) -> Terms:
        """-lambda E[log Q(c|x)], without constants, of the real and of the categorical codes."""
        c, terms = self.config, {}
        out = self.q(h)
        if c.continuous:
            terms["info"] = c.lam * code_error(out[:, : c.continuous], noise["c"])
        if c.categorical:
            terms["info_categorical"] = c.lam_categorical * self.cross_entropies(out, noise).sum()
        return terms

    def cross_entropies(self, out: Tensor, noise: Noise) -> Tensor:
        """-E[log Q(c|x)] of each categorical code, nats."""
        k = self.config.categorical
        logits = out[:, self.config.continuous :].split(k, dim=1)
        return torch.stack(
            [
                -(a * b.log_softmax(1)).sum(1).mean()
                for a, b in zip(noise["k"].split(k, 1), logits, strict=True)
            ]
        )

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        h = self.trunk(self.sample(noise, step).detach())
        terms = {
            "real": real_term(self.d(self.trunk(self.real(x, noise, step)))),
            "fake": fake_term(self.d(h)),
        }
        return {**terms, **(self.info(h, noise) if self.config.q_optimizer == "d" else {})}

    def generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        h = self.trunk(self.sample(noise, step))
        terms = {"fool": real_term(self.d(h))}
        return {**terms, **(self.info(h, noise) if self.config.inform_generator else {})}

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        """The bound L_I of each code, in nats, constants included; it cannot pass H(c), given beside it."""
        c, shown = self.config, {}
        out = self.q(self.trunk(self.sample(noise, step)))
        if c.continuous:
            entropy = math.log(2.0) if c.prior == "uniform" else 0.5 * math.log(2 * math.pi * math.e)
            error = 0.5 * (out[:, : c.continuous] - noise["c"]).square().mean(0)  # (D,)
            shown["L_I_continuous"] = entropy - error - 0.5 * math.log(2 * math.pi)
        if c.categorical:
            entropies = torch.log(torch.tensor(c.categorical, device=out.device))
            shown["H_categorical"] = entropies
            shown["L_I_categorical"] = entropies - self.cross_entropies(out, noise)
        return shown

    def represent(self, images: Tensor) -> Tensor:
        c = self.config
        scaled = 2 * images - 1 if c.nets == "ibgan" else images
        out = self.q(self.trunk(scaled))
        classes = (
            [b.argmax(1, keepdim=True).float() for b in out[:, c.continuous :].split(c.categorical, dim=1)]
            if c.categorical
            else []
        )
        return torch.cat(
            [out[:, : c.continuous], *classes], dim=1
        )  # means of Q(c|x), then most likely categories

    def generate(self, latents: Tensor) -> Tensor:
        out = self.paint(latents)
        return (out + 1) / 2 if self.config.nets == "ibgan" else out

    def traverse(self, image: Tensor, noise: Noise, steps: int) -> tuple[list[str], Tensor]:
        c = self.config
        codes = self.represent(image)
        one_hots = [
            F.one_hot(i.long(), k).float()
            for i, k in zip(codes[:, c.continuous :].T, c.categorical, strict=True)
        ]
        start = torch.cat([noise["z"], codes[:, : c.continuous].clamp(*self.TRAVERSAL), *one_hots], dim=1)
        low, high = self.TRAVERSAL if c.prior == "uniform" else Method.TRAVERSAL
        columns = range(c.noise, c.noise + c.continuous)
        rows = [method.traversal_rows(start, columns, low, high, steps)]
        labels = [f"c{j}" for j in range(c.continuous)]
        at = c.noise + c.continuous
        for i, k in enumerate(c.categorical):
            row = start.repeat(steps, 1)
            row[:, at : at + k] = F.one_hot(torch.arange(steps, device=row.device) * k // steps, k).float()
            rows.append(row)
            labels.append(f"category {i}")
            at += k
        return labels, self.generate(torch.cat(rows)).unflatten(0, (len(labels), steps))


METHOD = InfoGAN
