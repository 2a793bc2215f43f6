"""Two sets of pictures compared by features of a network: FID, KID, precision, recall, density, coverage.

Features x (n, d) are of real pictures and y (n, d) of generated ones, from any network; a number means
something only beside the network and n, and numbers of two networks are never comparable.

    name        formula                                                               equal sets   biased
    fid         |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2))                         > 0        up
    fid_inf     FID at 1/n = 0, on a line through FIDs of parts of the sets               0       hardly
    kid         mean k(x, x') + mean k(y, y') - 2 mean k(x, y), x != x', y != y'          0          no
                with k(a, b) = (a.b / d + 1)^3
    precision   share of y that lie within the ball of some x                            ~ 1         -
    recall      share of x that lie within the ball of some y                            ~ 1         -
    density     mean number of balls of x around y, divided by k                          1          no
    coverage    share of x whose ball holds some y                            expected_coverage      -

A ball reaches to the k-th nearest other member of the same set, k = 3 for precision and recall, 5 for density
and coverage. The first two are those of Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 1; the others of
Naeem et al. 2020, arXiv:2002.09797, eq. 3 and 4. FID: Heusel et al. 2017, arXiv:1706.08500, eq. 6. FID at
infinity: Chong & Forsyth 2020, arXiv:1911.07023. KID: Binkowski et al. 2018, arXiv:1801.01401, section 4.

Deviations: FID at infinity takes 15 parts of n/2 to n members as in its authors' code, drawn at random and
not by a Sobol sequence. KID is one U-statistic of all members and not the mean over blocks of 1,000.

Traps:

- The bias of FID grows with d and falls with n, and is not the same for two models: compare `fid_inf`, or
  equal n and models that differ by far more than FID itself differs over draws.
- Below n = 2 d the covariance is hardly known. Precision and recall grow as n falls, for any sets.
- An unbiased KID of equal sets is below 0 half of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from disbench.errors import UsageError
from disbench.metrics.arrays import Bools, Floats
from disbench.metrics.checks import check_codes

BALL, BALL_OF_DENSITY = 3, 5
PARTS = 15
CHUNK = 1024
# Fewer members than this many times the features, or than this many, are few.
FEW_PER_FEATURE, FEW = 2, 2_000


@dataclass(frozen=True)
class Distances:
    """All of these numbers of two sets.

    Attributes:
        values: by name, see the head of this file.
        n: number of members of each set.
        d: number of features.
        warnings: what a reader must know of so few members.
    """

    values: Mapping[str, float]
    n: int
    d: int
    warnings: tuple[str, ...]


def distances(real: object, generated: object, rng: np.random.Generator) -> Distances:
    """Compares two sets of features.

    Args:
        real: (n, d) of real pictures.
        generated: (n, d) of generated ones, as many.
        rng: draws the parts for FID at infinity.

    Raises:
        UsageError: sets of other shapes, of too few members, or with numbers that are not finite.
    """
    x = check_codes("features of real pictures", real).astype(np.float64)
    y = check_codes("features of generated pictures", generated).astype(np.float64)
    if x.shape != y.shape:
        raise UsageError(
            f"features {x.shape} of real and {y.shape} of generated pictures must be of one shape"
        )
    n, d = x.shape
    if n <= 2 * BALL_OF_DENSITY:
        raise UsageError(f"{n} pictures are too few to compare, give more than {2 * BALL_OF_DENSITY}")
    density, coverage = density_coverage(x, y)
    precision, recall = precision_recall(x, y)
    values = {
        "fid": fid(x, y),
        "fid_inf": fid_infinity(x, y, rng),
        "kid": kid(x, y),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        "expected_coverage": expected_coverage(n),
    }
    notes = []
    if n < FEW_PER_FEATURE * d:
        notes.append(
            f"{n:,} pictures are few for {d:,} features: the covariance of fewer than "
            f"{FEW_PER_FEATURE * d:,} is hardly known, and FID says little"
        )
    if n < FEW:
        notes.append(f"{n:,} pictures are few: FID is biased up and recall too high below {FEW:,}")
    return Distances(values, n, d, tuple(notes))


def fid(x: Floats, y: Floats) -> float:
    """Frechet distance of the Gaussians with the moments of x (n, d) and y (m, d); covariances by n - 1."""
    from scipy.linalg import svdvals

    difference = x.mean(axis=0) - y.mean(axis=0)
    # with S_x = A^T A and S_y = B^T B, the eigenvalues of S_x S_y are the squared singular values of A B^T
    roots = [(each - each.mean(axis=0)) / np.sqrt(len(each) - 1) for each in (x, y)]
    a, b = (np.linalg.qr(root)[1] for root in roots)
    cross = svdvals(a @ b.T).sum()
    return float(difference @ difference + np.square(a).sum() + np.square(b).sum() - 2 * cross)


def fid_infinity(x: Floats, y: Floats, rng: np.random.Generator) -> float:
    """FID extrapolated to infinitely many pictures, see the head of this file; both sets are cut alike."""
    sizes = np.linspace(len(x) // 2, len(x), PARTS).astype(int)
    found = [
        fid(x[rng.choice(len(x), m, replace=False)], y[rng.choice(len(y), m, replace=False)]) for m in sizes
    ]
    return float(np.polynomial.Polynomial.fit(1 / sizes, found, 1).convert().coef[0])


def kid(x: Floats, y: Floats) -> float:
    """Unbiased squared maximum mean discrepancy of x (n, d) and y (m, d), kernel (a.b / d + 1)^3."""

    def total(a: Floats, b: Floats) -> float:
        return float(sum(kernel(a[i : i + CHUNK], b).sum() for i in range(0, len(a), CHUNK)))

    def kernel(a: Floats, b: Floats) -> Floats:
        cubed: Floats = (a @ b.T / x.shape[1] + 1) ** 3
        return cubed

    def within(a: Floats) -> float:
        own = float(((np.square(a).sum(axis=1) / a.shape[1] + 1) ** 3).sum())
        return (total(a, a) - own) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * total(x, y) / (len(x) * len(y))


def squares(a: Floats, b: Floats) -> Floats:
    """(n, m) Squared distances of a (n, d) and b (m, d)."""
    inner: Floats = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    nearest: Floats = np.maximum(inner, 0.0)
    return nearest


def radii(x: Floats, k: int) -> Floats:
    """(n,) Squared distance of each member of x (n, d) to its k-th nearest other member."""
    parts = []
    for i in range(0, len(x), CHUNK):
        near = squares(x[i : i + CHUNK], x)
        near[np.arange(len(near)), i + np.arange(len(near))] = np.inf
        parts.append(np.partition(near, k - 1, axis=1)[:, k - 1])
    return np.concatenate(parts)


def precision_recall(x: Floats, y: Floats, k: int = BALL) -> tuple[float, float]:
    """Shares of y within the balls of x (n, d), and of x within those of y (m, d)."""
    of_x, of_y = radii(x, k), radii(y, k)
    reached_y, reached_x = np.zeros(len(y), bool), np.zeros(len(x), bool)
    for i in range(0, len(x), CHUNK):
        near = squares(x[i : i + CHUNK], y)
        reached_y |= (near <= of_x[i : i + CHUNK, None]).any(axis=0)
        reached_x[i : i + CHUNK] = (near <= of_y).any(axis=1)
    return float(reached_y.mean()), float(reached_x.mean())


def density_coverage(x: Floats, y: Floats, k: int = BALL_OF_DENSITY) -> tuple[float, float]:
    """Mean number of balls of x (n, d) around a member of y (m, d) over k; share of balls that hold one."""
    radius, inside, covered = radii(x, k), 0, np.zeros(len(x), bool)
    for i in range(0, len(x), CHUNK):
        within: Bools = squares(x[i : i + CHUNK], y) <= radius[i : i + CHUNK, None]
        inside += int(within.sum())
        covered[i : i + CHUNK] = within.any(axis=1)
    return inside / (k * len(y)), float(covered.mean())


def expected_coverage(n: int, k: int = BALL_OF_DENSITY) -> float:
    """Coverage of two sets of n from one distribution: 1 - (n-1)...(n-k) / ((2n-1)...(2n-k)).

    The k nearest of a member, among the 2n - 1 others of both sets, are all its own.
    """
    steps = np.arange(1, k + 1)
    return float(1 - np.prod((n - steps) / (2 * n - steps)))
