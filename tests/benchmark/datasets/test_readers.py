"""Every reader on a small file in the published layout, whose images tell their own place in the grid."""

import gzip
import io
import os
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from disbench.benchmark.datasets import cache, loading, manifest, readers, streams
from disbench.errors import UsageError
from disbench.metrics.factors import Factors


def read(reader, files, size):
    """All stored images of a reader, with its content for the rest."""
    content = reader.content(files, size)
    images = np.concatenate(list(content.blocks))
    assert images.shape == content.shape
    return images, content


def constant(values, *shape):
    """Images (n, *shape) that are grey of one value each."""
    return np.broadcast_to(np.reshape(values, (-1, *[1] * len(shape))), (len(values), *shape)).astype(
        np.uint8
    )


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# --- npz ---


def bits(n, size=64):
    """Black and white images whose first row spells their number in binary."""
    images = np.zeros((n, size, size), np.uint8)
    images[:, 0, :8] = np.unpackbits(np.arange(n, dtype=np.uint8)[:, None], axis=1)
    return images


def dsprites_npz(path, images, **more):
    np.savez_compressed(
        path,
        imgs=images,
        latents_values=np.zeros((len(images), 6)),
        latents_classes=np.zeros((len(images), 6), np.int64),
        metadata=np.array({"trap": Trap(path.parent / "unpickled")}, dtype=object),
        **more,
    )
    return {"data": path}


def test_npz_in_the_layout_of_dsprites(tmp_path):
    files = dsprites_npz(tmp_path / "d.npz", bits(24))
    images, content = read(readers.Npz(kind="npz", images="imgs", packed=True), files, 64)
    assert content.packed
    assert images[:, 0, 0].tolist() == list(range(24))
    assert not (tmp_path / "unpickled").exists()


def test_npz_never_unpickles(tmp_path):
    files = dsprites_npz(tmp_path / "d.npz", bits(2))
    with pytest.raises(UsageError, match="object"):
        read(readers.Npz(kind="npz", images="metadata"), files, 64)
    assert not (tmp_path / "unpickled").exists()


def test_npz_in_the_layout_of_mpi3d(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BLOCK", 5 * 64 * 64 * 3)  # several blocks
    path = tmp_path / "m.npz"
    pixels = constant(range(24), 64, 64, 3)
    pixels[:, :, :, 1] += 100
    np.savez_compressed(path, images=pixels)
    images, _ = read(readers.Npz(kind="npz", images="images"), {"data": path}, 64)
    assert images.shape == (24, 3, 64, 64)
    assert images[:, 0, 5, 5].tolist() == list(range(24))
    assert images[:, 1, 5, 5].tolist() == list(range(100, 124))


@pytest.mark.parametrize(
    ("images", "message"),
    [(np.zeros((3, 64, 64)), "float64"), (np.full((3, 64, 64), 2, np.uint8), "0 and 1")],
)
def test_npz_of_another_version(images, message, tmp_path):
    files = dsprites_npz(tmp_path / "d.npz", images)
    with pytest.raises(UsageError, match=message):
        read(readers.Npz(kind="npz", images="imgs", packed=True), files, 64)


def test_npz_without_the_array_or_cut_off(tmp_path):
    reader = readers.Npz(kind="npz", images="images")
    files = dsprites_npz(tmp_path / "d.npz", np.random.default_rng(0).integers(0, 2, (9, 64, 64), np.uint8))
    with pytest.raises(UsageError, match=r"images\.npy"):
        read(reader, files, 64)
    with (tmp_path / "d.npz").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(UsageError, match=r"d\.npz cannot be read"):
        read(reader, files, 64)


def test_npz_with_flipped_bits(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, images=constant(range(9), 8, 8))
    raw = bytearray(path.read_bytes())
    raw[500] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UsageError, match="CRC"):
        read(readers.Npz(kind="npz", images="images"), {"data": path}, 8)


def test_npz_of_another_order_or_format(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, images=np.asfortranarray(constant(range(9), 8, 8)))
    with pytest.raises(UsageError, match=r"images of shape .* is not a plain row-major array"):
        read(readers.Npz(kind="npz", images="images"), {"data": path}, 8)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x03\x00" + bytes(100))
    with pytest.raises(UsageError, match=r"m\.npz cannot be read \(format \(3, 0\)\)"):
        read(readers.Npz(kind="npz", images="images"), {"data": path}, 8)


# --- HDF5 ---


@pytest.mark.parametrize("most", [2**28, 7 * 64 * 64])
def test_hdf5_in_the_layout_of_dsprites(most, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MOST", most)
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file.create_dataset("imgs", data=bits(24), chunks=(10, 2, 4), compression="gzip")
        file["latents/classes"] = np.zeros((24, 6), np.int64)
    reader = readers.Hdf5(kind="hdf5", images="imgs", packed=True)
    images, _ = read(reader, {"data": tmp_path / "d.hdf5"}, 64)
    assert images[:, 0, 0].tolist() == list(range(24))


def test_hdf5_in_the_layout_of_3d_shapes(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("images", data=constant(range(24), 64, 64, 3), chunks=(5, 8, 8, 1))
        file["labels"] = np.zeros((24, 6))
    images, _ = read(readers.Hdf5(kind="hdf5", images="images"), {"data": tmp_path / "s.h5"}, 32)
    assert images.shape == (24, 3, 32, 32)
    assert images[:, 2, 5, 5].tolist() == list(range(24))


def test_hdf5_that_is_none(tmp_path):
    (tmp_path / "s.h5").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"s\.h5 cannot be read"):
        read(readers.Hdf5(kind="hdf5", images="images"), {"data": tmp_path / "s.h5"}, 32)


# --- idx ---


def idx(path, array, opener=gzip.open):
    with opener(path, "wb") as file:
        file.write(struct.pack(f">{array.ndim + 1}i", 0x800 + array.ndim, *array.shape) + array.tobytes())


def idx_files(folder, opener=gzip.open):
    files = {name: folder / f"{name}.gz" for name in ("a_images", "a_labels", "b_images", "b_labels")}
    idx(files["a_images"], constant(range(6), 28, 28), opener)
    idx(files["b_images"], constant(range(6, 10), 28, 28), opener)
    idx(files["a_labels"], np.arange(6, dtype=np.uint8), opener)
    idx(files["b_labels"], np.arange(6, 10, dtype=np.uint8), opener)
    return files


IDX = readers.Idx(kind="idx", images=("a_images", "b_images"), labels=("a_labels", "b_labels"))


@pytest.mark.parametrize("opener", [gzip.open, open])
def test_idx_zipped_or_not(opener, tmp_path):
    images, content = read(IDX, idx_files(tmp_path, opener), 28)
    assert images.shape == (10, 1, 28, 28)
    assert images[:, 0, 9, 9].tolist() == content.labels.tolist() == list(range(10))


def test_idx_at_another_size(tmp_path):
    images, _ = read(IDX, idx_files(tmp_path), 32)
    assert images.shape == (10, 1, 32, 32)
    assert images[7].tolist() == np.full((1, 32, 32), 7).tolist()


@pytest.mark.parametrize("keep", [10, 1000])
def test_idx_cut_off(keep, tmp_path):
    files = idx_files(tmp_path, open)
    files["b_images"].write_bytes(files["b_images"].read_bytes()[:keep])
    with pytest.raises(UsageError, match="bytes early"):
        read(IDX, files, 28)


def test_idx_swapped_files(tmp_path):
    files = idx_files(tmp_path)
    files["a_images"], files["a_labels"] = files["a_labels"], files["a_images"]
    with pytest.raises(UsageError, match="begins with 2049, expected 2051"):
        read(IDX, files, 28)


# --- mat ---


def test_mat_in_the_layout_of_svhn(tmp_path):
    pixels = constant(range(7), 32, 32, 3)
    labels = np.array([10, 1, 2, 9, 10, 3, 4], np.uint8)
    savemat(tmp_path / "a.mat", {"X": pixels[:4].transpose(1, 2, 3, 0), "y": labels[:4, None]})
    savemat(tmp_path / "b.mat", {"X": pixels[4:].transpose(1, 2, 3, 0), "y": labels[4:, None]})
    reader = readers.Mat(kind="mat", files=("a", "b"), images="X", labels="y", zero=10)
    images, content = read(reader, {"a": tmp_path / "a.mat", "b": tmp_path / "b.mat"}, 32)
    assert images.shape == (7, 3, 32, 32)
    assert images[:, 0, 3, 3].tolist() == list(range(7))
    assert content.labels.tolist() == [0, 1, 2, 9, 0, 3, 4]


# --- Cars3D ---


def cars(path, name="data/cars/car_{:03d}_mesh.mat"):
    """Two cars whose images are 96 car + 24 elevation + azimuth, the second one first in the archive."""
    with tarfile.open(path, "w:gz") as tar:
        for car in (1, 0):
            azimuth, elevation = np.meshgrid(np.arange(24), np.arange(4), indexing="ij")
            mesh = np.broadcast_to((96 * car + 24 * elevation + azimuth), (128, 128, 3, 24, 4))
            file = io.BytesIO()
            savemat(file, {"im": mesh.astype(np.uint8)}, do_compression=True)
            add(tar, name.format(car + 1), file.getvalue())
        add(tar, "data/cars/list.txt", b"car_001\ncar_002\n")
    return {"data": path}


def add(tar, name, raw):
    member = tarfile.TarInfo(name)
    member.size = len(raw)
    tar.addfile(member, io.BytesIO(raw))


def test_cars_are_put_in_the_order_elevation_azimuth_car(tmp_path):
    reader = readers.Cars(kind="cars3d", member=r"cars/car_\d+_mesh\.mat$")
    images, _ = read(reader, cars(tmp_path / "c.tar.gz"), 64)
    elevation, azimuth, car = np.unravel_index(np.arange(192), (4, 24, 2))
    assert images.shape == (192, 3, 64, 64)
    assert np.array_equal(images[:, 1, 20, 20], 96 * car + 24 * elevation + azimuth)


def test_an_archive_of_something_else(tmp_path):
    reader = readers.Cars(kind="cars3d", member=r"cars/car_\d+_mesh\.mat$")
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as tar:
        add(tar, "data/chairs/list.txt", b"")
    with pytest.raises(UsageError, match="another archive"):
        read(reader, {"data": tmp_path / "c.tar.gz"}, 64)


# --- SmallNORB ---


def norb_matrix(path, array):
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[array.dtype.name]
    sizes = [*array.shape, 1, 1][: max(3, array.ndim)]
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(f"<ii{len(sizes)}i", magic, array.ndim, *sizes) + array.tobytes())


def norb(folder, part, instances, rng):
    """2 categories, 2 instances, 3 elevations, 2 even azimuths, 2 lightings, shuffled; image = its number."""
    table = np.stack(np.unravel_index(rng.permutation(48), (2, 2, 3, 2, 2)), axis=1)
    number = np.ravel_multi_index(tuple(table.T), (2, 2, 3, 2, 2))
    pixels = constant(number, 2, 96, 96)
    pixels[:, 1] = 255  # the second camera
    info = np.stack([np.array(instances)[table[:, 1]], table[:, 2], 2 * table[:, 3], table[:, 4]], axis=1)
    files = {f"{part}_{kind}": folder / f"{part}-{kind}.mat.gz" for kind in ("dat", "cat", "info")}
    norb_matrix(files[f"{part}_dat"], pixels)
    norb_matrix(files[f"{part}_cat"], table[:, 0].astype(np.int32))
    norb_matrix(files[f"{part}_info"], info.astype(np.int32))
    return files


def test_norb_is_sorted_into_the_grid(tmp_path):
    files = norb(tmp_path, "train", (4, 6), np.random.default_rng(0))
    images, _ = read(readers.Norb(kind="norb", parts=("train",)), files, 64)
    assert images.shape == (48, 1, 64, 64)
    assert images[:, 0, 9, 9].tolist() == list(range(48))


def test_norb_of_both_parts_ranks_the_instances_of_both(tmp_path):
    """Instances 4 and 6 of one part, 0 and 5 of the other: in the order 0, 4, 5, 6."""
    rng = np.random.default_rng(0)
    files = norb(tmp_path, "train", (4, 6), rng) | norb(tmp_path, "test", (0, 5), rng)
    images, _ = read(readers.Norb(kind="norb", parts=("train", "test")), files, 96)
    grid = images[:, 0, 9, 9].reshape(2, 4, 12)
    expected = np.arange(48).reshape(2, 2, 12)
    assert np.array_equal(grid[:, 0], expected[:, 0])
    assert np.array_equal(grid[:, 1], expected[:, 0])
    assert np.array_equal(grid[:, 2], expected[:, 1])
    assert np.array_equal(grid[:, 3], expected[:, 1])


def test_norb_of_mixed_versions(tmp_path):
    files = norb(tmp_path, "train", (4, 6), np.random.default_rng(0))
    norb_matrix(files["train_cat"], np.zeros(48, np.int32))
    with pytest.raises(UsageError, match="no complete grid"):
        read(readers.Norb(kind="norb", parts=("train",)), files, 64)


# --- pictures ---


def picture(value, size, kind):
    raw = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(raw, kind)
    return raw.getvalue()


def faces(path, names=("3", "1", "2")):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("img_align_celeba/", b"")
        for name in names:
            archive.writestr(f"img_align_celeba/00000{name}.jpg", picture(40 * int(name), (178, 218), "JPEG"))
    return {"data": path}


FACES = readers.Pictures(kind="pictures", member=r"\.jpg$", mode="RGB", crop=148, table="attributes")


def test_pictures_in_the_order_of_their_names_with_attributes(tmp_path):
    files = faces(tmp_path / "c.zip") | {"attributes": tmp_path / "list.txt"}
    files["attributes"].write_text("3\nSmiling Young\n000001.jpg -1  1\n000002.jpg  1  1\n000003.jpg  1 -1\n")
    images, content = read(FACES, files, 64)
    assert images[:, 0, 30, 30].tolist() == [40, 80, 120]
    assert content.factor_names == ("Smiling", "Young")
    assert content.factors.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_pictures_without_the_optional_table(tmp_path):
    _, content = read(FACES, faces(tmp_path / "c.zip"), 64)
    assert content.factors is None


def test_an_attribute_table_with_gaps(tmp_path):
    files = faces(tmp_path / "c.zip") | {"attributes": tmp_path / "list.txt"}
    files["attributes"].write_text("3\nSmiling Young\n000001.jpg -1 1\n000002.jpg 1 1\n")
    with pytest.raises(UsageError, match=r"000003\.jpg"):
        read(FACES, files, 64)


def test_the_crop_is_the_central_square(tmp_path):
    """White in the central 148x148 of 178x218, black around it: all is white, and with 160 it is not."""
    image = Image.new("L", (178, 218))
    image.paste(255, (15, 35, 163, 183))
    raw = io.BytesIO()
    image.save(raw, "PNG")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.png", raw.getvalue())
    for crop, lowest in ((148, 255), (160, 0)):
        reader = readers.Pictures(kind="pictures", member=r"\.png$", mode="L", crop=crop)
        images, _ = read(reader, {"data": tmp_path / "c.zip"}, crop)
        assert images.min() == lowest


def test_chairs_become_a_grid_of_chair_and_view(tmp_path):
    with tarfile.open(tmp_path / "rendered_chairs.tar", "w") as tar:
        for chair, view in ((1, 2), (1, 0), (0, 1), (0, 0), (0, 2), (1, 1)):
            name = f"rendered_chairs/chair{chair}/renders/image_00{view}.png"
            add(tar, name, picture(100 * chair + view, (60, 60), "PNG"))
        add(tar, "rendered_chairs/all_chair_names.mat", b"")
    facts = manifest.read("chairs3d")
    reader = facts.reader.content({"data": tmp_path / "rendered_chairs.tar"}, 64)
    assert np.concatenate(list(reader.blocks))[:, 0, 9, 9].tolist() == [0, 1, 2, 100, 101, 102]
    assert loading.row_major(Factors.of(reader.factors))[0] == (2, 3)


def zip_of(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, picture(1, (200, 200), "JPEG"))


def zip_link(path):
    entry = zipfile.ZipInfo("a.jpg")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")


def tar_link(path, kind):
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo("a.jpg")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: zip_of(path, "../a.jpg"),
        lambda path: zip_of(path, "/a.jpg"),
        zip_link,
        lambda path: tar_link(path, tarfile.SYMTYPE),
        lambda path: tar_link(path, tarfile.LNKTYPE),
        lambda path: tar_link(path, tarfile.FIFOTYPE),
    ],
)
def test_members_that_are_no_plain_files_inside_the_archive_are_refused(make, tmp_path):
    make(tmp_path / "c.zip")
    with pytest.raises(UsageError, match="not a plain file"):
        read(FACES, {"data": tmp_path / "c.zip"}, 64)


def test_members_that_are_too_large_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MEMBER", 100)
    with pytest.raises(UsageError, match="at most"):
        read(FACES, faces(tmp_path / "c.zip"), 64)


def test_pictures_that_are_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.jpg", b"text")
    with pytest.raises(UsageError, match=r"c\.zip cannot be read"):
        read(FACES, {"data": tmp_path / "c.zip"}, 64)
    (tmp_path / "c.zip").write_bytes(b"text")
    with pytest.raises(UsageError, match=r"c\.zip cannot be read"):
        read(FACES, {"data": tmp_path / "c.zip"}, 64)


# --- digits, resizing, own files ---


def test_digits_keep_all_17_grey_levels():
    images, content = read(readers.Digits(kind="digits"), {}, 8)
    assert images.shape == (1797, 1, 8, 8)
    assert len(np.unique(images)) == 17
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(content.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_halving_averages_and_keeps_channels_apart():
    block = np.zeros((1, 3, 4, 4), np.uint8)
    block[0, 1] = 200
    block[0, 2, :, 2:] = 100
    small = readers.resize(block, 2)
    assert small.shape == (1, 3, 2, 2)
    assert small[0, 0].max() == 0
    assert small[0, 1].tolist() == [[200, 200], [200, 200]]
    assert small[0, 2, 0, 0] < 20
    assert small[0, 2, 0, 1] > 80


def test_an_own_file_with_labels(tmp_path):
    np.savez(tmp_path / "own.npz", images=constant(range(5), 28, 28), labels=np.array([0, 1, 2, 1, 0]))
    dataset = loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path)
    assert dataset.class_prior.tolist() == [0.4, 0.4, 0.2]
    assert dataset.images([3])[0, 0, 4, 4] == np.float32(3 / 255)
    assert dataset.name == str(tmp_path / "own.npz")
    assert loading.load(str(tmp_path / "own.npz"), size=32, data_dir=tmp_path).shape == (1, 32, 32)


def test_an_own_file_that_changes_is_another_data_set(tmp_path):
    path = tmp_path / "own.npz"
    digests = set()
    for value in (10, 20):
        np.savez(path, images=constant([value, 7], 8, 8), labels=np.array([0, 1]))
        dataset = loading.load(str(path), data_dir=tmp_path)
        digests.add(dataset.sha256)
        assert dataset.images([0])[0, 0, 0, 0] == np.float32(value / 255)
    assert len(digests) == 2


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_own_file_with_factors_is_a_grid_only_in_row_major_order(shuffled, tmp_path):
    factors = np.stack(np.unravel_index(np.arange(24), (2, 3, 4)), axis=1)
    factors = factors[::-1] if shuffled else factors
    np.savez(
        tmp_path / "own.npz", images=constant(range(24), 8, 8), factors=factors, factor_names=["a", "b", "c"]
    )
    dataset = loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path)
    assert dataset.factor_names == ("a", "b", "c")
    assert dataset.factor_sizes == (None if shuffled else (2, 3, 4))
    assert np.array_equal(dataset.factors(np.arange(24)), factors)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.zeros(3, int)}, "expected 'images', and perhaps 'labels' or 'factors'"),
        ({"pictures": np.zeros((3, 8, 8), np.uint8), "labels": np.zeros(3, int)}, "expected 'images'"),
        (
            {"images": np.zeros((3, 8, 8)), "labels": np.zeros(3, int)},
            "float64 from 0 to 0, which is neither",
        ),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.zeros(4, int)}, "4 labels"),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.arange(3) / 7},
            r"labels \(3,\) must be one class for each image, but are continuous; use 'factors'",
        ),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.array([0, np.nan, np.nan])},
            r"labels: 2 of 3 values \(the first in row 1\) are missing",
        ),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.arange(6).reshape(3, 2)},
            r"labels \(3, 2\) must be one class for each image, but are 2 columns",
        ),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "factors": np.zeros((3, 1, 1), int)},
            r"factors \(3, 1, 1\) must be a table \(n, k\)",
        ),
        (
            {
                "images": np.zeros((3, 8, 8), np.uint8),
                "factors": np.zeros((3, 2), int),
                "factor_names": np.array(["a"]),
            },
            "one per column",
        ),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.array([{}] * 3)}, "object"),
    ],
)
def test_own_files_that_are_no_data_set(arrays, message, tmp_path):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path)


def test_a_whole_conversion_from_a_published_file(tmp_path):
    """Manifest, file in its place, conversion, compressed cache; and a file with another number of images."""
    text = """
name = "toy"
title = "Toy"
paper = "none"
count = 24
channels = 3
sizes = [64, 32]
store = "compressed"
reader = { kind = "hdf5", images = "images" }
factors = { a = 2, b = 3, c = 4 }
[[files]]
name = "toy.h5"
"""
    facts = manifest.parse("toy", text)
    with pytest.raises(UsageError, match=r"toy\.h5.*--from FILE"):
        loading.from_manifest(facts, None, tmp_path)
    (tmp_path / "downloads").mkdir()
    with h5py.File(tmp_path / "downloads" / "toy.h5", "w") as file:
        file.create_dataset("images", data=constant(range(24), 64, 64, 3))
    dataset = loading.from_manifest(facts, None, tmp_path)
    assert (255 * dataset.images([23, 4])[:, 0, 0, 0]).round().tolist() == [23, 4]
    assert dataset.factors([23]).tolist() == [[1, 2, 3]]
    assert cache.verify(tmp_path / "toy-64.h5").sha256 == dataset.sha256
    other = manifest.parse("toy", text.replace("count = 24", "count = 12").replace("c = 4", "c = 2"))
    with (
        pytest.warns(UserWarning, match="making it again"),
        pytest.raises(UsageError, match="hold 24 images, expected 12"),
    ):
        loading.from_manifest(other, None, tmp_path)
