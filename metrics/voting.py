"""Draws from a factor grid and their codes, shared by the metrics that hold factors fixed.

A uniform draw of a row of the grid is a uniform independent draw of every factor. A factor is then held by
arithmetic on row numbers, which costs one random number per image instead of one per factor. Rows that form
no complete grid are drawn among those that share a value, see `occurring`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import replace
from typing import TypeVar

import numpy as np

from disbench.errors import UsageError, unknown
from disbench.metrics import checks
from disbench.metrics.arrays import LARGEST, Bools, Floats, Ints
from disbench.metrics.live import KL, as_mask
from disbench.metrics.occurring import Occurring
from disbench.metrics.registry import BY_KL, EncodeRows, Grid, Score, Space, as_space

T = TypeVar("T", bound=Sized)

# Rows that are encoded at a time, so that a metric's memory does not grow with its votes.
CHUNK = 65_536

# Codes that a sentence names.
LISTED = 5

# How often the fitted votes may show each image before fresh votes are no test of unseen images.
SHOWN = 10


def hold(rows: Ints, grid: Grid, factor: Ints, value: Ints) -> Ints:
    """`rows` with `factor` set to `value`, all broadcast together."""
    stride, size = grid.strides[factor], np.asarray(grid.sizes)[factor]
    moved: Ints = rows + (value - rows // stride % size) * stride
    return moved


def value_of(rows: Ints, grid: Grid, factor: Ints) -> Ints:
    """The value that `factor` has in `rows`, broadcast together."""
    held: Ints = rows // grid.strides[factor] % np.asarray(grid.sizes)[factor]
    return held


def draw_factor(grid: Space, rng: np.random.Generator, votes: int) -> Ints:
    """(votes,) The factor of each vote, uniform among those with more than one value."""
    return rng.choice(np.asarray(grid.varying), size=votes)


def draw_rows(grid: Space, rng: np.random.Generator, size: int | tuple[int, ...]) -> Ints:
    """Row numbers of that shape, uniform."""
    return grid.draw(rng, size) if isinstance(grid, Occurring) else rng.integers(len(grid), size=size)


def draw_held(
    grid: Space, rng: np.random.Generator, factor: Ints, value: Ints, shape: tuple[int, ...]
) -> Ints:
    """Row numbers of that shape, uniform among those in which `factor` has `value`, broadcast to it."""
    if isinstance(grid, Occurring):
        return grid.held(rng, np.broadcast_to(factor, shape), np.broadcast_to(value, shape))
    return hold(rng.integers(len(grid), size=shape), grid, factor, value)


def encoder(name: str, codes: Floats | EncodeRows, grid: Space | tuple[int, ...]) -> EncodeRows:
    """A function from row numbers (m,) to checked codes (m, d) in float64, of an array or of a function."""
    grid = as_space(name, grid)
    if callable(codes):
        return checked(name, codes)
    z = checks.check_codes(name, codes)
    if len(z) != len(grid):
        hint = "; they look transposed, pass codes.T" if z.shape[1] == len(grid) else ""
        raise UsageError(
            f"{name}: codes {z.shape} must have one row for each of the {len(grid)} "
            f"{'rows' if isinstance(grid, Occurring) else f'points of the grid {grid.sizes}'}{hint}"
        )
    _check_squares(name, z)
    return lambda rows: z[rows].astype(np.float64)


def _check_squares(name: str, z: Floats) -> None:
    """Refuses codes whose squares overflow or vanish, so that no variance could be compared."""
    size = float(np.abs(z).max())
    if size > LARGEST or 0 < size < 1 / LARGEST:
        raise UsageError(
            f"{name}: the codes reach {size:.0e}, and no float holds the squares of such numbers; multiply "
            "all codes by one constant"
        )


def checked(name: str, encode: Callable[[T], Floats]) -> Callable[[T], Floats]:
    """The same function, its codes (n, d) checked and in float64.

    Args:
        name: of the metric, for errors.
        encode: from n row numbers, or n images, to codes (n, d).
    """

    def codes(rows: T) -> Floats:
        z = checks.check_codes(name, encode(rows))
        if len(z) != len(rows):
            raise UsageError(
                f"{name}: asked for the codes of {len(rows)} rows, the function returned {z.shape}"
            )
        _check_squares(name, z)
        return z.astype(np.float64)

    return codes


def batches(encode: EncodeRows, rows: Ints) -> Iterator[Floats]:
    """Codes (votes, batch, d) of rows (V, batch), some votes at a time."""
    step = max(1, CHUNK // rows.shape[1])
    for some in (rows[i : i + step] for i in range(0, len(rows), step)):
        yield encode(some.ravel()).reshape(*some.shape, -1)


def batch_moments(z: Floats) -> tuple[Floats, Floats]:
    """Mean and variance (ddof 1), both (votes, d), within each batch of z (votes, batch, d).

    They are taken of differences to the first row of the batch, so that the variance of a code that does not
    move is exactly 0, and ties are ties.
    """
    centred = z - z[:, :1]
    shift = centred.mean(axis=1, keepdims=True)
    centred -= shift
    variance: Floats = np.einsum("vbd,vbd->vd", centred, centred) / (z.shape[1] - 1)
    return z[:, 0] + shift[:, 0], variance


def total_variance(mean: Floats, variance: Floats, batch: int) -> Floats:
    """(d,) Variance (ddof 1) of all images, from each batch's mean and variance (votes, d), ddof 1."""
    between = batch * (len(mean) - 1) * _variance(mean)
    total: Floats = (between + (batch - 1) * variance.sum(axis=0)) / (len(mean) * batch - 1)
    return total


def live_codes(
    name: str, variance: Floats, prune: str, threshold: float, given: Bools | None, by_kl: bool = True
) -> Bools:
    """(d,) True for the codes that may win votes; a constant code never may.

    Args:
        name: of the metric, for errors.
        variance: (d,) of each code over the data.
        prune: "std" keeps a code whose standard deviation reaches the threshold, "var" one whose variance
            does, "relative" one whose standard deviation reaches that share of the largest one; "none" keeps
            every code that varies. "kl" is the mask that is given, by the KL of each code, or else "std".
        threshold: of that rule.
        given: (d,) a mask that replaces the rule.
        by_kl: whether the caller can be given a mask, so that it has the rule "kl".
    """
    std = np.sqrt(variance)
    rules = {
        "std": std >= threshold,
        "var": variance >= threshold,
        "relative": std >= threshold * std.max(),
        "none": std >= 0,
    }
    if by_kl:
        rules[BY_KL] = rules["std"]
    if prune not in rules:
        raise unknown(f"prune rule of {name}", prune, rules)
    live = rules[prune] if given is None else as_mask(name, given, len(variance))
    return live & (variance > 0)


def about_rule(
    prune: str, threshold: float, given: Bools | None, variance: Floats, n: int, least_kl: float = KL
) -> tuple[str, ...]:
    """What a reader must know of the rule for collapsed codes, see `live_codes`.

    Args:
        prune: the rule.
        threshold: of that rule.
        given: a mask that replaces the rule.
        variance: (d,) of each code over the data.
        n: number of images that it was measured on.
        least_kl: of a live code, where the rule is "kl" and there is a mask.

    Returns:
        That the rule "kl" was asked for and no mask came, and which codes could lie on the other side of a
        threshold if other images were drawn.
    """
    notes = []
    if prune == BY_KL and given is None:
        notes.append(
            "no posterior was given, so codes count as collapsed by a standard deviation below "
            f"{threshold:g} instead of a KL below {least_kl:g} nats"
        )
    if given is None and prune != "none":
        std = np.sqrt(variance)
        limit = {"var": threshold**0.5, "relative": threshold * std.max()}.get(prune, threshold)
        # of normal numbers, the standard deviation of a measured one is std / sqrt(2 n); two of them
        error = 2 * std / np.sqrt(2 * n)
        close = np.flatnonzero((np.abs(std - limit) <= error) & (variance > 0))
        if len(close):
            named = ", ".join(f"code {j} ({std[j]:.4f})" for j in close[:LISTED])
            more = f" and {len(close) - LISTED} more" if len(close) > LISTED else ""
            notes.append(
                f"the standard deviation of {named}{more} is within its sampling error of the threshold "
                f"{limit:.4g}: another draw may count it or not, and the score can jump"
            )
    return tuple(notes)


def no_live_code(k: int, live: Bools, adjusted: bool, n_encoded: int) -> Score:
    """The score of codes that have all collapsed: chance among k factors, and the reason."""
    return Score(
        0.0 if adjusted else 1 / k,
        live=live,
        warnings=("no code is live (all are constant or pruned), so the score is chance",),
        n_encoded=n_encoded,
    )


def about_one(k: int) -> tuple[str, ...]:
    """What a reader must know of votes about one of k factors, where there is one only."""
    return (
        ("a single factor varies, so there is nothing to tell apart, and guessing scores 1",)
        if k == 1
        else ()
    )


def about_votes(grid: Space, fitted: int, fresh: bool) -> tuple[str, ...]:
    """What a reader must know of votes that are scored.

    Fresh votes draw from the images that fitted votes drew from. On a grid of few images codes can hold each
    image apart, so that they score above chance without any information: codes drawn at random, 512 of them,
    get .99 of the beta-VAE metric on 120 images, where chance is .33.

    Args:
        grid: the factor sizes.
        fitted: number of images that the fitted votes show, repeats included.
        fresh: whether other votes are scored than those that were fitted.
    """
    if not fresh:
        return ("scored on the votes that were fitted, all of them (eval_votes=0)",)
    if fitted < SHOWN * len(grid):
        return ()
    return (
        f"the votes that were fitted show each of the {len(grid):,} images {fitted // len(grid):,} times, "
        "and those that are scored show the same images: codes without information can score above chance",
    )


def variance_of(encode: EncodeRows, rows: Ints) -> Floats:
    """(d,) Variance (ddof 1) of the codes of rows (m,), encoded some at a time."""
    z = np.concatenate([encode(rows[i : i + CHUNK]) for i in range(0, len(rows), CHUNK)])
    return _variance(z)


def _variance(z: Floats) -> Floats:
    """(d,) Variance (ddof 1) of z (n, d) over its rows, exactly 0 for a constant one: see `batch_moments`."""
    variance: Floats = (z - z[0]).var(axis=0, ddof=1) if len(z) > 1 else np.zeros(z.shape[1])
    return variance


def vote_counts(winner: Ints, factor: Ints, d: int, k: int) -> Ints:
    """(d, k) How often code j won a vote on factor k, of winner (V,) and factor (V,)."""
    return np.bincount(winner * k + factor, minlength=d * k).reshape(d, k)


def majority(
    grid: Space,
    winner: Ints,
    factor: Ints,
    votes: int,
    live: Bools,
    adjusted: bool,
    n_encoded: int,
    variance: Floats,
    said: tuple[str, ...] = (),
) -> Score:
    """The score of votes.

    The first of them make a table from each code to its most frequent factor (ties to the lowest). The others
    are scored by it; without others, the same ones.

    Args:
        grid: the factor sizes.
        winner: (V,) winning code of each vote.
        factor: (V,) factor that was held, or that varied, in each vote.
        votes: how many votes make the table.
        live: (d,) True for the codes that may win.
        adjusted: rescale so that chance is 0.
        n_encoded: how many images the votes took.
        variance: (d,) of each code over the data.
        said: sentences for the score's warnings.
    """
    k = len(grid.varying)
    if not live.any():
        dead = no_live_code(k, live, adjusted, n_encoded)
        return replace(dead, warnings=(*said, *dead.warnings))
    asked = np.searchsorted(grid.varying, factor)
    counts = vote_counts(winner[:votes], asked[:votes], len(live), k)
    decision = counts.argmax(axis=1)
    train = float((decision[winner[:votes]] == asked[:votes]).mean())
    fresh = decision[winner[votes:]] == asked[votes:]
    accuracy = float(fresh.mean()) if len(fresh) else train
    return Score(
        above_chance(accuracy, k) if adjusted else accuracy,
        parts={
            "train_accuracy": train,
            "eval_accuracy": accuracy,
            "votes": counts,
            "decision": np.where(live, np.asarray(grid.varying)[decision], -1),
            "variance": variance,
        },
        live=live,
        warnings=(
            *said,
            *about_one(k),
            *about_votes(grid, n_encoded * votes // len(winner), bool(len(fresh))),
        ),
        n_encoded=n_encoded,
    )


def above_chance(score: float, k: int) -> float:
    """Accuracy among k classes, rescaled so that guessing is 0 and perfect is 1; 0 for a single class."""
    return (score - 1 / k) / (1 - 1 / k) if k > 1 else 0.0
