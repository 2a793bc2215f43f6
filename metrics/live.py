"""Which codes count: the KL of each code, and the rules by which a code is live or has collapsed.

    KL_j = E_x KL(N(mu_j(x), sigma_j(x)^2) || N(0, 1)) = E_x 1/2 (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1)

    symbol          here      shape     meaning
    mu_j(x)         mean      (n, d)    mean of the posterior of image x
    log sigma_j^2   logvar    (n, d)    natural log of its variance
    KL_j            kl        (d,)      nats that code j has about an image, at most

The mean of a collapsed code still moves a little with the image, while its noise is many times larger. A
metric that sees means alone cannot know that. A code that is no Gaussian, such as the probability of a
category, has a log-variance and a KL of NaN; under the rule `kl` it counts by its standard deviation.

| rule | a code is live if | source |
|---|---|---|
| `kl` | its KL is .1 nats or more | Kim & Mnih 2018 leave out codes at the prior; the number is ours |
| `std` | its standard deviation over the data is .05 or more | disentanglement_lib |
| `none` | always | |
"""

from __future__ import annotations

import numpy as np

from disbench.errors import UsageError
from disbench.metrics import arrays
from disbench.metrics.arrays import Bools, Floats
from disbench.metrics.conversion import as_array

RULES = ("kl", "std", "none")

KL = 0.1  # nats
STD = 0.05  # in units of the codes

# Natural log of a variance, or of its inverse, that a float holds.
MOST = 700


def check_logvar(
    name: str, logvar: object, shape: tuple[int, ...], of: str = "codes", categories: bool = False
) -> Floats:
    """Log-variances (n, d) as finite floats, one for each code of each image.

    Args:
        name: of a metric or a file, for errors.
        logvar: the log-variances.
        shape: (n, d) of the codes.
        of: what errors call the codes.
        categories: whether some columns may be NaN as a whole, for codes that are no Gaussians.

    Raises:
        UsageError: another shape, no finite numbers, or larger than the log of any variance.
    """
    array = as_array(logvar, f"{name}: logvar")
    if array.shape != shape:
        raise UsageError(
            f"{name}: {of} {shape} and logvar {array.shape} must match; give the natural log of the variance "
            "of each code of each image"
        )
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float64)
    known = sound(array) if categories else np.isfinite(array)
    if not known.all():
        bad = int((~known).any(axis=1).sum())
        raise UsageError(
            f"{name}: {bad:,} of {len(array):,} rows of logvar hold NaN or infinity; the model has diverged, "
            "or it is the log of a variance of 0"
        )
    most = np.abs(array[:, ~no_gaussian(array)]).max(initial=0)
    if most > MOST:
        raise UsageError(
            f"{name}: logvar reaches {most:.3g}, and no float holds the variance of which it is the natural "
            "log; were variances passed?"
        )
    return array


def sound(logvar: Floats) -> Bools:
    """(n, d) True for a finite log-variance, and for all those of a code that has none.

    Of no model is every code without: such a table is one of a model that has diverged.
    """
    known: Bools = np.isfinite(logvar)
    return known | np.isnan(logvar).all(axis=0) if known.any() else known


def no_gaussian(logvar: Floats) -> Bools:
    """(d,) True for the codes without a log-variance (n, d)."""
    mask: Bools = np.asarray(np.isnan(logvar).any(axis=0))
    return mask


def kl_of_codes(mean: Floats, logvar: Floats) -> Floats:
    """(d,) Mean over images of the KL of each code's Gaussian to N(0, 1), in nats.

    Args:
        mean: (n, d) of the Gaussians.
        logvar: (n, d), natural log of their variances, as `check_logvar` returns them; NaN for a code that is
            no Gaussian, and so is its KL.
    """
    mu, log_variance = mean.astype(np.float64), logvar.astype(np.float64)
    # a mean beyond 1e154 has an infinite KL
    with np.errstate(over="ignore"):
        kl: Floats = 0.5 * (mu**2 + np.exp(log_variance) - log_variance - 1).mean(axis=0)
    return kl


def by_kl(kl: Floats, least: float, std: Bools) -> Bools:
    """(d,) True for the codes that are live by the rule "kl".

    Args:
        kl: (d,) in nats; NaN for a code that is no Gaussian.
        least: from which on a code is live.
        std: (d,) the rule "std", by which codes that are no Gaussians count.
    """
    mask: Bools = np.where(np.isnan(kl), std, kl >= least)
    return mask


def by_std(codes: Floats) -> Bools:
    """(d,) True for the codes (n, d) that are live by the rule "std"; a constant code never is."""
    mask: Bools = arrays.varying(codes) & (arrays.deviation(codes, ddof=1) >= STD)
    return mask


def as_mask(name: str, live: object, d: int) -> Bools:
    """A mask (d,) that was given, one truth value for each of d codes.

    Args:
        name: of the metric, for errors.
        live: the mask; numbers 0 and 1 count as truth values.
        d: number of codes.

    Raises:
        UsageError: it has another shape or other values.
    """
    mask = as_array(live, f"{name}: live")
    if mask.shape != (d,):
        raise UsageError(
            f"{name}: live has shape {mask.shape}, but there are {d} codes; give one truth value for each"
        )
    other = ~np.isin(mask, (0, 1))
    if other.any():
        raise UsageError(f"{name}: live must be True or False for each code, but holds {mask[other][0]}")
    return mask.astype(bool)
