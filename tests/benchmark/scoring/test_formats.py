"""Codes in every kind of file: the numbers that were written, where they are clear, or the way out."""

import json
import pickle
import types
import zipfile

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

import disbench
from disbench.benchmark.scoring import encoders
from disbench.benchmark.scoring.sources import SourceOptions as Options
from disbench.benchmark.scoring.sources import open_source
from disbench.errors import UsageError

F = np.stack(np.unravel_index(np.arange(20), (4, 5)), axis=1)
Z = np.rint(100 * np.random.default_rng(3).normal(size=(20, 3))) / 4  # exact in float32, and in text
NAMES = ["z0", "z1", "z2"]


def opened(path, **options):
    return open_source(path, Options(**options))


def codes(path, **options):
    return opened(path, **options).source.codes(np.arange(20))


# --- Writers: codes Z beside factors F ---


def matlab_73(path, **arrays):
    """As MATLAB writes version 7.3: HDF5 behind a block of 512 bytes, the axes in reverse."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, str):
                file[name] = np.array([[ord(letter)] for letter in array], np.uint16)
                file[name].attrs["MATLAB_class"] = np.bytes_("char")
            else:
                file[name] = np.atleast_2d(array).T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    content = bytearray(path.read_bytes())
    content[:19] = b"MATLAB 7.3 MAT-file"
    path.write_bytes(content)


def matlab_73_lines(path, factor_names, **arrays):
    """The same with texts of one length, one in each row of a matrix of characters."""
    matlab_73(path, **arrays)
    lines = np.array([[ord(letter) for letter in name.ljust(5)] for name in factor_names], np.uint16)
    with h5py.File(path, "r+") as file:
        file["factor_names"] = lines.T
        file["factor_names"].attrs["MATLAB_class"] = np.bytes_("char")


def groups(path):
    with h5py.File(path, "w") as file:
        file["run/epoch9/codes"], file["run/epoch9/factors"] = Z, F
        file["run/loss"] = np.zeros(7)
        file["run/again"] = file["run"]  # a loop


def nested(path):
    torch.save({"val": {"codes": torch.from_numpy(Z), "factors": torch.from_numpy(F)}, "epoch": 3}, path)


def frame():
    return pd.DataFrame(Z, columns=NAMES).assign(factor_a=F[:, 0], factor_b=F[:, 1])


def text(separator=",", before="", header=True):
    def write(path):
        path.write_text(before + frame().to_csv(sep=separator, index=False, header=header))

    return write


def arrow_stream(path):
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


T, TF = torch.from_numpy(Z), torch.from_numpy(F)
WRITERS = {
    "npz": lambda p: np.savez(p.with_suffix(".npz"), codes=Z, factors=F),
    "safetensors": lambda p: save_file({"codes": Z, "factors": F}, p),
    "safetensors, bfloat16": lambda p: save_tensors({"codes": T.bfloat16(), "factors": TF}, p),
    "safetensors, another name": lambda p: save_file({"x": Z, "factors": F}, p),
    "pt": lambda p: torch.save({"codes": T, "factors": TF}, p),
    "pt, with a gradient": lambda p: torch.save({"codes": T.clone().requires_grad_(), "factors": TF}, p),
    "pt, parameter": lambda p: torch.save({"mu": torch.nn.Parameter(T), "factors": TF}, p),
    "pt, before archives": lambda p: torch.save(
        {"codes": T, "factors": TF}, p, _use_new_zipfile_serialization=False
    ),
    "pt, nested": nested,
    "mat 5": lambda p: scipy.io.savemat(p, {"codes": Z, "factors": F}),
    "mat 5, compressed": lambda p: scipy.io.savemat(p, {"codes": Z, "factors": F}, do_compression=True),
    "mat 5, sparse": lambda p: scipy.io.savemat(p, {"codes": scipy.sparse.csc_array(Z), "factors": F}),
    "mat 5, beside cells": lambda p: scipy.io.savemat(
        p, {"codes": Z, "factors": F, "cell": np.array([1, "a"], object), "struct": {"a": 1}}
    ),
    "mat 7.3": lambda p: matlab_73(p, codes=Z, factors=F),
    "HDF5 groups": groups,
    "feather": lambda p: frame().to_feather(p),
    "feather, compressed": lambda p: frame().to_feather(p, compression="zstd"),
    "arrow stream": arrow_stream,
    "parquet": lambda p: frame().to_parquet(p, index=False),
    "CSV": text(),
    "CSV with semicolons": text(";"),
    "CSV with tabs": text("\t"),
    "CSV with comments": text(before="# made by hand\n\n# z = mean\n"),
    "CSV with quotes": lambda p: p.write_text(frame().to_csv(index=False, quoting=1)),
    "CSV with a mark": lambda p: frame().to_csv(p, index=False, encoding="utf-8-sig"),
    "CSV of Windows": lambda p: frame().to_csv(p, index=False, lineterminator="\r\n"),
}  # fmt: skip
EXACT = {name for name in WRITERS if "bfloat16" not in name}


@pytest.mark.parametrize("name", WRITERS)
def test_the_codes_in_a_file_are_those_that_were_written(tmp_path, name):
    path = tmp_path / "codes"
    WRITERS[name](path)
    (path,) = tmp_path.iterdir()
    found = opened(path)
    written = Z if name in EXACT else T.bfloat16().double().numpy()
    assert np.array_equal(found.source.codes(np.arange(20)), written)
    assert np.array_equal(found.data.factors(np.arange(20)), F)
    assert any(note.startswith("the codes are its ") for note in found.assumed)


def test_columns_of_a_frame_in_memory_are_those_of_a_file():
    scored = disbench.score(frame(), metrics="mig")
    assert scored.opened.data.factor_names == ("a", "b")
    assert scored["mig"] == disbench.score(Z, factors=F, metrics="mig")["mig"]
    assert "the codes are its 3 columns z0, z1, z2" in scored.assumed
    polars = types.SimpleNamespace(columns=["z0"])
    with pytest.raises(
        UsageError, match="the array: codes must be a table of numbers, but types SimpleNamespace was given"
    ):
        disbench.score(polars, factors=F)


@pytest.mark.parametrize(
    "wrap",
    [np.ndarray.tolist, torch.from_numpy, lambda z: torch.tensor(z * 1.0).requires_grad_(), pd.DataFrame],
    ids=["list", "tensor", "gradient", "frame"],
)
def test_codes_and_factors_in_memory_may_be_of_any_library(wrap):
    expected = disbench.score(Z, factors=F, metrics="mig")["mig"]
    assert disbench.score(wrap(Z), factors=wrap(F), metrics="mig")["mig"] == expected


def test_bfloat16_scores_as_its_numbers_do():
    z = torch.from_numpy(Z).bfloat16()
    expected = disbench.score(z.float().numpy(), factors=F, metrics="mig")["mig"]
    assert disbench.score(z, factors=F, metrics="mig")["mig"] == expected


def test_a_frame_whose_rows_have_names_is_not_paired_by_position():
    mixed = frame().sample(frac=1, random_state=0)
    expected = disbench.score(frame(), metrics="mig")["mig"]
    assert disbench.score(mixed.reset_index(drop=True), metrics="mig")["mig"] == pytest.approx(expected)
    with pytest.raises(UsageError, match=r"row labels \(an index\) of its own"):
        disbench.score(mixed[NAMES], dataset="digits")
    with pytest.raises(UsageError, match=r"row labels .* differ"):
        disbench.score(mixed[NAMES], factors=pd.DataFrame(F))
    with pytest.raises(UsageError, match=r"codes and rows .* row labels .* differ"):
        disbench.score(mixed[NAMES], dataset="digits", rows=pd.Series(range(len(F))))
    factors = pd.DataFrame(F).loc[mixed.index]
    assert disbench.score(mixed[NAMES], factors=factors, metrics="mig")["mig"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["c.parquet", "c.feather"])
def test_an_ordered_category_keeps_its_order_in_a_file(tmp_path, name):
    """As in the frame that was written: the alphabet's order of high, low, mid is no order of sizes."""
    place = np.arange(60) % 3
    size = pd.Categorical.from_codes(place, ["low", "mid", "high"], ordered=True)
    told = pd.DataFrame({"z0": place + 0.25, "factor_size": size})
    for table, expected in ((told, 1), (told.astype({"factor_size": str}), 0.5)):
        if name == "c.parquet":
            table.to_parquet(tmp_path / name, index=False, row_group_size=7)
        else:
            table.to_feather(tmp_path / name)
        assert disbench.score(table, metrics="mcc")["mcc"] == pytest.approx(expected)
        assert disbench.score(tmp_path / name, metrics="mcc")["mcc"] == pytest.approx(expected)


# --- What is a code, and what is not ---

EXTRA = ("label", "y", "target", "index", "id", "factors_a", "z", "epoch", "sigma_0", "0", "logvar0")


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("kind", ["csv", "parquet", "feather", "memory"])
def test_a_column_that_may_be_no_code_is_refused_and_named(tmp_path, extra, kind):
    table = frame().assign(**{extra: F[:, 0]})
    path = tmp_path / "c"
    if kind != "memory":
        writer = {"csv": table.to_csv, "parquet": table.to_parquet, "feather": table.to_feather}[kind]
        writer(path, **({} if kind == "feather" else {"index": False}))
    given = table if kind == "memory" else path
    with pytest.raises(UsageError, match=rf"may be no codes: .*\b{extra}\b") as refused:
        disbench.score(given, metrics="mig")
    assert "name the codes with array" in str(refused.value)
    scored = disbench.score(given, metrics="mig", array="z?")
    assert scored["mig"] == disbench.score(Z, factors=F, metrics="mig")["mig"]
    assert f"left out: {extra}" in scored.assumed


def test_codes_of_any_names_are_named(tmp_path):
    table = pd.DataFrame(Z, columns=["wide", "tall", "bright"]).assign(text="a", factor_a=F[:, 0])
    table.to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(UsageError, match="may be no codes: wide, tall, bright, text"):
        opened(tmp_path / "c.csv")
    found = opened(tmp_path / "c.csv", array="wide, tall,bright")
    assert np.array_equal(found.source.codes(np.arange(20)), Z)
    with pytest.raises(UsageError, match="has no column 'q' for array; it has"):
        opened(tmp_path / "c.csv", array="q")
    with pytest.raises(UsageError, match="text where numbers belong, in the column 'text' 'a'"):
        opened(tmp_path / "c.csv", array="*")


def test_columns_named_like_the_data_set_s_factors(tmp_path):
    data = disbench.datasets.load("digits")
    z = np.random.default_rng(0).normal(size=(len(data), 2))
    labels = np.asarray(data.factors(np.arange(len(data))))[:, 0]
    pd.DataFrame(z, columns=["z0", "z1"]).assign(**{"class": labels}).to_csv(tmp_path / "c.csv", index=False)
    found = disbench.score(tmp_path / "c.csv", dataset="digits", metrics="mig")
    assert found["mig"] < 0.01
    pd.DataFrame(z, columns=["z0", "z1"]).assign(label=labels).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(UsageError, match="may be no codes: label"):
        disbench.score(tmp_path / "c.csv", dataset="digits", metrics="mig")


def test_a_label_or_an_index_among_codes_without_names_is_pointed_out():
    fractions = Z + 0.1
    label = disbench.score(np.c_[fractions, F[:, 0]], factors=F, metrics="mig").assumed
    assert "code '3' has whole numbers alone, unlike most; is it a label?" in label
    index = disbench.score(np.c_[np.arange(20), fractions], factors=F, metrics="mig").assumed
    assert "code '0' counts the rows; is it an index?" in index
    for usual in (fractions, F, np.c_[fractions, np.ones(20)]):
        assert not any("is it a" in note for note in disbench.score(usual, factors=F, metrics="mig").assumed)


def test_an_array_of_any_name(tmp_path):
    np.savez(tmp_path / "c.npz", mean=Z, scaled=-Z, factors=F)
    with pytest.raises(UsageError, match=r"holds \['factors', 'mean', 'scaled'\]; say .* with array NAME"):
        opened(tmp_path / "c.npz")
    assert np.array_equal(codes(tmp_path / "c.npz", array="mean"), Z)
    assert "left out: scaled" in opened(tmp_path / "c.npz", array="mean").assumed
    with pytest.raises(UsageError, match="has no array 'q' for array; it holds"):
        opened(tmp_path / "c.npz", array="q")
    np.savez(tmp_path / "c.npz", mean=Z, logvar=-Z, labels=F[:, 0], factors=F)
    assert np.array_equal(codes(tmp_path / "c.npz"), Z)
    notes = opened(tmp_path / "c.npz").assumed
    assert "the codes are its array 'mean' (20, 3), the only one of no other meaning" in notes
    assert "their log-variances are its array 'logvar' (20, 3)" in notes
    assert "left out: labels" in notes
    np.save(tmp_path / "c.npy", Z)
    with pytest.raises(UsageError, match="holds one array, without a name; omit array"):
        opened(tmp_path / "c.npy", array="mean", factors=F)
    np.savez(tmp_path / "c.npz", labels=F[:, :1], factors=F)
    with pytest.raises(UsageError, match=r"holds \['factors', 'labels'\]"):
        opened(tmp_path / "c.npz")


def test_factors_in_another_file(tmp_path, disbench):
    np.save(tmp_path / "c.npy", Z)
    torch.save(torch.from_numpy(Z), tmp_path / "c.pt")
    expected = score_json(disbench, write_npz(tmp_path / "both.npz"))[0]["scores"]
    np.save(tmp_path / "f.npy", F)
    np.savez(tmp_path / "f.npz", factors=F, images=np.zeros(3))
    pd.DataFrame(F, columns=["shape", "x"]).to_csv(tmp_path / "f.csv", index=False)
    for source in ("c.npy", "c.pt"):
        for file in ("f.npy", "f.npz", "f.csv"):
            printed = score_json(disbench, tmp_path / source, "--factors", tmp_path / file)
            assert printed[0]["scores"][0]["score"] == expected[0]["score"]
            assert f"the factors are those of {file}, line by line" in printed[0]["assumed"]
    both = score_json(disbench, tmp_path / "c.npy", tmp_path / "c.pt", "--factors", tmp_path / "f.csv")
    assert len(both) == 2


def write_npz(path):
    np.savez(path, codes=Z, factors=F)
    return path


def score_json(disbench, *arguments):
    code, out, err = disbench("score", *arguments, "--metrics", "mig", "--json")
    assert code == 0, err
    return json.loads(out)["details"]


def test_factors_that_do_not_fit(tmp_path):
    np.save(tmp_path / "c.npy", Z)
    pd.DataFrame(F, columns=["shape", "x"]).assign(row=range(20)).to_csv(tmp_path / "row.csv", index=False)
    np.savez(tmp_path / "two.npz", a=F, b=F)
    np.save(tmp_path / "few.npy", F[:19])
    for file, sentence in (
        ("row.csv", "has 'row' beside its factors"),
        ("two.npz", "name the table .* of factors 'factors'"),
        ("few.npy", "20 codes, but 19 factors"),
        ("none.npy", "No such file"),
    ):
        with pytest.raises(UsageError, match=sentence):
            opened(tmp_path / "c.npy", factors=str(tmp_path / file))
    with pytest.raises(UsageError, match="brings its own factors; omit factors"):
        opened(write_npz(tmp_path / "both.npz"), factors=F)


# --- MATLAB ---


@pytest.mark.parametrize("save", [lambda p, **a: scipy.io.savemat(p, a), matlab_73], ids=["5", "7.3"])
def test_vectors_and_words_of_matlab(tmp_path, save):
    data = disbench.datasets.load("digits")
    z = np.rint(100 * np.random.default_rng(0).normal(size=(30, 2)))
    rows = np.arange(5, 35)
    save(tmp_path / "m.mat", codes=z, rows=rows[:, None] + 0.0, dataset="digits")
    found = opened(tmp_path / "m.mat")
    assert np.array_equal(found.source.codes(rows), z)
    assert found.data.name == data.name
    assert "its rows count from 0, not from 1 as MATLAB does" in found.assumed
    save(tmp_path / "m.mat", codes=z, rows=rows[None] + 0.5, dataset="digits")
    with pytest.raises(UsageError, match="rows must be whole numbers"):
        opened(tmp_path / "m.mat")


def test_cells_and_structures_of_matlab_are_named(tmp_path):
    scipy.io.savemat(tmp_path / "m.mat", {"data": {"codes": Z}})
    with pytest.raises(UsageError, match=r"holds \[\] \(and data, no plain arrays\)"):
        opened(tmp_path / "m.mat", factors=F)
    scipy.io.savemat(tmp_path / "m.mat", {"codes": Z, "data": {"a": 1}})
    assert "left out: data" in opened(tmp_path / "m.mat", factors=F).assumed


def test_hdf5_without_a_table(tmp_path):
    for make, sentence in (
        (lambda file: file.create_dataset("codes", data=h5py.Empty("f4")), "codes is empty"),
        (lambda file: file.create_dataset("codes", (20,), h5py.vlen_dtype("f4")), "lists of any length"),
        (lambda file: file.create_dataset("codes", data=["a"] * 20), "they are text"),
        (lambda file: file.create_dataset("codes", data=np.zeros(20, [("z0", "f4")])), "records of z0"),
    ):
        with h5py.File(tmp_path / "c.h5", "w") as file:
            make(file)
        with pytest.raises(UsageError, match=sentence):
            opened(tmp_path / "c.h5", factors=F)


def test_a_matlab_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    from disbench.benchmark.scoring import formats

    scipy.io.savemat(tmp_path / "m.mat", {"codes": np.zeros((1000, 10))}, do_compression=True)
    monkeypatch.setattr(formats, "LIMIT", 20_000)
    with pytest.raises(UsageError, match="unpacks to more than the 20,000 bytes"):
        opened(tmp_path / "m.mat", factors=F)


# --- Text ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("z0;z1\n0,5;1,5\n1,5;2,5\n", "'0,5'; write numbers with a decimal point"),
        ("z0,z1\n1,2,3\n4,5,6\n", "2 names for 3 columns; write one name for each"),
        ('"z0" "z1"\n"1" 0.1 0.2\n"2" 0.3 0.4\n', r"2 names for 3 columns; .* in R row.names=FALSE"),
        ("z0,z0\n1,2\n3,4\n", "2 columns are named 'z0'"),
        (",z0\n0,1\n1,2\n", "column without a name"),
        ("z0/z1\n1/2\n3/4\n", "text where numbers belong"),
        ("z0,z1\n", "a line of names and no other"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        ("<!DOCTYPE html>\n<p>moved</p>\n", "web page or XML"),
        ('{"z0": [1, 2]}\n', r"is JSON, which is not read\. Export it: import pandas"),
        ("# a\n# b\n", "a line of names and no other"),
    ],
)
def test_text_that_is_no_table_of_codes(tmp_path, text, sentence):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(UsageError, match=sentence) as refused:
        opened(tmp_path / "c.csv", factors=np.arange(2)[:, None])
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("0,1\n0.5,1.5\n2.5,3.5\n", "its first line, 0 to 1, is taken for names"),
        ("# z0,z1\n0.5,1.5\n2.5,3.5\n", "the names of its columns are those of its line that begins with #"),
        ("# made\n0.5,1.5\n2.5,3.5\n", "its lines that begin with # are left out"),
        ("0.5 1.5\n2.5 3.5\n", "it has no line of names"),
        ("0.5;1.5\n2.5;3.5\n", "its columns are separated by semicolons"),
    ],
)
def test_text_without_a_line_of_names(tmp_path, text, note):
    (tmp_path / "c.csv").write_text(text)
    found = opened(tmp_path / "c.csv", factors=np.arange(2)[:, None])
    assert found.source.codes(np.arange(2)).tolist() == [[0.5, 1.5], [2.5, 3.5]]
    assert note in found.assumed


# --- Weights ---

FACTORY = """
import torch

def enc():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 8))

def wrapped():
    return torch.nn.ModuleDict({"model": enc()})

class Wrapping(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = enc()

    def forward(self, images):
        return self.model(images)
"""


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factory")
    (folder / "fac_of_formats.py").write_text(FACTORY)
    return folder


def weights(change=str):
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 8))
    return {change(name): tensor for name, tensor in net.state_dict().items()}


PREFIXES = (
    "",
    "module.",
    "_orig_mod.",
    "model.",
    "module._orig_mod.",
    "model._orig_mod.",
    "_orig_mod.module.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("save", [torch.save, save_tensors], ids=["pt", "safetensors"])
def test_weights_of_a_module_that_was_wrapped(tmp_path, factory, monkeypatch, prefix, save):
    monkeypatch.syspath_prepend(str(factory))
    torch.manual_seed(1)
    direct = torch.nn.Linear(784, 8)
    save(weights(lambda name: prefix + name), tmp_path / "w")
    found = opened(tmp_path / "w", factory="fac_of_formats:enc", dataset="digits")
    data = disbench.datasets.load("digits", size=28)
    with torch.no_grad():
        expected = direct(data.images(np.arange(20)).flatten(1))
    assert np.allclose(found.source.codes(np.arange(20)), expected.numpy(), atol=1e-5)
    assert bool(prefix) == any("left out" in note for note in found.assumed)


@pytest.mark.parametrize("made", ["bare", "shaped", "named", "defaulted", "Own"])
def test_a_factory_gets_the_shape_only_where_it_needs_an_argument(tmp_path, monkeypatch, made):
    """A class with a default beside its module is a factory too: it gets its own 3 and no shape."""
    (tmp_path / "fac_of_arguments.py").write_text(
        "from torch import nn\n"
        "class Own(nn.Linear):\n"
        "    def __init__(self, latents=3):\n        super().__init__(256, latents)\n"
        "def bare():\n    return Own()\n"
        "def shaped(shape):\n    assert shape == (1, 16, 16)\n    return Own()\n"
        "def named(shape=None):\n    assert shape == (1, 16, 16)\n    return Own()\n"
        "def defaulted(latents=3, *more, last=False, **others):\n    return Own(latents)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.save(torch.nn.Linear(256, 3).state_dict(), tmp_path / "w.pt")
    network = encoders.from_factory(tmp_path / "w.pt", f"fac_of_arguments:{made}", (1, 16, 16))
    assert network.run(torch.zeros(2, 256)).shape == (2, 3)


def test_a_part_that_was_compiled_and_a_factory_that_has_the_prefix_itself(tmp_path, factory, monkeypatch):
    monkeypatch.syspath_prepend(str(factory))
    options = {"factory": "fac_of_formats:Wrapping", "dataset": "digits"}
    torch.save(weights(lambda name: f"model.{name}"), tmp_path / "w.pt")
    assert not any("left out" in note for note in opened(tmp_path / "w.pt", **options).assumed)
    torch.save(weights(lambda name: f"model._orig_mod.{name}"), tmp_path / "w.pt")
    assert any("torch.compile's" in note for note in opened(tmp_path / "w.pt", **options).assumed)


def test_names_that_do_not_fit_are_still_refused(tmp_path, factory, monkeypatch):
    monkeypatch.syspath_prepend(str(factory))
    torch.save({**weights(lambda name: f"model.{name}"), "loss.w": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"it lacks .*1.weight.* unknown are .*loss.w"):
        opened(tmp_path / "w.pt", factory="fac_of_formats:enc", dataset="digits")


@pytest.mark.parametrize("save", [torch.save, save_tensors], ids=["pt", "safetensors"])
def test_tensors_that_may_be_weights_are_no_codes_in_silence(tmp_path, save):
    save({"weight": torch.ones(20, 3)}, tmp_path / "w")
    with pytest.raises(UsageError, match=r"a state dict of 1 tensors; say .* with array NAME"):
        opened(tmp_path / "w", factors=F)
    save({"weight": T.float().contiguous()}, tmp_path / "w")
    assert np.array_equal(codes(tmp_path / "w", array="weight", factors=F), Z)


# --- What stays refused has a way out ---


class Settings:
    """Any class of a stranger."""


def saved(what, **given):
    return lambda path: torch.save(what, path, **given)


def raw(content):
    return lambda path: path.write_bytes(content)


def zipped(*names):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "")

    return write


def keras_folder(path):
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")


def hub_folder(path):
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"")


def keras_hdf5(path):
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.15"
        file["model_weights/dense/kernel"] = np.ones((3, 2))


OBJECT = Settings()
WAYS_OUT = {
    "a module": (saved(torch.nn.Linear(2, 2)), ".state_dict(), \"weights.pt\")"),
    "Lightning": (
        saved({"state_dict": weights(), "hyper_parameters": OBJECT}),
        '["state_dict"], "weights.pt")',
    ),
    "numpy in pt": (saved({"codes": Z}), 'numpy.savez("codes.npz", **torch.load('),
    "a pickle of numpy": (raw(pickle.dumps(Z)), 'codes=pickle.load(open(\'f\', "rb")))'),
    "a pickle of pandas": (raw(pickle.dumps(frame())), "pandas.read_pickle('f').to_parquet("),
    "a pickle of anything": (raw(pickle.dumps(OBJECT)), 'numpy.savez("codes.npz", codes=codes)'),
    "Keras": (zipped("config.json", "model.weights.h5"), "keras.saving.load_model('f').predict"),
    "Keras in HDF5": (keras_hdf5, "keras.saving.load_model('f').predict"),
    "TensorFlow": (keras_folder, "tensorflow.saved_model.load('f')(images))"),
    "a folder of the hub": (hub_folder, "give the file model.safetensors in it"),
    "Excel": (zipped("xl/workbook.xml"), "pandas.read_excel('f').to_csv("),
    "gzip": (raw(b"\x1f\x8b\x08\x00"), "unpack it first"),
    "UTF-16": (raw("z0,z1\n1,2\n".encode("utf-16")), "write it in UTF-8"),
    "Latin-1": (raw("größe0\n1\n".encode("latin-1")), "an encoding other than UTF-8"),
    "TensorFlow Lite": (raw(b"\x1c\0\0\0TFL3\0\0"), "save its codes"),
    "Feather 1": (raw(b"FEA1\0\0\0\0"), "pandas.DataFrame.to_feather"),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS_OUT)
def test_what_is_refused_names_the_lines_that_export_it(tmp_path, name):
    write, words = WAYS_OUT[name]
    write(tmp_path / "f")
    with pytest.raises(UsageError) as refused:
        opened(tmp_path / "f", dataset="digits")
    assert words in str(refused.value)
    assert str(refused.value).isprintable()


def test_the_lines_that_export_do_so(tmp_path, monkeypatch):
    """They are run as they are printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("a module", "Lightning", "numpy in pt", "a pickle of numpy", "a pickle of pandas"):
        WAYS_OUT[name][0](tmp_path / "f")
        with pytest.raises(UsageError) as refused:
            opened(tmp_path / "f")
        exec(str(refused.value).partition("export it: ")[2], {})
        for made in ("weights.pt", "codes.npz", "codes.parquet"):
            if (tmp_path / made).exists():
                if made == "weights.pt":
                    assert all(
                        isinstance(w, torch.Tensor) for w in torch.load(made, weights_only=True).values()
                    )
                else:
                    factors = None if made.endswith("parquet") else F
                    assert np.array_equal(codes(tmp_path / made, factors=factors), Z)
                (tmp_path / made).unlink()
                break
        else:
            raise AssertionError(f"{name}: nothing was written")


# --- Type, layout and container ---

TYPES = ("f2", "f4", "f8", ">f8", "?", "i1", ">i4", "i8", "u1", ">u2")
LAYOUTS = (np.ascontiguousarray, np.asfortranarray, lambda z: z[::-1].copy()[::-1])
CONTAINERS = {
    "npy": lambda p, z: np.save(p.with_suffix(".npy"), z),
    "npz": lambda p, z: np.savez(p, z=z),
    "zipped": lambda p, z: np.savez_compressed(p, z=z),
    "hdf5": lambda p, z: hdf5(p, z),
    "mat": lambda p, z: scipy.io.savemat(p, {"z": z}, appendmat=False),
    "matlab 7.3": lambda p, z: matlab_73(p, z=z),
    "pt": lambda p, z: torch.save({"z": torch.from_numpy(native(z))}, p),
    "safetensors": lambda p, z: save_file({"z": native(z)}, p),
    "csv": lambda p, z: named(z).to_csv(p, index=False),
    "semicolons": lambda p, z: named(z).to_csv(p, index=False, sep=";"),
    "parquet": lambda p, z: named(native(z)).to_parquet(p, index=False),
    "feather": lambda p, z: named(native(z)).to_feather(p),
}


def native(z):
    return np.ascontiguousarray(z).astype(z.dtype.newbyteorder("=")).copy()


def named(z):
    return pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])


def hdf5(path, z):
    with h5py.File(path, "w") as file:
        file["z"] = z


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    dtype=st.sampled_from(TYPES),
    layout=st.sampled_from(LAYOUTS),
    container=st.sampled_from(sorted(CONTAINERS)),
    d=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_no_number_changes_on_its_way_through_a_file(tmp_path_factory, dtype, layout, container, d, seed):
    numbers = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 101, (20, d))
    numbers[:2, 0] = 0, 1  # not constant
    folder = tmp_path_factory.mktemp("f")
    CONTAINERS[container](folder / "codes", layout(numbers.astype(dtype)))
    (path,) = folder.iterdir()
    found = opened(path, factors=F)
    assert np.array_equal(found.source.codes(np.arange(20)), numbers)


# --- What a function in memory may return ---


def sums(images):
    """Whole numbers, four per image."""
    return torch.stack([(16 * images[:, 0, i::4]).round().sum((1, 2)) for i in range(4)], 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "change",
    [
        torch.Tensor.double,
        torch.Tensor.int,
        torch.Tensor.to_sparse,
        lambda z: z.numpy(),
        lambda z: z.clone().requires_grad_(),
        lambda z: torch.quantize_per_tensor(z, 1.0, 0, torch.qint32),
    ],
    ids=["float64", "int", "sparse", "numpy", "gradient", "quantised"],
)
def test_a_function_may_return_any_array_of_numbers(change):
    expected = disbench.score(sums, dataset="digits", metrics="mig")["mig"]
    assert disbench.score(lambda x: change(sums(x)), dataset="digits", metrics="mig")["mig"] == expected


@pytest.mark.filterwarnings("ignore:.*(prototype|nested).*:UserWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda z: z.to("meta"),
        lambda z: z * 1j,
        lambda z: torch.nested.nested_tensor(list(z)),
        lambda z: z.numpy().astype(str),
    ],
    ids=["meta", "complex", "nested", "text"],
)
def test_what_a_function_returns_must_be_numbers(change):
    with pytest.raises(UsageError, match=r"is not a table \(b, d\) of codes"):
        disbench.score(lambda x: change(sums(x)), dataset="digits", metrics="mig")


def test_a_module_in_memory_leaves_in_the_mode_that_it_came_in():
    """Scored in the middle of its training, it was trained on without its dropout."""
    flat = torch.nn.Flatten().eval()
    module = torch.nn.Sequential(flat, torch.nn.Dropout(), torch.nn.Linear(784, 2))
    disbench.score(module, dataset="digits", metrics="mig", repeats=1)
    assert [part.training for part in module.modules()] == [True, False, True, True]
    with pytest.raises(UsageError, match="do not compare"):
        disbench.compare(module, "mini", dataset="digits")
    with pytest.raises(UsageError, match="unknown metric"):
        disbench.score(module, dataset="digits", metrics="nothing")
    assert module.training


# --- What says which images the codes are of is never dropped ---

MIXED = np.random.default_rng(1).permutation(1797)
ALL = np.random.default_rng(2).normal(size=(1797, 2))


def as_torch(path, **arrays):
    torch.save(
        {name: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for name, a in arrays.items()}, path
    )


def as_hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        file["elsewhere"] = MIXED[:3]
        for name, array in arrays.items():
            file[name] = array


@pytest.mark.parametrize("rows", [list, tuple])
def test_rows_and_factors_of_a_torch_file_may_be_lists(tmp_path, rows):
    as_torch(tmp_path / "c.pt", codes=ALL, rows=rows(MIXED.tolist()))
    source = opened(tmp_path / "c.pt", dataset="digits").source
    assert np.array_equal(source.table[MIXED], ALL)
    words = [[f"s{a}", int(b)] for a, b in F]
    as_torch(
        tmp_path / "f.pt",
        codes=Z,
        factors=words,
        factor_names=["shape", "x"],
        epoch=3,
        loss=[0.5, 0.1],
        best=None,
    )
    one = opened(tmp_path / "f.pt")
    assert np.array_equal(one.source.codes(np.arange(20)), Z)
    assert one.data.factor_names == ("shape", "x")
    assert "left out: epoch, best, loss" in one.assumed or "left out: epoch, loss, best" in one.assumed


@pytest.mark.parametrize(
    ("save", "beside"),
    [
        (as_torch, {"rows": None}),
        (as_torch, {"rows": 1.5}),
        (as_torch, {"rows": {"train": torch.arange(3)}}),
        (as_torch, {"size": 28.0}),
        (as_hdf5, {"rows": h5py.SoftLink("/elsewhere")}),
        (as_hdf5, {"rows": h5py.ExternalLink("other.h5", "/rows")}),
        (as_hdf5, {"rows/train": MIXED}),
        (as_hdf5, {"run/codes": ALL, "run/rows": h5py.SoftLink("/elsewhere")}),
    ],
)
def test_rows_that_are_not_read_are_not_left_out_in_silence(tmp_path, save, beside):
    save(tmp_path / "c", **{"codes": ALL, **beside} if "run/codes" not in beside else beside)
    with pytest.raises(
        UsageError, match=r"'(run/)?(rows|size)' is no plain array, but perhaps a cell, group or"
    ):
        opened(tmp_path / "c", dataset="digits")


@pytest.mark.parametrize("name", ["row", "Rows", "index", "indices", "image_ids", "row_numbers"])
@pytest.mark.parametrize("save", [np.savez, as_torch, as_hdf5])
def test_row_numbers_of_another_name_are_not_left_out_in_silence(tmp_path, name, save):
    save(tmp_path / "c.npz", codes=ALL, **{name: MIXED})
    with pytest.raises(UsageError, match=f"holds '{name}' beside its codes: call it 'rows' if it says which"):
        opened(tmp_path / "c.npz", dataset="digits")
    # named, the codes are those, and the rest is left out
    (left,) = (s for s in opened(tmp_path / "c.npz", dataset="digits", array="codes").assumed if "left" in s)
    assert name in left


@pytest.mark.parametrize("name", ["Factors", "factor", "factor_values", "latents_classes"])
def test_factors_of_another_name_are_not_left_out_in_silence(tmp_path, name):
    np.savez(tmp_path / "c.npz", codes=ALL, **{name: np.arange(1797)})
    with pytest.raises(UsageError, match=f"holds '{name}' beside its codes: call it 'factors' if"):
        opened(tmp_path / "c.npz", dataset="digits")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.arange(20) % 2 == 0, "rows are truth values; pass the numbers of the rows, np.flatnonzero"),
        (np.full(20, 1e30), "row 9007199254740992 is outside the 1,797 images"),
        (np.full(20, 2**64 - 1, np.uint64), "row 9007199254740992 is outside the 1,797 images"),
        (np.arange(20) + 0.5, "some are fractions"),
    ],
)
def test_rows_that_are_none(tmp_path, rows, sentence):
    np.savez(tmp_path / "c.npz", codes=Z, rows=rows)
    with pytest.raises(UsageError, match=sentence):
        opened(tmp_path / "c.npz", dataset="digits")


@pytest.mark.parametrize("save", [np.savez, as_torch, scipy.io.savemat])
def test_codes_and_factors_that_are_both_transposed(tmp_path, save):
    arrays = {"codes": np.ascontiguousarray(Z.T), "factors": np.ascontiguousarray(np.c_[F, F[:, :1]].T)}
    if save is scipy.io.savemat:
        save(tmp_path / "c.npz", arrays, appendmat=False)
    else:
        save(tmp_path / "c.npz", **arrays)
    with pytest.raises(UsageError, match=r"\(3, 20\) have more columns than rows; are both transposed\?"):
        opened(tmp_path / "c.npz")


@pytest.mark.parametrize("save", [lambda p, **a: scipy.io.savemat(p, a), matlab_73_lines], ids=["5", "7.3"])
def test_lines_of_characters_of_matlab_are_texts(tmp_path, save):
    save(tmp_path / "c.mat", codes=Z, factors=F, factor_names=np.array(["shape", "x"]))
    assert opened(tmp_path / "c.mat").data.factor_names == ("shape", "x")


def test_the_first_line_of_labels_without_a_name_is_pointed_out(tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(["cat", "dog"] * 10))
    with pytest.raises(
        UsageError, match="20 codes, but 19 factors: one each; its first line, 'cat', was taken"
    ):
        disbench.score(Z, factors=tmp_path / "labels.txt", metrics="mig")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda text: "sep=,\n" + text, ""),
        (lambda text: "sep=;\n" + text.replace(",", ";"), "separated by semicolons"),
        (lambda text: text.replace(",", "|"), "separated by vertical bars"),
    ],
)
def test_separators_that_a_csv_file_may_have(tmp_path, change, note):
    (tmp_path / "c.csv").write_text(change(frame().to_csv(index=False)))
    assert np.array_equal(codes(tmp_path / "c.csv"), Z)
    assert note in " ".join(opened(tmp_path / "c.csv").assumed)


@pytest.mark.parametrize(
    ("save", "way"),
    [
        (lambda path: frame().to_pickle(path), r"pandas\.read_pickle\('f\.pkl'\)"),
        (lambda path: path.write_bytes(pickle.dumps({"factors": F})), r"pickle\.load\(open\('f\.pkl'"),
    ],
)
def test_a_pickle_of_factors_names_the_lines_that_export_it(tmp_path, save, way):
    save(tmp_path / "f.pkl")
    with pytest.raises(UsageError, match=f"export it: import .*{way}"):
        disbench.score(Z, factors=tmp_path / "f.pkl", metrics="mig")
