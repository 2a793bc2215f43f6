"""What `disbench bench train` compares is what it says; its times are not tested."""

import itertools
from hashlib import sha256

import numpy as np
import pytest
import torch
from torch import nn

from disbench import models
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.training import speed
from disbench.models import layers
from disbench.models.method import Method, Update
from disbench.models.optimizer import adam

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 2, (20, 1, 16, 16), dtype=np.uint8) * 255
DATA = Dataset("toy", sha256(PIXELS).hexdigest(), ArrayStorage(PIXELS))


class TwoLayers(Method):
    images_per_step = 3

    def __init__(self):
        super().__init__(None, None)
        self.a, self.b = nn.Linear(256, 4), nn.Linear(4, 2)

    def noise(self, batch, generator):
        return {}

    def updates(self):
        return (Update("loss", ("b",), adam(1e-3)),)

    def loss(self, x, noise, step):
        return {"all": self.b(self.a(x.flatten(1))).sum()}


def test_traffic_counted_by_hand():
    learning, fixed, outputs = 4 * 2 + 2, 256 * 4 + 4, 3 * 4 + 3 * 2
    assert speed.traffic(TwoLayers(), DATA) == 4 * (10 * learning + 2 * fixed + 5 * outputs)


@pytest.mark.parametrize("name", ["betavae", "gan", "infogan"])
def test_the_plain_loop_has_torchs_layers_and_the_same_nets(name):
    config = models.configure(name, "mini", {"batch": 4})
    info = models.DataInfo(DATA.shape, len(DATA))
    ours, plain = (models.build(name, config, info, 0).eval() for _ in range(2))
    speed.with_torchs_layers(plain)
    changed = layers.Conv2d | layers.ConvTranspose2d | layers.Spectral
    assert any(isinstance(module, changed) for module in ours.modules())
    assert not any(isinstance(module, changed) for module in plain.modules())
    latents = torch.randn(2, ours.config.codes if name != "infogan" else 10)
    torch.testing.assert_close(plain.generate(latents), ours.generate(latents))


@pytest.fixture
def clock(monkeypatch):
    """Each look takes a tenth of a second, so that no test depends on the machine."""
    now = itertools.count(0.0, 0.1)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(now))


def recipes():
    config = models.configure("betavae", "mini", {"batch": 4})
    return speed.recipes("betavae", config, DATA, [1, 2], CPU)


@pytest.mark.usefixtures("clock")
def test_each_way_takes_as_many_turns_as_the_plain_loop_beside_it():
    ways = [(recipe.name, recipe.seeds) for recipe in recipes()]
    assert ways == [("plain PyTorch", 1), ("disbench", 1), ("stacked", 2)]
    for measured in speed.measure(recipes(), 40.0, CPU):
        assert measured.way
        assert measured.plain
        assert (measured.way.name, measured.way.seeds) == ways.pop(0)
        assert len(measured.way.wall) == len(measured.plain.wall) == speed.ROUNDS
    assert not ways


class Trained:
    """Stands for a trainer: counts those that live."""

    alive = 0

    def __init__(self):
        Trained.alive += 1

    def __del__(self):
        Trained.alive -= 1

    def advance(self):
        pass


def counted(name, seeds=1):
    return speed.Recipe(name, seeds, lambda: Trained().advance)


@pytest.mark.usefixtures("clock")
def test_a_way_is_freed_before_the_next_is_built():
    seen = []

    def build():
        seen.append(Trained.alive)
        return Trained().advance

    plans = [counted("plain"), *(speed.Recipe(name, 1, build) for name in "abc")]
    assert all(m.way for m in speed.measure(plans, 40.0, CPU))
    # the plain loop alone
    assert seen == [1, 1, 1]


@pytest.mark.usefixtures("clock")
def test_what_is_left_when_the_time_is_up_is_said_not_to_be_measured():
    plans = [counted("plain"), counted("a")]
    assert [m.why for m in speed.measure(plans, 0.0, CPU)] == ["the time was up"] * 2


@pytest.mark.usefixtures("clock")
def test_a_way_that_takes_too_much_memory_leaves_the_others_alone():
    def too_large():
        raise torch.OutOfMemoryError

    plans = [counted("plain"), speed.Recipe("large", 64, too_large), counted("a")]
    found = list(speed.measure(plans, 40.0, CPU))
    assert [bool(m.way) for m in found] == [True, False, True]
    assert found[1].why == "more memory than the device has"


def test_the_cost_of_a_seed_step():
    way = speed.Way("stacked", 4, lambda: None, wall=[8.0, 2.0, 4.0], cpu=[1.0, 2.0, 6.0])
    assert way.cost(CPU) == 0.5
    assert way.cost(torch.device("cuda")) == 1.0
