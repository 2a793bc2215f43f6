"""Choices without labels among the models of a run: which are compared, on what, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from disbench import metrics, models
from disbench.benchmark.protocols import MetricChoice
from disbench.benchmark.runs import choices, codes, selection
from disbench.benchmark.runs.selection import metric_of_models, scored_rows
from disbench.benchmark.scoring import crossed, draws
from disbench.errors import UsageError
from disbench.models import Checkpoint, DataInfo, save_checkpoint

TURN = np.array([[1.0, 1, 0], [1, -1, 0], [0, 1, 1]])
ORDER = {0: TURN, 1: np.eye(3), 2: np.eye(3)[[1, 2, 0]], 3: -np.eye(3)}


def with_codes(writer, seeds=range(4), rows=None, **about):
    """Seeds whose codes are three numbers: the first mixes them, the others agree but for order and sign."""
    for seed in seeds:
        folder = writer.done(seed, score=0.1 * seed, **about)
        own = np.arange(3000) if rows is None else rows[seed]
        numbers = np.random.default_rng(0).normal(size=(3000, 3))[own]
        codes.write(folder / "codes.npz", writer.cell(seed, **about).dataset, own, numbers @ ORDER[seed % 4])
    return writer.run


def with_weights(writer, seeds=range(3), name="vae", **changes):
    """Seeds with the weights that training begins with."""
    info = DataInfo((1, 32, 32), 100)
    for seed in seeds:
        folder = writer.done(seed, method=name, **changes)
        cell = writer.cell(seed, method=name, **changes)
        config = models.configure(name, "mini", changes)
        method = models.build(name, config, info, seed)
        about = {"dataset": cell.dataset.plain(), "protocol": "mini", "variant": "", "seed": seed, "step": 1}
        made = Checkpoint(
            method=name,
            config=dataclasses.asdict(config),
            shape=info.shape,
            n=info.n,
            class_prior=None,
            weights=method.state_dict(),
            **about,
        )
        save_checkpoint(made, folder / "checkpoint.pt")
    return writer.run


def select(run, by="udr", where=None, **options):
    frame, notes = scored_rows([run], where or {})
    ranked, further = selection.select(frame, metric_of_models(by), **options)
    return ranked, notes + further


def test_udr_ranks_by_the_kept_codes(writer):
    """It sees what the metric sees, in the order of the seeds, and the odd model comes last."""
    ranked, notes = select(with_codes(writer))
    (found,) = ranked
    assert notes == []
    numbers = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    whole = metrics.udr([numbers @ ORDER[seed].astype(np.float32) for seed in range(4)])
    by_seed = dict(zip(found.pool["seed"], found.pool["score"], strict=True))
    assert [by_seed[seed] for seed in range(4)] == pytest.approx(whole.parts["models"], abs=1e-6)
    assert found.pool["seed"].tolist()[-1] == 0
    assert found.pool["rank"].tolist()[0] == 1
    assert found.by == "udr:dlib"
    first, second = found.pool["seed"].tolist()[:2]
    assert found.pairwise[0, 1] == pytest.approx(whole.parts["pairwise"][first, second], abs=1e-6)
    assert np.isnan(np.diag(found.pairwise)).all()
    pairs = found.pairs()
    assert len(pairs) == 12
    assert pairs["score"][0] == found.pairwise[0, 1]
    assert pairs["first"][0].endswith(f"seed-{first}")


def test_udr_knows_the_posterior_where_every_model_has_one(writer):
    """The third code of model 1 moves, and its noise is as large as the prior: of a KL of .005 nats."""
    numbers = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    scale = {0: 1.0, 1: 0.1, 2: 1.0}
    kls = []
    for seed in range(3):
        folder = writer.done(seed)
        own = numbers * np.array([1, 1, scale[seed]], np.float32)
        logvar = np.array([-2.0, -2.0, 0.0 if seed == 1 else -2.0], np.float32)
        posterior = np.tile(logvar, (3000, 1))
        codes.write(folder / "codes.npz", writer.cell(seed).dataset, np.arange(3000), own, posterior)
        terms = own.astype(float) ** 2 + np.exp(posterior.astype(float)) - posterior - 1
        kls.append(terms.mean(axis=0) / 2)
    assert kls[1][2] == pytest.approx(0.005, rel=0.1)
    (found,), _ = select(writer.run)
    given = [numbers * np.array([1, 1, scale[seed]], np.float32) for seed in range(3)]
    whole = metrics.udr(given, kl=kls)
    blind = metrics.udr(given)
    assert whole.parts["models"] != pytest.approx(blind.parts["models"], abs=1e-3)
    by_seed = dict(zip(found.pool["seed"], found.pool["score"], strict=True))
    assert [by_seed[seed] for seed in range(3)] == pytest.approx(whole.parts["models"], abs=1e-6)
    # of one model without a posterior, no KL is known, and all are measured alike
    folder = writer.done(2)
    codes.write(folder / "codes.npz", writer.cell(2).dataset, np.arange(3000), given[2])
    (found,), _ = select(writer.run)
    by_seed = dict(zip(found.pool["seed"], found.pool["score"], strict=True))
    assert [by_seed[seed] for seed in range(3)] == pytest.approx(blind.parts["models"], abs=1e-6)


@pytest.mark.parametrize(("method", "real"), [("elastic_infogan", 0), ("infogan", 2)])
def test_numbers_of_categories_have_no_order(writer, method, real):
    """Seeds that find five classes under other numbers agree wholly, and one that finds none agrees least.

    Whole agreement by a lasso of weight .1 of codes of variance 1 is 1 - .1.
    """
    rng = np.random.default_rng(0)
    classes, numbers = rng.integers(0, 5, 3000), rng.normal(size=(3000, real))
    config = {"k": 5} if method == "elastic_infogan" else {"continuous": real, "categorical": (5,)}
    about = {"method": method, **config}
    for seed in range(4):
        named = rng.permutation(5)[classes] if seed else rng.integers(0, 5, 3000)
        folder, rows = writer.done(seed, **about), np.arange(3000)
        found = np.column_stack([numbers, named])
        codes.write(folder / "codes.npz", writer.cell(seed, **about).dataset, rows, found)
    (found,), _ = select(writer.run)
    agreed = found.pairwise[:3, :3][~np.eye(3, dtype=bool)]
    assert agreed == pytest.approx(0.9, abs=0.01)
    assert found.pool["seed"].tolist()[-1] == 0


@pytest.mark.parametrize("name", models.names())
def test_the_columns_that_are_categories_are_those_of_represent(name):
    """They are whole numbers, and no other column is."""
    made = {"infogan": {"continuous": 2, "categorical": "3,2"}, "jointvae": {"discrete": "3,2"}}
    hard = {"category_code": "argmax"} if name == "jointvae" else {}
    config = models.configure(name, "mini", made.get(name, {}) | hard)
    method = models.build(name, config, DataInfo((1, 32, 32), 100), 0).eval()
    with torch.no_grad():
        found = method.represent(torch.rand(8, 1, 32, 32))
    found = found[0] if isinstance(found, tuple) else found
    whole = [bool((column == column.round()).all()) for column in found.T]
    count = config.category_columns()
    assert whole == [False] * (len(whole) - count) + [True] * count
    assert count == {"infogan": 2, "jointvae": 2, "elastic_infogan": 1}.get(name, 0)


def test_models_are_compared_on_the_rows_that_all_have(writer):
    """The others hold codes of another image for the models that lack them."""
    rows = [np.arange(1000), np.arange(500, 3000), np.arange(0, 3000, 2), np.arange(3000)]
    (found,), _ = select(with_codes(writer, rows=rows))
    shared = np.arange(500, 1000, 2)
    numbers = np.random.default_rng(0).normal(size=(3000, 3))[shared]
    whole = metrics.udr([numbers @ ORDER[seed] for seed in range(4)])
    by_seed = dict(zip(found.pool["seed"], found.pool["score"], strict=True))
    assert [by_seed[seed] for seed in range(4)] == pytest.approx(whole.parts["models"], abs=1e-5)


def test_shared_rows_are_at_most_those_of_a_table_and_always_the_same():
    assert draws.shared_rows([np.arange(5), np.arange(3, 9), np.arange(1, 5)]).tolist() == [3, 4]
    many = draws.shared_rows([np.arange(40_000), np.arange(10_000, 50_000)])
    assert len(many) == draws.TRAIN_ROWS + draws.TEST_ROWS
    assert (np.diff(many) > 0).all()
    assert many.min() >= 10_000
    assert many.max() < 40_000
    assert many.max() - many.min() > 29_000  # drawn from all, not the first ones
    assert np.array_equal(many, draws.shared_rows([np.arange(40_000), np.arange(10_000, 50_000)]))


def test_settings_and_variants_of_a_method_are_one_pool_and_methods_are_not(writer):
    with_codes(writer, seeds=range(2))
    with_codes(writer, seeds=range(2, 4), codes=5)
    with_codes(writer, method="betavae")
    ranked, _ = select(writer.run)
    assert [(found.pool["method"][0], len(found.pool)) for found in ranked] == [("betavae", 4), ("vae", 4)]
    assert ranked[1].pool["settings"].nunique() == 2


def test_a_choice_of_all_models_is_kept_with_the_run_and_another_is_not(writer):
    run = with_codes(writer)
    (found,), _ = select(run)
    path = selection.keep(run, found)
    ((kept,), _) = choices.read(run)
    assert path == run / kept.file
    assert kept.folders == found.pool["folder"].tolist()
    assert kept.scores == pytest.approx(found.pool["score"].tolist())
    assert kept.pairwise[0][0] is None
    assert kept.pairwise[0][1] == found.pairwise[0, 1]
    path.unlink()
    with_codes(writer, seeds=[4])
    assert selection.keep(run, found) is None
    assert not path.exists()


def test_equal_models_are_no_choice_and_nothing_is_kept(writer):
    for seed in range(3):
        folder = writer.done(seed)
        codes.write(folder / "codes.npz", writer.cell(seed).dataset, np.arange(50), np.zeros((50, 2)))
    (found,), _ = select(writer.run)
    assert selection.keep(writer.run, found) is None
    told = "vae seed 0, vae seed 1, vae seed 2 have no informative code and agree with none"
    # older scikit-learn also tells of a fit that did not converge
    assert [warning for warning in found.warnings if "before it converged" not in warning] == [told]


def test_what_is_not_trained_is_left_out_and_named(writer):
    with_codes(writer)
    writer.failed(7, "died")
    writer.begin(writer.cell(8), "stopped")
    (found,), notes = select(writer.run)
    assert len(found.pool) == 4
    assert notes == ["not trained, and not among the models: vae seed 7 (failed), vae seed 8 (stopped)"]


def test_a_method_with_too_few_models_is_named_and_the_others_are_ranked(writer):
    with_codes(writer)
    with_codes(writer, seeds=range(2), method="betavae")
    ranked, notes = select(writer.run)
    assert [found.pool["method"][0] for found in ranked] == ["vae"]
    assert notes == ["betavae has 2 trained, and a choice without labels compares 3 models or more"]
    with pytest.raises(UsageError, match="betavae has 2 trained"):
        select(writer.run, where={"method": "betavae"})


def test_model_centrality_ranks_by_the_checkpoints(writer):
    """As a call of the metric would, without a data set; what it draws with depends on the preset alone."""
    told, few = [], {"votes_per_code": 6, "batch": 10}
    run = with_weights(writer, codes=2)
    by = MetricChoice(name="model_centrality", preset="quick", settings=few)
    frame, _ = scored_rows([run], {})
    (found,), _ = selection.select(frame, by, "cpu", lambda *words: told.append(words))
    cpu = torch.device("cpu")
    paths = [run / writer.cell(seed, codes=2).folder / "checkpoint.pt" for seed in range(3)]
    methods = [models.load_checkpoint(path).build("cpu") for path in paths]
    whole = metrics.model_centrality(
        [crossed.encoder(method, cpu) for method in methods],
        [crossed.generator(method, cpu, "x") for method in methods],
        rng=draws.generator(by),
        preset="quick",
        **few,
    )
    by_seed = dict(zip(found.pool["seed"], found.pool["score"], strict=True))
    assert [by_seed[seed] for seed in range(3)] == whole.parts["models"].tolist()
    assert told[-1] == ("vae by model_centrality", whole.n_encoded, whole.n_encoded)


def test_a_method_with_one_code_or_without_a_generator_is_refused(writer, monkeypatch):
    run = with_weights(writer, codes=1)
    with pytest.raises(UsageError, match="vae has a single code, so that model_centrality has nothing"):
        select(run, "model_centrality", device="cpu")
    monkeypatch.setattr(models.vae.VAE, "sample_latents", models.Method.sample_latents)
    with pytest.raises(UsageError, match="vae draws no images of given codes, which model_centrality"):
        select(run, "model_centrality", device="cpu")


def test_missing_files_are_named_before_anything_is_measured(writer):
    run = with_codes(writer)
    (run / writer.cell(1).folder / "codes.npz").unlink()
    (run / writer.cell(3).folder / "codes.npz").unlink()
    told = r"no codes.npz of vae seed 1, vae seed 3; `disbench rescore` by a further metric"
    with pytest.raises(UsageError, match=told):
        select(run)
    with pytest.raises(UsageError, match=r"no checkpoint.pt of vae seed 0, vae seed 1, vae seed 2, vae seed"):
        select(run, "model_centrality", device="cpu")


def test_a_checkpoint_that_cannot_be_used_is_named(writer):
    """All of them would otherwise be told alike."""
    run = with_weights(writer, codes=2)
    path = run / writer.cell(1, codes=2).folder / "checkpoint.pt"
    saved = models.load_checkpoint(path)
    other = dataclasses.replace(saved, config={**saved.config, "codes": 3})
    save_checkpoint(other, path)
    with pytest.raises(UsageError, match=f"{path}: the checkpoint's weights do not fit vae"):
        select(run, "model_centrality", device="cpu")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=f"{path} is not a torch file or is damaged"):
        select(run, "model_centrality", device="cpu")


def test_codes_that_cannot_be_read_or_compared_are_refused(writer):
    run = with_codes(writer)
    path = run / writer.cell(1).folder / "codes.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(UsageError, match="of vae seed 1 is damaged or of other data"):
        select(run)
    other = dataclasses.replace(writer.cell(1).dataset, sha256="cd" * 32)
    codes.write(path, other, np.arange(10), np.ones((10, 3)))
    with pytest.raises(UsageError, match="of vae seed 1 is damaged or of other data"):
        select(run)
    codes.write(path, writer.cell(1).dataset, np.arange(5000, 5010), np.ones((10, 3)))
    with pytest.raises(UsageError, match="codes of vae have no row in common"):
        select(run)


def test_models_of_different_data_are_refused(writer):
    with_codes(writer, seeds=range(3))
    with_codes(writer, seeds=range(3), dataset="shapes3d")
    with pytest.raises(UsageError, match=r"dsprites-32 and shapes3d-32, .* where dataset=dsprites-32"):
        select(writer.run)
    (found,), _ = select(writer.run, where={"dataset": "shapes3d-32"})
    assert len(found.pool) == 3


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("mig", "'mig' scores one model at a time; .* give model_centrality or udr"),
        ("factor_vae:ibgan", "scores one model at a time"),
        ("centrality", "unknown way to select 'centrality'; did you mean 'model_centrality'"),
        ("udr:lasso", "unknown preset of udr 'lasso'"),
        ("udr:dlib,model_centrality", "names 2 metrics; give one"),
        ("udr,model_centrality", "unknown way to select 'udr,model_centrality'"),
        ("", "unknown way to select ''"),
    ],
)
def test_only_metrics_of_several_models_select(by, told):
    with pytest.raises(UsageError, match=told):
        metric_of_models(by)
