"""The data set class, on toys whose image is its own row number."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from disbench.benchmark.datasets import cache, load
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset, FileStorage
from disbench.errors import UsageError
from disbench.models import DataInfo

SIZES = (2, 3, 4)
PIXELS = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None, None, None], (24, 1, 8, 8)).copy()
TOY = Dataset("toy", "0" * 64, ArrayStorage(PIXELS), ("a", "b", "c"), SIZES)


def stored(folder, store="mapped", packed=False, pixels=PIXELS):
    content = cache.Content(pixels.shape, [pixels[:5], pixels[5:]])
    if packed:
        bits = np.unpackbits(pixels[:, :1, 0, :1], axis=-1).repeat(8, axis=1)  # each row spells the number
        content = cache.Content((24, 8, 1), [np.packbits(bits, axis=-1)], packed=True)
    path = folder / f"toy-{store}-{packed}.h5"
    cache.write(path, "toy", content, store)
    return FileStorage(cache.inspect(path))


def row_of_first_image(dataset):
    return round(255 * float(dataset.images([7])[0, 0, 0, 0]))


def test_what_a_method_is_built_from_by_hand():
    assert TOY.info == DataInfo(shape=(1, 8, 8), n=24, class_prior=None)
    labels = np.array([0] * 12 + [1] * 9 + [2] * 3)
    labelled = Dataset("toy", "0" * 64, ArrayStorage(PIXELS), ("class",), labels=labels)
    assert labelled.info == DataInfo((1, 8, 8), 24, (0.5, 0.375, 0.125))
    # the classes have names, and no image is of the last one
    named = Dataset("toy", "0" * 64, ArrayStorage(PIXELS), labels=labels, classes=("a", "b", "c", "d"))
    assert named.info.class_prior == (0.5, 0.375, 0.125, 0.0)


def test_the_image_of_a_row_shows_its_factors_last_fastest():
    rows = np.random.default_rng(0).integers(0, 24, 100)
    shown = (255 * TOY.images(rows)[:, 0, 0, 0]).round().numpy()
    assert np.array_equal(shown, TOY.factors(rows) @ [12, 4, 1])
    assert TOY.factors([23]).tolist() == [[1, 2, 3]]
    assert len(TOY.grid) == len(TOY) == 24
    assert TOY.grid.names == ("a", "b", "c")


@pytest.mark.parametrize("store", ["mapped", "compressed"])
def test_a_file_gives_the_same_images_as_an_array(store, tmp_path):
    storage = stored(tmp_path, store)
    rows = np.array([23, 0, 7, 7, 3])  # unsorted, with a repeat
    assert np.array_equal(storage.read(rows), ArrayStorage(PIXELS).read(rows))
    assert storage.shape == (24, 1, 8, 8)


def test_packed_bits_become_black_and_white(tmp_path):
    x = stored(tmp_path, packed=True).read(np.array([5, 0]))
    assert x.shape == (2, 1, 8, 8)
    assert x.dtype == np.float32
    assert x[0, 0].tolist() == [[0, 0, 0, 0, 0, 1, 0, 1]] * 8  # 5 in binary
    assert x[1].sum() == 0


def test_grey_levels_are_divided_by_255():
    x = TOY.images([0, 23])
    assert x.dtype == torch.float32
    assert x.shape == (2, 1, 8, 8)
    assert x[1, 0, 0, 0] == np.float32(23 / 255)


@pytest.mark.parametrize("store", ["mapped", "compressed"])
def test_it_travels_as_a_path(store, tmp_path):
    large = np.zeros((4096, 1, 8, 8), np.uint8)
    large[:24] = PIXELS
    dataset = Dataset("toy", "0" * 64, stored(tmp_path, store, pixels=large))
    dataset.images([1])  # opens it
    message = pickle.dumps(dataset)
    assert len(message) < 1000
    assert row_of_first_image(pickle.loads(message)) == 7


@pytest.mark.parametrize(
    ("method", "store"), [("spawn", "mapped"), ("fork", "compressed"), ("fork", "mapped")]
)
def test_worker_processes_read_the_same(method, store, tmp_path):
    storage = stored(tmp_path, store)
    rows = np.array([7, 2])
    here = storage.read(rows)  # leaves an open handle that a forked process must not use
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        for there in pool.map(FileStorage.read, [storage] * 4, [rows] * 4, timeout=60):
            assert np.array_equal(there, here)


def test_a_file_that_changed_is_not_reopened(tmp_path):
    storage = stored(tmp_path)
    message = pickle.dumps(storage)
    cache.write(storage.stored.path, "toy", cache.Content(PIXELS.shape, [PIXELS[::-1]]))
    with pytest.raises(UsageError, match="changed"):
        pickle.loads(message)
    storage.stored.path.unlink()
    with pytest.raises(UsageError, match="does not exist"):
        pickle.loads(message)


def test_a_compressed_file_that_is_made_again_is_read_anew(tmp_path):
    first = stored(tmp_path, "compressed")
    first.read(np.array([3]))
    second = stored(tmp_path, "compressed", pixels=PIXELS[::-1].copy())
    assert second.read(np.array([3]))[0, 0, 0, 0] == np.float32(20 / 255)


def test_a_compressed_file_is_not_mapped(tmp_path):
    with pytest.raises(UsageError, match="compressed"):
        _ = stored(tmp_path, "compressed").mapped


@pytest.mark.parametrize("rows", [[24], [-1], [[0, 1]], [0.5], [True]])
def test_wrong_rows_are_refused(rows):
    with pytest.raises(UsageError, match="rows"):
        TOY.images(rows)


def test_no_rows_give_no_images():
    assert TOY.images([]).shape == (0, 1, 8, 8)


def test_class_prior_counts_the_classes():
    labels = np.array([0] * 6 + [1] * 18)
    dataset = Dataset("toy", "0" * 64, ArrayStorage(PIXELS), ("class",), labels=labels)
    assert dataset.class_prior.tolist() == [0.25, 0.75]
    assert dataset.factors([5, 6]).tolist() == [[0], [1]]
    with pytest.raises(UsageError, match="no complete factor grid"):
        _ = dataset.grid
    with pytest.raises(UsageError, match="no labels"):
        _ = TOY.class_prior


def test_images_without_any_knowledge_have_no_factors():
    with pytest.raises(UsageError, match="images only"):
        Dataset("toy", "0" * 64, ArrayStorage(PIXELS)).factors([0])


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"24 images, but \(2, 3, 5\) make 30"):
        Dataset("toy", "0" * 64, ArrayStorage(PIXELS), ("a", "b", "c"), (2, 3, 5))
    with pytest.raises(UsageError, match="23 labels"):
        Dataset("toy", "0" * 64, ArrayStorage(PIXELS), labels=np.zeros(23, int))
    with pytest.raises(UsageError, match="uint8"):
        ArrayStorage(PIXELS.astype(float))


def test_names_sizes_and_options_that_do_not_exist():
    with pytest.raises(UsageError, match="did you mean 'dsprites'"):
        load("dsprite")
    with pytest.raises(UsageError, match="choose from: 64, 32"):
        load("dsprites", size=128)
    with pytest.raises(UsageError, match="unknown option 'balanced'"):
        load("digits:balanced")
    with pytest.raises(UsageError, match="does not exist"):
        load("nowhere/to/be/found.npz")


@pytest.mark.parametrize("size", [0, -1, 4097, 28.0, True, "28"])
def test_a_size_is_a_whole_number_of_pixels(size):
    with pytest.raises(UsageError, match=f"^size {size!r} was given, but (it )?must be a whole number"):
        load("digits", size=size)
    assert load("digits", size=np.int64(28)).shape == (1, 28, 28)


def test_dsprites_is_one_shared_read_only_map():
    dataset = load("dsprites", size=32)
    assert isinstance(dataset.storage.mapped, np.memmap)
    assert not dataset.storage.mapped.flags.writeable
    assert dataset.shape == (1, 32, 32)
    assert dataset.factors([737_279]).tolist() == [[2, 5, 39, 31, 31]]
    assert dataset == pickle.loads(pickle.dumps(dataset))


@pytest.mark.parametrize(
    ("label", "name", "size"),
    [
        ("dsprites-32", "dsprites", 32),
        ("digits:imbalanced-0-28", "digits:imbalanced-0", 28),
        ("digits:classes-0,1:imbalanced-3-28", "digits:classes-0,1:imbalanced-3", 28),
        ("digits:classes-0,1-28", "digits:classes-0,1", 28),
        ("own.npz-16", "own.npz", 16),
    ],
)
def test_what_tables_call_a_data_set_is_refused_with_its_name_and_size(label, name, size):
    with pytest.raises(UsageError) as refused:
        load(label)
    assert f"give dataset {name} size {size}" in str(refused.value)
    assert f"give --dataset {name} --size {size}" in refused.value.told(lambda word: f"--{word}")


@pytest.mark.parametrize("name", ["dsprits-32", "imbalanced-7", "digits:imbalanced-x"])
def test_other_names_that_end_in_a_number_are_unknown(name):
    with pytest.raises(UsageError, match=r"unknown data set|must end in a number"):
        load(name)
