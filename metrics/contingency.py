"""Clustering metrics on a table of counts, as in Elastic-InfoGAN: Ojha et al. 2020, arXiv:1910.01112.

    symbol   here            shape              meaning
    C        counts          (latents, classes) images of latent i that a classifier calls class j
    p_hat    latent_prior    (latents,)         learned probability of each latent category
    p        class_prior     (classes,)         share of each class in the training data

Each metric is a function of a `ContingencyTable`. Entropies are in nats.

Deviations: `ent` has named rules for an empty row or column of the table, for which the published code gives
NaN. The paper has no code for the prior's error; `prior_rmse(match="majority")` follows its text.

Examples:

    >>> from disbench.metrics import ContingencyTable, nmi
    >>> latents, classes = [0, 0, 1, 1], [1, 1, 0, 1]
    >>> table = ContingencyTable.from_labels(latents, classes, shape=(2, 2))
    >>> round(nmi(table).score, 3)
    0.346
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score

from disbench.errors import UsageError, unknown
from disbench.metrics import arrays, information
from disbench.metrics.arrays import Floats, Ints
from disbench.metrics.conversion import as_array, check_aligned
from disbench.metrics.registry import Score, metric

# Counts in a table: more latents and classes than anyone has images for.
MOST = 10**7


@dataclass(frozen=True)
class ContingencyTable:
    """Counts of every pair (latent category, class), and the two priors where they are known.

    Attributes:
        counts: (latents, classes), not negative; whole numbers for `ari` and `ami`.
        latent_prior: (latents,) probabilities, not logits; None if unknown.
        class_prior: (classes,) probabilities, not counts; None if unknown.

    Raises:
        UsageError: counts or a prior that are none.
    """

    counts: Floats | Ints
    latent_prior: Floats | None = None
    class_prior: Floats | None = None

    def __post_init__(self) -> None:
        counts = as_array(self.counts, "counts")
        if counts.ndim != 2 or counts.dtype.kind not in "fiu" or not np.isfinite(counts).all():
            raise UsageError(
                f"counts {counts.dtype} {counts.shape} must be a table (latents, classes) of finite numbers"
            )
        if counts.size == 0 or counts.min() < 0 or counts.sum() == 0:
            raise UsageError("counts must hold at least one image and no negative number")
        object.__setattr__(self, "counts", counts.astype(np.float64))
        for side, prior in enumerate(("latent_prior", "class_prior")):
            given = getattr(self, prior)
            if given is not None:
                object.__setattr__(self, prior, _probabilities(prior, given, counts.shape[side]))

    @classmethod
    def from_labels(
        cls,
        latents: Ints,
        classes: Ints,
        *,
        shape: tuple[int, int] | None = None,
        latent_prior: Floats | None = None,
        class_prior: Floats | None = None,
    ) -> ContingencyTable:
        """The table of two label vectors of the same images.

        Args:
            latents: (n,) latent category of each image, numbered from 0.
            classes: (n,) class of each image, numbered from 0.
            shape: (number of latents, number of classes). Without it the largest labels that occur count,
                so that a last class without an image has no column and is not missed.
            latent_prior: (latents,) learned probability of each latent category.
            class_prior: (classes,) share of each class in the training data.

        Raises:
            UsageError: vectors that differ in length, labels that are no whole numbers from 0 or make too
                large a table, or a shape that is none or too small for them.

        Examples:
            >>> from disbench.metrics import ContingencyTable
            >>> ContingencyTable.from_labels([0, 0, 1, 1], [1, 1, 0, 1], shape=(2, 2)).counts
            array([[0., 2.],
                   [1., 1.]])
        """
        check_aligned("a table", latents, classes, "latents and classes")
        a, b = as_array(latents, "latents"), as_array(classes, "classes")
        if a.ndim != 1 or a.shape != b.shape or not len(a):
            raise UsageError(
                f"latents {a.shape} and classes {b.shape} must be two label vectors of one length"
            )
        if a.dtype.kind not in "iu" or b.dtype.kind not in "iu" or min(a.min(), b.min()) < 0:
            raise UsageError("latents and classes must be whole numbers from 0")
        largest = int(a.max()), int(b.max())
        sizes = [largest[0] + 1, largest[1] + 1] if shape is None else list(np.ravel(shape))
        if len(sizes) != 2 or not all(isinstance(size, int | np.integer) for size in sizes):
            raise UsageError(f"shape {shape} must be two whole numbers, of latents and of classes")
        rows, columns = map(int, sizes)
        if largest[0] >= rows or largest[1] >= columns:
            raise UsageError(f"shape {shape} is too small for labels up to {largest[0]} and {largest[1]}")
        if rows * columns > MOST:
            raise UsageError(
                f"latents and classes would make a table of {rows:,} x {columns:,} counts; are they ids? "
                "Number them from 0, by np.unique(labels, return_inverse=True)[1]"
            )
        flat = np.bincount(a.astype(np.int64) * columns + b.astype(np.int64), minlength=rows * columns)
        return cls(flat.reshape(rows, columns), latent_prior, class_prior)


def _probabilities(name: str, given: object, n: int) -> Floats:
    p = as_array(given, name).astype(np.float64)
    if p.shape != (n,):
        raise UsageError(f"{name} {p.shape} must have one probability for each of {n}")
    if not np.isfinite(p).all() or p.min() < 0 or abs(p.sum() - 1) > 1e-3:
        raise UsageError(
            f"{name} must be probabilities, not negative and with sum 1, but the sum is {p.sum():.4g}; "
            f"apply softmax to logits, divide counts by their sum"
        )
    shares: Floats = p / p.sum()
    return shares


def _marginals(table: ContingencyTable) -> tuple[float, float, float]:
    """(H(latent), H(class), I(latent; class)) in nats, images weighted alike."""
    c = table.counts
    latent, cls = (information.entropy_of_counts(c.sum(axis=axis)) for axis in (1, 0))
    return latent, cls, float(arrays.floor(np.array(latent + cls - information.entropy_of_counts(c))))


def _whole(name: str, table: ContingencyTable) -> Floats | Ints:
    """The counts, for a metric that is corrected for chance: of shares of images chance is not known."""
    if (np.rint(table.counts) != table.counts).any():
        raise UsageError(f"{name}: counts must be whole numbers of images, but some are fractions")
    return table.counts


@metric(
    kind="clustering",
    paper="arXiv:1910.01112",
    perfect=0.0,
    default="elastic",
    presets={"elastic": {}, "elastic_strict": {"empty": "logk"}, "elastic_published": {"empty": "nan"}},
    higher_is_better=False,
    chance="ln k",
)
def ent(table: ContingencyTable, *, preset: str = "elastic", empty: str = "skip") -> Score:
    """Mean entropy (nats) of the latents' class shares and the classes' latent shares (ENT); 0 is perfect.

    Each row and each column counts once, whatever its number of images.

    Variants:

    The presets differ in the entropy of a row or column without images, such as a class that no latent
    produces: `elastic` leaves it out, `elastic_strict` takes ln k, the largest possible, and
    `elastic_published` gives no score at all (NaN), as the published code does.

    Traps:

    - **Low is good**, and leaving out empty columns flatters: a generator that never draws a class has fewer
      columns to be wrong in. Read it beside `nmi`.
    - It depends on the classifier, whose name, accuracy and hash are recorded with each score.

    Args:
        table: latents by classes.
        empty: rule for a row or column without images: "skip", "logk" or "nan", see the variants.
    """
    if empty not in ("skip", "logk", "nan"):
        raise unknown("rule for empty rows of ent", empty, ("skip", "logk", "nan"))
    c = table.counts
    rows = [information.entropy_of_counts(line) if line.sum() else math.nan for line in c]
    columns = [information.entropy_of_counts(line) if line.sum() else math.nan for line in c.T]
    h = np.array(rows + columns)
    none = np.isnan(h)
    worst = np.log(np.repeat([c.shape[1], c.shape[0]], [len(rows), len(columns)]))
    by_rule = {"skip": h[~none].mean(), "logk": np.where(none, worst, h).mean(), "nan": h.mean()}
    note = f"{int(none.sum())} latents or classes have no image; counted by the rule {empty!r}"
    return Score(
        by_rule[empty],
        parts={
            "latents": np.array(rows),
            "classes": np.array(columns),
            "skip": by_rule["skip"],
            "logk": by_rule["logk"],
            "empty": int(none.sum()),
        },
        warnings=(note,) if none.any() else (),
    )


@metric(
    kind="clustering",
    paper="arXiv:1910.01112",
    perfect=1.0,
    default="elastic",
    presets={"elastic": {}, "sklearn": {"average": "arithmetic"}},
    chance="0",
)
def nmi(table: ContingencyTable, *, preset: str = "elastic", average: str = "geometric") -> Score:
    """Mutual information of latent and class over an average of their entropies (NMI).

    One latent and one class agree perfectly and score 1. One latent and several classes share no
    information and score 0, and so do one class and several latents.

    Variants:

    `elastic` divides by the geometric mean of the two entropies, the default of scikit-learn before 0.22 and
    so the rule of the published numbers; `sklearn` by the arithmetic mean, the default since. The two agree
    while both entropies are alike and differ in the third digit otherwise.

    Traps:

    - It is not corrected for chance: with few images of each latent it exceeds 0 by counting alone. `ami` is
      corrected.
    - Each latent has the same number of images, whatever the learned prior says.

    Args:
        table: latents by classes.
        average: of the two entropies: "geometric", "arithmetic", "min" or "max".
    """
    latent, cls, mi = _marginals(table)
    averages = {
        "geometric": math.sqrt(latent * cls),
        "arithmetic": (latent + cls) / 2,
        "min": min(latent, cls),
        "max": max(latent, cls),
    }
    if average not in averages:
        raise unknown("average of nmi", average, averages)
    trivial = 1.0 if latent == cls == 0 else 0.0
    by_average = {name: mi / h if h > 0 and mi > 0 else trivial for name, h in averages.items()}
    return Score(
        by_average[average],
        parts={"mutual_information": mi, "entropy_latents": latent, "entropy_classes": cls, **by_average},
    )


@metric(
    kind="clustering",
    paper="arXiv:1910.01112",
    perfect=0.0,
    default="elastic",
    presets={"elastic": {}, "hungarian": {"match": "hungarian"}, "sorted": {"match": "sorted"}},
    higher_is_better=False,
)
def prior_rmse(table: ContingencyTable, *, preset: str = "elastic", match: str = "majority") -> Score:
    """Root mean squared difference, over classes, of the learned prior and the data's class shares (RMSE).

    Variants:

    `elastic` follows the paper's text, for which no code was published: each latent goes to the class most
    frequent in its row (ties to the lowest), and latents with the same class add up their priors, so that a
    class without a latent has 0. `hungarian` assigns one latent to one class for the most counts, and drops
    the prior of latents left over. `sorted` compares the sorted priors and ignores the assignment, which
    makes it a lower bound. On one reference table the three are .104, .067 and .027.

    Traps:

    - Low is good. Equal priors already score well if the classes are nearly equal: report the value of the
      uniform prior beside it.
    - Two latents that share a class make it worse even if each has the right share of it.
    - Latents that are all read as one class, noise for instance, score the distance of that class alone from
      the data's shares (.29 to .33 for ten classes), whatever prior was learned. So the learned shares come
      with the score, each with the class that its latent is read as.

    Args:
        table: latents by classes, with both priors.
        match: of latents to classes: "majority", "hungarian" or "sorted", see the variants.

    Raises:
        UsageError: a table without priors.
    """
    if table.latent_prior is None or table.class_prior is None:
        raise UsageError("prior_rmse: needs the table's latent_prior and class_prior, both probabilities")
    c, p_hat, p = table.counts, table.latent_prior, table.class_prior
    assigned = np.zeros_like(p)
    if match == "majority":
        np.add.at(assigned, c.argmax(axis=1), p_hat)
    elif match == "hungarian":
        latents, classes = linear_sum_assignment(c, maximize=True)
        assigned[classes] = p_hat[latents]
    elif match == "sorted":
        size = max(len(p), len(p_hat))
        assigned = np.sort(np.pad(p_hat, (size - len(p_hat), 0)))
        p = np.sort(np.pad(p, (size - len(p), 0)))
    else:
        raise unknown("match of prior_rmse", match, ("majority", "hungarian", "sorted"))
    read_as = c.argmax(axis=1)
    order = np.argsort(-p_hat, kind="stable")
    empty = c.sum(axis=1) == 0
    as_class = ["without images" if empty[i] else f"read as class {read_as[i]}" for i in range(len(p_hat))]
    shares = ", ".join(f"{p_hat[i]:.3f} ({as_class[i]})" for i in order)
    without = np.flatnonzero(empty)
    missing = f"no image was counted for {len(without)} of {len(p_hat)} latents "
    missing += f"({', '.join(map(str, without))})"
    if match == "majority":
        missing += "; their learned shares count as those of class 0"
    return Score(
        math.sqrt(((assigned - p) ** 2).mean()),
        parts={"assigned": assigned, "learned": p_hat, "read_as": read_as},
        warnings=(
            f"the {len(p_hat)} latents are read as {len(set(read_as[~empty]))} of {len(p)} classes; learned "
            f"shares: {shares}; shares of the classes: "
            f"{', '.join(f'{share:.3f}' for share in table.class_prior)}",
            *((missing,) if empty.any() else ()),
        ),
    )


@metric(
    kind="clustering",
    paper="Hubert & Arabie 1985",
    perfect=1.0,
    default="standard",
    presets={"standard": {}},
    chance="0",
)
def ari(table: ContingencyTable, *, preset: str = "standard") -> Score:
    """Share of image pairs on which latents and classes agree, corrected for chance (adjusted Rand index).

    Traps:

    - It counts pairs of images, so large classes dominate: splitting a frequent class costs more than merging
      two rare ones.
    - It can be negative, for a table worse than chance.


    Args:
        table: latents by classes; whole numbers of images.
    """

    def pairs(counts: Floats | Ints) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    c = _whole("ari", table)
    both, rows, columns, all_ = pairs(c), pairs(c.sum(axis=1)), pairs(c.sum(axis=0)), pairs(c.sum())
    expected = rows * columns / all_ if all_ else 0.0
    most = (rows + columns) / 2
    return Score((both - expected) / (most - expected) if most != expected else 1.0)


@metric(
    kind="clustering",
    paper="Vinh et al. 2010",
    perfect=1.0,
    default="standard",
    presets={"standard": {}},
    chance="0",
)
def ami(table: ContingencyTable, *, preset: str = "standard") -> Score:
    """Mutual information of latent and class corrected for chance, over the mean of entropies (AMI).

    Traps:

    - It is corrected for chance, so it can fall below 0 for a table worse than a random one.
    - The correction assumes that both marginals stay as they are; like `nmi` it weighs latents by how many
      images were generated of each, not by the learned prior.


    Args:
        table: latents by classes; whole numbers of images.
    """
    counts = _whole("ami", table).astype(np.int64)
    latents, classes = np.indices(counts.shape)
    labels = [np.repeat(side.ravel(), counts.ravel()) for side in (classes, latents)]
    return Score(adjusted_mutual_info_score(*labels, average_method="arithmetic"))


@metric(
    kind="clustering", paper="Zhao & Karypis 2001", perfect=1.0, default="standard", presets={"standard": {}}
)
def purity(table: ContingencyTable, *, preset: str = "standard") -> Score:
    """Share of images whose class is the most frequent one of their latent (many-to-one accuracy).

    Traps:

    - More latents always raise it: with one latent per image it is 1. Chance is the share of the largest
      class.


    Args:
        table: latents by classes.
    """
    return Score(table.counts.max(axis=1).sum() / table.counts.sum())


@metric(
    kind="clustering",
    paper="Kuhn 1955",
    perfect=1.0,
    default="standard",
    presets={"standard": {}},
    chance="about 1/k",
)
def hungarian_accuracy(table: ContingencyTable, *, preset: str = "standard") -> Score:
    """Share of images that a one-to-one assignment of latents to classes gets right (clustering accuracy).

    Traps:

    - One latent per class: with fewer latents than classes it cannot reach 1, and with more, the rest count
      as wrong.
    - With unequal classes the largest one alone gives a good share.


    Args:
        table: latents by classes.
    """
    matched = linear_sum_assignment(table.counts, maximize=True)
    return Score(table.counts[matched].sum() / table.counts.sum(), parts={"assignment": matched})


@metric(
    kind="clustering",
    paper="Rosenberg & Hirschberg 2007",
    perfect=1.0,
    default="standard",
    presets={"standard": {}},
    chance="0",
)
def homogeneity(table: ContingencyTable, *, preset: str = "standard") -> Score:
    """Share of the classes' entropy that the latents explain: each latent holds one class.

    Traps:

    - More latents than classes raise it at no cost; read it together with `completeness`.


    Args:
        table: latents by classes.
    """
    _, cls, mi = _marginals(table)
    return Score(mi / cls if cls else 1.0)


@metric(
    kind="clustering",
    paper="Rosenberg & Hirschberg 2007",
    perfect=1.0,
    default="standard",
    presets={"standard": {}},
    chance="0",
)
def completeness(table: ContingencyTable, *, preset: str = "standard") -> Score:
    """Share of the latents' entropy that the classes explain: each class is in one latent.

    Traps:

    - A latent that holds every class is "complete": read it together with `homogeneity`.


    Args:
        table: latents by classes.
    """
    latent, _, mi = _marginals(table)
    return Score(mi / latent if latent else 1.0)
