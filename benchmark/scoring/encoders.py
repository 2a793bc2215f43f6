"""Encoders that someone trained, as functions of images: exported networks and state dicts.

How an encoder wants its images and which of its outputs is the code is read from the file where it says so,
found by trying where that cannot mislead, and assumed otherwise; `Encoder.assumed` says which, in sentences
for the user.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from disbench.benchmark.scoring import pt2, torchscript
from disbench.benchmark.scoring.files import members
from disbench.errors import UsageError
from disbench.files import short
from disbench.models.checkpoint import load_tensors

WRAPPED = ("state_dict", "model_state_dict", "model", "weights")  # where training scripts put a state dict


@dataclass(frozen=True)
class Network:
    """A network as a function of an image tensor in its own layout.

    Attributes:
        shape: the input's sizes, batch first, None where free; None where the file does not say.
        dtype: the input's type where the file says.
    """

    path: Path
    run: Callable[[Tensor], Any]
    shape: tuple[int | None, ...] | None = None
    dtype: torch.dtype | None = None
    assumed: tuple[str, ...] = ()


def scripted(path: Path) -> Network:
    """A TorchScript module, checked and loaded by `torchscript`."""
    return Network(path, torchscript.load(path))


def exported(path: Path) -> Network:
    """A program of `torch.export`, run by `pt2` from its graph."""
    program = pt2.load(path)
    return Network(path, program, program.shape, program.dtype)


def onnx(path: Path) -> Network:
    from disbench.benchmark.scoring.onnx import Model

    model = Model(path)
    return Network(path, model, model.shape, model.dtype)


def state_dict(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights in a file, by name, and what was assumed.

    Raises:
        UsageError: unreadable, hostile, or no weights in it.
    """
    if zipfile.is_zipfile(path):
        members(path, "a torch file")  # compares the checksums, which torch does not
    found, assumed = load_tensors(path), []
    if isinstance(found, Mapping) and not _is_weights(found):
        inside = [key for key in WRAPPED if _is_weights(found.get(key))]
        if len(inside) == 1:
            found = found[inside[0]]
            assumed.append(f"the weights are its entry {inside[0]!r}")
    if not _is_weights(found):
        held = _held(found)
        raise UsageError(
            f"{path} is not a disbench checkpoint or a state dict but {held}; write "
            "torch.save(model.state_dict(), path)."
        )
    if all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
        assumed.append("'module.' before all names is DataParallel's and was left out")
    return dict(found), tuple(assumed)


def _held(found: Any) -> str:
    """What a torch file holds instead of weights, in words."""
    if isinstance(found, Mapping):
        return f"a dict of {short(sorted(map(str, found)))}" if found else "an empty dict"
    return f"a {type(found).__name__}"


def _is_weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def from_factory(path: Path, factory: str, shape: tuple[int, int, int]) -> Network:
    """A state dict loaded into the module that the user's own function makes.

    Args:
        factory: `package.module:function`; it is called with the images' shape (c, h, w) if it takes an
            argument, and returns an `nn.Module`. Its `encode` is used where it has one, else its `forward`.

    Raises:
        UsageError: no such function, it fails, or its weights are not those of the file.
    """
    weights, assumed = state_dict(path)
    make = _imported(factory)
    try:
        module = make(shape) if inspect.signature(make).parameters else make()
    except Exception as error:  # the user's code may raise anything
        raise UsageError(f"--factory {factory} failed: {type(error).__name__}: {short(error)}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"--factory {factory} returned a {type(module).__name__}; return an nn.Module.")
    load_strictly(module, weights, path, f"--factory {factory}")
    module.eval()
    encode = getattr(module, "encode", None)
    called = encode if callable(encode) else module
    told = f"called its {'encode' if called is encode else 'forward'}"
    return Network(path, called, assumed=(*assumed, told))


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], path: Path, of: str) -> None:
    """Every weight of the module from the file and no other; `of` is what made the module, in words.

    Raises:
        UsageError: names or shapes differ; says which.
    """
    known = module.state_dict()
    lacking = [name for name in known if name not in weights]
    foreign = [name for name in weights if name not in known]
    wrong = [n for n in known if n in weights and known[n].shape != weights[n].shape]
    told = [
        f"{what} {short(names, 120)}"
        for what, names in (("it lacks", lacking), ("unknown are", foreign), ("of another shape are", wrong))
        if names
    ]
    if told:
        raise UsageError(f"the weights in {path} are not those of {of}: {'; '.join(told)}; all must fit.")
    module.load_state_dict(dict(weights), strict=True)


def _imported(factory: str) -> Callable[..., Any]:
    """The function that `package.module:function` names; modules of the working folder count."""
    module, _, name = factory.partition(":")
    if not re.fullmatch(r"[\w.]+:\w+", factory):
        raise UsageError(f"--factory {factory!r} must be package.module:function.")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # the user's code may raise anything
        raise UsageError(f"--factory {factory}: cannot import {module}: {short(error)}") from error
    finally:
        sys.path.remove(here)
    if not callable(found):
        raise UsageError(f"--factory {factory}: {module} has no function {name!r}.")
    made: Callable[..., Any] = found
    return made
