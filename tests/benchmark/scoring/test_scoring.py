import dataclasses
import errno
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from disbench import metrics
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.protocols import choose_metrics
from disbench.benchmark.scoring import draws, encoding, scoring, tables, trained
from disbench.benchmark.scoring.trained import Trained
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError
from disbench.metrics import Grid, registry
from disbench.metrics.factors import DSPRITES, Factors
from disbench.models import DataInfo, Method
from disbench.models.method import Config

CPU = torch.device("cpu")
GRID = Grid((3, 4, 5), ("a", "b", "c"))


def gridded():
    """Images whose first three pixels are the factors."""
    pixels = np.zeros((len(GRID), 1, 2, 2), np.uint8)
    pixels.reshape(len(GRID), 4)[:, :3] = 40 * GRID.factors(np.arange(len(GRID)))
    return Dataset("grid", "0" * 64, ArrayStorage(pixels), GRID.names, GRID.sizes)


class Reader(Method):
    """Its codes are the first three pixels, so the factors themselves. Counts what it encodes."""

    def __init__(self, data):
        super().__init__(Config(), DataInfo(data.shape, len(data)))
        self.encoded = []

    def noise(self, batch, generator):
        return {}

    def represent(self, images):
        self.encoded += images.flatten(1)[:, :3].mul(6.375).round().int().tolist()
        return images.flatten(1)[:, :3]


def score(method, data, choices, **options):
    return scoring.score(Trained(method, data, CPU), data, choices, **options)


QUICK = {"votes": 200, "eval_votes": 100}


def test_a_perfect_encoder_scores_one_and_every_image_is_encoded_once():
    data = gridded()
    reader = Reader(data)
    choices = tuple(c.model_copy(update={"settings": QUICK}) for c in choose_metrics("factor_vae,beta_vae"))
    entries = score(reader, data, (*choices, *choose_metrics("mig,mcc")))
    assert [entry.score for entry in entries] == pytest.approx([1.0, 1.0, 1.0, 1.0], abs=0.05)
    seen = [tuple(v) for v in reader.encoded]
    assert len(seen) == len(set(seen)) <= len(GRID)


def test_scores_are_those_of_the_metric_on_the_whole_grid():
    """The plan of encodings must hand each metric its own rows."""
    data = gridded()
    (choice,) = choose_metrics("factor_vae")
    choice = choice.model_copy(update={"settings": QUICK})
    (entry,) = score(Reader(data), data, [choice])
    codes = data.images(np.arange(len(data))).flatten(1)[:, :3].numpy()
    direct = metrics.factor_vae(codes, GRID, rng=draws.generator(choice), **QUICK)
    assert entry.score == direct.score
    assert entry.label == direct.preset


def test_a_metric_that_the_data_cannot_have_is_an_entry_with_its_reason():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 1, 2, 2), dtype=np.uint8)
    data = Dataset("labelled", "0" * 64, ArrayStorage(pixels), ("class",), labels=np.arange(40) % 4)
    reader = Reader(data)
    factor_vae, nmi, udr, chen = score(reader, data, choose_metrics("factor_vae,nmi,udr,mig_chen"))
    assert factor_vae.score is None
    assert "fewer than two such factors" in factor_vae.reason
    assert "no categorical code" in nmi.reason
    assert "`disbench leaderboard RUN --select udr`" in udr.reason
    assert "needs the posterior of the codes" in chen.reason
    assert reader.encoded == []


class Painter(Reader):
    """Category i paints images of class i, but category 2 paints class 1 half of the time."""

    def noise(self, batch, generator):
        return {"half": torch.arange(batch) % 2}

    def categories(self, noise):
        b = len(noise["half"])
        classes = torch.stack([torch.zeros(b), torch.ones(b), 2.0 - noise["half"]])
        return ["0", "1", "2"], (classes / 10)[..., None, None, None].expand(3, b, 1, 2, 2)

    def class_prior(self):
        return torch.tensor([0.5, 0.3, 0.2])


def test_clustering_metrics_by_hand(monkeypatch):
    class Frozen:
        data, classes, accuracy, sha256 = "toy", ("0", "1", "2"), 0.99, "f" * 64

        def __call__(self, images):
            return (images.flatten(1)[:, 0] * 10).round().long()

    monkeypatch.setattr(trained, "load_classifier", lambda name, size, data_dir: Frozen())
    pixels = np.zeros((10, 1, 2, 2), np.uint8)
    labels = np.array([0] * 5 + [1] * 3 + [2] * 2)
    data = Dataset("toy", "0" * 64, ArrayStorage(pixels), ("class",), labels=labels)
    entropy, purity, rmse = score(Painter(data), data, choose_metrics("ent,purity,prior_rmse"))
    # rows: 0, 0, ln 2; columns: 0, (2/3, 1/3), 0
    column = -(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3)
    assert entropy.score == pytest.approx((np.log(2) + column) / 6)
    assert purity.score == pytest.approx(2500 / 3000)
    # category 2 is a tie of classes 1 and 2 and goes to the lower: priors .5, .5, 0 against .5, .3, .2
    assert rmse.score == pytest.approx(np.sqrt((0.2**2 + 0.2**2) / 3))
    assert entropy.classifier.startswith("toy, 99.00% right")


def test_codes_that_are_not_numbers_are_refused():
    class Broken(Reader):
        def represent(self, images):
            return super().represent(images) / 0

    with pytest.raises(ValueError, match="NaN or infinite"):
        score(Broken(gridded()), gridded(), choose_metrics("mig"))


def test_long_work_is_told():
    heard = []
    data = gridded()
    choices = choose_metrics("dci:eastwood2018_lasso,mig")
    score(Reader(data), data, choices, progress=lambda *told: heard.append(told))
    assert ("encoding", len(GRID), len(GRID)) in heard
    assert ("dci", 3, 3) in heard


def test_distinct_rows_by_hand():
    found = draws.distinct(9, np.array([7, 2, 2]), np.array([], np.int64), np.array([3, 7]))
    assert found.tolist() == [2, 3, 7]
    assert draws.distinct(5).tolist() == []


def test_an_encoder_that_gives_some_images_fewer_codes_is_refused(monkeypatch):
    """Written into one array, one code would be taken for each of three."""
    monkeypatch.setattr(encoding, "CHUNK", 8)
    widths = iter([3, 1])
    with pytest.raises(UsageError, match=r"of shape \(3,\) .* and of shape \(1,\) from row 8 on"):
        encoding.encode(lambda images: images.flatten(1)[:, : next(widths)], gridded().images, np.arange(16))


def noise_on(sizes, d, seed=1, less=0):
    """Codes drawn at random of a grid of these sizes, or of a table of all its rows but some."""
    grid = Grid(sizes, tuple("abcdef"[: len(sizes)]))
    n = len(grid) - less
    codes = np.random.default_rng(seed).normal(size=(n, d))
    factors = grid.factors(np.arange(n))
    data = (
        Dataset("table", "", tables.NoImages(n), grid.names, factor_table=Factors.whole(factors))
        if less
        else Dataset("grid", "", tables.NoImages(n), grid.names, sizes)
    )
    return tables.Stored(codes, np.arange(n)), data


HELD_OUT = [
    *["linear_r2", "explicitness", "sap", "dci:eastwood2018_lasso", "downstream", "sap:dlib_continuous"],
    *["mig", "linear_r2:in_sample", "explicitness:infogan_cr", "dci:ibgan"],
]


def test_which_metrics_hold_rows_out():
    assert [draws.holds_out(choice) for choice in choose_metrics(",".join(HELD_OUT))] == [True] * 6 + [
        False
    ] * 4


@pytest.mark.parametrize(
    "sizes", [(4, 5, 6), (3, 6, 10, 4), (10, 10, 10, 15), (4, 24, 183), (3, 6, 40, 32, 32)], ids=str
)
@pytest.mark.parametrize("draw", [0, 2])
def test_no_row_that_is_tested_was_fitted(sizes, draw):
    n = int(np.prod(sizes))
    data = Dataset("grid", "", tables.NoImages(n), tuple("abcdef"[: len(sizes)]), sizes)
    rows = draws.table_rows(data, draw=draw, held_out=True)
    train, test = (rows[part] for part in draws.split(len(rows)))
    assert not np.isin(test, train).any()
    assert len(rows) == min(n, 15_000)
    assert len(train) == len(rows) * 2 // 3
    others = draws.table_rows(data, draw=draw)
    if n > 15_000:
        # drawn as before, and no row but those that had to is another one
        assert (
            others
            == np.random.default_rng(draws.stream(0, f"table{draws._suffix(draw)}")).integers(n, size=15_000)
        ).all()
        assert (rows != others).sum() == np.isin(others[10_000:], others[:10_000]).sum()
    else:
        assert sorted(others) == list(range(n))
    assert np.isin(rows, draws.every_table(data)).all() or draw


def test_at_the_size_of_dsprites_few_rows_are_others():
    data = Dataset("grid", "", tables.NoImages(737_280), tuple("abcde"), (3, 6, 40, 32, 32))
    changed = draws.table_rows(data) != draws.table_rows(data, held_out=True)
    assert changed[:10_000].sum() == 0
    assert 40 <= changed.sum() <= 95  # 5,000 (1 - exp(-10,000 / 737,280)) = 67


@pytest.mark.parametrize(("sizes", "d"), [((4, 5, 6), 10), ((4, 5, 6), 50), ((3, 6, 10, 4), 100)])
@pytest.mark.parametrize("less", [0, 1])
def test_codes_without_information_are_at_chance_on_a_small_grid(sizes, d, less):
    """Drawn with replacement, the rows to test on were all fitted: R^2 .47 and areas of 1.000."""
    source, data = noise_on(sizes, d, less=less)
    r2, area = scoring.score(source, data, choose_metrics("linear_r2,explicitness"))
    assert r2.score < 0.02
    assert area.score == pytest.approx(0.5, abs=0.1)


def test_a_preset_that_scores_fitted_rows_says_so():
    source, data = noise_on((4, 5, 6), 50)
    fitted, held = scoring.score(source, data, choose_metrics("explicitness:infogan_cr,explicitness"))
    assert fitted.score > 0.8
    assert any("rows that were fitted, all of them" in note for note in fitted.warnings)
    assert not any("fitted" in note for note in held.warnings)


def test_draws_of_all_rows_do_not_differ_and_it_is_said():
    source, data = noise_on((4, 5, 6), 10)
    whole, split = scoring.score(source, data, choose_metrics("mig,linear_r2"), draws=3)
    assert max(whole.draws.scores) == pytest.approx(min(whole.draws.scores), abs=1e-12)
    assert "each draw has all 120 rows, so that the draws do not differ" in whole.warnings
    assert split.draws.std > 0.01
    assert not any("each draw" in note for note in split.warnings)


def failing(monkeypatch, name, error):
    """The metric of that name raises this error."""

    def fails(*arguments, **settings):
        raise error

    monkeypatch.setitem(registry._METRICS, name, dataclasses.replace(metrics.get(name), fn=fails))


@pytest.mark.parametrize(
    "error",
    [ValueError("Too many bins"), ZeroDivisionError(), MemoryError("Unable to allocate 3 GiB"), KeyError(3)],
)
def test_a_metric_that_fails_leaves_the_others_alone(monkeypatch, error):
    source, data = noise_on((4, 5, 6), 4)
    alone = scoring.score(source, data, choose_metrics("mcc"))[0]
    failing(monkeypatch, "mig", error)
    failed, stands = scoring.score(source, data, choose_metrics("mig,mcc"))
    assert failed.score is None
    assert failed.reason.startswith(f"mig failed: {type(error).__name__}: ")
    assert "in fails" in failed.traceback
    assert failed.plain()["traceback"] == failed.traceback
    assert (stands.score, stands.warnings) == (alone.score, alone.warnings)
    assert "traceback" not in stands.plain()


def test_a_metric_that_fails_to_name_its_rows_leaves_the_others_alone(monkeypatch):
    source, data = noise_on((4, 5, 6), 4)

    def fails(grid, rng, **settings):
        raise IndexError("no such row")

    broken = dataclasses.replace(metrics.get("z_max_var"), rows_fn=fails)
    monkeypatch.setitem(registry._METRICS, "z_max_var", broken)
    failed, stands = scoring.score(source, data, choose_metrics("z_max_var,mcc"))
    assert failed.reason == "z_max_var failed: IndexError: no such row"
    assert stands.score is not None


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), StoppedError(), OSError(errno.ENOSPC, "No space left on device")]
)
def test_what_must_stop_everything_does(monkeypatch, error):
    source, data = noise_on((4, 5, 6), 4)
    failing(monkeypatch, "mig", error)
    with pytest.raises(type(error)):
        scoring.score(source, data, choose_metrics("mig,mcc"))


def test_what_takes_long_is_told_before_it_starts():
    """Boosted trees on 15,000 rows take 300 CPU seconds; asked to stop at once, nothing was computed."""
    data = Dataset("grid", "", tables.NoImages(737_280), DSPRITES, (3, 6, 40, 32, 32))
    rows = draws.every_table(data)
    noise = np.random.default_rng(0).normal(size=(len(rows), 10)).astype(np.float32)
    source, told = tables.Stored(noise, rows), []
    mig, dci, *others = choose_metrics("mig,dci,dci:ibgan,sap")
    # with numba it takes seconds
    choices = [mig, dci.model_copy(update={"settings": {"library": "scikit-learn"}}), *others]
    with pytest.raises(StoppedError):
        scoring.score(source, data, choices, tell=told.append, stop=lambda: True)
    assert told == ["dci will take about 5 min on one core, for 15,000 rows and 10 codes; Ctrl-C stops it"]
    wide = tables.Stored(np.tile(noise, 130), rows)
    told.clear()
    with pytest.raises(StoppedError):
        scoring.score(wide, data, choices, tell=told.append, stop=lambda: True)
    assert [sentence.partition(" on one core")[0] for sentence in told] == [
        "dci will take about 10 h 50 min",
        "dci will take about 4 min",
        "sap will take about 26 s",
    ]


def test_the_expected_cost_is_that_which_was_measured():
    """Within a factor of 2.5 of docs/metric-costs.toml, on the table that metrics are timed on."""
    measured = tomllib.loads((Path(__file__).parents[3] / "docs" / "metric-costs.toml").read_text())[
        "cpu_seconds"
    ]
    for name in metrics.names():
        metric = metrics.get(name)
        if metric.seconds is None:
            assert measured.get(name, 0) < scoring.PATIENCE / 10, f"{name} does not say what it takes"
        else:
            expected = metric.seconds(15_000, 10, 113, metric.settings())
            # measured to .01
            assert (measured[name] - 0.005) / 2.5 <= expected <= (measured[name] + 0.005) * 2.5, name


def test_long_metrics_tell_how_far_they_are():
    source, data = noise_on((4, 5, 6), 4)
    heard = []
    choices = choose_metrics("sap,explicitness,infomec")
    scoring.score(source, data, choices, progress=lambda *told: heard.append(told))
    assert ("sap", 12, 12) in heard
    assert ("explicitness", 2, 3) in heard
    assert ("infomec", 3, 6) in heard
    assert ("infomec", 6, 6) in heard


def test_codes_that_no_memory_holds_are_refused():
    rows, images = np.arange(600), lambda rows: torch.zeros(len(rows), 1, 2, 2)
    asked = []

    def represent(images):
        asked.append(len(images))
        return torch.zeros(1).expand(len(images), 10**6)

    with pytest.raises(
        UsageError, match=r"1,000,000 codes for each of 600 images, 2.2 GiB in all, .* output"
    ):
        encoding.encode(represent, images, rows, chunk=1)
    assert asked == [1]
