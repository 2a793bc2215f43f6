"""What every metric that is found promises, whatever it measures."""

import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import ContingencyTable, get, names

SIZES = (3, 4, 5)
GRID = np.stack(np.unravel_index(np.arange(60), SIZES), axis=1)
FACTORS = np.tile(GRID, (4, 1))
NOISE = np.random.default_rng(1).normal(size=(240, 4))
CODES = np.column_stack([FACTORS, FACTORS[:, 0] + FACTORS[:, 1]]) + 0.3 * NOISE
SPLIT = (np.arange(160), np.arange(160, 240))
# small enough to run all of them: as many votes, trees and samples as tell a bug from none
QUICK = {
    "factor_vae": {"votes": 200, "eval_votes": 100, "batch": 16, "variance_rows": 500},
    "z_max_var": {"votes": 200, "eval_votes": 100, "batch": 16, "variance_rows": 500},
    "beta_vae": {"votes": 200, "eval_votes": 100, "batch": 16},
    "dci": {"trees": 5, "n_jobs": 1},
    "downstream": {"sizes": (100,), "model": "logistic"},
    "mig_chen": {"samples": 100},
}
ALL = names()
KINDS = {name: get(name).kind for name in ALL}
WITH_CODES = [name for name in ALL if KINDS[name] not in ("clustering", "models")]


def score(name, codes=CODES, factors=FACTORS, grid=SIZES, seed=0, **settings):
    """The metric on our small data, whatever its kind. A sampling metric sees the first 60 rows, the grid."""
    m = get(name)
    settings = {**QUICK.get(name, {}), **settings}
    if m.takes("rng"):
        settings["rng"] = np.random.default_rng(seed)
    if m.takes("split"):
        settings.setdefault("split", SPLIT)
    match m.kind:
        case "table":
            return m(codes, factors, **settings)
        case "sampling":
            return m(codes[:60] if isinstance(codes, np.ndarray) else codes, grid, **settings)
        case "unsupervised":
            return m(codes, **settings)
        case "posterior":
            return m(codes, np.full(np.shape(codes), -3.0), factors, **settings)
        case "models":
            return m([codes, codes[:, ::-1], NOISE], **settings)
        case "clustering":
            counts = np.array([[5, 1], [2, 4]])
            return m(ContingencyTable(counts, np.array([0.3, 0.7]), np.array([0.5, 0.5])), **settings)


@pytest.mark.parametrize("name", ALL)
def test_every_metric_says_what_it_is(name):
    m = get(name)
    assert m.name == name
    assert m.summary.endswith(".")
    assert m.paper
    assert m.default_preset in m.presets
    assert len({frozenset(values) for values in m.presets.values()}) == 1  # every preset sets every setting


@pytest.mark.parametrize("name", ALL)
def test_a_score_is_finite_and_carries_its_settings(name):
    s = score(name)
    assert np.isfinite(s.score)
    assert set(s.settings) == set(get(name).presets[get(name).default_preset])
    assert s.preset.startswith(get(name).default_preset)
    assert s.n_encoded > 0


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_score_and_leaves_its_input_alone(name):
    before = CODES.copy(), FACTORS.copy()
    assert score(name).score == score(name).score
    assert (before[0] == CODES).all()
    assert (before[1] == FACTORS).all()


@pytest.mark.parametrize("name", WITH_CODES)
def test_broken_codes_are_refused(name):
    broken = CODES.copy()
    broken[3, 1] = np.nan
    with pytest.raises(UsageError, match=f"{name}: .*NaN or infinity"):
        score(name, broken)
    with pytest.raises(UsageError, match=f"{name}: codes|{name}: mean|must be real numbers"):
        score(name, CODES.astype(object))


@pytest.mark.parametrize("name", [n for n in WITH_CODES if KINDS[n] != "unsupervised"])
def test_transposed_codes_are_refused(name):
    with pytest.raises(UsageError, match="look transposed"):
        score(name, CODES[:60].T if KINDS[name] == "sampling" else CODES.T)


@pytest.mark.parametrize("name", WITH_CODES)
def test_dead_codes_and_constant_factors_do_no_harm(name):
    """A constant code and a factor of one value give a finite score, and the factor is named."""
    codes = np.insert(CODES, 1, 7.0, axis=1)
    s = score(name, codes, np.insert(FACTORS, 1, 3, axis=1), (3, 1, 4, 5))
    assert np.isfinite(s.score)
    assert s.live is not None
    assert not s.live[1]
    if KINDS[name] != "unsupervised":
        assert s.dropped_factors == (1,)


@pytest.mark.parametrize("name", WITH_CODES)
def test_collapsed_codes_score_no_better_than_chance_and_say_so(name):
    s = score(name, np.ones_like(CODES))
    assert np.isfinite(s.score)
    assert not s.live.any()
    assert s.warnings
    assert s.score <= 0.51


@pytest.mark.parametrize("name", WITH_CODES)
def test_one_code_and_one_factor_are_enough(name):
    s = score(name, CODES[:, 2:3], FACTORS[:, 2:3], (1, 1, 60) if KINDS[name] == "sampling" else None)
    assert np.isfinite(s.score)


@pytest.mark.parametrize("name", [n for n in ALL if KINDS[n] == "sampling"])
def test_a_sampling_metric_asks_for_the_rows_it_announces(name):
    """In every preset, for a function of row numbers; the array over the grid gives the same score."""
    asked = []

    def encode(rows):
        asked.append(rows)
        return CODES[rows]

    for preset in get(name).presets:
        asked.clear()
        small = {s: v for s, v in QUICK[name].items() if get(name).presets[preset][s] != 0}
        s = score(name, encode, preset=preset, **{**_zeros(name, preset), **small})
        announced = get(name).rows(
            SIZES, np.random.default_rng(0), preset, **{**_zeros(name, preset), **small}
        )
        assert (np.concatenate(asked) == announced).all()
        assert s.n_encoded == len(announced)
        again = score(name, CODES, preset=preset, **{**_zeros(name, preset), **small})
        assert again.score == s.score


def _zeros(name, preset):
    return {s: 0 for s in QUICK[name] if get(name).presets[preset][s] == 0}


@pytest.mark.parametrize("name", [n for n in ALL if KINDS[n] == "sampling"])
def test_codes_come_in_chunks(name, monkeypatch):
    """No call encodes more than a chunk, and how large the chunk is does not matter."""
    whole = score(name).score
    longest = []
    monkeypatch.setattr("disbench.metrics.voting.CHUNK", 100)

    def encode(rows):
        longest.append(len(rows))
        return CODES[rows]

    assert score(name, encode).score == whole
    assert max(longest) <= 100


@pytest.mark.parametrize("name", [n for n in ALL if KINDS[n] == "sampling"])
def test_a_function_that_returns_the_wrong_rows_is_refused(name):
    with pytest.raises(UsageError, match="asked for the codes of"):
        score(name, lambda rows: CODES[rows][:-1])
    with pytest.raises(UsageError, match="needs the factor sizes of a complete grid"):
        score(name, CODES, grid=FACTORS)


# Per metric, what leaves the score as it is: the order of codes, the sign, the unit of each, the unit of all,
# the origin of codes; and renaming the values of factors.
EVERYTHING = ("order", "sign", "unit", "origin", "values")
PROMISED = {
    "factor_vae": ("order", "sign", "origin"),
    "z_max_var": ("order", "sign", "origin"),
    "beta_vae": ("order", "sign", "origin"),
    "mig": EVERYTHING,
    "mig_sup": EVERYTHING,
    "dcimig": EVERYTHING,
    "jemmig": EVERYTHING,
    "aam": EVERYTHING,
    "modularity": EVERYTHING,
    "explicitness": EVERYTHING,
    "infomec": ("order", "sign", "origin", "all_units", "values"),
    "irs": ("order", "sign", "all_units", "origin", "values"),
    "sap": ("order", "values"),
    "mcc": ("order", "sign", "unit", "origin"),
    "linear_r2": ("order", "sign", "unit", "origin"),
    "downstream": ("order", "sign", "values"),
    "gaussian_total_correlation": ("order", "sign", "unit", "origin"),
    "wasserstein_correlation": ("order", "sign", "origin"),
    "pairwise_mi": ("order", "sign", "unit", "origin"),
    "active_units": ("order", "sign", "origin"),
}
CHANGES = {
    "order": lambda z, v: (z[:, [2, 0, 3, 1]], v),
    "sign": lambda z, v: (z * [1, -1, 1, -1], v),
    "unit": lambda z, v: (z * [0.25, 8, 2, 0.5], v),
    "all_units": lambda z, v: (z * 8, v),
    "origin": lambda z, v: (z + np.array([3, -1, 0, 10]), v),
    "values": lambda z, v: (
        z,
        (np.array([2, 0, 1])[v[:, 0]], 10 - v[:, 1], np.array([4, 2, 0, 9, 1])[v[:, 2]]),
    ),
}


@pytest.mark.parametrize(("name", "change"), [(n, c) for n, promised in PROMISED.items() for c in promised])
def test_what_should_not_matter_does_not(name, change):
    codes, factors = CHANGES[change](CODES, FACTORS)
    factors = np.stack(factors, axis=1) if isinstance(factors, tuple) else factors
    # solvers stop within their tolerance, neighbours have a jitter of 1e-10
    close = 2e-3 if name in ("explicitness", "infomec", "beta_vae", "downstream", "sap") else 1e-6
    assert score(name, codes, factors).score == pytest.approx(score(name).score, abs=close)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("factor_vae", {"prune": "none"}),
        ("z_max_var", {"prune": "none"}),
        ("beta_vae", {"standardise": True}),
    ],
)
def test_units_do_not_matter_to_votes_that_do_not_look_at_them(name, settings):
    codes = CHANGES["unit"](CODES, None)[0]
    assert score(name, codes, **settings).score == pytest.approx(score(name, **settings).score, abs=0.01)
