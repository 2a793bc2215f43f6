"""Classifiers of boosted trees: Friedman 2001, Annals of Statistics 29(5), algorithms 5 and 6.

In each round one regression tree per class (of two classes for the second alone) is fitted to what the rounds
before it left over, and moves the log odds of the rows in its leaves:

    r_ik = [y_i = k] - p_ik,    p_i = softmax(F_i)
    gain = n_l n_r / (n_l + n_r) (mean_l r - mean_r r)^2              of a split in l and r, eq. 35
    F_ik += rate (K - 1)/K  sum r / sum |r| (1 - |r|)                 over the rows of i's leaf
    importance_j = the gains of all splits by column j / the gains of all splits

    symbol   here       shape     meaning
    F        raw        (K, n)    log odds, up to a constant for each row; of two classes (1, n)
    r        residual   (K, n)    likewise
    z        columns    (d, n)    the codes, in single precision
             order      (d, n)    row numbers, sorted by each column

Two libraries compute this. The functions at the end of this file sort each column once, hand the order down
from node to node, and are compiled by numba (`pip install "disbench[fast]"`). scikit-learn, which is there
without it, sorts in each node of each tree. Both find the same splits but for ties and rounding: of columns
that split a node equally well, either takes one at random, and in small nodes there are many.

Deviations: the step is scikit-learn's for two classes too, half of Friedman's: sum r / sum |r| (1 - |r|). As
there, neighbours in a sorted column that differ by 1e-7 or less are not split.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple

import joblib
import numpy as np
from scipy.special import expit, softmax
from sklearn.ensemble import GradientBoostingClassifier

from disbench.errors import UsageError, unknown
from disbench.metrics import arrays, parallel
from disbench.metrics.arrays import Array, Floats, Ints

ROUNDS = 100
DEPTH = 3
RATE = 0.1
# Neighbours in a sorted column that lie no further apart are not split.
APART = np.float32(1e-7)
# A node whose residuals have no more variance is a leaf.
LEAST = float(np.finfo(float).eps)
# Mean of |r| (1 - |r|) in a leaf up to which its value is 0.
VANISHED = 1e-150
# A linear congruential generator of 64 bits, that of Knuth's MMIX; its high bits are used.
MULTIPLIER, INCREMENT, HIGH = np.uint64(6364136223846793005), np.uint64(1442695040888963407), np.uint64(33)
LIBRARIES = ("auto", "numba", "scikit-learn")


class Task(NamedTuple):
    """A classifier to fit.

    Attributes:
        z: (n, d) codes.
        y: (n,) class of each row, any values.
        train: rows to fit on.
        test: rows to test on.
        seed: chooses between columns that split a node equally well.
        rounds: trees per class, 1 or more.
        depth: of each tree, 1 or more.
    """

    z: Floats
    y: Array
    train: Ints
    test: Ints
    seed: int
    rounds: int = ROUNDS
    depth: int = DEPTH


class Fit(NamedTuple):
    """A fitted classifier.

    Attributes:
        importance: (d,) of each code; they add up to 1, or are 0 where nothing could be split.
        train: accuracy on the rows that were fitted.
        test: accuracy on the rows to test on.
    """

    importance: Floats
    train: float
    test: float


class Tree(NamedTuple):
    """A regression tree over its nodes 0, 1, ...; the root is 0.

    Attributes:
        feature: column that splits a node; -1 for a leaf.
        cut: rows with a value up to it go to the first child.
        child: the first child; the second is the next node.
        gain: of the split; 0 for a leaf.
        leaf: (n,) the leaf of each row that was fitted.
    """

    feature: Ints
    cut: Floats
    child: Ints
    gain: Floats
    leaf: Ints


def library(name: str = "auto") -> str:
    """The library that grows the trees: the one of this name, or the fastest that is installed.

    Raises:
        UsageError: no library of this name, or it is not installed.
    """
    if name not in LIBRARIES:
        raise unknown("library of boosted trees", name, LIBRARIES)
    if name == "numba" and not _has_numba():
        raise UsageError(
            'library is numba, which is not installed: pip install "disbench[fast]", or leave it at "auto"'
        )
    return "numba" if name != "scikit-learn" and _has_numba() else "scikit-learn"


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def used(metric: str, model: str, name: str = "auto") -> str:
    """The library that fits a model of a metric, with its version, such as "numba 0.68.1".

    Args:
        metric: its name, for the error.
        model: "boosting", or another, which scikit-learn fits.
        name: of the library that grows boosted trees, see `library`.

    Raises:
        UsageError: as `library`; or the model is another, and the library does boosted trees only.
    """
    if model != "boosting" and name == "numba":
        raise UsageError(f"{metric}: library is numba, which grows boosted trees only, but model is {model}")
    fastest = library(name)
    chosen = fastest if model == "boosting" else "scikit-learn"
    return f"{chosen} {version(chosen)}"


def seconds(size: float, rounds: int = ROUNDS, name: str = "auto") -> float:
    """CPU seconds of all factors of a table of this size, see `arrays.work`; roughly."""
    return size * rounds * (0.09 if library(name) == "numba" else 3.0)


def fit(
    tasks: Sequence[Task],
    name: str = "auto",
    n_jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Fit]:
    """The classifiers of the tasks, in their order; none depends on n_jobs.

    Args:
        tasks: what to fit.
        name: of the library, see `library`.
        n_jobs: threads over the classes of a task with numba, and processes over the tasks with scikit-learn;
            -1 is one per core.
        progress: called with (tasks done, tasks in all).

    Raises:
        UsageError: no library of this name, or it is not installed.
    """
    if library(name) == "scikit-learn":
        return parallel.each(_by_scikit_learn, [(task,) for task in tasks], n_jobs, progress)
    fits: list[Fit] = []
    with _threads(joblib.effective_n_jobs(n_jobs)) as (mapped, threads):
        for task in tasks:
            fits.append(_by_numba(task, mapped, threads))
            if progress is not None:
                progress(len(fits), len(tasks))
    return fits


def prepare() -> None:
    """Has numba compile, where it is there, so that a measurement of time does not count it."""
    rows = np.arange(4)
    fit([Task(rows[:, None].astype(float), rows % 2, rows, rows, 0, rounds=1)])


def _single(z: Floats) -> Array:
    """In single precision, in which the trees work; what is too large for it has its largest number."""
    largest = np.finfo(np.float32).max
    return np.clip(z, -largest, largest).astype(np.float32)


def _by_scikit_learn(task: Task) -> Fit:
    z, y, train, test = _single(task.z), task.y, task.train, task.test
    if len(np.unique(y[train])) < 2:
        # which it refuses
        return Fit(np.zeros(z.shape[1]), 1.0, float((y[test] == y[train[0]]).mean()))
    model = GradientBoostingClassifier(
        n_estimators=task.rounds, max_depth=task.depth, learning_rate=RATE, random_state=task.seed
    )
    model.fit(z[train], y[train])
    return Fit(
        model.feature_importances_,
        float(model.score(z[train], y[train])),
        float(model.score(z[test], y[test])),
    )


@contextmanager
def _threads(number: int) -> Iterator[tuple[Callable[..., Iterable[None]], int]]:
    """A `map` that works in so many threads, and their number; one thread is the caller's own."""
    if number == 1:
        yield map, 1
        return
    with ThreadPoolExecutor(number) as pool:
        yield pool.map, number


def _by_numba(task: Task, mapped: Callable[..., Iterable[None]], threads: int) -> Fit:
    """Each thread grows the trees of some classes; a class has random numbers of its own."""
    classes, y = np.unique(task.y[task.train], return_inverse=True)
    two = len(classes) == 2
    z, fresh = _single(task.z[task.train]), _single(task.z[task.test])
    columns = np.ascontiguousarray(z.T)
    order = np.argsort(columns, axis=1, kind="stable").astype(np.uint32)
    # (K, n), and of two classes the second alone
    own = (y == np.arange(len(classes))[:, None]).astype(float)[int(two) :]
    share = np.bincount(y) / len(y)
    start = np.log(share[1:] / share[:1]) if two else np.log(share)
    raw, raw_fresh = (np.repeat(start[:, None], len(rows), axis=1) for rows in (z, fresh))
    rate = RATE if two else RATE * (len(classes) - 1) / len(classes)
    importance = np.zeros((len(own), len(columns)))
    states = [np.random.SeedSequence((task.seed, k)).generate_state(1, np.uint64) for k in range(len(own))]
    grow, leaf_values, add_values = (compiled(each) for each in (_grow, _leaf_values, _add_values))

    def advance(share: Ints, residual: Floats) -> None:
        for k in share:
            tree = Tree(*grow(columns, order, residual[k], task.depth, states[k]))
            value = rate * leaf_values(residual[k], tree.leaf, len(tree.feature))
            raw[k] += value[tree.leaf]
            add_values(fresh, tree.feature, tree.cut, tree.child, value, raw_fresh[k])
            split = tree.feature >= 0
            importance[k] += np.bincount(tree.feature[split], tree.gain[split], len(columns))

    shares = np.array_split(np.arange(len(own)), min(threads, len(own)))
    for _ in range(task.rounds):
        residual = own - (expit(raw) if two else softmax(raw, axis=0))
        # an error in a thread is raised where its result is asked for
        for _done in mapped(advance, shares, [residual] * len(shares)):
            pass
    total = importance.sum(axis=0)
    accuracies = [
        float((classes[(f[0] >= 0).astype(int) if two else f.argmax(axis=0)] == task.y[rows]).mean())
        for f, rows in ((raw, task.train), (raw_fresh, task.test))
    ]
    return Fit(arrays.ratio(total, total.sum()), accuracies[0], accuracies[1])


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function in machine code, made at its first call, and kept on the disk where a folder is writable.

    numba is imported here and not above, so that only what needs it waits for it.

    Raises:
        UsageError: numba is installed and cannot be imported, such as beside a numpy that it does not know.
    """
    try:
        import numba
    except ImportError as error:
        raise UsageError(
            f"numba is installed but cannot be imported ({error}); update it, uninstall it, or set "
            'library="scikit-learn"'
        ) from None
    try:
        made: Callable[..., Any] = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:
        # there is no folder to keep it in
        made = numba.njit(function, nogil=True)
    return made


# What follows is compiled: plain loops, which call nothing but numpy, and each other not at all.


def _grow(columns: Array, order: Array, residual: Floats, depth: int, state: Array) -> tuple[Array, ...]:
    """The fields of the `Tree` of least squares, node after node from the root; changes only `state`.

    Args:
        columns: (d, n) codes.
        order: (d, n) rows sorted by each column.
        residual: (n,) what to predict.
        depth: splits between the root and a leaf, at most.
        state: (1,) of the random numbers.
    """
    d, n = columns.shape
    most = min(2 ** (min(depth, 40) + 1), 2 * n) - 1
    feature, cut = np.full(most, -1), np.zeros(most)
    child, gain = np.zeros(most, np.int64), np.zeros(most)
    leaf, level = np.zeros(n, np.int64), np.zeros(most, np.int64)
    # The rows of a node are ordered[j, first:last] for every column j, sorted by it. Nodes of the last level
    # are not split, so that their rows stand in one column only: `listed`, the one that made them.
    first, last, listed = np.zeros(most, np.int64), np.full(most, n), np.zeros(most, np.int64)
    ordered, left, right = order.copy(), np.zeros(n, np.bool_), np.empty(n, order.dtype)
    share, features = np.zeros(n + 1), np.arange(d)
    nodes, node = 1, 0
    while node < nodes:
        size, start, end = last[node] - first[node], first[node], last[node]
        own = ordered[listed[node], start:end]
        total, squares = 0.0, 0.0
        for row in own:
            total += residual[row]
            squares += residual[row] ** 2
        # a split that gains nothing is one too, since the next may gain
        best, place, sum_left = -1.0, 0, 0.0
        if level[node] < depth and squares / size - (total / size) ** 2 > LEAST:
            for m in range(1, size):
                share[m] = 1 / m
            for a in range(d - 1, 0, -1):
                state[0] = state[0] * MULTIPLIER + INCREMENT
                b = np.int64((state[0] >> HIGH) % np.uint64(a + 1))
                features[a], features[b] = features[b], features[a]
            for column in features:
                value, rows = columns[column], ordered[column, start:end]
                if value[rows[size - 1]] <= value[rows[0]] + APART:
                    continue
                below = 0.0
                for m in range(1, size):
                    below += residual[rows[m - 1]]
                    above = total - below
                    # eq. 35, up to the factor size and a constant
                    gained = below * below * share[m] + above * above * share[size - m]
                    if gained > best and value[rows[m]] > value[rows[m - 1]] + APART:
                        best, place, feature[node], sum_left = gained, m, column, below
                        cut[node] = np.float64(value[rows[m - 1]]) / 2 + np.float64(value[rows[m]]) / 2
        if place == 0:
            for row in own:
                leaf[row] = node
        else:
            apart = sum_left / place - (total - sum_left) / (size - place)
            gain[node], child[node] = place * (size - place) / size * apart**2, nodes
            for c in (nodes, nodes + 1):
                first[c], last[c], level[c], listed[c] = start, end, level[node] + 1, feature[node]
            last[nodes] = first[nodes + 1] = start + place
            nodes += 2
            if level[node] + 1 < depth:
                for m in range(size):
                    left[ordered[feature[node], start + m]] = m < place
                for j in range(d):
                    rows, to_left, to_right = ordered[j, start:end], 0, 0
                    for m in range(size):
                        # both are written and one is kept, which is faster than a choice
                        row = rows[m]
                        rows[to_left] = right[to_right] = row
                        to_left += left[row]
                        to_right += not left[row]
                    for m in range(to_right):
                        rows[to_left + m] = right[m]
        node += 1
    return feature[:nodes], cut[:nodes], child[:nodes], gain[:nodes], leaf


def _leaf_values(residual: Floats, leaf: Ints, nodes: int) -> Floats:
    """(nodes,) sum r / sum |r| (1 - |r|) over the rows of each leaf, 0 for the other nodes."""
    top, bottom, size = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes)
    for row in range(len(leaf)):
        r = residual[row]
        top[leaf[row]] += r
        bottom[leaf[row]] += abs(r) * (1 - abs(r))
        size[leaf[row]] += 1
    for node in range(nodes):
        top[node] = top[node] / bottom[node] if bottom[node] > VANISHED * size[node] else 0.0
    return top


def _add_values(z: Array, feature: Ints, cut: Floats, child: Ints, value: Floats, raw: Floats) -> None:
    """Adds to raw (n,) the value (nodes,) of the leaf that each row of z (n, d) comes to."""
    for row in range(len(z)):
        node = 0
        while feature[node] >= 0:
            node = child[node] + (z[row, feature[node]] > cut[node])
        raw[row] += value[node]
