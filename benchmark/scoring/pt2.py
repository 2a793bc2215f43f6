"""Runs a `torch.export` program (`.pt2`) from its graph alone.

`torch.export.load` unpickles and evaluates strings of the file, so a stranger's file could run any code. The
format needs none of that: it is a JSON graph of operator calls with tensors beside it. Here the graph is read
as data and each call looked up among the operators of torch that are allowed, see `operators`; weights are
raw bytes, or pickles that `weights_only` reads. A value stands only where the operator declares one of its
kind: torch itself would take a number for a type, or nothing for a tensor, and end the process.

Layouts, all as `torch.export.save` writes them: a JSON file and two `.pt` files (torch 2.6, 2.7), the same in
an archive with folders (2.8), weights as raw bytes with a JSON index (later ones).
"""

from __future__ import annotations

import io
import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from disbench.benchmark.scoring import guards, operators
from disbench.benchmark.scoring.files import members
from disbench.errors import UsageError
from disbench.files import reading
from disbench.models.checkpoint import check_tensors
from disbench.texts import short

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Arithmetic on sizes, which an export with a free batch size leaves in the graph.
_ARITHMETIC = (
    *("add", "sub", "mul", "floordiv", "mod", "truediv", "neg", "pos"),
    *("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "getitem"),
)
ON_SIZES: Mapping[str, Callable[..., object]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in _ARITHMETIC},
    "math.ceil": math.ceil,
    "math.floor": math.floor,
    "math.trunc": math.trunc,
    "torch.sym_float": float,
    "torch.sym_int": int,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_not": operator.not_,
}
# Wrappers around a subgraph, and how many arguments stand before it. This one switches gradients, off here.
WRAPPERS = {"wrap_with_set_grad_enabled": 1}
# Numbers of the format.
DTYPES: Mapping[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
# What stands for an argument that the operator declares as one of these.
KINDS: Mapping[str, type] = {
    "ScalarType": torch.dtype,
    "Layout": torch.layout,
    "MemoryFormat": torch.memory_format,
    "Device": torch.device,
    "str": str,
}
TENSORS = ("Tensor", "List[Tensor]")
MEMORY = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}


class MalformedError(Exception):
    """The file is not as the format prescribes; turned into the sentence for a damaged file."""


# --- Reading JSON without trusting its form ---


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else _refuse(f"{short(value, 40)} for a table of names")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else _refuse(f"{short(value, 40)} for a list")


def _text(value: object) -> str:
    return value if isinstance(value, str) else _refuse(f"{short(value, 40)} for a text")


def _int(value: object) -> int:
    return value if isinstance(value, int) else _refuse(f"{short(value, 40)} for a whole number")


def _float(value: object) -> float:
    """A number; infinities may be written as words."""
    return (
        float(value) if isinstance(value, int | float | str) else _refuse(f"{short(value, 40)} for a number")
    )


def _only(value: object) -> tuple[str, object]:
    """Name and value of a table with one entry, the format's way to say of which kind a value is."""
    (entry,) = _dict(value).items()
    return entry


def _plain(value: object) -> object:
    """A number, a text, a truth value, or a list of these."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | str) else _refuse(f"the value {value!r}")


def _refuse(what: str) -> NoReturn:
    raise MalformedError(what)


# --- The graph ---


@dataclass(frozen=True)
class Ref:
    """An argument that is the value of that name."""

    name: str


def _ref(value: object) -> object:
    """`{"name": ...}` of a tensor; `{"as_name": ...}` of a size, or `{"as_int": ...}` itself."""
    entries = _dict(value)
    if "name" in entries or "as_name" in entries:
        return Ref(_text(entries.get("name", entries.get("as_name"))))
    _, constant = _only(entries)
    return _plain(constant)


def _name(value: object) -> str:
    """The name that an input has in the graph."""
    ref = _ref(value)
    return ref.name if isinstance(ref, Ref) else _refuse("an input without a name")


@dataclass(frozen=True)
class Call:
    """One node: `function(*arguments, **named)`, its values stored under `outputs`.

    Attributes:
        function: a tensor operator, arithmetic on sizes, or a subgraph.
        arguments: constants, `Ref`s, and lists of both.
        named: the same, for arguments that are passed by name.
        outputs: a `Ref` or a list of them for each value; None for a value that nobody uses.
        tensors: positions and names of the arguments that must be tensors or lists of some.
    """

    function: Callable[..., object]
    arguments: tuple[object, ...]
    named: Mapping[str, object]
    outputs: tuple[object, ...]
    tensors: tuple[int | str, ...] = ()


class Graph:
    """A list of calls, and what comes out.

    Args:
        path: of the file, for errors.
        graph: the format's JSON.

    Attributes:
        names: of the operators that are called, those of subgraphs included.

    Raises:
        UsageError: an operator that is not run, or that this version of torch does not have.
        MalformedError: the JSON is not as the format prescribes.
    """

    names: set[str]

    def __init__(self, path: Path, graph: object) -> None:
        self.path = path
        self.names = set()
        self.outputs = [self.read(argument) for argument in _list(_dict(graph)["outputs"])]
        self.calls = [self.call(node) for node in _list(_dict(graph)["nodes"])]

    def run(self, values: dict[str, object]) -> list[object]:
        """The outputs, from the values of the inputs by name."""
        for call in self.calls:
            arguments = [_fill(argument, values) for argument in call.arguments]
            named = {name: _fill(argument, values) for name, argument in call.named.items()}
            for place in call.tensors:
                _check_tensor(arguments[place] if isinstance(place, int) else named[place])
            _store(call.function(*arguments, **named), call.outputs, values)
        return [_fill(output, values) for output in self.outputs]

    def call(self, node: object) -> Call:
        """A node of the format as a call."""
        target, inputs = _text(_dict(node)["target"]), [_dict(each) for each in _list(_dict(node)["inputs"])]
        outputs = tuple(self.read(output) for output in _list(_dict(node)["outputs"]))
        wrapper = target.removeprefix("torch.ops.higher_order.")
        if wrapper in WRAPPERS:
            before = WRAPPERS[wrapper]
            wrapped = _dict(_dict(_dict(inputs[before]["arg"])["as_graph"])["graph"])
            inner = Graph(self.path, wrapped)
            self.names |= inner.names
            names = [_name(_only(argument)[1]) for argument in _list(wrapped["inputs"])]
            arguments = tuple(self.read(entry["arg"]) for entry in inputs[before + 1 :])

            def run(*given: object) -> list[object]:
                return inner.run(dict(zip(names, given, strict=True)))

            return Call(run, arguments, {}, outputs)
        unnamed = tuple(self.read(entry["arg"]) for entry in inputs if not entry["name"])
        named = {_text(entry["name"]): self.read(entry["arg"]) for entry in inputs if entry["name"]}
        if target in ON_SIZES:
            return Call(ON_SIZES[target], (*unnamed, *named.values()), {}, outputs)
        function = self.function(target)
        return Call(function, unnamed, named, outputs, _placed(function._schema, unnamed, named))

    def function(self, target: str) -> torch._ops.OpOverload:
        """The operator of that name, of those that may be called."""
        names = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target)
        if names is None or not operators.allowed(*names.groups()):
            raise operators.refusal(self.path, target)
        name, overload = names.groups()
        packet = getattr(torch.ops.aten, name, None)
        if packet is None or overload not in packet.overloads():
            raise UsageError(
                f"{self.path} uses the operator {short(target)!r}, which torch {torch.__version__} does not "
                "have; export it again with this version."
            )
        self.names.add(name)
        function: torch._ops.OpOverload = getattr(packet, overload)
        return function

    def read(self, argument: object) -> object:
        """An argument of the format as a value, with `Ref` for what is known only when the graph runs."""
        kind, value = _only(argument)
        match kind:
            case "as_none":
                return None
            case "as_tensor" | "as_sym_int" | "as_sym_float" | "as_sym_bool":
                return _ref(value)
            case "as_optional_tensor":
                return self.read(value)
            case "as_tensors" | "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
                return [_ref(each) for each in _list(value)]
            case "as_optional_tensors":
                return [self.read(each) for each in _list(value)]
            case "as_float" | "as_floats":
                return [_float(each) for each in value] if isinstance(value, list) else _float(value)
            case "as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools" | "as_strings":
                return _plain(value)
            case "as_scalar_type":
                return DTYPES[_int(value)]
            case "as_memory_format":
                return MEMORY[_int(value)]
            case "as_layout":
                return torch.strided if value == 7 else _refuse(f"layout {value}")
            case "as_device":
                return torch.device("cpu")
        raise MalformedError(f"an argument of kind {kind!r}")


def _placed(
    schema: torch.FunctionSchema, unnamed: Sequence[object], named: Mapping[str, object]
) -> tuple[int | str, ...]:
    """Positions and names of the arguments that must be tensors.

    Raises:
        MalformedError: an argument that the operator does not have, or of another kind than it declares.
    """
    declared = [argument for argument in schema.arguments if not argument.kwarg_only]
    by_name = {argument.name: argument for argument in schema.arguments}
    if len(unnamed) > len(declared) or not set(named) <= set(by_name):
        _refuse(f"{len(unnamed)} arguments and {short(sorted(named), 40)} for {schema.name}")
    places: list[int | str] = [*range(len(unnamed)), *named]
    arguments = [*declared[: len(unnamed)], *(by_name[name] for name in named)]
    for argument, value in zip(arguments, (*unnamed, *named.values()), strict=True):
        kind = str(argument.real_type)
        inner = kind.removeprefix("Optional[").removesuffix("]") if kind.startswith("Optional[") else kind
        if value is None and kind not in (*TENSORS, f"Optional[{inner}]"):
            _refuse(f"nothing for {argument.name} of {schema.name}")
        wanted = KINDS.get(inner)
        if value is not None and (wanted is not None and not isinstance(value, wanted)):
            _refuse(f"{short(value, 40)} for {argument.name} of {schema.name}")
        if value is not None and inner == "Generator":
            _refuse(f"a generator for {schema.name}")
    name = schema.name.removeprefix("aten::")
    if name in guards.RECURRENT:
        names = [argument.name for argument in arguments]
        given = dict(zip(names, (*unnamed, *named.values()), strict=True))
        guards.check_recurrent(name, given["params"], given)
    kinds = [str(argument.real_type) for argument in arguments]
    return tuple(place for place, kind in zip(places, kinds, strict=True) if kind in TENSORS)


def _check_tensor(value: object) -> None:
    """Refuses nothing in place of a tensor: torch would end the process."""
    if value is None or (isinstance(value, list) and any(each is None for each in value)):
        raise MalformedError("nothing in place of a tensor")


def _fill(argument: object, values: Mapping[str, object]) -> object:
    """An argument with its references replaced by the values."""
    if isinstance(argument, Ref):
        return values[argument.name]
    return [_fill(each, values) for each in argument] if isinstance(argument, list) else argument


def _store(returned: object, outputs: Sequence[object], values: dict[str, object]) -> None:
    """Stores what a call returned: one value, a list of tensors, or several values."""
    if len(outputs) == 1 and isinstance(outputs[0], Ref):
        (one,) = returned if isinstance(returned, list | tuple) and len(returned) == 1 else (returned,)
        values[outputs[0].name] = one
    elif len(outputs) == 1 and isinstance(outputs[0], list):
        _store(returned, outputs[0], values)
    elif outputs:
        if not isinstance(returned, list | tuple):
            raise MalformedError(f"one value for {len(outputs)} outputs")
        for output, value in zip(outputs, returned, strict=True):
            if isinstance(output, Ref):
                values[output.name] = value


# --- The file ---


@dataclass(frozen=True)
class Program:
    """An exported program as a function of one image tensor.

    Attributes:
        graph: what is run.
        held: weights and constants by their name in the graph.
        image: name of the images in the graph.
        returned: numbers of the graph's outputs that the program returns.
        names: the keys of the dict that it returns; () where it returns no dict.
        shape: the input's sizes, None where free.
        dtype: the input's type.
    """

    graph: Graph
    held: Mapping[str, object]
    image: str
    returned: tuple[int, ...]
    names: tuple[str, ...]
    shape: tuple[int | None, ...]
    dtype: torch.dtype

    def __call__(self, images: Tensor) -> object:
        with guards.checked(self.graph.names):
            outputs = self.graph.run({**self.held, self.image: images})
        returned = [outputs[i] for i in self.returned]
        if self.names:
            return dict(zip(self.names, returned, strict=True))
        return returned[0] if len(returned) == 1 else tuple(returned)


def load(path: Path) -> Program:
    """The program in a file.

    Raises:
        UsageError: damaged, of an unknown layout, with other inputs than one tensor of images, or with
        operators that are not run.
    """
    parts = members(path, "a torch.export program")
    with reading(path, "a torch.export program"):
        whole, weights = _parts(path, parts)
        module = _dict(_dict(whole)["graph_module"])
        graph, signature = Graph(path, module["graph"]), _dict(module["signature"])
        held, images = _inputs(path, graph, weights, _list(signature["input_specs"]))
        if len(images) != 1 or images[0].startswith("as_"):
            raise UsageError(
                f"{path} takes {len(images)} inputs; export what takes one tensor, of images or of latents."
            )
        meta = _dict(_dict(_dict(module["graph"])["tensor_values"])[images[0]])
        sizes = [_dict(size).get("as_int") for size in _list(meta["sizes"])]
        outputs = _list(signature["output_specs"])
        returned = tuple(i for i, spec in enumerate(outputs) if "user_output" in _dict(spec))
        return Program(
            graph,
            held,
            images[0],
            returned,
            _keys(module, len(returned)),
            tuple(None if size is None else _int(size) for size in sizes),
            DTYPES[_int(meta["dtype"])],
        )


def _inputs(
    path: Path, graph: Graph, weights: Mapping[str, object], specs: list[object]
) -> tuple[dict[str, object], list[str]]:
    """The inputs of a graph: weights and constants by name, and the names of those that the user gives.

    An input of the user's that is not a tensor has the name of its kind, `as_...`.
    """
    held: dict[str, object] = {}
    images: list[str] = []
    for spec in specs:
        kind, value = _only(spec)
        entries = _dict(value)
        if kind == "user_input":
            form, argument = _only(entries["arg"])
            images.append(_name(argument) if form == "as_tensor" else form)
        elif kind in ("parameter", "buffer", "tensor_constant"):
            key = next(_text(entries[name]) for name in entries if name.endswith("_name"))
            held[_name(entries["arg"])] = weights[key]
        elif kind == "constant_input":
            held[_text(entries["name"])] = graph.read(entries["value"])
        else:
            raise UsageError(f"{path} takes a {short(kind)}, not only images; export the encoder alone.")
    return held, images


def _keys(module: Mapping[str, object], count: int) -> tuple[str, ...]:
    """The keys of the dict that the program returns; () where it returns no dict of tensors."""
    for entry in map(_dict, _list(module.get("module_call_graph", []))):
        if entry["fqn"] == "" and entry["signature"]:
            tree = _dict(_list(json.loads(_text(_dict(entry["signature"])["out_spec"])))[1])
            if tree["type"] in ("builtins.dict", "collections.OrderedDict"):
                context = tree["context"]
                keys = _list(json.loads(context) if isinstance(context, str) else context)
                if len(keys) == count and all(isinstance(key, str) for key in keys):
                    return tuple(map(_text, keys))
    return ()


def _parts(path: Path, parts: Mapping[str, bytes]) -> tuple[object, dict[str, object]]:
    """The program's JSON and its tensors by name, in any of the three layouts."""
    if "serialized_exported_program.json" in parts:
        whole: object = json.loads(parts["serialized_exported_program.json"])
        weights, constants = (
            _tensors(path, parts[f"serialized_{what}.pt"]) for what in ("state_dict", "constants")
        )
        return whole, {**constants, **weights}
    inner = {name.partition("/")[2]: content for name, content in parts.items()}
    models = [name for name in inner if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        raise UsageError(
            f"{path} holds {len(models)} exported programs; write the encoder alone with torch.export.save."
        )
    name = models[0].removeprefix("models/").removesuffix(".json")
    tensors: dict[str, object] = {}
    for folder, what in (("data/constants", "constants"), ("data/weights", "weights")):
        if f"{folder}/{name}.pt" in inner:
            tensors.update(_tensors(path, inner[f"{folder}/{name}.pt"]))
            continue
        index = _dict(json.loads(inner[f"{folder}/{name}_{what}_config.json"]))["config"]
        for key, value in _dict(index).items():
            entry = _dict(value)
            content = inner[f"{folder}/{_text(entry['path_name'])}"]
            if entry["use_pickle"]:
                tensors.update(_tensors(path, content, key))
            else:
                tensors[key] = _raw(content, _dict(entry["tensor_meta"]))
    check_tensors(path, tensors)
    return json.loads(inner[models[0]]), tensors


def _raw(content: bytes, meta: Mapping[str, object]) -> Tensor:
    """A tensor from its bytes; `as_strided` refuses to reach outside them."""

    def size(value: object) -> int:
        return _int(_dict(value)["as_int"])

    sizes, strides = ([size(each) for each in _list(meta[key])] for key in ("sizes", "strides"))
    dtype = DTYPES[_int(meta["dtype"])]
    if not content:
        return torch.zeros(sizes, dtype=dtype) if 0 in sizes else _refuse("a tensor without bytes")
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    return flat.as_strided(sizes, strides, size(meta["storage_offset"]))


def _tensors(path: Path, content: bytes, key: str = "") -> dict[str, object]:
    """Tensors by name of a torch file, or its one tensor under `key`; what could run code is not loaded."""
    if not content:
        return {}
    values: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if isinstance(values, Tensor):
        values = {key: values}
    check_tensors(path, values)
    return {str(name): tensor for name, tensor in _dict(values).items()}
