"""Entropy and mutual information of tables by counting, in nats, for every metric built on them."""

from __future__ import annotations

import numpy as np

from disbench.errors import unknown
from disbench.metrics import arrays
from disbench.metrics.arrays import Array, Floats, Ints


def histogram(codes: Floats, bins: int, binning: str = "width") -> Ints:
    """Bin number of each entry of codes (n, d), column by column; same shape, values in 0..bins-1.

    They have the smallest integer type that holds them, since they may be a copy of very many codes.
    Codes in single precision have the bins of the same numbers in double precision.

    Args:
        codes: (n, d).
        bins: how many for each column.
        binning: "width" makes equal steps between the least and the largest value of a column, the last bin
            closed, as `numpy.histogram` does; one far outlier then merges everything else into few bins.
            "quantile" makes bins of about equally many rows.
    """
    if binning not in ("width", "quantile"):
        raise unknown("binning", binning, ("width", "quantile"))
    shares = np.linspace(0, 1, bins + 1)
    # columns are counted one by one, and so lie together
    binned = np.empty(codes.shape, dtype=np.min_scalar_type(bins - 1), order="F")
    for column, code in zip(binned.T, codes.T, strict=True):
        # one by one, since they are copied
        z = arrays.conditioned(code[:, None])[0][:, 0]
        edge = np.histogram_bin_edges(z, bins) if binning == "width" else np.quantile(z, shares)
        column[:] = np.searchsorted(edge[1:-1], z, side="right")
    return binned


def joint_counts(a: Ints, b: Ints) -> Ints:
    """(values of a, values of b) Counts of each pair of values in two columns (n,) of small integers."""
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    return np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns)


def entropy_of_counts(counts: Array) -> float:
    """Entropy of a table of counts, all axes together, in nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def entropy(columns: Ints) -> Floats:
    """(d,) Entropy of each column of a table (n, d) of integers, in nats."""
    return np.array([entropy_of_counts(np.bincount(arrays.rank_of(column))) for column in columns.T])


def joint_entropy(a: Ints, b: Ints) -> Floats:
    """(d, k) H(a_j, b_k) in nats of integer tables a (n, d) and b (n, k)."""
    same = a is b
    b = arrays.relabel(b)
    h = np.zeros((a.shape[1], b.shape[1]))
    for j in range(a.shape[1]):
        # one at a time: a copy of wide tables would be large
        x = b[:, j] if same else arrays.rank_of(a[:, j])
        # each pair of columns of one table is counted once
        for k in range(j if same else 0, b.shape[1]):
            h[j, k] = entropy_of_counts(joint_counts(x, b[:, k]))
    return np.maximum(h, h.T) if same else h


def mutual_information(a: Ints, b: Ints) -> Floats:
    """(d, k) I(a_j; b_k) = H(a_j) + H(b_k) - H(a_j, b_k) in nats of integer tables a (n, d) and b (n, k)."""
    h_a, h_b = entropy(a)[:, None], entropy(b)
    # what two columns share, neither has more of; by rounding it could be more
    return np.minimum(arrays.floor(h_a + h_b - joint_entropy(a, b)), np.minimum(h_a, h_b))


def gap(scores: Floats) -> Floats:
    """Per column of scores (d, k), the largest entry minus the second largest; the largest where d is 1."""
    ranked = np.sort(scores, axis=0)
    top: Floats = ranked[-1]
    return top - ranked[-2] if len(ranked) > 1 else top
