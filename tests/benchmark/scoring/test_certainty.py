"""The spread of a score, its chance, and which rows they are computed on."""

import numpy as np
import pytest

from disbench import metrics
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.protocols import choose_metrics
from disbench.benchmark.scoring import certainty, draws, plans, scoring, tables
from disbench.benchmark.scoring.encoded import Encoded
from disbench.benchmark.scoring.entries import Draws
from disbench.benchmark.scoring.plans import BY_COST
from disbench.metrics import ContingencyTable, Grid
from disbench.metrics.oracle.quality import quality
from disbench.metrics.oracle.reading import of_bits

GRID = Grid((3, 4, 5), ("a", "b", "c"))
SMALL = {"votes": 100, "eval_votes": 50, "batch": 8}


def gridded(sizes=GRID.sizes):
    return Dataset("grid", "0" * 64, tables.NoImages(int(np.prod(sizes))), GRID.names, sizes)


def stored(data, share=1.0, noise=0.0):
    """The factors as codes, of some rows."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(rng.random(len(data)) < share)
    factors = data.grid.factors(rows).astype(float)
    return tables.Stored(factors + noise * rng.normal(size=factors.shape), rows)


def by_cost(source, data, names, settings=None, **options):
    choices = choose_metrics(names)
    if settings:
        choices = tuple(choice.model_copy(update={"settings": settings}) for choice in choices)
    return scoring.score(source, data, choices, draws=BY_COST, **options)


def test_the_spread_of_a_mean_from_its_quarters_is_the_textbook_s():
    """The standard error of a mean of n numbers is s / sqrt(n)."""
    values = np.random.default_rng(0).normal(scale=3.0, size=1200)
    means = [values[certainty.part(np.arange(1200), draw)].mean() for draw in range(400)]
    assert Draws.of_parts(means, certainty.SHARE).std == pytest.approx(3 / 1200**0.5, rel=0.1)


def test_a_part_holds_out_what_the_whole_holds_out():
    rows = np.arange(100, 160)
    train, test = (set(rows[side]) for side in draws.split(60))
    part = certainty.part(rows, 0)
    fitted, tested = (set(part[side]) for side in draws.split(15))
    assert (len(fitted), len(tested)) == (10, 5)
    assert fitted < train
    assert tested < test
    assert list(part) != list(certainty.part(rows, 1))


def test_counts_of_a_part_and_of_independent_labels():
    table = ContingencyTable([[30, 2], [0, 8]], [0.5, 0.5], [0.7, 0.3])
    part = certainty.part_of_counts(table, 0)
    assert part.counts.sum() == 10
    assert (part.counts <= table.counts).all()
    independent = [certainty.shuffled_counts(table, draw).counts for draw in range(200)]
    for counts in independent:
        np.testing.assert_array_equal(counts.sum(axis=1), [32, 8])
        np.testing.assert_array_equal(counts.sum(axis=0), [30, 10])
    # latent 1 and class 1 are a fifth and a quarter of 40
    assert np.mean([counts[1, 1] for counts in independent]) == pytest.approx(2, abs=0.3)


def test_strangers_have_every_code_once_and_keep_it():
    position, codes = np.array([2, -1, 0, 1]), np.array([[0.0], [1.0], [2.0]])
    strangers = certainty.Strangers(position, codes, 0)
    rows = np.array([0, 2, 3, 0])
    assert sorted(strangers(rows[:3]).ravel()) == [0, 1, 2]
    assert strangers(rows)[0] == strangers(rows)[3]
    orders = {tuple(certainty.Strangers(position, codes, draw)(rows[:3]).ravel()) for draw in range(20)}
    assert len(orders) == 6


@pytest.mark.parametrize(
    ("seconds", "amount"),
    [(1.9, certainty.CHEAP), (2.0, certainty.DEAR), (59.0, certainty.DEAR), (60.0, certainty.NEITHER)],
)
def test_how_often_depends_on_the_cost(seconds, amount):
    assert certainty.amount(seconds) == amount


def test_perfect_codes_score_what_is_called_perfect_and_strangers_what_is_called_chance():
    data = gridded()
    entries = by_cost(stored(data), data, "factor_vae,beta_vae,z_max_var", SMALL)
    for entry in entries:
        assert entry.score == pytest.approx(entry.perfect, abs=0.05)
        assert entry.shuffled.mean == pytest.approx(1 / 3, abs=0.12)
        assert len(entry.draws.scores) == 10
        assert entry.draws.scores[0] == entry.score
        assert len(entry.shuffled.scores) == 5
    for entry in by_cost(stored(data), data, "mcc,mig"):
        assert entry.adjusted == pytest.approx(1, abs=0.05)


def test_a_whole_grid_draws_nothing_but_what_is_held_out():
    data = gridded()
    whole, split = by_cost(stored(data, noise=1.0), data, "mig,explicitness")
    assert whole.draws is None
    assert whole.shuffled.std > 0
    assert split.draws.share == 1
    assert split.draws.std > 0


def test_a_sample_of_a_grid_has_the_spread_of_its_parts():
    data = gridded((10, 12, 15))
    source = stored(data, share=0.5, noise=1.0)
    (entry,) = by_cost(source, data, "mcc")
    quarter = certainty.part(draws.table_rows(data, source.rows), 3)
    direct = metrics.mcc(source.codes(quarter), data.grid.factors(quarter)).score
    assert entry.draws.scores[3] == direct
    assert entry.draws.share == 0.25
    assert entry.draws.mean is None
    assert 0 < entry.std < 0.1
    assert entry.number() == f"{entry.score:.4f} ± {entry.std:.4f}"


def test_of_few_rows_only_what_is_held_out_is_drawn_anew():
    labels = np.repeat(np.arange(4), 6)
    data = Dataset("few", "0" * 64, tables.NoImages(24), ("class",), labels=labels)
    source = tables.Stored(np.random.default_rng(0).normal(size=(24, 2)), np.arange(24))
    split, whole = by_cost(source, data, "explicitness,mig")
    assert split.draws.share == 1
    assert whole.draws is None


def test_what_cannot_be_computed_is_told_and_the_score_stands():
    data = gridded((10, 12, 15))
    source = tables.Stored(np.random.default_rng(0).normal(size=(30, 2)), np.arange(0, 1800, 60))
    (entry,) = by_cost(source, data, "mcc")
    assert entry.score is not None
    assert entry.draws is None
    why = "no spread of the score: it is that of parts, and 30 rows are too few, 400 are needed"
    assert why in entry.warnings


def test_a_metric_that_takes_minutes_is_computed_once(monkeypatch):
    data = gridded()
    monkeypatch.setattr(certainty, "TOO_DEAR_FROM", 0.0)
    (entry,) = by_cost(stored(data), data, "mig")
    assert entry.draws is None
    assert entry.shuffled is None
    assert entry.warnings[-1].startswith("neither its spread nor its chance was computed")


def test_draws_that_are_asked_for_have_no_chance_beside_them():
    data = gridded()
    (entry,) = scoring.score(stored(data), data, choose_metrics("mig"), draws=2)
    assert entry.shuffled is None
    assert len(entry.draws.scores) == 2


@pytest.mark.parametrize("names", ["factor_vae", "factor_vae,mcc"])
def test_further_draws_of_a_metric_that_votes_encode_nothing(names):
    data = gridded((30, 30, 30))
    votes, *others = choose_metrics(names)
    choices = (votes.model_copy(update={"settings": SMALL}), *others)
    once = scoring.rows(Encoding(data), data, choices, 1)
    assert list(scoring.rows(Encoding(data), data, choices, BY_COST)) == list(once)
    assert len(once) < len(data)
    entry, *_ = scoring.score(Encoding(data, noise=2.0), data, choices, draws=BY_COST)
    fresh, *_ = scoring.score(Encoding(data, noise=2.0), data, choices, draws=40)
    assert len(entry.draws.scores) == 10
    assert entry.draws.scores[0] == fresh.draws.scores[0]
    assert np.mean(entry.draws.scores) == pytest.approx(fresh.draws.mean, abs=3 * fresh.draws.std)
    assert entry.std == pytest.approx(fresh.draws.std, rel=0.6)


def test_no_more_than_twice_the_rows_of_one_draw_are_encoded_for_a_metric_that_needs_a_grid():
    data = gridded((30, 30, 30))
    choices = [c.model_copy(update={"settings": SMALL}) for c in choose_metrics("z_max_var")]
    once = scoring.rows(Encoding(data), data, choices, 1)
    more = scoring.rows(Encoding(data), data, choices, BY_COST)
    assert len(once) < len(more) <= 2 * len(once)
    # codes that are there cost nothing
    whole = stored(data)
    planned = [plans.plan(choice, whole, data, BY_COST) for choice in choices]
    plans.needed(planned, whole, data, BY_COST)
    assert planned[0].further == 9


class Encoding:
    """A source that would have to encode, and notes what."""

    rows, no_posterior = None, "none here"

    def __init__(self, data, noise=0.0):
        self.data, self.asked, self.noise = data, [], noise

    def encoded(self, rows, progress=None, need=False):
        self.asked.append(len(rows))
        noise = np.random.default_rng(0).normal(size=(len(self.data), 3))[rows]
        return Encoded(self.data.grid.factors(rows) + self.noise * noise)


def test_tables_are_encoded_and_shown_before_the_rows_that_vote():
    data, shown = gridded((30, 30, 30)), []
    source = Encoding(data)

    def early(entry):
        shown.append((entry.metric, len(source.asked)))

    choices = choose_metrics("factor_vae,mcc,mig")
    choices = (choices[0].model_copy(update={"settings": SMALL}), *choices[1:])
    entries = scoring.score(source, data, choices, draws=BY_COST, early=early)
    assert [entry.metric for entry in entries] == ["factor_vae", "mcc", "mig"]
    assert shown == [("mcc", 1), ("mig", 1)]
    assert source.asked == [len(draws.every_table(data)), source.asked[1]]


def test_a_quick_metric_has_a_tenth_of_the_votes_and_says_so():
    (voting, table) = map(plans.quick, choose_metrics("factor_vae:dlib,mig"))
    assert voting.settings == {"votes": 1000, "eval_votes": 500}
    assert table == choose_metrics("mig")[0]
    (few,) = map(plans.quick, choose_metrics("factor_vae:ibgan"))
    assert few.settings == {"votes": 100, "eval_votes": 0}
    data = gridded()
    (entry,) = scoring.score(stored(data), data, [few])
    assert entry.label == "ibgan, votes=100"


@pytest.mark.parametrize("name", metrics.names())
def test_what_is_called_perfect_is_what_perfect_codes_score(name):
    """Codes that are one factor each, and a table in which latents are classes."""
    metric = metrics.get(name)
    perfect = metric.perfect_score(metric.settings())
    if perfect is None:
        assert metric.kind in ("unsupervised", "models", "reconstruction") or name in ("sap", "dci_es")
        return
    grid = Grid((3, 4, 5))
    factors = grid.factors(np.tile(np.arange(len(grid)), 30))
    extra = {"rng": np.random.default_rng(0)} if metric.takes("rng") else {}
    if metric.kind == "clustering":
        found = metric(ContingencyTable(10 * np.eye(4), np.full(4, 0.25), np.full(4, 0.25)))
    elif metric.kind == "sampling":
        found = metric(grid.factors(np.arange(len(grid))).astype(float), grid, **extra)
    elif metric.kind == "pictures":
        pixels = np.eye(8)
        oracle = of_bits(np.packbits(pixels > 0, axis=1), Grid((2, 4)), (1, 2, 4))
        pictures = np.tile(pixels.reshape(8, 2, 4), (40, 1, 1))
        found = metric(quality(oracle, pictures, oracle.read(pictures), np.random.default_rng(0)))
    elif metric.kind == "posterior":
        found = metric(factors.astype(float), np.full(factors.shape, -12.0), factors, **extra)
    else:
        found = metric(factors.astype(float), factors, **extra)
    assert found.score == pytest.approx(perfect, abs=0.06)
