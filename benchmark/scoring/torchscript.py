"""Reads a TorchScript module after checks that torch's own reader does not make, and runs what was checked.

That reader knows TorchScript's types alone, so nothing of Python runs. But it believes what the pickles in
the file say of their tensors, the code may call any operator, and a class may have a function that is called
while it is read. So before torch sees the file, every checksum is compared, every tensor with the bytes that
there are for it, every name in a pickle with the few that an encoder needs, and functions that would be
called are refused. The archive that torch reads is written anew from the checked members.

Then torch compiles the code, which runs none of it, and every step that `forward` can reach is looked up in
`operators`, in the form that torch itself will run. A call of code that is known only as it runs, such as a
method of an interface or the comparison by which objects are sorted, is refused. Types, layouts and devices
must be written out in the code: torch believes their numbers.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from disbench.benchmark.scoring import guards, operators
from disbench.benchmark.scoring.files import members
from disbench.errors import UsageError
from disbench.files import reading
from disbench.texts import short

# Members of the archive that torch needs. It writes others beside them, and older forms have yet others.
KEPT = re.compile(r"(\.data/)?version|byteorder|(data|constants)(\.pkl|/\d+)|code/.+\.py")
# Functions of a class that torch calls while it reads the file.
CALLED = (b"__setstate__", b"__getstate__")
# What a pickle may name: classes of the file's own code, and what tensors and lists of numbers are made by.
NAMED = re.compile(
    r"__torch__\.(?!torch\.classes\.).+|collections\.OrderedDict|torch\.(\w+Storage|device|Size)"
    r"|torch\._utils\._rebuild_tensor_v2|torch\.jit\._pickle\.(restore_type_tag|build_\w+list)"
)
# TorchScript's numbers of the types, layouts and memory formats that an encoder may name.
NUMBERS: Mapping[str, tuple[int, ...]] = {
    # uint8 to bool, and bfloat16
    "ScalarType": (*range(12), 15),
    "Layout": (0,),
    "MemoryFormat": (0, 1, 2, 3),
}
# What takes something out of a list, or puts another list in its place.
SHRINKING = ("aten::clear", "aten::pop", "aten::remove", "aten::Delete", "prim::SetAttr")
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


class Module:
    """A checked module in evaluation mode, as a function of one image tensor.

    Args:
        path: of the file.

    Attributes:
        names: of the operators that it may call.
        prints: whether it may print.

    Raises:
        UsageError: damaged, or with operators that are not run.
    """

    names: set[str]
    prints: bool

    def __init__(self, path: Path) -> None:
        self.names = set()
        self.prints = False
        with reading(path, "TorchScript"):
            module, functions = _loaded(path)
            self._forward: Any = module._c._get_method("forward")
            graph = self._forward.inlined_graph
            steps = list(_steps(graph, functions))
            for node in steps:
                self._check(path, node)
            _check_recurrent(path, steps, next(graph.inputs()), module._c)

    def __call__(self, images: Tensor) -> object:
        with guards.checked(self.names):
            return self._forward(images)

    def _check(self, path: Path, node: Any) -> None:
        """Refuses a step that is not allowed."""
        library, _, name = str(node.kind()).partition("::")
        declared = str(node.schema())
        if library == "aten":
            schema = torch._C.parse_schema(declared)
            if any("Tensor" in str(value.type) for value in (*schema.arguments, *schema.returns)):
                known = operators.allowed(name, schema.overload_name)
            else:
                known = operators.allowed_on_values(name, schema.overload_name)
            if not known:
                raise operators.refusal(path, declared.partition("(")[0])
            self.names.add(name)
            for argument, value in zip(schema.arguments, node.inputs(), strict=False):
                _check_number(path, str(argument.real_type), value.node())
        elif library != "prim" or not operators.allowed_step(name):
            raise operators.refusal(path, f"{library}::{name}")
        self.prints |= node.kind() in ("prim::Print", "aten::warn")
        for output in node.outputs():
            if "torch.classes" in str(output.type()) or (name == "unchecked_cast" and _wild(node)):
                raise operators.refusal(path, f"{node.kind()} to {output.type()}")


def _wild(cast: Any) -> bool:
    """Whether a cast is to what the value cannot be. Code that is never reached casts None."""
    (given,), (made,) = cast.inputs(), cast.outputs()
    return given.type().kind() != "NoneType" and not made.type().isSubtypeOf(given.type())


def _steps(graph: Any, functions: Mapping[str, Any], within: tuple[str, ...] = ()) -> Iterator[Any]:
    """Every node of a graph and of its blocks, and of what `with` statements call, which is not inlined."""
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _steps(block, functions, within)
        if node.kind() in ("prim::Enter", "prim::Exit"):
            end = "__enter__" if node.kind() == "prim::Enter" else "__exit__"
            name = f"{next(node.inputs()).type().qualified_name()}.{end}"
            if name not in within:
                yield from _steps(functions[name].inlined_graph, functions, (*within, name))


def _check_number(path: Path, kind: str, origin: Any) -> None:
    """Refuses a type, layout or device that is not written out, or another one than an encoder needs."""
    kind = kind.removeprefix("Optional[").removesuffix("]")
    if kind not in (*NUMBERS, "Device") or origin.kind() in ("prim::dtype", "prim::device", "prim::layout"):
        return
    value = origin.output().toIValue() if origin.kind() == "prim::Constant" else "computed"
    if value is None or str(value) == "cpu" or value in NUMBERS.get(kind, ()):
        return
    raise UsageError(
        f"{path} makes a tensor of {kind} {short(value, 40)}; export an encoder that makes plain tensors on "
        "the CPU, or score its codes."
    )


def _check_recurrent(path: Path, steps: Sequence[Any], module: Any, loaded: Any) -> None:
    """Refuses recurrent networks with too few weights, or whose number of weights may change.

    Args:
        path: of the file.
        steps: all steps of the program.
        module: the value in the graph that stands for the module.
        loaded: the module.
    """
    found = [node for node in steps if node.kind().removeprefix("aten::") in guards.RECURRENT]
    shrunk = [node for node in steps if node.kind() in SHRINKING and _of_tensors(node)]
    for node in found:
        name, schema = node.kind().removeprefix("aten::"), torch._C.parse_schema(node.schema())
        inputs = {a.name: value for a, value in zip(schema.arguments, node.inputs(), strict=True)}
        given = {each: _known(value, module, loaded) for each, value in inputs.items()}
        origin = inputs["params"].node()
        try:
            guards.check_recurrent(name, given["params"], given)
            if origin.kind() == "prim::GetAttr" and shrunk:
                raise guards.UnfitError(f"{name}: a list of weights that may change")
        except guards.UnfitError as error:
            raise UsageError(f"{path} uses {error}; export it by tracing, or score its codes.") from None


def _of_tensors(node: Any) -> bool:
    """Whether a step changes a list of tensors; SetAttr has the list behind the module."""
    return "List[Tensor]" in str(list(node.inputs())[-1 if node.kind() == "prim::SetAttr" else 0].type())


def _known(value: Any, module: Any, loaded: Any) -> object:
    """A constant, a list that is written out, or an attribute of the module; None for what is computed."""
    origin = value.node()
    match origin.kind():
        case "prim::Constant":
            return value.toIValue()
        case "prim::ListConstruct":
            return list(origin.inputs())
        case "prim::GetAttr":
            owner: Any = _known(next(origin.inputs()), module, loaded)
            return None if owner is None else owner.getattr(origin.s("name"))
    return loaded if value.debugName() == module.debugName() else None


def _loaded(path: Path) -> tuple[torch.jit.ScriptModule, Mapping[str, Any]]:
    """The module, of whose code nothing has run, and all functions of the file by name."""
    inner = {name.partition("/")[2]: content for name, content in members(path, "TorchScript").items()}
    kept = {name: content for name, content in inner.items() if KEPT.fullmatch(name)}
    for name, content in kept.items():
        for word in CALLED:
            if name.startswith("code/") and word in content:
                raise operators.refusal(path, word.decode())
    for name in ("data", "constants"):
        _Looker(kept[f"{name}.pkl"], name, kept).load()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in kept.items():
            archive.writestr(f"archive/{name}", content)
    # the types of torch do not know all that its own load calls
    internal: Any = torch._C
    recursive: Any = torch.jit._recursive
    unit = internal.CompilationUnit()
    with warnings.catch_warnings():
        # torch.export is to follow it, but files remain
        warnings.simplefilter("ignore", DeprecationWarning)
        cpu = torch.device("cpu")
        read = internal.import_ir_module_from_buffer(unit, whole.getvalue(), cpu, {}, False)
        module: torch.jit.ScriptModule = recursive.wrap_cpp_module(read)
        module.eval()
    return module, {function.qualified_name: function for function in unit.get_functions()}


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
        if not NAMED.fullmatch(f"{module}.{name}"):
            raise ValueError(f"a value by {short(f'{module}.{name}', 60)}")
        if name in STORED:
            return name
        return _check_tensor if name == "_rebuild_tensor_v2" else _Inert

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
