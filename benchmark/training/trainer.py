"""Trains a method: one seed the plain way, or several seeds stacked in one program.

Everything random depends on (seed, step) alone: noise comes from a generator seeded for that step, the order
of the data from one seeded for that epoch. So nothing but weights and optimisers needs saving, and a run that
was stopped and continued is, on a CPU, the uninterrupted one bit for bit.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from disbench.benchmark.datasets import Dataset
from disbench.benchmark.training.convolution import Unfolded
from disbench.benchmark.training.gpu import PLAIN, Arguments, Found, Recording, Tuning, resident
from disbench.benchmark.training.seeds import StoppedError, stream
from disbench.models.method import Method, Noise, Terms, Update

LOGGED_STEPS = 200  # lines that a whole run leaves in its journal


class DivergedError(RuntimeError):
    """A term of a loss is not finite; training cannot go on."""

    def __init__(self, step: int, term: str) -> None:
        super().__init__(f"{term} is not finite at step {step}")
        self.step, self.term = step, term


@dataclass
class State:
    """What a run needs to go on: steps taken, weights (with buffers), and each update's optimiser."""

    step: int
    weights: Mapping[str, Tensor]
    optimizers: Sequence[Mapping[str, Any]]


def use_one_core() -> None:
    """Make this process train on one core, and keep the memory that a step frees for the next step.

    A step's tensors are large enough for glibc to hand them back to the system each time, which costs a
    beta-VAE of 32x32 images a seventh of its time; up to 256 MB stay here instead.
    """
    torch.set_num_threads(1)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; the names stand in its malloc.h
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 32 << 20)
        libc.mallopt(m_trim_threshold, 256 << 20)


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
    """A method with one or more seeds that take their steps together. The strategies derive from it.

    Args:
        methods: one per seed, freshly built (the initial weights are the caller's), all of one config.
        data: where the images come from.
        seeds: each decides its own noise and order of the data.
        device: "cpu" or "cuda".
        tuning: how the steps are computed.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        data: Dataset,
        seeds: Sequence[int],
        device: torch.device,
        tuning: Tuning = PLAIN,
    ) -> None:
        tuning.apply(device)
        self.seeds, self.device, self.tuning = tuple(seeds), device, tuning
        self.source = resident(data, device) if tuning.resident else data
        self.generator = torch.Generator(device)
        self.recording: Recording | None = None
        self.batch = methods[0].images_per_step
        self.draw = methods[0].noise
        self.orders = [Order(len(data), self.batch, stream(seed, "order")) for seed in seeds]
        self.step = 0

    def inputs(self, step: int) -> tuple[Tensor, list[Noise], Tensor]:
        """Images (seeds * batch, c, h, w), each seed's noise, and the step's number."""
        rows = np.concatenate([order.rows(step) for order in self.orders])
        noise = []
        for seed in self.seeds:
            self.generator.manual_seed(stream(seed, f"noise/{step}"))
            noise.append(self.draw(self.batch, self.generator))
        at = torch.full((), float(step), dtype=torch.get_default_dtype(), device=self.device)
        return self.source.images(rows).to(self.device), noise, at

    def arguments(self, step: int) -> Arguments:
        """What `compute` takes at that step."""
        raise NotImplementedError

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Found:
        """Every update in its order: names of the terms, "loss.term", and their values (terms, seeds)."""
        raise NotImplementedError

    def tensors(self) -> list[Tensor]:
        """All that `compute` changes in place."""
        raise NotImplementedError

    def advance(self) -> Found:
        """One step; returns what `compute` found."""
        arguments = self.arguments(self.step)
        if self.tuning.graph and self.recording is None:
            self.recording = Recording(self.compute, arguments, self.tensors)
        found = self.recording(arguments) if self.recording else self.compute(*arguments)
        self.step += 1
        return found

    def monitor(self) -> list[dict[str, Any]]:
        """Each seed's monitored quantities at the coming step; leaves no trace in batch norm or the like."""
        raise NotImplementedError

    def state(self, i: int) -> State:
        """What the i-th seed needs to go on, in either strategy."""
        raise NotImplementedError

    def restore(self, states: Sequence[State]) -> None:
        """Go on from one state per seed, all at the same step."""
        raise NotImplementedError

    def run(
        self,
        steps: int,
        *,
        log: Callable[[int, dict[str, Any]], None],
        progress: Callable[[int], None],
        save: Callable[[int, State], None],
        stop: Callable[[], bool],
        save_every: float = 60.0,
    ) -> dict[int, DivergedError]:
        """Train up to `steps`.

        Args:
            log: gets (seed's position, line) per logged step.
            progress: gets the number of steps taken, after each.
            save: gets (seed's position, state) every `save_every` seconds and when stopped.
            stop: asked after each step.

        Returns:
            Position of each seed that diverged, with the reason; nothing is logged or saved for it from there
            on.

        Raises:
            StoppedError: `stop` said so; the states were saved.
        """
        every = max(1, steps // LOGGED_STEPS)
        saved_at = time.monotonic()
        failed: dict[int, DivergedError] = {}
        unchecked: list[tuple[int, Tensor]] = []
        going = list(range(len(self.seeds)))

        def check() -> None:
            if not unchecked:
                return
            finite = torch.isfinite(
                torch.stack([values for _, values in unchecked])
            ).cpu()  # (looks, terms, seeds)
            if not finite.all():
                for look, term, i in (~finite).nonzero().tolist():
                    failed.setdefault(i, DivergedError(unchecked[look][0], names[term]))
                going[:] = [i for i in going if i not in failed]
            unchecked.clear()

        while self.step < steps and going:
            names, values = self.advance()
            unchecked.append((self.step, values))
            logged = self.step % every == 0 or self.step == steps
            asked = stop()
            due = asked or time.monotonic() - saved_at > save_every
            if (
                logged or due or self.device.type == "cpu" or len(unchecked) >= 100
            ):  # on a GPU a look costs a wait
                check()
            if logged:
                monitored = self.monitor()
                for i in going:
                    terms = dict(zip(names, values[:, i].tolist(), strict=True))
                    log(i, {"step": self.step, "terms": terms, "monitor": monitored[i]})
            progress(self.step)
            if due:
                for i in going:
                    save(i, self.state(i))
                saved_at = time.monotonic()
            if asked and self.step < steps and going:
                raise StoppedError
        for i in going:
            for name, tensor in self.state(i).weights.items():
                if not torch.isfinite(tensor).all():
                    failed.setdefault(i, DivergedError(self.step, f"weight {name}"))
        return failed


class Single(Trainer):
    """One seed: forward, backward, step."""

    def __init__(
        self,
        methods: Sequence[Method],
        data: Dataset,
        seeds: Sequence[int],
        device: torch.device,
        tuning: Tuning = PLAIN,
    ) -> None:
        super().__init__(methods, data, seeds, device, tuning)
        (method,) = methods
        # channels last: a few per cent faster on CPUs, and cuDNN's own layout
        self.method = method.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method.train()
        self.updates: list[tuple[Update, list[nn.Parameter], torch.optim.Optimizer]] = []
        for update in method.updates():
            parameters = [p for name in update.modules for p in getattr(method, name).parameters()]
            self.updates.append((update, parameters, update.optimizer.over(parameters)))

    def arguments(self, step: int) -> Arguments:
        images, (noise,), at = self.inputs(step)
        return images.to(memory_format=torch.channels_last), noise, at

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Found:
        names: list[str] = []
        values: list[Tensor] = []
        for update, parameters, optimizer in self.updates:
            self.method.requires_grad_(False)  # nothing is kept for gradients that nobody asks for
            for parameter in parameters:
                parameter.requires_grad_()
            with self.tuning.arithmetic(self.device):
                terms: Terms = getattr(self.method, update.loss)(images, noise, step)
                total = torch.stack(list(terms.values())).sum()
            gradients = torch.autograd.grad(total, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            names += [f"{update.loss}.{name}" for name in terms]
            values += [term.detach() for term in terms.values()]
        return names, torch.stack(values)[:, None]

    def tensors(self) -> list[Tensor]:
        slots = _slots(optimizer for *_, optimizer in self.updates)
        return [*self.method.parameters(), *self.method.buffers(), *slots]

    def monitor(self) -> list[dict[str, Any]]:
        before = [buffer.clone() for buffer in self.method.buffers()]
        with torch.no_grad():
            monitored: Terms = self.method.monitor(*self.arguments(self.step))
            for buffer, value in zip(self.method.buffers(), before, strict=True):
                buffer.copy_(value)
        return [{name: value.tolist() for name, value in monitored.items()}]

    def state(self, i: int) -> State:
        optimizers = [optimizer.state_dict() for *_, optimizer in self.updates]
        return copy.deepcopy(State(self.step, self.method.state_dict(), optimizers))

    def restore(self, states: Sequence[State]) -> None:
        (state,) = states
        self.method.load_state_dict(dict(state.weights), strict=True)
        for (*_, optimizer), saved in zip(self.updates, state.optimizers, strict=True):
            _load(optimizer, saved)
        self.step, self.recording = state.step, None  # a recording knows the optimisers' former tensors


class Fused(Trainer):
    """Several seeds in one program: their weights stacked, their losses mapped over the stack.

    Equal to the seeds alone to rounding: the same noise, the same order of the data, and no quantity that
    mixes seeds (batch norm sees its own seed's batch, every optimiser here works element by element).
    """

    def __init__(
        self,
        methods: Sequence[Method],
        data: Dataset,
        seeds: Sequence[int],
        device: torch.device,
        tuning: Tuning = PLAIN,
    ) -> None:
        super().__init__(methods, data, seeds, device, tuning)
        for method in methods:
            method.to(device).train()
        self.parameters, self.buffers = stack_module_state(list(methods))
        self.base = copy.deepcopy(methods[0]).to("meta")
        self.updates: list[tuple[Update, list[str], torch.optim.Optimizer]] = []
        for update in methods[0].updates():
            names = [n for m in update.modules for n in self.parameters if n.split(".")[0] == m]
            optimizer = update.optimizer.over([self.parameters[n] for n in names])
            self.updates.append((update, names, optimizer))

    def arguments(self, step: int) -> Arguments:
        images, noise, at = self.inputs(step)
        stacked = {name: torch.stack([drawn[name] for drawn in noise]) for name in noise[0]}
        return images.reshape(len(self.seeds), self.batch, *images.shape[1:]), stacked, at

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Found:
        names: list[str] = []
        values: list[Tensor] = []
        for update, learned, optimizer in self.updates:

            def loss(
                learning: Terms, fixed: Terms, buffers: Terms, x: Tensor, eps: Noise, loss: str = update.loss
            ) -> tuple[Tensor, Terms]:
                terms = functional_call(self.base, ({**fixed, **learning}, buffers), (loss, x, eps, step))
                return torch.stack(list(terms.values())).sum(), terms

            learning = {n: self.parameters[n].detach() for n in learned}
            fixed = {n: p.detach() for n, p in self.parameters.items() if n not in learning}
            with self.tuning.arithmetic(self.device), self.convolutions():
                gradients, terms = vmap(grad(loss, has_aux=True))(
                    learning, fixed, self.buffers, images, noise
                )
            for name in learned:
                self.parameters[name].grad = gradients[name]
            optimizer.step()
            names += [f"{update.loss}.{name}" for name in terms]
            values += [term.detach() for term in terms.values()]
        return names, torch.stack(values)

    def convolutions(self) -> contextlib.AbstractContextManager[Any]:
        return Unfolded() if self.tuning.unfold else contextlib.nullcontext()

    def tensors(self) -> list[Tensor]:
        slots = _slots(optimizer for *_, optimizer in self.updates)
        return [*self.parameters.values(), *self.buffers.values(), *slots]

    def monitor(self) -> list[dict[str, Any]]:
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        images, noise, step = self.arguments(self.step)

        def look(parameters: Terms, buffers: Terms, x: Tensor, eps: Noise) -> Terms:
            found: Terms = functional_call(self.base, (parameters, buffers), ("monitor", x, eps, step))
            return found

        with torch.no_grad():
            parameters = {n: p.detach() for n, p in self.parameters.items()}
            monitored = vmap(look)(parameters, buffers, images, noise)
        return [{n: v[i].tolist() for n, v in monitored.items()} for i in range(len(self.seeds))]

    def state(self, i: int) -> State:
        weights = {n: t[i].detach().clone() for n, t in {**self.parameters, **self.buffers}.items()}
        optimizers = []
        for _, names, optimizer in self.updates:
            saved = optimizer.state_dict()
            shapes = [self.parameters[n].shape for n in names]
            slots = {
                k: {s: (v[i] if _stacked(v, shapes[k]) else v).clone() for s, v in slot.items()}
                for k, slot in saved["state"].items()
            }
            optimizers.append({**saved, "state": slots})
        return State(self.step, weights, optimizers)

    def restore(self, states: Sequence[State]) -> None:
        with torch.no_grad():
            for name, tensor in {**self.parameters, **self.buffers}.items():
                tensor.copy_(torch.stack([state.weights[name].to(self.device) for state in states]))
        for u, (_, names, optimizer) in enumerate(self.updates):
            saved = [state.optimizers[u] for state in states]
            shapes = [self.parameters[n].shape[1:] for n in names]
            slots = {
                k: {
                    s: torch.stack([other["state"][k][s] for other in saved]) if _stacked(v, shapes[k]) else v
                    for s, v in slot.items()
                }
                for k, slot in saved[0]["state"].items()
            }
            _load(optimizer, {"state": slots})
        self.step, self.recording = states[0].step, None


class Branches(Trainer):
    """Several seeds side by side: each as alone, on a GPU in a stream of its own.

    Recorded as a graph, that is one graph with a branch per seed, whose kernels may run at the same time. On
    a CPU it is one seed after the other. Measured by `disbench bench train` against seeds that are stacked.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        data: Dataset,
        seeds: Sequence[int],
        device: torch.device,
        tuning: Tuning = PLAIN,
    ) -> None:
        super().__init__(methods, data, seeds, device, tuning)
        alone = dataclasses.replace(tuning, graph=False)
        self.alone = [Single([m], data, [s], device, alone) for m, s in zip(methods, seeds, strict=True)]
        count = len(seeds) if device.type == "cuda" else 0
        self.streams = [torch.cuda.Stream(device) for _ in range(count)]  # type: ignore[no-untyped-call]

    def arguments(self, step: int) -> Arguments:
        images, noise, at = self.inputs(step)
        stacked = {name: torch.stack([drawn[name] for drawn in noise]) for name in noise[0]}
        return images.to(memory_format=torch.channels_last), stacked, at

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Found:
        names: list[str] = []
        values: list[Tensor] = []
        for side in self.streams:
            side.wait_stream(torch.cuda.current_stream())
        for i, (single, x) in enumerate(zip(self.alone, images.chunk(len(self.alone)), strict=True)):
            with torch.cuda.stream(self.streams[i]) if self.streams else contextlib.nullcontext():
                names, found = single.compute(x, {name: drawn[i] for name, drawn in noise.items()}, step)
                values.append(found)
        for side in self.streams:
            torch.cuda.current_stream().wait_stream(side)
        return names, torch.cat(values, dim=1)

    def tensors(self) -> list[Tensor]:
        return [tensor for single in self.alone for tensor in single.tensors()]

    def monitor(self) -> list[dict[str, Any]]:
        for single in self.alone:
            single.step = self.step
        return [found for single in self.alone for found in single.monitor()]

    def state(self, i: int) -> State:
        return dataclasses.replace(self.alone[i].state(0), step=self.step)

    def restore(self, states: Sequence[State]) -> None:
        for single, state in zip(self.alone, states, strict=True):
            single.restore([state])
        self.step, self.recording = states[0].step, None


def _load(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """What it had gathered; its settings are its own, since some depend on the device."""
    optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["state"]})


def _slots(optimizers: Iterable[torch.optim.Optimizer]) -> list[Tensor]:
    """All tensors that optimisers keep."""
    kept = [value for o in optimizers for slot in o.state.values() for value in slot.values()]
    return [value for value in kept if isinstance(value, Tensor)]


def _stacked(value: Any, shape: torch.Size) -> bool:
    """Whether an optimiser's slot is one number per weight, and not a count of steps."""
    return isinstance(value, Tensor) and value.shape == shape
