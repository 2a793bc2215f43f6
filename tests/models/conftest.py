"""Small pictures, small nets and a plain training loop for the tests of methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from disbench.models import DataInfo, Method, build, configure

SIDE = 16
BATCH = 8


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data() -> DataInfo:
    return DataInfo((1, SIDE, SIDE), 1000, class_prior=(0.3, 0.2, 0.1, 0.1, *[0.05] * 6))


@pytest.fixture
def make(data: DataInfo) -> Callable[..., Method]:
    """A method in small, and any of its settings changed."""

    def small(name: str, seed: int = 0, changes: Mapping[str, object] | None = None) -> Method:
        return build(name, configure(name, "mini", {"batch": BATCH, **(changes or {})}), data, seed)

    return small


def generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(hash(numbers) % 2**31)


def step_inputs(method: Method, seed: int, step: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Images, noise and step number: they depend on (seed, step) alone."""
    g = generator(seed, step)
    b = method.images_per_step
    kind = next(method.parameters()).dtype
    images = (torch.rand(b, *method.data.shape, generator=g) > 0.7).to(kind)
    noise = {k: v.to(kind) if v.is_floating_point() else v for k, v in method.noise(b, g).items()}
    return images, noise, torch.tensor(float(step), dtype=kind)


@pytest.fixture
def inputs() -> Callable[..., Any]:
    return step_inputs


@pytest.fixture
def train() -> Callable[..., list[dict[str, float]]]:
    """The plainest trainer: one seed, each update on current weights; returns the terms of each step."""

    def run(method: Method, seed: int = 0, steps: int = 3) -> list[dict[str, float]]:
        method.train()
        updates = [
            (u, p, u.optimizer.over(p))
            for u in method.updates()
            for p in [[p for m in u.modules for p in getattr(method, m).parameters()]]
        ]
        history = []
        for step in range(steps):
            x, noise, t = step_inputs(method, seed, step)
            seen: dict[str, float] = {}
            for update, parameters, optimizer in updates:
                terms = getattr(method, update.loss)(x, noise, t)
                grads = torch.autograd.grad(sum(terms.values()), parameters)
                for p, g in zip(parameters, grads, strict=True):
                    p.grad = g
                optimizer.step()
                seen |= {f"{update.loss}.{k}": v.item() for k, v in terms.items()}
            history.append(seen)
        return history

    return run
