"""Pictures to factors, by the nearest of all images of a grid.

    picture   ->   nearest image   ->   row of the grid   ->   factors

**By Hamming distance** a picture is cut at `threshold` and the nearest image differs from it in the fewest
pixels. **By likelihood** each pixel p of a grey picture is the probability of white, and the nearest image is
the most likely one, -log P(g | p) = -sum_i g_i log p_i + (1 - g_i) log(1 - p_i) nats being least. Both are
searched exactly, see `nearest`. Colour and grey levels are compared by their squared difference.

**Equal factors.** Different factors can make the same picture, and then no reading can tell them apart:

- Equal images. The reading is the lowest row among all nearest images, so equal pictures get equal readings.
- Symmetric shapes. A square turned by a quarter is the same square. A `Symmetry` names such a factor and how
  often each shape comes back to itself in a full turn; the factor is then read as a phase, see there.
- Nearly equal images: where several images are nearest, `certain` says which factors all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from disbench.errors import UsageError, argument, unknown
from disbench.metrics.arrays import Array, Bools, Floats, Ints
from disbench.metrics.conversion import as_array
from disbench.metrics.oracle.nearest import (
    Bits,
    Nearest,
    Stored,
    hamming_weights,
    level_weights,
    nats_weights,
)
from disbench.metrics.registry import Grid

THRESHOLD = 0.5
# Probability of white or black that a pixel has at least, so that one wrong pixel is no proof.
LEAST = 1e-3
RULES = ("hamming", "likelihood")
CHUNK = 1024


@dataclass(frozen=True)
class Symmetry:
    """A factor that turns shapes, some of which look the same several times in a full turn.

    A value v of the turning factor, of which `steps` make a full turn, is read as its phase within the time
    after which its shape comes back to itself: (times v) mod steps, for a shape that does so `times` times.
    The phase runs through 0, 1, ..., steps - 1 for every shape, grows by `times` with each step of the
    factor, and is equal for two values exactly if they show the same picture of a perfect shape. With 39
    steps a square, which comes back 4 times, has the phase 4 v mod 39: its quarter of 90 degrees is cut into
    39 phases of 2.3 degrees.

    Attributes:
        shape: column of the factor that is the shape.
        turn: column of the factor that turns it.
        times: for each shape, how often it comes back to itself in a full turn.
        steps: of the turning factor in a full turn.

    Raises:
        UsageError: steps and times that have a divisor in common, so that two phases would be one.
    """

    shape: int
    turn: int
    times: tuple[int, ...]
    steps: int

    def __post_init__(self) -> None:
        if any(times < 1 or np.gcd(times, self.steps) != 1 for times in self.times):
            raise UsageError(
                f"a symmetry of {self.times} times in {self.steps} steps has phases that coincide; the steps "
                "of a full turn and each number of times must have no divisor in common"
            )

    def fold(self, factors: Ints) -> Ints:
        """Factors (..., k) with the turning factor as its phase."""
        folded = factors.copy()
        times = np.asarray(self.times)[factors[..., self.shape]]
        folded[..., self.turn] = times * factors[..., self.turn] % self.steps
        return folded


@dataclass(frozen=True)
class Reading:
    """What an oracle reads in n pictures.

    Attributes:
        rows: (n,) lowest row of the grid among the nearest images.
        factors: (n, k) its factors, with phases in the place of turns.
        distance: (n,) pixels in which it differs from the picture, cut at the threshold; for grey levels and
            colours the root of the mean squared difference in [0, 1].
        nats: (n,) -log P(nearest image | picture); None unless read by likelihood.
        white: (n,) white pixels of the picture; of grey levels their sum, black 0 and white 1.
        ties: (n,) how many rows are nearest.
        certain: (n, k) whether all of these have the same value of a factor.
    """

    rows: Ints
    factors: Ints
    distance: Floats
    nats: Floats | None
    white: Floats
    ties: Ints
    certain: Bools

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, which: Ints) -> Reading:
        """The reading of some of the pictures, by their numbers (m,)."""
        nats = None if self.nats is None else self.nats[which]
        columns = (self.distance[which], nats, self.white[which], self.ties[which], self.certain[which])
        return Reading(self.rows[which], self.factors[which], *columns)


class Oracle:
    """Reads pictures of a grid whose images are all known.

    Args:
        stored: all images of the grid, in its order.
        grid: factor sizes and names.
        symmetry: of a factor that turns shapes; None if there is none.
        shape: (c, h, w) of an image.

    Raises:
        UsageError: another number of images or pixels.
    """

    def __init__(
        self, stored: Stored, grid: Grid, shape: tuple[int, int, int], symmetry: Symmetry | None = None
    ) -> None:
        if stored.n != len(grid):
            raise UsageError(f"{stored.n:,} images cannot be those of a grid of {len(grid):,}; give all")
        if stored.pixels != np.prod(shape):
            raise UsageError(f"images of {stored.pixels} numbers are not {shape}; give (c, h, w) of one")
        self.stored, self.given, self.shape, self.symmetry = stored, grid, shape, symmetry

    @cached_property
    def search(self) -> Nearest:
        """The index, made when it is first needed."""
        return Nearest(self.stored)

    @cached_property
    def frequencies(self) -> tuple[Floats, ...]:
        """For each factor, as it is read, how large a part of all images has each value."""
        n, every = len(self.given), self.factors(np.arange(len(self.given)))
        return tuple(
            np.bincount(column, minlength=size) / n
            for column, size in zip(every.T, self.grid.sizes, strict=True)
        )

    @property
    def grid(self) -> Grid:
        """The factors as they are read: with phases in the place of turns."""
        if self.symmetry is None:
            return self.given
        sizes = list(self.given.sizes)
        sizes[self.symmetry.turn] = self.symmetry.steps
        return Grid(tuple(sizes), self.given.names)

    def factors(self, rows: Ints) -> Ints:
        """Factor values (..., k) of rows (...,), with phases in the place of turns."""
        factors = self.given.factors(rows)
        return factors if self.symmetry is None else self.symmetry.fold(factors)

    def pictures(self, rows: Ints) -> Floats:
        """Images (b, c, h, w) in [0, 1] of the rows."""
        images = self.stored.read(rows).reshape(-1, *self.shape)
        return images / np.float32(255) if self.stored.levels else images

    def read(
        self,
        pictures: object,
        *,
        by: str = "hamming",
        threshold: float = THRESHOLD,
        least: float = LEAST,
        progress: Callable[[int, int], None] | None = None,
    ) -> Reading:
        """Reads pictures.

        Args:
            pictures: (n, c, h, w) in [0, 1], with or without the channel if there is one.
            by: "hamming" or "likelihood", for binary images.
            threshold: above it a pixel is white.
            least: probability of white and of black that every pixel has, for the likelihood.
            progress: called now and then with how many pictures are read, of how many.

        Raises:
            UsageError: another shape or range, an unknown rule, or likelihood of images that are not binary.
        """
        if by not in RULES:
            raise unknown(f"value of {argument('by')}", by, RULES)
        if not (0 <= threshold < 1 and 0 < least < 0.5):
            raise UsageError(
                f"{argument('threshold')} {threshold} and {argument('least')} {least} were given; give at "
                "least 0 and below 1, and between 0 and 0.5"
            )
        if self.stored.levels and by != "hamming":
            raise UsageError("a likelihood needs binary images, and these have grey levels; omit it")
        given = self._checked(pictures)
        parts = []
        for start in range(0, max(len(given), 1), CHUNK):
            # the products are small: more threads wait for each other
            with threadpool_limits(limits=1):
                parts.append(self._read(given[start : start + CHUNK], by, threshold, least))
            if progress is not None:
                progress(min(start + CHUNK, len(given)), len(given))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        rows = joined["rows"]
        return Reading(
            rows.astype(np.int64),
            self.factors(rows.astype(np.int64)),
            joined["distance"],
            joined.get("nats"),
            joined["white"],
            joined["ties"],
            joined["certain"],
        )

    def _read(self, x: Floats, by: str, threshold: float, least: float) -> Mapping[str, Array]:
        """The columns of a `Reading` for pictures (m, pixels)."""
        columns: dict[str, Array] = {}
        if self.stored.levels:
            weights, constant = level_weights(x)
            found = self.search.find(weights)
            squared = np.maximum(constant - found.gain, 0.0) / 255**2
            columns["distance"] = np.sqrt(squared / self.stored.pixels)
            columns["white"] = x.sum(axis=1, dtype=np.float64)
        else:
            cut = x > threshold
            columns["white"] = cut.sum(axis=1).astype(np.float64)
            if by == "likelihood":
                weights, constant = nats_weights(x, least)
                found = self.search.find(weights)
                columns["nats"] = constant - found.gain
                nearest = self.stored.read(np.array([rows[0] for rows in found.rows], np.int64)) > 0
                columns["distance"] = (nearest != cut).sum(axis=1).astype(np.float64)
            else:
                found = self.search.find(hamming_weights(cut))
                columns["distance"] = columns["white"] - found.gain
        columns["rows"] = np.array([rows[0] for rows in found.rows], np.int64)
        columns["ties"] = np.array([len(rows) for rows in found.rows], np.int64)
        certain = np.empty((len(x), len(self.given.sizes)), bool)
        for i, rows in enumerate(found.rows):
            factors = self.factors(rows)
            certain[i] = (factors == factors[0]).all(axis=0)
        columns["certain"] = certain
        return columns

    def _checked(self, pictures: object) -> Floats:
        """Pictures (n, pixels) in [0, 1]."""
        x = as_array(pictures, "pictures")
        fits = x.ndim == 4 and x.shape[1:] == self.shape
        grey = x.ndim == 3 and (1, *x.shape[1:]) == self.shape
        if not (fits or grey):
            raise UsageError(f"pictures {x.shape} must be (n, {', '.join(map(str, self.shape))})")
        if x.dtype.kind not in "biuf":
            raise UsageError(f"pictures of {x.dtype} must be numbers in [0, 1]")
        x = x.reshape(len(x), self.stored.pixels)
        if x.dtype.kind != "f":
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            bad = int((~np.isfinite(x)).any(axis=1).sum())
            raise UsageError(f"{bad:,} of {len(x):,} pictures hold NaN or infinity; the model has diverged")
        if x.size and (x.min() < 0 or x.max() > 1):
            raise UsageError(
                f"pictures from {x.min():g} to {x.max():g} must be numbers in [0, 1]; divide levels by 255"
            )
        return x


def of_bits(
    packed: object, grid: Grid, shape: tuple[int, int, int], symmetry: Symmetry | None = None
) -> Oracle:
    """The oracle of binary images, packed eight pixels a byte.

    Args:
        packed: (n, ...) uint8, one row per image, in the order of the grid.
        grid: factor sizes and names.
        shape: (c, h, w) of an image.
        symmetry: see `Symmetry`.
    """
    array = np.asarray(packed)
    return Oracle(Bits(array.reshape(len(array), -1)), grid, shape, symmetry)
