"""What a code follows: the class of a picture, or its rotation, width or thickness.

A category that a method finds without labels need not be the class (Ojha et al. 2020, arXiv:1910.01112,
figure 2: the categories of unequal digits are often those of rotation or width). Pictures are drawn from each
category, a classifier says their class, and moments say the rest. Then

    share of class      1 - sum_c p(c) (1 - sum_y p(y|c)^2) / (1 - sum_y p(y)^2)      Goodman & Kruskal's tau
    share of moment a   1 - (n-1)/(n-k) E Var(a|c) / Var(a)                           adjusted R^2

Both are the share of a variance, that of the class as one-hot rows and that of a, which is gone once the
category is known: 0 by chance, 1 if the category decides. Since classes differ in width and thickness, a
category that is the class follows these as well. `within` is the same share among pictures of one class,
averaged over classes by their pictures: what the category says beyond the class.

A real code has levels in place of categories: some of its values, equally likely by its prior. Where all
other latents are drawn anew, the share is a first-order index of Sobol (1993). InfoGAN's paper shows in its
figure 2 that one real code changes the rotation of digits, and another their width.

    moment       of a picture of white on black, its pixels as masses
    rotation     angle of the line x = s y + const by least squares, s = mu_xy / mu_yy: the slant, in radians
    width        standard deviation across that line, over the picture's side
    height       standard deviation along y, over the side
    thickness    4 E d over the side, d the distance of a white pixel to the edge: within a stroke of width w
                 it is w / 4 on average
    mass         mean pixel

Deviations: figure 2 shows pictures, and no number; these are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from disbench.errors import UsageError
from disbench.metrics.arrays import Floats, Ints

MOMENTS = ("rotation", "width", "height", "thickness", "mass")
WHITE = 0.5
# The share from which on something is followed.
LEAST = 0.05


@dataclass(frozen=True)
class Followed:
    """What a category follows.

    Attributes:
        shares: of "class" and of each moment.
        means: (categories,) of each moment, in each category; NaN where no picture has moments.
        within: of each moment, among pictures of one class.
        leader: "class", or the moment whose share within the classes exceeds that of the class; "nothing"
            where no share reaches `LEAST`.
        classes: (categories,) the most frequent class of each category.
        purity: (categories,) its share there.
        dropped: pictures without any white, which have no moments and count for the class alone.
    """

    shares: Mapping[str, float]
    within: Mapping[str, float]
    leader: str
    classes: Ints
    purity: Floats
    dropped: int
    means: Mapping[str, Floats]


def moments(pictures: Floats) -> dict[str, Floats]:
    """Each of `MOMENTS` (n,) of pictures (n, h, w) in [0, 1]; NaN of a black one."""
    from scipy.ndimage import distance_transform_edt

    n, h, w = pictures.shape
    mass = pictures.sum(axis=(1, 2), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = pictures / mass[:, None, None]
        y, x = np.arange(h) / h, np.arange(w) / w
        my, mx = weights.sum(axis=2) @ y, weights.sum(axis=1) @ x
        dy, dx = y - my[:, None], x - mx[:, None]
        yy = (weights.sum(axis=2) * dy**2).sum(axis=1)
        xx = (weights.sum(axis=1) * dx**2).sum(axis=1)
        xy = np.einsum("nhw,nh,nw->n", weights, dy, dx)
        slant = np.where(yy > 0, xy / np.where(yy > 0, yy, 1), 0.0)
        # of x - s y, the distance to the slanted line along x
        across = np.sqrt(np.maximum(xx - slant * xy, 0.0))
    thick = np.full(n, np.nan)
    for i, picture in enumerate(pictures > WHITE):
        if picture.any():
            # half a pixel: distances are between centres, and the edge lies halfway
            depth = distance_transform_edt(np.pad(picture, 1))[1:-1, 1:-1][picture] - 0.5
            thick[i] = 4 * depth.mean() / h
    found = {
        "rotation": np.where(mass > 0, np.arctan(slant), np.nan),
        "width": np.where(mass > 0, across, np.nan),
        "height": np.where(mass > 0, np.sqrt(yy), np.nan),
        "thickness": thick,
        "mass": mass / (h * w),
    }
    return found


def share_of_class(category: Ints, label: Ints) -> float:
    """Goodman & Kruskal's tau: the share of the class (n,) that the category (n,) says; 0 for one class."""
    table = counted(category, label)
    of_category, of_class = table.sum(axis=1), table.sum(axis=0)
    n = len(label)
    total = n - np.square(of_class).sum() / n
    left = n - (np.square(table).sum(axis=1) / np.maximum(of_category, 1)).sum()
    return float(1 - left / total) if total > 0 else 0.0


def counted(category: Ints, label: Ints) -> Floats:
    """(categories, classes) How many pictures there are of each."""
    table = np.zeros((category.max() + 1, label.max() + 1))
    np.add.at(table, (category, label), 1)
    return table


def share_of_moment(category: Ints, values: Floats) -> float:
    """Adjusted R^2 of values (n,) on the category (n,), at least 0; 0 for constant values."""
    _, place, count = np.unique(category, return_inverse=True, return_counts=True)
    n, k = len(values), len(count)
    centred = values - values.mean()
    whole = float(centred @ centred)
    if n <= k or whole <= 1e-18 * n:
        return 0.0
    means = np.bincount(place, centred) / count
    left = np.square(centred - means[place]).sum()
    return float(max(0.0, 1 - (n - 1) / (n - k) * left / whole))


def followed(category: Ints, label: Ints, pictures: Floats) -> Followed:
    """What the category of pictures follows.

    Args:
        category: (n,) from which each picture was drawn, or the level of a real code, 0, 1, ....
        label: (n,) its class by a classifier, 0, 1, ....
        pictures: (n, h, w) in [0, 1], white on black.

    Raises:
        UsageError: arrays of other shapes, or fewer than two categories.
    """
    if pictures.ndim != 3 or not len(category) == len(label) == len(pictures):
        raise UsageError(
            f"categories {category.shape}, classes {label.shape} and pictures {pictures.shape} must be (n,), "
            "(n,) and (n, h, w)"
        )
    if len(np.unique(category)) < 2:
        raise UsageError("one category follows nothing; draw pictures of two or more")
    found = moments(pictures)
    drawn = found["mass"] > 0
    drawn &= np.isfinite(found["thickness"])
    shares = {"class": share_of_class(category, label)}
    within = {}
    for name in MOMENTS:
        shares[name] = share_of_moment(category[drawn], found[name][drawn]) if drawn.any() else 0.0
        parts = [(label == y) & drawn for y in np.unique(label[drawn])]
        each = [share_of_moment(category[part], found[name][part]) for part in parts]
        within[name] = float(np.average(each, weights=[part.sum() for part in parts])) if parts else 0.0
    table = counted(category, label)
    counts = np.bincount(category[drawn], minlength=len(table))
    means = {
        name: np.divide(
            np.bincount(category[drawn], found[name][drawn], len(table)),
            counts,
            out=np.full(len(table), np.nan),
            where=counts > 0,
        )
        for name in MOMENTS
    }
    best = max(within, key=lambda name: within[name])
    leader = "class" if shares["class"] >= within[best] else best
    return Followed(
        shares,
        within,
        leader if max(shares["class"], within[best]) >= LEAST else "nothing",
        table.argmax(axis=1),
        table.max(axis=1) / np.maximum(table.sum(axis=1), 1),
        int((~drawn).sum()),
        means,
    )
