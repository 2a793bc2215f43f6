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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from disbench.models.layers import Reshape, Spectral

# float64, or complex128 for a derivative
Array = NDArray[Any]

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


def clamp(x: Array, low: float, high: float) -> Array:
    return np.where(np.real(x) < low, low, np.where(np.real(x) > high, high, x))


def convolution(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """(b, n, h, w) and (m, n, k, k) -> (b, m, h', w'): the sum over channels and kernel positions."""
    k = weight.shape[2]
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    seen = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
    return np.tensordot(seen, weight, ([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)


def transposed_convolution(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """(b, n, h, w) and (n, m, k, k) -> (b, m, h', w'): each input paints its kernel onto the output."""
    (b, _, h, w), (_, m, k, _) = x.shape, weight.shape
    kernels = np.tensordot(x, weight, (1, 0)).transpose(4, 5, 0, 3, 1, 2)  # (k, k, b, m, h, w)
    side, width = stride * (h - 1) + k, stride * (w - 1) + k
    canvas = np.zeros((b, m, side, width), kernels.dtype)
    for i in range(k):
        for j in range(k):
            canvas[:, :, i : i + stride * h : stride, j : j + stride * w : stride] += kernels[i, j]
    return canvas[:, :, padding : side - padding, padding : width - padding]


class Nets:
    """The nets of a torch module in training mode, run on arrays.

    A pass changes the running statistics of batch norms, which are among the weights. The vectors of spectral
    norms change with `power_iteration` alone.

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

    def before_last(self, name: str, x: Array) -> Array:
        """The input of that net's last layer."""
        for part, _ in list(self.module.get_submodule(name).named_children())[:-1]:
            x = self(f"{name}.{part}", x)
        return x

    def power_iteration(self, *names: str) -> None:
        """Miyato et al. 2018, algorithm 1, once for each spectral norm of these nets."""
        for name in names:
            for at, layer in self.module.get_submodule(name).named_modules(prefix=name):
                if isinstance(layer, Spectral):
                    self.weights[f"{at}.u"] = self._singular_vectors(f"{at}.")[0]

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
                return self._linear_map(layer.layer, f"{at}layer.", self._spectral(at), x)
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

    def _spectral(self, at: str) -> Array:
        """Miyato et al. 2018, algorithm 1: W over sigma = u W v, where u and v are held."""
        weight = self.weights[f"{at}layer.weight"]
        u, v = self._singular_vectors(at)
        return weight / (u @ weight.reshape(len(weight), -1) @ v)

    def _singular_vectors(self, at: str) -> tuple[Array, Array]:
        """u and v of the next iteration: v = W^T u / |W^T u|, u = W v / |W v|."""
        weight = held(self.weights[f"{at}layer.weight"])
        matrix = weight.reshape(len(weight), -1)
        v = matrix.T @ self.weights[f"{at}u"]
        v = v / np.sqrt((v**2).sum())
        u = matrix @ v
        return u / np.sqrt((u**2).sum()), v


def draw_weights(module: nn.Module, rng: np.random.Generator) -> dict[str, Array]:
    """Values for the parameters and buffers of a module, by name, such that activations keep their size."""
    drawn: dict[str, Array] = {}
    for name, tensor in module.state_dict().items():
        shape, kind = tuple(tensor.shape), name.rpartition(".")[2]
        if kind not in ("weight", "bias", "logits", "running_mean", "running_var", "u"):
            # what the module was made with
            drawn[name] = tensor.numpy()
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
) -> dict[str, Any]:
    """Of each value of `f(weights)`, the derivative along a direction, given by name of the weights."""
    moved = {name: w + 1j * TINY * along[name] if name in along else w for name, w in weights.items()}
    return {term: np.imag(value) / TINY for term, value in f(moved).items()}
