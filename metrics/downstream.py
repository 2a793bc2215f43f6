"""Downstream accuracy: Locatello et al. 2019, arXiv:1811.12359.

A simple classifier predicts each factor from all codes after few labels; the score is its accuracy on fresh
rows, averaged over factors, for the largest number of labels. `parts` has every number of labels, and the
efficiency, which is the accuracy with the fewest labels over that with the most.

Deviations: the smaller training sets are the first rows of the larger ones; disentanglement_lib draws each
anew. With many values the regressions reach their limit of steps, as they do there, and a warning says so.
With too few labels for the cross-validation, C is 1.

Traps:

- It measures what is there, not how it is arranged: any invertible linear mix of the codes keeps it.
- With few labels the score has a large spread over which labels were drawn.
- Chance is the share of the commonest value of each factor, averaged, so it depends on the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.model_selection import KFold

from disbench.errors import unknown
from disbench.metrics import arrays, boosted_trees, checks, logistic, parallel
from disbench.metrics.arrays import Floats, Ints, Split
from disbench.metrics.registry import Score, Setting, metric
from disbench.ranges import Count, Several

# The C to choose from, those of scikit-learn.
CS = tuple(np.logspace(-4, 4, 10))


def _seconds(d: int, values: int, settings: Mapping[str, Setting]) -> float:
    """The labels decide it, not the rows."""
    sizes, model = settings["sizes"], settings["model"]
    labels = sum(size for size in sizes if isinstance(size, int)) if isinstance(sizes, tuple) else 0
    if model == "boosting":
        return boosted_trees.seconds(arrays.work(labels, d, values), name=str(settings["library"]))
    fits = 50 if model == "logistic_cv" else 1
    return fits * labels / 1000 * values / 113 * (0.04 + 0.00015 * d)


@metric(
    paper="arXiv:1811.12359",
    perfect=1.0,
    presets={
        "dlib": {},
        "dlib_sizes": {"sizes": (10, 100, 1000, 10_000)},
        "dlib_boosting": {"model": "boosting"},
        "dlib_boosting_sizes": {"model": "boosting", "sizes": (10, 100, 1000, 10_000)},
    },
    depends_on=("scale", "common scale", "origin"),
    seconds=lambda n, d, values, settings: _seconds(d, values, settings),
)
def downstream(
    codes: Floats,
    factors: Ints,
    *,
    rng: np.random.Generator,
    split: Split | None = None,
    preset: str = "dlib",
    sizes: tuple[Several, ...] = (1000,),
    model: str = "logistic_cv",
    folds: Several = 5,
    max_iter: Count = 100,
    library: str = "auto",
    n_jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Mean accuracy, on fresh rows, of classifiers from all codes to each factor, fitted on few labels.

    Args:
        codes: (n, d), one row per image.
        factors: (n, k), index of each factor's value.
        rng: seeds the classifiers, and draws the split if none is given.
        split: (rows to fit on, rows to test on); the first `size` rows of the former are used.
        sizes: numbers of labels to learn from.
        model: "logistic_cv" (logistic regression, C from 10 values by cross-validation), "logistic" (C = 1)
            or "boosting" (gradient-boosted trees).
        folds: of the cross-validation.
        max_iter: steps of each logistic regression.
        library: that grows boosted trees, as for `dci`; `parts` names it, with its version.
        n_jobs: threads or processes; -1 is one per core. No score depends on it.
        progress: called with (fits done, fits in all).
    """
    k = factors.shape[1]
    train, test = checks.split_rows("downstream", len(codes), split, rng)
    checks.need_rows("downstream", len(train), max(sizes), "to fit on, the largest of sizes")
    if model not in ("logistic_cv", "logistic", "boosting"):
        raise unknown("model of downstream", model, ("logistic_cv", "logistic", "boosting"))
    used = boosted_trees.used("downstream", model, library)
    units: tuple[str, ...] = ()
    if model == "boosting":
        # trees work in single precision
        z, _ = arrays.conditioned(codes, train)
    else:
        units = checks.about_units(codes)
        checks.check_size("downstream", codes, "model='boosting'")
        z = codes.astype(np.float64)
    every = [(size, factor, arrays.seed(rng)) for size in sizes for factor in range(k)]
    fits: Sequence[tuple[float, float, tuple[str, ...]]]
    if model == "boosting":
        tasks = [boosted_trees.Task(z, factors[:, j], train[:size], test, seed) for size, j, seed in every]
        grown = boosted_trees.fit(tasks, library, n_jobs, progress)
        fits = [
            (fit.train, fit.test, _alone(task.y[task.train])) for fit, task in zip(grown, tasks, strict=True)
        ]
    else:
        jobs = [(z, factors[:, j], train[:size], test, model, folds, max_iter) for size, j, _ in every]
        fits = parallel.each(_accuracies, jobs, n_jobs, progress)
    train_accuracy, test_accuracy = np.array([f[:2] for f in fits]).T.reshape(2, len(sizes), k)
    means = test_accuracy.mean(axis=1)
    largest = int(np.argmax(sizes))
    smallest = int(np.argmin(sizes))
    return Score(
        means[largest],
        parts={
            "sizes": tuple(sizes),
            "train_accuracy": train_accuracy,  # (sizes, k)
            "test_accuracy": test_accuracy,
            "mean_test_accuracy": means,
            "min_test_accuracy": test_accuracy.min(axis=1),
            "efficiency": float(arrays.ratio(means[smallest], means[largest])),
            "library": used,
        },
        live=arrays.varying(codes),
        warnings=(*dict.fromkeys(note for f in fits for note in f[2]), *units),
    )


def _alone(y: Ints) -> tuple[str, ...]:
    """The note about labels y (n,) of one value; none about others."""
    if len(np.unique(y)) > 1:
        return ()
    return (f"with {len(y)} labels some factor shows one value only, which is then the guess for all rows",)


def _accuracies(
    codes: Floats, v: Ints, train: Ints, test: Ints, model: str, folds: int, max_iter: int
) -> tuple[float, float, tuple[str, ...]]:
    """(accuracy on train, on test, notes) of the logistic regression of one factor v (n,)."""
    z, y = codes[train], v[train]
    if notes := _alone(y):
        return 1.0, float((v[test] == y[0]).mean()), notes
    splits = list(KFold(folds).split(z)) if model == "logistic_cv" and len(z) >= folds else []
    if splits and all(len(np.unique(y[fit])) == len(np.unique(y)) for fit, _ in splits):
        fitted = logistic.fit_by_folds(z, y, CS, splits, max_iter)
    else:
        if model == "logistic_cv":
            notes = (
                f"with {len(y)} labels a fold lacks a value of some factor, so C is 1 there and not chosen",
            )
        fitted = logistic.Problem(z, y).solve(max_iter=max_iter)
    return fitted.accuracy(z, y), fitted.accuracy(codes[test], v[test]), notes
