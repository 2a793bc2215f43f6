"""Optimisers as plain data, so that one description serves one seed or many stacked ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

# Adam is fused over the parameters: a tenth of the time on a CPU.
KINDS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


@dataclass(frozen=True)
class Optimizer:
    """An optimiser by name with its settings.

    Attributes:
        name: one of `KINDS`.
        settings: arguments of that class in torch.optim.
    """

    name: str
    settings: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)

    def over(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        """The torch optimiser of these parameters, whose steps can be part of a CUDA graph on a GPU."""
        settings = dict(self.settings)
        if self.name in ("adam", "rmsprop") and parameters[0].is_cuda:
            # no step reads a number back, as a CUDA graph demands
            settings["capturable"] = True
        optimizer = KINDS[self.name](parameters, **settings)
        if self.name == "adam":
            optimizer.register_step_pre_hook(lay_out_gradients)
            optimizer.register_load_state_dict_post_hook(lay_out_state)
        return optimizer


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """`tensor` in the parameter's order in memory, copied where it has another."""
    if tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def lay_out_gradients(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Before a step: fused Adam on a CPU assumes that gradients lie in memory like their parameters."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = like(parameter.grad, parameter)


def lay_out_state(optimizer: torch.optim.Optimizer) -> None:
    """After `load_state_dict`, for the same reason: the saved weights may have lain in another order."""
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                slots[name] = like(value, parameter)


def adam(lr: float, beta1: float = 0.9, beta2: float = 0.999) -> Optimizer:
    """Adam: Kingma & Ba 2015, arXiv:1412.6980, with its default betas."""
    return Optimizer("adam", {"lr": lr, "betas": (beta1, beta2)})


def rmsprop(lr: float, momentum: float = 0.0) -> Optimizer:
    """RMSprop as in torch, without momentum by default."""
    return Optimizer("rmsprop", {"lr": lr, "momentum": momentum})
