"""What every metric that is found promises, whatever it measures."""

from typing import get_args

import numpy as np
import pytest

from disbench.benchmark.scoring.speed import read_pictures
from disbench.errors import UsageError
from disbench.metrics import ContingencyTable, Grid, get, names, voting
from disbench.metrics.model_centrality import Generator
from disbench.metrics.registry import Change

SIZES = (3, 4, 5)
GRID = np.stack(np.unravel_index(np.arange(60), SIZES), axis=1)
FACTORS = np.tile(GRID, (4, 1))
NOISE = np.random.default_rng(1).normal(size=(240, 4))
CODES = np.column_stack([FACTORS, FACTORS[:, 0] + FACTORS[:, 1]]) + 0.3 * NOISE
SPLIT = (np.arange(160), np.arange(160, 240))
# As many votes, trees and samples as tell a bug from none, for whatever metric has such a setting.
FEW = {
    "votes": 200,
    "eval_votes": 100,
    "batch": 16,
    "variance_rows": 500,
    "trees": 5,
    "samples": 1000,
    "sizes": (100,),
}
ALL = names()
KINDS = {name: get(name).kind for name in ALL}
WITHOUT_CODES = ("clustering", "models", "reconstruction", "pictures")
WITH_CODES = [name for name in ALL if KINDS[name] not in WITHOUT_CODES]


def few(name, preset=None):
    """Settings that make a metric quick; a preset's 0 stays, since it stands for another rule."""
    return {s: FEW[s] for s, value in get(name).settings(preset).items() if s in FEW and value != 0}


def hold(held, batch, rng):
    grid, rows = Grid(SIZES), rng.integers(60, size=(len(held), batch))
    return voting.hold(rows, grid, held[:, None], voting.value_of(rows[:, :1], grid, held[:, None])).ravel()


def score(name, codes=CODES, factors=FACTORS, grid=SIZES, seed=0, logvar=None, **settings):
    """The metric on our small data, whatever its kind. A sampling metric sees the first 60 rows, the grid."""
    m = get(name)
    settings = {**few(name, settings.get("preset")), **settings}
    if m.takes("rng"):
        settings["rng"] = np.random.default_rng(seed)
    if m.takes("n_jobs"):
        settings["n_jobs"] = 1
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
            return m(codes, np.full(np.shape(codes), -3.0) if logvar is None else logvar, factors, **settings)
        case "models" if m.takes("generators"):
            # Images are row numbers, and what a generator holds is a factor of the grid.
            three = [codes[:60], codes[:60, ::-1], NOISE[:60]]
            return m([z.__getitem__ for z in three], [Generator(len(grid), hold)] * 3, **settings)
        case "models":
            return m([codes, codes[:, ::-1], NOISE], **settings)
        case "reconstruction":
            images = np.exp(-np.square(NOISE[:60].reshape(60, 1, 2, 2)))
            return m(images, images / 2, **settings)
        case "pictures":
            return m(read_pictures(), **settings)
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


def chance(name):
    """The score of codes that know nothing: as the metric gives it, or that of noise."""
    worded = {"0": 0.0, "0.5": 0.5, "1/k": 1 / 3}
    return worded[get(name).chance] if get(name).chance else score(name, NOISE).score


@pytest.mark.parametrize("name", WITH_CODES)
def test_collapsed_codes_score_no_better_than_chance_and_say_so(name):
    s = score(name, np.ones_like(CODES))
    assert np.isfinite(s.score)
    assert not s.live.any()
    assert s.warnings
    if get(name).higher_is_better:
        assert s.score <= chance(name) + 0.02
        assert s.score <= 0.51
    elif KINDS[name] == "unsupervised":
        # It measures the dependence among codes, and constants have none.
        assert s.score == 0
    else:
        assert s.score >= chance(name) - 0.02


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
        s = score(name, encode, preset=preset)
        announced = get(name).rows(SIZES, np.random.default_rng(0), preset, **few(name, preset))
        assert (np.concatenate(asked) == announced).all()
        assert s.n_encoded == len(announced)
        assert score(name, CODES, preset=preset).score == s.score


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


# Powers of two scale without rounding, so that no code changes its bin.
SCALES = {"scale": np.array([0.25, 8, 2, 0.5]), "common scale": np.full(4, 8)}
RENAMED = (np.array([2, 0, 1]), np.arange(10, 0, -1), np.array([4, 2, 0, 9, 1]))
ORIGIN = np.array([3, -1, 0, 10])


def changed(change, codes=CODES, factors=FACTORS, scales=SCALES, origin=ORIGIN):
    """Codes, factors and the codes' log-variance after a change that should not matter."""
    logvar = np.full(codes.shape, -3.0)
    match change:
        case "order":
            codes = codes[:, [2, 0, 3, 1]]
        case "sign":
            codes = codes * [1, -1, 1, -1]
        case "scale" | "common scale":
            codes, logvar = codes * scales[change], logvar + 2 * np.log(scales[change])
        case "origin":
            codes = codes + origin
        case "values":
            factors = np.column_stack([new[v] for new, v in zip(RENAMED, factors.T, strict=True)])
    return {"codes": codes, "factors": factors, "logvar": logvar}


def changes(name):
    """The changes that a metric of this kind can see."""
    kind = KINDS[name]
    if kind in ("clustering", "reconstruction"):
        return ()
    return [c for c in get_args(Change) if c != "values" or kind in ("table", "posterior")]


DEPENDENT = [(name, c) for name in ALL for c in changes(name) if c in get(name).depends_on]
INDEPENDENT = [(name, c) for name in ALL for c in changes(name) if c not in get(name).depends_on]


@pytest.mark.parametrize(("name", "change"), INDEPENDENT)
def test_what_should_not_matter_does_not(name, change):
    """Where it does, `depends_on` of the metric says so."""
    # Solvers stop within their tolerance, neighbours have a jitter of 1e-10.
    close = 2e-3 if get(name).takes("rng") else 1e-6
    if score(name, **changed(change)).score == pytest.approx(score(name).score, abs=close):
        return
    # A metric that draws for each code, or grows trees, now has other draws: equal but for their spread.
    assert KINDS[name] != "sampling"
    before = [score(name, seed=seed).score for seed in range(10)]
    after = [score(name, **changed(change), seed=seed).score for seed in range(10, 20)]
    error = np.hypot(np.std(before), np.std(after)) / np.sqrt(10)
    assert abs(np.mean(before) - np.mean(after)) <= close + 4 * error


UNDECLARED = [("sap", "origin"), ("mcc", "values"), ("irs", "scale"), ("sap", "common scale")]


@pytest.mark.parametrize(("name", "change"), UNDECLARED)
def test_a_dependence_that_is_not_declared_would_be_seen(name, change):
    with pytest.raises(AssertionError):
        test_what_should_not_matter_does_not(name, change)


@pytest.mark.parametrize(("name", "change"), DEPENDENT)
def test_what_a_metric_says_it_depends_on_does_matter(name, change):
    scales = {"scale": np.array([1, 1e-3, 1e-3, 1e-3]), "common scale": np.full(4, 1e-3)}
    seen = score(name, **changed(change, scales=scales, origin=10 * ORIGIN)).score
    # the least is that of `dci_es`, which is near 1 for all codes
    assert abs(seen - score(name).score) > 0.004


def test_every_metric_says_what_it_depends_on_in_known_words():
    assert all(set(get(name).depends_on) <= set(changes(name)) for name in ALL)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("factor_vae", {"prune": "none"}),
        ("z_max_var", {"prune": "none"}),
        ("beta_vae", {"standardise": True}),
    ],
)
def test_units_do_not_matter_to_votes_that_do_not_look_at_them(name, settings):
    codes = CODES * SCALES["scale"]
    assert score(name, codes, **settings).score == pytest.approx(score(name, **settings).score, abs=0.01)


@pytest.mark.parametrize("name", WITH_CODES)
def test_a_mask_is_the_metric_on_the_live_codes(name):
    codes, mask = np.insert(CODES, 2, NOISE[:, 0], axis=1), np.array([1, 1, 0, 1, 1], bool)
    s = score(name, codes, live=mask)
    assert s.score == score(name, codes[:, mask]).score
    assert not s.live[2]
    assert len(s.live) == 5


@pytest.mark.parametrize(
    ("name", "settings"), [("factor_vae", {"prune": "none"}), ("z_max_var", {"prune": "none"}), ("mig", {})]
)
def test_a_mask_that_leaves_none_out_counts_every_code(name, settings):
    codes = CODES * [1, 1, 1, 0.01]
    assert score(name, codes, live=np.ones(4, bool)).score == score(name, codes, **settings).score


@pytest.mark.parametrize("name", WITH_CODES)
def test_without_a_live_code_a_score_is_that_of_constants(name):
    s = score(name, live=np.zeros(4, bool))
    # the posterior's densities are drawn
    assert s.score == pytest.approx(score(name, np.ones_like(CODES)).score, abs=0.02)
    assert s.live.tolist() == [False] * 4
    assert s.warnings


@pytest.mark.parametrize("name", WITH_CODES)
def test_a_mask_of_other_codes_is_refused(name):
    with pytest.raises(UsageError, match=rf"{name}: live has shape \(3,\), but there are 4 codes"):
        score(name, live=[True, False, True])
    with pytest.raises(UsageError, match=rf"{name}: live must be True or False for each code, but holds 2"):
        score(name, live=[0, 1, 2, 1])


def test_a_function_of_rows_is_masked_too():
    mask = [True, False, True, True]
    whole = score("beta_vae", CODES, live=mask)
    assert score("beta_vae", lambda rows: CODES[rows], live=mask).score == whole.score


@pytest.mark.parametrize("name", [n for n in ALL if n not in WITH_CODES])
def test_metrics_of_several_models_or_of_counts_take_no_mask(name):
    with pytest.raises(UsageError, match=f"unknown setting of {name} 'live'"):
        score(name, live=[True])
