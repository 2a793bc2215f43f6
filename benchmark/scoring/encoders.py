"""Encoders that someone trained, as functions of image tensors: exported networks and state dicts.

A new format needs three things: its first bytes in `files.recognise`, a function here that gives a `Network`,
and an entry in `FORMATS`. What reads the file without trusting it has a file of its own: `torchscript`,
`pt2`, `onnx`. How the network takes images, and which output is the code, is found out by `interface`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from disbench.benchmark.scoring import pt2, torchscript
from disbench.benchmark.scoring.files import Kind, members, recognise
from disbench.benchmark.scoring.formats import load_safetensors
from disbench.errors import UsageError, argument
from disbench.metrics.conversion import as_array
from disbench.models.checkpoint import load_tensors
from disbench.texts import short

WRAPPED = ("state_dict", "model_state_dict", "model", "weights")  # where training scripts put a state dict
# What stands before the names of a module that was wrapped, and whose it is.
WRAPPERS = {"module.": "DataParallel's", "model.": "a Lightning module's"}
COMPILED = re.compile(r"(?<![^.])_orig_mod\.")


@dataclass(frozen=True)
class Network:
    """A network as a function of an image tensor in its own layout.

    Attributes:
        path: of its file, or what errors call it.
        run: from images to a tensor, or to a tuple, list or dict of tensors.
        shape: the input's sizes, batch first, None where free; None where the file does not say.
        dtype: the input's type where the file says.
        assumed: sentences for the user, see `errors.spelled`.
    """

    path: Path
    run: Callable[[Tensor], object]
    shape: tuple[int | None, ...] | None = None
    dtype: torch.dtype | None = None
    assumed: tuple[str, ...] = ()


# --- Exported networks: one function per format ---


def scripted(path: Path) -> Network:
    """A TorchScript module, checked and loaded by `torchscript`."""
    module = torchscript.Module(path)
    return Network(path, module, assumed=("what it prints is not shown",) if module.prints else ())


def exported(path: Path) -> Network:
    """A program of `torch.export`, run by `pt2` from its graph."""
    program = pt2.load(path)
    return Network(path, program, program.shape, program.dtype)


def onnx(path: Path) -> Network:
    """An ONNX model, run by onnxruntime."""
    # onnxruntime is an extra
    from disbench.benchmark.scoring.onnx import Model

    model = Model(path)
    return Network(path, model, model.shape, model.dtype)


FORMATS: Mapping[Kind, tuple[str, Callable[[Path], Network]]] = {
    "torchscript": ("a TorchScript encoder", scripted),
    "pt2": ("a torch.export encoder", exported),
    "onnx": ("an ONNX encoder", onnx),
}


# --- What a network returns ---


@dataclass(frozen=True)
class Other:
    """An output that cannot be the code, of a network in another process.

    Attributes:
        words: what it is.
    """

    words: str


class Unreadable:
    """In the place of an output that cannot be made an array, such as a tensor without numbers."""


def _plain(value: object) -> object:
    """An output of any library, device, layout and type as a plain tensor, if it is an array of numbers."""
    if value.is_complex() if isinstance(value, Tensor) else not hasattr(value, "shape"):
        return value
    try:
        return torch.from_numpy(np.array(as_array(value, "the output")))
    except UsageError:
        return Unreadable()


def outputs(returned: object) -> list[tuple[str, object]]:
    """Name and value of each output, made plain; one without a name has its number."""
    if isinstance(returned, Mapping):
        return [(str(name), _plain(value)) for name, value in returned.items()]
    if isinstance(returned, tuple | list):
        names = getattr(returned, "_fields", range(len(returned)))
        return [(str(name), _plain(value)) for name, value in zip(names, returned, strict=True)]
    return [("0", _plain(returned))]


def described(value: object, batch: int) -> str:
    """An output in words: its shape, where it has one."""
    if isinstance(value, Other):
        return value.words
    if not isinstance(value, Tensor) or value.is_nested:
        return type(value).__name__
    first = ("b",) if value.ndim and len(value) == batch else tuple(value.shape[:1])
    return shape((*first, *value.shape[1:]))


def _is_real(value: object) -> TypeGuard[Tensor]:
    """Whether it is a plain tensor of real numbers."""
    return (
        isinstance(value, Tensor)
        and not value.is_complex()
        and value.layout == torch.strided
        and not value.is_nested
    )


def as_table(value: object, batch: int) -> Tensor | None:
    """Real numbers (b, d), also where they come as (b, d, 1, 1)."""
    if not _is_real(value):
        return None
    if value.ndim == 4 and value.shape[2:] == (1, 1):
        value = value[:, :, 0, 0]
    return value if value.ndim == 2 and len(value) == batch and value.shape[1] else None


def as_pictures(value: object, batch: int) -> Tensor | None:
    """Real numbers (b, ...) that may be the pictures of b latents."""
    if not _is_real(value):
        return None
    return value if 2 <= value.ndim <= 4 and len(value) == batch else None


def shape(sizes: Sequence[int | str | None]) -> str:
    """Sizes in words, the first of which may be free."""
    return f"({', '.join('b' if i == 0 and s is None else str(s or '?') for i, s in enumerate(sizes))})"


def named(dtype: torch.dtype) -> str:
    """A type in a word."""
    return str(dtype).removeprefix("torch.")


# --- State dicts: weights, and the module that they belong to ---


def state_dict(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights in a file, by name, and what was assumed.

    Raises:
        UsageError: unreadable, hostile, or no weights in it.
    """
    content: object
    if recognise(path) == "safetensors":
        content = load_safetensors(path)
    else:
        if zipfile.is_zipfile(path):
            # compares the checksums, which torch does not
            members(path, "a torch file")
        content = load_tensors(path)
    weights, assumed = _weights(content), []
    if weights is None and isinstance(content, Mapping):
        inside = {key: part for key in WRAPPED if (part := _weights(content.get(key))) is not None}
        if len(inside) == 1:
            ((key, weights),) = inside.items()
            assumed.append(f"the weights are its entry {key!r}")
    if weights is None:
        raise UsageError(
            f"{path} is not a disbench checkpoint or a state dict but {_described(content)}; write "
            "torch.save(model.state_dict(), path), and codes as a tensor or as a dict with 'codes'."
        )
    return weights, tuple(assumed)


def unwrapped(
    weights: Mapping[str, Tensor], known: Collection[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights under the names of a module, without what wrappers put before them.

    Args:
        weights: by their names in a file.
        known: the module's own names.

    Returns:
        The weights, renamed if that makes all names fit and else as they were, and what was left out.
    """
    # torch.compile adds its word wherever a module was compiled, in the file or by the factory
    own = {COMPILED.sub("", name): name for name in known}
    names = {name: COMPILED.sub("", name) for name in weights}
    notes = (
        ["'_orig_mod.' in names is torch.compile's and was left out"]
        if list(names.values()) != list(names)
        else []
    )
    while set(names.values()) != set(own):
        prefix = next((p for p in WRAPPERS if names and all(n.startswith(p) for n in names.values())), None)
        if prefix is None:
            return dict(weights), ()
        names = {name: short_name.removeprefix(prefix) for name, short_name in names.items()}
        notes.append(f"'{prefix}' before all names is {WRAPPERS[prefix]} and was left out")
    if len(set(names.values())) < len(names):
        return dict(weights), ()
    return {own[names[name]]: tensor for name, tensor in weights.items()}, tuple(notes)


def _weights(value: object) -> dict[str, Tensor] | None:
    """The value if it is a dict of tensors by name, and not empty."""
    if not isinstance(value, Mapping) or not value:
        return None
    weights = {
        name: tensor for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)
    }
    return weights if len(weights) == len(value) else None


def _described(content: object) -> str:
    """What a torch file holds instead of weights, in words."""
    if isinstance(content, Mapping):
        return f"a dict of {short(sorted(map(str, content)))}" if content else "an empty dict"
    return f"a {type(content).__name__}"


def from_factory(path: Path, factory: str, shape: tuple[int, int, int]) -> Network:
    """A state dict loaded into the module that the user's own function builds.

    Args:
        path: of the state dict.
        factory: `package.module:function`; it is called with the images' shape (c, h, w) if its first
            argument has no default or is called `shape`, and returns an `nn.Module`. Its `encode` is used
            where it has one, else its `forward`.
        shape: (c, h, w) of the images.

    Raises:
        UsageError: no such function, it fails, or its weights are not those of the file.
    """
    weights, assumed = state_dict(path)
    build, name = _imported(factory), f"{argument('factory')} {factory}"
    try:
        first = next(iter(inspect.signature(build).parameters.values()), None)
        # the first argument of a class with defaults may be its number of latents
        asked = first is not None and (first.default is first.empty or first.name == "shape")
        module = build(shape) if asked else build()
    except Exception as error:
        # the user's code may raise anything
        raise UsageError(f"{name} failed: {type(error).__name__}: {short(error)}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"{name} returned a {type(module).__name__}; return an nn.Module.")
    notes = load_strictly(module, weights, path, name)
    module.eval()
    encode = getattr(module, "encode", None)
    called = encode if callable(encode) else module
    note = f"called its {'encode' if called is encode else 'forward'}"
    return Network(path, called, assumed=(*assumed, *notes, note))


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], path: Path, of: str) -> tuple[str, ...]:
    """Loads every weight of a module, and accepts no other.

    Args:
        module: gets the weights.
        weights: of the file, by name.
        path: of the file.
        of: what built the module, in words.

    Returns:
        What was left out of the names, see `unwrapped`.

    Raises:
        UsageError: names or shapes differ; says which.
    """
    known = module.state_dict()
    weights, notes = unwrapped(weights, known)
    differences = (
        ("it lacks", [name for name in known if name not in weights]),
        ("unknown are", [name for name in weights if name not in known]),
        ("of another shape are", [n for n in known if n in weights and known[n].shape != weights[n].shape]),
    )
    sentence = "; ".join(f"{what} {short(names, 120)}" for what, names in differences if names)
    if sentence:
        raise UsageError(f"the weights in {path} are not those of {of}: {sentence}; all must fit.")
    module.load_state_dict(dict(weights), strict=True)
    return notes


def _imported(factory: str) -> Callable[..., object]:
    """The function that `package.module:function` names; modules of the working folder count."""
    name = f"{argument('factory')} {factory}"
    module, _, function = factory.partition(":")
    if not re.fullmatch(r"[\w.]+:\w+", factory):
        raise UsageError(f"{argument('factory')} {factory!r} must be package.module:function.")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        build: object = getattr(importlib.import_module(module), function, None)
    except Exception as error:
        # the user's code may raise anything
        raise UsageError(f"{name}: cannot import {module}: {short(error)}") from error
    finally:
        sys.path.remove(here)
    if not callable(build):
        raise UsageError(f"{name}: {module} has no function {function!r}.")
    return build
