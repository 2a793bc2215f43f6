"""Runs a `torch.export` program (`.pt2`) from its graph alone.

`torch.export.load` unpickles and evaluates strings of the file, so a stranger's file could run any code. The
format needs none of that: it is a JSON graph of operator calls with tensors beside it. Here the graph is read
as data and each call looked up among torch's own tensor operators (`aten`); weights are raw bytes, or pickles
that `weights_only` reads. What remains to trust is torch's operators: a hostile program can waste time and
memory, but not open a file or call Python. TorchScript is refused the same operators, see `REFUSED`.

Layouts, all as `torch.export.save` writes them: a JSON file and two `.pt` files (torch 2.6, 2.7), the same in
an archive with folders (2.8), weights as raw bytes with a JSON index (later ones).
"""

from __future__ import annotations

import io
import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from disbench.benchmark.scoring.files import members
from disbench.errors import UsageError
from disbench.files import reading, short
from disbench.models.checkpoint import check_tensors

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFUSED = re.compile(r"save|from_file|_?set_|set_data|.*_unsafe|_test_.*")
"""Operators that reach files, or memory outside their tensors."""

# Arithmetic on sizes, which an export with a free batch size leaves in the graph.
ON_SIZES: Mapping[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in ("add", "sub", "mul", "floordiv", "mod", "neg")
    },
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in ("eq", "ne", "lt", "le", "gt", "ge", "getitem")
    },
    "torch.sym_max": max,
    "torch.sym_min": min,
}
# Wrappers around a subgraph, and how many arguments stand before it. This one switches gradients, off here.
WRAPPERS = {"wrap_with_set_grad_enabled": 1}
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
MEMORY = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}


class MalformedError(Exception):
    """The graph is not as the format wants it; turned into the sentence for a damaged file."""


@dataclass(frozen=True)
class Ref:
    """An argument that is the value of that name."""

    name: str


@dataclass(frozen=True)
class Call:
    """One node: `function(*arguments, **named)`, its values stored under `outputs`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    outputs: tuple[Any, ...]


class Graph:
    """A list of calls, and what comes out."""

    def __init__(self, path: Path, graph: Mapping[str, Any]) -> None:
        self.path = path
        self.outputs = [self.read(argument) for argument in graph["outputs"]]
        self.calls = [self.call(node) for node in graph["nodes"]]

    def run(self, values: dict[str, Any]) -> list[Any]:
        """The outputs, from the values of the inputs by name."""
        for call in self.calls:
            given = [_fill(argument, values) for argument in call.arguments]
            named = {name: _fill(argument, values) for name, argument in call.named.items()}
            found = call.function(*given, **named)
            _keep(found, call.outputs, values)
        return [_fill(output, values) for output in self.outputs]

    def call(self, node: Mapping[str, Any]) -> Call:
        target, inputs = node["target"], node["inputs"]
        outputs = tuple(self.read(output) for output in node["outputs"])
        wrapper = target.removeprefix("torch.ops.higher_order.")
        if wrapper in WRAPPERS:
            before = WRAPPERS[wrapper]
            wrapped = inputs[before]["arg"]["as_graph"]["graph"]
            inner, names = Graph(self.path, wrapped), [_name(argument) for argument in wrapped["inputs"]]
            arguments = tuple(self.read(entry["arg"]) for entry in inputs[before + 1 :])
            return Call(
                lambda *given: inner.run(dict(zip(names, given, strict=True))), arguments, {}, outputs
            )
        function = self.function(target)
        unnamed = tuple(self.read(entry["arg"]) for entry in inputs if not entry["name"])
        named = {str(entry["name"]): self.read(entry["arg"]) for entry in inputs if entry["name"]}
        if target in ON_SIZES:
            return Call(function, (*unnamed, *named.values()), {}, outputs)
        return Call(function, unnamed, named, outputs)

    def function(self, target: str) -> Callable[..., Any]:
        """The operator of that name, of those that may be called."""
        if target in ON_SIZES:
            return ON_SIZES[target]
        found = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target)
        if found is None or REFUSED.fullmatch(found[1]) or not all(map(NAME.fullmatch, found.groups())):
            raise UsageError(
                f"{self.path} uses the operator {short(target)!r}, which is not run for a stranger's file; "
                "export an encoder of plain tensor operators, or score its codes."
            )
        packet = getattr(torch.ops.aten, found[1], None)
        if packet is None or found[2] not in packet.overloads():
            raise UsageError(
                f"{self.path} uses the operator {short(target)!r}, which torch {torch.__version__} has not; "
                "export it again with this version."
            )
        called: Callable[..., Any] = getattr(packet, found[2])
        return called

    def read(self, argument: Mapping[str, Any]) -> Any:
        """An argument of the format as a value, with `Ref` for what is known only when the graph runs."""
        ((kind, value),) = argument.items()
        if kind == "as_none":
            return None
        if kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool", "as_optional_tensor"):
            return self.read(value) if kind == "as_optional_tensor" else _ref(value)
        if kind in ("as_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools"):
            return [_ref(each) for each in value]
        if kind == "as_optional_tensors":
            return [self.read(each) for each in value]
        if kind in ("as_float", "as_floats"):  # infinities may be written as words
            return [float(each) for each in value] if isinstance(value, list) else float(value)
        if kind in ("as_int", "as_bool", "as_string", "as_ints", "as_bools", "as_strings"):
            return _plain(value)
        if kind == "as_scalar_type":
            return DTYPES[value]
        if kind == "as_memory_format":
            return MEMORY[value]
        if kind == "as_layout":
            return torch.strided if value == 7 else _refuse(f"layout {value}")
        if kind == "as_device":
            return torch.device("cpu")
        raise MalformedError(f"an argument of kind {kind!r}")


def _refuse(what: str) -> Any:
    raise MalformedError(what)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | bool | str) else _refuse(f"the value {value!r}")


def _name(argument: Mapping[str, Any]) -> str:
    found = _ref(next(iter(argument.values())))
    return found.name if isinstance(found, Ref) else _refuse("an input without a name")


def _ref(value: Any) -> Any:
    """`{"name": ...}` of a tensor; `{"as_name": ...}` of a size, or `{"as_int": ...}` itself."""
    if "name" in value or "as_name" in value:
        return Ref(str(value.get("name", value.get("as_name"))))
    ((_, constant),) = value.items()
    return _plain(constant)


def _fill(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, Ref):
        return values[argument.name]
    return [_fill(each, values) for each in argument] if isinstance(argument, list) else argument


def _keep(found: Any, outputs: tuple[Any, ...], values: dict[str, Any]) -> None:
    """Stores what a call returned: one value, a list of tensors, or several values."""
    if len(outputs) == 1 and isinstance(outputs[0], Ref):
        (one,) = found if isinstance(found, list | tuple) and len(found) == 1 else (found,)
        values[outputs[0].name] = one
    elif len(outputs) == 1 and isinstance(outputs[0], list):
        _keep(found, tuple(outputs[0]), values)
    elif outputs:
        for output, value in zip(outputs, found, strict=True):
            if isinstance(output, Ref):
                values[output.name] = value


@dataclass(frozen=True)
class Program:
    """An exported program as a function of one image tensor.

    Attributes:
        shape: the input's sizes, None where free. dtype: its type.
    """

    graph: Graph
    held: Mapping[str, Any]
    image: str
    returned: tuple[int, ...]
    names: tuple[str, ...]
    shape: tuple[int | None, ...]
    dtype: torch.dtype

    def __call__(self, images: Tensor) -> Any:
        found = self.graph.run({**self.held, self.image: images})
        kept = [found[i] for i in self.returned]
        if self.names:
            return dict(zip(self.names, kept, strict=True))
        return kept[0] if len(kept) == 1 else tuple(kept)


def load(path: Path) -> Program:
    """The program in a file.

    Raises:
        UsageError: damaged, of an unknown layout, with other inputs than one tensor of images, or with
        operators that are not run.
    """
    parts = members(path, "a torch.export program")
    with reading(path, "a torch.export program"):
        whole, weights = _parts(path, parts)
        module = whole["graph_module"]
        graph = Graph(path, module["graph"])
        held: dict[str, Any] = {}
        images: list[str] = []
        for spec in module["signature"]["input_specs"]:
            ((kind, value),) = spec.items()
            if kind == "user_input":
                ((form, _),) = value["arg"].items()
                if form == "as_tensor":
                    images.append(_name(value["arg"]))
                else:
                    images.append(form)
            elif kind in ("parameter", "buffer", "tensor_constant"):
                key = next(value[name] for name in value if name.endswith("_name"))
                held[_name({"": value["arg"]})] = weights[key]
            elif kind == "constant_input":
                held[value["name"]] = graph.read(value["value"])
            else:
                raise UsageError(f"{path} takes a {short(kind)}, not only images; export the encoder alone.")
        if len(images) != 1 or images[0].startswith("as_"):
            raise UsageError(
                f"{path} takes {len(images)} inputs; export an encoder that takes one tensor of images."
            )
        meta = module["graph"]["tensor_values"][images[0]]
        outputs = module["signature"]["output_specs"]
        returned = tuple(i for i, spec in enumerate(outputs) if "user_output" in spec)
        return Program(
            graph,
            held,
            images[0],
            returned,
            _keys(module, len(returned)),
            tuple(size.get("as_int") for size in meta["sizes"]),
            DTYPES[meta["dtype"]],
        )


def _keys(module: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """The keys of the dict that the program returns; () where it returns no dict of tensors."""
    for entry in module.get("module_call_graph", ()):
        if entry["fqn"] == "" and entry["signature"]:
            tree = json.loads(entry["signature"]["out_spec"])[1]
            if tree["type"] in ("builtins.dict", "collections.OrderedDict"):
                keys = json.loads(tree["context"]) if isinstance(tree["context"], str) else tree["context"]
                if len(keys) == count and all(isinstance(key, str) for key in keys):
                    return tuple(keys)
    return ()


def _parts(path: Path, parts: Mapping[str, bytes]) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """The program's JSON and its tensors by name, in any of the three layouts."""
    if "serialized_exported_program.json" in parts:
        whole = json.loads(parts["serialized_exported_program.json"])
        held = [_tensors(path, parts[f"serialized_{what}.pt"]) for what in ("state_dict", "constants")]
        return whole, {**held[1], **held[0]}
    inner = {name.partition("/")[2]: content for name, content in parts.items()}
    models = [name for name in inner if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        raise UsageError(
            f"{path} holds {len(models)} exported programs; write the encoder alone with torch.export.save."
        )
    name = models[0].removeprefix("models/").removesuffix(".json")
    tensors: dict[str, Tensor] = {}
    for folder, what in (("data/constants", "constants"), ("data/weights", "weights")):
        if f"{folder}/{name}.pt" in inner:
            tensors.update(_tensors(path, inner[f"{folder}/{name}.pt"]))
            continue
        index = json.loads(inner[f"{folder}/{name}_{what}_config.json"])["config"]
        for key, entry in index.items():
            content = inner[f"{folder}/{entry['path_name']}"]
            if entry["use_pickle"]:
                tensors.update(_tensors(path, content, key))
            else:
                tensors[key] = _raw(content, entry["tensor_meta"])
    check_tensors(path, tensors)
    return json.loads(inner[models[0]]), tensors


def _raw(content: bytes, meta: Mapping[str, Any]) -> Tensor:
    """A tensor from its bytes; `as_strided` refuses to reach outside them."""
    sizes, strides = ([int(each["as_int"]) for each in meta[key]] for key in ("sizes", "strides"))
    dtype = DTYPES[meta["dtype"]]
    if not content:
        return torch.zeros(sizes, dtype=dtype) if 0 in sizes else _refuse("a tensor without bytes")
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"]))


def _tensors(path: Path, content: bytes, key: str = "") -> dict[str, Tensor]:
    """Tensors by name of a torch file, or its one tensor under `key`; nothing that could run code is "
    "loaded."""
    found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True) if content else {}
    found = {key: found} if isinstance(found, Tensor) else found
    check_tensors(path, found)
    return {str(name): tensor for name, tensor in found.items()}
