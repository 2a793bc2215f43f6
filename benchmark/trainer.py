"""Trains one method with one seed on one device.

Everything random depends on (seed, step) alone: noise comes from a generator seeded for that step, the order
of the data from one seeded for that epoch. So nothing but weights and optimisers needs saving, and a run that
was stopped and continued is, on a CPU, the uninterrupted one bit for bit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from disbench.benchmark.datasets import Dataset
from disbench.models.method import Method, Noise, Terms, Update

LOGGED_STEPS = 200  # lines that a whole run leaves in its journal


class DivergedError(RuntimeError):
    """A term of a loss is not finite; training cannot go on."""

    def __init__(self, step: int, term: str) -> None:
        super().__init__(f"{term} is not finite at step {step}")
        self.step, self.term = step, term


class StoppedError(RuntimeError):
    """Training was asked to stop and did, after a whole step, with its state saved."""


@dataclass
class State:
    """What a run needs to go on: steps taken, weights (with buffers), and each update's optimiser."""

    step: int
    weights: Mapping[str, Tensor]
    optimizers: list[Mapping[str, Any]] = field(default_factory=list)


def stream(seed: int, name: str) -> int:
    """A seed for one named stream of random numbers of one run."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()) >> 1


@dataclass(frozen=True)
class Order:
    """Which images step by step: a fresh shuffle each epoch, the incomplete last batch left out."""

    n: int
    batch: int
    seed: int

    def rows(self, step: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        per_epoch = max(self.n // self.batch, 1)
        epoch, at = divmod(step, per_epoch)
        if self.n < self.batch:  # a set smaller than a batch is drawn from with replacement
            return np.random.default_rng([self.seed, epoch]).integers(self.n, size=self.batch)
        return _shuffle(self.n, self.seed, epoch)[at * self.batch : (at + 1) * self.batch]


@lru_cache(maxsize=2)
def _shuffle(n: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng([seed, epoch]).permutation(n)


class Trainer:
    """One method, one seed, the plain way: forward, backward, step.

    Args:
        method: freshly built or with loaded weights; moved to `device`.
        data: where the images come from.
        seed: decides noise and order of the data (the initial weights are the caller's).
        device: "cpu" or "cuda".
    """

    def __init__(self, method: Method, data: Dataset, seed: int, device: torch.device) -> None:
        # channels last: a few per cent faster on CPUs, and cuDNN's own layout
        self.method = method.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.data, self.seed, self.device = data, seed, device
        self.order = Order(len(data), method.images_per_step, stream(seed, "order"))
        self.step = 0
        self.updates: list[tuple[Update, list[Tensor], torch.optim.Optimizer]] = []
        for update in method.updates():
            parameters = [p for name in update.modules for p in getattr(method, name).parameters()]
            self.updates.append((update, parameters, update.optimizer.over(parameters)))
        self.unchecked: list[tuple[int, list[str], Tensor]] = []

    def inputs(self, step: int) -> tuple[Tensor, Noise, Tensor]:
        """Images, noise and step number of one step."""
        images = self.data.images(self.order.rows(step)).to(self.device, memory_format=torch.channels_last)
        generator = torch.Generator(self.device).manual_seed(stream(self.seed, f"noise/{step}"))
        noise = self.method.noise(self.method.images_per_step, generator)
        return images, noise, torch.tensor(float(step), device=self.device)

    def advance(self) -> dict[str, Terms]:
        """One step of every update; the terms of each loss by name."""
        images, noise, step = self.inputs(self.step)
        losses: dict[str, Terms] = {}
        for update, parameters, optimizer in self.updates:
            terms: Terms = getattr(self.method, update.loss)(images, noise, step)
            gradients = torch.autograd.grad(torch.stack(list(terms.values())).sum(), parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            losses[update.loss] = {name: term.detach() for name, term in terms.items()}
        self.step += 1
        names = [f"{loss}.{name}" for loss, terms in losses.items() for name in terms]
        values = torch.stack([term for terms in losses.values() for term in terms.values()])
        self.unchecked.append((self.step, names, values))
        if self.device.type == "cpu" or len(self.unchecked) >= 100:  # on a GPU a look costs a wait
            self.check()
        return losses

    def check(self) -> None:
        """Raises DivergedError at the first term since the last look that is not finite."""
        for step, names, values in self.unchecked:
            for name, fine in zip(names, torch.isfinite(values).tolist(), strict=True):
                if not fine:
                    raise DivergedError(step, name)
        self.unchecked.clear()

    @torch.no_grad()
    def monitor(self) -> Terms:
        """The method's monitored quantities at the coming step; leaves no trace in batch norm or the like."""
        before = [buffer.clone() for buffer in self.method.buffers()]
        try:
            return self.method.monitor(*self.inputs(self.step))
        finally:
            for buffer, value in zip(self.method.buffers(), before, strict=True):
                buffer.copy_(value)

    def state(self) -> State:
        return State(self.step, self.method.state_dict(), [o.state_dict() for *_, o in self.updates])

    def restore(self, state: State) -> None:
        self.method.load_state_dict(dict(state.weights), strict=True)
        for (*_, optimizer), saved in zip(self.updates, state.optimizers, strict=True):
            optimizer.load_state_dict(dict(saved))
        self.step = state.step

    def run(
        self,
        steps: int,
        *,
        log: Callable[[dict[str, Any]], None],
        progress: Callable[[int], None],
        save: Callable[[State], None],
        stop: Callable[[], bool],
        save_every: float = 60.0,
    ) -> None:
        """Train up to `steps`.

        Args:
            log: gets one line per logged step.
            progress: gets the number of steps taken, after each.
            save: gets the state every `save_every` seconds and when stopped.
            stop: asked after each step.

        Raises:
            DivergedError: a term was not finite; nothing more is saved.
            StoppedError: `stop` said so; the state was saved.
        """
        every = max(1, steps // LOGGED_STEPS)
        saved_at = time.monotonic()
        self.method.train()
        while self.step < steps:
            losses = self.advance()
            if self.step % every == 0 or self.step == steps:
                self.check()
                monitored = {name: value.tolist() for name, value in self.monitor().items()}
                terms = {f"{loss}.{k}": float(v) for loss, found in losses.items() for k, v in found.items()}
                log({"step": self.step, "terms": terms, "monitor": monitored})
            progress(self.step)
            asked = stop()
            if asked or time.monotonic() - saved_at > save_every:
                self.check()
                save(self.state())
                saved_at = time.monotonic()
            if asked and self.step < steps:
                raise StoppedError
        self.check()
        for name, tensor in self.method.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise DivergedError(self.step, f"weight {name}")
