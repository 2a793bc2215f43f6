"""Promises that every method keeps, the example's too; a new one is tested without a line here."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from disbench import plugins
from disbench.errors import UsageError
from disbench.models import (
    Checkpoint,
    DataInfo,
    code_columns,
    configure,
    get,
    load_checkpoint,
    save_checkpoint,
    summary,
    vae,
)
from disbench.models.registry import built_in

EXAMPLE = (
    Path(__file__).resolve().parents[2] / "examples" / "disbench-example" / "disbench_example" / "wae.py"
)
METHODS = [*built_in(), EXAMPLE.stem]
EVERY_CONFIG = [(name, config) for name in built_in() for config in get(name).CONFIGS]
EVERY_CONFIG += [(EXAMPLE.stem, config) for config in ("paper", "mini")]
EVERY_VARIANT = [(name, variant) for name in built_in() for variant in get(name).VARIANTS]
SHAPES = [(1, 64, 64), (3, 64, 64), (1, 32, 32), (1, 28, 28)]

each_method = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(autouse=True)
def example(monkeypatch):
    """The method of the example is one more, as the plug-in file that a user would load."""
    monkeypatch.setattr(plugins, "_FILES", {})
    monkeypatch.setattr(plugins, "_OFFERS", [])
    plugins.load(EXAMPLE)


def state(method):
    return {k: v.clone() for k, v in method.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_all_methods_of_the_papers_are_there():
    gans = "gan infogan ibgan elastic_infogan"
    vaes = "vae betavae annealedvae factorvae dipvae betatcvae jointvae"
    assert {*gans.split(), *vaes.split()} <= set(METHODS)


@each_method
def test_its_file_opens_with_a_citation_and_lists_its_deviations(name):
    doc = sys.modules[get(name).__module__].__doc__
    assert "Deviations:" in doc
    assert any(str(year) in doc for year in range(2013, 2030))
    assert summary(name) in " ".join(doc.split())


@each_method
def test_every_term_is_a_finite_number_and_only_its_own_modules_move(name, make, inputs):
    method = make(name).train()
    x, noise, step = inputs(method, 0, 0)
    for update in method.updates():
        before = {k: v.clone() for k, v in method.named_parameters()}
        own = [p for m in update.modules for p in getattr(method, m).parameters()]
        optimizer = update.optimizer.over(own)
        terms = getattr(method, update.loss)(x, noise, step)
        assert terms
        for term, value in terms.items():
            assert value.shape == (), term
            assert torch.isfinite(value), term
        for p, g in zip(own, torch.autograd.grad(sum(terms.values()), own), strict=True):
            p.grad = g
        optimizer.step()
        for module, child in method.named_children():
            moved = [
                k
                for k, v in method.named_parameters()
                if k.split(".")[0] == module and not torch.equal(v, before[k])
            ]
            learns = module in update.modules and any(True for _ in child.parameters())
            assert bool(moved) == learns, (update.loss, module)


@each_method
def test_every_batch_norm_has_the_constants_of_the_authors_codes(name, make):
    """IB-GAN, Elastic-InfoGAN, InfoGAN and InfoGAN-CR agree: epsilon 1e-5, and a tenth of each new batch."""
    norms = [m for m in make(name).modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert all((norm.eps, norm.momentum, norm.affine) == (1e-5, 0.1, True) for norm in norms)


@each_method
def test_every_parameter_has_exactly_one_update(name, make):
    method = make(name)
    counts = {
        k: sum(k.split(".")[0] in u.modules for u in method.updates()) for k, _ in method.named_parameters()
    }
    assert set(counts.values()) == {1}, counts


@each_method
def test_the_code_is_deterministic_and_of_one_image_alone(name, make, train, inputs):
    method = make(name)
    train(method, steps=2)
    method.eval()
    x, *_ = inputs(method, 5, 0)
    x = x[:6]
    before = state(method)
    with torch.no_grad():
        codes = method.represent(x)
        again = method.represent(x)
        alone = torch.cat([method.represent(x[i : i + 1]) for i in range(len(x))])
    assert codes.ndim == 2
    assert len(codes) == len(x)
    assert codes.dtype == torch.float32
    assert torch.isfinite(codes).all()
    assert torch.equal(codes, again)
    torch.testing.assert_close(codes, alone, rtol=1e-4, atol=1e-5)
    assert equal(before, state(method))


@each_method
def test_the_means_of_a_posterior_are_the_codes(name, make, train, inputs):
    method = make(name)
    train(method, steps=2)
    method.eval()
    x, *_ = inputs(method, 5, 0)
    with torch.no_grad():
        codes, given = method.represent(x), method.gaussians(x)
    # every VAE has one, and IB-GAN's e(r|z) is one
    assert (given is not None) == (isinstance(method, vae.VAE) or name in ("ibgan", "jointvae"))
    if given is not None:
        mean, logvar = given
        assert torch.equal(mean, codes)
        assert logvar.shape == codes.shape
        categories = sum(getattr(method.config, "discrete", ()))
        gaussian = logvar.shape[1] - categories
        assert torch.isfinite(logvar[:, :gaussian]).all()
        assert logvar[:, gaussian:].isnan().all()


@each_method
def test_pictures_lie_in_the_unit_range(name, make, train, inputs):
    method = make(name)
    train(method, steps=2)
    method.eval()
    x, *_ = inputs(method, 5, 0)
    noise = method.noise(1, torch.Generator().manual_seed(3))
    with torch.no_grad():
        labels, rows = method.traverse(x[:1], noise, 5)
        again = method.traverse(x[:1], noise, 5)[1]
        back = method.reconstruct(x[:3])
    assert rows.shape == (len(labels), 5, *method.data.shape)
    assert len(set(labels)) == len(labels) > 0
    assert torch.equal(rows, again)
    assert 0 <= rows.min() < rows.max() <= 1
    assert (rows[:, 0] != rows[:, -1]).any()
    if back is not None:
        assert back.shape == (3, *method.data.shape)
        assert 0 <= back.min() <= back.max() <= 1


@each_method
@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")
def test_an_exported_network_takes_any_number_of_images(name, make, inputs):
    """A length that is a constant in a trace is one in ONNX and for torch.export, too."""
    method = make(name).eval().requires_grad_(False)
    given = [(method.represent, inputs(method, 5, 0)[0])]
    if (drawn := method.sample_latents(method.noise(5, torch.Generator().manual_seed(3)))) is not None:
        given.append((method.generate, drawn[0]))
    for function, x in given:
        # a bound method of a module is none that it traces
        traced = torch.jit.trace(lambda some, function=function: function(some), x[:2], check_trace=False)
        torch.testing.assert_close(traced(x), function(x), rtol=0, atol=1e-6)


CODED = [(name, {}) for name in METHODS]
CODED += [("infogan", {"categorical": (3, 2)}), ("infogan", {"nets": "ibgan", "prior": "normal", "noise": 0})]
CODED += [("jointvae", {"discrete": (3, 4)}), ("elastic_infogan", {"prior": "uniform"})]


@pytest.mark.parametrize(("name", "changes"), CODED)
def test_latents_are_drawn_with_every_code_in_columns_of_its_own(name, changes, make, train):
    """As many codes as a traversal moves, and each moves the picture; no two share a column."""
    method = make(name, changes=changes)
    train(method, steps=2)
    method.eval()
    with torch.no_grad():
        latents, codes = method.sample_latents(method.noise(6, torch.Generator().manual_seed(0)))
        labels, _ = method.traverse(torch.zeros(1, *method.data.shape), method.noise(1, torch.Generator()), 2)
        pictures = method.generate(latents)
    assert len(latents) == 6
    assert pictures.shape == (6, *method.data.shape)
    assert 0 <= pictures.min() < pictures.max() <= 1
    assert len(codes) == len(labels)
    columns = [column for code in codes for column in code]
    assert len({*columns}) == len(columns)
    assert set(columns) <= set(range(latents.shape[1]))
    for code in codes:
        other = latents.clone()
        other[:, code] = latents.roll(1, 0)[:, code]
        assert (other != latents).any()
        with torch.no_grad():
            assert (method.generate(other) != pictures).any()
        if len(code) > 1:
            torch.testing.assert_close(latents[:, code].sum(1), torch.ones(6))


def test_latents_are_those_of_training(make):
    """G's images of a loss are those of the drawn latents; the noise z of an InfoGAN is no code."""
    generator = torch.Generator().manual_seed(0)
    infogan = make("infogan", changes={"categorical": (3,)})
    noise = infogan.noise(4, generator)
    latents, codes = infogan.sample_latents(noise)
    assert codes == [range(5, 6), range(6, 7), range(7, 8), range(8, 9), range(9, 10), range(10, 13)]
    assert torch.equal(latents[:, :5], noise["z"])
    assert torch.equal(latents[:, 5:10], noise["c"])
    assert torch.equal(infogan.sample(noise, torch.tensor(0.0)), infogan.generate(latents))
    ibgan = make("ibgan", changes={"noise_start": 0.0})
    noise = ibgan.noise(4, generator)
    latents, _ = ibgan.sample_latents(noise)
    assert torch.equal((ibgan.sample(noise, torch.tensor(0.0))[2] + 1) / 2, ibgan.generate(latents))
    elastic = make("elastic_infogan")
    noise = elastic.noise(4, generator)
    assert torch.equal(elastic.sample_latents(noise)[0][:, 16:], elastic.code(noise))


def test_columns_of_codes_by_hand():
    assert code_columns(2, [1, 3, 1]) == [range(2, 3), range(3, 6), range(6, 7)]
    assert code_columns(0, []) == []


@pytest.mark.parametrize(
    ("name", "changes", "k", "first"),
    [
        ("infogan", {"categorical": (3, 2)}, 5, 3),
        ("infogan", {"categorical": (4,), "continuous": 0}, 4, 4),
        ("elastic_infogan", {"k": 6}, 6, 6),
        ("jointvae", {"discrete": (3, 4)}, 7, 3),
    ],
)
def test_categories_are_pictures_with_their_labels(name, changes, k, first, make, train):
    method = make(name, changes=changes)
    train(method, steps=2)
    method.eval()
    with torch.no_grad():
        labels, pictures = method.categories(method.noise(4, torch.Generator().manual_seed(0)))
    assert pictures.shape == (k, 4, *method.data.shape)
    assert len(set(labels)) == k
    assert (pictures[0] != pictures[1]).any()
    assert 0 <= pictures.min() < pictures.max() <= 1
    prior = method.class_prior()
    assert prior.shape == (first,)
    assert prior.sum().item() == pytest.approx(1.0)


def test_a_method_without_a_categorical_code_has_no_categories(make):
    method = make("infogan")
    assert method.categories(method.noise(2, torch.Generator().manual_seed(0))) is None
    assert method.class_prior() is None


@each_method
def test_what_is_monitored_is_finite(name, make, train, inputs):
    method = make(name)
    train(method, steps=2)
    method.eval()
    before = state(method)
    with torch.no_grad():
        shown = method.monitor(*inputs(method, 1, 2))
    # the example has the default, which shows nothing
    assert shown or name == EXAMPLE.stem
    for key, value in shown.items():
        assert value.ndim <= 1, key
        assert torch.isfinite(value).all(), key
    assert equal(before, state(method))


@each_method
def test_the_same_seed_gives_the_same_run_and_another_one_another(name, make, train):
    torch.manual_seed(1)
    first = make(name, seed=3)
    history = train(first, seed=3)
    torch.manual_seed(2)  # the global stream must not matter
    second = make(name, seed=3)
    assert train(second, seed=3) == history
    assert equal(state(first), state(second))
    assert not equal(state(first), state(make(name, seed=4)))


@each_method
def test_building_and_training_leave_the_global_stream_alone(name, make, train):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    train(make(name), steps=1)
    assert torch.equal(before, torch.get_rng_state())


@each_method
def test_a_checkpoint_gives_back_the_method_bit_for_bit(name, make, train, inputs, tmp_path: Path):
    method = make(name)
    train(method, steps=2)
    method.eval()
    save_checkpoint(
        Checkpoint(
            method=name,
            config=dataclasses.asdict(method.config),
            shape=method.data.shape,
            n=method.data.n,
            class_prior=method.data.class_prior,
            dataset={"name": "toy", "sha256": "0" * 64},
            protocol="smoke",
            variant="",
            seed=0,
            step=2,
            weights=method.state_dict(),
        ),
        tmp_path / "checkpoint.pt",
    )
    loaded = load_checkpoint(tmp_path / "checkpoint.pt").build()
    x, *_ = inputs(method, 9, 0)
    assert equal(state(method), state(loaded))
    assert loaded.config == method.config
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(method.represent(x), loaded.represent(x))


@pytest.mark.parametrize(("name", "config"), EVERY_CONFIG)
def test_every_config_builds(name, config):
    made = []
    for shape in SHAPES:
        with torch.device("meta"), contextlib.suppress(UsageError):
            made.append(get(name)(configure(name, config), DataInfo(shape, 1000, (0.1,) * 10)))
    assert made
    for method in made:
        assert sum(p.numel() for p in method.parameters()) > 1000
        assert method.updates()


@pytest.mark.parametrize(("name", "variant"), EVERY_VARIANT)
def test_every_variant_trains(name, variant, make, train):
    history = train(make(name, changes=get(name).VARIANTS[variant]), steps=2)
    assert all(torch.isfinite(torch.tensor(v)) for step in history for v in step.values())


def stacked_training(methods, seeds, steps, inputs):
    """Several seeds as one program: stacked weights, `vmap` over `grad`, one optimiser over the stack."""
    base = methods[0].train()
    parameters, buffers = stack_module_state(methods)
    parameters = {k: v.detach().clone() for k, v in parameters.items()}
    buffers = {k: v.detach().clone() for k, v in buffers.items()}

    class Loss(nn.Module):
        def __init__(self, loss):
            super().__init__()
            self.method, self.loss = base, loss

        def forward(self, *args):
            return sum(getattr(self.method, self.loss)(*args).values())

    def gradient(loss, own):
        def value(learning, resting, buffers, x, noise, step):
            weights = {f"method.{k}": v for k, v in {**learning, **resting, **buffers}.items()}
            return functional_call(Loss(loss), weights, (x, noise, step)), buffers

        return vmap(grad(value, has_aux=True), in_dims=(0, 0, 0, 0, 0, None))

    plans = []
    for update in base.updates():
        own = [k for k in parameters if k.split(".")[0] in update.modules]
        leaves = [parameters[k] for k in own]
        plans.append((own, leaves, update.optimizer.over(leaves), gradient(update.loss, own)))
    for t in range(steps):
        drawn = [inputs(base, seed, t) for seed in seeds]
        x = torch.stack([d[0] for d in drawn])
        noise = {k: torch.stack([d[1][k] for d in drawn]) for k in drawn[0][1]}
        for own, leaves, optimizer, step_gradient in plans:
            learning = {k: parameters[k] for k in own}
            resting = {k: v for k, v in parameters.items() if k not in own}
            grads, buffers = step_gradient(learning, resting, buffers, x, noise, drawn[0][2])
            for k, leaf in zip(own, leaves, strict=True):
                leaf.grad = grads[k]
            optimizer.step()
    return parameters, buffers


@each_method
def test_two_stacked_seeds_follow_the_same_seeds_alone(name, make, train, inputs):
    # In double precision: the bias before a batch norm has a gradient of nothing but rounding, which Adam
    # would blow up to full steps.
    alone = [make(name, seed=s).double() for s in (0, 1)]
    for s, method in enumerate(alone):
        train(method, seed=s, steps=3)
    parameters, buffers = stacked_training([make(name, seed=s).double() for s in (0, 1)], (0, 1), 3, inputs)
    for s, method in enumerate(alone):
        together = {k: v[s] for k, v in {**parameters, **buffers}.items()}
        for k, v in method.state_dict().items():
            torch.testing.assert_close(together[k], v, rtol=1e-6, atol=1e-7, msg=lambda m, k=k: f"{k}: {m}")
