"""InfoGAN: Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel, NeurIPS 2016, arXiv:1606.03657.

    min_{G,Q} max_D  E_x[log D(x)] + E_{z,c}[log(1 - D(G(z,c)))] - lambda L_I(G, Q)       (eq. 6)
    L_I(G, Q) = E_{c, x~G(z,c)}[log Q(c|x)] + H(c)  <=  I(c; G(z,c))                       (eq. 5)

    paper         here             shape       meaning
    z             noise["z"]       (B, N)      incompressible noise
    c, real       noise["c"]       (B, D)      code in [-1, 1] or N(0, 1); Q(c|x) = N(c_hat, I)
    c, category   noise["k"]       (B, sum K)  one-hot codes side by side; Q(c|x) a softmax: a cross-entropy
    D, Q          d, q on trunk                share all but the last layers (section 6)

Three settings go by this name, and a result must say which one it used:

"paper"    the well-tuned "InfoGAN (modified)" of InfoGAN-CR (Lin et al., ICML 2020) on dSprites: spectral
           norm, 5 uniform codes and 5 of noise, lambda 0.05. The paper itself has no dSprites experiment.
"mnist"    the paper's own: 62 of noise, one category of 10, two uniform codes, lambda 1.
"limit"    IB-GAN without its bottleneck (beta = 0): its separate D and Q and its optimiser, no noise z.

The paper's other experiments have its codes and layers, as several ports of its appendix agree on them, while
the authors' code has none of them; "faces" has the nets of "mnist", on 32x32 images:

    config     z     categories   real codes   lambda (real)   rate of G   images
    "svhn"     124   4 of 10      4            1               1e-3        32x32 in colour
    "celeba"   128   10 of 10     -            -               1e-3        32x32 in colour
    "faces"    128   -            5            0.2             5e-4        32x32 grey
    "chairs"   128   3 of 20      1            10              1e-3        64x64 grey

The variant "auxiliary_q" is the plain GAN of the paper's figure 1: Q learns to read the code, but G does not
learn from Q.

Deviations: as in the authors' code, the generator maximises log D(G) (non-saturating), and D's optimiser also
trains Q and the trunk ("limit": G's optimiser trains Q, as in IB-GAN). As in the code of InfoGAN-CR, "paper"
takes two steps of G per step of D on the same noise, and one power iteration of the spectral norm per
training step; here it comes before D's step instead of after G's, which differs in the first step alone, and
its u and v get no gradient. Likelihoods are computed from logits; their code adds 1e-8 within its logarithms.
"mini" is a small version of "paper". "mini_mnist" has the same nets with the codes of "mnist": narrow
versions of the nets of "mnist" generated near-grey images; batch norm hides low contrast from D. The code of
"mnist" keeps no running statistics, its batch norms always use those of their batch; here codes are read with
running ones. The nets for SVHN, CelebA and chairs end in a sigmoid as that of "mnist" does, not in a tanh;
their steps are those of "mnist", since no port agrees with another on them; and weights of real codes on
SVHN, and the rates of G but for faces, are those of "mnist" or of one port alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from disbench.models import gan, layers, method, nets
from disbench.models.categorical import (
    CategoryCode,
    category_codes,
    gumbel_noise,
    one_hot,
    one_hot_rows,
    uniform_prior,
)
from disbench.models.gan import code_error, confidence, fake_term, instance_noise, noisy, real_term
from disbench.models.method import DataInfo, Method, Noise, Terms, Update
from disbench.ranges import Categories, Count, CountOrNone, NotNegative, Positive


@dataclass(frozen=True)
class Config(method.Config):
    steps: Count = 288_000  # 25 epochs of dSprites; this and all below: "InfoGAN (modified)" of InfoGAN-CR
    nets: Literal["modified", "mnist", "svhn", "chairs", "ibgan"] = "modified"
    channels: tuple[Count, ...] = (32, 32, 64, 64)  # of the trunk; the generator has them reversed
    noise: CountOrNone = 5  # N, size of z
    continuous: CountOrNone = 5  # D, number of real codes
    categorical: tuple[Categories, ...] = ()  # K, number of categories, of each categorical code
    prior: Literal["uniform", "normal"] = "uniform"  # of z and of real codes: U(-1, 1) or N(0, 1)
    lam: NotNegative = 0.05  # weight of L_I of the real codes
    lam_categorical: NotNegative = 1.0  # weight of L_I of the categorical codes
    inform_generator: bool = True  # False: L_I is maximised over Q alone
    optimizer: Literal["adam", "rmsprop"] = "adam"
    lr_g: Positive = 1e-3
    lr_d: Positive = 2e-3
    init_std: Positive = 0.02  # of the initial weights
    q_optimizer: Literal["d", "g"] = "d"  # whose optimiser trains Q
    g_steps: Count = 2  # steps of G per step of D
    fresh: bool = False  # True: G's steps have noise of their own
    noise_start: NotNegative = 0.0  # instance noise, only in IB-GAN's limit
    noise_end: NotNegative = 0.0
    noise_steps: CountOrNone = 0
    width: Count = 16  # of the nets "ibgan"
    base: Count = 8  # side of the first feature map of the nets "ibgan"
    category_code: CategoryCode = "argmax"  # in `represent`

    def check(self) -> str | None:
        """At least one code; at least one of `channels`; `noise_steps` above 0 if there is instance noise."""
        if not self.continuous and not self.categorical:
            return "continuous is 0 and categorical is empty; give at least one code."
        if not self.channels:
            return "channels is empty; give at least one number."
        if (self.noise_start or self.noise_end) and not self.noise_steps:
            return "noise_steps is 0, so there would be no instance noise; give at least 1."
        return None

    def category_columns(self) -> int:
        return len(self.categorical) if self.category_code == "argmax" else 0


# the authors' code: 100 updates x 50 epochs, batch 128
MNIST = Config(
    steps=5_000,
    batch=128,
    nets="mnist",
    noise=62,
    continuous=2,
    categorical=(10,),
    lam=1.0,
    lr_g=1e-3,
    lr_d=2e-4,
    g_steps=1,
    fresh=True,
)
MNIST_LEAK = 0.01  # slope of its leaky ReLUs
MNIST_GAIN_STD = 0.02  # its batch norms begin with gains N(1, 0.02)

FACES = replace(MNIST, batch=64, noise=128, continuous=5, categorical=(), lam=0.2, lr_g=5e-4)
SVHN = replace(MNIST, nets="svhn", noise=124, continuous=4, categorical=(10,) * 4)
CELEBA = replace(SVHN, noise=128, continuous=0, categorical=(10,) * 10)
CHAIRS = replace(MNIST, nets="chairs", noise=128, continuous=1, categorical=(20,) * 3, lam=10.0)
OWN_LEAK = 0.1  # slope of the leaky ReLUs in the paper, where there is no code

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
    g_steps=1,
    noise_start=1.0,
    noise_steps=100_000,
)


class InfoGAN(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "mnist": MNIST,
        "svhn": SVHN,
        "celeba": CELEBA,
        "faces": FACES,
        "chairs": CHAIRS,
        "limit": LIMIT,
        "mini": Config(steps=4_500, channels=(16, 16, 32), init_std=0.05),
        "mini_mnist": replace(
            MNIST, steps=3_000, batch=64, nets="modified", channels=(16, 32), lr_d=2e-3, init_std=0.05
        ),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "infogan": {},
        "auxiliary_q": {"inform_generator": False},
    }
    TRAVERSAL: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    TRAVERSED: ClassVar[str] = "c"

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        c = config
        codes = c.continuous + sum(c.categorical)
        latents = c.noise + codes
        if c.nets == "modified":
            self.g = nets.infogan_generator(data.shape, latents, c.channels[::-1])
            self.trunk: nn.Module = nets.infogan_trunk(data.shape, c.channels)
            self.d: nn.Module = nets.spectral(nn.Linear(128, 1))
            self.q: nn.Module = nets.infogan_q_head(codes)
        elif c.nets == "mnist":
            self.g = nets.mnist_generator(data.shape, latents)
            self.trunk = nets.mnist_trunk(data.shape, leak=MNIST_LEAK)
            self.d = nn.Linear(1024, 1)
            self.q = nets.mnist_q_head(1024, codes, leak=MNIST_LEAK)
        elif c.nets == "svhn":
            self.g = nets.svhn_generator(data.shape, latents)
            self.trunk = nets.svhn_trunk(data.shape, OWN_LEAK)
            features = 256 * (data.shape[1] // 8) ** 2
            self.d = nn.Linear(features, 1)
            self.q = nets.mnist_q_head(features, codes, leak=OWN_LEAK)
        elif c.nets == "chairs":
            self.g = nets.chairs_generator(data.shape, latents)
            self.trunk = nets.chairs_trunk(data.shape, OWN_LEAK)
            self.d = nn.Linear(1024, 1)
            self.q = nets.mnist_q_head(1024, codes, leak=OWN_LEAK)
        else:
            self.g = nets.ibgan_generator(data.shape, latents, c.width, c.base)
            self.trunk = nn.Identity()
            self.d = nets.ibgan_head(data.shape, 1, c.width, c.base)
            self.q = nets.ibgan_head(data.shape, codes, c.width, c.base, hidden=True)
        layers.initialise(
            self,
            std=c.init_std,
            gain_std=MNIST_GAIN_STD if c.nets == "mnist" else 0.0,
            truncated=c.nets != "ibgan",
        )

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        drawn = self.latents(batch, generator)
        if self.config.noise_steps:
            drawn |= instance_noise(batch, self.data.shape, generator)
        if self.config.fresh:
            drawn |= {f"{name} of G": value for name, value in self.latents(batch, generator).items()}
        return drawn

    def latents(self, batch: int, generator: torch.Generator) -> Noise:
        """z and the codes of a batch, by the names of the symbol table."""
        c = self.config
        z_and_c = torch.empty(batch, c.noise + c.continuous, device=generator.device)
        if c.prior == "normal":
            z_and_c.normal_(generator=generator)
        else:
            z_and_c.uniform_(-1, 1, generator=generator)
        drawn = {"z": z_and_c[:, : c.noise], "c": z_and_c[:, c.noise :]}
        if c.categorical:
            gumbel = gumbel_noise(batch, sum(c.categorical), generator=generator)
            drawn["k"] = torch.cat([one_hot(block) for block in self.blocks(gumbel)], 1)
        return drawn

    def blocks(self, categories: Tensor) -> list[Tensor]:
        """The columns (B, sum K) of each categorical code, (B, K) each."""
        return list(torch.split(categories, list(self.config.categorical), dim=1))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        q_with_d = c.q_optimizer == "d"
        return (
            Update(
                "discriminator_loss",
                ("trunk", "d", "q") if q_with_d else ("trunk", "d"),
                gan.optimizer(c.optimizer, c.lr_d),
            ),
            Update(
                "generator_loss",
                ("g",) if q_with_d else ("g", "q"),
                gan.optimizer(c.optimizer, c.lr_g),
                times=c.g_steps,
            ),
        )

    def sample(self, noise: Noise, step: Tensor) -> Tensor:
        """G(z, c) in the range that D sees, under instance noise where there is any."""
        fake = self.paint(self.sample_latents(noise)[0])
        return noisy(self.config, fake, noise["fake"], step) if "fake" in noise else fake

    def paint(self, latents: Tensor) -> Tensor:
        """G(z, c) in the range of the nets, (B,C,H,W)."""
        # IB-GAN's generator ends in tanh, the others before their sigmoid
        out: Tensor = self.g(latents)
        return out if self.config.nets == "ibgan" else out.sigmoid()

    def to_net_range(self, images: Tensor) -> Tensor:
        """Images from [0, 1] to [-1, 1] for IB-GAN's nets; the others take them in [0, 1]."""
        return 2 * images - 1 if self.config.nets == "ibgan" else images

    def from_net_range(self, images: Tensor) -> Tensor:
        """Back to [0, 1]."""
        return (images + 1) / 2 if self.config.nets == "ibgan" else images

    def real(self, x: Tensor, noise: Noise, step: Tensor) -> Tensor:
        """The images of the data as D sees them, (B,C,H,W)."""
        scaled = self.to_net_range(x)
        return noisy(self.config, scaled, noise["real"], step) if "real" in noise else scaled

    def info(self, h: Tensor, noise: Noise) -> Terms:
        """-lambda E[log Q(c|x)], without constants, of the real and of the categorical codes.

        Args:
            h: features of generated images, the output of the trunk.
            noise: the codes that these images were generated from.
        """
        c, terms = self.config, {}
        out = self.q(h)
        if c.continuous:
            terms["info"] = c.lam * code_error(out[:, : c.continuous], noise["c"])
        if c.categorical:
            terms["info_categorical"] = c.lam_categorical * self.cross_entropies(out, noise).sum()
        return terms

    def cross_entropies(self, out: Tensor, noise: Noise) -> Tensor:
        """-E[log Q(c|x)] of each categorical code, (number of codes,), in nats."""
        given, read = self.blocks(noise["k"]), self.blocks(out[:, self.config.continuous :])
        return torch.stack(
            [-(c * logits.log_softmax(1)).sum(1).mean() for c, logits in zip(given, read, strict=True)]
        )

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        layers.power_iteration(self.trunk, self.d, self.q)
        h_real = self.trunk(self.real(x, noise, step))
        h = self.trunk(self.sample(noise, step).detach())
        terms = {"real": real_term(self.d(h_real)), "fake": fake_term(self.d(h))}
        return {**terms, **(self.info(h, noise) if self.config.q_optimizer == "d" else {})}

    def generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        c = self.config
        if c.fresh:
            noise = {name: noise.get(f"{name} of G", value) for name, value in noise.items()}
        fake = self.sample(noise, step)
        h = self.trunk(fake)
        terms = {"fool": real_term(self.d(h))}
        if c.inform_generator:
            terms |= self.info(h, noise)
        elif c.q_optimizer == "g":
            terms |= self.info(self.trunk(fake.detach()), noise)
        if c.nets == "ibgan":
            gan.show(nn.Sequential(self.trunk, self.q), self.real(x, noise, step))
        return terms

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        """The bound L_I of each code, in nats with its constants, and H(c), its upper limit.

        As Q has variance 1, the bound of a uniform code stays below log 2 - log(2 pi) / 2 = -0.23.
        """
        c = self.config
        h = self.trunk(self.sample(noise, step))
        shown = confidence(self.d(self.trunk(self.real(x, noise, step))), self.d(h))
        out = self.q(h)
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
        """Means of Q(c|x), then the categorical codes."""
        c = self.config
        out = self.q(self.trunk(self.to_net_range(images)))
        categories = category_codes(self.blocks(out[:, c.continuous :]), c.category_code)
        return torch.cat([out[:, : c.continuous], *categories], dim=1)

    def generate(self, latents: Tensor) -> Tensor:
        return self.from_net_range(self.paint(latents))

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        c = self.config
        parts = [noise["z"], noise["c"], *([noise["k"]] if "k" in noise else [])]
        return torch.cat(parts, 1), method.code_columns(c.noise, [*[1] * c.continuous, *c.categorical])

    def span(self) -> tuple[float, float]:
        return self.TRAVERSAL if self.config.prior == "uniform" else Method.TRAVERSAL

    def traverse(
        self, image: Tensor, noise: Noise, steps: int, ends: tuple[float, float] | None = None
    ) -> tuple[list[str], Tensor]:
        c = self.config
        low, high = self.span()
        out = self.q(self.trunk(self.to_net_range(image)))
        hard = [one_hot(logits) for logits in self.blocks(out[:, c.continuous :])]
        z_and_c = torch.cat([noise["z"], out[:, : c.continuous].clamp(low, high)], 1)
        columns = range(c.noise, c.noise + c.continuous)
        rows = [method.traversal_rows(torch.cat([z_and_c, *hard], 1), columns, *(ends or (low, high)), steps)]
        for i, k in enumerate(c.categorical):
            shown = torch.arange(steps, device=image.device) * k // steps
            rows.append(torch.cat([z_and_c.expand(steps, -1), one_hot_rows(hard, i)[shown, 0]], 1))
        labels = [
            *(f"{self.TRAVERSED}{j}" for j in range(c.continuous)),
            *(f"{self.CATEGORICAL}{i}" for i in range(len(c.categorical))),
        ]
        return labels, self.generate(torch.cat(rows)).reshape(len(labels), steps, *self.data.shape)

    def class_prior(self) -> Tensor | None:
        return uniform_prior(self.config.categorical, next(self.parameters()))

    def categories(self, noise: Noise) -> tuple[list[str], Tensor] | None:
        """Samples with one category held fixed per row: labels and pictures (rows, B, c, h, w)."""
        c = self.config
        if not c.categorical:
            return None
        blocks = self.blocks(noise["k"])
        held = torch.cat([one_hot_rows(blocks, i) for i in range(len(blocks))])  # (rows, B, sum K)
        z_and_c = torch.cat([noise["z"], noise["c"]], 1).expand(len(held), -1, -1)
        latents = torch.cat([z_and_c, held], 2)
        labels = [f"{self.CATEGORICAL}{i} = {j}" for i, k in enumerate(c.categorical) for j in range(k)]
        return labels, self.generate(latents.flatten(0, 1)).reshape(*latents.shape[:2], *self.data.shape)


METHOD = InfoGAN
