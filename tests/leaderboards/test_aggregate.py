import json

import numpy as np
import pandas as pd
import pytest

from disbench import leaderboards
from disbench.errors import UsageError
from disbench.leaderboards import aggregate, shown, wide


def row(seed, score, method="betavae", state="done", higher=True, **more):
    return {
        "dataset": "dsprites-32",
        "protocol": "mini",
        "method": method,
        "variant": "",
        "settings": "mini",
        "cell": "aaaa",
        "metric": "factor_vae",
        "preset": "dlib",
        "reason": None,
        "seconds": 100.0,
        "data_sha256": "d" * 64,
        "metric_settings": '{"votes": 800}',
        "config": "mini",
        "changed": "{}",
        "version": "0.1.0",
        "run": "runs/a",
        "folder": "",
        "seed": seed,
        "score": score,
        "state": state,
        "higher_is_better": higher,
        **more,
    }


def board(*rows):
    return leaderboards.leaderboard(leaderboards.scores(rows))


def test_statistics_by_hand():
    found = board(row(0, 0.2), row(1, 0.4), row(2, 0.9)).iloc[0]
    assert (found["n"], found["failed"]) == (3, 0)
    assert found["mean"] == pytest.approx(0.5)
    assert found["std"] == pytest.approx(np.sqrt((0.09 + 0.01 + 0.16) / 2))  # divided by n - 1, not by n
    assert (found["median"], found["best"], found["worst"]) == (0.4, 0.9, 0.2)


def test_the_deviation_of_equal_scores_is_nothing_in_every_form():
    found = board(*(row(seed, 0.1) for seed in range(3)))
    assert found["std"][0] == 0
    assert wide.of_board(found)[0].text.iloc[0, -1] == ".10 ± .00"


def test_seeds_of_several_trainings_are_no_sample_of_which_an_interval_is():
    """The same twelve seeds with two settings are pooled, or one setting on two data sets, as over splits."""
    scores = np.linspace(0.2, 0.8, 12)
    usual = [row(seed, score) for seed, score in enumerate(scores)]
    longer = [{**each, "settings": "mini, steps=9000", "cell": "bbbb"} for each in usual]
    elsewhere = [{**each, "dataset": "shapes3d-32"} for each in usual]
    by = ["method", "metric", "preset"]
    alone, pooled, both = (
        aggregate.leaderboard(leaderboards.scores(rows), by).iloc[0]
        for rows in (usual, usual + longer, usual + elsewhere)
    )
    assert (alone["n"], pooled["n"], both["n"]) == (12, 24, 24)
    assert alone["mean"] == pytest.approx(pooled["mean"])
    ends = ["mean_low", "mean_high", "iqm_low", "iqm_high"]
    assert np.isfinite(np.array([alone[ends], both[ends]], float)).all()
    assert pooled[ends].isna().all()
    assert pooled["reason"] == "no interval over 2 trainings"


def test_where_less_is_better_the_best_is_the_least():
    found = board(row(0, 0.2, higher=False), row(1, 0.4, higher=False)).iloc[0]
    assert (found["best"], found["worst"]) == (0.2, 0.4)


def test_a_failed_seed_is_counted_and_never_averaged():
    found = board(row(0, 0.2), row(1, None, state="failed", reason="loss.kl is not finite at step 7")).iloc[0]
    assert (found["n"], found["failed"], found["mean"]) == (1, 1, 0.2)
    assert np.isnan(found["std"])


def test_a_method_of_failed_seeds_alone_keeps_its_row():
    found = board(row(0, None, state="failed")).iloc[0]
    assert (found["n"], found["failed"]) == (0, 1)
    assert np.isnan(found["best"])


def test_a_seed_still_to_come_is_in_neither_count():
    found = board(row(0, 0.2), row(1, None, state="running")).iloc[0]
    assert (found["n"], found["failed"]) == (1, 0)


def test_different_settings_presets_and_data_are_never_mixed():
    rows = [
        row(0, 0.1),
        row(0, 0.2, settings="mini, beta=6.0", cell="bbbb"),
        row(0, 0.3, preset="ibgan"),
        row(0, 0.4, dataset="dsprites-64"),
        row(0, 0.5, cell="cccc"),
    ]
    assert sorted(board(*rows)["mean"]) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_missing_is_a_dash_and_idle_columns_are_left_out():
    text = shown.leaderboard(board(row(0, 0.25), row(0, None, method="ibgan", state="failed")))
    assert list(text.columns) == [
        "method",
        "metric",
        "preset",
        "n",
        "failed",
        *["mean", "std", "median", "best", "worst"],
    ]
    assert list(text["mean"]) == ["0.250", "–"]
    assert list(text["std"]) == ["–", "–"]


def test_settings_are_shown_where_a_method_has_several():
    text = shown.leaderboard(board(row(0, 0.1), row(0, 0.2, settings="mini, beta=6.0", cell="bbbb")))
    assert list(text["settings"]) == ["mini", "mini, beta=6.0"]


def test_numbers_within_settings_and_data_sets_are_in_the_order_of_their_values():
    settings = [
        "mini, steps=9000",
        "mini, steps=18000",
        "mini, beta=0.25",
        "mini, beta=0.5",
        "mini, beta=10",
        "mini, lr=0.001",
        "mini, lr=1e-05",
        "mini",
    ]
    frame = leaderboards.scores(
        [
            row(0, 0.2, settings=of, dataset=f"mnist:imbalanced-{split}")
            for of in settings
            for split in (10, 9)
        ]
    )
    wanted = [
        "mini",
        "mini, beta=0.25",
        "mini, beta=0.5",
        "mini, beta=10",
        "mini, lr=1e-05",
        "mini, lr=0.001",
        "mini, steps=9000",
        "mini, steps=18000",
    ]
    assert list(dict.fromkeys(frame["settings"])) == wanted
    assert list(dict.fromkeys(frame["dataset"])) == ["mnist:imbalanced-9", "mnist:imbalanced-10"]


def test_scores_keep_every_seed():
    frame = leaderboards.scores([row(1, 0.5), row(0, None, state="failed")])
    assert list(frame["seed"]) == [0, 1]
    assert isinstance(frame, pd.DataFrame)


def test_intervals_and_interquartile_means_of_enough_seeds():
    found = board(*(row(seed, 0.5 + 0.01 * seed) for seed in range(12))).iloc[0]
    assert found["iqm"] == pytest.approx(0.555)
    assert found["mean"] == pytest.approx(0.555)
    assert 0.5 < found["mean_low"] < found["mean"] < found["mean_high"] < 0.61
    assert found["iqm_low"] < found["iqm"] < found["iqm_high"]
    assert found["reason"] == ""


def test_few_seeds_have_points_and_a_reason_instead_of_an_interval():
    frame = leaderboards.scores([row(seed, 0.1 * seed) for seed in range(9)])
    found = leaderboards.leaderboard(frame)
    assert found["mean"].notna().all()
    assert found[["mean_low", "mean_high", "iqm_low", "iqm_high"]].isna().all(axis=None)
    assert "no interval below 10 seeds" in shown.notes(frame, found)
    assert board(row(0, 0.1), row(1, 0.2), row(2, 0.3))["iqm"].isna().all()  # nothing to trim


def test_metrics_that_nothing_has_a_score_of_are_sentences_and_no_rows():
    """A reason that begins with its metric is told once for all metrics; a failed seed keeps its row."""
    why = "no complete grid"
    rows = [
        row(0, 0.2),
        row(0, None, metric="dci", preset="ibgan@generator", reason=f"dci:ibgan@generator: {why}"),
        row(0, None, metric="mig", preset="dlib@generator", reason=f"mig@generator: {why}"),
        row(0, 0.5, metric="dci", preset="dlib"),
    ]
    frame = leaderboards.scores(rows)
    found = leaderboards.leaderboard(frame)
    assert len(found) == 4
    assert list(shown.leaderboard(found)["mean"]) == ["0.500", "0.200"]
    assert f"dci:ibgan@generator, mig@generator missing for betavae: {why}" in shown.notes(frame, found)
    table, numbers = wide.of_board(found)
    assert list(table.text) == ["method", "DCI disentanglement ↑", "FactorVAE metric ↑"]
    assert numbers.startswith("mean ± standard deviation (divided by n - 1) over n = 1")
    assert "DCI disentanglement" in shown.caption("", frame, found, "").partition("presets: ")[2]
    # of another metric, a reason is left as it is
    other = leaderboards.scores([row(0, None, reason=f"mig: {why}")])
    found = leaderboards.leaderboard(other)
    assert f"factor_vae missing for betavae: mig: {why}" in shown.notes(other, found)
    # alone, the row without a score stays
    assert list(shown.leaderboard(found)["mean"]) == ["–"]
    failed = leaderboards.leaderboard(
        leaderboards.scores([row(0, 0.2), row(0, None, metric="mig", state="failed", reason="diverged")])
    )
    assert list(shown.leaderboard(failed)["failed"]) == ["0", "1"]


def test_a_score_that_is_not_a_number_is_shown_with_its_reason_and_not_averaged():
    rows = [row(0, 0.2), row(1, None, reason="every code is dead")]
    frame = leaderboards.scores(rows)
    found = leaderboards.leaderboard(frame)
    assert list(found[["n", "failed", "unscored", "mean"]].iloc[0]) == [1, 0, 1, 0.2]
    assert list(shown.leaderboard(found)["unscored"]) == ["1"]
    assert "factor_vae missing for betavae: every code is dead" in shown.notes(frame, found)


def test_notes_name_seeds_of_one_row_that_trained_in_different_ways():
    stacked, alone = "32 seeds stacked, graph", "one seed"
    rows = [row(seed, 0.5, trained=way) for seed, way in enumerate((stacked, stacked, alone))]
    frame = leaderboards.scores(rows)
    sentence = (
        "betavae: its seeds trained in ways that are equal but for rounding "
        "(32 seeds stacked, graph: 2; one seed: 1)"
    )
    assert sentence in shown.notes(frame, leaderboards.leaderboard(frame))
    frame = leaderboards.scores(rows[:2])
    assert not [note for note in shown.notes(frame, leaderboards.leaderboard(frame)) if "rounding" in note]


def test_seeds_of_a_gpu_and_of_a_cpu_are_more_than_rounding_apart():
    ways = [("32 seeds stacked, graph", "NVIDIA H100")] * 2 + [("one seed", "portable")]
    rows = [row(seed, 0.5, trained=way, kernels=what) for seed, (way, what) in enumerate(ways)]
    frame = leaderboards.scores(rows)
    notes = shown.notes(frame, leaderboards.leaderboard(frame))
    assert not [note for note in notes if "rounding" in note]
    assert any("on a GPU, which differ here (NVIDIA H100: betavae; portable: betavae)" in n for n in notes)


def test_many_seeds_are_named_as_a_range():
    failed = [row(seed, None, state="failed", reason="no room") for seed in (0, 1, 2, 3, 7)]
    frame = leaderboards.scores([row(4, 0.2), *failed])
    assert "betavae failed with seed 0..3, 7: no room" in shown.notes(frame, leaderboards.leaderboard(frame))


def test_notes_name_the_failed_seeds_and_why():
    failed = [row(seed, None, state="failed", reason="loss.kl is not finite at step 7") for seed in (4, 1)]
    frame = leaderboards.scores([row(0, 0.2), *failed])
    found = shown.notes(frame, leaderboards.leaderboard(frame))
    assert "betavae failed with seed 1, 4: loss.kl is not finite at step 7" in found
    assert found[0] == "std is divided by n - 1"


def test_where_there_is_no_pair_to_compare_that_is_said():
    """`--compare` on one method showed an empty table, and what its columns would have been."""
    alone = leaderboards.scores([row(0, 0.2), row(0, 0.3, method="vae", cell="bbbb", dataset="mnist-28")])
    text, notes = shown.improvements(aggregate.improvements(alone))
    assert text.empty
    assert notes == ["no pair: no two methods have a score of one metric on one data set, under one protocol"]


def test_notes_name_the_seeds_that_are_not_finished():
    """Of a sweep that goes on, or was stopped, n counts what is done, and nothing else said so."""
    left = [row(2, None, state="stopped"), row(1, None, state="running"), row(3, None, state="stopped")]
    frame = leaderboards.scores([row(0, 0.2), *left])
    found = shown.notes(frame, leaderboards.leaderboard(frame))
    assert "betavae has not finished seed 2, 3 yet: stopped" in found
    assert "betavae has not finished seed 1 yet: running" in found
    # one that is scored anew has its earlier scores
    whole = leaderboards.scores([row(0, 0.2), row(1, 0.3, state="running")])
    assert not shown.unfinished(whole.assign(name="betavae"))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"protocol": "paper"}, "protocols mini and paper"),
        ({"data_sha256": "e" * 64}, "data sets dsprites-32 with sha256 dddddddddddd and eeeeeeeeeeee"),
        ({"metric_settings": '{"votes": 200}'}, "settings of factor_vae:dlib (votes 200 and 800)"),
        ({"preset": "ibgan"}, "presets of factor_vae (dlib and ibgan)"),
        ({"version": "0.2.0"}, "versions 0.1.0 and 0.2.0 of disbench"),
    ],
)
def test_what_does_not_compare_is_refused_by_name(other, named):
    frame = leaderboards.scores([row(0, 0.2), row(0, 0.3, method="vae", cell="bbbb", **other)])
    assert aggregate.differences(frame) == [named]
    with pytest.raises(UsageError) as error:
        aggregate.check_comparable(frame)
    assert named in str(error.value)


def test_seeds_of_other_kernels_are_told_apart():
    """They may stand in one table, since they are draws of the same distribution, but it says so."""
    rows = [row(0, 0.2, kernels="portable"), row(0, 0.3, method="vae", cell="bbbb", kernels="native")]
    frame = leaderboards.scores([*rows, row(1, 0.3, method="vae", cell="bbbb", kernels=None)])
    assert aggregate.differences(frame) == []
    said = "a seed is another draw with other kernels or on a GPU, which differ here "
    assert said + "(native: vae; portable: betavae)" in shown.notes(frame, leaderboards.leaderboard(frame))
    assert shown.kernels(leaderboards.scores(rows[:1])) == []


def test_a_seed_that_differs_by_its_kernels_is_refused_with_that_reason():
    rows = [row(0, 0.2, run="a", kernels="native"), row(0, 0.3, run="b", kernels="portable")]
    with pytest.raises(
        UsageError, match=r"\(0.2 and 0.3\) because of their kernels, native and portable; give"
    ):
        aggregate.deduplicated(leaderboards.scores(rows))
    with pytest.raises(UsageError, match=r"\(0.2 and 0.3\); give one of them"):
        aggregate.deduplicated(leaderboards.scores([{**each, "kernels": "native"} for each in rows]))


def test_what_compares_is_not_refused():
    several = [
        row(0, 0.2),
        row(0, 0.9, preset="ibgan"),
        row(0, 0.3, method="vae", cell="b"),
        row(0, 0.9, method="vae", cell="b", preset="ibgan"),
        row(1, None, state="failed", metric_settings=None),
        row(1, None, state="failed", metric_settings=None, preset="ibgan"),
        row(0, 0.2, dataset="dsprites-64", data_sha256="f" * 64),
        row(0, 0.2, dataset="dsprites-64", data_sha256="f" * 64, preset="ibgan"),
    ]
    aggregate.check_comparable(leaderboards.scores(several))


def test_a_seed_of_two_runs_counts_once_if_they_agree_and_is_refused_if_not():
    same = [row(0, 0.2), row(0, 0.2, run="runs/b"), row(1, 0.4, run="runs/b")]
    frame, repeated = aggregate.deduplicated(leaderboards.scores(same))
    assert leaderboards.leaderboard(frame)["n"].tolist() == [2]
    assert shown.repeated(repeated) == [
        "betavae appears in runs/a and runs/b with equal scores; counted once: seed 0"
    ]
    for other in (row(0, 0.3, run="runs/b"), row(0, None, state="failed", run="runs/b")):
        with pytest.raises(UsageError, match="betavae seed 0 is in runs/a and runs/b, with different"):
            aggregate.deduplicated(leaderboards.scores([row(0, 0.2), other]))


def test_rows_by_other_columns_pool_and_say_so():
    rows = [row(0, 0.2), row(0, 0.4, dataset="digits-28"), row(1, 0.6)]
    frame = leaderboards.scores(rows)
    columns = ["method", "metric", "preset"]
    found = leaderboards.leaderboard(frame, columns)
    assert found[["n", "mean"]].iloc[0].tolist() == [3, pytest.approx(0.4)]
    assert shown.pooled(frame, columns) == ["a row pools up to 2 values of dataset; its n counts them all"]
    with pytest.raises(UsageError, match="would average different metrics"):
        leaderboards.leaderboard(frame, ["method"])
    mixed = leaderboards.scores([*rows, row(0, 0.2, protocol="paper")])
    with pytest.raises(UsageError, match="different protocols"):
        shown.pooled(mixed, columns)


def test_what_a_failed_seed_was_to_be_scored_by_keeps_nothing_apart():
    failed = {"state": "failed", "reason": "diverged"}
    rows = [row(0, 0.2), row(1, None, **failed), row(1, None, preset="ibgan", **failed)]
    assert aggregate.differences(leaderboards.scores(rows)) == []
    rows = [row(0, 0.2), row(1, 0.2, preset="ibgan")]
    assert aggregate.differences(leaderboards.scores(rows)) == ["presets of factor_vae (dlib and ibgan)"]
    # what all seeds have is in a row of its own
    assert aggregate.differences(leaderboards.scores([*rows, row(1, 0.2)])) == []


def test_rows_are_chosen_by_column():
    frame = leaderboards.scores([row(0, 0.2), row(0, 0.4, method="vae")])
    assert aggregate.chosen(frame, {"method": "vae"})["score"].tolist() == [0.4]
    with pytest.raises(UsageError, match="did you mean 'betavae'"):
        aggregate.chosen(frame, {"method": "betava"})
    with pytest.raises(UsageError, match="unknown column"):
        aggregate.chosen(frame, {"colour": "red"})
    assert aggregate.chosen(frame, {"seed": 0}).equals(aggregate.chosen(frame, {"seed": "0"}))
    with pytest.raises(UsageError, match=r"where method \['vae'\] is not one value"):
        aggregate.chosen(frame, {"method": ["vae"]})
    with pytest.raises(UsageError, match="where 'method=vae' is no mapping"):
        aggregate.chosen(frame, "method=vae")


def test_improvements_follow_the_direction_and_name_the_settings_where_there_are_several():
    rows = [row(0, 0.2), row(1, 0.4), row(0, 0.3, method="vae", cell="b")]
    found = aggregate.improvements(leaderboards.scores(rows)).iloc[0]
    assert (found["first"], found["second"], found["probability"]) == ("betavae", "vae", 0.5)
    less = [{**r, "higher_is_better": False} for r in (*rows, row(2, 0.1))]
    found = aggregate.improvements(leaderboards.scores(less)).iloc[0]
    assert found["probability"] == pytest.approx(2 / 3)
    twice = [row(0, 0.2), row(0, 0.4, settings="mini, beta=6.0", cell="c")]
    found = aggregate.improvements(leaderboards.scores(twice)).iloc[0]
    assert (found["first"], found["second"]) == ("betavae (mini)", "betavae (mini, beta=6.0)")


def test_ranks_are_taken_over_the_data_sets_that_every_method_has():
    values = {"a": (0.9, 0.8, 0.7), "b": (0.5, 0.9, 0.1), "c": (0.4, 0.2, None)}
    rows = [
        row(0, score, method=method, cell=method, dataset=f"set-{i}", state="done" if score else "failed")
        for method, scores in values.items()
        for i, score in enumerate(scores)
    ]
    ((name, found, missing),) = aggregate.ranks(leaderboards.scores(rows))
    assert name == "mini factor_vae dlib"
    assert dict(found.mean) == {"a": 1.5, "b": 1.5, "c": 3.0}
    assert found.n == 2
    assert missing == ["set-2"]
    assert aggregate.ranks(leaderboards.scores([row(0, 0.1), row(0, 0.2, method="vae")])) == []


def test_methods_without_a_data_set_in_common_have_no_ranks():
    rows = [row(0, 0.9, method=m, cell=m, dataset=d) for m, d in (("a", "set-0"), ("b", "set-1"))]
    ((_, found, missing),) = aggregate.ranks(leaderboards.scores(rows))
    text, sentences = shown.ranks(found, missing)
    assert list(text["mean rank"]) == ["–", "–"]
    assert sentences == ["no ranks: on no data set does every method have a score"]


def test_what_is_known_of_single_scores_is_kept_apart_from_the_seeds():
    first = row(0, 0.5, spread=0.03, chance=0.2, perfect=1.0, beside=0.4, beside_live=4)
    second = row(1, 0.7, spread=0.04, chance=0.3, perfect=1.0)
    found = board(first, second, row(2, 0.9)).iloc[0]
    # the root of the mean of 9e-4 and 16e-4
    assert found["spread"] == pytest.approx(0.03536, abs=1e-5)
    assert (found["chance"], found["beside"], found["beside_live"]) == (0.25, 0.4, 4)
    text = shown.leaderboard(board(first, second)).iloc[0]
    assert (text["spread"], text["chance"], text["other codes"]) == ("0.035", "0.250", "0.400 (4)")
    plain = shown.leaderboard(board(row(0, 0.5)))
    assert not {"spread", "chance", "other codes"} & set(plain.columns)


def test_adjusted_scores_by_hand():
    rows = [
        row(0, 0.6, spread=0.04, chance=0.2, perfect=1.0),
        row(1, 0.5, chance=2.0, perfect=0.0, higher=False),
        row(2, 0.5, chance=0.2),
        row(3, None, state="failed"),
    ]
    found = aggregate.adjusted(leaderboards.scores(rows))
    np.testing.assert_allclose(found["score"], [0.5, 0.75, np.nan, np.nan])
    assert found["spread"].iloc[0] == pytest.approx(0.05)
    assert list(found["preset"]) == ["dlib, adjusted"] * 4
    assert found["reason"].iloc[2] == "its chance or its perfect value is not known"
    assert found["higher_is_better"].all()


def apart(*rows):
    return aggregate.set_apart(leaderboards.scores(rows))


@pytest.mark.parametrize("by", [aggregate.BY, ["metric", "preset"], ["method", "metric", "preset"]])
@pytest.mark.parametrize("other", ["b" * 16, ""])
def test_scores_of_different_digests_are_never_in_one_row(by, other):
    one, two = row(0, 0.2, digest="a" * 16), row(1, 0.4, digest=other, run="runs/b")
    frame = apart(one, two, row(2, None, state="failed", digest=""))
    told = "aaaaaaaa and bbbbbbbb" if other else "aaaaaaaa and unrecorded"
    assert f"digests of betavae ({told})" in aggregate.differences(frame)
    found = aggregate.leaderboard(frame, by)
    assert sorted(found["mean"].dropna()) == [0.2, 0.4]
    assert found["failed"].sum() == 1


def test_a_seed_of_another_digest_is_another_seed():
    """Without digests, the two scores of seed 0 would be a contradiction."""
    one, two = row(0, 0.2, digest="a" * 16), row(0, 0.4, digest="b" * 16, run="runs/b")
    assert len(aggregate.deduplicated(apart(one, two))[0]) == 2
    equal = apart(one, row(0, 0.2, digest="a" * 16, run="runs/b"))
    assert len(aggregate.deduplicated(equal)[0]) == 1
    assert not equal["cell"].str.contains("/").any()


def test_versions_of_a_metric_are_apart_whatever_else_is_pooled():
    new = row(
        0, 0.4, method="vae", cell="bbbb", digest="b" * 16, metric_settings='{"version": 2, "votes": 800}'
    )
    frame = apart(row(0, 0.2, digest="a" * 16), new)
    assert aggregate.leaderboard(frame, ["metric", "preset"])["mean"].tolist() == [0.2, 0.4]
    assert len(aggregate.differences(frame)) > 0


def test_a_seed_without_a_score_makes_no_row_of_its_own():
    found = aggregate.leaderboard(apart(row(0, 0.2, digest="a" * 16), row(1, None, state="failed")))
    assert (len(found), found["failed"][0]) == (1, 1)


def test_numbers_of_verdicts_are_a_range_and_names_a_list():
    verdicts = [
        ["3 categories share class 7", "dci:eastwood2018_forest sees no code"],
        ["2 categories share class 4", "categorical code 0 ignored: L_I 0.02 of 2.30 nats"],
        ["2 categories share class 4", "categorical code 1 ignored: L_I 0.00 of 2.30 nats"],
    ]
    frame = leaderboards.scores([row(seed, 0.5, health=json.dumps(v)) for seed, v in enumerate(verdicts)])
    assert shown.health(frame.assign(name="x")) == [
        "x: 2 to 3 categories share class 4, 7: seed 0..2",
        "x: dci:eastwood2018_forest sees no code: seed 0",
        "x: categorical code 0, 1 ignored: L_I 0.00 to 0.02 of 2.30 nats: seed 1, 2",
    ]


def test_verdicts_of_one_kind_are_one_sentence_with_its_seeds():
    rows = [
        row(0, 0.5, health='["2 of 3 codes have collapsed: KL below 0.1 nats"]'),
        row(
            1, 0.5, health='["1 of 3 codes have collapsed: KL below 0.1 nats", "2 categories share class 4"]'
        ),
        row(2, 0.5),
    ]
    frame = leaderboards.scores(rows)
    notes = shown.notes(frame, leaderboards.leaderboard(frame))
    assert [note for note in notes if note.startswith("betavae: ")] == [
        "betavae: 1 to 2 of 3 codes have collapsed: KL below 0.1 nats: seed 0, 1",
        "betavae: 2 categories share class 4: seed 1",
    ]
