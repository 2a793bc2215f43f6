"""TOML files of a package, checked when they are read."""

import importlib
import sys

import pytest

from disbench.errors import UsageError
from disbench.strict import Folder, Strict


class Pet(Strict):
    name: str
    legs: int


@pytest.fixture
def pets(tmp_path, monkeypatch):
    package = tmp_path / "zoo_of_a_test"
    (package / "pets").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "pets" / "dog.toml").write_text("legs = 4\n")
    (package / "pets" / "bird.toml").write_text("legs = 2\n")
    (package / "pets" / "notes.txt").write_text("no pet")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield Folder("pet", Pet, "zoo_of_a_test", "pets")
    sys.modules.pop("zoo_of_a_test", None)


def test_each_toml_file_is_a_name_that_reads_as_the_model(pets):
    assert pets.names() == ["bird", "dog"]
    assert pets.read("dog") == Pet(name="dog", legs=4)


def test_an_unknown_name_names_the_nearest(pets):
    with pytest.raises(UsageError, match="unknown pet 'dogg'; did you mean 'dog'"):
        pets.read("dogg")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("legs = ", "pet 'cat' is not TOML"),
        ("legs = 'four'\n", "pet 'cat': legs: Input should be a valid integer"),
        ("legs = 4\ntail = true\n", "pet 'cat': tail: Extra inputs are not permitted"),
        ("", "pet 'cat': legs: Field required"),
    ],
)
def test_a_file_that_is_not_of_the_model_is_one_sentence(pets, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        pets.parse("cat", text)
