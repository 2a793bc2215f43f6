"""Runs an ONNX model with onnxruntime, an extra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disbench.errors import UsageError
from disbench.files import reading
from disbench.texts import short

# Which fields of the messages of onnx.proto lead to tensors, by field number. A tensor with field 13, or with
# field 14 of 1, lies in another file.
LEADS_TO = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
TYPES: dict[str, tuple[type[np.generic], torch.dtype]] = {
    "tensor(float)": (np.float32, torch.float32),
    "tensor(double)": (np.float64, torch.float64),
    "tensor(float16)": (np.float16, torch.float16),
    "tensor(uint8)": (np.uint8, torch.uint8),
}


class Model:
    """An ONNX model as a function of one image tensor.

    Args:
        path: of the file.

    Attributes:
        name: of the input.
        type: of the input, for numpy.
        dtype: of the input, for torch.
        shape: the input's sizes, None where free.
        returned: names of the outputs.

    Raises:
        UsageError: onnxruntime is not installed, or the file is damaged, has weights in other files, or takes
            anything but one tensor of images.
    """

    name: str
    type: type[np.generic]
    dtype: torch.dtype
    shape: tuple[int | None, ...]
    returned: list[str]

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UsageError(
                f"{path} is an ONNX model, which needs onnxruntime: pip install 'disbench[onnx]'."
            ) from None
        with reading(path, "ONNX"):
            content = path.read_bytes()
            if any(_external(memoryview(content), "model", 0)):
                raise UsageError(
                    f"{path} keeps weights in other files, which are not read; export it with "
                    "external_data=False."
                )
            options = onnxruntime.SessionOptions()
            # an error is raised; it would also be printed
            options.log_severity_level = 4
            # the last digits depend on the number of threads
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise UsageError(
                f"{path} takes {len(inputs)} inputs; export an encoder that takes one tensor of images."
            )
        if inputs[0].type not in TYPES:
            raise UsageError(
                f"{path} takes {short(inputs[0].type)}; export an encoder that takes float32 images."
            )
        self.name = inputs[0].name
        self.type, self.dtype = TYPES[inputs[0].type]
        self.shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self.returned = [output.name for output in self.session.get_outputs()]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.session.run(None, {self.name: images.numpy().astype(self.type, copy=False)})
        return {
            name: torch.from_numpy(np.asarray(output))
            for name, output in zip(self.returned, outputs, strict=True)
        }


def _external(message: memoryview, kind: str, depth: int) -> Iterator[bool]:
    """Whether each tensor below a protobuf message lies in another file."""
    if depth > 40:
        raise ValueError("nested too deeply")
    for number, value in _fields(message):
        inner = LEADS_TO[kind].get(number)
        if kind == "tensor" and (number == 13 or (number == 14 and value == 1)):
            yield True
        elif inner is not None:
            if not isinstance(value, memoryview):
                raise ValueError(f"field {number} of a {kind}")
            yield from _external(value, inner, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a protobuf message: an int, or the bytes of what has a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        size = {1: 8, 5: 4}.get(tag & 7)
        if tag & 7 == 2:
            size, at = _varint(message, at)
        if size is None or at + size > len(message):
            raise ValueError(f"a field of wire type {tag & 7} that does not fit")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")
