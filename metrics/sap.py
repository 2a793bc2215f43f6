"""Separated attribute predictability: Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848.

    SAP = 1/K sum_k (S_ak - S_bk),    S_jk: how well z_j alone predicts v_k;  a, b: the two codes best for v_k

For a discrete factor S is the accuracy of a linear support vector machine, for a continuous one the squared
correlation. A one-dimensional linear classifier cannot put more than a few classes in order, so even a
perfect code scores only .3 to .4 on discrete factors of 6 to 10 values; the two kinds are not comparable.

Deviations: constant codes predict nothing: 0 for a continuous factor, and the machine guesses for a
discrete one.

Variants:

For discrete factors a linear support vector machine on one code, scored by accuracy; for continuous ones the
squared correlation. The two are not comparable, and papers differ in which factors they call discrete:
published values for dSprites run from under .1 to .6 by variant more than by model.

Traps:

- **A perfect representation scores .30 to .40 in the discrete form**: a one-dimensional linear classifier
  cannot put more than a few classes in order.
- The machine's penalty sees raw codes, so the discrete form depends on their scale.
- Copies are punished to nothing, as in `mig`.
"""

import numpy as np
from sklearn.svm import LinearSVC

from disbench.metrics import arrays, checks, information
from disbench.metrics.arrays import Floats, Ints, Split
from disbench.metrics.registry import Score, metric


def squared_correlation(codes: Floats, factors: Ints) -> Floats:
    """(d, k) Squared correlation of each code with each factor; 0 for a code of variance up to 1e-12."""
    z = codes - codes.mean(axis=0, dtype=np.float64)
    v = factors - factors.mean(axis=0)
    spread = (z**2).mean(axis=0)
    return arrays.ratio(
        (z.T @ v) ** 2, np.outer(np.where(spread > 1e-12, (z**2).sum(axis=0), 0), (v**2).sum(axis=0))
    )


@metric(
    paper="arXiv:1711.00848",
    chance="0",
    presets={
        "dlib": {},  # disentanglement_lib, config/unsupervised_study_v1
        "dlib_continuous": {"continuous": True},
        # dSprites, where only shape, the first factor, is discrete
        "infogan_cr": {"continuous": (False, True, True, True, True), "held_out": False},
        "ubisoft": {"continuous": True, "held_out": False},
    },
    depends_on=("scale", "common scale", "origin"),
)
def sap(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator | None = None,
    split: Split | None = None,
    preset: str = "dlib",
    continuous: bool | tuple[bool, ...] = False,
    C: float = 0.01,
    standardise: bool = False,
    held_out: bool = True,
) -> Score:
    """Mean gap between the two codes that predict a factor best on their own (SAP).

    Args:
        codes: (n, d). factors: (n, k).
        split: (rows to fit on, rows to test on); drawn from `rng` if not given.
        continuous: whether factors are continuous, for all or for each that varies. Their correlation is
            taken over the rows to fit on.
        C: inverse weight of the penalty of the support vector machine. It sees the scale of the codes;
            `standardise=True` takes the scale out.
        held_out: fit and test on rows apart; otherwise on all rows, no split needed.
    """
    n, d = codes.shape
    k = factors.shape[1]
    everything = np.arange(n)
    train, test = checks.split_rows("sap", n, split, rng) if held_out else (everything, everything)
    is_continuous = np.array(checks.per_factor("sap", "continuous", continuous, k))
    z = arrays.standardise(codes, train) if standardise else codes
    s = np.zeros((d, k))
    s[:, is_continuous] = squared_correlation(z[train], factors[train][:, is_continuous])
    notes = []
    for factor in np.flatnonzero(~is_continuous):
        y = factors[:, factor]
        if len(np.unique(y[train])) < 2:
            notes.append(
                f"factor {factor} has one value in the rows to fit on, so every code predicts it alike"
            )
            continue
        for code in range(d):
            machine = LinearSVC(C=C, class_weight="balanced", dual=False)
            machine.fit(z[train, code : code + 1], y[train])
            s[code, factor] = machine.score(z[test, code : code + 1], y[test])
    gaps = information.gap(s)
    return Score(
        gaps.mean(),
        parts={"gap": gaps, "predictability": s},
        live=arrays.varying(codes),
        warnings=tuple(notes),
    )
