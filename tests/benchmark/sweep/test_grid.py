"""Grids of settings: products, ranges, random draws; and ranges of seeds and of data sets."""

import io

import numpy as np
import pandas as pd
import pytest

from disbench.benchmark import protocols
from disbench.benchmark.datasets import naming
from disbench.benchmark.runs import store
from disbench.benchmark.sweep import plan
from disbench.benchmark.sweep.grid import points
from disbench.benchmark.sweep.request import Request, seed_numbers
from disbench.errors import UsageError
from disbench.texts import as_ranges, whole_numbers


def beta(text, **more):
    return [point["beta"] for point in points("betavae", "mini", {"beta": text}, **more)]


def test_a_grid_is_the_product_of_its_values():
    found = points("betavae", "mini", {"beta": "1, 4", "codes": "2..4"})
    assert found == [{"beta": b, "codes": c} for b in ("1", "4") for c in (2, 3, 4)]
    assert points("betavae", "mini", {"beta": [1, 2.5]}) == [{"beta": 1}, {"beta": 2.5}]
    assert beta("1,2,1") == ["1", "2"]


def test_random_settings_are_seeded_and_more_of_them_begin_with_the_same():
    drawn = beta("1..16", draws=20)
    assert len(set(drawn)) == 20
    assert all(1 <= value <= 16 for value in drawn)
    assert beta("1..16", draws=30)[:20] == drawn
    assert beta("1..16", draws=20, seed=1) != drawn
    assert points("vae", "mini", {"lr": "1..16"}, draws=3) != [{"lr": value} for value in drawn[:3]]


def test_draws_are_uniform_and_with_log_in_the_logarithm():
    """Half of the draws lie below the middle: (1 + 16) / 2, or sqrt(1 * 16); 1,000 draws, 5 deviations."""
    for text, middle in (("1..16", 8.5), ("log:1..16", 4.0)):
        below = sum(value < middle for value in beta(text, draws=1000))
        assert abs(below - 500) < 5 * 16, text


def test_draws_of_whole_numbers_are_whole_and_reach_both_ends():
    found = points("betavae", "mini", {"codes": "2..4"}, draws=3)
    assert sorted(point["codes"] for point in found) == [2, 3, 4]
    found = points("betavae", "mini", {"steps": "log:10..1000"}, draws=50)
    assert all(type(point["steps"]) is int and 10 <= point["steps"] <= 1000 for point in found)


@pytest.mark.parametrize(
    ("axes", "draws", "said"),
    [
        ({"beta": "1..16"}, 0, "is a range; give its values with commas"),
        ({"beta": "16..1"}, 3, "is no range of numbers"),
        ({"beta": "1..x"}, 3, "is no range of numbers"),
        ({"beta": "1..inf"}, 3, "is no range of numbers"),
        ({"codes": "1.5..3"}, 0, "is no range of whole numbers"),
        ({"nets": "a..b"}, 0, "this setting has no numbers"),
        ({"beta": "1,2..3"}, 3, "mixes values and a range"),
        ({"beta": "log:1,2"}, 3, "mixes values and a range"),
        ({"beta": "log:0..2"}, 3, "where there is no logarithm"),
        ({"beta": ""}, 0, "has 0 values"),
        ({"beta": "1,2"}, 3, "has only 2 settings"),
        ({"bta": "1,2"}, 0, "did you mean 'beta'"),
        ({"codes": "1..9999", "beta": "1,2,3"}, 0, "makes 29,997 settings"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_in_a_sentence(axes, draws, said):
    with pytest.raises(UsageError, match=said):
        points("betavae", "mini", axes, draws)


def test_a_setting_that_is_a_list_is_no_axis():
    with pytest.raises(UsageError, match="has a list for its value"):
        points("infogan", "mini", {"channels": "8,16"})


def entries(grid, changes=None, variants=()):
    return plan.entries(protocols.get("smoke"), ["betavae", "vae"], changes or {}, variants, None, grid)


def test_every_setting_is_a_training_and_other_methods_have_one():
    found = entries({"betavae": [{"beta": "1"}, {"beta": "1.0"}, {"beta": 6}]}, {"betavae": {"steps": 7}})
    assert [(each.method, each.config.get("beta")) for each in found] == [
        ("betavae", 1.0), ("betavae", 6.0), ("vae", None),
    ]  # fmt: skip
    assert found[1].changed == {"steps": 7, "beta": 6.0}


def test_a_field_of_a_grid_is_set_nowhere_else():
    with pytest.raises(UsageError, match=r"betavae\.beta is set by settings too"):
        entries({"betavae": [{"beta": 1}]}, {"betavae": {"beta": 2}})
    variant = next(iter(plan.models.get("betavae").VARIANTS))
    with pytest.raises(UsageError, match="is set by the variant"):
        plan.entries(protocols.get("smoke"), ["betavae"], {}, [variant], None, {"betavae": [{"beta": 1}]})
    with pytest.raises(UsageError, match="'gan'"):
        entries({"gan": [{}]})


def test_what_a_variant_sets_is_not_set_beside_it():
    """The rows would have the variant's name over another value."""
    for named in ("beta4", "beta4,beta16", "all"):
        request = Request("betavae", protocol="smoke", variants=named, settings={"betavae": {"beta": 2}})
        with pytest.raises(UsageError, match=r"^settings betavae\.beta is set by the variant beta\d+ too"):
            request.prepare()
    (found,) = plan.entries(protocols.get("smoke"), ["betavae"], {"betavae": {"steps": 7}}, ["beta4"])
    assert (found.config["beta"], found.config["steps"]) == (4.0, 7)


def test_a_method_without_variants_says_so():
    with pytest.raises(UsageError, match=r"^variants beta4 was given, and vae has no variants; omit"):
        plan.entries(protocols.get("smoke"), ["vae"], {}, ["beta4"])
    assert len(plan.entries(protocols.get("smoke"), ["vae"], {}, ["all"])) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"random": 3}, "draws from a grid, which is missing"),
        ({"random": -1, "grid": {"vae": {"lr": "1..2"}}}, "random -1"),
        ({"random_seed": 3, "grid": {"vae": {"lr": "1,2"}}}, "give it with random"),
    ],
)
def test_draws_need_a_grid(given, said):
    with pytest.raises(UsageError, match=said):
        Request("vae", **given)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("32", list(range(32))), ("0-31", list(range(32))), ("0..31", list(range(32))), ("5,", [5]),
        ("0..2,7", [0, 1, 2, 7]), ("3-3", [3]),
    ],
)  # fmt: skip
def test_seeds_are_a_number_a_list_or_ranges(text, numbers):
    assert seed_numbers(text) == tuple(numbers)


@pytest.mark.parametrize("text", ["3..1", "-3", "1..", "a..b", "0..999999999", "1.5", "", "0...3"])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(UsageError):
        seed_numbers(text)


@pytest.mark.parametrize(
    "seeds",
    [[0.5, 1.9], 2.0, [2.0], None, [None], ["3"], np.array([0.5]), np.float64(3), np.ones((2, 2), int)],
)
def test_seeds_of_python_are_whole_numbers(seeds):
    with pytest.raises(UsageError, match=r"^seeds .* is no whole number and no list of them; give how many"):
        Request("vae", seeds=seeds)


@pytest.mark.parametrize("seeds", [np.int64(3), np.arange(3), [np.int32(0), 1, np.uint8(2)], iter(range(3))])
def test_seeds_may_be_whole_numbers_of_numpy(seeds):
    found = Request("vae", seeds=seeds).seeds
    assert found == (0, 1, 2)
    assert {type(seed) for seed in found} == {int}


@pytest.mark.parametrize("numbers", [[0], [0, 1], [0, 1, 2], [0, 1, 2, 7, 9, 10], [3, 5, 6, 7, 8]])
def test_ranges_are_written_as_they_are_read(numbers):
    assert whole_numbers(as_ranges(numbers)) == numbers


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("digits:imbalanced-0..2", ["digits:imbalanced-0", "digits:imbalanced-1", "digits:imbalanced-2"]),
        ("digits:imbalanced-4,6", ["digits:imbalanced-4", "digits:imbalanced-6"]),
        ("digits:imbalanced-*", [f"digits:imbalanced-{split}" for split in range(50)]),
        ("digits:classes-0..2:imbalanced-7", ["digits:classes-0,1,2:imbalanced-7"]),
        ("digits:imbalanced-7", ["digits:imbalanced-7"]),
        ("../a..b/0..3.npz:classes-0,1", ["../a..b/0..3.npz:classes-0,1"]),
    ],
)
def test_a_range_of_splits_is_several_data_sets(name, names):
    assert naming.expanded(name) == names
    if len(names) > 2:
        (short,) = naming.as_ranges(names)
        assert naming.expanded(short) == names


@pytest.mark.parametrize("name", ["digits:imbalanced-3..1", "digits:imbalanced-0..x", "digits:imbalanced-,"])
def test_splits_that_are_no_range_are_refused(name):
    with pytest.raises(UsageError, match="has no splits"):
        naming.expanded(name)


def test_a_grid_trains_each_setting_with_its_seeds_and_resumes(disbench, tmp_path, tiny_grid):
    words = (
        *("run", "--methods", "betavae", "--protocol", "smoke", "--jobs", "1", "--seeds", "0..1"),
        *("--dataset", tiny_grid(tmp_path / "grid.npz"), "--out", tmp_path / "r", "--set", "betavae.steps=4"),
        *("--set", "betavae.batch=4"),
    )
    code, _, err = disbench(*words, "--grid", "betavae.beta=1,4")
    assert code == 0, err
    first = {cell.training for cell, _ in store.cells(tmp_path / "r")}
    assert len(first) == 2
    code, out, err = disbench(*words, "--grid", "betavae.beta=4,16")
    assert code == 0, err
    cells = store.cells(tmp_path / "r")
    assert (len(cells), len({cell.training for cell, _ in cells})) == (6, 3)
    code, out, _ = disbench("status", tmp_path / "r")
    named = [line.split("beta=")[1].split(")")[0] for line in out.splitlines() if "beta=" in line]
    assert named == sorted(named, key=float)
    code, out, err = disbench(
        "leaderboard", tmp_path / "r", "--by", "method,beta,metric,preset", "--format", "csv"
    )
    assert code == 0, err
    board = pd.read_csv(io.StringIO(out))
    assert board["beta"].drop_duplicates().tolist() == [1.0, 4.0, 16.0]
    assert set(board["n"]) == {2}
    for kind in ("sweep", "frontier"):
        code, out, err = disbench("plot", tmp_path / "r", "--kind", kind)
        assert code == 0, err
    assert (tmp_path / "r" / "frontier-betavae.png").is_file()
    assert (tmp_path / "r" / "sweep-beta-loss.reconstruction.png").is_file()
    assert disbench("plot", tmp_path / "r", "--kind", "frontier", "--quantity", "los.kl")[0] == 2
