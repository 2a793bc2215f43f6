import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from disbench.benchmark.datasets import folders, load, loading
from disbench.benchmark.datasets.naming import is_own, split_name
from disbench.benchmark.datasets.reference import DataRef
from disbench.errors import UsageError

RNG = np.random.default_rng(0)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# 8x8 colours of 16 bits, which Pillow reads as 8 without a word and cannot write
DEEP = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(bytes(8 * (1 + 8 * 3 * 2)))),
        chunk(b"IEND", b""),
    ]
)


def save_animated(path):
    frames = [Image.fromarray(colour()) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def colour(h=8, w=8):
    return RNG.integers(0, 255, (h, w, 3), dtype=np.uint8)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def read(tmp_path, pictures):
    """The data set of that folder."""
    return lambda size=None: load(f"{pictures}/", size=size, data_dir=tmp_path / "cache")


def as_bytes(data):
    return np.rint(255 * data.images(np.arange(len(data))).numpy()).astype(np.uint8)


def test_pictures_are_the_rows_in_the_order_of_their_paths(pictures, read):
    """Those of inner folders as well; what is hidden or no picture is left out, and the latter is said."""
    second = save(pictures / "b.PNG", colour())
    third = save(pictures / "c" / "0.png", colour())
    first = save(pictures / "a.png", colour())
    save(pictures / ".hidden.png", colour())
    save(pictures / ".thumbs" / "x.png", colour())
    (pictures / "notes.txt").write_text("no picture")
    data = read()
    assert np.array_equal(as_bytes(data), np.stack([first, second, third]).transpose(0, 3, 1, 2))
    assert (data.known, data.factor_names, data.labels) == (False, (), None)
    assert data.name == f"{pictures}/"
    assert data.notes == (
        "3 pictures in pictures, in the order of their paths; names of folders are no labels",
        "files in pictures that are no PNG or JPEG were left out: 1 .txt",
    )


def test_grey_stays_grey_and_among_colours_becomes_colour(pictures, read):
    grey = RNG.integers(0, 255, (8, 8), dtype=np.uint8)
    save(pictures / "a.png", grey)
    save(pictures / "b.png", grey)
    assert read().shape == (1, 8, 8)
    save(pictures / "c.png", colour())
    data = read()
    assert data.shape == (3, 8, 8)
    assert np.array_equal(as_bytes(data)[0], np.stack([grey] * 3))
    assert "2 grey pictures in pictures are among 1 of colour" in data.notes


def test_a_jpeg_and_a_palette_are_decoded(pictures, read):
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    Image.fromarray(flat).save(pictures / "a.jpeg", quality=95)
    Image.fromarray(flat).quantize(4).save(pictures / "b.png")
    np.testing.assert_allclose(as_bytes(read()).mean(axis=(2, 3)), [[200, 40, 90]] * 2, atol=3)


def test_a_camera_that_was_held_upright_is_followed(pictures, read):
    """Orientation 6: the stored rows run down the right edge, so that the picture is taller than wide."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[folders.HELD] = 6
    for name in "ab":
        save(pictures / f"{name}.jpg", pixels, exif=exif, quality=95)
    data = read()
    assert data.shape == (3, 16, 8)
    assert as_bytes(data)[0, 0, :7].min() > 200
    assert as_bytes(data)[0, 0, 9:].max() < 60


def test_several_sizes_become_squares_of_the_size_asked_for(pictures, read):
    save(pictures / "a.png", np.full((8, 16, 3), 90, np.uint8))
    save(pictures / "b.png", np.full((30, 10, 3), 180, np.uint8))
    with pytest.raises(UsageError, match=r"have 2 sizes, such as 8x16 \(1\), 30x10 \(1\); give size, and"):
        read()
    data = read(12)
    assert as_bytes(data).reshape(2, -1).tolist() == [[90] * 432, [180] * 432]
    assert data.notes[-1] == (
        "the images of pictures, 8x16 to 30x10, are resized to 12x12 pixels (bilinear, all of each image)"
    )


def test_an_opaque_alpha_is_dropped_and_a_transparent_one_refused(pictures, read):
    opaque = np.dstack([colour(), np.full((8, 8), 255, np.uint8)])
    save(pictures / "a.png", opaque)
    save(pictures / "b.png", opaque)
    assert np.array_equal(as_bytes(read())[0], opaque[..., :3].transpose(2, 0, 1))
    opaque[3, 3, 3] = 0
    save(pictures / "b.png", opaque)
    with pytest.raises(UsageError, match=r"b.png has transparent pixels, .*; write it on a background"):
        read()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"text"), r"b.png cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), r"b.png cannot be read"),
        (lambda path: Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(path), "more than 8 bits"),
        (lambda path: path.write_bytes(DEEP), "b.png has pixels of the kind RGB, with more than 8 bits"),
        (lambda path: save_animated(path), "b.png is animated; write each of its frames"),
        (lambda path: Image.new("RGB", (8, 8)).save(path, format="GIF"), r"b.png cannot be read"),
        (lambda path: Image.new("1", (20_000, 10_000)).save(path), r"b.png cannot be read .*pixels"),
    ],
)
def test_a_picture_that_cannot_be_taken_is_named(pictures, read, spoil, message):
    for name in "ab":
        save(pictures / f"{name}.png", colour())
    spoil(pictures / "b.png")
    with pytest.raises(UsageError, match=message):
        read(8)


def test_what_is_no_folder_of_pictures(tmp_path, pictures, monkeypatch):
    with pytest.raises(UsageError, match="does not exist; give an npz file, or a folder of PNG"):
        load(f"{tmp_path}/nothing/")
    (pictures / "a.gif").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds no PNG or JPEG picture \(1 .gif\)"):
        load(f"{pictures}/", data_dir=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file, and no npz"):
        load(f"{tmp_path}/file/")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match="no data set 'pictures'; for the pictures in that folder, write 'pictures/'"
    ):
        load("pictures")
    # the working folder, as a path without a name
    with pytest.raises(UsageError, match="unknown data set ''"):
        load("")


def test_one_picture_is_too_few(pictures, read):
    save(pictures / "a.png", colour())
    with pytest.raises(UsageError, match="at least two are needed"):
        read()


def test_pictures_are_decoded_again_only_after_a_change(pictures, read, monkeypatch):
    """Told by names, lengths and dates: another content has another digest."""
    for name in "ab":
        save(pictures / f"{name}.png", colour())
    first = read()
    monkeypatch.setattr(folders.Pictures, "_pixels", None)
    assert read().sha256 == first.sha256
    monkeypatch.undo()
    save(pictures / "b.png", colour(), compress_level=1)
    assert read().sha256 != first.sha256


def test_a_run_finds_it_again_by_its_name(tmp_path, pictures, read):
    for name in "ab":
        save(pictures / f"{name}.png", colour())
    about = DataRef.of(read(16))
    assert (about.short, about.label) == ("pictures", "pictures-16")
    assert about.load(tmp_path / "cache").shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("name", "base", "options"),
    [
        ("a/", "a/", []),
        ("a:b/c/:imbalanced-1", "a:b/c/", ["imbalanced-1"]),
        ("a/b:c", "a/b", ["c"]),
        ("mnist:train", "mnist", ["train"]),
        ("a/b.npz:train", "a/b.npz", ["train"]),
    ],
)
def test_names_of_folders(name, base, options):
    assert split_name(name) == (base, options)
    assert is_own(base) == (base[-1] == "/" or base.endswith(".npz"))


def test_many_pictures_are_stored_compressed(pictures, read, monkeypatch):
    for name in "abc":
        save(pictures / f"{name}.png", np.full((8, 8, 3), 7, np.uint8))
    monkeypatch.setattr(loading, "LARGE", 100)
    data = read(8)
    assert data.storage.stored.offset is None
    assert (as_bytes(data) == 7).all()


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"cannot read .*a\.png: No such file"):
        folders.find(tmp_path)


@pytest.mark.parametrize(("link", "to"), [("again", "."), ("other", "inner")])
def test_no_picture_counts_twice_through_a_link(pictures, link, to):
    """A link to the folder itself would show its pictures forty times, one to a folder in it twice."""
    save(pictures / "inner" / "a.png", colour())
    (pictures / link).symlink_to(to)
    with pytest.raises(UsageError, match="are one folder, whose pictures would count twice; remove the link"):
        folders.find(pictures)


def test_pictures_elsewhere_are_found_through_a_link(tmp_path, pictures):
    save(tmp_path / "elsewhere" / "a.png", colour())
    (pictures / "b").symlink_to(tmp_path / "elsewhere")
    assert folders.find(pictures).names == ("b/a.png",)


def test_a_folder_that_cannot_be_listed_is_not_left_out(pictures, monkeypatch):
    save(pictures / "a.png", colour())
    save(pictures / "inner" / "b.png", colour())

    def scan(path):
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UsageError, match=r"cannot read .*inner: Permission denied"):
        folders.find(pictures)


def test_folders_of_one_date_are_told_apart(tmp_path):
    """As those out of an archive: uncompressed pictures have one length, too."""
    found = []
    for name, level in (("red", 10), ("blue", 200)):
        for picture in "ab":
            path = tmp_path / name / f"{picture}.png"
            save(path, np.full((8, 8, 3), level, np.uint8), compress_level=0)
            os.utime(path, (1e9, 1e9))
        found.append(int(as_bytes(load(f"{tmp_path}/{name}/", data_dir=tmp_path / "cache")).max()))
    assert found == [10, 200]
