"""Elastic-InfoGAN: Ojha, Singh, Hsieh & Lee, "Elastic-InfoGAN: Unsupervised Disentangled Representation
Learning in Class-Imbalanced Data", NeurIPS 2020, arXiv:1910.01112.

InfoGAN with a categorical prior p = softmax(pi) that G's optimiser learns through relaxed samples
c = softmax((log p + g) / tau) (Gumbel-softmax), and with a Q that should be invariant to class-preserving
transformations delta. With L_1(G, Q) = E[log Q(c|x)] + H(c), as first published ("v1") and at NeurIPS ("v2"):

    v1:  min_{G,Q,pi} max_D  V(D, G) - lambda_1 L_1(G, Q) + lambda_2 L_trans(Q) + lambda_3 L_ent(Q)
         L_trans = d(Q(c|x), Q(c|delta(x))),   L_ent = s(Q(c|x)) + s(Q(c|delta(x))),   s: entropy
    v2:  min_{G,Q,pi} max_D  V(D, G) - lambda_1 L_1(G, Q) + lambda_2 NT-Xent(h(x), h(delta(x)))

    paper       here                       shape      meaning
    z, g        noise["z"], ["gumbel"]     (B, N)     N(0, I); Gumbel(0, 1), (B, K)
    pi, p       prior                      (K,)       logits and log-probabilities of the classes
    c           code                       (B, K)     relaxed one-hot; one-hot where the prior is not learned
    delta       view                       (B,C,H,W)  a random transformation of real images
    T           seen                       (B,C,H,W)  `augment`, of all that D sees; not in the paper
    h           features                   (B, 128)   last hidden layer of Q

Q's target is argmax c, which passes no gradient: pi learns only through G's input. The trunk of D and Q
learns from D's loss only. `VARIANTS` are the six rows that the paper compares; v2 has no L_ent, so the last
two are the same.

Deviations: each update runs on current weights. No code of v1 was released: its distance d (here the cosine
distance) and its lambda_3 (here 1) are ours. delta is "official", what the authors' code does: rotation by
whole degrees that crops and enlarges, and zoom; its elastic distortion moves no pixel. "elastic" is ours:
rotation at constant size, zoom, and a distortion that does move pixels. The authors take the checkpoint of
epoch 191 of 200, here it is the last. "mini" is ours: a small v2 whose prior moves faster, since it takes a
thirtieth of the steps.

D learns a small data set by heart: on 777 digits it rates those at .79 and unseen ones at .48 after 333
passes over them, and the generated classes blur when training goes on. The authors' data are read 191 times.
So `held_out` keeps images from training, whose rating is logged as "d_unseen"; `augment` transforms all that
D sees; and before more than 300 passes without `augment` there is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disbench.errors import UsageError
from disbench.models import layers, method, nets
from disbench.models.categorical import CategoryCode, category_codes, gumbel_noise, gumbel_softmax, one_hot
from disbench.models.gan import confidence, fake_term, real_term
from disbench.models.method import DataInfo, Method, Noise, Terms, Update
from disbench.models.optimizer import adam
from disbench.models.transformations import cut_out, rotate_crop_zoom, rotate_zoom_bend, translate
from disbench.ranges import Categories, Count, CountOrNone, NotNegative, Positive, Range

PASSES = 300  # over the data, from which on D is expected to know small data by heart


@dataclass(frozen=True)
class Config(method.Config):
    steps: Count = 118_000  # 200 epochs of about 38,000 digits; this and all below: the authors' code
    version: Literal["v1", "v2"] = "v2"
    prior: Literal["uniform", "ground-truth", "learned"] = "learned"
    z: CountOrNone = 62  # N, size of z
    k: Categories = 10  # K, number of classes
    tau: Positive = 0.1  # temperature of the Gumbel-softmax
    lam_info: NotNegative = 1.0  # lambda_1
    lam_trans: NotNegative = 10.0  # lambda_2
    lam_ent: NotNegative = 1.0  # lambda_3, only in v1; ours
    temperature: Positive = 1.0  # of NT-Xent
    view: Literal["official", "elastic"] = "official"  # delta
    rotation: Annotated[float, Range(0, 180)] = 20.0  # degrees, either way; of "official" whole ones up to 25
    zoom: Annotated[float, Range(0, 1, below=True)] = 0.1  # by a factor between 1 - zoom and 1 + zoom
    distortion: Annotated[float, Range(0, 1)] = 0.04  # of "elastic": largest displacement, in sides; ours
    augment: Literal["none", "translation", "cutout", "both"] = "none"  # T
    held_out: CountOrNone = 0  # images that no step reads; of them D's rating is logged
    lr: Positive = 2e-4  # both optimisers; Adam with beta1 0.5
    prior_speed: Positive = 1.0  # pi moves by this many lr in a step; more in "mini", which takes fewer steps
    init_std: Positive = 0.02  # of the initial weights
    width: Count = 64  # channels of the first convolution
    hidden: Count = 1024  # units of the fully connected layers
    middle: Count = 128  # units of Q's last hidden layer
    category_code: CategoryCode = "argmax"  # in `represent`

    def check(self) -> str | None:
        """The official rotation is by whole degrees, at most 25, as in its library."""
        if self.view == "official" and not (self.rotation <= 25 and float(self.rotation).is_integer()):
            return (
                f"rotation={self.rotation} was given, but view=official needs a whole number, at most 25; "
                "view=elastic takes any."
            )
        return None

    def category_columns(self) -> int:
        return 1 if self.category_code == "argmax" else 0


class Prior(nn.Module):
    """log p of K classes, (K,): learned, beginning with the uniform one, or fixed.

    The logits are `speed` times the learned numbers, so a step of Adam moves them by `speed` learning rates.

    Args:
        k: number of classes.
        fixed: the share of each class; None for a prior that is learned.
        speed: of the logits.
    """

    log_fixed: Tensor

    def __init__(self, k: int, fixed: tuple[float, ...] | None, speed: float) -> None:
        super().__init__()
        self.speed = speed
        if fixed is None:
            self.logits = nn.Parameter(torch.zeros(k))
        else:
            self.register_buffer("log_fixed", torch.tensor(fixed).log())

    def forward(self) -> Tensor:
        return (self.speed * self.logits).log_softmax(0) if hasattr(self, "logits") else self.log_fixed


def cosine_distance(p: Tensor, p_moved: Tensor) -> Tensor:
    """1 - cos of the angle between the rows of `p` and `p_moved`, (B, K) each; their mean, a scalar."""
    return (1 - F.cosine_similarity(p, p_moved, dim=1)).mean()


def entropy(log_p: Tensor) -> Tensor:
    """Mean entropy of the rows of exp(log_p), (B, K): a scalar, in nats."""
    return -(log_p.exp() * log_p).sum(1).mean()


def nt_xent(h: Tensor, h_moved: Tensor, temperature: float) -> Tensor:
    """Cross-entropy, in nats, of picking each view's partner among the other 2B - 1 views by their cosine.

    Chen et al. 2020, arXiv:2002.05709, eq. 1; mean over all 2B views.

    Args:
        h: features of the images, (B, D).
        h_moved: features of the transformed images, (B, D).
        temperature: divides the cosines.
    """
    views = F.normalize(torch.cat([h, h_moved]), dim=1)  # (2B, D)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    log_p = (views @ views.T / temperature).masked_fill(itself, -math.inf).log_softmax(1)  # (2B, 2B)
    return -torch.cat([log_p.diagonal(len(h)), log_p.diagonal(-len(h))]).mean()


class ElasticInfoGAN(Method):
    config: Config
    CONFIGS: ClassVar[Mapping[str, Config]] = {
        "paper": Config(),
        "v1": Config(version="v1"),
        "mini": Config(
            steps=4_000,
            view="elastic",
            z=16,
            lr=5e-4,
            prior_speed=3.0,
            init_std=0.05,
            width=16,
            hidden=256,
            middle=64,
        ),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "uniform": {"prior": "uniform", "lam_trans": 0.0, "lam_ent": 0.0},
        "ground-truth": {"prior": "ground-truth", "lam_trans": 0.0, "lam_ent": 0.0},
        "ground-truth+transform": {"prior": "ground-truth", "lam_ent": 0.0},
        "gumbel": {"lam_trans": 0.0, "lam_ent": 0.0},
        "gumbel+transform": {"lam_ent": 0.0},
        "elastic": {},
    }

    def __init__(self, config: Config, data: DataInfo) -> None:
        super().__init__(config, data)
        c = config
        self.g = nets.mnist_generator(data.shape, c.z + c.k, c.width, c.hidden)
        self.trunk = nets.mnist_trunk(data.shape, c.width, c.hidden)
        self.d = nn.Linear(c.hidden, 1)
        self.q = nets.mnist_q_head(c.hidden, c.k, c.middle)
        self.prior = Prior(c.k, fixed_prior(c, data), c.prior_speed)
        layers.initialise(self, std=c.init_std)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        c, device = self.config, generator.device
        moved = 2 * torch.rand(batch, 34, generator=generator, device=device) - 1
        drawn = {
            "z": torch.randn(batch, c.z, generator=generator, device=device),
            "gumbel": gumbel_noise(batch, c.k, generator=generator),
            "turn": moved[:, 0],
            "zoom": moved[:, 1],
            "bend": moved[:, 2:].reshape(batch, 2, 4, 4),
        }
        if c.augment != "none":
            placed = 2 * torch.rand(2, batch, 4, generator=generator, device=device) - 1
            drawn |= {"T of real": placed[0], "T of fake": placed[1]}
        return drawn

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        learner = ("g", "q", "prior") if c.prior == "learned" else ("g", "q")
        return (
            Update("discriminator_loss", ("trunk", "d"), adam(c.lr, beta1=0.5)),
            Update("generator_loss", learner, adam(c.lr, beta1=0.5)),
        )

    def code(self, noise: Noise) -> Tensor:
        """A sample of the prior, (B, K): relaxed where the prior is learned, else one-hot."""
        log_p = self.prior()
        if self.config.prior == "learned":
            return gumbel_softmax(log_p, noise["gumbel"], self.config.tau)
        return one_hot(log_p + noise["gumbel"])

    def paint(self, z: Tensor, code: Tensor) -> Tensor:
        """G(z, c), in [-1, 1]."""
        return torch.tanh(self.g(torch.cat([z, code], dim=1)))

    def seen(self, x: Tensor, noise: Noise, kind: Literal["real", "fake"]) -> Tensor:
        """T(x): images in [-1, 1] as D sees them."""
        augment = self.config.augment
        if augment == "none":
            return x
        placed = noise[f"T of {kind}"]
        if augment != "cutout":
            x = translate(x, placed[:, :2], black=-1.0)
        return x if augment == "translation" else cut_out(x, placed[:, 2:], black=-1.0)

    def discriminator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        fake = self.paint(noise["z"], self.code(noise)).detach()
        return {
            "real": real_term(self.d(self.trunk(self.seen(2 * x - 1, noise, "real")))),
            "fake": fake_term(self.d(self.trunk(self.seen(fake, noise, "fake")))),
        }

    def generator_loss(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        code = self.code(noise)
        fake = self.paint(noise["z"], code)
        h = self.trunk(fake)
        h_seen = h if self.config.augment == "none" else self.trunk(self.seen(fake, noise, "fake"))
        return {
            "fool": real_term(self.d(h_seen)),
            "info": self.config.lam_info * self.cross_entropy(h, code),
            **self.constraint(x, noise),
        }

    def cross_entropy(self, h: Tensor, code: Tensor) -> Tensor:
        """-E[log Q(c|x)] of the most likely class of each code: a scalar, in nats."""
        log_q: Tensor = self.q(h).log_softmax(1)
        return -log_q.gather(1, code.argmax(1, keepdim=True)).mean()

    def constraint(self, x: Tensor, noise: Noise) -> Terms:
        """Invariance loss of Q on real images; no terms where its weights are 0."""
        c = self.config
        if c.lam_trans == 0 and c.lam_ent == 0:
            return {}
        x_moved = self.view(x, noise)
        features, features_moved = (self.q[:-1](self.trunk(2 * view - 1)) for view in (x, x_moved))
        if c.version == "v2":
            return {"trans": c.lam_trans * nt_xent(features, features_moved, c.temperature)}
        log_p, log_p_moved = (self.q[-1](view).log_softmax(1) for view in (features, features_moved))
        return {
            "trans": c.lam_trans * cosine_distance(log_p.exp(), log_p_moved.exp()),
            "ent": c.lam_ent * (entropy(log_p) + entropy(log_p_moved)),
        }

    def view(self, x: Tensor, noise: Noise) -> Tensor:
        """delta(x), (B,C,H,W) in [0, 1]."""
        c = self.config
        if c.view == "official":
            return rotate_crop_zoom(x, noise["turn"], noise["zoom"], int(c.rotation), c.zoom)
        turn, zoom, bend = noise["turn"], noise["zoom"], noise["bend"]
        return rotate_zoom_bend(x, turn, zoom, bend, c.rotation, c.zoom, c.distortion)

    def class_prior(self) -> Tensor:
        """p, the share of each class in what G is given, (K,)."""
        log_p: Tensor = self.prior()
        return log_p.exp().detach()

    def monitor(self, x: Tensor, noise: Noise, step: Tensor) -> Terms:
        code = self.code(noise)
        h = self.trunk(self.paint(noise["z"], code))
        p = self.class_prior()
        h_c = torch.special.entr(p).sum()
        return {
            "prior": p,  # (K,)
            "H_categorical": h_c,
            "L_I_categorical": h_c - self.cross_entropy(h, code),
            "entropy_of_real": entropy(self.q(self.trunk(2 * x - 1)).log_softmax(1)),
            **confidence(self.d(self.trunk(2 * x - 1)), self.d(h)),
        }

    @property
    def held_out(self) -> int:
        return self.config.held_out

    def monitor_unseen(self, images: Tensor, noise: Noise, step: Tensor) -> Terms:
        """Mean D(x) of images that no step has read: near `d_real` unless D learned the others by heart."""
        return {"d_unseen": self.d(self.trunk(2 * images - 1)).sigmoid().mean()}

    def advice(self) -> str | None:
        c, n = self.config, self.data.n - self.held_out
        passes = c.steps * c.batch / n
        if c.augment != "none" or passes <= PASSES:
            return None
        return (
            f"{c.steps:,} steps of {c.batch} read each of the {n:,} images {passes:,.0f} times; D may learn "
            "them by heart, and the generated classes blur. The authors read theirs 191 times. Give more "
            "images or fewer steps, or set augment=translation."
        )

    def represent(self, images: Tensor) -> Tensor:
        return category_codes([self.q(self.trunk(2 * images - 1))], self.config.category_code)[0]

    def generate(self, latents: Tensor) -> Tensor:
        return (torch.tanh(self.g(latents)) + 1) / 2

    def sample_latents(self, noise: Noise) -> tuple[Tensor, list[range]]:
        c = self.config
        return torch.cat([noise["z"], self.code(noise)], 1), method.code_columns(c.z, [c.k])

    def sample_category(self, category: int, noise: Noise) -> Tensor:
        """Pictures (B,C,H,W) in [0, 1] of one class, whose code is one-hot, one per row of noise["z"]."""
        z = noise["z"]
        code = F.one_hot(torch.full((len(z),), category, device=z.device), self.config.k).to(z.dtype)
        return self.generate(torch.cat([z, code], dim=1))

    def categories(self, noise: Noise) -> tuple[list[str], Tensor]:
        """Samples of every class, the same z in each: labels and pictures (K, B, c, h, w)."""
        k = self.config.k
        return [f"c = {i}" for i in range(k)], torch.stack([self.sample_category(i, noise) for i in range(k)])

    def traverse(
        self, image: Tensor, noise: Noise, steps: int, ends: tuple[float, float] | None = None
    ) -> tuple[list[str], Tensor]:
        # a category has no range
        k = self.config.k
        shown = [self.sample_category(i * k // steps, noise) for i in range(steps)]
        return ["c"], torch.cat(shown)[None]


def fixed_prior(c: Config, data: DataInfo) -> tuple[float, ...] | None:
    """The share of each class; None where the prior is learned.

    Raises:
        UsageError: the true prior is asked for, but the data have no labels or another number of classes.
    """
    if c.prior == "learned":
        return None
    if c.prior == "uniform":
        return (1 / c.k,) * c.k
    if data.class_prior is None:
        raise UsageError(
            "elastic_infogan with prior='ground-truth' needs data with class labels, and these have none; "
            "choose labelled data or prior='uniform' or 'learned'."
        )
    if len(data.class_prior) != c.k:
        raise UsageError(
            f"the data have {len(data.class_prior)} classes, but elastic_infogan.k is {c.k}; make them equal."
        )
    return data.class_prior


METHOD = ElasticInfoGAN
