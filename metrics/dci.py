"""DCI: Eastwood & Williams 2018 (ICLR).

    symbol   here              shape     meaning
    R_jk     importance        (d, k)    how much code j matters to the predictor of factor k
    P_jk                                 R_jk / sum_k R_jk, and P~_jk = R_jk / sum_j R_jk
    D_j      disentanglement   (d,)      1 - H_K(P_j.), entropy to base k
    C_k      completeness      (k,)      1 - H_D(P~_.k), entropy to base d
    rho_j                      (d,)      R_j. / R_.., the weights of D = sum_j rho_j D_j

The headline score is D. Informativeness is how well the predictors do; high is good in all of them.

Deviations: `ibgan` has the depths that InfoGAN-CR's code attributes to IB-GAN, in the order of dSprites'
factors; the number of trees is scikit-learn's default of that time. `eastwood2018_forest` has fixed depths,
the paper tuned ones, and the informativeness of a regression is 1 - NRMSE^2, in the paper NRMSE. A code of no
importance has D_j = 0 and no weight; the library behind `ubisoft` stops at the first such code.

Variants:

Boosted trees, forests and Lasso give different importances, and so different metrics under one name. `dlib`
uses gradient boosting and reports accuracy; the original used Lasso or forests and reports a normalised
error, where low is good (here 1 minus its square). `dlib` weights completeness by the factor's importance,
the original takes a plain mean.

Traps:

- The predictor is part of the metric: a cyclic code is perfect for trees and useless for a linear model.
- Noise codes get importance from overfitting, more with fewer rows. On 1,500 rows random codes were fitted to
  .83 accuracy and scored .17 on fresh rows; look at `parts`, not at the fit.
- D and C are shares, of noise as well: a lasso that finds one small coefficient in codes without information
  has a D of 1. Where no regression explains anything, a warning says so.
- C divides by log d, so adding dead codes raises it. Compare models of equal d, or prune first.
- Impurity importance favours codes of many values, and shares itself out at random among copies.
- It is the slowest metric by far without numba: minutes where the others take a second. With it
  (`pip install "disbench[fast]"`) it takes seconds, see `boosted_trees`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Lasso
from sklearn.model_selection import cross_val_score

from disbench.errors import unknown
from disbench.metrics import arrays, boosted_trees, checks, parallel
from disbench.metrics.arrays import Array, Floats, Ints, Split
from disbench.metrics.factors import DSPRITES
from disbench.metrics.registry import Score, Setting, metric
from disbench.ranges import Count, NotNegative

# The choice of the library behind `ubisoft`.
LASSO_ALPHAS = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1.0)

# Share of a factor's variance up to which a predictor of it knows nothing.
NOTHING = 0.01


def disentanglement(importance: Floats) -> tuple[float, Floats, Floats]:
    """(D, D_j (d,), rho_j (d,)) of importances (d, k), which are not negative."""
    per_code = _one_minus_entropy(importance)
    total = importance.sum()
    rho = importance.sum(axis=1) / total if total else np.zeros(len(importance))
    # shares add up to 1 but for rounding
    return min(1.0, float(rho @ per_code)), per_code, rho


def completeness(importance: Floats, weighted: bool) -> tuple[float, Floats]:
    """(C, C_k (k,)) of importances (d, k). C is the mean over factors, weighted by importance or not."""
    per_factor = _one_minus_entropy(importance.T)
    weights = importance.sum(axis=0)
    if not weights.any():
        return 0.0, per_factor
    return min(1.0, float(np.average(per_factor, weights=weights if weighted else None))), per_factor


def _one_minus_entropy(rows: Floats) -> Floats:
    """Per row, 1 minus the entropy of its shares to the base of its length; 0 for an empty row."""
    if rows.shape[1] == 1:
        return (rows[:, 0] > 0).astype(float)
    total = rows.sum(axis=1, keepdims=True)
    p = arrays.ratio(rows, total)
    h = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) / np.log(rows.shape[1])
    return np.where(total[:, 0] > 0, np.clip(1 - h, 0, 1), 0.0)


def _seconds(n: int, d: int, values: int, settings: Mapping[str, Setting]) -> float:
    """Trees are grown for each value of a factor by boosting, and for each factor by a forest."""
    size, model = arrays.work(n, d, values), settings["model"]
    given = settings["trees"] if isinstance(settings["trees"], int) else None
    if model == "boosting":
        return boosted_trees.seconds(size, given or boosted_trees.ROUNDS, str(settings["library"]))
    return size * {"forest": 0.2 * (given or 10), "lasso_cv": 2.5}.get(str(model), 0.1)


@metric(
    paper="Eastwood & Williams 2018",
    perfect=1.0,
    chance="0",
    presets={
        "dlib": {},
        "eastwood2018_lasso": {"model": "lasso", "weighted": False},
        "eastwood2018_forest": {"model": "forest", "depths": 12, "weighted": False},
        "ibgan": {"model": "forest", "depths": (4, 2, 4, 2, 2), "weighted": False, "held_out": False},
        "infogan_cr": {"model": "forest", "depths": (4, 5, 2, 5, 5), "weighted": False, "held_out": False},
        "ubisoft": {"model": "lasso_cv", "scale": "minmax", "weighted": False, "held_out": False},
    },
    integer_factors=lambda settings: settings["model"] == "boosting",
    seconds=_seconds,
    # the depths of their trees are those that the papers give for dSprites
    defined_for=dict.fromkeys(("ibgan", "infogan_cr"), DSPRITES),
)
def dci(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator,
    split: Split | None = None,
    preset: str = "dlib",
    model: str = "boosting",
    trees: Count | None = None,
    depths: Count | tuple[Count, ...] | None = None,
    alpha: NotNegative = 0.02,
    scale: str = "standard",
    weighted: bool = True,
    held_out: bool = True,
    library: str = "auto",
    n_jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Whether each code matters to the predictor of one factor only (D of DCI; parts has C and I).

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value; for a regression any numbers.
        rng: seeds the predictors, and draws the split if none is given.
        split: (rows to fit on, rows to test on).
        model: "boosting" (gradient-boosted classifiers, I = accuracy), "forest" (random regression forests)
            or "lasso" (both with I = 1 - NRMSE^2, the explained share of variance), or "lasso_cv" (with alpha
            chosen by 10-fold cross-validation, I = 1 - 12 MSE, not below 0).
        trees: boosting rounds, 100 by default, or trees of a forest, 10 by default.
        depths: depth of each tree, for all factors or one for each; by default 3 for boosting, and no limit
            for a forest.
        alpha: weight of the lasso's penalty.
        scale: of codes and factors for a regression: "standard" or "minmax". Boosting takes raw codes.
        weighted: weigh C_k by the factor's importance, as disentanglement_lib does, or alike.
        held_out: fit and test on separate rows; otherwise on all rows, without a split.
        library: that grows boosted trees, "numba" or "scikit-learn"; "auto" takes the former, which is many
            times as fast, where it is installed. `parts` names it, with its version.
        n_jobs: threads or processes; -1 is one per core. No score depends on it.
        progress: called with (factors done, factors in all).

    Examples:
        A code for each factor, and codes that mix both factors without loss:

        >>> import numpy as np
        >>> from disbench.metrics import dci
        >>> factors = np.stack(np.unravel_index(np.arange(60) % 12, (3, 4)), axis=1)
        >>> few = {"preset": "eastwood2018_lasso", "n_jobs": 1}
        >>> round(dci(factors, factors, rng=np.random.default_rng(0), **few).score, 3)
        1.0
        >>> mixed = dci(factors @ [[1, 1], [1, -1]], factors, rng=np.random.default_rng(0), **few)
        >>> round(mixed.score, 1), round(mixed.parts["informativeness_test"], 1)
        (0.0, 1.0)
    """
    n, d = codes.shape
    k = factors.shape[1]
    everything = np.arange(n)
    train, test = checks.split_rows("dci", n, split, rng) if held_out else (everything, everything)
    if model == "lasso_cv":
        checks.need_rows("dci", len(train), 10, "to choose alpha by 10-fold cross-validation")
    notes = [
        f"factor {factor} has one value in the rows to fit on, so nothing can be learnt about it"
        for factor in np.flatnonzero(~arrays.varying(factors[train]))
    ]
    if model in ("forest", "lasso"):
        notes += [
            f"factor {factor} has one value in the rows to test on, so its informativeness there counts as 0"
            for factor in np.flatnonzero(~arrays.varying(factors[test]) & arrays.varying(factors[train]))
        ]
    depth_of = checks.per_factor("dci", "depths", depths, k)
    regress = model != "boosting"
    used = boosted_trees.used("dci", model, library)
    # trees work in single precision
    z = _scaled(codes, train, scale) if regress else arrays.conditioned(codes, train)[0]
    v = _scaled(factors, train, scale) if regress else factors
    fits: Sequence[tuple[Floats, float, float]]
    seeds = [arrays.seed(rng) for _ in range(k)]
    if model == "boosting":
        rounds, depth = trees or boosted_trees.ROUNDS, boosted_trees.DEPTH
        tasks = [
            boosted_trees.Task(z, v[:, factor], train, test, seeds[factor], rounds, depth_of[factor] or depth)
            for factor in range(k)
        ]
        fits = boosted_trees.fit(tasks, library, n_jobs, progress)
    else:
        jobs = [
            (z, v[:, factor], train, test, model, trees, depth_of[factor], alpha, seeds[factor])
            for factor in range(k)
        ]
        fits = parallel.each(_fit, jobs, n_jobs, progress)
    importance = np.stack([fit[0] for fit in fits], axis=1)  # (d, k)
    train_quality, test_quality = (np.array([fit[side] for fit in fits]) for side in (1, 2))
    D, per_code, rho = disentanglement(importance)
    C, per_factor = completeness(importance, weighted)
    if not importance.any():
        notes.append("no code matters to any predictor, so D and C are 0")
    elif model in ("forest", "lasso") and test_quality.max() <= NOTHING:
        notes.append(
            f"no predictor explains more than {NOTHING:.0%} of its factor's variance, so that D and C are "
            "shares of noise"
        )
    if k == 1:
        notes.append("with one factor every code that matters is disentangled")
    if d == 1:
        notes.append("with one code every factor it matters to is complete")
    return Score(
        D,
        parts={
            "disentanglement": D,
            "completeness": C,
            "informativeness_train": float(train_quality.mean()),
            "informativeness_test": float(test_quality.mean()),
            "importance": importance,
            "codes": per_code,
            "weights": rho,
            "factors": per_factor,
            "factors_informativeness": test_quality,
            "library": used,
        },
        live=arrays.varying(codes),
        warnings=tuple(notes),
    )


def _scaled(x: Array, train: Ints, scale: str) -> Floats:
    if scale == "standard":
        return arrays.standardise(x, train)
    if scale == "minmax":
        x, _ = arrays.conditioned(x, train)
        low = x[train].min(axis=0)
        return arrays.ratio(x - low, x[train].max(axis=0) - low)
    raise unknown("scale of dci", scale, ("standard", "minmax"))


def _fit(
    z: Array,
    v: Array,
    train: Ints,
    test: Ints,
    model: str,
    trees: int | None,
    depth: int | None,
    alpha: float,
    seed: int,
) -> tuple[Floats, float, float]:
    """(importance of codes (d,), quality on train, quality on test) of the predictor of one factor v (n,)."""
    if len(np.unique(v[train])) < 2:
        same = [float((v[rows] == v[train[0]]).mean()) for rows in (train, test)]
        return np.zeros(z.shape[1]), same[0], same[1]
    predictor: RandomForestRegressor | Lasso
    if model == "forest":
        predictor = RandomForestRegressor(n_estimators=trees or 10, max_depth=depth, random_state=seed)
    elif model == "lasso":
        predictor = Lasso(alpha=alpha)
    elif model == "lasso_cv":
        predictor = Lasso(alpha=_best_alpha(z[train], v[train]))
    else:
        raise unknown("model of dci", model, ("boosting", "forest", "lasso", "lasso_cv"))
    predictor.fit(z[train], v[train])
    linear = model in ("lasso", "lasso_cv")
    importance = np.abs(predictor.coef_) if linear else predictor.feature_importances_
    if model == "lasso_cv":
        mse = [float(((predictor.predict(z[rows]) - v[rows]) ** 2).mean()) for rows in (train, test)]
        return importance, max(0.0, 1 - 12 * mse[0]), max(0.0, 1 - 12 * mse[1])
    return importance, _explained(predictor, z[train], v[train]), _explained(predictor, z[test], v[test])


def _explained(predictor: RandomForestRegressor | Lasso, z: Floats, v: Floats) -> float:
    """R^2 of a fitted predictor; 0 where v (n,) has one value, whose variance is that of rounding."""
    return float(predictor.score(z, v)) if (v != v[0]).any() else 0.0


def _best_alpha(z: Floats, v: Floats) -> float:
    """The alpha with the least squared error in 10-fold cross-validation over consecutive rows."""
    error = [
        -cross_val_score(Lasso(alpha=a, max_iter=5000), z, v, cv=10, scoring="neg_mean_squared_error").mean()
        for a in LASSO_ALPHAS
    ]
    return LASSO_ALPHAS[int(np.argmin(error))]
