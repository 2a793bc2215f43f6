"""CUDA devices that compute nothing: tensors have shapes, types and devices, but no values.

torch's `FakeTensorMode` makes such tensors, `device.cpp` answers what torch's C++ asks about their device,
and `present` what Python asks. Then training runs as on a GPU, but for the numbers:

- an operation on tensors of two devices is an error;
- `Watch` notes whatever makes the host wait for the GPU, what is uploaded, and what the host computes.
"""

import contextlib
import functools
import linecache
import sys
import traceback
from collections import Counter
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from disbench.benchmark.training import kernels
from disbench.benchmark.training.kernels import Kernels

ROOT = Path(__file__).resolve().parents[4]
CUDA = torch.device("cuda")
NOT_WATCHED = {Path(__file__), Path(kernels.__file__)}

# Real kernels of these, which fake ones stand for, refuse tensors of two types among their first arguments.
OF_ONE_TYPE = {
    "aten::mm": 2,
    "aten::addmm": 3,
    "aten::bmm": 2,
    "aten::baddbmm": 3,
    "aten::mv": 2,
    "aten::addmv": 3,
    "aten::dot": 2,
    "aten::convolution": 3,
    "aten::convolution_backward": 3,
    # not the weight and the statistics
    "aten::native_batch_norm_backward": 2,
}
COPIES = {"aten::_to_copy", "aten::copy_"}
WAITING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
# With a mask in place of row numbers they count first how many elements it has.
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class FakeTensors(FakeTensorMode):
    """Tensors of any device without values."""

    # torch.cuda.is_available() says that there is a device to be initialised
    avoid_device_init = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if generator := kwargs.get("generator"):
            # a real kernel wants one of its own device; here no number is drawn
            device = tensors(args)[0].device if tensors(args) else torch.device(kwargs.get("device") or "cpu")
            if generator.device.type != device.type:
                raise RuntimeError(f"a generator of {generator.device} was given for numbers on {device}")
            kwargs["generator"] = None
        in_pinned_memory = kwargs.pop("pin_memory", None)
        try:
            result = super().__torch_dispatch__(func, types, args, kwargs)
        except DataDependentOutputException:
            if func._schema.name != "aten::_local_scalar_dense":
                raise
            # the program goes on, so that what else is wrong is seen too
            return nought(args[0].dtype)
        if in_pinned_memory:
            result.in_pinned_memory = True
        return result

    def __deepcopy__(self, memo):
        """A copy of a module is no reason for another mode; torch's would free the same memory twice."""
        return self


class Stream:
    """A stream, for which nothing ever waits: a real one would compute in the order of the program."""

    def __init__(self, *_, **__):
        pass

    def wait_stream(self, other):
        pass

    def synchronize(self):
        note_wait("Stream.synchronize")


class Graph:
    """A recorded graph; to replay it is nothing, since no tensor has a value.

    Attributes:
        seen: the `Watch` of what was recorded.
    """

    def register_generator_state(self, generator):
        assert generator.device.type == "cuda"

    def replay(self):
        assert self.seen


class Capture:
    """`torch.cuda.graph`: the work within it is done once, and watched."""

    def __init__(self, graph, **_):
        self.graph = graph

    def __enter__(self):
        self.graph.seen = Watch()
        self.graph.seen.__enter__()
        CAPTURED.append(self.graph.seen)

    def __exit__(self, *error):
        self.graph.seen.__exit__(*error)


@contextlib.contextmanager
def present():
    """In this context there is a CUDA device, and new tensors are fake."""
    stream = Stream()
    answers = {
        "_lazy_init": lambda: None,
        "is_initialized": lambda: True,
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "get_device_name": lambda *_: "a fake GPU",
        "synchronize": lambda *_: note_wait("torch.cuda.synchronize"),
        "empty_cache": lambda: None,
        "Stream": Stream,
        "current_stream": lambda *_: stream,
        "stream": lambda *_: contextlib.nullcontext(),
        "CUDAGraph": Graph,
        "graph": Capture,
        "is_current_stream_capturing": lambda: False,
    }
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        amp = torch.cuda.amp.common
        stack.enter_context(mock.patch.object(amp, "amp_definitely_not_available", return_value=False))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", pinned))
        optimizers = sys.modules[torch.optim.Optimizer.__module__]
        kinds = [*optimizers._foreach_supported_types, FakeTensor]
        # as for real parameters, the default on a GPU is one operation for many
        stack.enter_context(mock.patch.object(optimizers, "_foreach_supported_types", kinds))
        stack.enter_context(mock.patch.object(nn.Module, "_apply", converted))
        # else half of the kernels come from a thread of the device, whose calls show no line of ours
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        # data sets bring real tensors
        stack.enter_context(FakeTensors(allow_non_fake_inputs=True))
        yield


def pinned(tensor, *_):
    """A copy in pinned memory."""
    copy = tensor.clone()
    copy.in_pinned_memory = True
    return copy


def converted(module, convert, recurse=True):
    """What `Module.to` does, with new parameters in place of the old ones, which fake tensors demand."""
    for part in module.modules() if recurse else [module]:
        for name, parameter in part._parameters.items():
            if parameter is not None:
                changed = convert(parameter.detach())
                part._parameters[name] = nn.Parameter(changed, parameter.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else convert(buffer)
    return module


# the watches that are open, and those of all recordings
WATCHES, CAPTURED = [], []


def note_wait(what):
    """Tells the innermost `Watch` of a wait that no operation on tensors shows."""
    if WATCHES:
        WATCHES[-1].waits[f"{what}, {place()}"] += 1


class Watch(Kernels):
    """Counts kernels, and what would cost time on a GPU or fail there, each as "operation, place".

    Attributes:
        waits: what makes the host wait for the device: numbers read back, shapes that depend on values,
            copies to the host, uploads that are not from pinned memory or not asynchronous.
        uploads: all other uploads.
        host: operations on tensors of the host, those that stand for a number in a kernel included.
        mixed: products of numbers of two types.
        products: the types of the numbers of all products.
    """

    def __init__(self):
        super().__init__(CUDA)
        self.waits, self.uploads, self.host, self.mixed, self.products = (Counter() for _ in range(5))

    def __enter__(self):
        WATCHES.append(self)
        return super().__enter__()

    def __exit__(self, *error):
        WATCHES.pop()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func._schema.name
        given = tensors((args, kwargs))
        if depends_on_values(func, args) and any(tensor.is_cuda for tensor in given):
            self.waits[f"{name}, {place()}"] += 1
        if name in OF_ONE_TYPE:
            alike = {tensor.dtype for tensor in tensors(args[: OF_ONE_TYPE[name]])}
            self.products.update(map(str, alike))
            if len(alike) > 1:
                self.mixed[f"{name} of {' and '.join(sorted(map(str, alike)))}, {place()}"] += 1
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if name in COPIES:
            source, target = (args[1], args[0]) if name == "aten::copy_" else (args[0], result)
            if not isinstance(source, torch.Tensor):
                # vmap makes a tensor of a number in the program
                result.is_number = True
                return result
            self.note_copy(name, source, target, kwargs.get("non_blocking", len(args) > 2 and args[2]))
        if func.namespace == "aten" and any(is_on_host(tensor) for tensor in given + tensors(result)):
            self.host[f"{name}, {place()}"] += 1
        return result

    def note_copy(self, name, source, target, asynchronous):
        way = source.device.type, target.device.type
        if way == ("cuda", "cpu"):
            self.waits[f"{name} to the host, {place()}"] += 1
        elif way == ("cpu", "cuda"):
            pageable = not getattr(source, "in_pinned_memory", False)
            if pageable or not asynchronous:
                kind = "pageable memory" if pageable else "pinned memory that is waited for"
                self.waits[f"{name} from {kind}, {place()}"] += 1
            else:
                self.uploads[f"{source.dtype} {tuple(source.shape)}, {place()}"] += 1


def tensors(value):
    """The tensors within lists, tuples and values of dictionaries."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def is_on_host(tensor):
    return tensor.device.type == "cpu" and not getattr(tensor, "is_number", False)


def nought(dtype):
    """0 as the Python number that a tensor of this type would give."""
    return False if dtype == torch.bool else 0.0 if dtype.is_floating_point else 0


def depends_on_values(func, args):
    """Whether an operation's result has a number or a shape that only the values tell."""
    if func._schema.name in INDEXING:
        return any(index.dtype in (torch.bool, torch.uint8) for index in tensors(args[1]))
    return not WAITING.isdisjoint(func.tags)


def place():
    """The innermost call of the project's own code: "file:line in function: code"."""
    frame = sys._getframe(1)
    while frame and not is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    if not frame:
        return "somewhere"
    code = frame.f_code
    return written(code.co_filename, frame.f_lineno, code.co_name)


@functools.cache
def is_ours(file):
    path = Path(file)
    return ROOT in path.parents and path not in NOT_WATCHED and "site-packages" not in path.parts


def written(file, number, function):
    return f"{Path(file).name}:{number} in {function}: {linecache.getline(file, number).strip()}"


def place_of(error):
    """Likewise for where an error was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_ours(frame.filename)]
    return written(frames[-1].filename, frames[-1].lineno, frames[-1].name) if frames else "somewhere"
