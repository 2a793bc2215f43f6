"""Which factors a generator's codes move, and whether its two sides, generator and encoder, say the same.

Factors are compared as points u, so that all kinds of them have differences: an ordered factor is its number,
a shape one of several corners at equal distances, and a phase a point on a circle.

**Effects.** The effect of code j on factor k is the share of the factor's variance that is gone once all
other codes and all noise are known: the total effect of Sobol', as Jansen 1999 estimates it,

    T_jk = E |u_k(c) - u_k(c')|^2 / (2 Var u_k),      c' is c with code j drawn anew

It is 0 for a code that does not move the factor and 1 for the only one that does. Of codes that move it
together the sum can exceed 1.

**Agreement** of two readings a, b of the same pictures is 1 - E |u_a - u_b|^2 / D with D = Var u_a + Var u_b
+ |E u_a - E u_b|^2, the same for independent pictures: 1 where they agree, 0 by chance, below 0 where they
contradict each other.
"""

from __future__ import annotations

import numpy as np

from disbench.metrics.arrays import Floats, Ints, ratio
from disbench.metrics.oracle.reading import Symmetry


def points(factors: Ints, symmetry: Symmetry | None = None) -> list[Floats]:
    """The points u (n, e) of each factor of (n, k)."""
    made: list[Floats] = [column[:, None].astype(np.float64) for column in factors.T]
    if symmetry is not None:
        angle = 2 * np.pi * factors[:, symmetry.turn] / symmetry.steps
        made[symmetry.turn] = np.column_stack([np.cos(angle), np.sin(angle)])
        made[symmetry.shape] = np.eye(len(symmetry.times))[factors[:, symmetry.shape]]
    return made


def effects(factors: Ints, moved: Ints, symmetry: Symmetry | None = None) -> Floats:
    """(d, k) The effect of each code on each factor; 0 on a factor that never changes.

    Args:
        factors: (n, k), read in pictures of n independent draws.
        moved: (d, n, k), read in those of the same draws with code j drawn anew.
        symmetry: of a factor that turns shapes.
    """
    d, n, k = moved.shape
    before = points(factors, symmetry)
    after = points(moved.reshape(-1, k), symmetry)
    whole = [np.concatenate([b, a]) for b, a in zip(before, after, strict=True)]
    variance = np.array([u.var(axis=0).sum() for u in whole])
    change = np.array(
        [
            np.square(a.reshape(d, n, -1) - b).sum(axis=2).mean(axis=1)
            for b, a in zip(before, after, strict=True)
        ]
    )
    return ratio(change, 2 * variance[:, None]).T


def agreement(a: Ints, b: Ints, symmetry: Symmetry | None = None) -> Floats:
    """(k,) The agreement of two readings (n, k); NaN for a factor that neither of them sees change."""
    shares = []
    for u, v in zip(points(a, symmetry), points(b, symmetry), strict=True):
        apart = u.var(axis=0).sum() + v.var(axis=0).sum() + np.square(u.mean(axis=0) - v.mean(axis=0)).sum()
        differ = np.square(u - v).sum(axis=1).mean()
        shares.append(1 - differ / apart if apart else np.nan)
    return np.array(shares)


def cycle(codes: Floats, again: Floats) -> Floats:
    """(d,) r^2 of each code (n, d) with the code that is read back from its picture, (n, d).

    The squared correlation, which does not depend on the scale of what is read; 0 for a constant code.
    """
    x, y = codes - codes.mean(axis=0), again - again.mean(axis=0)
    return ratio(np.square((x * y).sum(axis=0)), np.square(x).sum(axis=0) * np.square(y).sum(axis=0))
