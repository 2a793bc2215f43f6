"""The strategies of training: one seed the plain way, several seeds stacked, several seeds side by side."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from disbench.benchmark.training.gpu import Arguments, Losses, Tuning
from disbench.benchmark.training.trainer import Monitored, OptimizerState, State, Trainer
from disbench.models.method import Method, Noise, Terms, Update, summed

# Throughput of stacked seeds relative to the same seeds side by side, as measured: on a CPU 8 seeds with
# `mini`, on a GPU 32 with `paper` (tf32; InfoGAN float32). See docs/speed.md.
STACKED: Mapping[str, Mapping[str, float]] = {
    "cpu": {
        "annealedvae": 0.85,
        "betatcvae": 0.9,
        "betavae": 0.86,
        "dipvae": 0.89,
        "elastic_infogan": 0.84,
        "factorvae": 0.91,
        "gan": 1.09,
        "ibgan": 1.13,
        "infogan": 0.84,
        "infogan_cr": 0.79,
        "jointvae": 0.9,
        "vae": 0.87,
    },
    "cuda": {"betavae": 1.26, "factorvae": 1.26, "infogan": 1.13},
}
# Of a method that was not measured there.
UNMEASURED: Mapping[str, float] = {kind: statistics.median(found.values()) for kind, found in STACKED.items()}
# On a CPU stacked seeds lose with images of 64x64, also where they win with 32x32: gan and ibgan reach 0.87
# with `mini` and 0.65 with `paper`.
LARGEST_ON_CPU = 32


def choose(seeds: int, tuning: Tuning, method: str, device: str, side: int) -> type[Trainer]:
    """The strategy of a training: for "auto" the quickest that was measured for the method.

    Args:
        seeds: number of seeds that train together.
        tuning: which has the strategy that was asked for.
        method: name of the method.
        device: type of the device, "cpu" or "cuda".
        side: of the images, in pixels.
    """
    if seeds == 1:
        return Single
    if tuning.strategy != "auto":
        return Branches if tuning.strategy == "branches" else Fused
    if device == "cpu" and side > LARGEST_ON_CPU:
        return Branches
    return Fused if STACKED[device].get(method, UNMEASURED[device]) > 1 else Branches


class Single(Trainer):
    """One seed: forward, backward, step."""

    def set_up(self, methods: Sequence[Method]) -> None:
        (method,) = methods
        # channels last: a few per cent faster on CPUs, and cuDNN's own layout
        self.method = method.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method.train()
        self.updates: list[tuple[Update, list[nn.Parameter], torch.optim.Optimizer]] = []
        for update in method.updates():
            parameters = [p for name in update.modules for p in getattr(method, name).parameters()]
            self.updates.append((update, parameters, update.optimizer.over(parameters)))

    def arrange(self, images: Tensor, noise: list[Noise], step: Tensor) -> Arguments:
        return images.to(memory_format=torch.channels_last), noise[0], step

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Losses:
        names: list[str] = []
        values: list[Tensor] = []
        for update, parameters, optimizer in self.updates:
            loss = update.at(self.step)
            if loss is None:
                continue
            # no activations are kept for gradients that are not needed
            self.method.requires_grad_(False)
            for parameter in parameters:
                parameter.requires_grad_()
            for _ in range(update.times):
                with self.tuning.arithmetic(self.device):
                    terms: Terms = getattr(self.method, loss)(images, noise, step)
                    total = summed(loss, terms)
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

    def monitor(self) -> list[Monitored]:
        before = [buffer.clone() for buffer in self.method.buffers()]
        with torch.no_grad():
            images, noise, at = self.arguments(self.step)
            monitored = self.method.monitor(images, noise, at)
            if self.unseen is not None:
                monitored |= self.method.monitor_unseen(self.unseen[0], noise, at)
            for buffer, value in zip(self.method.buffers(), before, strict=True):
                buffer.copy_(value)
        return [{name: value.tolist() for name, value in monitored.items()}]

    def states(self) -> list[State]:
        optimizers = [_on_host(optimizer.state_dict()) for *_, optimizer in self.updates]
        return [State(self.step, _on_host(self.method.state_dict()), optimizers)]

    def restore(self, states: Sequence[State]) -> None:
        (state,) = states
        self.method.load_state_dict(dict(state.weights), strict=True)
        for (*_, optimizer), saved in zip(self.updates, state.optimizers, strict=True):
            _load(optimizer, saved)
        # a recording would go on with the optimisers' former tensors
        self.step, self.recording = state.step, None


class Fused(Trainer):
    """Several seeds in one program: their weights stacked, their losses mapped over the stack.

    Equal to the seeds alone to rounding: the same noise, the same order of the data, and no quantity that
    mixes seeds (batch norm sees its own seed's batch, every optimiser here works element by element).
    """

    TOGETHER = "stacked"

    def set_up(self, methods: Sequence[Method]) -> None:
        for method in methods:
            method.to(self.device).train()
        self.parameters, self.buffers = stack_module_state(list(methods))
        self.base = copy.deepcopy(methods[0]).to("meta")
        self.updates: list[tuple[Update, list[str], torch.optim.Optimizer]] = []
        for update in methods[0].updates():
            names = [n for m in update.modules for n in self.parameters if n.split(".")[0] == m]
            optimizer = update.optimizer.over([self.parameters[n] for n in names])
            self.updates.append((update, names, optimizer))

    def arrange(self, images: Tensor, noise: list[Noise], step: Tensor) -> Arguments:
        return images.reshape(len(self.seeds), self.batch, *images.shape[1:]), stacked(noise), step

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Losses:
        names: list[str] = []
        values: list[Tensor] = []
        for update, learned, optimizer in self.updates:
            name_of_loss = update.at(self.step)
            if name_of_loss is None:
                continue

            def loss(
                learning: Terms, fixed: Terms, buffers: Terms, x: Tensor, eps: Noise, name: str = name_of_loss
            ) -> tuple[Tensor, Terms]:
                terms = functional_call(self.base, ({**fixed, **learning}, buffers), (name, x, eps, step))
                return summed(name, terms), terms

            fixed = {n: p.detach() for n, p in self.parameters.items() if n not in learned}
            for _ in range(update.times):
                learning = {n: self.parameters[n].detach() for n in learned}
                with self.tuning.arithmetic(self.device):
                    gradients, terms = vmap(grad(loss, has_aux=True))(
                        learning, fixed, self.buffers, images, noise
                    )
                for name in learned:
                    self.parameters[name].grad = gradients[name]
                optimizer.step()
            names += [f"{update.loss}.{name}" for name in terms]
            values += [term.detach() for term in terms.values()]
        return names, torch.stack(values)

    def tensors(self) -> list[Tensor]:
        slots = _slots(optimizer for *_, optimizer in self.updates)
        return [*self.parameters.values(), *self.buffers.values(), *slots]

    def monitor(self) -> list[Monitored]:
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        images, noise, step = self.arguments(self.step)

        def look(parameters: Terms, buffers: Terms, x: Tensor, eps: Noise, unseen: Tensor | None) -> Terms:
            weights = (parameters, buffers)
            terms: Terms = functional_call(self.base, weights, ("monitor", x, eps, step))
            if unseen is not None:
                terms |= functional_call(self.base, weights, ("monitor_unseen", unseen, eps, step))
            return terms

        with torch.no_grad():
            parameters = {n: p.detach() for n, p in self.parameters.items()}
            of_seeds = (0, 0, 0, 0, None if self.unseen is None else 0)
            monitored = vmap(look, in_dims=of_seeds)(parameters, buffers, images, noise, self.unseen)
        return [{n: v[i].tolist() for n, v in monitored.items()} for i in range(len(self.seeds))]

    def states(self) -> list[State]:
        # all seeds in one copy from the device
        weights = _on_host({**self.parameters, **self.buffers})
        saved = [_on_host(optimizer.state_dict()) for *_, optimizer in self.updates]
        shapes = [[self.parameters[n].shape for n in names] for _, names, _ in self.updates]

        def of_seed(i: int) -> State:
            optimizers = [
                {
                    **state,
                    "state": {
                        k: {s: v[i].clone() if _stacked(v, shape[k]) else v for s, v in slots.items()}
                        for k, slots in state["state"].items()
                    },
                }
                for state, shape in zip(saved, shapes, strict=True)
            ]
            return State(self.step, {n: t[i].clone() for n, t in weights.items()}, optimizers)

        return [of_seed(i) for i in range(len(self.seeds))]

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

    Recorded as a graph, it is one graph with a branch per seed, whose kernels may run at the same time. On a
    CPU it is one seed after the other. `disbench bench train` compares it with stacked seeds.
    """

    TOGETHER = "side by side"

    def set_up(self, methods: Sequence[Method]) -> None:
        tuning = dataclasses.replace(self.tuning, graph=False)
        self.alone = [
            Single([method], self.data, [seed], self.device, tuning)
            for method, seed in zip(methods, self.seeds, strict=True)
        ]
        count = len(self.seeds) if self.device.type == "cuda" else 0
        self.streams = [torch.cuda.Stream(self.device) for _ in range(count)]  # type: ignore[no-untyped-call]

    def arrange(self, images: Tensor, noise: list[Noise], step: Tensor) -> Arguments:
        return images.to(memory_format=torch.channels_last), stacked(noise), step

    def compute(self, images: Tensor, noise: Noise, step: Tensor) -> Losses:
        names: list[str] = []
        values: list[Tensor] = []
        for side in self.streams:
            side.wait_stream(torch.cuda.current_stream())
        for i, (single, x) in enumerate(zip(self.alone, images.chunk(len(self.alone)), strict=True)):
            single.step = self.step
            with torch.cuda.stream(self.streams[i]) if self.streams else contextlib.nullcontext():
                names, losses = single.compute(x, {name: drawn[i] for name, drawn in noise.items()}, step)
                values.append(losses)
        for side in self.streams:
            torch.cuda.current_stream().wait_stream(side)
        return names, torch.cat(values, dim=1)

    def tensors(self) -> list[Tensor]:
        return [tensor for single in self.alone for tensor in single.tensors()]

    def monitor(self) -> list[Monitored]:
        for single in self.alone:
            single.step = self.step
        return [monitored for single in self.alone for monitored in single.monitor()]

    def states(self) -> list[State]:
        return [dataclasses.replace(single.states()[0], step=self.step) for single in self.alone]

    def restore(self, states: Sequence[State]) -> None:
        for single, state in zip(self.alone, states, strict=True):
            single.restore([state])
        self.step, self.recording = states[0].step, None


def stacked(noise: Sequence[Noise]) -> Noise:
    """The noise of several seeds as one, (seeds, ...) each."""
    return {name: torch.stack([drawn[name] for drawn in noise]) for name in noise[0]}


def _on_host(kept: Any) -> Any:
    """A copy of nested tables and lists whose tensors are in the memory of the host."""
    if isinstance(kept, Tensor):
        return kept.detach().cpu() if kept.device.type != "cpu" else kept.detach().clone()
    if isinstance(kept, Mapping):
        return {key: _on_host(value) for key, value in kept.items()}
    return [_on_host(value) for value in kept] if isinstance(kept, list) else kept


def _load(optimizer: torch.optim.Optimizer, saved: OptimizerState) -> None:
    """Restores what an optimiser has gathered, not its settings: some depend on the device."""
    optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["state"]})


def _slots(optimizers: Iterable[torch.optim.Optimizer]) -> list[Tensor]:
    """All tensors that optimisers keep."""
    kept = [value for o in optimizers for slot in o.state.values() for value in slot.values()]
    return [value for value in kept if isinstance(value, Tensor)]


def _stacked(value: object, shape: torch.Size) -> bool:
    """Whether an optimiser's slot holds a number for each weight, and is no count of steps."""
    return isinstance(value, Tensor) and value.shape == shape
