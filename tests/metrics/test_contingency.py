import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from disbench.errors import UsageError
from disbench.metrics import (
    ContingencyTable,
    ami,
    ari,
    completeness,
    ent,
    get,
    homogeneity,
    hungarian_accuracy,
    nmi,
    prior_rmse,
    purity,
)

LN2 = np.log(2)
MISSING = ContingencyTable(np.array([[10, 0], [10, 0]]))  # no latent produces class 1
UNEVEN = ContingencyTable(np.array([[2, 0], [1, 1]]))


def test_entropy_by_hand():
    assert ent(ContingencyTable(10 * np.eye(3))).score == 0
    assert ent(ContingencyTable(np.ones((2, 2)))).score == pytest.approx(LN2)
    # rows 0 and ln 2, columns (2/3, 1/3) and 0
    third = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert ent(UNEVEN).score == pytest.approx((LN2 + third) / 4)


def test_rows_and_columns_weigh_alike():
    """Two rows of entropy ln 4, four columns of ln 2: (2 ln 4 + 4 ln 2) / 6, not the mean of the means."""
    assert ent(ContingencyTable(np.ones((2, 4)))).score == pytest.approx((2 * np.log(4) + 4 * LN2) / 6)


def test_a_class_without_a_latent_counts_by_a_named_rule():
    """Rows 0 and 0, columns ln 2 and none."""
    assert ent(MISSING).score == pytest.approx(LN2 / 3)
    assert ent(MISSING, empty="logk").score == pytest.approx((LN2 + LN2) / 4)
    published = ent(MISSING, preset="elastic_published")
    assert np.isnan(published.score)
    for s in (ent(MISSING), published):
        assert s.parts["empty"] == 1
        assert "1 latents or classes have no image" in s.warnings[0]
    assert ent(UNEVEN).warnings == ()
    with pytest.raises(UsageError, match="unknown rule for empty rows"):
        ent(MISSING, empty="zero")


def test_nmi_by_hand():
    """H = ln 2 for latents, .562335 for classes, 1.039721 for both: I = .215762."""
    mi, rows, columns = 0.215762, 0.693147, 0.562335
    s = nmi(UNEVEN)
    assert s.parts["mutual_information"] == pytest.approx(mi, abs=1e-6)
    assert s.score == pytest.approx(mi / np.sqrt(rows * columns), abs=1e-5)
    assert nmi(UNEVEN, average="arithmetic").score == pytest.approx(2 * mi / (rows + columns), abs=1e-5)
    assert nmi(UNEVEN, average="min").score == pytest.approx(mi / columns, abs=1e-5)
    assert nmi(UNEVEN, average="max").score == pytest.approx(mi / rows, abs=1e-5)
    with pytest.raises(UsageError, match="unknown average of nmi 'geometrc'; did you mean 'geometric'"):
        nmi(UNEVEN, average="geometrc")


def test_nmi_of_a_single_cluster_is_scikit_learns():
    assert nmi(MISSING).score == 0
    assert nmi(ContingencyTable(np.array([[5]]))).score == 1


COUNTS = np.array([[9, 1, 0], [8, 0, 2], [0, 10, 0]])


@pytest.mark.parametrize(
    ("match", "assigned", "rmse"),
    [
        # latents 0 and 1 both go to class 0 and add up; class 2 has no latent
        ("majority", [0.8, 0.2, 0.0], np.sqrt((0.3**2 + 0.1**2 + 0.2**2) / 3)),
        # one to one: 9 + 2 + 10 counts
        ("hungarian", [0.5, 0.2, 0.3], np.sqrt((0.1**2 + 0.1**2) / 3)),
        ("sorted", [0.2, 0.3, 0.5], 0.0),
    ],
)
def test_prior_rmse_by_hand(match, assigned, rmse):
    t = ContingencyTable(COUNTS, np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.3, 0.2]))
    s = prior_rmse(t, match=match)
    assert s.parts["assigned"] == pytest.approx(assigned)
    assert s.score == pytest.approx(rmse)
    assert (match == "majority") == (s.settings == prior_rmse(t).settings)


def test_fewer_latents_than_classes_leave_classes_without_prior():
    t = ContingencyTable(np.array([[9, 1, 0], [0, 0, 5]]), np.array([0.6, 0.4]), np.array([0.5, 0.3, 0.2]))
    assert prior_rmse(t).parts["assigned"].tolist() == [0.6, 0, 0.4]
    assert prior_rmse(t, match="hungarian").parts["assigned"].tolist() == [0.6, 0, 0.4]
    assert prior_rmse(t, match="sorted").score == pytest.approx(np.sqrt((0.2**2 + 0.1**2 + 0.1**2) / 3))


def test_a_latent_without_images_is_named():
    """Its share of 0.4 goes to class 0, which no image says."""
    t = ContingencyTable(np.array([[0, 9], [0, 0]]), np.array([0.6, 0.4]), np.array([0.5, 0.5]))
    s = prior_rmse(t)
    assert s.parts["assigned"].tolist() == [0.4, 0.6]
    assert any(w.startswith("no image was counted for 1 of 2 latents (1); their learned") for w in s.warnings)
    assert "0.400 (without images)" in s.warnings[0]
    assert "read as 1 of 2 classes" in s.warnings[0]
    full = ContingencyTable(np.array([[0, 9], [1, 0]]), np.array([0.6, 0.4]), np.array([0.5, 0.5]))
    assert len(prior_rmse(full).warnings) == 1


def test_a_tie_goes_to_the_lowest_class():
    t = ContingencyTable(np.array([[5, 5], [0, 9]]), np.array([0.3, 0.7]), np.array([0.3, 0.7]))
    assert prior_rmse(t).score == 0


@pytest.mark.parametrize(
    ("prior", "sentence"),
    [
        ([0.1, 2.0, -3.0], "apply softmax to logits"),
        ([100, 200, 300], "divide counts by their sum"),
        ([0.5, 0.5], r"latent_prior \(2,\) must have one probability for each of 3"),
        ([np.nan, 0.5, 0.5], "must be probabilities"),
    ],
)
def test_a_prior_that_is_none_is_refused(prior, sentence):
    with pytest.raises(UsageError, match=sentence):
        ContingencyTable(COUNTS, np.array(prior))
    with pytest.raises(UsageError, match="needs the table's latent_prior and class_prior"):
        prior_rmse(ContingencyTable(COUNTS))
    both = np.full(3, 1 / 3)
    with pytest.raises(UsageError, match="unknown match of prior_rmse"):
        prior_rmse(ContingencyTable(COUNTS, both, both), match="greedy")


@pytest.mark.parametrize(
    "counts", [np.zeros((2, 2)), -np.ones((2, 2)), np.ones(4), np.array([[np.nan]]), [["a"]]]
)
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(UsageError, match="counts"):
        ContingencyTable(counts)


def test_labels_make_the_table():
    t = ContingencyTable.from_labels(np.array([0, 0, 1, 1, 1]), np.array([1, 1, 0, 1, 0]))
    assert t.counts.tolist() == [[0, 2], [2, 1]]
    wide = ContingencyTable.from_labels(np.array([0, 1], np.uint8), np.array([1, 0], np.uint8), shape=(2, 3))
    assert wide.counts.tolist() == [[0, 1, 0], [1, 0, 0]]
    for latents, classes, shape in (
        ([0, 1], [0], None),
        ([0.5], [0], None),
        ([-1], [0], None),
        ([0], [5], (2, 3)),
        ([0], [1], (2,)),
        ([0], [1], (2, 2.5)),
        ([0], [1], 4),
    ):
        with pytest.raises(UsageError, match=r"label|whole numbers|too small"):
            ContingencyTable.from_labels(np.array(latents), np.array(classes), shape=shape)


@pytest.mark.parametrize(("latents", "classes"), [([10**6, 3], [10**5, 2]), ([2**63, 3], [1, 2])])
def test_ids_make_no_table(latents, classes):
    """Such a table has 745 GiB, or more rows than a number of 64 bits."""
    ids = np.array(latents, np.uint64), np.array(classes)
    with pytest.raises(UsageError, match=r"are they ids\? Number them from 0"):
        ContingencyTable.from_labels(*ids)


def test_matches_by_hand():
    """Majority: 9 + 8 + 10 of 30. One to one: 9 + 2 + 10."""
    t = ContingencyTable(COUNTS)
    assert purity(t).score == pytest.approx(27 / 30)
    assert hungarian_accuracy(t).score == pytest.approx(21 / 30)


def test_what_is_corrected_for_chance_counts_whole_images():
    """The adjusted Rand index of two independent halves, given as shares, was 1.5."""
    assert ari(ContingencyTable(np.full((2, 2), 25))).score == pytest.approx(-0.01, abs=1e-3)
    for score in (ami, ari):
        with pytest.raises(UsageError, match="whole numbers of images"):
            score(ContingencyTable(np.full((2, 2), 0.25)))
    assert nmi(ContingencyTable(COUNTS / 10)).score == pytest.approx(nmi(ContingencyTable(COUNTS)).score)


def test_small_is_good_for_entropy_and_error():
    assert not get("ent").higher_is_better
    assert not get("prior_rmse").higher_is_better
    assert get("nmi").higher_is_better


TABLES = arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 9)).filter(
    np.any
)


@settings(max_examples=40, deadline=None)
@given(TABLES)
def test_companions_are_scikit_learns(counts):
    latents, classes = (np.repeat(side.ravel(), counts.ravel()) for side in np.indices(counts.shape))
    t = ContingencyTable(counts)
    assert ari(t).score == pytest.approx(sk.adjusted_rand_score(classes, latents), abs=1e-9)
    assert ami(t).score == pytest.approx(sk.adjusted_mutual_info_score(classes, latents), abs=1e-9)
    assert homogeneity(t).score == pytest.approx(sk.homogeneity_score(classes, latents), abs=1e-9)
    assert completeness(t).score == pytest.approx(sk.completeness_score(classes, latents), abs=1e-9)
    for average in ("geometric", "arithmetic", "min", "max"):
        theirs = sk.normalized_mutual_info_score(classes, latents, average_method=average)
        assert nmi(t, average=average).score == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(TABLES, st.randoms(use_true_random=False))
def test_the_names_of_latents_and_classes_do_not_matter(counts, random):
    rows, columns = (random.sample(range(n), n) for n in counts.shape)
    t, renamed = ContingencyTable(counts), ContingencyTable(counts[rows][:, columns])
    for name in ("ent", "nmi", "ari", "purity", "hungarian_accuracy", "homogeneity", "completeness"):
        a, b = (get(name)(table).score for table in (t, renamed))
        assert a == pytest.approx(b, abs=1e-9)
    assert 0 <= nmi(t).score <= 1 + 1e-9
    assert 0 <= ent(t).score <= np.log(max(counts.shape)) + 1e-9
    assert hungarian_accuracy(t).score <= purity(t).score
