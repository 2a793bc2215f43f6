"""What `disbench bench kernels` counts, on operations whose traffic is worked out by hand."""

from hashlib import sha256

import numpy as np
import pytest
import torch
from torch import nn

from disbench import models
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.training.gpu import Tuning
from disbench.benchmark.training.kernels import STRATEGIES, Kernels, count
from disbench.benchmark.training.strategies import choose

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 2, (200, 1, 16, 16), dtype=np.uint8) * 255
DATA = Dataset("toy", sha256(PIXELS).hexdigest(), ArrayStorage(PIXELS))

A, B, ROW = torch.zeros(2, 3), torch.zeros(3, 4), torch.zeros(1, 4)
ROWS = torch.tensor([5, 1])


@pytest.mark.parametrize(
    ("work", "kernels", "moved"),
    [
        # 6 and 12 numbers are read, 8 written, of 4 bytes each
        (lambda: A @ B, ["aten::mm"], 4 * (6 + 12 + 8)),
        # in place: read and written
        (lambda: A.clone().add_(A), ["aten::clone", "aten::add_"], 4 * (6 + 6) + 4 * (6 + 6 + 6)),
        # what is overwritten is not read
        (lambda: torch.empty(2, 3).copy_(A), ["aten::copy_"], 4 * (6 + 6)),
        (lambda: torch.empty(2, 3).normal_(), ["aten::normal_"], 4 * 6),
        (lambda: torch.zeros(5), ["aten::zeros"], 4 * 5),
        # views, and memory without values
        (lambda: A.T.reshape(3, 2)[1:].view(2, 2), [], 0),
        (lambda: torch.empty(7).new_empty(3), [], 0),
        # an expanded row is read as often as it lies in memory: once
        (lambda: ROW.expand(100, 4) + 0.5, ["aten::add"], 4 * (4 + 400)),
        # rows that are picked: two of 4 numbers read and written, and two row numbers of 8 bytes
        (lambda: torch.zeros(100, 4)[ROWS], ["aten::zeros", "aten::index"], 4 * 400 + 4 * (8 + 8) + 16),
        # lists: two read, one written
        (lambda: torch.cat([A, A]), ["aten::cat"], 4 * (6 + 6 + 12)),
        (lambda: torch._foreach_mul_([A, B], 1.0), ["aten::_foreach_mul_"], 4 * 2 * (6 + 12)),
        # two results
        (lambda: A.max(1), ["aten::max"], 4 * (6 + 2) + 8 * 2),
    ],
)
def test_traffic_of_operations_by_hand(work, kernels, moved):
    with Kernels(CPU) as counted:
        work()
    assert list(counted.launched.elements()) == kernels
    assert counted.moved == moved


def test_a_layer_and_its_gradient_by_hand():
    layer, x = nn.Linear(3, 2, bias=False), torch.ones(5, 3)
    with Kernels(CPU) as counted:
        (y,) = [layer(x)]
        torch.autograd.grad(y, layer.weight, torch.ones(5, 2))
    # y = x W^T and its gradient g^T x; the gradient of y is a kernel too
    assert counted.launched == {"aten::mm": 2, "aten::ones": 1}
    assert counted.moved == 4 * ((15 + 6 + 10) + 10 + (10 + 15 + 6))


def test_kernels_of_other_devices_are_not_counted():
    with Kernels(torch.device("meta")) as counted:
        torch.ones(3).add_(1)
        torch.ones(3, device="meta").add_(1)
    assert counted.launched == {"aten::ones": 1, "aten::add_": 1}


def small(name, **changes):
    return models.configure(name, "mini", {"batch": 4, **changes})


@pytest.mark.parametrize(
    ("name", "strategy"), [*(("jointvae", strategy) for strategy in STRATEGIES), ("infogan_cr", "single")]
)
def test_a_step_that_is_not_computed_has_the_kernels_of_one_that_is(name, strategy):
    """The step is InfoGAN-CR's last kind; the trainer's second one, since the first makes Adam's moments."""
    seeds = 1 if strategy == "single" else 2
    config = small(name)
    methods = [models.build(name, config, DATA.info, seed) for seed in range(seeds)]
    trainer = choose(seeds, Tuning(strategy=strategy), name, CPU.type, 16)(methods, DATA, range(seeds), CPU)
    trainer.step = getattr(config, "begin", 0)
    trainer.advance()
    with Kernels(CPU) as counted:
        trainer.advance()
    found = count(name, config, DATA, strategy, 2, CPU)
    assert found.seeds == seeds
    # but for gradients that a real kernel lays out in another order, which are copied then
    copies = counted.launched["aten::copy_"]
    assert counted.launched.total() - copies <= found.kernels * seeds <= counted.launched.total()
    assert found.moved * seeds == pytest.approx(counted.moved, rel=1e-3)


def test_stacked_seeds_share_their_kernels_and_branches_do_not():
    alone, stacked, branches = (count("vae", small("vae"), DATA, name, 4, CPU) for name in STRATEGIES)
    assert stacked.kernels < alone.kernels / 2
    assert branches.kernels == pytest.approx(alone.kernels, rel=0.1)


def test_a_step_that_depends_on_a_value_is_computed():
    """Adagrad reads its number of steps."""
    config = models.configure("betavae", "higgins2017", {"batch": 4})
    assert count("betavae", config, DATA, "single", 1, CPU).kernels > 50


def test_the_command_prints_a_row_for_each_method_and_strategy(disbench, monkeypatch):
    monkeypatch.setattr("disbench.benchmark.datasets.load", lambda *_, **__: DATA)
    code, out, _ = disbench("bench", "kernels", "--methods", "vae,betavae", "--seeds", 3, "--device", "cpu")
    rows = [line.split() for line in out.splitlines()[2:]]
    ways = [("single", "1"), ("stacked", "3"), ("branches", "3")]
    assert code == 0
    assert [tuple(row[:3]) for row in rows] == [(name, *way) for name in ("vae", "betavae") for way in ways]
    for *_, kernels, moved, least in rows:
        assert float(kernels) > 0
        assert float(moved) > float(least) > 0


def test_one_seed_has_one_strategy(disbench, monkeypatch):
    monkeypatch.setattr("disbench.benchmark.datasets.load", lambda *_, **__: DATA)
    code, out, _ = disbench("bench", "kernels", "--methods", "vae", "--seeds", 1, "--device", "cpu")
    assert (code, [line.split()[1] for line in out.splitlines()[2:]]) == (0, ["single"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--seeds", 0], ["--seeds"]), (["--methods", "vae,nix"], ["'nix'", "betavae"])],
)
def test_the_command_refuses_bad_input_before_it_loads_data(disbench, monkeypatch, arguments, words):
    def loaded(*_, **__):
        raise AssertionError

    monkeypatch.setattr("disbench.benchmark.datasets.load", loaded)
    code, _, err = disbench("bench", "kernels", *arguments)
    assert code == 2
    assert all(word in err for word in words)
