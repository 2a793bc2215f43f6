"""What is said beside a file that is scored, by options or by a second file: it fits, or it is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import disbench as library
from disbench.benchmark.scoring import sources
from disbench.errors import UsageError

RNG = np.random.default_rng(0)
F = np.column_stack([RNG.integers(0, k, 200) for k in (4, 5, 6)])
Z = F + RNG.normal(0, 0.1, F.shape)
ORDER = RNG.permutation(200)
SQUARE = np.stack(np.unravel_index(np.arange(25), (5, 5)), axis=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(Z, columns=["z0", "z1", "z2"])
    frame.to_csv("codes.csv", index=False)
    frame.assign(id=range(200)).to_csv("codes_id.csv", index=False)
    np.savez("rows.npz", codes=Z, rows=np.arange(200))
    np.savez("own.npz", codes=Z, factors=F)
    named = pd.DataFrame(F, columns=["factor_a", "factor_b", "factor_c"])
    named.assign(id=range(200)).iloc[ORDER].to_csv("id.csv", index=False)
    named.rename(columns={"factor_b": "b"}).to_csv("mixed.csv", index=False)
    pd.concat([frame, named], axis=1).to_csv("all.csv", index=False)
    np.savez("ids.npz", factors=F[ORDER], ids=ORDER)
    np.savez("images.npz", factors=F, images=np.zeros((200, 2)))
    np.save("f.npy", F)
    images = RNG.integers(0, 255, (25, 16, 16), np.uint8)
    np.savez("square.npz", images=images, factors=SQUARE, factor_names=["x", "floor hue"])
    np.savez("says.npz", codes=np.zeros((1797, 1)) + RNG.normal(size=(1797, 2)), dataset="mnist", size=28)
    return tmp_path


def opened(file, **options):
    return sources.open_source(file if not isinstance(file, str) else sources.Path(file), _options(**options))


def _options(**options):
    wanted = {key: options.pop(key) for key in ("input_range", "layout", "size", "output") if key in options}
    return sources.SourceOptions(wanted=sources.Wanted(**wanted), **options)


@pytest.mark.parametrize(
    ("codes", "factors", "options", "said"),
    [
        ("codes_id.csv", "id.csv", {"array": "z*"}, "has 'id' beside its factors"),
        ("codes.csv", "ids.npz", {}, "has 'ids' beside its factors"),
        ("rows.npz", "f.npy", {}, "says which rows its codes are of, and the factors are given line by line"),
        ("codes.csv", "mixed.csv", {}, "has 'factor_a' and other columns that may be factors, b;"),
    ],
)
def test_lines_are_paired_by_place_only_where_nothing_says_otherwise(folder, codes, factors, options, said):
    with pytest.raises(UsageError, match=said):
        opened(codes, factors=factors, **options)


def test_what_a_file_of_factors_has_beside_them_is_said(folder):
    assert (
        "all.csv: left out of all.csv: its 3 columns z0, z1, z2"
        in opened("codes.csv", factors="all.csv").assumed
    )
    found = opened("codes.csv", factors="images.npz")
    assert "images.npz: left out of images.npz: images" in found.assumed
    # one array, and nothing beside it
    assert not any("left out" in line for line in opened("codes.csv", factors="f.npy").assumed)
    np.savetxt("plain.csv", F, delimiter=";", fmt="%d")
    found = opened("codes.csv", factors="plain.csv").assumed
    assert "plain.csv: its columns are separated by semicolons" in found
    assert "plain.csv: it has no line of names" in found


def test_a_sign_within_a_value_begins_no_comment(folder):
    keys = np.array(["A", "A#", "B", "C", "C#", "D"])[F[:, 2]]
    text = pd.DataFrame({"factor_a": F[:, 0], "factor_key": keys}).to_csv(index=False)
    (folder / "key.csv").write_text("# written in 2024\n" + text.replace("\n", "\n# a line between\n", 2))
    found = opened("codes.csv", factors="key.csv")
    assert len(np.unique(found.data.factor_values(np.arange(200)).numbers[:, 1])) == 6
    (folder / "mac.csv").write_bytes(text.replace("\n", "\r").encode())
    with pytest.raises(UsageError, match="lines that end in CR alone"):
        opened("codes.csv", factors="mac.csv")


def table(**columns):
    """Codes of the square, with its factors under these names."""
    codes = {"z0": SQUARE[:, 0] + 0.01 * np.arange(25), "z1": RNG.normal(size=25)}
    pd.DataFrame({**codes, **columns}).to_csv("t.csv", index=False)
    return "t.csv"


def test_factors_are_looked_up_by_their_names(folder):
    x, hue = SQUARE.T
    right = opened(table(factor_x=x, factor_floor_hue=hue), dataset="square.npz")
    assert not any("order of square.npz" in sentence for sentence in right.assumed)
    other = opened(table(**{"factor_Floor Hue": hue, "factor_x": x}), dataset="square.npz")
    assert "its factors Floor Hue, x are put into the order of square.npz: x, floor hue" in other.assumed
    # the code is the first factor, in whatever order the columns are
    for found in (right, other):
        codes = found.source.codes(np.arange(25))
        assert np.array_equal(
            np.rint(codes[:, 0] - 0.01 * np.arange(25)), found.data.factors(np.arange(25))[:, 0]
        )
    foreign = opened(table(factor_age=x, factor_hair=hue), dataset="square.npz")
    assert "its factors age, hair are taken for x, floor hue, in this order" in foreign.assumed
    plain = opened(table(factor_0=x, factor_1=hue), dataset="square.npz")
    assert not any("in this order" in sentence for sentence in plain.assumed)
    with pytest.raises(UsageError, match=r"has the factors hair, x, but square.npz has x, floor hue"):
        opened(table(factor_hair=hue, factor_x=x), dataset="square.npz")


def test_what_is_named_beside_the_names_of_a_data_set(folder):
    x, hue = SQUARE.T
    # one that the data set has stands at its place, so that the other is at its own
    placed = opened(table(factor_x=x, factor_hair=hue), dataset="square.npz")
    assert "its factors x, hair are taken for x, floor hue, in this order" in placed.assumed
    # a further one is constant
    white = np.ones(25, int)
    assert opened(table(factor_white=white, factor_x=x, factor_floor_hue=hue), dataset="square.npz")
    with pytest.raises(
        UsageError, match=r"has the factors age, x, floor_hue, but square.npz has x, floor hue"
    ):
        opened(table(factor_age=np.arange(25) % 3, factor_x=x, factor_floor_hue=hue), dataset="square.npz")


def test_codes_of_a_file_that_has_moved_are_of_its_content(folder):
    found = library.datasets.load("square.npz")
    about = {"dataset": "old/square.npz", "size": 16, "sha256": found.sha256}
    np.savez("moved.npz", codes=RNG.normal(size=(25, 2)), **about)
    assert opened("moved.npz", dataset="square.npz").data.sha256 == found.sha256
    np.savez("other.npz", codes=RNG.normal(size=(25, 2)), dataset="old/square.npz")
    with pytest.raises(UsageError, match=r"its codes are of dataset old/square.npz, so scores by"):
        opened("other.npz", dataset="square.npz")


def test_notes_of_a_data_set_are_told_of_codes_on_it(folder):
    ages = np.where(np.arange(25) < 3, -1, np.arange(25) % 9)
    np.savez(
        "ages.npz", images=np.zeros((25, 16, 16), np.uint8), factors=np.column_stack([SQUARE[:, 0], ages])
    )
    np.save("c.npy", RNG.normal(size=(25, 2)))
    assert any("is -1 in 3 of 25 rows" in note for note in opened("c.npy", dataset="ages.npz").assumed)


@pytest.mark.parametrize(
    ("file", "options", "said"),
    [
        (
            "says.npz",
            {"dataset": "digits"},
            "its codes are of dataset mnist, so scores by dataset digits would be",
        ),
        (
            "own.npz",
            {"size": 64},
            "size 64 says which images of a data set the codes are of, and none is named",
        ),
        ("own.npz", {"size": 0}, "size 0 was given; give a number of pixels from 1 on"),
        ("own.npz", {"input_range": "-1,1"}, "input_range has no effect: own.npz is codes; omit it"),
        ("own.npz", {"layout": "flat"}, "layout has no effect"),
        ("own.npz", {"output": "mu"}, "output has no effect"),
        ("own.npz", {"config": "mini"}, "config has no effect"),
        ("own.npz", {"device": "gpu"}, "unknown device 'gpu'"),
    ],
)
def test_what_would_change_nothing_for_codes_is_refused(folder, file, options, said):
    with pytest.raises(UsageError, match=said):
        opened(file, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"method": "factorvae"},
            "method has no effect: .* is a disbench checkpoint, which says how it was built",
        ),
        ({"config": "mini"}, "config has no effect"),
        ({"factory": "a:b"}, "factory has no effect"),
        ({"input_range": "-1,1"}, "input_range has no effect"),
        ({"layout": "flat"}, "layout has no effect"),
        ({"output": "mu"}, "output has no effect"),
        ({"size": 7}, "was trained on images of 32 pixels; scores on size 7 would not be comparable"),
    ],
)
def test_what_a_checkpoint_says_itself_is_not_said_again(finished_run, options, said):
    (path, *_) = sorted(finished_run.rglob("checkpoint.pt"))
    with pytest.raises(UsageError, match=said):
        opened(path, **options)
    assert opened(path, size=32).data.shape[1] == 32


def test_weights_of_a_method_take_images_in_one_way(finished_run, tmp_path):
    (path, *_) = sorted(finished_run.rglob("checkpoint.pt"))
    weights = torch.load(path, weights_only=True)["weights"]
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"input_range has no effect: .* is of a method"):
        opened(tmp_path / "w.pt", method="betavae", dataset="dsprites", size=32, input_range="-1,1")


def test_a_run_that_is_compared_has_its_scores(finished_run):
    with pytest.raises(UsageError, match=r"dataset has no effect: .* is a run, which has its scores"):
        library.compare(finished_run, finished_run, dataset="dsprites")
    with pytest.raises(UsageError, match=r"factors belongs to codes, but .* is a run"):
        library.compare(finished_run, finished_run, factors=F)


def test_the_file_that_is_scored_is_not_written_over(folder, disbench):
    before = (folder / "codes.csv").read_bytes()
    code, _, err = disbench(
        "score", "codes.csv", "--factors", "f.npy", "--metrics", "mig", "--out", "./codes.csv"
    )
    assert (code, "would be written over codes.csv, which is read" in err) == (2, True)
    assert (folder / "codes.csv").read_bytes() == before
    (folder / "t-scores.csv").write_bytes(before)
    words = ("compare", "t-scores.csv", "--factors", "f.npy", "--with", "mini", "--out", "t.csv")
    code, _, err = disbench(*words)
    assert (code, "would be written over" in err) == (2, True)


def test_quick_is_of_metrics_that_vote(folder, disbench):
    code, _, err = disbench("score", "own.npz", "--metrics", "mig,sap", "--quick")
    assert (code, "none of these metrics votes; omit it" in err) == (2, True)


def test_two_factors_of_one_name_are_refused(folder):
    np.savez("twice.npz", codes=Z, factors=F, factor_names=["a", "b", "a"])
    with pytest.raises(UsageError, match="2 columns are named 'a'"):
        opened("twice.npz")
