"""What `disbench bench train` compares is what it says; its times are not tested."""

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
DATA = Dataset("toy", "0" * 64, ArrayStorage(PIXELS))


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


def test_all_ways_train_and_take_equally_many_turns():
    config = models.configure("ibgan", "mini", {"batch": 4})
    ways = speed.ways("ibgan", config, DATA, [1, 2], CPU)
    assert [(way.name, way.seeds) for way in ways] == [
        ("plain PyTorch", 1),
        ("disbench", 1),
        ("fused", 1),
        ("fused", 2),
    ]
    speed.take_turns(ways, 0.0, CPU)
    assert {len(way.wall) for way in ways} == {speed.ROUNDS}


def test_the_cost_of_a_seed_step():
    way = speed.Way("fused", 4, lambda: None, wall=[8.0, 2.0, 4.0], cpu=[1.0, 2.0, 6.0])
    assert way.cost(CPU) == 0.5
    assert way.cost(torch.device("cuda")) == 1.0
