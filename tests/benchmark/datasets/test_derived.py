"""Chosen rows, chosen classes, unequal classes, and images with something drawn on them."""

import pickle

import numpy as np
import pytest
from PIL import Image

from disbench.benchmark.datasets import derived, load
from disbench.benchmark.datasets.dataset import ArrayStorage, Dataset
from disbench.errors import UsageError
from disbench.metrics.factors import Factors

LABELS = np.repeat([0, 1, 2], [40, 50, 60])
PIXELS = np.arange(150, dtype=np.uint8)[:, None, None, None]
TOY = Dataset("toy", "0" * 64, ArrayStorage(PIXELS), ("class",), labels=LABELS, classes=("x", "y", "z"))
FIXED_COUNTS = [
    [3466, 1799, 4140, 2464, 4117, 758, 1738, 6300, 1420, 2094],
    [3333, 5091, 4852, 6300, 1352, 4003, 1579, 3893, 5312, 4856],
]


def shown(dataset, rows=None):
    rows = np.arange(len(dataset)) if rows is None else rows
    return (255 * dataset.images(rows)[:, 0, 0, 0]).round().numpy().astype(int)


def test_shares_are_u_over_their_maximum():
    shares = np.stack([derived.imbalance(split, 10) for split in range(derived.SPLITS)])
    assert (shares.max(axis=1) == 1).all()
    assert shares.min() > 0.1
    assert len(np.unique(shares, axis=0)) == 50


def test_the_splits_follow_the_published_rule():
    """RMSE of the uniform prior over the published splits: 0.0438 +- 0.0087; their priors: 0.019 to 0.213.

    The rule itself gives 0.0452 +- 0.0099 (20,000 draws), U(0, 1) in place of U(0.1, 1) gives 0.0559; a mean
    over 50 splits has a standard error of 0.0014.
    """
    shares = np.stack([derived.imbalance(split, 10) for split in range(50)])
    priors = shares / shares.sum(axis=1, keepdims=True)
    rmse = np.sqrt(((priors - 0.1) ** 2).mean(axis=1))
    assert rmse.mean() == pytest.approx(0.0452, abs=0.004)
    assert rmse.std() == pytest.approx(0.0099, abs=0.003)
    assert 0.01 < priors.min() < 0.03
    assert 0.18 < priors.max() < 0.26


def test_the_splits_are_fixed():
    """Class sizes of the first and last split of a set whose smallest class has 6,300 images."""
    labels = np.repeat(np.arange(10), 6300)
    counts = [np.bincount(labels[derived.imbalanced_rows(labels, split)]).tolist() for split in (0, 49)]
    assert counts == FIXED_COUNTS


def test_unequal_classes_come_from_their_own_class():
    dataset = derived.derive(TOY, "imbalanced-7")
    counts = np.floor(40 * derived.imbalance(7, 3)).astype(int)
    assert counts.max() == 40
    assert np.bincount(dataset.labels).tolist() == counts.tolist()
    assert dataset.class_prior == pytest.approx(counts / counts.sum())
    rows = shown(dataset)
    assert len(set(rows)) == len(rows)  # no image twice
    assert np.array_equal(LABELS[rows], dataset.labels)
    assert dataset.name == "toy:imbalanced-7"
    assert dataset.classes == TOY.classes


def test_which_images_are_kept_is_not_the_first_ones():
    rows = derived.imbalanced_rows(LABELS, 7)
    kept = rows[LABELS[rows] == 2]
    assert not np.array_equal(kept, np.arange(90, 90 + len(kept)))


def test_every_split_and_parent_has_its_own_checksum():
    digests = {derived.derive(TOY, f"imbalanced-{split}").sha256 for split in range(50)} | {TOY.sha256}
    assert len(digests) == 51
    assert derived.derive(TOY, "imbalanced-3").sha256 == derived.derive(TOY, "imbalanced-3").sha256


def test_some_classes_are_numbered_anew():
    dataset = derived.derive(TOY, "classes-2,0")
    assert np.bincount(dataset.labels).tolist() == [40, 60]
    assert dataset.classes == ("x", "z")
    assert np.array_equal(shown(dataset), [*range(40), *range(90, 150)])
    both = derived.derive(dataset, "imbalanced-1")
    assert both.name == "toy:classes-2,0:imbalanced-1"
    assert both.class_prior.max() == pytest.approx(1 / derived.imbalance(1, 2).sum(), abs=0.02)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("imbalanced-50", "imbalanced-0 to imbalanced-49"),
        ("imbalanced", "end in a number"),
        ("imbalanced--1", "end in a number"),
        ("imbalanced-1,2", "end in a number"),
        ("classes-0", "two or more"),
        ("classes-0,3", r"of the classes \[0, 1, 2\]"),
        ("classes-a,b", "end in a number"),
        ("imbalance-3", "did you mean 'imbalanced-0'"),
        ("train", "unknown option 'train'"),
    ],
)
def test_options_that_make_no_sense(option, message):
    with pytest.raises(UsageError, match=message):
        derived.derive(TOY, option)


def test_a_data_set_without_labels_has_no_classes():
    with pytest.raises(UsageError, match="no labels"):
        load("dsprites:imbalanced-1", size=32)


def test_rows_of_a_grid_are_a_table():
    toy = Dataset("toy", "0" * 64, ArrayStorage(PIXELS[:6]), ("a", "b"), (2, 3))
    part = derived.select(toy, "part", np.array([5, 1]))
    assert part.factor_sizes is None
    assert part.factors([0, 1]).tolist() == [[1, 2], [0, 1]]
    assert shown(part).tolist() == [5, 1]


@pytest.mark.parametrize("option", ["classes-0,1", "imbalanced-3"])
@pytest.mark.parametrize("ordered", [True, False])
def test_chosen_classes_keep_their_factors(option, ordered):
    """A file may have both; the factors are the table's, not the classes under the table's names."""
    v = np.stack(np.unravel_index(np.arange(24), (3, 2, 4)), axis=1)
    labels, images = v[:, 0], ArrayStorage(np.zeros((24, 1, 2, 2), np.uint8))
    known = {"factor_sizes": (3, 2, 4)} if ordered else {"factor_table": Factors.whole(v, ("a", "b", "c"))}
    whole = Dataset("own", "0" * 64, images, ("a", "b", "c"), labels=labels, classes=("x", "y", "z"), **known)
    chosen = derived.derive(whole, option)
    rows = chosen.storage.rows
    assert 2 < len(rows) < 24
    assert chosen.factors(np.arange(len(rows))).tolist() == v[rows].tolist()
    assert chosen.factor_values([0]).names == ("a", "b", "c")
    assert chosen.labels.tolist() == labels[rows].tolist()


def test_digits_by_name():
    dataset = load("digits:classes-0,1,6:imbalanced-4")
    assert len(dataset.class_prior) == 3
    assert dataset.class_prior.sum() == pytest.approx(1)
    assert dataset.classes == ("0", "1", "6")
    assert pickle.loads(pickle.dumps(dataset)).images([3]).equal(dataset.images([3]))
    with pytest.raises(UsageError, match="unknown option 'train'"):
        load("digits:train")


# --- drawn on sprites ---


@pytest.fixture(scope="module")
def base():
    return load("dsprites", size=32)


ROWS = np.array([700_000, 3, 3, 123_456])


@pytest.fixture(params=["color", "noisy", "scream"])
def style(request):
    return request.param


@pytest.fixture
def styled(style, base, tmp_path):
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)).save(picture)
    return derived.Styled(base.storage, style, picture)


def test_a_row_always_shows_the_same(styled):
    x = styled.read(ROWS)
    assert styled.shape == (737_280, 3, 32, 32)
    assert x.shape == (4, 3, 32, 32)
    assert x.dtype == np.float32
    assert 0 <= x.min() < x.max() <= 1
    assert np.array_equal(x[1], x[2])
    assert np.array_equal(pickle.loads(pickle.dumps(styled)).read(ROWS[::-1]), x[::-1])
    assert styled.read(ROWS[:0]).shape == (0, 3, 32, 32)


def test_colour_fills_the_sprite_only(base):
    x = derived.Styled(base.storage, "color").read(np.arange(5000, 5200))
    sprite = base.storage.read(np.arange(5000, 5200))
    assert (x[np.broadcast_to(sprite == 0, x.shape)] == 0).all()
    colours = x.max(axis=(2, 3))  # (200, 3)
    assert np.array_equal(x, sprite * colours[:, :, None, None])
    assert colours.min() >= 0.5
    assert colours.mean() == pytest.approx(0.75, abs=0.03)  # U(0.5, 1), standard error 0.006


def test_noise_fills_the_background_only(base):
    x = derived.Styled(base.storage, "noisy").read(np.arange(5000, 5100))
    outside = np.broadcast_to(base.storage.read(np.arange(5000, 5100)) == 0, x.shape)
    assert (x[~outside] == 1).all()
    assert x[outside].mean() == pytest.approx(0.5, abs=0.01)
    assert x[outside].var() == pytest.approx(1 / 12, abs=0.005)
    assert not np.array_equal(x[0, 0], x[0, 1])


def test_the_sprite_inverts_its_background(base, tmp_path):
    """On a picture of one grey 0.4 the background is (0.4 + c) / 2 and the sprite one minus that."""
    Image.new("RGB", (50, 40), (102, 102, 102)).save(tmp_path / "grey.png")
    x = derived.Styled(base.storage, "scream", tmp_path / "grey.png").read(np.array([9]))[0]
    sprite = base.storage.read(np.array([9]))[0, 0] > 0
    for channel in x:
        (background,) = np.unique(channel[~sprite])
        assert 0.2 <= background <= 0.7
        assert channel[sprite] == pytest.approx(1 - background)


def test_pictures_that_do_not_do(tmp_path):
    Image.new("RGB", (50, 20)).save(tmp_path / "low.png")
    with pytest.raises(UsageError, match="at least 32"):
        derived.scene(tmp_path / "low.png", 32)
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(UsageError, match="cannot be read as a picture"):
        derived.scene(tmp_path / "text.png", 32)


def test_styles_by_name(base):
    dataset = load("color_dsprites", size=32)
    assert dataset.shape == (3, 32, 32)
    assert dataset.factor_sizes == base.factor_sizes
    assert dataset.sha256 != base.sha256
    assert dataset.sha256 != load("noisy_dsprites", size=32).sha256
    with pytest.raises(UsageError, match=r"scream-picture.*--from FILE"):
        load("scream_dsprites", size=32)
