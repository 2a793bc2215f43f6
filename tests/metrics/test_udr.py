import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import udr
from disbench.metrics.udr import relative_strength

SPEARMAN = {"preset": "dlib_spearman"}


def test_relative_strength_by_hand():
    """Of ((2, 1), (0, 1)): columns 4/2 and 1/2, rows 4/3 and 1/1; means 5/4 and 7/6."""
    assert relative_strength(np.eye(3)) == 1
    assert relative_strength(np.ones((2, 2))) == 0.5
    assert relative_strength(np.array([[2.0, 1.0], [0.0, 1.0]])) == pytest.approx((5 / 4 + 7 / 6) / 2)
    assert relative_strength(np.array([[1.0, 0.0], [0.0, 0.0]])) == 0.5  # a code without any link adds 0
    assert relative_strength(np.zeros((0, 3))) == 0


def test_copies_up_to_order_and_sign_have_a_closed_form(table):
    """The lasso's coefficient of orthogonal codes is 1 - alpha = .9, and .9^2/.9 = .9. Ranks give 1."""
    models = [table, -table[:, [2, 0, 1]], table[:, [1, 2, 0]] * 5]
    assert udr(models).parts["models"] == pytest.approx([0.9] * 3)
    assert udr(models, **SPEARMAN).parts["models"] == pytest.approx([1] * 3)


def test_a_score_is_the_median_over_the_other_models(rng, table):
    """Four alike, one rotated, two of noise: of its six others, one of the four has .9 with three."""
    f, g, h = table.T.astype(float)
    rotated = np.column_stack([f + g, f - g, h])
    models = [*[table] * 4, rotated, rng.normal(size=(60, 3)), rng.normal(size=(60, 3))]
    s = udr(models)
    others = sorted(s.parts["pairwise"][1:, 0])
    assert others[3:] == pytest.approx([0.9] * 3)
    assert s.parts["models"][0] == pytest.approx((others[2] + 0.9) / 2)
    assert s.parts["models"][0] > s.parts["models"][4] > s.parts["models"][5:].max()
    assert s.parts["best"] in range(4)
    assert s.score == pytest.approx(s.parts["models"].mean())


def test_the_lasso_has_a_direction(rng):
    """Code i of a explains code j of b, and not the other way round: the pair's two scores differ."""
    a = rng.normal(size=(500, 3))
    b = a @ rng.normal(size=(3, 3)) + rng.normal(size=(500, 3))
    pairwise = udr([a, b, a + b]).parts["pairwise"]
    assert abs(pairwise[0, 1] - pairwise[1, 0]) > 1e-3


@pytest.mark.parametrize("settings", [{}, SPEARMAN])
def test_uninformative_codes_are_left_out_or_count_as_unlinked(rng, table, settings):
    models = [np.column_stack([table, rng.normal(size=60)]) for _ in range(3)]
    kl = [np.array([1.0, 1.0, 1.0, 0.001])] * 3
    full = 0.9 if settings == {} else 1
    assert udr(models, kl=kl, **settings).score == pytest.approx(full, abs=1e-3)
    # one library returns 0 for a whole pair here, by ranks
    assert udr(models, kl=kl, filter_low_kl=False, **settings).score == pytest.approx(full * 3 / 4, abs=1e-3)


def test_without_kl_the_deviation_decides(rng, table):
    models = [np.column_stack([table, 0.01 * rng.normal(size=60)]) for _ in range(2)]
    s = udr(models)
    assert s.parts["informative"][0].tolist() == [True, True, True, False]
    assert s.score == pytest.approx(0.9, abs=1e-3)


def test_the_deviation_decides_of_a_code_without_kl(rng, table):
    models = [np.column_stack([table, rng.normal(size=60), 0.01 * rng.normal(size=60)]) for _ in range(2)]
    kl = [np.array([1.0, 0.001, 1.0, np.nan, np.nan])] * 2
    assert udr(models, kl=kl).parts["informative"][0].tolist() == [True, False, True, True, False]


def test_a_collapsed_model_agrees_with_none_and_is_named(table):
    s = udr([table, table, np.zeros((60, 2))])
    assert s.parts["models"][2] == 0
    assert "models [2] have no informative code" in s.warnings[0]


@pytest.mark.parametrize(
    ("models", "kl", "sentence"),
    [
        ([np.eye(3)], None, "needs 2 or more, but got 1"),
        ([np.eye(3), np.eye(4)], None, "must encode the same rows"),
        ([np.eye(3), np.eye(3)], [np.ones(3)], "one value for each code of each model"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(models, kl, sentence):
    with pytest.raises(UsageError, match=sentence):
        udr(models, kl=kl)
    with pytest.raises(UsageError, match="unknown similarity"):
        udr([np.eye(3)] * 2, similarity="cosine")
