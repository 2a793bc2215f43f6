import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import checks
from disbench.metrics.factors import Factors


def test_a_constant_factor_is_dropped_and_named():
    kept, dropped = checks.drop_constant("mig", Factors.whole(np.array([[0, 7, 1], [1, 7, 0]])))
    assert kept.numbers.tolist() == [[0, 1], [1, 0]]
    assert dropped == (1,)


def test_without_a_factor_that_varies_there_is_nothing_to_score():
    with pytest.raises(UsageError, match="none of the 2 factors has two values"):
        checks.drop_constant("mig", Factors.whole(np.ones((5, 2), int)))


@pytest.mark.parametrize(
    ("codes", "factors", "sentence"),
    [
        ((3, 60), (60, 2), r"codes \(3, 60\) and factors \(60, 2\) .* pass codes.T"),
        ((60, 3), (2, 60), "pass factors.T"),
        ((3, 60), (2, 60), "both look transposed"),
        ((60, 3), (50, 3), "with the same number of rows"),
        ((5, 60), (5, 60), "are both transposed"),
        ((60, 3), (50, 2), "same number of rows"),
    ],
)
def test_wrong_shapes_are_refused_with_what_to_do(codes, factors, sentence):
    with pytest.raises(UsageError, match=sentence):
        checks.check_table("mig", np.zeros(codes), np.zeros(factors, int))


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "1 of 2 rows of codes hold NaN or infinity"),
        (np.array([[np.inf], [0.0]]), "NaN or infinity"),
        (np.array([["a"], ["b"]]), "must be real numbers"),
        (np.array([[None], [1]]), r"1 of 2 values \(the first in row 0, column 0\) is missing"),
        (np.array([[2**53 + 1], [1]]), "beyond 9,007,199,254,740,992, which no float holds"),
        (np.zeros(5), r"codes \(5,\) must be a table"),
        (np.zeros((0, 3)), "must be a table"),
    ],
)
def test_codes_that_are_no_finite_table_are_refused(codes, sentence):
    with pytest.raises(UsageError, match=sentence):
        checks.check_codes("mig", codes)


def test_a_tensor_is_known_by_its_methods():
    class Tensor:
        def detach(self):
            return self

        cpu = detach

        def numpy(self):
            return np.ones((2, 1), np.float32)

    assert checks.check_codes("mig", Tensor()).tolist() == [[1], [1]]


def test_a_drawn_split_covers_every_row_once(rng):
    train, test = checks.split_rows("sap", 30, None, rng)
    assert len(train) == 20
    assert sorted([*train, *test]) == list(range(30))


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        (None, "pass split=.* or rng"),
        (([0, 1], [30]), "names row 30, but there are 30 rows"),
        (([0.5], [1]), "two lists of row numbers"),
        (([], [1]), "two lists of row numbers"),
        (([-1], [1]), "part of split names row"),
    ],
)
def test_a_split_that_is_none_is_refused(split, sentence):
    with pytest.raises(UsageError, match=sentence):
        checks.split_rows("sap", 30, split, None)


def test_per_factor_settings_need_one_entry_each():
    assert checks.per_factor("dci", "depths", 3, 2) == (3, 3)
    assert checks.per_factor("dci", "depths", (1, 2), 2) == (1, 2)
    with pytest.raises(UsageError, match="depths has 5 entries, but 2 factors vary"):
        checks.per_factor("dci", "depths", (1, 2, 3, 4, 5), 2)


def test_too_few_rows_say_how_many_are_needed():
    with pytest.raises(UsageError, match="3 rows are too few, at least 20 are needed for ten neighbours"):
        checks.need_rows("infomec", 3, 20, "for ten neighbours")


CODES = np.random.default_rng(0).normal(size=(300, 3))
VALUES = np.arange(300)[:, None] % 7


@pytest.mark.parametrize(
    ("split", "sentences"),
    [
        ((np.arange(200), np.arange(200, 300)), []),
        ((np.arange(200), np.arange(150, 300)), ["50 of the 150 rows to test on (33%) were fitted"]),
        (None, ["scored on the rows that were fitted, all of them (held_out=False)"]),
        (
            (np.arange(200), np.arange(200, 216)),
            ["16 rows to test on are few: an accuracy measured on them is uncertain by about 0.12"],
        ),
    ],
)
def test_rows_that_were_fitted_and_few_rows_are_counted(split, sentences):
    assert list(checks.about_rows(CODES, VALUES, split)) == sentences


@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, lambda z: z[::-1][::-1]])
def test_rows_that_equal_a_fitted_row_are_counted(layout):
    """As a table has them that was drawn with replacement: 40 of its last 100 rows are copies."""
    codes, values = CODES.copy(), VALUES.copy()
    codes[200:240], values[200:240] = CODES[:40], VALUES[:40]
    split = np.arange(200), np.arange(200, 300)
    (sentence,) = checks.about_rows(layout(codes), values, split)
    assert sentence.startswith("40 of the 100 rows to test on (40%) have the codes and factors of a row that")
    # the same codes of other images, and discrete codes, which two images may well share
    assert checks.about_rows(codes, np.arange(300)[:, None], split) == ()
    assert checks.about_rows(np.round(codes), values, split) == ()


def test_few_rows_to_fit_on_for_so_many_codes_are_told():
    codes, factors = np.random.default_rng(0).normal(size=(300, 41)), np.zeros((300, 1))
    split = np.arange(200), np.arange(200, 300)
    assert checks.about_rows(codes, factors, split) == (
        "200 rows to fit on are few for 41 codes: a fit can follow the rows instead of the factors",
    )
    assert not checks.about_rows(codes[:, :40], factors, split)
