"""The nearest of many stored images, exactly, while most of them are never looked at.

Every distance that is wanted here is, up to a number of the picture alone, linear in the stored image g. The
nearest image has the largest gain

    a(g) = w . g - |g|^2 [only for grey levels]

    distance                                          w               constant
    Hamming of binary x and g                         2x - 1          |x|_1
    nats of g under Bernoulli(p), p in (0, 1)         logit p         - sum log(1 - p)
    squared Euclidean of x and g in levels            2x              |x|^2

**The bound.** Let the k columns of B be orthonormal, v' = B^T v, and v" what is left of v. Then for all g

    w . g = w' . g' + w" . g"  <=  w' . g' + |w"| |g"|                        (Cauchy and Schwarz)

The right side takes k + 1 products instead of one per pixel. With a gain a0 that some stored image reaches,
every image whose bound is below a0 is farther than that one. The others are looked at one by one, so the
answer is that of a scan of all images, whatever B is; B decides only how many are left. It holds the constant
image and the first principal directions of a sample of the images.

**Rounding.** The bound is computed in single precision, from a B that is orthonormal up to rounding. With
unit roundoff u = 2^-24 and p pixels, a dot product of p terms errs by at most p u |v||w| / (1 - p u), one of
k + 1 terms likewise, and each entry of B by u. So w' . g' as computed errs by less than e |w||g| with
e = 4 (p + k + 8) u, and |v'|^2 by less than e |v|^2. The rest |v"| is taken as
sqrt(|v|^2 - |v'|^2 + e |v|^2), which is never below its true value, and e (|w||g| + |g|^2) of the largest
image is added to every bound.

**Ties** are ties: w is rounded to multiples of a power of two so that all sums are exact in double precision
and do not depend on their order. For nats that is 2^-32 of a nat in every pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from disbench.errors import UsageError
from disbench.metrics.arrays import Floats, Ints

Bytes = NDArray[np.uint8]

# Columns of B; pictures at a time, and stored images whose pixels are unpacked at a time.
DIRECTIONS, BATCH, TILE = 63, 32, 2048
# Stored images that B is made of, evenly spaced.
SAMPLE = 4096
# Neighbouring images that share one maximum when a first good image is sought, and how many such groups.
GROUP, GROUPS = 32, 8
# Stored images whose bounds are computed at a time, a multiple of the group.
AT_ONCE = 4096
# With more images left than this, one scan of all is quicker than looking them up one by one.
MANY = 40_000
UNIT_ROUNDOFF = 2.0**-24
# Parts of one that weights, and levels of a picture, are rounded to.
NATS_PARTS, LEVEL_PARTS = 2.0**32, 2.0**8
# Integers up to it are exact in single precision.
EXACT_SINGLE = 2**24
# (8, 256) The pixels of every byte.
BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float64).T


class Stored(Protocol):
    """Images that can be read by row."""

    @property
    def n(self) -> int:
        """How many there are."""
        ...

    @property
    def pixels(self) -> int:
        """Numbers of one image, channels included."""
        ...

    @property
    def levels(self) -> bool:
        """Whether they are grey levels 0 to 255; else they are 0 and 1."""
        ...

    def read(self, rows: Ints) -> NDArray[np.float32]:
        """Images (b, pixels) of the rows, in whole numbers."""
        ...

    def gains(self, rows: Ints, weights: Floats) -> Floats:
        """Exact gains (b,) of the rows for weights (pixels,)."""
        ...


@dataclass(frozen=True)
class Bits:
    """Binary images, eight pixels a byte.

    Args:
        packed: (n, bytes), a row per image, which may be mapped from a file.

    Raises:
        UsageError: another shape or type.
    """

    packed: Bytes

    def __post_init__(self) -> None:
        if self.packed.ndim != 2 or self.packed.dtype != np.uint8 or 0 in self.packed.shape:
            raise UsageError(
                f"packed images {self.packed.shape} of {self.packed.dtype} must be (n, bytes) of uint8, made "
                "by numpy.packbits over the pixels"
            )

    @property
    def n(self) -> int:
        """See `Stored`."""
        return len(self.packed)

    @property
    def pixels(self) -> int:
        """See `Stored`."""
        return 8 * int(self.packed.shape[1])

    @property
    def levels(self) -> bool:
        """See `Stored`."""
        return False

    def read(self, rows: Ints) -> NDArray[np.float32]:
        """See `Stored`."""
        return np.unpackbits(self.packed[rows], axis=1).astype(np.float32)

    def gains(self, rows: Ints, weights: Floats) -> Floats:
        """See `Stored`. One look-up per byte: the gain of each of its 256 values."""
        table = (weights.reshape(-1, 8) @ BYTES).ravel()
        offset = 256 * np.arange(self.packed.shape[1])
        parts = [
            table[self.packed[rows[i : i + TILE]] + offset].sum(axis=1) for i in range(0, len(rows), TILE)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


@dataclass(frozen=True)
class Levels:
    """Images in grey levels 0 to 255, of any number of channels.

    Args:
        n: number of images.
        pixels: of one image, channels included.
        function: from row numbers (b,) to images (b, pixels) in whole levels.
    """

    n: int
    pixels: int
    function: Callable[[Ints], NDArray[np.float32]]

    @property
    def levels(self) -> bool:
        """See `Stored`."""
        return True

    def read(self, rows: Ints) -> NDArray[np.float32]:
        """See `Stored`."""
        return self.function(rows)

    def gains(self, rows: Ints, weights: Floats) -> Floats:
        """See `Stored`."""
        parts = []
        for i in range(0, len(rows), TILE):
            g = self.read(rows[i : i + TILE]).astype(np.float64)
            parts.append(g @ weights - (g * g).sum(axis=1))
        return np.concatenate(parts) if parts else np.empty(0)


@dataclass(frozen=True)
class Found:
    """The nearest images of some pictures.

    Attributes:
        gain: (m,) the largest gain of each.
        rows: for each, all rows that have it, ascending.
        looked: (m,) how many stored images were compared with it pixel by pixel.
    """

    gain: Floats
    rows: list[Ints]
    looked: Ints


class Nearest:
    """An index of stored images, built once.

    Args:
        stored: the images.
        directions: columns of B; more of them leave fewer images to look at and cost memory and time.
    """

    def __init__(self, stored: Stored, directions: int = DIRECTIONS) -> None:
        self.stored = stored
        n, p = stored.n, stored.pixels
        self.rounding = 4 * (p + directions + 8) * UNIT_ROUNDOFF
        sample = stored.read(np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)))
        self.basis = principal(sample, min(directions, p)).astype(np.float32)
        width = self.basis.shape[1] + 1
        # the last group is filled with copies of the last image
        padded = -(-n // GROUP) * GROUP
        self.short = np.empty((padded, width), np.float32)
        self.penalty = np.zeros(padded if stored.levels else 0, np.float32)
        self.largest = 0.0
        # (n,) |g|^2, which of binary images is their white pixels
        self.masses: Floats = np.empty(n)
        for start in range(0, n, TILE):
            images = stored.read(np.arange(start, min(start + TILE, n)))
            square = np.einsum("np,np->n", images, images, dtype=np.float64)
            part = slice(start, start + len(images))
            self.short[part, :-1], self.short[part, -1] = self._projected(images, square)
            self.masses[part] = square
        self.short[n:] = self.short[n - 1]
        self.largest = float(self.masses.max())
        if stored.levels:
            self.penalty[:n], self.penalty[n:] = self.masses, self.masses[-1]
        # of each stored image and picture, and the largest of each group
        self._bounds = np.empty((padded, BATCH), np.float32)
        self._best = np.empty((padded // GROUP, BATCH), np.float32)

    def _projected(self, v: NDArray[np.float32], square: Floats) -> tuple[Floats, Floats]:
        """v' (m, k) and an upper bound of |v"| (m,), for v (m, p) with squares (m,)."""
        short = v @ self.basis
        inside = np.einsum("mk,mk->m", short, short, dtype=np.float64)
        rest = np.sqrt(np.maximum(square - inside, 0.0) + self.rounding * square)
        # up to the next single-precision number
        return short, np.nextafter(rest.astype(np.float32), np.float32(np.inf))

    def find(self, weights: Floats) -> Found:
        """The images of the largest gain.

        Args:
            weights: (m, pixels), multiples of a power of two for which all gains are exact.

        Returns:
            See `Found`. Equal weights are looked for once.
        """
        # of each picture the first that is equal
        place: dict[bytes, int] = {}
        first = np.array([place.setdefault(w.tobytes(), len(place)) for w in weights], np.int64)
        if len(place) < len(weights):
            found = self.find(weights[np.unique(first, return_index=True)[1]])
            return Found(found.gain[first], [found.rows[i] for i in first], found.looked[first])
        gain, rows, looked = np.empty(len(weights)), [], np.empty(len(weights), np.int64)
        for start in range(0, len(weights), BATCH):
            some = weights[start : start + BATCH]
            left = self._left(some)
            hard = [i for i, each in enumerate(left) if len(each) > MANY]
            scanned = dict(zip(hard, scan(self.stored, some[hard]), strict=True)) if hard else {}
            for i, w in enumerate(some):
                if i in scanned:
                    gain[start + i], which = scanned[i]
                    looked[start + i] = self.stored.n
                else:
                    gains = self.stored.gains(left[i], w)
                    gain[start + i] = gains.max()
                    which = left[i][gains == gains.max()]
                    looked[start + i] = len(gains)
                rows.append(which)
        return Found(gain, rows, looked)

    def _left(self, weights: Floats) -> list[Ints]:
        """For each of at most `BATCH` pictures, the rows that the bound leaves, ascending."""
        n, m = self.stored.n, len(weights)
        square = np.einsum("mp,mp->m", weights, weights)
        short, rest = self._projected(weights.astype(np.float32), square)
        shorts = np.zeros((self.short.shape[1], BATCH), np.float32)
        shorts[:, :m] = np.column_stack([short, rest]).T
        for start in range(0, len(self.short), AT_ONCE):
            # a part that stays in a core's cache until its maxima are taken
            part = self._bounds[start : start + AT_ONCE]
            np.matmul(self.short[start : start + AT_ONCE], shorts, out=part)
            if self.stored.levels:
                part -= self.penalty[start : start + AT_ONCE, None]
            best = self._best[start // GROUP : (start + len(part)) // GROUP]
            part.reshape(-1, GROUP, BATCH).max(axis=1, out=best)
        slack = self.rounding * (np.sqrt(square * self.largest) + self.penalty.max(initial=0.0))
        bounds, within = self._bounds.reshape(-1, GROUP, BATCH), np.arange(GROUP)
        left = []
        for i, (w, more) in enumerate(zip(weights, slack, strict=True)):
            highest = np.ascontiguousarray(self._best[:, i])
            top = np.argpartition(highest, -min(GROUPS, len(highest)))[-GROUPS:]
            first = (GROUP * top[:, None] + within).ravel()
            reached = self.stored.gains(first[first < n], w).max()
            needed = np.nextafter(np.float32(reached - more), np.float32(-np.inf))
            groups = np.flatnonzero(highest >= needed)
            rows = (GROUP * groups[:, None] + within)[bounds[groups, :, i] >= needed]
            left.append(rows[rows < n])
        return left


def principal(images: NDArray[np.float32], k: int) -> Floats:
    """(p, k) Orthonormal columns: the constant image, then principal directions of images (m, p)."""
    from scipy.sparse.linalg import svds

    m, p = images.shape
    constant = np.full((p, 1), 1 / np.sqrt(p))
    centred = images - (images @ constant) @ constant.T
    few = min(k - 1, min(m, p) - 1)
    if few < 1 or not centred.any():
        return constant
    start = np.random.default_rng(0).normal(size=min(m, p))
    directions = svds(centred.astype(np.float64), few, v0=start, solver="arpack", tol=1e-3)[2]
    orthonormal: Floats = np.linalg.qr(np.concatenate([constant, directions[::-1].T], axis=1))[0]
    return orthonormal


def scan(stored: Stored, weights: Floats) -> list[tuple[float, Ints]]:
    """The largest gain for each of the weights (m, pixels), and its rows, by a look at every image."""
    # all partial sums are whole numbers below this, where the weights are
    top = np.abs(weights).sum(axis=1).max(initial=0.0)
    whole = not stored.levels and top < EXACT_SINGLE and bool((weights == np.rint(weights)).all())
    kind: type[np.float32 | np.float64] = np.float32 if whole else np.float64
    w: Floats = weights.T.astype(kind)
    best = np.full(len(weights), -np.inf)
    rows: list[list[Ints]] = [[] for _ in weights]
    for start in range(0, stored.n, TILE):
        images: Floats = stored.read(np.arange(start, min(start + TILE, stored.n))).astype(kind)
        gains: Floats = images @ w
        if stored.levels:
            gains -= (images * images).sum(axis=1)[:, None]
        top_here = gains.max(axis=0)
        for i in np.flatnonzero(top_here >= best):
            here = start + np.flatnonzero(gains[:, i] == top_here[i])
            rows[i] = [*rows[i], here] if top_here[i] == best[i] else [here]
            best[i] = top_here[i]
    return [(float(b), np.concatenate(r)) for b, r in zip(best, rows, strict=True)]


def hamming_weights(pictures: NDArray[np.bool_]) -> Floats:
    """Weights (m, p) of binary pictures (m, p), see the head of this file."""
    return 2.0 * pictures - 1.0


def nats_weights(pictures: Floats, least: float) -> tuple[Floats, Floats]:
    """Weights (m, p) of probabilities (m, p), kept between `least` and 1 - `least`; the constants (m,)."""
    p = np.clip(pictures.astype(np.float64), least, 1 - least)
    weights = np.rint(NATS_PARTS * (np.log(p) - np.log1p(-p))) / NATS_PARTS
    return weights, -np.log1p(-p).sum(axis=1)


def level_weights(pictures: Floats) -> tuple[Floats, Floats]:
    """Weights (m, p) of pictures (m, p) in [0, 1], taken in parts of a level; the constants (m,)."""
    x = np.rint(LEVEL_PARTS * 255 * pictures.astype(np.float64)) / LEVEL_PARTS
    return 2 * x, (x * x).sum(axis=1)
