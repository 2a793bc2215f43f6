"""Reads a TorchScript module after checks that torch's own reader does not make.

That reader knows TorchScript's types alone, so nothing of Python runs. But it believes what the pickles
in the file say of their tensors, and the code may call any operator. So here, before it sees the file: every
checksum, every tensor against the bytes that there are for it, and every operator that the code names
(`pt2.REFUSED`). The archive that torch reads is written anew from the checked members. This keeps
damaged files out, and files and Python out of reach; it is not a sandbox for the operators themselves.
"""

from __future__ import annotations

import ast
import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from disbench.benchmark.scoring import pt2
from disbench.benchmark.scoring.files import members
from disbench.errors import UsageError
from disbench.files import reading
from disbench.texts import short

LIBRARIES = ("aten", "prim", "quantized")  # of operators
# bytes of one number
STORED = {
    "FloatStorage": 4,
    "DoubleStorage": 8,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}


def load(path: Path) -> Callable[[Tensor], object]:
    """The module in a file, in evaluation mode.

    Raises:
        UsageError: damaged, or with operators that are not run.
    """
    parts = members(path, "TorchScript")
    inner = {name.partition("/")[2]: content for name, content in parts.items()}
    with reading(path, "TorchScript"):
        for name, content in inner.items():
            if name.startswith("code/") and name.endswith(".py"):
                _check_code(path, content.decode())
        for name in ("data", "constants"):
            _Looker(inner[f"{name}.pkl"], name, inner).load()
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as archive:
            for name, content in inner.items():
                if not name.endswith(".debug_pkl"):
                    archive.writestr(f"archive/{name}", content)
        whole.seek(0)
        with warnings.catch_warnings():
            # torch.export is to follow it, but files remain
            warnings.simplefilter("ignore", DeprecationWarning)
            module: torch.nn.Module = torch.jit.load(whole, map_location="cpu")  # type: ignore[no-untyped-call]
            return module.eval()


def _check_code(path: Path, source: str) -> None:
    """Refuses TorchScript code that reaches for an operator on files, or for one that is not torch's own.

    Operators are `torch.<name>`, `ops.<library>.<name>` or methods; `getattr` names submodules such as "0".
    """
    allowed: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):
        name: object = None
        if isinstance(node, ast.Attribute):
            name = node.attr
            if isinstance(node.value, ast.Name) and node.value.id == "ops":
                name = None if name in LIBRARIES else f"ops.{name}"
                allowed.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            literal = node.args[1] if len(node.args) == 2 else None
            name = literal.value if isinstance(literal, ast.Constant) else "ops.getattr"
            allowed.add(node.func)
        elif isinstance(node, ast.Name) and node.id in ("ops", "getattr") and node not in allowed:
            name = f"ops.{node.id}"
        if name and (str(name).startswith("ops.") or pt2.REFUSED.fullmatch(str(name))):
            raise UsageError(
                f"{path} uses {short(name)!r}, which is not allowed in a file from outside; export an "
                "encoder of plain tensor operators, or score its codes."
            )


class _Inert:
    """Stands for every object in a pickle; does nothing."""

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass


class _Looker(pickle._Unpickler):
    """Walks a pickle without making anything of it, and compares its tensors with the stored bytes."""

    def __init__(self, content: bytes, folder: str, inner: Mapping[str, bytes]) -> None:
        for operation, argument, _ in pickletools.genops(content):
            # torch would make room for all entries before it
            if operation.name.endswith("PUT") and int(str(argument)) > len(content):
                raise ValueError("an entry beyond the end")
        super().__init__(io.BytesIO(content))
        self.folder, self.inner = folder, inner

    def find_class(self, module: str, name: str) -> object:
        """What the pickle gets for a class or function: nothing of its own."""
        if name in STORED:
            return name
        if name == "_rebuild_tensor_v2":
            return _check_tensor
        if "rebuild" in name or name.endswith("Storage"):
            raise ValueError(f"a tensor by {short(name, 40)}")
        return _Inert

    def persistent_load(self, pid: object) -> int:
        """How many numbers the storage holds of which the pickle speaks."""
        match pid:
            case ("storage", str(numbers), str(key), _, int(count)):
                stored = len(self.inner[f"{self.folder}/{key}"])
                if 0 <= count * STORED[numbers] <= stored:
                    return count
                raise ValueError(f"a tensor of {count} numbers in {stored} bytes")
        raise ValueError("a storage of another form")


def _check_tensor(
    numbers: int, offset: int, sizes: Sequence[int], strides: Sequence[int], *others: object
) -> None:
    """Raises ValueError for a tensor that reaches outside its storage of so many numbers."""
    if len(sizes) != len(strides) or min((offset, *sizes, *strides)) < 0:
        raise ValueError("a tensor of negative size")
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if 0 not in sizes and last >= numbers:
        raise ValueError(f"a tensor that reaches to number {last} of {numbers}")
