"""How good the pictures of a generator are, by what an oracle reads in them.

Everything is measured on n pictures, and again on n real images drawn at random, since finitely many pictures
cover finitely many combinations. With the nearest image g of a picture x:

    quantity      definition                                                           perfect   noise
    error         |x - g|_1 / |g|_1, wrong pixels over white ones                         0       > 1
    fidelity      1 - mean of min(1, error)                                               1        0
    empty         share with fewer white pixels than half of the smallest image           0        0
    double        share with two or more parts, each at least half the smallest image     0        -
    off           share of the others whose error exceeds `off`                           0        1
    on            share of readable pictures: not empty, double or off                    1        0
    coverage_k    values of factor k that occur, over those in the real draws             1        0
    coverage_kl   likewise, pairs of values of two factors                                1        0
    coverage      mean of coverage_kl over all pairs of factors                           1        0
    balance_k     sum_v min(p(v), q(v)), p of the pictures and q of all images            1        0
    recall        mean over coarse cells of min(1, pictures / expected)                   1        0
    rare          the same over the tenth of the cells that are hit least                 1        0
    duplicates    share of pictures that repeat another one, pixel by pixel               real     1

Coverage, balance, recall and rare are those of readable pictures, counted against all n: what cannot be read
covers nothing, so noise does not cover the grid. These four are divided by what the real draws have, and at
most 1. A coarse cell is a combination of all factors, each cut into at most `bins` ranges of equal
numbers of values. `double` counts parts that touch nowhere, corners included.

Of images in grey levels or colours the error is the root of the mean squared difference, a picture is off
from `OFF_LEVELS` on, and none is empty or double, since nothing says which pixels are background. Duplicates
are then pictures that are equal in 256 levels.

A generator that draws one shape only loses coverage, and nothing else; one that blurs a little loses fidelity
and nothing else. With much blur a picture is off, and is then not counted as covering anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from disbench.errors import UsageError, argument
from disbench.metrics.arrays import Array, Bools, Floats, Ints
from disbench.metrics.oracle.reading import THRESHOLD, Oracle, Reading

OFF, OFF_LEVELS, BINS = 0.25, 0.1, 3
TAIL = 0.9


@dataclass(frozen=True)
class Quality:
    """The numbers of `quality`, each a share unless it says otherwise.

    Attributes:
        n: number of pictures.
        error: median, mean and 90 % quantile of the wrong pixels over the white ones.
        shares: fidelity, empty, double, off, on, duplicates, coverage, recall and rare, by name.
        real: duplicates, recall and rare of as many real images, by which the last two are divided.
        coverage: of each factor, by name.
        pairs: of each two factors, "a, b" by name.
        balance: of each factor, by name.
        kinds: (n,) of each picture "on", "empty", "double" or "off".
    """

    n: int
    error: Mapping[str, float]
    shares: Mapping[str, float]
    real: Mapping[str, float]
    coverage: Mapping[str, float]
    pairs: Mapping[str, float]
    balance: Mapping[str, float]
    kinds: Array = field(repr=False)


def quality(
    oracle: Oracle,
    pictures: object,
    reading: Reading,
    rng: np.random.Generator,
    *,
    threshold: float = THRESHOLD,
    off: float | None = None,
    bins: int = BINS,
) -> Quality:
    """Judges pictures by their reading, see the head of this file.

    Args:
        oracle: read them.
        pictures: (n, h, w) or (n, 1, h, w) in [0, 1].
        reading: of these pictures, with the same threshold.
        rng: draws the real images.
        threshold: above it a pixel is white.
        off: error above which a picture shows no image of the grid; None for `OFF` or `OFF_LEVELS`.
        bins: ranges of each factor in a coarse cell.

    Raises:
        UsageError: too few pictures, or a setting out of range.
    """
    levels = oracle.stored.levels
    off = (OFF_LEVELS if levels else OFF) if off is None else off
    if len(reading) < 2 or bins < 1 or not 0 < off <= 1:
        raise UsageError(
            f"{len(reading)} pictures, {argument('bins')} {bins} and {argument('off')} {off} were given; "
            "give two or more pictures, 1 bin or more, and an error above 0 and up to 1"
        )
    rows = rng.integers(len(oracle.given), size=len(reading))
    x: Array = np.asarray(pictures).reshape(len(reading), -1)
    real: Array = oracle.pictures(rows).reshape(len(reading), -1)
    if levels:
        x, real = np.rint(255 * x).astype(np.uint8), np.rint(255 * real).astype(np.uint8)
        error = reading.distance
        kinds = np.where(error > off, "off", "on")
    else:
        x, real = np.packbits(x > threshold, axis=1), np.packbits(real > 0, axis=1)
        mass = oracle.search.masses
        error = reading.distance / np.maximum(mass[reading.rows], 1)
        images = np.unpackbits(x, axis=1, count=oracle.stored.pixels).reshape(-1, *oracle.shape[1:])
        kinds = _kinds(images > 0, reading.white, error, float(mass.min()), off)
    on = kinds == "on"
    names = oracle.given.names or tuple(f"factor {k}" for k in range(len(oracle.given.sizes)))
    factors, true = reading.factors[on], oracle.factors(rows)
    sizes, varying = oracle.grid.sizes, oracle.given.varying
    coverage, pairs, balance = {}, {}, {}
    for k in varying:
        coverage[names[k]] = _over(_distinct(factors[:, [k]], sizes), _distinct(true[:, [k]], sizes))
        ours, theirs = (
            np.minimum(_shares(f[:, k], sizes[k], len(x)), oracle.frequencies[k]).sum()
            for f in (factors, true)
        )
        balance[names[k]] = _over(ours, theirs)
    for a, b in itertools.combinations(varying, 2):
        pairs[f"{names[a]}, {names[b]}"] = _over(
            _distinct(factors[:, [a, b]], sizes), _distinct(true[:, [a, b]], sizes)
        )
    cells = [_cells(f, sizes, varying, bins) for f in (factors, true)]
    total = np.prod([min(bins, sizes[k]) for k in varying])
    (recall, rare), (real_recall, real_rare) = (_recall(c, int(total), len(x)) for c in cells)
    shares = {
        "fidelity": float(1 - np.minimum(error, 1).mean()),
        **{kind: float((kinds == kind).mean()) for kind in ("on", "empty", "double", "off")},
        "duplicates": _duplicates(x),
        "coverage": float(np.mean(list((pairs or coverage).values()))),
        "recall": _over(recall, real_recall),
        "rare": _over(rare, real_rare),
    }
    measured = {"duplicates": _duplicates(real), "recall": real_recall, "rare": real_rare}
    spread = {
        "median": float(np.median(error)),
        "mean": float(error.mean()),
        "90 %": float(np.quantile(error, TAIL)),
    }
    return Quality(len(x), spread, shares, measured, coverage, pairs, balance, kinds)


def _kinds(x: Bools, white: Floats, error: Floats, smallest: float, off: float) -> Array:
    """(n,) What each picture is."""
    kinds = np.where(error > off, "off", "on").astype("<U6")
    kinds[[parts(image, smallest / 2) > 1 for image in x]] = "double"
    kinds[white < smallest / 2] = "empty"
    return kinds


def parts(image: Bools, least: float) -> int:
    """How many parts of at least so many white pixels a picture (h, w) has; corners connect."""
    from scipy.ndimage import label

    labels, count = label(image, np.ones((3, 3)))
    return int((np.bincount(labels.ravel(), minlength=count + 1)[1:] >= least).sum())


def _distinct(values: Ints, sizes: tuple[int, ...]) -> int:
    """How many different rows there are among values (n, j)."""
    return len(np.unique(values @ np.array([1, max(sizes)][: values.shape[1]])))


def _shares(values: Ints, size: int, n: int) -> Floats:
    """(size,) How often each value occurs, over n."""
    counts: Floats = np.bincount(values, minlength=size) / n
    return counts


def _cells(factors: Ints, sizes: tuple[int, ...], varying: tuple[int, ...], bins: int) -> Ints:
    """(n,) The coarse cell of each combination."""
    cell = np.zeros(len(factors), np.int64)
    for k in varying:
        few = min(bins, sizes[k])
        cell = cell * few + factors[:, k] * few // sizes[k]
    return cell


def _recall(cells: Ints, total: int, n: int) -> tuple[float, float]:
    """The mean over all cells, and over the tenth that is hit least, of min(1, hits / expected)."""
    hits = np.sort(np.minimum(1.0, np.bincount(cells, minlength=total) * total / n))
    return float(hits.mean()), float(hits[: max(1, total // 10)].mean())


def _duplicates(x: Array) -> float:
    """Share of pictures (n, bytes) that equal an earlier one."""
    return 1 - len({row.tobytes() for row in x}) / len(x)


def _over(ours: float, theirs: float) -> float:
    """At most 1; 0 where the real draws have nothing either."""
    return float(min(1.0, ours / theirs)) if theirs else 0.0
