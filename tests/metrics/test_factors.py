"""One place says what a factor is, for the functions, files and data sets."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from disbench.errors import UsageError
from disbench.metrics import dci, explicitness, infomec, irs, linear_r2, mcc, mig, modularity, sap
from disbench.metrics import factors as reader
from disbench.metrics.factors import Factors, read

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
CODES = GRID + np.random.default_rng(5).normal(0, 0.2, GRID.shape)
TRUTH = mig(CODES, GRID).score
WORDS = np.array(["circle", "cross", "heart", "square", "star"])


def one_hot(column):
    return np.eye(int(column.max()) + 1, dtype=int)[column]


def any_length(**given):
    """The type for texts of any length; before numpy 2, that of objects."""
    return np.dtypes.StringDType(**given) if hasattr(np.dtypes, "StringDType") else object


# Each is the same factors in another form, with what is said of it.
FORMS = {
    "from 1": (GRID + 1, ""),
    "with gaps": (GRID * 7, ""),
    "negative": (GRID - 40, ""),
    "squares": (GRID**2, ""),
    "whole floats": (GRID + 0.0, ""),
    "float16": (GRID.astype(np.float16), ""),
    "big-endian": (GRID.astype(">i4"), ""),
    "booleans beside numbers": (GRID.astype(object), ""),
    "unsigned": (
        GRID.astype(np.uint64) + 2**63,
        "numbers beyond 9,007,199,254,740,992, which count in their order",
    ),
    "large": (GRID.astype(np.int64) * 2**55, "numbers beyond"),
    "grid of fractions": (
        GRID / 7 + 0.1,
        "fractions that occur again and again are values, in their order: fact",
    ),
    "text": (
        WORDS[GRID],
        "factor 2 is text; its 5 values count in alphabetical order: circle, cross, heart, sq",
    ),
    "bytes": (WORDS[GRID].astype("S"), "factor 0 is text; its 3 values"),
    "text objects": (WORDS[GRID].astype(object), "factor 1 is text; its 4 values"),
    "text of any length": (WORDS[GRID].astype(any_length()), "factor 0 is text; its 3 values"),
    "text of numbers": (
        GRID.astype(str),
        "text of numbers, taken as these: factor 0, factor 1 and factor 2",
    ),
    "one-hot": (
        np.hstack([one_hot(column) for column in GRID.T]),
        "columns 3 to 6 of the factors are one-hot, and so one factor of 4 values",
    ),
    "one-hot beside numbers": (np.hstack([one_hot(GRID[:, 0]), GRID[:, 1:] + 5]), "columns 0 to 2"),
    "a frame": (
        pd.DataFrame({"a": WORDS[GRID[:, 0]], "b": GRID[:, 1] / 2, "c": GRID[:, 2]}),
        "factor 'a' is text",
    ),
    "categories": (pd.DataFrame(WORDS[GRID], columns=list("abc")).astype("category"), "factor 'c' is text"),
    "nullable": (pd.DataFrame(GRID, columns=list("abc")).astype("Int64"), ""),
    "a list": (GRID.tolist(), ""),
    "a list of text and numbers": (
        [[WORDS[a], int(b), float(c)] for a, b, c in GRID],
        "factor 0 is text; its 3 values",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_factors_has_their_score(form):
    given, said = FORMS[form]
    s = mig(CODES, given)
    assert s.score == pytest.approx(TRUTH, abs=1e-12)
    told = [note for note in s.warnings if "are few" not in note]
    assert any(said in note for note in told) if said else told == [], told


@pytest.mark.parametrize(
    "form", ["from 1", "with gaps", "negative", "grid of fractions", "text of numbers", "one-hot"]
)
def test_numbers_that_only_move_and_stretch_change_no_correlation(form):
    assert mcc(CODES, FORMS[form][0]).score == pytest.approx(mcc(CODES, GRID).score, abs=1e-12)


def test_numbers_are_kept_for_the_metrics_of_numbers():
    """Their places would hide that 0, 1, 4, 9 are no even steps."""
    squares = FORMS["squares"][0]
    expected = np.mean([abs(np.corrcoef(z, v)[0, 1]) for z, v in zip(CODES.T, squares.T, strict=True)])
    assert mcc(CODES, squares).score == pytest.approx(expected)
    assert mcc(CODES, squares / 4 + 0.1).score == pytest.approx(expected)
    assert mcc(CODES, GRID).score > expected + 0.005


@pytest.mark.parametrize(
    "values", [GRID[:, 2], GRID[:, 2].astype(float), WORDS[GRID[:, 2]], one_hot(GRID[:, 2])]
)
def test_one_vector_or_one_hot_classes_are_one_factor(values):
    s = mig(CODES, values)
    assert s.score == pytest.approx(mig(CODES, GRID[:, 2:]).score)
    assert s.parts["gap"].shape == (1,)
    if values.ndim == 1:
        assert "the factors are one vector, and so one factor" in s.warnings


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        # a third class that no row has, and a factor of two values beside it
        ([[1, 0, 0, 5], [0, 1, 0, 6]], [3, 1]),
        # two independent factors of two values each
        ([[0, 0], [0, 1], [1, 0], [1, 1]], [1, 1]),
        # two groups of two columns
        ([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]], [2, 2]),
        # attributes of which two exclude each other, beside a third of its own
        ([[1, 0, 0], [0, 1, 1], [1, 0, 1]], [1, 1, 1]),
        ([[1, 1], [1, 1]], [1, 1]),
        ([[2, 0], [0, 2]], [1, 1]),
        # three classes before, behind and between attributes; a fourth that no row has; no class in a row
        ([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]], [3, 1]),
        ([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], [1, 3]),
        ([[1, 0, 0, 0, 1, 1], [0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 1, 1], [1, 0, 0, 0, 0, 0]], [4, 1, 1]),
        ([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]], [1, 1, 1, 1]),
    ],
)
def test_which_columns_are_one_hot(rows, groups):
    columns = [reader._Column(column, True) for column in np.array(rows).T]
    assert [last - first for first, last in reader._groups(columns)] == groups


def test_one_hot_columns_keep_the_order_of_their_columns_and_share_their_names_beginning():
    table = pd.DataFrame({"shape_b": [0, 0, 1], "shape_a": [1, 0, 0], "shape_c": [0, 1, 0], "x": [4, 5, 5]})
    f = read(table, "factors")
    assert f.names == ("shape", "x")
    assert f.numbers.tolist() == [[1, 4], [2, 5], [0, 5]]


def test_rows_without_a_class_are_told_and_its_columns_are_not_merged():
    classes = np.vstack([np.zeros((2, 4), int), np.eye(4, dtype=int)[GRID[:, 1]]])
    f = read(np.column_stack([classes, np.arange(62) % 5]), "factors")
    note = "columns 0 to 3 of the factors are never 1 together, yet all 0 in 2 rows, and so a factor each"
    assert (f.numbers.shape, f.said) == ((62, 5), (note,))
    assert read(np.arange(62)[:, None] % [2, 3, 4] == 1, "factors").said == ()


CONTINUOUS = np.random.default_rng(0).uniform(size=(300, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_of_numbers_take_continuous_factors(dtype):
    """Codes that are the factors: each metric that is defined on numbers has its best score."""
    v = CONTINUOUS.astype(dtype)
    rng = np.random.default_rng
    assert mcc(v + 0.01, v).score == pytest.approx(1)
    assert linear_r2(v + 0.01, v, rng=rng(0)).score == pytest.approx(1)
    assert sap(v, v, continuous=True, held_out=False).parts["predictability"].diagonal() == pytest.approx(1)
    for preset in ("eastwood2018_lasso", "eastwood2018_forest", "ubisoft"):
        assert dci(v, v, rng=rng(0), preset=preset, n_jobs=1, trees=3).score > 0.9
    assert irs(v, v).score > 0.85
    assert irs(v, v, preset="dlib", factor_bins=50).score > irs(v, v).score


@pytest.mark.parametrize("metric", [mig, modularity, infomec, explicitness, dci, sap])
def test_metrics_of_values_name_a_continuous_factor(metric):
    mixed = np.column_stack([np.arange(300) % 4, CONTINUOUS[:, 1]])
    rng = {} if metric in (mig, modularity) else {"rng": np.random.default_rng(0)}
    with pytest.raises(UsageError) as refused:
        metric(CONTINUOUS, mixed, **rng)
    assert f"{metric.__name__}: factors must be whole numbers" in str(refused.value)
    assert "but factor 1 is continuous; put it into bins, as information.histogram" in str(refused.value)
    assert "dci:eastwood2018_lasso, dci_es, irs, linear_r2, mcc, sap:dlib_continuous" in str(refused.value)


def test_only_the_factors_that_are_said_to_be_values_must_be():
    """One factor of four values and one continuous, each with a code of its own."""
    mixed = np.column_stack([np.full(300, 7), np.arange(300) % 4, CONTINUOUS[:, 1]])
    codes = mixed[:, 1:] + 0.0
    s = sap(codes, mixed, continuous=(False, True), held_out=False)
    assert s.parts["predictability"][1, 1] == pytest.approx(1)
    with pytest.raises(UsageError, match="factor 2 is continuous"):
        sap(codes, mixed, continuous=(True, False), held_out=False)
    with pytest.raises(UsageError, match="continuous has 3 entries, but 2 factors vary"):
        sap(codes, mixed, continuous=(True, False, True), held_out=False)


@pytest.mark.parametrize(
    ("values", "continuous"),
    [
        (np.repeat(np.arange(20) / 7, 10), False),  # ten of each
        (np.repeat(np.arange(40) / 7, 5), True),  # five of each
        (np.linspace(0, 1, 200), True),
        (np.arange(200), False),
        (np.arange(200) + 0.0, False),
        (np.full(200, 0.5), False),
        (np.arange(200) * 1e300, True),
    ],
)
def test_which_columns_are_continuous(values, continuous):
    assert read(np.column_stack([values, np.arange(200) % 3]), "factors").continuous == (continuous, False)


def test_a_small_grid_of_fractions_has_values_and_a_single_column_has_not():
    """All combinations of six and five numbers occur once each; six numbers alone say nothing."""
    grid = np.stack(np.unravel_index(np.arange(30), (6, 5)), axis=1) / 3
    assert read(grid, "factors").continuous == (False, False)
    assert read(grid[:-1], "factors").continuous == (True, True)
    assert read(grid[::5, :1], "factors").continuous == (True,)


def test_bins_of_equal_width_by_hand():
    f = read(np.array([[0.0, 1], [0.26, 1], [0.5, 2], [1.0, 2]]), "factors").binned(4)
    assert f.table(True).tolist() == [[0, 1], [1, 1], [2, 2], [3, 2]]
    assert f.table(False)[:, 0].tolist() == [0.0, 0.26, 0.5, 1.0]
    assert f.continuous == (False, False)
    assert f.said[-1].startswith("factor 0 is in 4 bins of equal width")


def test_some_rows_keep_the_places_that_values_have_among_all():
    f = read(np.repeat([[0.5, 9], [1.5, 8], [2.5, 9]], 20, axis=0), "factors")
    assert f.take(np.array([20, 45])).table(True).tolist() == [[1, 8], [2, 9]]


MISSING = {
    "NaN": np.array([[0.0, 1], [np.nan, 2], [1, np.nan], [1, np.nan]]),
    "None": np.array([[0, 1], [None, 2], [1, None], [1, None]], object),
    "no text": np.array([["a", "b"], ["", "c"], ["a", " "], ["b", ""]]),
    "no bytes": np.array([["a", "b"], ["", "c"], ["a", ""], ["b", ""]], "S"),
    "nullable": pd.DataFrame({"a": [0, None, 1, 1], "b": [1, 2, None, None]}, dtype="Int64"),
    "text and None": pd.DataFrame({"a": ["x", None, "y", "y"], "b": [1, 2, np.nan, np.nan]}),
    "texts of numbers": np.array([["0", "1"], ["nan", "2"], ["1", "NaN"], ["1", "nan"]]),
    "texts for it": np.array([["a", "b"], ["None", "c"], ["a", "NA"], ["b", " <NA> "]]),
    "a list with text": [["a", 1.0], [float("nan"), 2.0], ["b", None], ["b", float("nan")]],
    "text of any length": np.array(
        [["a", "b"], [None, "c"], ["a", ""], ["b", "nan"]], any_length(na_object=None)
    ),
    "in any case": np.array([["a", "b"], ["none", "c"], ["a", "NAN"], ["b", "Missing"]]),
    "marks among texts": np.array([["a", "b"], ["?", "c"], ["a", "?"], ["b", "?"]]),
    "signs among numbers": np.array([["0", "1"], ["-", "2"], ["1", "."], ["1", "--"]]),
    "numbers of numpy": np.array(
        [[0, 1], [np.float32("nan"), 2], [1, np.datetime64("NaT")], [1, None]], object
    ),
    "decimals": np.array([[0, 1], [Decimal("NaN"), 2], [1, Decimal("sNaN")], [1, None]], object),
    "NaN as an integer": np.array([[0, 1], [-(2**63), 2], [1, -(2**63)], [1, -(2**63)]]),
    "NaN as int32": np.array([[0, 1], [-(2**31), 2], [1, -(2**31)], [1, -(2**31)]], np.int32),
}


@pytest.mark.parametrize("form", MISSING)
def test_missing_values_are_counted_and_the_first_is_shown(form):
    with pytest.raises(UsageError, match="missing") as refused:
        mig(np.arange(8.0).reshape(4, 2), MISSING[form])
    assert "mig: factors: 3 of 8 values (the first in row 1, column 0) are missing" in str(refused.value)
    assert ("as the text 'nan' says" in str(refused.value)) == (form == "texts of numbers")
    assert ("which NaN becomes in int" in str(refused.value)) == form.startswith("NaN as")
    assert "fractions" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.array([[0.0, 1], [1, np.inf]]), r"1 of 2 values \(the first in row 1\) is infinite"),
        (np.array([[1j, 2], [3, 4]]), "must be real numbers, but they are complex numbers"),
        (np.array([["2026-01-01", "2026-01-02"]] * 2, "M8[D]"), "dates were given; pass"),
        (np.array([["a", 1], ["b", 2.5]], object).T, "text is mixed with other values, such as 'a' and"),
        (["a", 1], "text is mixed with other values, such as 'a' and 1"),
        (np.array(["01", "1"]), "the texts '01' and '1' are one number in double precision"),
        (np.array([str(2**53), str(2**53 + 1)]), "the texts '9007199254740992' and '9007199254740993' are"),
        (np.array([[{}], [{}]], object), "Python objects, the first of type dict"),
        (np.zeros((2, 2, 2)), r"\(2, 2, 2\) must be a table"),
        (np.zeros((2, 0)), r"\(2, 0\) must be a table"),
        (np.array(3), r"\(\) must be a table"),
        ("shape", "must be a table of numbers, but str was given"),
        (np.array(["a", "a "]), "the texts 'a' and 'a ' differ in spaces alone"),
        ({"a": [[0], [1]]}, r"column 'a' \(2, 1\) must have one value for each row"),
        ({"a": np.array(3)}, r"column 'a' \(\) must have one value for each row"),
        (
            np.array([date(2026, 1, 1), date(2026, 1, 2)]),
            "Python objects were given, such as one of type datetime",
        ),
        (
            np.array([0, Decimal("1")], object),
            "the first of type decimal Decimal; if they are numbers, pass x.as",
        ),
        (np.zeros(2, [("a", "i4"), ("b", "i4")]), "records of a, b"),
        (
            np.ma.masked_equal([[0, 1], [1, 2]], 2),
            r"1 of 4 values \(the first in row 1, column 1\) is masked",
        ),
    ],
)
def test_what_is_no_table_of_values_is_refused(values, sentence):
    with pytest.raises(UsageError, match=sentence):
        mig(np.arange(4.0).reshape(2, 2), values)


def test_what_ranks_are_said_to_be():
    f = read(np.column_stack([GRID[:, 0], GRID[:, 1] + 1, GRID[:, 2] * 3 - 6]), "factors")
    assert f.notes() == (
        "ranked, and counted from 0: the values of factor 1 (1 to 4) and factor 2 (-6 to 6 with gaps)",
    )
    assert f.ranks().tolist() == GRID.tolist()
    assert read(np.column_stack([GRID, np.arange(60)]), "factors").notes() == (
        "each row has its own value of factor 3; is it an index?",
    )
    # of a few rows that says nothing
    assert read(np.arange(9), "factors").notes() == ()
    assert read(CONTINUOUS, "factors", ("x", "y", "factor_2")).notes() == (
        "continuous: factor 'x' (300 different numbers), factor 'y' (300 different numbers) and factor 2 "
        "(300 different numbers)",
    )


def test_a_grid_in_any_order_has_its_rows_and_values():
    order = np.random.default_rng(0).permutation(60)
    rows, levels = read(GRID[order] * 2 + 1, "factors").grid()
    assert rows.tolist() == order.tolist()
    assert [v.tolist() for v in levels] == [[1, 3, 5], [1, 3, 5, 7], [1, 3, 5, 7, 9]]
    assert read(GRID[:-1], "factors").grid() is None
    assert read(np.vstack([GRID[:-1], GRID[:1]]), "factors").grid() is None
    assert Factors.of_index(GRID, levels).table(False).tolist() == (GRID * 2 + 1).tolist()


@pytest.mark.parametrize(
    ("values", "classes", "names"),
    [
        ([0, 1, 2, 1], [0, 1, 2, 1], ()),
        ([1.0, 2.0, 3.0, 2.0], [0, 1, 2, 1], ("1", "2", "3")),
        ([0, 7, 9, 7], [0, 1, 2, 1], ("0", "7", "9")),
        (["dog", "cat", "ant", "cat"], [2, 1, 0, 1], ("ant", "cat", "dog")),
        (np.array([b"x", b"y", b"z", b"y"]), [0, 1, 2, 1], ("x", "y", "z")),
        ([[0], [4], [5], [4]], [0, 1, 2, 1], ("0", "4", "5")),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], [0, 1, 2, 1], ()),
        ([True, False, True, True], [1, 0, 1, 1], ()),
    ],
)
def test_labels_become_classes_with_names(values, classes, names):
    found, called, _ = reader.labels(np.asarray(values), "labels")
    assert (found.tolist(), called) == (classes, names)


def test_a_sentence_calls_a_factor_by_its_name_or_its_number_among_all():
    """A factor of one value comes first and is left out; the next has one value in the rows to fit on."""
    v = np.column_stack([np.full(60, 4), np.arange(60) // 40, GRID[:, 2]])
    split = np.arange(40), np.arange(40, 60)
    s = sap(CODES, v, split=split)
    assert "factor 1 has one value in the rows to fit on, so every code predicts it alike" in s.warnings
    named = sap(CODES, pd.DataFrame(v, columns=["colour", "shape", "x"]), split=split)
    assert (
        "factor 'shape' has one value in the rows to fit on, so every code predicts it alike"
        in named.warnings
    )
    with pytest.raises(UsageError, match="infomec: no value of factor 1 occurs twice"):
        infomec(CODES, np.column_stack([np.full(60, 4), np.arange(60)]), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("values", "count"),
    [
        # 3 * 0.1 is not 0.3, and 0.1 + 0.2 - 0.3 is not 0
        ([0.1, 0.2, 0.3, 3 * 0.1], 3),
        ([0.5, 0.0, 0.1 + 0.2 - 0.3], 2),
        ([1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0), 2.5], 2),
        (np.array([0.1, 0.2, 0.3, np.nextafter(np.float32(0.3), np.float32(1))], np.float32), 3),
        (["0.1", "0.3", "0.30000000000000004"], 2),
        # apart: a millionth is no rounding, and whole numbers have none
        ([0.1, 0.2, 0.3, 0.3 + 1e-6], 4),
        (np.array([2.0**52 + 1, 2.0**52, 0.0]), 3),
        # a ladder of last digits is that of a continuous factor
        ((0.5 + np.arange(200) * 2.0**-53).tolist(), 200),
    ],
)
def test_numbers_that_differ_by_rounding_alone_are_one_value(values, count):
    given = read(np.repeat(np.asarray(values), 20), "factors")
    assert len(np.unique(given.ranks())) == count
    told = [note for note in given.said if "differ by rounding alone, and count as one" in note]
    assert len(told) == (count < len(values))


def test_the_shortest_of_such_numbers_is_kept():
    assert np.unique(read(np.repeat([0.1, 3 * 0.1, 0.3], 20), "factors").numbers).tolist() == [0.1, 0.3]


@pytest.mark.parametrize("pair", [(0, 1), (-1, 1), (0, 255), (False, True)])
def test_one_hot_columns_of_any_two_values(pair):
    low, high = pair
    columns = np.hstack([np.where(one_hot(column) == 1, high, low) for column in GRID.T])
    assert np.array_equal(read(columns, "factors").ranks(), GRID)


def test_columns_of_two_values_that_are_not_exclusive_stay_factors():
    attributes = np.where(np.random.default_rng(0).integers(0, 2, (50, 4)), 1, -1)
    assert read(attributes, "factors").numbers.shape == (50, 4)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([-999, 0, 1], "factor 0 is -999 in 20 of 60 rows; does that mark missing values?"),
        ([-1, 0, 1, 2], "factor 0 is -1 in 20 of 80 rows; does that mark missing values?"),
        ([-1, 0, 1], None),
        ([-1, 1], None),
        ([-3, -2, -1], None),
        (["-999", "a"], None),
    ],
)
def test_a_value_that_may_mark_missing_ones_is_asked_about(values, note):
    notes = read(np.repeat(np.array(values), 20), "factors").notes()
    assert [n for n in notes if "mark missing" in n] == ([note] if note else [])


@pytest.mark.parametrize("name", ["id", "image_id", "index", "filename", "path"])
def test_a_column_that_numbers_the_rows_is_no_factor(name):
    table = {"shape": np.arange(40) % 4, name: np.arange(40)}
    with pytest.raises(
        UsageError, match=f"column '{name}' has its own value in each of the 40 rows, as an index"
    ):
        read(table, "factors")
    # as the only column, or with values that occur again, it is one
    assert read({name: np.arange(40)}, "factors").names == (name,)
    assert read({**table, name: np.arange(40) // 2}, "factors").names == ("shape", name)
    assert read({"shape": np.arange(40) % 4, "identity": np.arange(40)}, "factors").names[1] == "identity"


def test_texts_that_differ_in_capitals_are_two_values_and_said_to_be():
    (note,) = (n for n in read(np.array(["Red", "red", "blue"] * 9)[:, None], "factors").said)
    assert note.endswith("Red, blue, red; 'Red' and 'red' are two")


def test_whole_numbers_beyond_64_bits_count_in_their_order():
    values = [[2**70 + i % 3] for i in range(30)]
    given = read(values, "factors")
    assert given.ranks()[:, 0].tolist() == [i % 3 for i in range(30)]
    assert "which count in their order" in given.said[0]
