"""What a metric accepts: every array that comes from outside is checked here, in the same words.

- Codes are (n, d), factors (n, k), finite numbers; a table of another shape is refused, never transposed
  silently.
- A factor with one value can be neither fixed nor predicted: it is dropped and named.
- A metric that needs more rows than it was given says how many.
- Rows that are called held out are: where rows to test on were fitted, a warning has their share.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from disbench.errors import UsageError
from disbench.metrics import factors
from disbench.metrics.arrays import EXACT, Array, Floats, Ints, Split, deviation, varying
from disbench.metrics.conversion import as_array, check_aligned, code_columns, columns
from disbench.metrics.factors import Factors
from disbench.texts import short

T = TypeVar("T")

# Size of a code that a solver takes as it is.
MOST = 1e30

# Share of a factor's entropy that a useless code may seem to have.
SEEMING = 0.1

# Standard deviations from 0, and standard deviations of codes, beyond which a penalty on weights decides.
AWAY = 1000
USUAL = (1e-3, 1e4)

# Rows: an accuracy measured on fewer has a standard error above .05 where it is one half.
FEW = 100
# Rows to fit on, for each code.
FEW_A_CODE = 5


def check_codes(name: str, codes: object) -> Floats:
    """Codes as a finite float array (n, d), in the precision given; of a frame, only columns of codes."""
    what = f"{name}: codes"
    frame = columns(codes, what)
    if frame is not None:
        others = sorted(set(frame) - set(code_columns(list(frame))), key=list(frame).index)
        if others:
            raise UsageError(
                f"{what} are a frame whose {'column' if len(others) == 1 else 'columns'} "
                f"{short(', '.join(map(repr, others)), 80)} may be none (codes have one stem and numbers, as "
                "z0, z1); pass the columns of codes alone, or frame.to_numpy() if all are."
            )
    z = as_array(codes, what)
    if z.ndim != 2 or 0 in z.shape:
        raise UsageError(
            f"{what} {z.shape} must be a table (n, d), one row per image and one column per code"
        )
    if z.dtype.kind in "iu" and (z.max() > EXACT or z.min() < -EXACT):
        raise UsageError(f"{what} are whole numbers beyond {EXACT:,}, which no float holds; are they ids?")
    if z.dtype.kind != "f" or z.dtype.itemsize < 4:
        z = z.astype(np.float64)
    if not np.isfinite(z).all():
        bad = (~np.isfinite(z)).any(axis=1)
        raise UsageError(
            f"{name}: {bad.sum():,} of {len(z):,} rows of codes hold NaN or infinity, the first is row "
            f"{int(bad.argmax())}; the model has diverged, or these rows were never filled in"
        )
    return z


def check_pixels(name: str, what: str, images: object, over: float) -> Floats:
    """Images as finite floats (n, c, h, w), not further outside [0, 1] than `over`."""
    x = as_array(images, f"{name}: {what}")
    if x.ndim != 4 or 0 in x.shape or x.dtype.kind not in "fiu":
        raise UsageError(f"{name}: {what} {x.shape} of {x.dtype} must be images (n, c, h, w) in [0, 1]")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise UsageError(f"{name}: {what} hold NaN or infinity; the model has diverged")
    if x.min() < -over or x.max() > 1 + over:
        raise UsageError(
            f"{name}: {what} reach from {x.min():.3g} to {x.max():.3g}, but must lie in [0, 1]; divide bytes "
            "by 255, and bring a decoder's numbers into it (sigmoid, (x + 1) / 2)"
        )
    return x


def check_table(name: str, codes: object, given: object) -> tuple[Floats, Factors]:
    """Codes (n, d) and factors of the same n rows; see `check_codes` and `factors.read`."""
    if isinstance(given, Factors):
        z, n = check_codes(name, codes), len(given)
        if len(z) != n:
            raise UsageError(f"{name}: {len(z):,} codes, but factors of {n:,} rows; give one each")
        return z, given
    check_aligned(name, codes, given)
    what = f"{name}: factors"
    z, columns = check_codes(name, codes), factors.raw(given, what)
    (n, k), both = columns.shape, f"{name}: codes {z.shape} and factors {columns.shape}"
    if len(z) == n:
        check_both(both, z, n, k)
        return z, factors.understood(columns, what)
    if z.shape[1] == n and not len(z) == k > n:
        raise UsageError(f"{both} must be (n, d) and (n, k); the codes look transposed, pass codes.T")
    if len(z) == k:
        raise UsageError(f"{both} must be (n, d) and (n, k); the factors look transposed, pass factors.T")
    if z.shape[1] == k > max(len(z), n):
        raise UsageError(
            f"{both} must be (n, d) and (n, k); both look transposed, pass codes.T and factors.T"
        )
    raise UsageError(f"{both} must be (n, d) and (n, k) with the same number of rows")


def check_both(both: str, codes: Array, n: int, k: int) -> None:
    """Refuses codes and factors (n, k) of one shape with more columns than rows, as transposed ones have."""
    if codes.shape == (n, k) and k > n:
        raise UsageError(f"{both} have more columns than rows; are both transposed? Pass (n, d) and (n, k)")


def drop_constant(name: str, given: Factors) -> tuple[Factors, tuple[int, ...]]:
    """The factors with more than one value, and the places of those that were dropped."""
    keep = varying(given.numbers)
    if not keep.any():
        raise UsageError(
            f"{name}: none of the {len(keep)} factors has two values, so there is nothing to tell apart"
        )
    return given.kept(keep), tuple(int(k) for k in np.flatnonzero(~keep))


def check_size(name: str, codes: Floats, remedy: str) -> None:
    """Refuses codes that the solver of a metric on raw codes cannot handle, or would never be done with."""
    size = float(np.abs(codes).max())
    if size > MOST:
        raise UsageError(
            f"{name}: the codes reach {size:.0e}, beyond what its solver handles; divide them by a constant, "
            f"or set {remedy}"
        )


def about_units(codes: Floats) -> tuple[str, ...]:
    """What a reader must know of a score that a solver found on raw codes, with a penalty on its weights."""
    spread = deviation(codes)
    live = np.flatnonzero(spread)
    if not len(live):
        return ()
    notes = []
    away = np.abs(codes[:, live].mean(axis=0, dtype=np.float64)) / spread[live]
    if away.max() > AWAY:
        notes.append(
            f"{int((away > AWAY).sum())} of the {len(spread)} codes lie {AWAY:,} or more standard deviations "
            "from 0, on which this score depends; subtract their means"
        )
    return (*notes, *about_scale(codes))


def about_scale(codes: Floats) -> tuple[str, ...]:
    """The warning for codes, or differences of codes, in a unit of which the penalty decides the score."""
    largest, (low, high) = float(deviation(codes).max()), USUAL
    if not largest or low <= largest <= high:
        return ()
    return (f"the codes vary by {largest:.0e} at most, and this score depends on their unit",)


def need_rows(name: str, given: int, needed: int, why: str) -> None:
    """Refuses fewer rows than `needed`; `why` ends the sentence."""
    if given < needed:
        raise UsageError(f"{name}: {given} rows are too few, at least {needed} are needed {why}")


def split_rows(
    name: str, n: int, split: Split | None, rng: np.random.Generator | None, train_share: float = 2 / 3
) -> Split:
    """Row numbers to fit on and to test on: the split given, or a shuffled one drawn from `rng`."""
    if split is None:
        if rng is None:
            raise UsageError(
                f"{name}: fits and tests, so pass split=(train_rows, test_rows) or rng to draw one"
            )
        need_rows(name, n, 3, "to fit and to test")
        order = rng.permutation(n)
        cut = round(train_share * n)
        return order[:cut], order[cut:]
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise UsageError(
            f"{name}: split must be two lists of row numbers, (train, test), but is {short(repr(split), 60)}"
        )
    train, test = (as_array(part, f"{name}: split") for part in split)
    for part, rows in (("train", train), ("test", test)):
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
            raise UsageError(
                f"{name}: split must be two lists of row numbers, but its {part} part is "
                f"{rows.dtype} {rows.shape}"
            )
        outside = rows[(rows < 0) | (rows >= n)]
        if len(outside):
            raise UsageError(
                f"{name}: the {part} part of split names row {outside[0]}, but there are {n} rows, "
                "counted from 0"
            )
    return train, test


def about_rows(codes: Floats, factors: Array, split: Split | None) -> tuple[str, ...]:
    """What a reader must know of a score that was fitted on some rows and tested on others.

    Args:
        codes: (n, d).
        factors: (n, k).
        split: rows to fit on, rows to test on, as checked by `split_rows`; None for all rows in both parts.

    Returns:
        The share of the rows to test on that were fitted, and whether they are few.
    """
    if split is None:
        return ("scored on the rows that were fitted, all of them (held_out=False)", *few_rows(len(codes)))
    train, test = split
    again = int(np.isin(test, train).sum())
    notes = []
    if again:
        notes.append(f"{again:,} of the {len(test):,} rows to test on ({again / len(test):.0%}) were fitted")
    elif alike := _alike(codes, factors, train, test):
        notes.append(
            f"{alike:,} of the {len(test):,} rows to test on ({alike / len(test):.0%}) have the codes and "
            "factors of a row that was fitted; if they show the same images, they are not held out"
        )
    if len(train) < FEW_A_CODE * codes.shape[1]:
        notes.append(
            f"{len(train):,} rows to fit on are few for {codes.shape[1]:,} codes: a fit can follow the rows "
            "instead of the factors"
        )
    if len(test) < FEW:
        notes.append(
            f"{len(test)} rows to test on are few: an accuracy measured on them is uncertain by about "
            f"{0.5 / len(test) ** 0.5:.2f}"
        )
    return tuple(notes)


def few_rows(n: int) -> tuple[str, ...]:
    """The warning for a score of fewer rows than `FEW`, or none."""
    return (f"{n} rows are few: other rows would give another score",) if n < FEW else ()


def about_counts(factors: Array, bins: int) -> tuple[str, ...]:
    """The warning where binned codes without any information seem to have much of a factor's, or none.

    Counts of n rows in b bins overestimate the information about a factor of c values by (b-1)(c-1)/2n nats.
    """
    n = len(factors)
    values = [np.unique(v, return_counts=True)[1] / n for v in factors.T]
    shares = [(min(bins, n) - 1) * (len(p) - 1) / (2 * n) / -(p * np.log(p)).sum() for p in values]
    if max(shares) <= SEEMING:
        return ()
    return (
        f"{n:,} rows are few for {bins} bins and a factor of {len(values[int(np.argmax(shares))])} values: "
        f"counts give a code without information about {min(1.0, max(shares)):.0%} of the factor's entropy",
    )


def _alike(codes: Floats, factors: Array, train: Ints, test: Ints) -> int:
    """How many rows to test on have, bit for bit, codes and factors of a row to fit on.

    Rows of whole numbers only are not counted: discrete codes of two images may well be equal.
    """
    fractions = (codes[test] != np.floor(codes[test])).any(axis=1)
    if not fractions.any():
        return 0
    lines = np.ascontiguousarray(np.column_stack([codes, factors]).astype(np.float64))
    # one number for each line instead of a sort of whole lines; multiplication wraps around
    weights = np.random.default_rng(0).integers(2**63, size=lines.shape[1], dtype=np.uint64) * 2 + 1
    keys = (lines.view(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    return int(np.isin(keys[test[fractions]], keys[train]).sum())


def per_factor(name: str, setting: str, value: T | tuple[T, ...], k: int) -> tuple[T, ...]:
    """A setting that is one value for all factors, or a tuple with one for each of the k that vary."""
    if not isinstance(value, tuple):
        return (value,) * k
    if len(value) != k:
        raise UsageError(
            f"{name}: {setting} has {len(value)} entries, but {k} factors vary; pass {setting}= with as many"
        )
    return value


def check_rng(name: str, rng: object, needed: bool) -> None:
    """Refuses what is no generator of random numbers; None too, where one is needed."""
    if isinstance(rng, np.random.Generator) or (rng is None and not needed):
        return
    given = "None" if rng is None else f"{type(rng).__name__} {rng!r}"[:60]
    remedy = f"default_rng({rng})" if type(rng) is int and rng >= 0 else "default_rng(0)"
    raise UsageError(
        f"{name}: rng must be a np.random.Generator, but is {given}; pass rng=np.random.{remedy}"
    )


def check_jobs(name: str, n_jobs: object) -> None:
    """Refuses a number of processes that is none."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer) or n_jobs == 0:
        raise UsageError(
            f"{name}: n_jobs must be a number of processes, or -1 for one per core, but is {n_jobs!r}"
        )
