"""Optimisers as plain data, so that one description serves one seed or many stacked ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Optimizer:
    """An optimiser by name with its settings: plain data, for one seed or for many stacked ones."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def over(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        optim, settings = torch.optim, dict(self.settings)
        if self.name in ("adam", "rmsprop") and parameters[0].is_cuda:
            settings["capturable"] = (
                True  # no step reads a number back, so that it can be part of a CUDA graph
            )
        if self.name == "adam":  # fused over the parameters: a tenth of the time on a CPU
            adam = optim.Adam(parameters, fused=True, **settings)
            adam.register_step_pre_hook(lay_out_gradients)
            adam.register_load_state_dict_post_hook(lay_out_state)
            return adam
        kinds: dict[str, Any] = {"rmsprop": optim.RMSprop, "adagrad": optim.Adagrad}
        made: optim.Optimizer = kinds[self.name](parameters, **settings)
        return made


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """`tensor` in the parameter's order in memory, copied where it has another."""
    return (
        tensor
        if tensor.stride() == parameter.stride()
        else torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
    )


def lay_out_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Before a step. Fused Adam on a CPU takes it for granted that all it reads lies like the parameter."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = like(parameter.grad, parameter)


def lay_out_state(optimizer: torch.optim.Optimizer) -> None:
    """After `load_state_dict`, for the same reason: the state may come from differently laid out weights."""
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                slots[name] = like(value, parameter)


def adam(lr: float, beta1: float = 0.9, beta2: float = 0.999) -> Optimizer:
    return Optimizer("adam", {"lr": lr, "betas": (beta1, beta2)})


def rmsprop(lr: float, momentum: float = 0.0) -> Optimizer:
    return Optimizer("rmsprop", {"lr": lr, "momentum": momentum})
