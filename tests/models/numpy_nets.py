"""Layers and derivatives in plain numpy, to compute a method's losses a second time.

A torch module gives the structure of a net and nothing else: the arithmetic below is numpy's, in float64, on
arrays that stand in place of the module's parameters and buffers. Weights are drawn here too, so that biases,
gains and running statistics have values that no wrong formula leaves out by chance.

Derivatives are complex steps: f(w + i h d) = f(w) + i h f'(w) d + O(h^2) for real h, so with h = 1e-30 the
imaginary part over h is the derivative along d to the last digits. Unlike a difference, it has no step size
to choose, loses no digits, and never steps over the kink of a ReLU. A loss must then be made of analytic
functions, and of kinks that look at the real part. `held` takes a quantity as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from disbench.models.layers import Reshape, Spectral

Array = NDArray[np.float64] | NDArray[np.complex128]

TINY = 1e-30


def held(x: Array) -> Array:
    """`x` as a constant: no derivative passes through it."""
    return np.real(x)


def leaky_relu(x: Array, slope: float) -> Array:
    return np.where(np.real(x) > 0, x, slope * x)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    """exp(x) over its sum along the last axis."""
    weights = np.exp(x - np.max(np.real(x), -1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def absolute(x: Array) -> Array:
    return np.where(np.real(x) >= 0, x, -x)


def convolution(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """(b, n, h, w) and (m, n, k, k) -> (b, m, h', w'): one sum over channels per kernel position."""
    k = weight.shape[2]
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    h, w = ((side - k) // stride + 1 for side in x.shape[2:])
    out: Array = np.zeros((), x.dtype)
    for i in range(k):
        for j in range(k):
            seen = x[:, :, i : i + stride * h : stride, j : j + stride * w : stride]
            out = out + np.einsum("bnhw,mn->bmhw", seen, weight[:, :, i, j], optimize=True)
    return out


def transposed_convolution(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """(b, n, h, w) and (n, m, k, k) -> (b, m, h', w'): each input paints its kernel onto the output."""
    k = weight.shape[2]
    b, _, h, w = x.shape
    canvas = np.zeros(
        (b, weight.shape[1], stride * (h - 1) + k, stride * (w - 1) + k), np.result_type(x, weight)
    )
    for i in range(k):
        for j in range(k):
            painted = np.einsum("bnhw,nm->bmhw", x, weight[:, :, i, j], optimize=True)
            canvas[:, :, i : i + stride * h : stride, j : j + stride * w : stride] += painted
    return canvas[:, :, padding : canvas.shape[2] - padding, padding : canvas.shape[3] - padding]


class Nets:
    """The nets of a torch module in training mode, run on arrays.

    A pass changes the buffers among the weights, as it does in torch.

    Args:
        module: gives the structure.
        weights: its parameters and buffers by name; a copy of the dictionary is kept.
    """

    def __init__(self, module: nn.Module, weights: Mapping[str, Array]) -> None:
        self.module = module
        self.weights = dict(weights)

    def __call__(self, name: str, x: Array) -> Array:
        """The output of the net of that name."""
        return self._run(self.module.get_submodule(name), f"{name}.", x)

    def _run(self, layer: nn.Module, at: str, x: Array) -> Array:
        match layer:
            case nn.Sequential():
                for name, part in layer.named_children():
                    x = self._run(part, f"{at}{name}.", x)
                return x
            case nn.Identity():
                return x
            case nn.Flatten():
                return x.reshape(len(x), -1)
            case Reshape():
                return x.reshape(len(x), *layer.shape)
            case nn.ReLU():
                return leaky_relu(x, 0.0)
            case nn.LeakyReLU():
                return leaky_relu(x, layer.negative_slope)
            case nn.Tanh():
                return np.tanh(x)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                return self._batch_norm(layer, at, x)
            case Spectral():
                return self._linear_map(layer.layer, f"{at}layer.", self._spectral(layer, at), x)
        return self._linear_map(layer, at, self.weights[f"{at}weight"], x)

    def _linear_map(self, layer: nn.Module, at: str, weight: Array, x: Array) -> Array:
        match layer:
            case nn.Linear():
                out = x @ weight.T
            case nn.Conv2d():
                out = convolution(x, weight, layer.stride[0], layer.padding[0])
            case nn.ConvTranspose2d():
                out = transposed_convolution(x, weight, layer.stride[0], layer.padding[0])
            case _:
                raise TypeError(f"numpy_nets has no {type(layer).__name__}; write it there.")
        if f"{at}bias" not in self.weights:
            return out
        return out + self.weights[f"{at}bias"].reshape(1, -1, *[1] * (out.ndim - 2))

    def _batch_norm(self, layer: nn.BatchNorm1d | nn.BatchNorm2d, at: str, x: Array) -> Array:
        """Ioffe & Szegedy 2015, algorithm 1: the statistics are those of the batch."""
        w = self.weights
        axes = (0, *range(2, x.ndim))
        column = (1, -1, *[1] * (x.ndim - 2))
        n = x.size / x.shape[1]
        mean = x.sum(axes) / n
        centred = x - mean.reshape(column)
        variance = (centred**2).sum(axes) / n
        m = layer.momentum
        w[f"{at}running_mean"] = held((1 - m) * w[f"{at}running_mean"] + m * mean)
        w[f"{at}running_var"] = held((1 - m) * w[f"{at}running_var"] + m * variance * n / (n - 1))
        normalised = centred / np.sqrt(variance + layer.eps).reshape(column)
        return w[f"{at}weight"].reshape(column) * normalised + w[f"{at}bias"].reshape(column)

    def _spectral(self, layer: Spectral, at: str) -> Array:
        """Miyato et al. 2018, algorithm 1: W over u W v, where u and v are held."""
        weight = self.weights[f"{at}layer.weight"]
        matrix = weight.reshape(len(weight), -1)
        v = held(matrix).T @ self.weights[f"{at}u"]
        v = v / np.sqrt((v**2).sum())
        u = held(matrix) @ v
        u = u / np.sqrt((u**2).sum())
        self.weights[f"{at}u"] = u
        return weight / (u @ matrix @ v)


def draw_weights(module: nn.Module, rng: np.random.Generator) -> dict[str, Array]:
    """Values for the parameters and buffers of a module, by name, such that activations keep their size."""
    drawn: dict[str, Array] = {}
    for name, tensor in module.state_dict().items():
        shape, kind = tuple(tensor.shape), name.rpartition(".")[2]
        if not tensor.is_floating_point():
            # number of passes of a batch norm
            drawn[name] = np.zeros(shape)
        elif len(shape) > 1:
            drawn[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif kind == "running_var":
            drawn[name] = rng.uniform(2, 3, shape)
        elif kind == "weight":
            # gains of a batch norm
            drawn[name] = rng.normal(1, 0.3, shape)
        else:
            drawn[name] = rng.normal(0, 0.3, shape)
    return drawn


def derivatives(
    f: Callable[[Mapping[str, Array]], dict[str, Array]],
    weights: Mapping[str, Array],
    along: Mapping[str, Array],
) -> dict[str, float]:
    """Of each value of `f(weights)`, the derivative along a direction, given by name of the weights."""
    moved = {name: w + 1j * TINY * along[name] if name in along else w for name, w in weights.items()}
    return {term: np.imag(value) / TINY for term, value in f(moved).items()}
