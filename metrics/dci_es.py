"""DCI-ES: Eastwood, Nicolicioiu, von Kügelgen et al. 2023 (ICLR), arXiv:2210.00364.

Probes of growing capacity predict each factor from all codes. How soon their loss falls is explicitness: how
easy the codes are to use.

    E_k = 1 - (area between the curve of losses and its lowest loss) / (1/2 (c_max - c_min) b_k)
    E   = mean_k E_k,    S = K / d

    symbol   here        shape     meaning
    c        depths      (m,)      capacities of the probes, here the largest depth of a forest's trees
    l_kc     losses      (k, m)    loss on fresh rows: 1 - R^2 of a regression, 1 - accuracy of a classifier;
                                   the least up to this capacity
    b_k      baselines   (k,)      loss of a guess: 1, and of a classifier 1 - 1 / number of values
    E_k      factors     (k,)      1 where the smallest probe is as good as any, 0 where the loss falls in a
                                   line from b_k to 0, below 0 where it stays up until the end
    S        size                  number of factors / number of codes
    D, C, I                        of the probe with the best mean I = 1 - l, see `dci`

The headline score is E.

Deviations: one forest per factor is grown to the largest depth and read at each smaller one, where the
authors grow one for each; a tree cut at a depth is a tree of that depth, but for the random draws of a
classifier. Of the authors' three families of probes there are only forests: not their networks, and not their
random Fourier features. They standardise the codes, which does not move a tree, and hold out further rows for
validation, which decide nothing for a forest. Definition, capacities and number of trees are those of their
code. It has no S, and the text of the paper was not at hand, so that S follows its summary: size relative to
the ground truth. Where no code varies, E is 0; by the formula it is 1.

Traps:

- **Codes without information score near 1**: their curve is flat, and the area is taken above its own lowest
  loss. E says how easily what is there is read, not how much is there; look at I, in `parts`.
- So a code that hides a little information deep scores lower than one that has none.
- It depends on the capacities: with deeper trees that no factor needs, E grows.
- A factor of many values needs deep trees even from a perfect code, so perfect codes do not score 1: one of
  32 values is first told exactly by trees of depth 5.
- More rows let deep trees learn more, which moves E. Compare at equal n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from disbench.errors import UsageError
from disbench.metrics import arrays, checks, parallel
from disbench.metrics.arrays import Array, Floats, Ints, Split
from disbench.metrics.dci import completeness, disentanglement
from disbench.metrics.factors import DSPRITES
from disbench.metrics.registry import Score, Setting, metric
from disbench.ranges import Count

# The authors' configuration of forests.
DEPTHS = (1, 2, 3, 4, 8, 10, 12, 14, 16, 18, 20, 32)


def explicitness_of(capacities: Floats | Ints, losses: Floats, baseline: float) -> float:
    """E_k of a curve of losses (m,) that nowhere rise, at capacities (m,) that grow."""
    above = losses - losses[-1]
    area = float((np.diff(capacities) * (above[:-1] + above[1:]) / 2).sum())
    return 1 - 2 * area / (float(capacities[-1] - capacities[0]) * baseline)


def _discrete(continuous: Setting) -> bool | tuple[bool, ...]:
    return tuple(not each for each in continuous) if isinstance(continuous, tuple) else not continuous


def _seconds(n: int, d: int, values: int, settings: Mapping[str, Setting]) -> float:
    return n / 15_000 * d / 10 * 0.28 * int(str(settings["trees"]))


@metric(
    paper="arXiv:2210.00364",
    default="eastwood2023",
    presets={
        "eastwood2023": {},
        # dSprites, where the authors' code takes only shape, the first factor, for discrete
        "eastwood2023_dsprites": {"continuous": (False, True, True, True, True)},
        "quick": {"trees": 10},
    },
    defined_for={"eastwood2023_dsprites": DSPRITES},
    integer_factors=lambda settings: _discrete(settings["continuous"]),
    depends_on=("values",),
    seconds=_seconds,
)
def dci_es(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator,
    split: Split | None = None,
    preset: str = "eastwood2023",
    continuous: bool | tuple[bool, ...] = True,
    depths: tuple[Count, ...] = DEPTHS,
    trees: Count = 100,
    n_jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """How small a probe can be that reads the factors from the codes (E of DCI-ES; parts has D, C, I and S).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value; for a regression any numbers.
        rng: seeds the forests, and draws the split if none is given.
        split: (rows to fit on, rows to test on).
        continuous: whether factors are regressed or classified, for all or one for each.
        depths: capacities, two or more depths that grow.
        trees: of a forest.
        n_jobs: processes; -1 is one per core. No score depends on it.
        progress: called with (factors done, factors in all).
    """
    n, d = codes.shape
    k = factors.shape[1]
    train, test = checks.split_rows("dci_es", n, split, rng)
    if len(depths) < 2 or list(depths) != sorted(set(depths)):
        raise UsageError(f"dci_es: depths must be two or more whole numbers that grow, but are {depths}")
    regress = checks.per_factor("dci_es", "continuous", continuous, k)
    # trees work in single precision
    z, _ = arrays.conditioned(codes, train)
    jobs = [
        (z, factors[:, factor], train, test, regress[factor], depths, trees, arrays.seed(rng))
        for factor in range(k)
    ]
    fits = parallel.each(_curve, jobs, n_jobs, progress)
    losses = np.stack([fit[0] for fit in fits])  # (k, m)
    importance = np.stack([fit[1] for fit in fits], axis=-1)  # (m, d, k)
    baselines = np.array(
        [1.0 if r else 1 - 1 / len(np.unique(v)) for r, v in zip(regress, factors.T, strict=True)]
    )
    told = np.array([fit[2] for fit in fits])
    lowest = np.minimum.accumulate(losses, axis=1)
    per_factor = np.array(
        [explicitness_of(np.array(depths), *curve) for curve in zip(lowest, baselines, strict=True)]
    )
    live = arrays.varying(codes)
    per_factor[~(told & live.any())] = 0.0
    best = int((1 - losses).mean(axis=0).argmax())
    D, per_code, _ = disentanglement(importance[best])
    C, _ = completeness(importance[best], weighted=True)
    return Score(
        float(per_factor.mean()),
        parts={
            "explicitness": float(per_factor.mean()),
            "size": k / d,
            "disentanglement": D,
            "completeness": C,
            "informativeness": float(1 - losses[:, best].mean()),
            "best_depth": depths[best],
            "factors": per_factor,
            "losses": losses,
            "baselines": baselines,
            "importance": importance[best],
            "codes": per_code,
        },
        live=live,
        warnings=tuple(
            f"factor {factor} has one value in the rows to fit on or to test on, so its E counts as 0"
            for factor in np.flatnonzero(~told)
        ),
    )


def _curve(
    z: Floats,
    v: Array,
    train: Ints,
    test: Ints,
    regress: bool,
    depths: tuple[int, ...],
    trees: int,
    seed: int,
) -> tuple[Floats, Floats, bool]:
    """(losses (m,), importance (m, d), whether there is something to tell) of one factor v (n,)."""
    known = len(np.unique(v[train])) > 1 and len(np.unique(v[test])) > 1
    if not known:
        return np.ones(len(depths)), np.zeros((len(depths), z.shape[1])), False
    forest: RandomForestRegressor | RandomForestClassifier
    kind = RandomForestRegressor if regress else RandomForestClassifier
    forest = kind(n_estimators=trees, max_depth=depths[-1], random_state=seed)
    forest.fit(z[train], v[train])
    fresh = z[test].astype(np.float32)
    guesses = np.mean([list(_read(tree.tree_, fresh, depths)) for tree in forest.estimators_], axis=0)
    if regress:
        wrong = ((guesses[..., 0] - v[test]) ** 2).mean(axis=1) / v[test].var()
    else:
        wrong = (forest.classes_[guesses.argmax(axis=2)] != v[test]).mean(axis=1)
    shares = np.mean([_importance(tree.tree_, depths, z.shape[1]) for tree in forest.estimators_], axis=0)
    return wrong, arrays.ratio(shares, shares.sum(axis=1, keepdims=True)), True


def _read(tree: Any, z: Array, depths: tuple[int, ...]) -> Iterator[Floats]:
    """For each depth, (n, outputs) what a tree that ends there says of rows z (n, d)."""
    node, rows = np.zeros(len(z), dtype=np.intp), np.arange(len(z))
    for depth in range(1, depths[-1] + 1):
        left = tree.children_left[node]
        goes_left = z[rows, np.maximum(tree.feature[node], 0)] <= tree.threshold[node]
        node = np.where(left < 0, node, np.where(goes_left, left, tree.children_right[node]))
        if depth in depths:
            yield tree.value[node][:, 0, :]


def _importance(tree: Any, depths: tuple[int, ...], d: int) -> Floats:
    """(m, d) For each depth, each code's share of the impurity that the splits above it remove."""
    inner = np.flatnonzero(tree.children_left >= 0)
    left, right = tree.children_left[inner], tree.children_right[inner]
    weighted = tree.impurity * tree.weighted_n_node_samples
    removed = weighted[inner] - weighted[left] - weighted[right]
    level = np.zeros(tree.node_count, dtype=int)
    # a node stands before its children
    for parent, *children in zip(inner, left, right, strict=True):
        level[children] = level[parent] + 1
    shares = np.zeros((len(depths), d))
    for i, depth in enumerate(depths):
        shares[i] = np.bincount(tree.feature[inner], weights=removed * (level[inner] < depth), minlength=d)
    return arrays.ratio(shares, shares.sum(axis=1, keepdims=True))
