"""Bad files and options for `disbench score`: each is refused in one sentence, and nothing of it is run."""

import contextlib
import io
import json
import os
import pickle
import struct
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from disbench.benchmark.scoring import exports

N = 60  # images of the grid


def written(name, save):
    """A file made by `save(path, home)`."""

    def make(folder, home):
        save(folder / name, home)
        return folder / name

    return make


def raw(name, content):
    return written(name, lambda path, home: path.write_bytes(content))


def array(**arrays):
    return written("c.npz", lambda path, home: np.savez(path, **arrays))


def good(name):
    return lambda folder, home: home / name


def changed(source, change):
    """One of the good files with its bytes changed."""

    def save(path, home):
        path.write_bytes(change((home / source).read_bytes()))

    return written(f"changed-{source}", save)


def half(content):
    return content[: len(content) // 2]


def flipped(content):
    """One bit a third of the way in: among the weights, the codes, the lines of the graph."""
    at = len(content) // 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def rezipped(source, change):
    """One of the good archives with its members changed, checksums right."""

    def save(path, home):
        with zipfile.ZipFile(home / source) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in change(members).items():
                archive.writestr(name, content)

    return written(f"rezipped-{source}", save)


def member(part, change, old=""):
    """A change to the one member whose name holds this, or has the name that older torch gives it."""

    def all_of(members):
        (name,) = (n for n in members if (part in n or n == old) and not n.endswith("debug_pkl"))
        return {**members, name: change(members[name])}

    return all_of


def code(old, new):
    """A change to what a member says."""

    def change(source):
        assert old in source
        return source.replace(old, new)

    return change


def header(shape, dtype="<f4", version=b"\x01\x00"):
    """An npy file that declares a shape, with a few bytes behind it."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + b"\0" * 64


def bomb(path, home):
    """300 kB that declare 3 GB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("codes.npy", "w") as member,
    ):
        block = bytes(2**20)
        member.write(header((3 * 2**20, 256))[:-64])
        for _ in range(4):
            member.write(block)
    content = bytearray(path.read_bytes())
    (size,) = struct.unpack("<I", content[content.rindex(b"PK\x01\x02") + 24 :][:4])
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 3 * 2**30)
    assert size < 2**23
    path.write_bytes(content)


def expanded(path, home):
    """A weight of 4 TB that is one number in the file."""
    torch.save({"weight": torch.zeros(1).expand(2**40)}, path)


def laughs(path, home):
    """Lists of lists: thirty in the file, a billion when walked."""
    values = ["ha"]
    for _ in range(30):
        values = [values, values]
    torch.save({"kind": "disbench checkpoint", "config": values}, path)


class Hostile:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("trap",)


def objects(path, home):
    np.savez(path, codes=np.array([[Hostile()]], object))


def graph(change):
    """The exported program with its JSON changed."""

    def content(text):
        whole = json.loads(text)
        change(whole["graph_module"])
        return json.dumps(whole).encode()

    return rezipped("free.pt2", member("models/model.json", content, "serialized_exported_program.json"))


def first_target(target):
    def change(module):
        module["graph"]["nodes"][0]["target"] = target

    return graph(change)


class Two(nn.Module):
    def forward(self, x, y):
        return x.flatten(1) + y.flatten(1)


class Chance(nn.Module):
    def forward(self, x):
        return torch.rand_like(x.flatten(1))


class Still(nn.Module):
    def forward(self, x):
        return 0 * x.flatten(1)[:, :3]


class Three(nn.Module):
    def forward(self, x):
        z = x.flatten(1)[:, 192:204:4]
        return z, -z, z + 1


class Total(nn.Module):
    def forward(self, x):
        return x.sum()


class Infinite(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, 192:204:4].log()


class Writes(nn.Module):
    def forward(self, x):
        return x.flatten(1) + torch.from_file("trap", True, 1)


class Odd(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, 192:201:4]


def traced(module, inputs=1):
    def save(path, home):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(module, (torch.rand(2, 1, 16, 16),) * inputs, check_trace=False).save(str(path))

    return written("traced.pt", save)


def scripted(module):
    def save(path, home):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(module).save(str(path))

    return written("scripted.pt", save)


def exported(module, shape=(4, 1, 16, 16), inputs=1):
    def save(path, home):
        torch.export.save(torch.export.export(module, (torch.rand(shape),) * inputs), path)

    return written("exported.pt2", save)


def hdf5(fill):
    def save(path, home):
        with h5py.File(path, "w") as file:
            fill(file)

    return written("c.h5", save)


def outside(file):
    file["codes"] = h5py.ExternalLink("/etc/passwd", "codes")


def elsewhere(file):
    file.create_dataset("codes", (N, 3), "f4", external=[("/etc/passwd", 0, N * 12)])


def external(path, home):
    import onnx

    model = onnx.load(str(home / "model.onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    path.write_bytes(model.SerializeToString())


def field(tag, content):
    """A field of protobuf with a length."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return tag + length + bytes([size]) + content


def hidden(path, home):
    """Weights in another file whose fields have tags of five bytes, which some parsers cut to four."""
    import onnx

    model = onnx.load(str(home / "model.onnx"))
    graph = model.graph
    tensor = graph.initializer.pop(0)
    tensor.ClearField("float_data")
    entries = [onnx.StringStringEntryProto(key="location", value="secret.bin").SerializeToString()]
    # fields 13 and 14, with 2 to the power of 32 added to their tags
    outside = b"".join(field(b"\xea\x80\x80\x80\x10", entry) for entry in entries)
    whole = tensor.SerializeToString() + outside + b"\xf0\x80\x80\x80\x10\x01"
    model.ClearField("graph")
    # field 5 of a graph, field 7 of a model
    inner = graph.SerializeToString() + field(b"\x2a", whole)
    path.write_bytes(model.SerializeToString() + field(b"\x3a", inner))


def onnx(change):
    """The ONNX model after a change to it."""

    def save(path, home):
        import onnx

        model = onnx.load(str(home / "model.onnx"))
        change(model, onnx)
        path.write_bytes(model.SerializeToString())

    return written("changed.onnx", save)


def another_domain(model, onnx):
    model.graph.node[1].domain = "com.microsoft"


def another_library(model, onnx):
    model.opset_import.append(onnx.helper.make_opsetid("com.stranger", 1))


def a_function(model, onnx):
    model.functions.append(onnx.FunctionProto(name="Relu", domain="", input=["a"], output=["b"]))


def a_text_operator(model, onnx):
    model.graph.node[1].op_type = "StringNormalizer"


def newest(model, onnx):
    model.opset_import[0].version = 9_999


def in_a_branch(model, onnx):
    """Weights of another file in a graph that is an attribute of a node."""
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    branch = onnx.helper.make_graph([], "branch", [], [], [tensor])
    model.graph.node[1].attribute.append(onnx.helper.make_attribute("then_branch", branch))


def sparse(model, onnx):
    model.graph.sparse_initializer.add()


def frame(**columns):
    return written("c.csv", lambda path, home: pd.DataFrame(columns).to_csv(path, index=False))


Z = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
F = np.stack(np.unravel_index(np.arange(N), (3, 4, 5)), axis=1)
ZERO = torch.zeros(1)
FACTORY = ("--factory", "stranger:make")
BAD = {
    # files of no known kind, and damaged ones
    "no file": (lambda folder, home: folder / "none", "No such file"),
    "a folder": (lambda folder, home: folder, "directory"),
    "an empty file": (raw("e", b""), "is empty"),
    "a picture": (raw("p", b"\x89PNG\r\n\x1a\n" + bytes(99)), "not of a supported kind"),
    "zeros": (raw("z", bytes(4096)), "not of a supported kind"),
    "another zip": (written("o.zip", lambda p, h: zipfile.ZipFile(p, "w").writestr("a", "")), "neither npz"),
    "zip's first bytes": (raw("m.npz", b"PK\x03\x04" + bytes(100)), "cannot be read as a zip"),
    "HDF5's first bytes": (raw("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(999)), "cannot be read as HDF5"),
    "Parquet's first bytes": (raw("m.parquet", b"PAR1" + bytes(99) + b"PAR1"), "cannot be read as Parquet"),
    "npy's first bytes": (raw("m.npy", b"\x93NUMPY\x01\x00"), "cannot be read as npy"),
    "ONNX's first byte": (raw("m.onnx", b"\x08\x08" + b"\xff" * 60), "cannot be read as ONNX"),
    "an empty safetensors file": (
        raw("m.safetensors", struct.pack("<Q", 60) + b"{" + b" " * 58 + b"}"),
        "but an empty dict",
    ),
    "half a safetensors file": (
        raw("m.safetensors", b"\x33" + bytes(7) + b'{"z":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
        "cannot be read as safetensors",
    ),
    "half an npz": (changed("rows.npz", half), "cannot be read as a zip"),
    "half an npy": (changed("order.npy", half), "does not fit into its"),
    "half an HDF5": (changed("codes.h5", half), "cannot be read as HDF5"),
    "half a Parquet": (changed("codes.parquet", half), "cannot be read as Parquet"),
    "half a TorchScript": (changed("traced.pt", half), "cannot be read as a zip"),
    "half a torch.export": (changed("free.pt2", half), "cannot be read as a zip"),
    "half an ONNX": (changed("model.onnx", half), "cannot be read as ONNX"),
    "half a state dict": (changed("state.pt", half), "cannot be read as a zip", *FACTORY),
    "a bit flipped in npz": (changed("rows.npz", flipped), "Bad CRC-32"),
    "a bit flipped in TorchScript": (changed("traced.pt", flipped), "Bad CRC-32"),
    "a bit flipped in torch.export": (changed("free.pt2", flipped), "Bad CRC-32"),
    "a bit flipped in a state dict": (changed("state.pt", flipped), "Bad CRC-32", *FACTORY),
    # hostile ones
    "a pickle": (raw("p.pkl", pickle.dumps(Hostile(), 2)), "export it: torch.save(model.state_dict()"),
    "a pickled module": (written("m.pt", lambda p, h: torch.save(nn.Linear(2, 2), p)), "could run code"),
    "a hostile state dict": (written("h.pt", lambda p, h: torch.save({"w": Hostile()}, p)), "could run code"),
    "objects in npz": (written("o.npz", objects), "Python objects, which could run code"),
    "objects in npy": (raw("o.npy", header((3, 3), "|O")), "Python objects, which could run code"),
    "a torch.package": (
        written("p.pt", lambda p, h: zipfile.ZipFile(p, "w").writestr("p/.data/extern_modules", "")),
        "whose Python code would run",
    ),
    "a zip bomb": (written("b.npz", bomb), "more than the 2,147,483,648 that are read"),
    "a declared size of terabytes": (raw("b.npy", header((2**40, 10))), "does not fit into its"),
    "a negative size": (raw("n.npy", header((-1, 3))), "does not fit into its"),
    "a tensor of terabytes": (written("x.pt", expanded), "unpacks to 4,398,046,511,104 bytes", *FACTORY),
    "lists of lists": (written("l.pt", laughs), "more than 100,000 entries"),
    "HDF5 of terabytes": (hdf5(lambda f: f.create_dataset("a", (2**40, 2), chunks=True)), "larger than"),
    "an HDF5 link outside": (hdf5(outside), "name the table (n, d) 'codes'"),
    "HDF5 data elsewhere": (hdf5(elsewhere), "lies in other files"),
    "two members of one name": (
        lambda folder, home: twice(folder / "t.npz"),
        "two members of one name",
    ),
    "TorchScript that opens files": (scripted(Writes()), "uses the operator 'aten::from_file'"),
    "TorchScript of another library": (
        rezipped("scripted.pt", member("strangers_own", code(b"torch.relu", b"ops.prims.abs"))),
        "uses the operator 'prims::abs'",
    ),
    "TorchScript that renames a library": (
        rezipped("scripted.pt", member("strangers_own", code(b"torch.relu", b"(ops)"))),
        "cannot be read as TorchScript",
    ),
    "TorchScript that hides a name": (
        rezipped(
            "scripted.pt",
            member("strangers_own", code(b"torch.relu", b"getattr(torch, 'save')")),
        ),
        "cannot be read as TorchScript",
    ),
    "TorchScript with less than its weights": (
        rezipped("scripted.pt", member("data/0", lambda content: content[:-4])),
        "a tensor of 64 numbers in 252 bytes",
    ),
    "TorchScript with a weight beyond its numbers": (
        rezipped("scripted.pt", member("/data.pkl", code(b"(K\x10K\x10", b"(K\x11K\x10"))),  # a stride
        "a tensor that reaches to number 66 of 64",
    ),
    "an operator on files": (first_target("torch.ops.aten.from_file.default"), "not allowed in a file"),
    "an operator of Python": (first_target("torch.ops.builtins.exec.default"), "not allowed in a file"),
    "a Python function": (first_target("os.system"), "not allowed in a file"),
    "an operator that is not there": (first_target("torch.ops.aten.conv2d.newest"), "not allowed in a file"),
    "an argument that is not there": (
        graph(lambda module: module["graph"]["nodes"][0]["inputs"][0]["arg"]["as_tensor"].update(name="z")),
        "fails on images",
    ),
    "ONNX weights elsewhere": (written("x.onnx", external), "keeps weights in other files"),
    "ONNX weights elsewhere, hidden": (written("x.onnx", hidden), "cannot be read as ONNX"),
    "ONNX weights elsewhere in a branch": (onnx(in_a_branch), "keeps weights in other files"),
    "ONNX of another library": (onnx(another_domain), "uses the operator 'com.microsoft::Relu'"),
    "ONNX that imports a library": (onnx(another_library), "uses the operators of com.stranger"),
    "ONNX with a function": (onnx(a_function), "brings functions of its own"),
    "ONNX of texts": (onnx(a_text_operator), "uses the operator 'StringNormalizer'"),
    "ONNX of a later version": (onnx(newest), "is of opset 9999"),
    "ONNX with sparse weights": (onnx(sparse), "holds sparse_initializer"),
    # codes that are none
    "NaN": (array(codes=np.where(F == 2, np.nan, Z)), "rows of codes hold NaN or infinity"),
    "infinity": (array(codes=Z / 0), "60 of 60 rows of codes hold NaN or infinity"),
    "all constant": (array(codes=np.ones((N, 3))), "is the same in all 60 rows"),
    "complex numbers": (array(codes=Z + 1j), "complex numbers"),
    "text": (array(codes=Z.astype(str)), "they are text"),
    "records": (written("r.npy", lambda p, h: np.save(p, np.zeros(4, [("a", "f4")]))), "records"),
    "one dimension": (array(codes=Z[:, 0]), "codes (60,) must be a table (n, d)"),
    "three dimensions": (array(codes=Z[None]), "codes (1, 60, 3) must be a table"),
    "no rows": (array(codes=Z[:0]), "codes (0, 3) must be a table"),
    "no columns": (array(codes=Z[:, :0]), "codes (60, 0) must be a table"),
    "transposed": (array(codes=Z.T), "it looks transposed: write codes.T"),
    "transposed beside rows": (array(codes=Z.T, rows=np.arange(N)), "look transposed: write codes.T"),
    "too few": (array(codes=Z[:50]), "50 codes, but"),
    "several arrays": (array(a=Z, b=Z), "name the table (n, d) 'codes'"),
    "rows out of range": (array(codes=Z, rows=np.arange(N) + 1), "row 60 is outside the 60 images"),
    "negative rows": (array(codes=Z, rows=np.arange(N) - 1), "row -1 is outside"),
    "rows repeated": (array(codes=Z, rows=np.arange(N) // 2), "image 0 occurs twice with different codes"),
    "rows often": (array(codes=Z, rows=np.arange(N) // 20), "different codes (3 such images)"),
    "fractional rows": (array(codes=Z, rows=np.arange(N) / 2), "rows must be whole numbers"),
    "a table of rows": (array(codes=Z, rows=F), "rows (60, 3) must be one number per code row"),
    "too few rows": (array(codes=Z, rows=np.arange(9)), "60 codes, but 9 rows"),
    "rows that are text": (array(codes=Z, rows=np.array(["a"] * N)), "rows (60,) must be real numbers"),
    "factors of other data": (array(codes=Z, factors=F[:, ::-1]), "are the factors of another data set?"),
    "too few factors": (array(codes=Z, factors=F[:, :2]), "has 2 factors, but"),
    "continuous factors of a grid": (
        array(codes=Z, factors=F + np.linspace(0, 0.9, N)[:, None]),
        "is 0.0152542 in line 1, but in",
    ),
    "text as factors of a grid": (
        array(codes=Z, factors=np.array(list("abcde"))[F]),
        "factor shape is text, but in",
    ),
    "missing factors": (
        array(codes=Z, factors=np.where(F == 2, np.nan, F)),
        "factors: 47 of 180 values (the first in row 2, column 2) are missing",
    ),
    "missing rows": (
        array(codes=Z, rows=np.r_[np.nan, 1:N]),
        "1 of 60 values (the first in row 0) is missing",
    ),
    "bins without continuous factors": (array(codes=Z, factors=F), "--bins is for continuous", "--bins", "5"),
    "one bin": (array(codes=Z, factors=F), "--bins 1 was given; give a whole number from", "--bins", "1"),
    "factors of other rows": (array(codes=Z, rows=np.arange(N), factors=F[::-1]), "not those that"),
    "a name that is no text": (array(codes=Z, dataset=np.arange(2)), "must be one text"),
    "text in CSV": (frame(z0=["a"] * N), "holds text where numbers belong"),
    "a CSV with its index": (
        written("i.csv", lambda path, home: pd.DataFrame(Z).to_csv(path)),
        "write it with index=False",
    ),
    "a CSV with holes": (frame(z0=[None, *range(59)], z1=range(60)), "1 of 60 rows of codes hold NaN"),
    "a CSV of rows alone": (frame(row=range(60)), "expected one per code"),
    "a ragged CSV": (raw("r.csv", b"a,b\n1,2\n1,2,3,4\n"), "cannot be read as CSV"),
    "text in Parquet": (
        written("t.parquet", lambda path, home: pd.DataFrame({"z0": ["x"] * N}).to_parquet(path)),
        "not numbers",
    ),
    # encoders that do not fit
    "a state dict alone": (good("state.pt"), "say what they belong to with --factory"),
    "no such module": (good("state.pt"), "cannot import", "--factory", "nosuch:make"),
    "no such function": (good("state.pt"), "has no function", "--factory", "stranger:nosuch"),
    "no function's name": (good("state.pt"), "must be package.module:function", "--factory", "a"),
    "a factory that fails": (good("state.pt"), "failed: ", "--factory", "math:sqrt"),
    "a factory of numbers": (good("state.pt"), "return an nn.Module", "--factory", "math:prod"),
    "other weights": (
        written("w.pt", lambda p, h: torch.save({"first.weight": torch.zeros(4, 1, 4, 4), "x": ZERO}, p)),
        "it lacks ['first.bias', 'mean.weight'",
        *FACTORY,
    ),
    "a method's other weights": (good("state.pt"), "not those of --method vae", "--method", "vae"),
    "no such method": (good("state.pt"), "'betavae'", "--method", "betavea"),
    "a method for codes": (good("order.npy"), "omit --method", "--method", "vae"),
    "method and factory": (good("state.pt"), "give one of them", "--method", "vae", *FACTORY),
    "two inputs": (exported(Two(), inputs=2), "takes 2 inputs"),
    "TorchScript of two inputs": (traced(Two(), inputs=2), "fails on images"),
    "images of another size": (exported(Odd(), (4, 1, 20, 20)), "takes images (4, 1, 20, 20)"),
    "codes by chance": (traced(Chance()), "export it in evaluation mode"),
    "the same code for all": (traced(Still()), "its 3 codes are the same for all 60 images"),
    "codes that are infinite": (traced(Infinite()), "codes hold NaN or infinite values"),
    "three outputs": (traced(Three()), "choose one with --output"),
    "an output that is not there": (traced(Three()), "--output mu is not a table", "--output", "mu"),
    "half of three columns": (traced(Odd()), "even number of columns", "--output", "first-half"),
    "no table": (traced(Total()), "which is not a table (b, d) of codes"),
    # options
    "an unknown range": (good("traced.pt"), "value of --input-range", "--input-range", "0,2"),
    "an unknown layout": (good("traced.pt"), "value of --layout", "--layout", "chw"),
    "an unknown preset": (good("order.npy"), "preset of these metrics", "--preset", "kim"),
    "no repeats": (good("order.npy"), "--repeats 0", "--repeats", "0"),
    "--set twice": (
        good("order.npy"),
        "--set codes was given twice",
        *("--method", "betavae", "--set", "codes=3", "--set", "betavae.codes=4"),
    ),
    "--set without a method": (good("order.npy"), "--set changes the config", "--set", "a=1"),
    "nothing to compute": (good("order.npy"), "no metric can be computed", "--metrics", "nmi"),
}  # fmt: skip


def twice(path):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        content = io.BytesIO()
        np.save(content, Z)
        for _ in range(2):
            archive.writestr("codes.npy", content.getvalue())
    return path


@pytest.fixture
def refused(disbench, home, tmp_path, monkeypatch):
    """`refused(words, path, *options)`: exit code 2, one sentence with these words, no warning, no trap."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(home))

    def check(words, path, *options):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            code, out, err = disbench("score", path, *options, "--data-dir", home / "cache")
        assert code == 2, (out, err)
        assert len(err.strip().splitlines()) == 1, err
        assert err.startswith("disbench: ")
        assert err.strip().isprintable()
        assert "Traceback" not in out + err
        assert words in err
        assert not heard, [str(one.message) for one in heard]
        assert not (tmp_path / "trap").exists()

    return check


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_in_one_sentence(refused, home, tmp_path, name):
    if "ONNX" in name and not (home / "model.onnx").exists():
        pytest.skip("onnx or onnxruntime is not installed")
    make, words, *options = BAD[name]
    path = make(tmp_path, home)
    (tmp_path / "trap").unlink(missing_ok=True)  # where making the file has sprung it
    refused(words, path, "--dataset", home / "grid.npz", *options)


def test_a_pipe_is_not_waited_for(refused, home, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for options in (["--dataset", home / "grid.npz"], ["--factors", home / "order.npy"]):
        refused("pipe is a pipe or a device", tmp_path / "pipe", *options)
    refused("pipe is a pipe or a device", home / "order.npy", "--factors", tmp_path / "pipe")
    refused("/dev/null is a pipe or a device", "/dev/null", "--dataset", home / "grid.npz")


def test_there_are_enough_of_them():
    assert len(BAD) >= 40


def test_codes_and_encoders_without_a_data_set(refused, home):
    refused("does not say which data its codes are of", home / "order.npy")
    refused("does not say which images to encode", home / "traced.pt")
    refused("does not say which images to encode", home / "state.pt", "--factory", "stranger:make")


def test_a_data_set_that_does_not_exist(refused, home):
    refused("'dsprites'", home / "order.npy", "--dataset", "dsprite")
    refused("'dsprites'", home / "traced.pt", "--dataset", "dsprite")


def test_codes_of_other_data_than_here(refused, home, tmp_path):
    np.savez(tmp_path / "c.npz", codes=Z, dataset=str(home / "grid.npz"), sha256="0" * 64)
    refused("scores would not be comparable", tmp_path / "c.npz")


def test_different_data_in_one_table(refused, home, tmp_path):
    np.savez(tmp_path / "a.npz", codes=Z, factors=F)
    np.savez(tmp_path / "b.npz", codes=Z, factors=F)
    refused("of several data sets", tmp_path / "a.npz", tmp_path / "b.npz")


def test_onnx_without_the_extra(refused, home, tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08")
    for library in ("onnx", "onnxruntime"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, library, None)
            refused("pip install 'disbench[onnx]'", tmp_path / "model.onnx", "--dataset", home / "grid.npz")


def test_what_onnx_does_not_understand_is_not_handed_on(home, tmp_path):
    """Fields of no known number, and settings for onnxruntime, are gone from what it gets."""
    onnx_reader = pytest.importorskip("disbench.benchmark.scoring.onnx")
    library = pytest.importorskip("onnx")
    model = library.load(str(home / "model.onnx"))
    plain = model.SerializeToString()
    model.metadata_props.add(key="ort_config", value="{}")
    unknown = b"\xfa\x3f\x04text"
    read = library.load_model_from_string(model.SerializeToString() + unknown)
    assert unknown in read.SerializeToString()
    checked = onnx_reader._checked(tmp_path / "m.onnx", read)
    assert checked == plain


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (nn.Linear(2, 2), True),
        ({"model": nn.Linear(2, 2)}, True),
        ({"w": Hostile()}, True),
        ({"mean": np.float64(1)}, True),
        (nn.Linear(2, 2).state_dict(), False),
        ({"a": nn.Parameter(torch.zeros(2)), "b": torch.Size([2]), "c": {1, 2j}, "d": torch.float16}, False),
    ],
    ids=["module", "within", "hostile", "numpy", "weights", "plain"],
)
def test_objects_are_seen_before_torch_is_imported(tmp_path, content, refused, zipped):
    """What is refused is what torch's own reader refuses."""
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=zipped)
    assert exports.holds_objects(tmp_path / "c.pt") is refused
    reading = pytest.raises(pickle.UnpicklingError) if refused else contextlib.nullcontext()
    with reading:
        torch.load(tmp_path / "c.pt", weights_only=True)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_objects_are_seen_in_every_version_of_pickle(tmp_path, protocol):
    (tmp_path / "c.pkl").write_bytes(pickle.dumps([1, Hostile()], protocol))
    assert exports.holds_objects(tmp_path / "c.pkl")


def test_no_class_that_torch_reads_is_seen_as_an_object():
    """Torch's list is none of its interface, so that it is only asked for the modules in it."""
    for name in torch._weights_only_unpickler._get_allowed_globals():
        module = name.rpartition(".")[0]
        assert module.partition(".")[0] in exports.OUTERMOST
        assert not module.startswith(exports.MODULES)


def test_the_hostile_files_would_have_run(tmp_path, monkeypatch):
    """The traps of these tests spring where they are loaded carelessly."""
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Hostile()}, "h.pt")
    torch.load("h.pt", weights_only=False)
    assert (tmp_path / "trap").exists()
