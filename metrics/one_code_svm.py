"""Linear support vector machines of one code (Chang, Hsieh & Lin 2008, JMLR 9), by sums over a sorted column.

For each value k of a factor against the others, y_i = 1 or -1, a machine minimises

    f(w, b) = (w^2 + b^2) / 2 + sum_i C_i max(0, 1 - y_i (w z_i + b))^2

and a row has the value with the largest w_k z + b_k. The rows with a loss are those on one side of a point,
for y = 1 and for y = -1, so that f, its gradient and its Hessian follow from how many they are, the sum of
their z and that of their z^2, which are differences of running sums. Newton's steps, halved until f falls,
end at the minimum, since f is quadratic wherever these rows stay the same.

    symbol   here     shape   meaning
    z        x        (n,)    (z - centre) / unit
    w, b     w, a     (K,)    in terms of x: w z + b is (unit w) x + (b + centre w)
    C_i      down     (K,)    of y = -1: C
             up       (K,)    of y = 1: C n / (K n_k), of the n_k rows with value k

Deviations: none from `LinearSVC(class_weight="balanced", dual=False)`, whose steps end at a gradient of 1e-4
of the first or less, and these where a step gains nothing. As there, only the rows of value k have a weight
of their own, but of two values both have, and the second has the one machine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from disbench.metrics.arrays import Floats, Ints

STEPS = 200
# Squares of a unit are numbers.
SMALLEST = 1e-100
# A step that promises less than this share of f is the last.
LEAST = 1e-13


class Rows(NamedTuple):
    """The rows to fit on, sorted by x, with running sums of 1, x and x^2.

    Attributes:
        x: (n,) the code, sorted.
        every: (n + 1, 3) sums over the first rows.
        key: (n,) value times (n + 1) plus rank of each row, sorted: the rows of each value by x.
        own: (n + 1, 3) sums over the first rows in that order.
        start: (K + 1,) where the rows of each value begin there.
    """

    x: Floats
    every: Floats
    key: Ints
    own: Floats
    start: Ints


def accuracy(z: Floats, v: Ints, fresh: Floats, fresh_v: Ints, C: float) -> float:
    """Share of fresh rows whose value is guessed.

    Args:
        z: (n,) code of the rows to fit on.
        v: (n,) their values, two or more different ones.
        fresh: (m,) code of the rows to test on.
        fresh_v: (m,) their values.
        C: inverse weight of the penalty.
    """
    values, y = np.unique(v, return_inverse=True)
    # exactly 0 is left of a constant code
    centre = z[0] + (z - z[0]).mean()
    unit = max((z - centre).std(), SMALLEST) if (z != z[0]).any() else 1.0
    w, a = solve((z - centre) / unit, y, centre, unit, C)
    x = (fresh - centre) / unit
    guess = (w[0] * x + a[0] > 0).astype(int) if len(w) == 1 else (np.multiply.outer(x, w) + a).argmax(axis=1)
    return float((values[guess] == fresh_v).mean())


def solve(x: Floats, y: Ints, centre: float, unit: float, C: float) -> tuple[Floats, Floats]:
    """(w, a) of each value against the others, (K,) each; for two values of the second, (1,) each.

    Args:
        x: (n,) the code in units of its own.
        y: (n,) values 0..K-1, each of which occurs.
        centre: the code at x = 0.
        unit: the code's change per x.
        C: inverse weight of the penalty.
    """
    rows, size = _sorted(x, y), np.bincount(y)
    weight = C * len(y) / (len(size) * size)
    ks = np.arange(len(size))
    up, down = weight, np.full(len(size), C)
    if len(size) == 2:
        ks, up, down = ks[1:], weight[1:], weight[:1]
    # the penalty (w^2 + b^2) / 2 in terms of w' and a
    shift = centre / unit
    penalty = 1 / unit**2 + shift**2, -shift, 1.0
    w, a = np.zeros(len(ks)), np.zeros(len(ks))
    sums = _sums(rows, ks, w, a, up, down)
    f = _value(w, a, sums, penalty)
    for _ in range(STEPS):
        (n1, x1, xx1), (n0, x0, xx0) = sums
        g_w = penalty[0] * w + penalty[1] * a + 2 * (w * (xx1 + xx0) + a * (x1 + x0) - x1 + x0)
        g_a = penalty[1] * w + penalty[2] * a + 2 * (w * (x1 + x0) + a * (n1 + n0) - n1 + n0)
        ww, wa, aa = penalty[0] + 2 * (xx1 + xx0), penalty[1] + 2 * (x1 + x0), penalty[2] + 2 * (n1 + n0)
        determinant = ww * aa - wa**2
        step_w, step_a = (wa * g_a - aa * g_w) / determinant, (wa * g_w - ww * g_a) / determinant
        promised = -(g_w * step_w + g_a * step_a)
        moving = promised > LEAST * f
        if not moving.any():
            break
        length = moving.astype(float)
        while True:
            new_w, new_a = w + length * step_w, a + length * step_a
            new_sums = _sums(rows, ks, new_w, new_a, up, down)
            new_f = _value(new_w, new_a, new_sums, penalty)
            worse = moving & (new_f > f - 1e-4 * length * promised) & (length > 1e-6)
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
        w, a, sums, f = new_w, new_a, new_sums, new_f
    return w, a


def _sorted(x: Floats, y: Ints) -> Rows:
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    by_value = np.argsort(y, kind="stable")
    key = y[by_value] * (len(x) + 1) + by_value
    start = np.concatenate([[0], np.cumsum(np.bincount(y))])
    return Rows(x, _running(x), key, _running(x[by_value]), start)


def _running(x: Floats) -> Floats:
    return np.concatenate([np.zeros((1, 3)), np.cumsum(np.column_stack([np.ones_like(x), x, x**2]), axis=0)])


def _sums(rows: Rows, ks: Ints, w: Floats, a: Floats, up: Floats, down: Floats) -> tuple[Floats, Floats]:
    """C_i times 1, x and x^2, summed over the rows with a loss: (3, K) of y = 1, and of y = -1."""
    start, n = rows.start[ks], len(rows.x)
    whole = rows.own[rows.start[ks + 1]] - rows.own[start]
    # y = 1 has a loss where w x + a < 1, and y = -1 where w x + a > -1: on that side of
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        points = (1 - a) / w, (-1 - a) / w
    first = [np.searchsorted(rows.x, point) for point in points]
    own = [rows.own[np.searchsorted(rows.key, ks * (n + 1) + each)] - rows.own[start] for each in first]
    others = rows.every[first[1]] - own[1]
    # the side changes with the sign of w, also that of 0, which sends the points to infinity
    falls = np.signbit(w)[:, None]
    above = np.where(falls, others, rows.every[n] - whole - others)
    below = np.where(falls, whole - own[0], own[0])
    return (up[:, None] * below).T, (down[:, None] * above).T


def _value(w: Floats, a: Floats, sums: tuple[Floats, Floats], penalty: tuple[float, float, float]) -> Floats:
    """(K,) f."""
    (n1, x1, xx1), (n0, x0, xx0) = sums
    loss = (1 - a) ** 2 * n1 - 2 * (1 - a) * w * x1 + w**2 * xx1
    loss += (1 + a) ** 2 * n0 + 2 * (1 + a) * w * x0 + w**2 * xx0
    f: Floats = (penalty[0] * w**2 + 2 * penalty[1] * w * a + penalty[2] * a**2) / 2 + loss
    return f
