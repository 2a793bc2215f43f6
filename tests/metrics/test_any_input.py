"""Whatever codes and factors come, a metric gives a number or one sentence: no crash, no library's warning.

Types, layouts, missing values, units, origins and kinds of factors, drawn by hypothesis for every metric on
codes and factors. More inputs than in the usual run are tried by
`python tests/metrics/test_any_input.py COUNT FIRST`.
"""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from disbench.errors import UsageError
from disbench.metrics import get, names

SIZES = (3, 4, 5)
GRID = np.stack(np.unravel_index(np.arange(60), SIZES), axis=1)
ALL = [name for name in names() if get(name).kind in ("table", "sampling", "unsupervised", "posterior")]
# As few as show a fault.
FEW = {
    "votes": 60,
    "eval_votes": 30,
    "batch": 8,
    "variance_rows": 60,
    "trees": 2,
    "samples": 60,
    "sizes": (20,),
}
QUICK = 14  # inputs of each metric
BOUNDED = (
    *(
        "aam",
        "beta_vae",
        "dci",
        "dcimig",
        "downstream",
        "explicitness",
        "factor_vae",
        "mcc",
        "mig",
        "mig_sup",
    ),
    *("modularity", "sap", "z_max_var"),
)

TYPES = ["f2", "f4", "f8", "g", ">f4", ">f8", "i1", "i4", "u2", "?", "O"]
LAYOUTS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "reversed": lambda z: z[::-1].copy()[::-1],
    "strided": lambda z: np.repeat(np.repeat(z, 2, axis=0), 2, axis=1)[::2, ::2],
    "a list": lambda z: z.tolist(),
    "a frame": lambda z: pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])]),
    "a masked array": np.ma.masked_array,
}
UNITS = [1e-310, 1e-200, 1e-30, 1e-3, 1.0, 1.0, 1.0, 1e5, 1e30, 1e200, 1e300]
ORIGINS = [0.0, 0.0, 0.0, 1.0, -1e4, 1e8]


def dead(z, column):
    z[:, 1] = column
    return z


SPOILS = {
    "nothing": lambda z: z,
    "a missing value": lambda z: np.where(np.arange(z.size).reshape(z.shape) == 7, np.nan, z),
    "an infinite value": lambda z: np.where(np.arange(z.size).reshape(z.shape) == 9, np.inf, z),
    "a constant": lambda z: dead(z, 0.3),
    "all constant": lambda z: np.full_like(z, 2.5),
    "a few last digits": lambda z: dead(z, np.where(np.arange(len(z)) % 3, 0.3, np.nextafter(0.3, 1))),
    "an outlier": lambda z: dead(z, np.where(np.arange(len(z)) == 5, 1e290, 0.1)),
    "both signs of the largest": lambda z: dead(z, np.where(np.arange(len(z)) % 2, 1.7e308, -1.7e308)),
    "copies": lambda z: z[:, [0, 0, 1, 1]],
    "one column": lambda z: z[:, :1],
    "many columns": lambda z: np.tile(z, 30),
    "transposed": lambda z: z.T,
    "three dimensions": lambda z: z[None],
    "no rows": lambda z: z[:0],
    "one row": lambda z: z[:1],
    "a row less": lambda z: z[1:],
}
FACTORS = {
    "indices": GRID,
    "from 1": GRID + 1,
    "gaps": GRID * 7 - 9,
    "text": np.array(["ant", "bee", "cat", "dog", "eel"])[GRID],
    "floats": GRID / 3,
    "continuous": GRID + np.linspace(0, 0.9, 60)[:, None],
    "mixed": np.column_stack([GRID[:, :2], np.linspace(0, 1, 60)]),
    "huge": GRID * 1e300,
    "tiny": GRID * 1e-310 + np.linspace(0, 1e-311, 60)[:, None],
    "one-hot": np.hstack([np.eye(n, dtype=int)[v] for n, v in zip(SIZES, GRID.T, strict=True)]),
    "a vector": GRID[:, 2],
    "ids": np.column_stack([GRID[:, 0], np.arange(60)]),
    "a constant": np.column_stack([GRID[:, 0], np.full(60, 5), GRID[:, 2]]),
    "all constant": np.ones((60, 3)),
    "rare": (np.arange(60) == 3)[:, None],
    "missing": np.where(GRID == 2, np.nan, GRID),
    "objects": np.array([[None, {}]] * 60, object),
    "transposed": GRID.T,
}
INPUTS = st.tuples(
    st.sampled_from(TYPES),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(SPOILS)),
    st.sampled_from(UNITS),
    st.sampled_from(ORIGINS),
    st.sampled_from(sorted(FACTORS)),
    st.integers(0, 10**6),
)


def made(kind, layout, spoil, unit, origin, seed):
    """Codes of the grid's 60 rows, four columns of which the last is a mixture."""
    rng = np.random.default_rng(seed)
    z = np.column_stack([GRID, GRID.sum(axis=1)]) + rng.normal(0, 0.3, (60, 4))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        z = SPOILS[spoil](z * unit + origin).astype(kind)
    return LAYOUTS[layout](z) if z.ndim == 2 else z


def called(name, codes, factors, seed):
    metric = get(name)
    extra = {s: FEW[s] for s, value in metric.settings().items() if s in FEW and value != 0}
    if "max_iter" in metric.settings():
        extra["max_iter"] = 5
    if metric.takes("rng"):
        extra["rng"] = np.random.default_rng(seed)
    if metric.takes("n_jobs"):
        extra["n_jobs"] = 1
    match metric.kind:
        case "sampling":
            return metric(codes, SIZES, **extra)
        case "unsupervised":
            return metric(codes, **extra)
        case "posterior":
            return metric(codes, np.full(np.shape(codes), -3.0), factors, **extra)
    return metric(codes, factors, **extra)


def tried(name, values):
    """The score of an input, or the sentence that refuses it; any other end is an error."""
    kind, layout, spoil, unit, origin, factors, seed = values
    codes = made(kind, layout, spoil, unit, origin, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            score = called(name, codes, FACTORS[factors], seed)
        except UsageError as error:
            sentence = str(error)
            assert sentence.isprintable(), sentence
            assert len(sentence) < 500, sentence
            assert "Warning" not in sentence, sentence
            return sentence
    assert not any("Warning" in note for note in score.warnings), score.warnings
    if not np.isfinite(score.score):
        assert score.warnings
    elif name in BOUNDED:
        # the others are not bounded, or may be negative
        assert 0 <= score.score <= 1, score.score
    return score


@pytest.mark.parametrize("name", ALL)
@settings(
    max_examples=QUICK,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(values=INPUTS)
def test_any_input_gives_a_number_or_a_sentence(name, values):
    tried(name, values)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=2, deadline=None, derandomize=True, database=None)
@given(
    layout=st.sampled_from(["rows", "columns", "reversed", "strided", "a frame"]),
    unit=st.sampled_from([1e-3, 1.0, 1e5]),
    origin=st.sampled_from([0.0, 1.0, -1e4]),
    seed=st.integers(0, 10**6),
)
def test_single_precision_has_the_score_of_its_numbers_in_double(name, layout, unit, origin, seed):
    codes = made("f4", "rows", "nothing", unit, origin, seed)
    double = called(name, codes.astype(np.float64), GRID, seed).score
    assert called(name, LAYOUTS[layout](codes), GRID, seed).score == pytest.approx(double, abs=1e-5)


def test_the_inputs_reach_both_ends():
    """A good input is scored, and what is spoilt is refused: the test above is not empty."""
    good = ("f4", "columns", "nothing", 1.0, 0.0, "text", 0)
    assert all(not isinstance(tried(name, good), str) for name in ALL)
    spoilt = ("f8", "rows", "a missing value", 1.0, 0.0, "indices", 0)
    assert all("NaN or infinity" in tried(name, spoilt) for name in ALL)


def main(count, first=0):
    ends = {}
    for number in range(first, first + count):
        dice = np.random.default_rng(number)
        values = (
            *(dice.choice(part) for part in (TYPES, sorted(LAYOUTS), sorted(SPOILS), UNITS, ORIGINS)),
            dice.choice(sorted(FACTORS)),
            number,
        )
        name = ALL[number % len(ALL)]
        try:
            end = tried(name, values)
        except BaseException:
            print(f"input {number}: {name} {values}", file=sys.stderr)
            raise
        refused = isinstance(end, str)
        ends[refused] = ends.get(refused, 0) + 1
    print(f"{count} inputs: {ends.get(False, 0)} scored, {ends.get(True, 0)} refused")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
