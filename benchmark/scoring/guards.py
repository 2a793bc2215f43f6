"""Checks before operators of torch that believe their arguments.

These are the parts into which torch takes a layer apart, and kernels behind layers that users build. Called
with sizes that do not fit, which no layer does and a forged file may, they read or write outside their
tensors. A file that uses them, or a layer that calls them, is run under `checked`, which sees every call on
its way to the kernel and raises where sizes do not fit. Other files do not need it, and it takes time: some
microseconds a call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from disbench.texts import short

Given = Mapping[str, Any]  # the arguments of a call by name, those left out as well
Parts = Mapping[str, tuple[Tensor | None, tuple[int, ...]]]  # tensors and the shape that each must have


class UnfitError(ValueError):
    """Sizes or types that an operator would believe and that do not fit."""


def _refuse(what: str) -> NoReturn:
    raise UnfitError(what)


def _compare(like: Tensor, parts: Parts) -> None:
    """Refuses a part of another shape or type; None is none. `like` must have real numbers."""
    if not like.is_floating_point() or not like.numel():
        _refuse(f"numbers {tuple(like.shape)} of {like.dtype}")
    for name, (part, shape) in parts.items():
        if part is not None and (tuple(part.shape) != shape or part.dtype != like.dtype):
            _refuse(f"{name} {tuple(part.shape)} of {part.dtype} must be {shape} of {like.dtype}")


def _batch_norm(given: Given) -> None:
    images = given["input"]
    if images.ndim < 2:
        _refuse(f"input {tuple(images.shape)} has no channels")
    if "running_mean" not in given and not given["training"]:
        _refuse("neither statistics of the training nor of these images")
    names = ("weight", "bias", "running_mean", "running_var")
    _compare(images, {name: (given[name], (images.shape[1],)) for name in names if name in given})


def _group_norm(given: Given) -> None:
    images, sizes = given["input"], (given["N"], given["C"], given["HxW"])
    if images.ndim < 2 or sizes != (*images.shape[:2], images[0, 0].numel() if images.numel() else 0):
        _refuse(f"images {tuple(images.shape)} as {sizes}")
    _compare(images, {name: (given[name], (sizes[1],)) for name in ("weight", "bias")})


def _weight_norm(given: Given) -> None:
    weight, axis = given["v"], given["dim"]
    if axis not in (0, weight.ndim - 1):
        _refuse(f"axis {axis} of {tuple(weight.shape)} is neither the first nor the last")
    shape = tuple(size if at == axis else 1 for at, size in enumerate(weight.shape))
    _compare(weight, {"g": (given["g"], shape)})


def _resize(given: Given) -> None:
    """The kernel sizes its buffers by the factors and fills them by the sizes."""
    images, wanted = given["self"], given["output_size"]
    _compare(images, {})
    factors = (given["scales_h"], given["scales_w"])
    if images.ndim != 4 or len(wanted) != 2:
        _refuse(f"images {tuple(images.shape)} to {list(wanted)}")
    for before, after, factor in zip(images.shape[2:], wanted, factors, strict=True):
        if factor is not None and not (0 < factor < 2**31 and int(before * factor) == after):
            _refuse(f"{before} pixels by {factor} are not {after}")


def _attend(given: Given) -> None:
    query, key, mask = given["query"], given["key"], given["attn_mask"]
    if query.ndim != 4 or key.ndim != 4:
        _refuse(f"query {tuple(query.shape)} and key {tuple(key.shape)} must have four axes")
    b, heads, length, width = query.shape
    others = (b, heads, key.shape[2], width)
    _compare(query, {"key": (key, others), "value": (given["value"], others)})
    _compare(key, {})
    if mask is not None:
        whole = (b, heads, length, key.shape[2])
        part = whole[4 - mask.ndim :] if mask.ndim in (2, 4) else ()
        fits = mask.ndim == len(part) and all(m in (1, n) for m, n in zip(mask.shape, part, strict=True))
        if not fits or mask.dtype not in (torch.bool, query.dtype):
            _refuse(f"a mask {tuple(mask.shape)} of {mask.dtype} for {whole}")


def _heads(tokens: Tensor, width: int, heads: int, given: Given) -> None:
    """What both layers of attention share."""
    if tokens.is_nested or tokens.ndim != 3 or tokens.shape[2] != width or heads < 1 or width % heads:
        _refuse(f"tokens {tuple(tokens.shape)} for {heads} heads of {width} numbers in all")
    _compare(
        tokens,
        {
            "qkv_weight": (given["qkv_weight"], (3 * width, width)),
            "qkv_bias": (given["qkv_bias"], (3 * width,)),
            "proj_weight": (given["proj_weight"], (width, width)),
            "proj_bias": (given["proj_bias"], (width,)),
        },
    )
    mask, (b, length, _) = given["mask"], tokens.shape
    shapes: Mapping[object, tuple[tuple[int, ...], ...]] = {
        0: ((length, length),),
        1: ((b, length),),
        2: ((b, heads, length, length),),
    }
    if mask is not None and (
        tuple(mask.shape) not in shapes.get(given["mask_type"], ()) or mask.dtype != torch.bool
    ):
        _refuse(f"a mask {tuple(mask.shape)} of {mask.dtype} and kind {given['mask_type']}")


def _attention_layer(given: Given) -> None:
    query = given["query"]
    _heads(query, given["embed_dim"], given["num_head"], given)
    _compare(query, {name: (given[name], tuple(query.shape)) for name in ("key", "value")})


def _encoder_layer(given: Given) -> None:
    tokens, width = given["src"], given["embed_dim"]
    _heads(tokens, width, given["num_heads"], given)
    hidden = given["ffn_bias_1"].numel()
    norms = {
        f"norm_{part}_{i}": (given[f"norm_{part}_{i}"], (width,))
        for part in ("weight", "bias")
        for i in (1, 2)
    }
    _compare(
        tokens,
        {
            **norms,
            "ffn_weight_1": (given["ffn_weight_1"], (hidden, width)),
            "ffn_bias_1": (given["ffn_bias_1"], (hidden,)),
            "ffn_weight_2": (given["ffn_weight_2"], (width, hidden)),
            "ffn_bias_2": (given["ffn_bias_2"], (width,)),
        },
    )


def _recurrent_layer(given: Given) -> None:
    """oneDNN's LSTM, the one that torch takes on a CPU."""
    sequence, width = given["input"], given["hidden_size"]
    if sequence.ndim != 3 or given["mode"] != 2 or width < 1 or given["batch_sizes"]:
        _refuse(f"a sequence {tuple(sequence.shape)} for an LSTM of {width} numbers")
    _, b, size = sequence.shape
    rows = 4 * width
    _compare(
        sequence,
        {
            "the weights of the input": (given["weight0"], (rows, size)),
            "the weights of the state": (given["weight1"], (rows, width)),
            "the first bias": (given["weight2"], (rows,)),
            "the second bias": (given["weight3"], (rows,)),
        },
    )
    for name in ("hx_", "cx_"):
        if given[name].numel() != b * width or given[name].dtype != sequence.dtype:
            _refuse(f"a state {tuple(given[name].shape)} for {b} sequences and {width} numbers")


GUARDS: Mapping[str, Callable[[Given], None]] = {
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_group_norm": _group_norm,
    "_weight_norm_interface": _weight_norm,
    "_upsample_bilinear2d_aa": _resize,
    "_upsample_bicubic2d_aa": _resize,
    "_upsample_lanczos2d_aa": _resize,
    "_scaled_dot_product_flash_attention_for_cpu": _attend,
    "_native_multi_head_attention": _attention_layer,
    "_transformer_encoder_layer_fwd": _encoder_layer,
    "mkldnn_rnn_layer": _recurrent_layer,
}
RECURRENT = ("gru", "lstm", "rnn_tanh", "rnn_relu")
# The layers that call some of these.
LAYERS = {"lstm": "mkldnn_rnn_layer", "_weight_norm": "_weight_norm_interface"} | {
    "scaled_dot_product_attention": "_scaled_dot_product_flash_attention_for_cpu"
}


class _Checked(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name in GUARDS:
            try:
                GUARDS[name](_by_name(func, args, kwargs))
            except UnfitError as error:
                raise UnfitError(f"{name}: {error}") from None
        return func(*args, **kwargs)


def _by_name(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Given:
    given: dict[str, Any] = {argument.name: argument.default_value for argument in func._schema.arguments}
    names = [argument.name for argument in func._schema.arguments if not argument.kwarg_only]
    return {**given, **dict(zip(names, args, strict=False)), **kwargs}


def checked(names: Iterable[str]) -> contextlib.AbstractContextManager[object]:
    """What a program with these operators is run under: checks, if it uses one that needs them.

    A call that does not fit raises `UnfitError`.

    Args:
        names: of the operators, without their library and overload.
    """
    if any(name in GUARDS or name in LAYERS for name in names):
        return _Checked()  # type: ignore[no-untyped-call]
    return contextlib.nullcontext()


def check_recurrent(name: str, weights: object, given: Given) -> None:
    """Compares the number of weights with the number of layers, which a recurrent network does not.

    Args:
        name: one of `RECURRENT`.
        weights: a list of them.
        given: the arguments that say how many there must be.

    Raises:
        UnfitError: it is another number, or either is not known before the network runs.
    """
    layers, biases, both = given["num_layers"], given["has_biases"], given["bidirectional"]
    known = isinstance(layers, int) and isinstance(biases, bool) and isinstance(both, bool)
    each = 4 if biases else 2
    # an LSTM may have a projection in each layer
    kinds = (each, each + 1) if name == "lstm" else (each,)
    if (
        not known
        or not isinstance(weights, list)
        or len(weights) not in [kind * layers * (1 + both) for kind in kinds]
    ):
        count = len(weights) if isinstance(weights, list) else "unknown"
        _refuse(f"{name}: {count} weights for {short(layers, 20)} layers")
    if layers < 1:
        _refuse(f"{name}: {layers} layers")
