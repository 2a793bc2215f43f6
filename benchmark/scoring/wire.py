"""Messages between disbench and the process that runs a stranger's encoder: JSON, and bytes behind it.

Neither side unpickles anything of the other. Whoever runs a stranger's program may send anything, so the
sizes that a message declares are compared with limits before there is room for them.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LENGTH = struct.Struct(">I")  # of the JSON, before it
MOST_JSON = 2**20  # bytes
MOST_BYTES = 2**31  # behind it
DTYPES: Mapping[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
    )
}


class MessageError(Exception):
    """A message of another form than these functions write."""


def send(channel: socket.socket, head: Mapping[str, object], tensors: Sequence[Tensor] = ()) -> None:
    """Sends plain values and tensors.

    Args:
        channel: the connection.
        head: what JSON can hold.
        tensors: of a type in `DTYPES`, on the CPU.
    """
    described = [{"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)} for t in tensors]
    text = json.dumps({"head": dict(head), "tensors": described}).encode()
    channel.sendall(LENGTH.pack(len(text)) + text)
    for tensor in tensors:
        if tensor.numel():
            numbers: NDArray[np.uint8] = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
            channel.sendall(numbers.data)


@dataclass
class Room:
    """Memory for the first tensor of each message; new memory for each costs more than the message."""

    content: bytearray = field(default_factory=bytearray)

    def of(self, size: int) -> bytearray:
        """At least so many bytes; a tensor that is still there keeps the old ones."""
        if len(self.content) < size:
            self.content = bytearray(size)
        return self.content


def receive(channel: socket.socket, room: Room | None = None) -> tuple[Mapping[str, Any], list[Tensor]]:
    """The plain values and the tensors of the next message.

    Args:
        channel: the connection.
        room: where the first tensor is put; the next message with the same room overwrites it.

    Raises:
        EOFError: the other side is gone.
        MessageError: it is not of the form that `send` writes, or larger than the limits.
        TimeoutError: it does not come within the time that the channel allows.
    """
    (length,) = LENGTH.unpack(_bytes(channel, LENGTH.size))
    if length > MOST_JSON:
        raise MessageError(f"{length} bytes of JSON")
    try:
        whole = json.loads(_bytes(channel, length))
        head, described = whole["head"], whole["tensors"]
        forms = [(DTYPES[each["dtype"]], [_size(size) for size in each["shape"]]) for each in described]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MessageError(str(error)) from None
    sizes = [math.prod(shape) * dtype.itemsize for dtype, shape in forms]
    if not isinstance(head, dict) or sum(sizes) > MOST_BYTES:
        raise MessageError(f"{sum(sizes)} bytes of tensors")
    tensors: list[Tensor] = []
    for (dtype, shape), size in zip(forms, sizes, strict=True):
        content = bytearray(size) if room is None or tensors else room.of(size)
        _fill(channel, memoryview(content)[:size])
        count = math.prod(shape)
        flat = torch.frombuffer(content, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
        tensors.append(flat.reshape(shape))
    return head, tensors


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_BYTES:
        return value
    raise MessageError(f"the size {value!r}")


def _bytes(channel: socket.socket, count: int) -> bytearray:
    content = bytearray(count)
    _fill(channel, memoryview(content))
    return content


def _fill(channel: socket.socket, left: memoryview) -> None:
    while left:
        received = channel.recv_into(left)
        if not received:
            raise EOFError
        left = left[received:]
