"""Convolutions as one matrix product over unfolded patches, a second way to train stacked seeds.

Over stacked seeds `vmap` makes a convolution a grouped one, with a group per seed. Here it becomes a batched
matrix product, with a batch per seed, for which there are faster kernels on some devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


def pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def patches(x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """What a kernel sees at each place: (b, c, h, w) -> (b, places, c * kernel)."""
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    b, c, rows, columns, *_ = windows.shape
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(b, rows * columns, c * kernel[0] * kernel[1])


def overlap(x: Tensor, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """The sum of patches (b, places, c * kernel) laid where `patches` takes them from: (b, c, *size)."""
    return F.fold(x.transpose(1, 2), size, kernel, 1, padding, stride)


class Patches(torch.autograd.Function):
    """`patches`, whose gradient is `overlap`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
        return patches(x, kernel, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.where = ((inputs[0].shape[-2], inputs[0].shape[-1]), *inputs[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return overlap(gradient, *ctx.where), None, None, None


class Overlap(torch.autograd.Function):
    """`overlap`, whose gradient is `patches`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
        return overlap(x, size, kernel, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.where = inputs[2:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        return patches(gradient, *ctx.where), None, None, None, None


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """As `torch.nn.functional.conv2d`, which does what this cannot: dilation, groups, padding by name."""
    if groups != 1 or pair(dilation) != (1, 1) or isinstance(padding, str):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    (s, t), (p, q) = pair(stride), pair(padding)
    (h, w), (k, m) = x.shape[2:], weight.shape[2:]
    seen: Tensor = Patches.apply(x, (k, m), (s, t), (p, q))  # type: ignore[no-untyped-call]
    rows, columns = (h + 2 * p - k) // s + 1, (w + 2 * q - m) // t + 1
    y: Tensor = F.linear(seen, weight.flatten(1), bias).reshape(len(x), rows, columns, len(weight))
    return y.permute(0, 3, 1, 2)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Tensor:
    """As `torch.nn.functional.conv_transpose2d`, which does what this cannot: dilation and groups."""
    if groups != 1 or pair(dilation) != (1, 1):
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)
    (s, t), (p, q), (o, r) = pair(stride), pair(padding), pair(output_padding)
    (h, w), (k, m) = x.shape[2:], weight.shape[2:]
    laid = x.flatten(2).transpose(1, 2) @ weight.flatten(1)
    size = ((h - 1) * s - 2 * p + k + o, (w - 1) * t - 2 * q + m + r)
    y: Tensor = Overlap.apply(laid, size, (k, m), (s, t), (p, q))  # type: ignore[no-untyped-call]
    return y if bias is None else y + bias[:, None, None]


class Unfolded(TorchFunctionMode):
    """Within it, torch's convolutions of images are those of this file."""

    INSTEAD: Mapping[Any, Callable[..., Tensor]] = {
        F.conv2d: conv2d,
        F.conv_transpose2d: conv_transpose2d,
    }

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.INSTEAD.get(func, func)(*args, **(kwargs or {}))
