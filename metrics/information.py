"""Entropy and mutual information of tables by counting, in nats, for every metric built on them."""

from __future__ import annotations

import numpy as np

from disbench.errors import unknown
from disbench.metrics import arrays
from disbench.metrics.arrays import Array, Floats, Ints


def histogram(codes: Floats, bins: int, binning: str = "width") -> Ints:
    """Bin number of each entry of codes (n, d), column by column; same shape, values in 0..bins-1.

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
    columns = []
    for code in codes.T:
        # one by one, since they are copied
        z = arrays.conditioned(code[:, None])[0][:, 0]
        edge = np.histogram_bin_edges(z, bins) if binning == "width" else np.quantile(z, shares)
        columns.append(np.searchsorted(edge[1:-1], z, side="right"))
    return np.stack(columns, axis=1)


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
    return np.array([entropy_of_counts(np.unique(column, return_counts=True)[1]) for column in columns.T])


def joint_entropy(a: Ints, b: Ints) -> Floats:
    """(d, k) H(a_j, b_k) in nats of integer tables a (n, d) and b (n, k)."""
    a, b = arrays.relabel(a), arrays.relabel(b)
    return np.array([[entropy_of_counts(joint_counts(x, y)) for y in b.T] for x in a.T])


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
