"""What a checkpoint file must refuse: it may come from anyone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import random

import pytest
import torch

from disbench.errors import UsageError
from disbench.models import Checkpoint, load_checkpoint, save_checkpoint
from disbench.models import checkpoint as file


@pytest.fixture
def checkpoint(make):
    method = make("vae", changes={"codes": 3})
    return Checkpoint(
        method="vae",
        config=method.config.written(),
        shape=method.data.shape,
        n=method.data.n,
        class_prior=None,
        dataset={"name": "toy", "size": 16, "sha256": "0" * 64},
        protocol="smoke",
        variant="",
        seed=7,
        step=2,
        weights=method.state_dict(),
    )


@pytest.fixture
def path(checkpoint, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def refused(path, match="."):
    with pytest.raises(UsageError, match=match) as error:
        load_checkpoint(path).build()
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def rewrite(path, **changes):
    """Change entries as a program would that writes such files itself, digest included."""
    values = {**torch.load(path, weights_only=True), **changes}
    fields = {f.name: values[f.name] for f in dataclasses.fields(Checkpoint) if f.name in values}
    with contextlib.suppress(AttributeError, TypeError):  # entries too odd to have a digest
        values["digest"] = file.digest(fields)
    torch.save(values, path)


def test_what_is_written_is_what_is_read(path, checkpoint):
    loaded = load_checkpoint(path)
    for field in dataclasses.fields(Checkpoint):
        if field.name != "weights":
            assert getattr(loaded, field.name) == getattr(checkpoint, field.name), field.name
    assert all(torch.equal(loaded.weights[k], v) for k, v in checkpoint.weights.items())


def test_nothing_is_left_beside_it(path):
    assert os.listdir(path.parent) == ["checkpoint.pt"]


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("how", ["pickle", "torch", "inside"])
def test_code_in_the_file_is_not_run(path, tmp_path, how):
    hostile = Hostile(tmp_path / "made")
    if how == "pickle":
        path.write_bytes(pickle.dumps(hostile, protocol=2))
    elif how == "torch":
        torch.save(hostile, path)
    else:
        torch.save({**torch.load(path, weights_only=True), "dataset": {"name": hostile}}, path)
    refused(path, "could run code")
    assert not (tmp_path / "made").exists()
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert (tmp_path / "made").exists()  # the file was a real threat


def test_a_whole_model_is_refused(path, make):
    torch.save(make("vae"), path)
    refused(path, "save `model.state_dict")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 100, b"\x89PNG\r\n", b"\0" * 4096]
)
def test_another_kind_of_file_is_refused(path, content):
    path.write_bytes(content)
    refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refused(tmp_path / "none.pt", "cannot read")
    refused(tmp_path, "cannot read")


@pytest.mark.parametrize(
    "content", [{}, [], 3, torch.zeros(3), {"weight": torch.zeros(2)}, {"kind": "other"}]
)
def test_a_torch_file_of_another_program_is_refused(path, content):
    torch.save(content, path)
    refused(path, "not a disbench checkpoint")


def test_another_format_is_refused(path):
    rewrite(path, format=2)
    refused(path, "format 2")


@pytest.mark.parametrize("field", sorted({f.name for f in dataclasses.fields(Checkpoint)} - {"plugin"}))
def test_a_missing_entry_is_named(path, field):
    values = torch.load(path, weights_only=True)
    del values[field]
    torch.save(values, path)
    refused(path, field)


def test_where_a_method_comes_from_is_kept_and_cannot_be_taken_away(checkpoint, tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(dataclasses.replace(checkpoint, plugin="mine.py, sha256 0"), path)
    assert load_checkpoint(path).plugin == "mine.py, sha256 0"
    values = torch.load(path, weights_only=True)
    del values["plugin"]
    torch.save(values, path)
    refused(path, "digest")


ODD = {
    "method": [3, "nosuch", None],
    "config": [[], {"steps": "many"}, {}],
    "shape": [(1, 16), (1, -1, 16), "abc", (1, 10**9, 16)],
    "weights": [{}, {"encoder": 3}, [torch.zeros(2)], {3: torch.zeros(2)}],
    "seed": ["0", None],
    "n": [None, "many"],
}


@pytest.mark.parametrize(("field", "value"), [(k, v) for k, values in ODD.items() for v in values])
def test_an_entry_of_the_wrong_kind_is_refused(path, field, value):
    rewrite(path, **{field: value})
    refused(path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("codes", "three"), ("codes", -1), ("nets", "nosuch"), ("codes", None), ("codes", 2.5)],
)
def test_a_setting_that_makes_no_sense_is_refused(path, checkpoint, setting, value):
    rewrite(path, config={**checkpoint.config, setting: value})
    refused(path)


def test_weights_of_other_shapes_and_names_are_refused(path, checkpoint):
    weights = dict(checkpoint.weights)
    name = next(iter(weights))
    rewrite(path, weights={**weights, name: torch.zeros(2, 2)})
    refused(path, "do not fit")
    rewrite(path, weights={k: v for k, v in weights.items() if k != name})
    refused(path, "do not fit")
    rewrite(path, weights={**weights, "extra": torch.zeros(1)})
    refused(path, "do not fit")


def test_settings_of_another_version_are_refused(path, checkpoint):
    rewrite(path, config={**checkpoint.config, "added_later": 1})
    refused(path, "added_later")


@pytest.mark.parametrize("steps", [1, 2])
def test_a_checkpoint_from_before_a_setting_has_its_value_there(make, checkpoint, tmp_path, steps):
    """One of IB-GAN is equal with and without the later setting where that changes nothing."""
    method = make("ibgan", changes={"g_steps": steps})
    config = method.config.written()
    assert config.get("g_steps") == (None if steps == 1 else steps)
    assert "d_steps" not in config
    saved = dataclasses.replace(checkpoint, method="ibgan", config=config, weights=method.state_dict())
    save_checkpoint(saved, tmp_path / "ibgan.pt")
    assert load_checkpoint(tmp_path / "ibgan.pt").build().config == method.config


def test_a_flipped_bit_never_passes_unseen(path, checkpoint):
    """Somewhere in the file, anywhere: refused with a sentence, or the very same checkpoint."""
    whole = path.read_bytes()
    dice = random.Random(0)
    for _ in range(150):
        at, bit = dice.randrange(len(whole)), dice.randrange(8)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            loaded = load_checkpoint(path)
            method = loaded.build()
        except UsageError:
            continue
        assert loaded.config == checkpoint.config
        assert loaded.seed == checkpoint.seed
        assert all(torch.equal(v, checkpoint.weights[k]) for k, v in method.state_dict().items()), (at, bit)


def test_a_tensor_that_is_huge_in_memory_alone_is_refused(path):
    rewrite_raw(path, weights={"w": torch.zeros(1).expand(2**40)})
    refused(path, "unpacks to 4,398,046,511,104 bytes or more")


def test_lists_that_hold_each_other_are_refused(path):
    values = ["ha"]
    for _ in range(30):
        values = [values, values]
    rewrite_raw(path, config={"steps": values})
    refused(path, "more than 100,000 entries")


@pytest.mark.parametrize(
    "odd",
    [
        torch.zeros(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64).conj(),
        torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "conjugated", "quantised"],
)
def test_tensors_that_are_no_plain_arrays_are_refused(path, odd):
    rewrite_raw(path, weights={"w": odd})
    refused(path, "no plain array")


def rewrite_raw(path, **changes):
    """Change entries and leave the digest as it is."""
    torch.save({**torch.load(path, weights_only=True), **changes}, path)
