"""Which data set a result is of, and the image size that a protocol gets."""

import json

import numpy as np
import pytest

from disbench.benchmark.datasets import load, loading
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.benchmark.datasets.reference import DataRef
from disbench.errors import UsageError


@pytest.fixture
def own(tmp_path):
    """A file of the user's in a folder whose name has colons."""
    folder = tmp_path / "a:b.npz:c"
    folder.mkdir()
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(folder / "own.npz", images=images, labels=np.array([0, 1, 0, 1]))
    return folder / "own.npz"


def test_a_reference_says_name_size_and_content():
    data = Dataset("toy", "ab" * 32, ArrayStorage(np.zeros((3, 1, 16, 16), np.uint8)))
    reference = DataRef.of(data)
    assert reference == DataRef("toy", 16, "ab" * 32)
    assert reference.plain() == {"name": "toy", "size": 16, "sha256": "ab" * 32}


def test_as_json_and_back_it_is_the_same():
    reference = DataRef("mnist:imbalanced-7", 28, "0" * 64)
    assert DataRef.read(json.loads(json.dumps(reference.plain()))) == reference


def test_the_values_of_an_npz_file_are_read_too():
    """As `codes.npz` keeps them: texts and numbers of numpy."""
    values = {"name": np.str_("toy"), "size": np.int64(8), "sha256": np.str_("f" * 64)}
    assert DataRef.read(values) == DataRef("toy", 8, "f" * 64)


@pytest.mark.parametrize("change", [{"size": None}, {"name": None}, {"sha256": 3}, {"size": "8"}])
def test_half_a_reference_is_refused(change):
    values = {"name": "toy", "size": 8, "sha256": "f" * 64} | change
    with pytest.raises(UsageError, match="needs a name, a size in pixels and a sha256"):
        DataRef.read(values)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("dsprites", "dsprites"),
        ("mnist:train:imbalanced-7", "mnist:train:imbalanced-7"),
        ("/data/own.npz", "own.npz"),
        ("/a:b.npz:c/own.npz", "own.npz"),
        ("/a:b.npz:c/own.npz:classes-0,1", "own.npz:classes-0,1"),
    ],
)
def test_a_file_is_called_without_its_folder(name, short):
    reference = DataRef(name, 32, "0" * 64)
    assert reference.short == short
    assert reference.label == f"{short}-32"


def test_loading_gives_the_data_that_it_is_of(own, tmp_path):
    data = load(f"{own}:classes-0,1", size=16, data_dir=tmp_path / "cache")
    again = DataRef.of(data).load(tmp_path / "cache")
    assert again == data
    assert again.shape == (1, 16, 16)


def test_data_of_another_content_are_refused(own, tmp_path):
    reference = DataRef.of(load(str(own), data_dir=tmp_path / "cache"))
    with np.load(own) as arrays:
        np.savez(own, images=255 - arrays["images"], labels=arrays["labels"])
    with pytest.raises(UsageError, match=r"own\.npz here has sha256 .*would not be comparable") as refused:
        reference.load(tmp_path / "cache")
    assert reference.sha256[:12] in str(refused.value)


@pytest.mark.parametrize(
    ("name", "size", "usual"),
    [
        ("dsprites", 32, 32),
        ("dsprites", 64, 64),
        ("dsprites", 28, None),
        ("digits:imbalanced-0", 28, 28),
        ("dsprites", None, None),
        ("/a/own.npz", 32, 32),
        ("/a:b/own.npz:classes-0,1", 32, 32),
        ("/a:b/own.npz", None, None),
        ("pictures/", 28, 28),
    ],
)
def test_a_protocol_s_size_is_taken_where_it_is_on_offer(name, size, usual):
    assert loading.usual_size(name, size) == usual


def test_no_size_of_a_data_set_that_does_not_exist():
    with pytest.raises(UsageError, match="'dsprites'"):
        loading.usual_size("dsprite", 32)
