"""The factors and labels of a user's own data set: any values, told apart and put in their order."""

import h5py
import numpy as np
import pytest

import disbench
from disbench import metrics
from disbench.benchmark.datasets import derived, loading
from disbench.errors import UsageError

GRID = np.stack(np.unravel_index(np.arange(24), (2, 3, 4)), axis=1)
WORDS = np.array(["ant", "bee", "cat", "dog"])
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)


@pytest.fixture
def own(tmp_path):
    """`own(labels=...)` gives the data set of a file with our images and these arrays."""

    def load(**arrays):
        n = len(next(iter(arrays.values())))
        np.savez(tmp_path / "own.npz", images=np.resize(IMAGES, (n, 8, 8)), **arrays)
        return loading.load(str(tmp_path / "own.npz"), data_dir=tmp_path / "cache")

    return load


@pytest.mark.parametrize(
    ("factors", "note"),
    [
        (GRID, None),
        (GRID + 1, "ranked, and counted from 0: the values of factor 0 (1 to 2)"),
        (GRID * 10 - 20, "factor 2 (-20 to 10 with gaps)"),
        (
            GRID / 8,
            "fractions that occur again and again are values, in their order: factor 0 (2 from 0 to 0.125)",
        ),
        (WORDS[GRID], "factor 2 is text; its 4 values count in alphabetical order: ant, bee, cat, dog"),
        (GRID.astype(float), None),
        (
            np.hstack([np.eye(n, dtype=int)[v] for n, v in zip((2, 3, 4), GRID.T, strict=True)]),
            "columns 5 to 8",
        ),
    ],
)
def test_values_of_any_kind_are_a_grid(own, factors, note):
    data = own(factors=factors)
    assert data.factor_sizes == (2, 3, 4)
    assert data.factors(np.arange(24)).tolist() == GRID.tolist()
    assert (note is None and data.notes == ()) or note in " ".join(data.notes)
    # read from the cache, which was made above
    assert own(factors=factors).notes == data.notes


def test_a_complete_grid_in_another_order_is_told(own):
    """Its rows stay where they are, since codes and row numbers of other files go by them."""
    mixed = np.random.default_rng(0).permutation(24)
    data = own(factors=GRID[mixed])
    assert data.factor_sizes is None
    assert data.factors([5]).tolist() == GRID[mixed[5:6]].tolist()
    assert data.notes[-1].startswith("the factors are a complete grid of 2 x 3 x 4 in another order")
    assert own(factors=GRID[mixed]).notes == data.notes
    # a table that is no grid, and numbers of the rows
    for factors in (GRID[np.arange(24) // 2], mixed, np.column_stack([mixed, np.zeros(24, int)])):
        assert not any("complete grid" in note for note in own(factors=factors).notes)


def test_numbers_stay_numbers(own):
    """For the metrics of numbers a grid has the numbers that were given, and not their places."""
    data = own(factors=GRID**2)
    assert data.factor_values([23, 5]).table(False).tolist() == [[1, 4, 9], [0, 1, 1]]
    data = own(factors=GRID**2 / 4)
    assert data.factor_values([23]).table(False).tolist() == [[0.25, 1, 2.25]]
    assert data.factor_values([23]).table(True).tolist() == [[1, 2, 3]]
    part = derived.select(data, "part", np.array([23, 5, 7]))
    assert part.factor_values([0]).table(False).tolist() == [[0.25, 1, 2.25]]
    assert part.factor_values([0]).table(True).tolist() == [[1, 2, 3]]


def test_whole_numbers_are_stored_as_before(own, tmp_path):
    """So that a model trained on them knows its data set again: int64, and the same checksum."""
    data = own(factors=GRID)
    (path,) = (tmp_path / "cache").glob("file-*.h5")
    with h5py.File(path) as file:
        assert file["factors"].dtype == np.int64
    assert own(factors=GRID.astype(np.uint8)).sha256 == own(factors=GRID + 0.0).sha256 == data.sha256
    assert own(factors=GRID + 1).sha256 != data.sha256


def test_a_continuous_factor(own):
    v = np.random.default_rng(1).uniform(size=(24, 2))
    data = own(factors=v, factor_names=["x", "y"])
    assert data.factor_sizes is None
    assert data.factors([3, 1]).tolist() == v[[3, 1]].tolist()
    assert data.notes == (
        "continuous: factor 'x' (24 different numbers) and factor 'y' (24 different numbers)",
    )
    assert data.factor_values([0]).continuous == (True, True)


def test_a_model_of_continuous_factors_is_scored_by_the_metrics_of_numbers(own, tmp_path):
    """Images whose first two pixels are the factors, and an encoder that reads them."""
    v = np.random.default_rng(1).integers(0, 256, (120, 2)).astype(np.uint8)
    images = np.zeros((120, 8, 8), np.uint8)
    images[:, 0, :2] = v
    np.savez(tmp_path / "own.npz", images=images, factors=v / 255 + 0.001, factor_names=["x", "y"])

    def encoder(batch):
        return batch.flatten(1)[:, :2]

    found = {"dataset": str(tmp_path / "own.npz"), "data_dir": tmp_path / "cache"}
    s = disbench.score(encoder, metrics="mcc,mig", **found)
    assert s["mcc"] == pytest.approx(1)
    assert s["mig"] is None
    assert any("continuous: factor 'x'" in note for note in s.assumed)
    binned = disbench.score(encoder, metrics="mcc,mig", bins=5, **found)
    expected = metrics.mig(v / 255, metrics.information.histogram(v / 255 + 0.001, 5)).score
    assert binned["mig"] == pytest.approx(expected, abs=0.02)


def test_one_vector_of_factors(own):
    data = own(factors=np.arange(24) % 3)
    assert data.factor_names == ("factor_0",)
    assert data.factors(np.arange(4)).tolist() == [[0], [1], [2], [0]]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(24) % 3, ()),
        (np.arange(24) % 3 + 1.0, ("1", "2", "3")),
        (np.arange(24) % 3 * 2 - 2, ("-2", "0", "2")),
        (WORDS[np.arange(24) % 3], ("ant", "bee", "cat")),
        (np.eye(3, dtype=int)[np.arange(24) % 3], ()),
        (WORDS[np.arange(24) % 3].astype("S"), ("ant", "bee", "cat")),
    ],
)
def test_labels_of_any_kind_are_classes(own, labels, classes):
    data = own(labels=labels)
    assert data.labels.tolist() == (np.arange(24) % 3).tolist()
    assert data.classes == own(labels=labels).classes == classes
    assert data.class_prior == pytest.approx([1 / 3] * 3)


def test_labels_that_count_the_images_are_asked_about(own):
    assert own(labels=np.arange(24)).notes == (
        "each row has its own value of factor 'class'; is it an index?",
    )


def test_names_belong_to_the_columns_that_were_given(own):
    one_hot = np.hstack([np.eye(3, dtype=int)[GRID[:, 1]], GRID[:, 2:]])
    data = own(factors=one_hot, factor_names=["hue_r", "hue_g", "hue_b", "x"])
    assert data.factor_names == ("hue", "x")
    assert own(factors=one_hot).factor_names == ("factor_0", "factor_1")
    assert own(factors=GRID, factor_names=np.array([b"a", b"b", b"c"])).factor_names == ("a", "b", "c")
    with pytest.raises(UsageError, match="give one per column"):
        own(factors=one_hot, factor_names=["hue", "x"])
