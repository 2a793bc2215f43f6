"""What `disbench bench host` measures is what it says; its times are not tested."""

from hashlib import sha256

import numpy as np
import torch

from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.sweep import speed
from disbench.benchmark.training.strategies import Fused

PIXELS = np.random.default_rng(0).integers(0, 2, (20, 1, 32, 32), dtype=np.uint8) * 255
DATA = Dataset("toy", sha256(PIXELS).hexdigest(), ArrayStorage(PIXELS))


def test_no_arithmetic_is_measured_and_each_step_is_begun(monkeypatch):
    begun, drawn = [], []
    begin, noise = Fused.begin, Fused.noise
    monkeypatch.setattr(Fused, "compute", None)
    monkeypatch.setattr(Fused, "begin", lambda made, step: begun.append(step) or begin(made, step))
    monkeypatch.setattr(Fused, "noise", lambda made: drawn.append(1) or noise(made))
    cost = speed.host("betavae", "mini", DATA, 3, torch.device("cpu"), 0.05)
    assert min(cost.begin, cost.books + cost.begin) > 0
    assert drawn
    assert len(begun) > len(drawn)
