import numpy as np
import pandas as pd
import pytest

from disbench import leaderboards, metrics, models
from disbench.errors import UsageError
from disbench.leaderboards import formats, published, tables

SPEC = tables.Table(
    name="t",
    title="T",
    protocol="tables-v1",
    dataset="dsprites",
    size=64,
    seeds=32,
    unknown="not seen",
    columns=[
        {"name": "FVAE", "metric": "factor_vae", "preset": "ibgan"},
        {"name": "peak", "metric": "factor_vae", "preset": "ibgan", "statistic": "best"},
    ],
    rows=[
        {"name": "IB-GAN", "method": "ibgan", "published": ["infogan-cr/ibgan", "ibgan/peak"]},
        {"name": "VAE", "method": "vae", "published": ["infogan-cr/vae"]},
        {"name": "HFVAE", "published": ["infogan-cr/hfvae"]},
        {"name": "beta 6", "method": "betavae", "settings": {"beta": 6.0}},
    ],
)


METRICS = ("ent", "nmi", "prior_rmse")


def row(seed, score, method="ibgan", **more):
    return {
        "dataset": "dsprites-64",
        "protocol": "tables-v1",
        "method": method,
        "variant": "",
        "settings": "paper",
        "cell": method,
        "metric": "factor_vae",
        "preset": "ibgan",
        "reason": None,
        "seconds": 1.0,
        "data_sha256": "d",
        "metric_settings": "{}",
        "config": "paper",
        "changed": "{}",
        "version": "0.1.0",
        "run": "r",
        "folder": "",
        "seed": seed,
        "score": score,
        "state": "failed" if score is None else "done",
        "higher_is_better": True,
        **more,
    }


def fill(*rows, spec=SPEC):
    entries = tables.fill(spec, leaderboards.scores(rows))
    return {(entry.row, entry.column): entry for entry in entries}


def seeds(mean, n=32, **more):
    """n scores, evenly spread over mean - 0.05 to mean + 0.05."""
    return [row(seed, mean - 0.05 + 0.1 * seed / (n - 1), **more) for seed in range(n)]


def test_a_method_without_a_variant_stands_for_the_variant_that_changes_nothing():
    def spec(plain):
        own = {"name": "A", "method": "ibgan", "variant": "whole", "plain": plain}
        return SPEC.model_copy(update={"rows": (tables.Row(**own),)})

    assert fill(*seeds(0.7), spec=spec(True))["A", "FVAE"].ours == pytest.approx(0.7)
    assert fill(*seeds(0.7), spec=spec(False))["A", "FVAE"].ours is None
    both = [*seeds(0.7), *seeds(0.8, variant="whole", cell="w")]
    assert fill(*both, spec=spec(True))["A", "FVAE"].ours == pytest.approx(0.8)


@pytest.mark.parametrize("name", tables.names())
def test_only_a_variant_that_changes_nothing_is_plain(name):
    for given in tables.read(name).rows:
        if given.plain:
            assert models.get(given.method).VARIANTS[given.variant] == {}


def test_ours_stands_beside_theirs_with_the_difference_and_a_verdict():
    found = fill(*seeds(0.795))["IB-GAN", "FVAE"]
    assert (found.theirs, found.theirs_spread, found.theirs_source) == (0.80, 0.07, "infogan-cr/ibgan")
    assert found.ours == pytest.approx(0.795)
    assert found.ours_low < 0.795 < found.ours_high
    assert found.difference == pytest.approx(-0.005)
    assert found.comparable
    assert found.inside is True
    assert fill(*seeds(0.7))["IB-GAN", "FVAE"].inside is False


def test_a_peak_is_compared_with_the_best_seed_and_has_no_interval():
    found = fill(*seeds(0.8))["IB-GAN", "peak"]
    assert (found.theirs, found.ours) == (0.826, pytest.approx(0.85))
    assert found.difference == pytest.approx(0.024)
    assert found.inside is None
    assert found.ours_note == ""
    fewer = fill(*seeds(0.8, n=12))["IB-GAN", "peak"]
    assert fewer.ours_note == "ours is the best of 12, theirs of 32"


def test_below_ten_seeds_there_is_a_difference_but_no_verdict():
    found = fill(*seeds(0.8, n=5))["IB-GAN", "FVAE"]
    assert found.comparable
    assert found.inside is None
    assert found.ours_note == "no interval below 10 seeds"


def test_another_protocol_is_shown_said_and_not_judged():
    found = fill(*seeds(0.8, protocol="mini", dataset="dsprites-32", config="mini"))["IB-GAN", "FVAE"]
    assert found.ours == pytest.approx(0.8)
    assert not found.comparable
    assert found.inside is found.difference is None
    assert found.ours_note == "measured differently: ours is of the protocol mini on dsprites-32"


def test_the_table_s_own_protocol_goes_before_another():
    other = seeds(0.2, protocol="mini", dataset="dsprites-32", config="mini", cell="m")
    assert fill(*seeds(0.8), *other)["IB-GAN", "FVAE"].ours == pytest.approx(0.8)


def test_another_preset_of_ours_or_theirs_is_said():
    found = fill(*seeds(0.8, preset="dlib"))["IB-GAN", "FVAE"]
    assert "our metric has the preset dlib" in found.ours_note
    assert not found.comparable
    unknown = fill(*seeds(0.6, method="vae"))["VAE", "FVAE"]
    assert unknown.ours_note == "measured differently: the settings of their metric are not known"
    assert unknown.inside is None
    columns = [{"name": "FVAE", "metric": "factor_vae", "preset": "dlib"}]
    spec = SPEC.model_copy(update={"columns": tuple(tables.Column(**c) for c in columns)})
    theirs = fill(*seeds(0.8, preset="dlib"), spec=spec)["IB-GAN", "FVAE"]
    assert theirs.ours_note == "measured differently: their metric has the preset ibgan, ours dlib"


def test_what_is_missing_says_why():
    found = fill()
    assert found["beta 6", "FVAE"].theirs_note == "not seen"
    assert found["VAE", "peak"].theirs_note == "not seen"
    assert found["HFVAE", "FVAE"].ours_note == "disbench does not have this method"
    assert found["IB-GAN", "FVAE"].ours_note == "no result of ibgan under the protocol tables-v1 on dsprites"
    assert (
        found["beta 6", "FVAE"].ours_note
        == "no result of betavae (beta=6) under the protocol tables-v1 on dsprites"
    )
    failed = fill(row(0, None, reason="loss.d is not finite"))["IB-GAN", "FVAE"]
    assert failed.ours is None
    assert failed.ours_note == "no seed has a score: loss.d is not finite"


def test_failed_seeds_are_said_and_not_averaged():
    found = fill(*seeds(0.8), row(40, None, reason="died"))["IB-GAN", "FVAE"]
    assert found.ours == pytest.approx(0.8)
    assert found.ours_failed == 1
    assert "1 seed failed, in no average" in found.ours_note


def test_settings_must_be_those_of_the_row():
    plain = seeds(0.5, method="betavae")
    changed = seeds(0.6, method="betavae", changed='{"beta": 6.0}', settings="paper, beta=6.0", cell="b6")
    assert fill(*plain)["beta 6", "FVAE"].ours is None
    assert fill(*plain, *changed)["beta 6", "FVAE"].ours == pytest.approx(0.6)
    other = seeds(0.5, config="limit", settings="limit")  # another set-up of the same method
    found = fill(*other)["IB-GAN", "FVAE"]
    assert not found.comparable
    assert found.ours_note == "measured differently: ours has the config limit"


def test_several_results_for_one_cell_are_refused_instead_of_chosen():
    one = seeds(0.8, protocol="mini", dataset="dsprites-32")
    two = seeds(0.3, protocol="smoke", dataset="dsprites-32", cell="s")
    found = fill(*one, *two)["IB-GAN", "FVAE"]
    assert found.ours is None
    assert found.ours_note.startswith("several results match (")
    twice = fill(*seeds(0.8), *seeds(0.7, cell="other"))["IB-GAN", "FVAE"]
    assert twice.ours is None
    settings = fill(*seeds(0.8, n=2), row(5, 0.8, metric_settings='{"votes": 1}'))["IB-GAN", "FVAE"]
    assert "different settings" in settings.ours_note


def test_of_several_results_the_one_of_most_seeds_is_shown_whatever_it_scores():
    many = seeds(0.3, n=3, protocol="mini", dataset="dsprites-32")
    few = seeds(0.8, n=2, protocol="mini-v3", dataset="dsprites-32", cell="s")
    found = fill(*few, *many)["IB-GAN", "FVAE"]
    assert (found.ours, found.ours_n) == (pytest.approx(0.3, abs=0.05), 3)
    assert "the result of most seeds; fewer have: mini-v3 (2)" in found.ours_note
    left = row(9, None, protocol="mini", dataset="dsprites-32", state="stopped")
    assert "1 seed not finished, in no average" in fill(*few, *many, left)["IB-GAN", "FVAE"].ours_note
    unscored = [{**each, "score": None, "reason": "no codes"} for each in many]
    assert fill(*few, *unscored)["IB-GAN", "FVAE"].ours_n == 2


def test_a_table_over_splits_averages_them_and_says_how_many_there_are():
    spec = tables.read("elastic-infogan")
    rows = [
        row(
            0,
            0.1 + 0.01 * split,
            method="elastic_infogan",
            variant="uniform",
            metric="ent",
            preset="elastic",
            protocol="elastic-v1",
            dataset=f"mnist:imbalanced-{split}-28",
            cell=f"c{split}",
            higher_is_better=False,
        )
        for split in range(12)
    ]
    found = fill(*rows, spec=spec)["Uniform InfoGAN", "ENT"]
    assert (found.ours, found.ours_n) == (pytest.approx(0.155), 12)
    assert found.ours_note == "ours is of 12 of 50 splits"
    assert found.ours_dataset == "mnist:imbalanced-*-28"
    assert found.theirs is None
    mini = [
        {**r, "dataset": r["dataset"].replace("mnist", "digits"), "protocol": "elastic-mini"} for r in rows
    ]
    found = fill(*mini, spec=spec)["Uniform InfoGAN", "ENT"]
    assert found.ours == pytest.approx(0.155)
    assert "elastic-mini on digits:imbalanced-*-28" in found.ours_note
    assert found.ours_dataset == "digits:imbalanced-*-28"  # what was measured, not what the table asks for
    found = fill(*mini[:1], spec=spec)["Uniform InfoGAN", "ENT"]
    assert found.ours_dataset == "digits:imbalanced-0-28"
    twice = [*mini, *({**r, "cell": f"other-{r['cell']}"} for r in mini)]
    found = fill(*twice, spec=spec)["Uniform InfoGAN", "ENT"]
    assert found.ours is None
    assert "several results match" in found.ours_note


def test_a_table_over_splits_moves_to_another_data_set_with_all_of_them():
    spec = tables.read("elastic-infogan-mini").on("fashion_mnist")
    assert spec.datasets() == [f"fashion_mnist:imbalanced-{split}" for split in range(10)]
    assert spec.title.endswith("; here on fashion_mnist")
    assert not any(row.published for row in tables.read("ibgan").on("shapes3d").rows)
    labelled = ["fashion_mnist:imbalanced-3-28", "fashion_mnist:imbalanced-3-64", "mnist:imbalanced-3-28"]
    others = ["fashion_mnist:imbalanced--28", "fashion_mnist-28", "fashion_mnist:imbalanced-3:classes-1-28"]
    frame = pd.DataFrame({"dataset": [*labelled, *others]})
    assert list(spec.of_its_data(frame)["dataset"]) == labelled[:1]


def of_splits(variant, scores, **more):
    return [
        row(
            seed,
            score,
            method="elastic_infogan",
            variant=variant,
            metric="ent",
            preset="elastic",
            protocol="elastic-v1",
            dataset=f"mnist:imbalanced-{split}-28",
            cell=f"{variant}{split}",
            higher_is_better=False,
            **more,
        )
        for split, seed, score in scores
    ]


def test_rows_over_splits_are_compared_split_by_split():
    """Split 0: .2 (two seeds, .1 and .3) against .5; split 1: .4 against .4; split 2: .9 against .8."""
    spec = tables.read("elastic-infogan")
    own = of_splits("elastic", [(0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.4), (2, 0, 0.9), (3, 0, 0.1)])
    other = of_splits("uniform", [(2, 0, 0.8), (1, 0, 0.4), (0, 0, 0.5), (4, 0, 0.0)])
    frame = leaderboards.scores([*own, *other])
    (pair,) = tables.paired(spec, frame, {"ent": False, "nmi": True, "prior_rmse": False}).to_dict("records")
    assert (pair["row"], pair["other"], pair["column"], pair["n"]) == (
        *("Elastic-InfoGAN", "Uniform InfoGAN", "ENT"),
        3,
    )
    assert pair["difference"] == pytest.approx((-0.3 + 0.0 + 0.1) / 3)
    assert pair["better"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert "below 10" in pair["reason"]
    text, notes = tables.shown_paired(spec, tables.paired(spec, frame, dict.fromkeys(METRICS, False)))
    assert text.to_dict("records") == [
        {
            "": "Elastic-InfoGAN − Uniform InfoGAN",
            "splits": "3",
            "ENT": "−0.067, 50 %",
            "NMI": "–",
            "RMSE": "–",
        }
    ]
    assert notes[-1] == pair["reason"]
    assert tables.paired(SPEC, leaderboards.scores(seeds(0.5)), {}).empty


def test_splits_whose_means_differ_by_rounding_are_ties():
    own = of_splits("elastic", [(0, seed, score) for seed, score in enumerate((0.1, 0.2, 0.3))])
    other = of_splits("uniform", [(0, 0, 0.2)])
    frame = leaderboards.scores([*own, *other])
    pairs = tables.paired(
        tables.read("elastic-infogan"), frame, {"ent": False, "nmi": True, "prior_rmse": False}
    )
    assert (pairs["difference"][0], pairs["better"][0]) == (0, 0.5)


def test_percent_is_a_scale_of_what_is_shown():
    spec = tables.read("betavae")
    rows = seeds(0.9, method="infogan", metric="beta_vae", preset="higgins2017")
    found = fill(*rows, spec=spec)["InfoGAN", "β-VAE metric, %"]
    assert found.ours == pytest.approx(90)
    assert found.ours_std == pytest.approx(100 * np.std([r["score"] for r in rows], ddof=1))


def test_shown_has_a_line_for_theirs_ours_and_the_difference_and_every_dash_a_note():
    entries = tables.fill(SPEC, leaderboards.scores(seeds(0.795)))
    text, notes = tables.shown(SPEC, entries)
    assert list(text.columns) == ["method", "", "FVAE", "peak"]
    assert list(text.iloc[:3, 1]) == ["theirs", "ours", "difference"]
    assert text.iloc[0, 2].startswith("0.80 ± 0.07 [")
    assert text.iloc[1, 2] == "0.795 ± 0.030 (32)"
    assert text.iloc[2, 2] == "−0.005, inside"
    for line in text.itertuples(index=False):
        if line[1] != "difference":
            assert all("[" in cell for cell in line[2:] if cell.startswith("–"))
    assert any("95 % interval of the mean" in note for note in notes)
    body = formats.latex(text, SPEC.title, notes)
    assert r"0.80 $\pm$ 0.07" in body


def test_unlike_numbers_have_no_difference():
    entries = tables.fill(SPEC, leaderboards.scores(seeds(0.5, method="vae")))
    text, notes = tables.shown(SPEC, entries)
    assert "0.500" in "".join(text["FVAE"])
    assert "difference" not in set(text[""])
    assert any("measured differently" in note for note in notes)


@pytest.mark.parametrize("name", tables.names())
def test_every_table_names_what_there_is(name):
    spec = tables.read(name)
    for column in spec.columns:
        metrics.get(column.metric).settings(column.preset)
    for line in spec.rows:
        for source in line.published:
            kinds = ["selected" if line.chosen_by else column.statistic for column in spec.columns]
            asked = zip(spec.columns, kinds, strict=True)
            numbers = [published.find(source, column.metric, kind) for column, kind in asked]
            assert any(numbers), f"{line.name}: {source} gives nothing to {name}"
            assert all(n.method == line.method for n in numbers if n and n.method)
            assert all(n.settings == line.settings for n in numbers if n)
        if line.chosen_by:
            name, _, preset = line.chosen_by.partition(":")
            assert metrics.get(name).kind == "models"
            metrics.get(name).settings(preset)
    assert len({line.name for line in spec.rows}) == len(spec.rows)


CHOSEN = {"name": "chosen", "method": "factorvae", "chosen_by": "udr:dlib", "published": []}
CHOSEN_SPEC = SPEC.model_copy(
    update={
        "columns": (tables.Column(name="FVAE", metric="factor_vae", preset="infogan_cr"),),
        "rows": (tables.Row(**{**CHOSEN, "published": ["infogan-cr/factorvae-udr"]}),),
    }
)


def pool(chosen_by, n=4, **more):
    """Four seeds of two settings, of which the third is chosen."""
    return [
        row(
            seed,
            0.7 + 0.01 * seed,
            method="factorvae",
            preset="infogan_cr",
            cell=f"c{seed % 2}",
            settings=f"paper, gamma={seed % 2}.0",
            changed=f'{{"gamma": {seed % 2}.0}}',
            chosen_by=chosen_by if seed == 2 else "{}",
            **more,
        )
        for seed in range(n)
    ]


def test_a_row_of_a_chosen_model_shows_that_one_whatever_its_settings():
    found = fill(*pool('{"udr:dlib": 4}'), spec=CHOSEN_SPEC)["chosen", "FVAE"]
    assert (found.statistic, found.theirs, found.ours) == ("selected", 0.81, pytest.approx(0.72))
    assert (found.ours_n, found.ours_std, found.inside) == (1, None, None)
    assert found.comparable
    assert found.difference == pytest.approx(-0.09)
    assert found.ours_note == "ours is one model (paper, gamma=0.0), chosen among 4 by udr:dlib"
    text, _ = tables.shown(CHOSEN_SPEC, [found])
    assert text["FVAE"].tolist()[0].startswith("0.81 ± 0.00")
    assert text["FVAE"].tolist()[1].startswith("0.720 (1)")


def test_without_a_choice_the_note_says_which_command_makes_one():
    """A choice by another preset is none, and neither is the mean over the seeds."""
    for chosen_by in ("{}", '{"udr:dlib_spearman": 4}'):
        found = fill(*pool(chosen_by), spec=CHOSEN_SPEC)["chosen", "FVAE"]
        assert found.ours is None
        assert "`disbench leaderboard RUN --select udr:dlib --where method=factorvae`" in found.ours_note


def test_a_choice_under_another_protocol_is_said_to_differ():
    rows = pool('{"udr:dlib": 4}', protocol="mini", dataset="dsprites-32", config="mini")
    found = fill(*rows, spec=CHOSEN_SPEC)["chosen", "FVAE"]
    assert found.ours == pytest.approx(0.72)
    assert not found.comparable
    assert found.ours_note.startswith(
        "measured differently: ours is of the protocol mini on dsprites-32; ours is one"
    )


def test_the_tables_that_were_asked_for_are_there():
    assert tables.names() == [
        "betavae",
        "elastic-infogan",
        "elastic-infogan-mini",
        "ibgan",
        "infogan-cr",
        "jointvae",
    ]
    assert len(tables.read("infogan-cr").columns) == 7
    assert len(tables.read("elastic-infogan").rows) == 7
    with pytest.raises(UsageError, match="did you mean 'ibgan'"):
        tables.read("ibgam")
