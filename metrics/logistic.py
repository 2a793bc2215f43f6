"""Logistic regressions of many classes, by L-BFGS (Byrd, Lu, Nocedal & Zhu 1995, SIAM J. Sci. Comput. 16(5)).

    f(w, b) = sum_i a_i (log sum_k exp(w_k z_i + b_k) - w_y z_i - b_y) + sum_k |w_k|^2 / (2 C A),   y = y_i

    symbol   here       shape       meaning
    w, b     w          (K, d+1)    a line for each class, b in the last column; of two classes (1, d+1)
    z_i      z          (n, d)      the codes
    y_i      y          (n,)        the class of a row, 0..K-1
    A        whole                  sum of the weights of all rows
    a_i      share      (n,)        weight of a row / A
    C        C                      inverse weight of the penalty, which leaves b free

Of two classes the second alone has a line, and the first has exp(0) in the sum.

Deviations: none from scikit-learn's `LogisticRegression`, whose settings of L-BFGS, from scipy as there, are
these. Fits that stop at their limit of steps thus stop where those do, but for rounding. What is faster is f:
the linear part of its gradient is summed once, and the exponentials are taken of few rows at a time, which
stay in the cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from disbench.metrics.arrays import Array, Floats, Split

# scikit-learn's: the largest entry of the gradient, and the relative fall of f, at which a fit has converged.
GRADIENT, FALL = 1e-4, 64 * float(np.finfo(float).eps)
HALVINGS = 50
# Exponentials at a time, which a cache of half a megabyte holds.
CHUNK = 60_000
# Exponents up to it have neither an infinite exponential nor, negated, none.
LARGEST = 600
# A warning is due where more than half of so many rows, or more, have a class of their own.
FEW = 20


class Model(NamedTuple):
    """A fitted regression.

    Attributes:
        values: (K,) what the classes stand for, sorted.
        w: (K, d+1) their lines; of two classes (1, d+1).
    """

    values: Array
    w: Floats

    def probabilities(self, z: Floats) -> Floats:
        """(n, K) Probability of each value for codes z (n, d)."""
        raw = _raw(self.w, _with_ones(z))
        raw -= raw.max(axis=0)
        p = np.exp(raw, out=raw)
        p /= p.sum(axis=0)
        return p.T

    def accuracy(self, z: Floats, v: Array) -> float:
        """Share of rows whose value v (n,) is the one of the largest probability."""
        return float((self.values[_raw(self.w, _with_ones(z)).argmax(axis=0)] == v).mean())


class Problem:
    """Values v (n,) to be told from codes z (n, d), with what all fits of them share.

    As many values as rows, or nearly, are warned of.
    """

    def __init__(self, z: Floats, v: Array, balanced: bool = False) -> None:
        """Takes the rows.

        Args:
            z: (n, d) float64.
            v: (n,) two or more different values.
            balanced: weigh values by the inverse of their frequency.
        """
        self.values, y = np.unique(v, return_inverse=True)
        n, classes = len(y), len(self.values)
        if n > FEW and classes > round(0.5 * n):
            warnings.warn("the number of unique classes exceeds half of the rows", stacklevel=2)
        lines = classes if classes > 2 else 1
        x = _with_ones(z)
        # the weights of all rows add up to n in both
        share = (1 / (classes * np.bincount(y)))[y] if balanced else np.full(n, 1 / n)
        by_value = np.argsort(y, kind="stable")
        starts = np.searchsorted(y[by_value], np.arange(classes - lines, classes))
        # (lines, d+1) the linear part of the gradient
        self._own = np.add.reduceat((share * x)[:, by_value], starts, axis=1).T
        self._reach = np.abs(x).max(axis=1)
        self._n = n
        step = max(1, CHUNK // lines)
        self._parts = [
            (part, np.ascontiguousarray(part.T), share[i : i + step], np.empty((lines, part.shape[1])))
            for i in range(0, n, step)
            for part in [np.ascontiguousarray(x[:, i : i + step])]
        ]

    def solve(self, C: float = 1.0, max_iter: int = 100, start: Floats | None = None) -> Model:
        """The regression. A fit that does not converge is warned of.

        Args:
            C: inverse weight of the penalty; infinity for none.
            max_iter: steps of L-BFGS.
            start: (K, d+1) lines to begin with, of two classes (1, d+1); zeros by default.
        """
        begin = np.zeros(self._own.shape) if start is None else start
        # codes too large for it leave it where it is, of which the warning tells
        with np.errstate(over="ignore", invalid="ignore"):
            found = minimize(
                self.loss,
                begin.ravel(),
                (0.0 if np.isinf(C) else 1 / (C * self._n),),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": max_iter, "maxls": HALVINGS, "gtol": GRADIENT, "ftol": FALL},
            )
        if found.status != 0:
            warnings.warn(f"a fit ended after {found.nit} iterations", ConvergenceWarning, stacklevel=2)
        return Model(self.values, found.x.reshape(begin.shape))

    def loss(self, flat: Floats, penalty: float) -> tuple[float, Floats]:
        """f and its gradient.

        Args:
            flat: the lines, row by row.
            penalty: 1 / (C A).
        """
        two = len(self._own) == 1
        w = flat.reshape(self._own.shape)
        gradient = penalty * w
        gradient[:, -1] = 0
        value = 0.5 * np.vdot(gradient, w) - np.vdot(w, self._own)
        gradient -= self._own
        small = (np.abs(w) @ self._reach).max() < LARGEST
        for part, transposed, share, raw in self._parts:
            np.matmul(w, part, out=raw)
            first = 1.0 if two else 0.0
            if not small:
                top = raw.max(axis=0, initial=0.0 if two else -np.inf)
                raw -= top
                first = first * np.exp(-top)
                value += share @ top
            np.exp(raw, out=raw)
            total = raw.sum(axis=0) + first
            value += share @ np.log(total)
            raw *= share / total
            gradient += raw @ transposed
        return float(value), gradient.ravel()


def fit_by_folds(z: Floats, v: Array, grid: Sequence[float], folds: Sequence[Split], max_iter: int) -> Model:
    """The regression whose C has the best accuracy in cross-validation; of equal ones the first.

    In each fold a fit begins where that of the C before it ended, and the last fit, of all rows, at the mean
    of those folds' fits.

    Args:
        z: (n, d) float64.
        v: (n,) values.
        grid: the C to choose from.
        folds: rows to fit on, in which all values occur, and rows to test on.
        max_iter: steps of each fit.
    """
    accuracy = np.zeros((len(folds), len(grid)))
    lines: list[list[Floats]] = [[] for _ in grid]
    for fold, (train, test) in enumerate(folds):
        problem, start = Problem(z[train], v[train]), None
        for i, C in enumerate(grid):
            model = problem.solve(C, max_iter, start)
            accuracy[fold, i] = model.accuracy(z[test], v[test])
            start = model.w
            lines[i].append(model.w)
    best = int(accuracy.sum(axis=0).argmax())
    return Problem(z, v).solve(grid[best], max_iter, np.mean(lines[best], axis=0))


def _with_ones(z: Floats) -> Floats:
    """(d+1, n) The codes, and a row of ones."""
    return np.vstack([z.T, np.ones(len(z))])


def _raw(w: Floats, x: Floats) -> Floats:
    """(K, n) Log odds of the classes, up to a constant for each row of x (d+1, n)."""
    raw = w @ x
    return np.vstack([np.zeros_like(raw), raw]) if len(w) == 1 else raw
