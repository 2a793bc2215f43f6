"""Data sets made from others: chosen rows, some classes, unequal classes, or drawn on.

    mnist:train                     a split of the manifest
    mnist:classes-0,1,6             these classes only, numbered 0, 1, 2 in the order of their old numbers
    mnist:imbalanced-7              unequal classes, split 7 of 50
    mnist:classes-0,1:imbalanced-7  one after the other, from left to right

Unequal classes are made as for Elastic-InfoGAN (Ojha et al., NeurIPS 2020): class k keeps a share u_k /
max_j u_j of the size of the smallest class, u_k ~ U(0.1, 1) independently, so the largest class of a split
has as many images as the smallest class has at all. The published 50 splits were analysed to follow this
rule; these are 50 of our own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disbench.benchmark.datasets.dataset import Dataset, Pixels, Storage
from disbench.benchmark.datasets.manifest import Manifest
from disbench.benchmark.datasets.naming import SPLITS, as_in_tables, of_a_table
from disbench.errors import UsageError, unknown
from disbench.metrics.arrays import Ints


def derive(dataset: Dataset, option: str, facts: Manifest | None = None) -> Dataset:
    """The data set that an option makes of another.

    Args:
        dataset: the other one.
        option: the text after a colon, see the head of this file.
        facts: its manifest, which has the splits; None for a user's file.

    Raises:
        UsageError: an unknown option, or one that does not fit the data set.
    """
    check_option(dataset.name, option, facts)
    kind, _, argument = option.partition("-")
    splits = facts.splits if facts else {}
    if option in splits:
        if len(dataset) != (facts.count if facts else None):
            raise UsageError(
                f"{dataset.name}:{option}: a split comes first, as in {facts and facts.name}:{option}"
            )
        return select(dataset, option, np.arange(*splits[option]))
    if kind == "classes":
        return only_classes(dataset, option, _numbers(argument, option))
    (split,) = _numbers(argument, option, most=1)
    return select(dataset, option, imbalanced_rows(_labels(dataset), split))


def check_option(name: str, option: str, facts: Manifest | None = None) -> None:
    """That there is such an option, which can be said before the data are read.

    Args:
        name: of the data set.
        option: the text after a colon, see the head of this file.
        facts: the manifest of the data set; None for a user's file.

    Raises:
        UsageError: an unknown option, or one without its number.
    """
    kind, _, argument = option.partition("-")
    splits = facts.splits if facts else {}
    label = as_in_tables(option)
    if label and (label[0] in splits or re.fullmatch(r"classes-[\d,]+|imbalanced-\d+", label[0])):
        raise of_a_table(f"{name}:{option}", f"{name}:{label[0]}", label[1])
    if option in splits:
        return
    if kind not in ("classes", "imbalanced"):
        raise unknown("option", option, [*splits, "classes-0,1", "imbalanced-0"])
    _numbers(argument, option, most=1 if kind == "imbalanced" else 1000)


def select(dataset: Dataset, option: str, rows: Ints) -> Dataset:
    """The rows (m,) of a data set as one of its own. A factor grid becomes a table of factors."""
    # classes that stand beside factors are none of them
    given = dataset.factor_sizes is not None or dataset.factor_table is not None
    digest = hashlib.sha256(dataset.sha256.encode() + np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return replace(
        dataset,
        name=f"{dataset.name}:{option}",
        sha256=digest.hexdigest(),
        storage=Rows(dataset.storage, rows),
        factor_sizes=None,
        factor_levels=(),
        labels=None if dataset.labels is None else dataset.labels[rows],
        factor_table=dataset.factor_values(rows) if given else None,
    )


def only_classes(dataset: Dataset, option: str, classes: list[int]) -> Dataset:
    """The images of some classes, numbered anew from 0; `classes` keeps their names."""
    labels = _labels(dataset)
    known = np.unique(labels)
    if len(classes) < 2 or not np.isin(classes, known).all():
        raise UsageError(f"{dataset.name}:{option}: name two or more of the classes {known.tolist()}")
    kept = np.unique(classes)
    chosen = select(dataset, option, np.flatnonzero(np.isin(labels, kept)))
    # checked by _labels
    assert chosen.labels is not None
    return replace(
        chosen,
        labels=np.searchsorted(kept, chosen.labels),
        classes=tuple(dataset.classes[k] for k in kept) if dataset.classes else tuple(map(str, kept)),
    )


def imbalance(split: int, classes: int) -> NDArray[np.float64]:
    """Class sizes relative to the largest, (classes,), of split 0 to 49: u / max u, u ~ U(0.1, 1)."""
    if not 0 <= split < SPLITS:
        raise UsageError(f"imbalanced-{split} does not exist; choose imbalanced-0 to imbalanced-{SPLITS - 1}")
    u = 0.1 + 0.9 * _uniform(np.random.PCG64([split, classes]), classes)
    share: NDArray[np.float64] = u / u.max()
    return share


def imbalanced_rows(labels: Ints, split: int) -> Ints:
    """Rows (m,) in ascending order of one imbalanced split of the labels (n,)."""
    sizes = np.bincount(labels)
    if len(sizes) < 2 or sizes.min() == 0:
        raise UsageError(
            f"classes of {sizes.tolist()} images cannot be made unequal; each needs at least one"
        )
    counts = np.floor(imbalance(split, len(sizes)) * sizes.min()).astype(np.int64).clip(1)
    order = np.argsort(
        _uniform(np.random.PCG64([split, len(sizes), len(labels)]), len(labels)), kind="stable"
    )
    shuffled = labels[order]
    kept = [order[shuffled == k][:count] for k, count in enumerate(counts)]
    return np.sort(np.concatenate(kept))


def _uniform(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    """n numbers in [0, 1) straight from the bit generator, whose stream numpy never changes."""
    return (bits.random_raw(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _numbers(text: str, option: str, most: int = 1000) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(parts) > most:
        raise UsageError(f"option {option!r} must end in a number, such as imbalanced-7 or classes-0,1,6")
    return [int(part) for part in parts]


def _labels(dataset: Dataset) -> Ints:
    if dataset.labels is None:
        raise UsageError(f"data set {dataset.name!r} has no labels; choose one that has, such as 'digits'")
    return dataset.labels


class Rows:
    """Some rows of another storage.

    Args:
        base: the other storage.
        rows: (n,) row numbers there.
    """

    def __init__(self, base: Storage, rows: Ints) -> None:
        self.base = base
        self.rows = rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        return len(self.rows), *self.base.shape[1:]

    def read(self, rows: Ints) -> Pixels:
        """See `Storage`."""
        return self.base.read(self.rows[rows])


@dataclass(frozen=True)
class Styled:
    """Sprites with something drawn on them, as in Locatello et al. 2019; three channels.

    There each look at an image draws anew. Here what is drawn depends on the row, so that an image has one
    code and a run can be repeated: row i always has the same colour, noise or background.

        color   the sprite's white becomes a colour U(0.5, 1)^3
        noisy   the background becomes noise U(0, 1) in every pixel and channel
        scream  the background becomes a random patch of the picture averaged with a colour U(0, 1)^3, and the
                sprite shows the inverse of that background

    Attributes:
        base: the sprites.
        style: one of these names.
        picture: file of the picture; None for the other styles.
    """

    base: Storage
    style: str
    picture: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, 3, h, w)."""
        n, _, h, w = self.base.shape
        return n, 3, h, w

    def read(self, rows: Ints) -> Pixels:
        """See `Storage`."""
        sprites = self.base.read(rows)
        draw = {"color": self._color, "noisy": self._noisy, "scream": self._scream}[self.style]
        drawn = [draw(image, _row_rng(row)) for image, row in zip(sprites, rows.tolist(), strict=True)]
        return np.stack(drawn) if drawn else np.empty((0, *self.shape[1:]), np.float32)

    def _color(self, sprite: Pixels, rng: np.random.Generator) -> Pixels:
        return sprite * (0.5 + 0.5 * rng.random((3, 1, 1), np.float32))

    def _noisy(self, sprite: Pixels, rng: np.random.Generator) -> Pixels:
        return np.maximum(sprite, rng.random(self.shape[1:], np.float32))

    def _scream(self, sprite: Pixels, rng: np.random.Generator) -> Pixels:
        _, h, w = self.shape[1:]
        top, left = rng.integers(0, (self._scene.shape[1] - h + 1, self._scene.shape[2] - w + 1))
        patch = self._scene[:, top : top + h, left : left + w]
        background = 0.5 * (patch + rng.random((3, 1, 1), np.float32))
        return np.where(sprite > 0, 1 - background, background)

    @cached_property
    def _scene(self) -> Pixels:
        # `loading` gives one for this style
        assert self.picture is not None
        return scene(self.picture, self.shape[2])

    def __reduce__(self) -> tuple[Callable[..., Styled], tuple[Storage, str, Path | None]]:
        # without the picture's pixels, which are cached
        return Styled, (self.base, self.style, self.picture)


def scene(path: Path, size: int) -> Pixels:
    """A picture (3, h, w) in [0, 1], reduced to at most 350x274 as in disentanglement_lib."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.thumbnail((350, 274), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read as a picture: {error}; give a PNG or JPEG file") from error
    if min(pixels.shape[1:]) < size:
        raise UsageError(
            f"the picture {path} is {pixels.shape[2]}x{pixels.shape[1]}; both must be at least {size}"
        )
    return pixels / np.float32(255)


def _row_rng(row: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=2017, counter=[0, row, 0, 0]))
