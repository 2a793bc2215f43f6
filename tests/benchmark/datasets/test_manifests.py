"""Promises that every manifest keeps, and mistakes that are refused."""

import numpy as np
import pytest

from disbench.benchmark.datasets import manifest, names
from disbench.errors import UsageError

MINIMAL = """
name = "toy"
title = "Toy"
paper = "none"
count = 6
channels = 1
sizes = [8]
reader = { kind = "npz", images = "images" }
factors = { a = 2, b = 3 }
[[files]]
name = "toy.npz"
"""


@pytest.mark.parametrize("name", names())
def test_every_manifest(name):
    facts = manifest.read(name)
    assert facts.title
    assert facts.paper
    assert (
        facts.licence
        or "icence" in facts.notes
        or facts.wrapper
        or not facts.files
        or "No checksum" in facts.notes
    )
    for file in facts.files:
        checkable = file.sha256 or file.md5
        assert checkable or "No checksum" in facts.notes or "checksum of it is given" in facts.notes
    if facts.classes:
        assert facts.count
    if facts.splits:
        assert sum(stop - start for start, stop in facts.splits.values()) == facts.count


@pytest.mark.parametrize("name", names())
def test_the_reader_finds_its_files(name):
    facts = manifest.read(name)
    given = {file.role for file in facts.files}
    kind = facts.reader.kind if facts.reader else facts.wrapper.style
    needed = {
        "idx": lambda r: {*r.images, *r.labels},
        "mat": lambda r: set(r.files),
        "norb": lambda r: {f"{part}_{what}" for part in r.parts for what in ("dat", "cat", "info")},
        "pictures": lambda r: {r.file, r.table} - {None},
        "npz": lambda r: {r.file},
        "hdf5": lambda r: {r.file},
        "cars3d": lambda r: {r.file},
        "scream": lambda r: {"data"},
    }.get(kind, lambda r: set())(facts.reader)
    assert needed == given


def test_the_grids_are_as_large_as_published():
    sizes = {name: list(manifest.read(name).factors.values()) for name in names()}
    assert sizes["dsprites"] == sizes["dsprites_npz"] == sizes["color_dsprites"] == [3, 6, 40, 32, 32]
    assert sizes["shapes3d"] == [10, 10, 10, 8, 4, 15]
    assert sizes["cars3d"] == [4, 24, 183]
    assert sizes["smallnorb"] == [5, 5, 9, 18, 6]
    assert sizes["mpi3d_real"] == [6, 6, 2, 3, 3, 40, 40]
    assert np.prod(sizes["mpi3d_real"]) == 1_036_800


def test_a_manifest_is_read():
    facts = manifest.parse("toy", MINIMAL)
    assert facts.factors == {"a": 2, "b": 3}
    assert facts.reader.kind == "npz"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("count = 6", "count = 6\ncolour = 3", "colour"),
        ('images = "images"', 'images = "images", scale = 255', "scale"),
        ('kind = "npz"', 'kind = "pickle"', "pickle"),
        ("b = 3", "b = 4", "do not make 6 images"),
        ("count = 6", "count = 0", "count"),
        ("sizes = [8]", "sizes = []", "sizes"),
        ('name = "toy.npz"', 'name = "../toy.npz"', "leaves the folder"),
        ('name = "toy.npz"', 'name = "toy.npz"\nsha256 = "abc"', "sha256"),
        ('name = "toy.npz"', 'name = "toy.npz"\nurls = ["file:///etc/passwd"]', "urls"),
        ('name = "toy.npz"', 'name = "toy.npz"\ninstalled = "/usr/x"', "unpacked_sha256"),
        ('reader = { kind = "npz", images = "images" }', "", "either a reader or a wrapper"),
        ("sizes = [8]", "sizes = [8]\nsplits = { train = [0, 7] }", "outside the 6 images"),
        ("[[files]]", '[[files]]\nname = "other"\n[[files]]', "same role"),
        ("count = 6", "count = ", "mistake"),
        ('name = "toy"', 'name = "other"', "calls itself 'other'"),
    ],
)
def test_mistakes_are_refused(before, after, message):
    assert before in MINIMAL
    with pytest.raises(UsageError, match=message):
        manifest.parse("toy", MINIMAL.replace(before, after, 1))


def test_a_cache_file_belongs_to_its_recipe():
    facts = manifest.parse("toy", MINIMAL)
    other = manifest.parse("toy", MINIMAL.replace('"images"', '"pictures"'))
    elsewhere = MINIMAL.replace(
        'name = "toy.npz"', 'name = "toy.npz"\nurls = ["https://example.org/toy.npz"]'
    )
    assert facts.recipe(8) != facts.recipe(16)
    assert facts.recipe(8) != other.recipe(8)
    assert facts.recipe(8) == manifest.parse("toy", elsewhere).recipe(8)
