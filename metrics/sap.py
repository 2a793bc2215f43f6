"""Separated attribute predictability: Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848.

    SAP = 1/K sum_k (S_ak - S_bk),    S_jk: how well z_j alone predicts v_k;  a, b: the two codes best for v_k

For a discrete factor S is the accuracy of a linear support vector machine, for a continuous one the squared
correlation.

Deviations: S of a constant code is 0 for a continuous factor, and the accuracy of a guess for a discrete one.

Variants:

The two forms of S are not comparable, and papers differ in which factors they call discrete. Published values
for dSprites run from under .1 to .6, more by variant than by model.

Traps:

- **A perfect representation scores .30 to .40 in the discrete form**: a one-dimensional linear classifier
  cannot put more than a few classes in order.
- The machine has a penalty on raw codes, so the discrete form depends on their scale.
- The continuous form takes a code of a standard deviation of 1e-6 or less for a constant one, as
  disentanglement_lib does. A warning says so.
- Perfect codes given twice score 0, as for `mig`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from disbench.metrics import arrays, checks, information, one_code_svm
from disbench.metrics.arrays import Floats, Ints, Split
from disbench.metrics.factors import DSPRITES
from disbench.metrics.registry import Score, Setting, metric
from disbench.ranges import Positive

# Standard deviation; the rule of disentanglement_lib.
LEAST = 1e-6
# Share of the largest standard deviation up to which a code is small in any unit.
BESIDE = 1e-3


def squared_correlation(codes: Floats, factors: Ints) -> Floats:
    """(d, k) Squared correlation of each code with each factor; 0 for a code of variance up to 1e-12."""
    z, v = (arrays.conditioned(table)[0] for table in (codes, factors))
    z, v = z - z.mean(axis=0), v - v.mean(axis=0)
    counts = arrays.deviation(codes) > LEAST
    square = arrays.ratio(
        (z.T @ v) ** 2, np.outer(np.where(counts, (z**2).sum(axis=0), 0), (v**2).sum(axis=0))
    )
    return np.minimum(square, 1)


def _about_small(codes: Floats) -> list[str]:
    """The warning about codes that count as constant in `squared_correlation` for their unit alone."""
    spread = arrays.deviation(codes)
    # beside far larger codes a small one is as good as constant in any unit
    small = int(((spread <= LEAST) & (spread > BESIDE * spread.max())).sum())
    if not small:
        return []
    return [
        f"{small} of the {len(spread)} codes vary by a standard deviation of {LEAST:.0e} or less and count "
        "as constant; multiply all codes by one constant"
    ]


def _discrete(continuous: Setting) -> bool | tuple[bool, ...]:
    """Whether factors must be values, for all or for each, from the setting of that name."""
    return tuple(not each for each in continuous) if isinstance(continuous, tuple) else not continuous


@metric(
    paper="arXiv:1711.00848",
    chance="0",
    # the second best code guesses, which of few values is often right
    perfect=lambda settings: 1.0 if settings["continuous"] is True else None,
    presets={
        # disentanglement_lib, config/unsupervised_study_v1
        "dlib": {},
        "dlib_continuous": {"continuous": True},
        # dSprites, where only shape, the first factor, is discrete
        "infogan_cr": {"continuous": (False, True, True, True, True), "held_out": False},
        "ubisoft": {"continuous": True, "held_out": False},
    },
    depends_on=("scale", "common scale", "origin"),
    integer_factors=lambda settings: _discrete(settings["continuous"]),
    defined_for={"infogan_cr": DSPRITES},
    seconds=lambda n, d, values, settings: (
        0.2 * arrays.work(n, d, values) if settings["continuous"] is not True else 0.0
    ),
)
def sap(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator | None = None,
    split: Split | None = None,
    preset: str = "dlib",
    continuous: bool | tuple[bool, ...] = False,
    C: Positive = 0.01,
    standardise: bool = False,
    held_out: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Mean gap between the two codes that predict a factor best on their own (SAP).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value; of a continuous factor any numbers.
        rng: draws the split if none is given.
        split: (rows to fit on, rows to test on).
        continuous: whether factors are continuous, for all or one for each that varies. Their correlation is
            taken over the rows to fit on.
        C: inverse weight of the penalty of the support vector machine.
        standardise: divide each code by its standard deviation, so that its scale does not matter.
        held_out: fit and test on separate rows; otherwise on all rows, without a split.
        progress: called with (machines fitted, machines in all).

    Examples:
        A perfect representation, of continuous factors and of discrete ones (see the traps):

        >>> import numpy as np
        >>> from disbench.metrics import sap
        >>> factors = np.stack(np.unravel_index(np.arange(90) % 9, (3, 3)), axis=1)
        >>> round(sap(factors, factors, preset="ubisoft").score, 3)
        1.0
        >>> sap(factors, factors, rng=np.random.default_rng(0)).score < 0.5
        True
    """
    n, d = codes.shape
    k = factors.shape[1]
    everything = np.arange(n)
    train, test = checks.split_rows("sap", n, split, rng) if held_out else (everything, everything)
    is_continuous = np.array(checks.per_factor("sap", "continuous", continuous, k))
    raw = not standardise and not is_continuous.all()
    if raw:
        checks.check_size("sap", codes, "standardise=True")
    z = arrays.standardise(codes, train) if standardise else codes.astype(np.float64)
    s = np.zeros((d, k))
    s[:, is_continuous] = squared_correlation(z[train], factors[train][:, is_continuous])
    notes = _about_small(z[train]) if is_continuous.any() else []
    discrete = np.flatnonzero(~is_continuous)
    for done, factor in enumerate(discrete):
        y = factors[:, factor]
        if len(np.unique(y[train])) < 2:
            notes.append(
                f"factor {factor} has one value in the rows to fit on, so every code predicts it alike"
            )
            continue
        for code in range(d):
            s[code, factor] = one_code_svm.accuracy(z[train, code], y[train], z[test, code], y[test], C)
            if progress is not None:
                progress(done * d + code + 1, len(discrete) * d)
    gaps = information.gap(s)
    return Score(
        gaps.mean(),
        parts={"gap": gaps, "predictability": s},
        live=arrays.varying(codes),
        warnings=(*notes, *(checks.about_units(codes) if raw else ())),
    )
