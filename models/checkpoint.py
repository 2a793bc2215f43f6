"""`checkpoint.pt`: a trained method as tensors and plain values. Nothing in the file can run code.

Read with `torch.load(weights_only=True)`, which refuses every pickled object that is not a tensor or a plain
value, and loaded into the method with every weight accounted for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from disbench import plugins
from disbench.arguments import typed
from disbench.errors import UsageError
from disbench.files import write_bytes
from disbench.models import registry
from disbench.models.method import DataInfo, Method
from disbench.ranges import LARGEST_SIDE

FORMAT = 1
KIND = "disbench checkpoint"
LIMIT = 2**31  # bytes that a file may unpack to; a hundred times the largest model here
MOST_ENTRIES = 10**5  # of lists and dicts in a file


class PickledError(UsageError):
    """A file holds pickled objects other than tensors and plain values, or is damaged."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        method: its name.
        config: its settings, field to value.
        shape: (channels, height, width) of one image.
        n: number of images that it was trained on.
        class_prior: share of each class, where the data are labelled.
        dataset: name, size and sha256 of the data it was trained on.
        protocol: name of the protocol under which it was trained.
        variant: name of the method's variant, or "".
        seed: of weights, noise and order of the data.
        step: number of steps taken.
        weights: the method's `state_dict()`, buffers included.
        plugin: the plug-in that the method comes from, with a SHA-256, or "".
    """

    method: str
    config: Mapping[str, object]
    shape: tuple[int, int, int]
    n: int
    class_prior: tuple[float, ...] | None
    dataset: Mapping[str, Any]
    protocol: str
    variant: str
    seed: int
    step: int
    weights: Mapping[str, Tensor]
    plugin: str = ""

    def build(self, device: str | torch.device = "cpu") -> Method:
        """The method with these weights, in evaluation mode.

        Raises:
            UsageError: the method is not there, or differs from the one that was saved.
        """
        if self.plugin and self.method not in registry.names():
            raise plugins.absent("methods", self.method, self.plugin)
        config = registry.restored(self.method, self.config)
        data = DataInfo(self.shape, self.n, self.class_prior)
        try:
            method = registry.build(self.method, config, data, seed=0)
            method.load_state_dict(dict(self.weights), strict=True)
        except UsageError:
            raise
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"the checkpoint's weights do not fit {self.method} as its settings build it: {reason}"
            ) from None
        method.to(device).eval()
        return method


@typed
def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    values = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(checkpoint)}
    if not checkpoint.plugin:
        del values["plugin"]
    values["config"], values["dataset"] = dict(checkpoint.config), dict(checkpoint.dataset)
    values["weights"] = {name: tensor.detach().cpu() for name, tensor in checkpoint.weights.items()}
    save_tensors({"kind": KIND, "format": FORMAT, "digest": digest(values), **values}, Path(path))


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of all entries of a checkpoint: torch's reader does not notice a flipped bit, this does."""
    sha256 = hashlib.sha256(repr([(k, v) for k, v in sorted(values.items()) if k != "weights"]).encode())
    for name, tensor in values["weights"].items():
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()


def save_tensors(values: Mapping[str, object], path: Path) -> None:
    """`torch.save` that leaves a whole file or none; a full disk is an OSError, as for any other file."""
    # torch's own writer reports a full disk as some RuntimeError
    whole = io.BytesIO()
    torch.save(values, whole)
    write_bytes(path, whole.getbuffer())


def load_tensors(path: Path) -> Any:
    """Tensors and plain values of a file.

    Raises:
        UsageError: no such file, not a torch file, a damaged one, one that unpacks to more than `LIMIT`
        bytes, or one that holds objects that could run code.
    """
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                _check_size(path, sum(entry.file_size for entry in zipfile.ZipFile(file).infolist()))
            file.seek(0)
            with warnings.catch_warnings():
                # about a pickle's version: it is read or refused
                warnings.simplefilter("ignore")
                values = torch.load(file, map_location="cpu", weights_only=True)
    except UsageError:
        raise
    except pickle.UnpicklingError:
        raise PickledError(
            f"{path} holds pickled objects that could run code, or is no torch file, and was not loaded; "
            "save `model.state_dict()`, or the model with torch.export.save or torch.jit.save, or its codes "
            "as npz."
        ) from None
    except Exception as error:
        # torch's reader may raise anything for a damaged file
        if isinstance(error, OSError) and error.strerror:
            raise UsageError(f"cannot read {path}: {error.strerror}.") from None
        raise UsageError(
            f"{path} is not a torch file or is damaged (cut short?); get a whole copy of it."
        ) from None
    check_tensors(path, values)
    return values


def check_tensors(path: Path, values: object) -> None:
    """Refuses contents that are small in a file and huge in memory: expanded tensors, lists in one another.

    Raises:
        UsageError: more than `LIMIT` bytes of tensors or `MOST_ENTRIES` entries, or a tensor that is no plain
        array.
    """
    left, size, entries = [values], 0, 0
    while left:
        value = left.pop()
        entries += 1
        if isinstance(value, Tensor):
            plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_nested
            if not plain or value.is_quantized or value.is_conj() or value.is_neg():
                raise UsageError(f"{path} holds a tensor that is no plain array; save dense tensors.")
            size += value.numel() * value.element_size()
            _check_size(path, size)
        elif isinstance(value, Mapping):
            left.extend([*value.keys(), *value.values()])
        elif isinstance(value, list | tuple | set | frozenset):
            left.extend(value)
        if entries + len(left) > MOST_ENTRIES:
            raise UsageError(
                f"{path} holds more than {MOST_ENTRIES:,} entries, as no model does; is it the right file?"
            )


def _check_size(path: Path, size: int) -> None:
    if size > LIMIT:
        raise UsageError(f"{path} unpacks to {size:,} bytes or more, and up to {LIMIT:,} are read.")


@typed
def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        UsageError: unreadable, damaged, hostile, of another program or of a newer format.
    """
    values = load_tensors(Path(path))
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise UsageError(
            f"{path} is not a disbench checkpoint; `disbench run` writes one per seed as checkpoint.pt."
        )
    if values.get("format") != FORMAT:
        raise UsageError(
            f"{path} has checkpoint format {values.get('format')!r}, this disbench reads {FORMAT}; "
            "use the version that wrote it."
        )
    fields = {f.name for f in dataclasses.fields(Checkpoint)}
    missing = sorted(fields - {"plugin"} - set(values))
    if missing:
        raise UsageError(f"{path} lacks {', '.join(missing)}; it is damaged: get a whole copy of it.")
    entries = {name: values[name] for name in fields & set(values)}
    well_formed = (
        isinstance(entries["method"], str)
        and isinstance(entries["protocol"], str)
        and isinstance(entries["variant"], str)
        and isinstance(entries.get("plugin", ""), str)
        and isinstance(entries["config"], dict)
        and isinstance(entries["dataset"], dict)
        and isinstance(entries["seed"], int)
        and isinstance(entries["step"], int)
        and isinstance(entries["n"], int)
        and isinstance(entries["class_prior"], tuple | list | None)
        and isinstance(entries["weights"], dict)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in entries["weights"].items())
        and isinstance(entries["shape"], tuple | list)
        and len(entries["shape"]) == 3
        and all(isinstance(s, int) and 0 < s <= LARGEST_SIDE for s in entries["shape"])
    )
    if not well_formed:
        raise UsageError(
            f"{path} is not a well-formed disbench checkpoint: its entries have the wrong types."
        )
    if values.get("digest") != digest(entries):
        raise UsageError(f"{path} is damaged: its contents do not match its digest; get a whole copy of it.")
    entries["shape"] = tuple(entries["shape"])
    return Checkpoint(**entries)
