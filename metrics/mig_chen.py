"""Mutual information gap by density estimate: Chen, Li, Grosse & Duvenaud 2018, arXiv:1802.04942.

    MIG = 1/K sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k),    z_a, z_b: the two codes best for v_k
    I(z_j; v_k) = H(z_j) - sum_v p(v) H(z_j | v_k = v)

    symbol              here            shape     meaning
    q(z_j | x_i)        mean, logvar    (n, d)    the encoder's Gaussian for image i
    q(z_j | V)                                    mean of q(z_j | x_i) over the images i in V
    H(z_j | v_k = v)                              -E log q(z_j | V) over V, the images with v_k = v

The codes are samples of the posterior, not its mean, so this does not agree with the binned `mig`.

Deviations: any table of rows will do, while the authors' code needs the full grid; the divisor is the entropy
of the factor in that table, ln n_k on a grid. The authors' models are all Gaussian; of a categorical latent,
as JointVAE has some, the columns are the probabilities q(c|x). They are one code, with exact entropies.

Traps:

- It needs the posterior: a VAE, an encoder that gives (mean, logvar), or codes with `logvar`. A GAN's encoder
  has none.
- The authors leave out dSprites' shape; pass `factors[:, 1:]` for their number.
- Each sample is compared with the whole data set, so the cost grows with rows times samples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from disbench.errors import UsageError
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.live import no_gaussian
from disbench.metrics.registry import Score, metric
from disbench.ranges import Several

# Densities in memory at a time, few enough for a cache.
CHUNK = 250_000
# How far probabilities of a row may be from a sum of 1.
ROUNDING = 1e-3


def mixture_entropy(mean: Floats, logvar: Floats, samples: int, rng: np.random.Generator) -> float:
    """Entropy (nats) of one code's mixture of the Gaussians mean, logvar (n,), by Monte Carlo.

    Samples are drawn from all components equally, or from a random choice if there are more components than
    samples. A sample's own component is part of the sum, so its density cannot underflow to 0.

    Args:
        mean: (n,) of the Gaussians.
        logvar: (n,) natural log of their variances.
        samples: number of draws.
        rng: draws them.
    """
    n = len(mean)
    own = np.resize(rng.permutation(n), samples)
    z = mean[own] + np.exp(0.5 * logvar[own]) * rng.standard_normal(samples)
    weight, constant = -0.5 * np.exp(-logvar), -0.5 * (logvar + np.log(2 * np.pi))
    density = np.empty(samples)
    step = max(1, CHUNK // n)
    # where a distance overflows, its density is 0
    with np.errstate(over="ignore"):
        for i in range(0, samples, step):
            p = z[i : i + step, None] - mean  # (step, n)
            p *= p
            p *= weight
            p += constant
            density[i : i + step] = np.exp(p, out=p).sum(axis=1)
    return float(np.log(n) - np.log(density).mean())


def latents_of(mean: Floats, logvar: Floats) -> list[Ints]:
    """The columns of each latent: one of a Gaussian, those of all categories of a categorical one.

    Neighbouring probabilities are of one latent as long as no row of them sums up to more than 1.

    Args:
        mean: (n, d) means, and probabilities of categories.
        logvar: (n, d), NaN in the columns of categories.

    Raises:
        UsageError: a column without a variance holds no probabilities.
    """
    latents: list[list[int]] = []
    # of the categorical latent that the column before belongs to
    sums: Floats | None = None
    for j, category in enumerate(no_gaussian(logvar).tolist()):
        if not category:
            latents, sums = [*latents, [j]], None
            continue
        p = mean[:, j]
        if p.min() < 0 or p.max() > 1 + ROUNDING:
            raise UsageError(
                f"mig_chen: code {j}, counted from 0, has no log-variance and reaches from {p.min():.3g} to "
                f"{p.max():.3g}, which are no probabilities of a category; give its log-variance"
            )
        if sums is None or (sums + p).max() > 1 + ROUNDING:
            latents, sums = [*latents, [j]], p
        else:
            latents[-1].append(j)
            sums = sums + p
    return [np.array(columns) for columns in latents]


def categorical_entropy(probabilities: Floats) -> float:
    """Entropy (nats) of probabilities (k,); what is missing to a sum of 1 is that of one more category."""
    every = np.append(probabilities, max(0.0, 1 - probabilities.sum()))
    known = every[every > 0]
    return float(-(known * np.log(known)).sum())


def _entropy(
    mean: Floats, logvar: Floats | None, rows: Ints, samples: int, rng: np.random.Generator
) -> float:
    """Entropy (nats) of one latent over rows: by Monte Carlo, or exactly of probabilities (n, k)."""
    if logvar is None:
        return categorical_entropy(mean[rows].mean(axis=0))
    return mixture_entropy(mean[rows, 0], logvar[rows], samples, rng)


@metric(
    kind="posterior",
    paper="arXiv:1802.04942",
    perfect=1.0,
    default="chen2018",
    presets={"chen2018": {}, "fast": {"samples": 2000}},
    chance="0",
    # measured: each sample is compared with all rows, for the code and once more for all values of a factor
    seconds=lambda n, d, values, used: 0.55 * d * n / 15_000 * int(str(used["samples"])) / 10_000,
)
def mig_chen(
    mean: Floats,
    logvar: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator,
    preset: str = "chen2018",
    samples: Several = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Mean gap between the two codes that know most about a factor, by posterior densities (Chen et al.).

    Args:
        mean: (n, d) mean of each image's posterior.
        logvar: (n, d) natural log of its variance; NaN in the columns of a categorical latent.
        factors: (n, k), index of each factor's value.
        rng: draws the samples.
        samples: draws per code for H(z_j), and as many for each factor, divided among its values.
        progress: called with (latents done, latents in all).
    """
    mu, log_variance = mean.astype(np.float64), logvar.astype(np.float64)
    h = information.entropy(factors)
    groups = [[np.flatnonzero(v == value) for value in np.unique(v)] for v in factors.T]
    n, d = mu.shape
    mi, latents = np.zeros((d, len(groups))), latents_of(mu, log_variance)
    for j, columns in enumerate(latents):
        variances = log_variance[:, columns[0]]
        gaussian = None if np.isnan(variances).any() else variances
        entropy = functools.partial(_entropy, mu[:, columns], gaussian, rng=rng)
        marginal = entropy(np.arange(n), samples)
        for k, values in enumerate(groups):
            conditional = [len(rows) / n * entropy(rows, max(2, samples * len(rows) // n)) for rows in values]
            mi[columns, k] = max(0.0, marginal - sum(conditional))
        if progress is not None:
            progress(j + 1, len(latents))
    first = [columns[0] for columns in latents]
    gaps = information.gap(arrays.floor(mi[first]) / h)
    return Score(
        gaps.mean(),
        parts={"gap": gaps, "mutual_information": mi, "factor_entropy": h},
        live=arrays.varying(mean),
    )
