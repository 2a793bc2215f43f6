"""A user's own images: the same pixels from every layout and type that is clear, else a sentence."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disbench.benchmark.datasets import loading
from disbench.errors import UsageError

N, H, W = 6, 5, 7
GREY = np.random.default_rng(0).integers(0, 256, (N, 1, H, W)).astype(np.uint8)
GREY[0, 0, 0, :2] = 0, 255
COLOUR = np.random.default_rng(1).integers(0, 256, (N, 3, H, W)).astype(np.uint8)
COLOUR[0, 0, 0, :2] = 0, 255


def load(folder, images, **given):
    path = folder / "own.npz"
    np.savez(path, images=images, labels=np.arange(len(images)) if np.ndim(images) else [0])
    return loading.load(str(path), data_dir=folder, **given)


def stored(data):
    return np.rint(255 * data.images(np.arange(len(data))).numpy()).astype(np.uint8)


LAYOUTS = {
    "(n, h, w)": lambda x: x[:, 0],
    "(n, c, h, w)": lambda x: x,
    "(n, h, w, c)": lambda x: x.transpose(0, 2, 3, 1),
}
TYPES = {
    "uint8": (lambda x: x, ""),
    "uint16": (lambda x: x.astype(np.uint16), "taken to be in [0, 255]"),
    "int64": (lambda x: x.astype(np.int64), "taken to be in [0, 255]"),
    "big-endian": (lambda x: x.astype(">i4"), "taken to be in [0, 255]"),
    "float of bytes": (lambda x: x.astype(np.float32), "taken to be in [0, 255]"),
    "float32": (lambda x: (x / 255).astype(np.float32), "taken to be in [0, 1]"),
    "float64": (lambda x: x / 255, "taken to be in [0, 1]"),
    "a little outside [0, 1]": (lambda x: x / 255 * (1 + 4e-6) - 2e-6, "taken to be in [0, 1]"),
    "a little outside [0, 255]": (lambda x: x * (1 + 4e-6) - 2e-6, "taken to be in [0, 255]"),
    "big-endian float": (lambda x: (x / 255).astype(">f4"), "taken to be in [0, 1]"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", TYPES)
def test_the_pixels_are_those_of_the_file(tmp_path, layout, kind):
    pixels = GREY if layout == "(n, h, w)" else COLOUR
    convert, note = TYPES[kind]
    data = load(tmp_path, np.ascontiguousarray(LAYOUTS[layout](convert(pixels))))
    assert np.array_equal(stored(data), pixels)
    said = " ".join(data.notes)
    assert note in said
    assert f") are {layout}" in said
    # converted once, and said each time
    assert loading.load(data.name, data_dir=tmp_path).notes == data.notes


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16])
def test_zeros_and_ones_are_black_and_white(tmp_path, dtype):
    data = load(tmp_path, (GREY[:, 0] > 100).astype(dtype))
    assert np.array_equal(stored(data), 255 * (GREY > 100).astype(np.uint8))
    assert "taken for black and white" in data.notes[0]


def test_half_precision_keeps_its_levels(tmp_path):
    data = load(tmp_path, (GREY[:, 0] / 255).astype(np.float16))
    assert np.array_equal(stored(data), GREY)


def test_a_dark_picture_of_bytes_stays_dark(tmp_path):
    data = load(tmp_path, GREY[:, 0] // 16)
    assert np.array_equal(stored(data), GREY // 16)
    assert data.notes == ("the images (6, 5, 7) are (n, h, w)",)
    assert not load(tmp_path, np.zeros((3, 8, 8), np.uint8)).notes


def test_images_that_are_no_squares_keep_both_sides(tmp_path):
    assert load(tmp_path, COLOUR).shape == (3, H, W)
    assert load(tmp_path, COLOUR, size=8).shape == (3, 8, 8)


X = GREY[:, 0]
REFUSED = {
    "[-1, 1]": (X / 127.5 - 1, r"from -1 to 1, which is neither .*\(255 \* \(images - -1\) / 2\)\.round"),
    "16 bits": (X.astype(np.uint16) * 257, "uint16 from 0 to 65535, which is neither"),
    "12 bits": (X.astype(np.uint16) * 16, "uint16 from 0 to 4080, which is neither"),
    "17 levels": (X // 16 * 1.0, "float64 from 0 to 15, which is neither"),
    "a little above 1": (X / 255 * 1.01, "float64 from 0 to 1.01, which is neither"),
    "scaled twice": (X / 255 / 255, "which is neither"),
    "standardised": ((X - X.mean()) / X.std(), "which is neither"),
    "signed bytes": (X.astype(np.int8), "int8 from -128 to 127, which is neither"),
    "NaN": (np.where(X == 0, np.nan, X / 255), "hold NaN or infinity"),
    "text": (X.astype(str), "are no numbers"),
    "complex": (X + 1j, "are no numbers"),
    "objects": (X.astype(object), "Python objects"),
    "alpha, last": (np.zeros((N, H, W, 4), np.uint8), r"have 4 channels, .* images\[\.\.\., :3\] without"),
    "alpha, first": (np.zeros((N, 4, H, W), np.uint8), r"have 4 channels, .* write images\[:, :3\] without"),
    "grey and alpha": (np.zeros((N, H, W, 2), np.uint8), r"have 2 channels, .* write images\[\.\.\., :1\]"),
    "five channels": (np.zeros((N, 5, H, W), np.uint8), "must be .* with c = 1 or 3"),
    "flat, with an axis": (np.zeros((N, 64, 1), np.uint8), r"one pixel .* images\.reshape\(-1, 8, 8\)"),
    "flat, with an axis before": (np.zeros((N, 1, 64), np.uint8), "side of one pixel as .n, h, w."),
    "flat, channels last": (np.zeros((N, 64, 3), np.uint8), r"3 pixels as .* images\.reshape\(-1, 8, 8, 3\)"),
    "flat, channels first": (np.zeros((N, 3, 1, 64), np.uint8), "side of one pixel as .n, c, h, w."),
    "flat": (X.reshape(N, -1), r"must be .*; write images\.reshape\(-1, h, w\)"),
    "flat squares": (np.zeros((N, 64), np.uint8), r"images\.reshape\(-1, 8, 8\)"),
    "flat colours": (np.zeros((N, 192), np.uint8), r"images\.reshape\(-1, 8, 8, 3\)"),
    "five axes": (np.zeros((N, 1, 1, H, W), np.uint8), "must be .* with c = 1 or 3"),
    "one axis": (np.zeros(N, np.uint8), "must be"),
    "no axis": (np.uint8(3), "own.npz: images of shape .* is not a plain row-major array"),
    "three by three": (np.zeros((N, 3, H, 3), np.uint8), "could have their channels first or last"),
    "no images": (X[:0], "hold no pixel"),
    "no rows": (X[:, :0], "hold no pixel"),
    "one image": (X[:1], "has 1 image; at least two are needed"),
    "Fortran": (np.asfortranarray(X), r"np\.ascontiguousarray\(images\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, name):
    images, sentence = REFUSED[name]
    with pytest.raises(UsageError, match=sentence) as refused:
        load(tmp_path, images)
    assert "own.npz" in str(refused.value)
    assert str(refused.value).isprintable()
    assert not list(tmp_path.glob("*.h5")) or name == "one image"


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    dtype=st.sampled_from(["u1", "<u2", ">u2", "i4", "i8", "f2", "f4", ">f8", "?"]),
    unit=st.booleans(),
    layout=st.sampled_from(sorted(LAYOUTS)),
    h=st.integers(4, 9),
    w=st.integers(4, 9),
    seed=st.integers(0, 2**16),
)
def test_no_pixel_changes_with_type_and_layout(tmp_path_factory, dtype, unit, layout, h, w, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (3, 1 if layout == "(n, h, w)" else 3, h, w)).astype(np.uint8)
    pixels[0, 0, 0, :2] = 0, 255
    given = pixels
    if dtype == "?":
        pixels = 255 * (pixels > 127).astype(np.uint8)
        given = pixels > 0
    elif unit and dtype[-2] == "f":
        given = pixels / 255
    images = LAYOUTS[layout](given).astype(dtype)
    assert np.array_equal(stored(load(tmp_path_factory.mktemp("p"), np.ascontiguousarray(images))), pixels)


def test_arrays_that_are_not_read_are_named(tmp_path):
    np.savez(tmp_path / "own.npz", images=X, y=np.arange(N), Labels=np.arange(N))
    (note,) = (
        note for note in loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path).notes if "left" in note
    )
    assert note == (
        "left out of the file, of which images, labels, factors and factor_names are read: Labels, y"
    )


def test_equal_content_under_another_name_is_not_called_by_the_first(tmp_path):
    np.savez(tmp_path / "own.npz", images=GREY[:, 0] / 255, extra=np.arange(3))
    said = loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path).notes
    (tmp_path / "own.npz").rename(tmp_path / "other.npz")
    # cached by their digest
    assert loading.load(str(tmp_path / "other.npz"), data_dir=tmp_path).notes == said
    assert len(said) == 3
    assert not any("own.npz" in note for note in said)


def declared(path, key, header):
    """The file, with an array whose header declares what is not there."""
    with zipfile.ZipFile(path, "a") as archive, archive.open(f"{key}.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"fortran_order": False} | header)


@pytest.mark.parametrize(
    ("key", "header", "said"),
    [
        ("labels", {"shape": (10**12,), "descr": "<f8"}, "16 images but 1,000,000,000,000 labels"),
        (
            "labels",
            {"shape": (16,), "descr": "<U100000000"},
            "labels .* are 6,400,000,000 bytes",
        ),
        ("factors", {"shape": (16, 2**28), "descr": "|u1"}, r"factors .* are 4,294,967,296 bytes; at most"),
        ("factor_names", {"shape": (2**40,), "descr": "<U9"}, "factor_names .* bytes; at most"),
    ],
)
def test_an_array_beyond_all_memory_is_refused_by_its_header(tmp_path, key, header, said):
    arrays = {"factors": np.arange(16)} if key == "factor_names" else {}
    np.savez(tmp_path / "own.npz", images=np.resize(GREY[:, 0], (16, 8, 8)), **arrays)
    declared(tmp_path / "own.npz", key, header)
    with pytest.raises(UsageError, match=said):
        loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path)


@pytest.mark.parametrize(
    "arrays", [{"labels": np.zeros((N, 0))}, {"factors": np.arange(N), "factor_names": np.array([], str)}]
)
def test_an_empty_array_beside_the_images_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "own.npz", images=X, **arrays)
    with pytest.raises(UsageError, match=r"are empty; fill them, or leave"):
        loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path)


@pytest.mark.parametrize("name", ["own.npy", "own.h5", "own.pt"])
def test_a_file_of_another_kind_is_no_data_set(tmp_path, name):
    (tmp_path / name).write_bytes(b"images")
    with pytest.raises(UsageError, match=r"of files only npz are data sets; write np\.savez"):
        loading.load(str(tmp_path / name), data_dir=tmp_path)
