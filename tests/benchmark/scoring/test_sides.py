"""Scores of both sides of a model, asked for together."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from disbench.benchmark import api, protocols
from disbench.benchmark.datasets.dataset import Dataset
from disbench.benchmark.protocols import choose_metrics, digests
from disbench.benchmark.runs import health, matrices, rows
from disbench.benchmark.scoring import judged, plans, scoring, sides, sources, tables
from disbench.benchmark.scoring.encoded import Encoded
from disbench.benchmark.scoring.entries import ScoreEntry, answer, merged, read_entries
from disbench.benchmark.scoring.plans import BY_COST
from disbench.benchmark.training.seeds import StoppedError
from disbench.errors import UsageError

from .drawing import renderer

FEW = 600


def asked(text, pictures=FEW):
    return [
        choice.model_copy(update={"pictures": pictures}) if choice.pictures else choice
        for choice in choose_metrics(text)
    ]


class Model:
    """Codes are noise, and the generator draws by the factors: nothing to learn from one for the other."""

    rows, no_posterior = None, "none"

    def __init__(self, data, generator):
        self.data, self.drawn = data, generator

    def encoded(self, wanted, progress=None, need=False):
        return Encoded(np.random.default_rng(0).normal(size=(len(wanted), 4)).astype(np.float32))

    def contingency(self):
        return "no classes"

    def reconstructed(self, wanted):
        return "no decoder"

    def generator(self):
        return self.drawn


def test_each_side_has_its_own_score(sprites):
    model = Model(sprites, renderer(sprites, encodes=False))
    choices = asked("mig,mig@generator,sample_quality:fidelity,factor_vae@generator")
    one, other, fidelity, votes = sides.score(model, sprites, choices, draws=BY_COST)
    assert one.pictures is None
    assert one.score < 0.1
    assert other.pictures == FEW
    assert other.score > 0.7
    assert other.shuffled.mean < 0.1
    assert (other.label, other.name) == (f"dlib@generator, {FEW} pictures", "mig@generator")
    assert votes.label.startswith(f"dlib@generator, {FEW} pictures, values that occur")
    assert votes.score == 1.0
    assert fidelity.score == 1.0
    assert fidelity.draws.std == 0.0
    # they are those of the generator alone
    seen = sides.look(renderer(sprites), sprites, FEW)
    assert sides.of_pictures(seen, choices[1:2])[0].score == other.score


def test_coverage_has_the_spread_of_quarters(sprites):
    model = Model(sprites, renderer(sprites, encodes=False))
    (entry,) = sides.score(model, sprites, asked("sample_quality:recall"), draws=BY_COST)
    assert entry.draws.share == 0.25
    found = judged.on_grid(renderer(sprites, encodes=False), sprites, [], n=FEW)
    assert found.spread["recall"] == entry.draws.std
    assert found.plain()["quality"]["spread"]["fidelity"] == 0.0
    assert judged.on_grid(renderer(sprites, encodes=False), sprites, [], n=150).spread == {}
    # as several fresh draws of as many pictures have it
    (fresh,) = sides.score(model, sprites, asked("sample_quality:recall"), draws=12)
    assert len(set(fresh.draws.scores)) > 1
    assert entry.draws.std == pytest.approx(fresh.draws.std, rel=0.8)


def test_what_has_no_generator_says_so_and_the_others_stand(sprites):
    choices = asked("mig,mig@generator,sample_quality")
    codes = tables.Stored(np.random.default_rng(0).normal(size=(len(sprites), 3)), np.arange(len(sprites)))
    stands, *failed = sides.score(codes, sprites, choices)
    assert stands.score is not None
    assert [entry.score for entry in failed] == [None, None]
    assert "codes alone draw no pictures" in failed[0].reason
    model = Model(sprites, renderer(sprites))
    needs_grid, fine = sides.score(model, sprites, asked("z_max_var@generator,sample_quality"))
    assert "pictures that differ in chosen factors alone" in needs_grid.reason
    assert fine.score == 1.0


def test_a_stop_is_asked_for_while_pictures_are_read(sprites):
    with pytest.raises(StoppedError):
        sides.look(renderer(sprites), sprites, FEW, stop=lambda: True)
    heard = []
    sides.look(renderer(sprites), sprites, 1100, progress=lambda *words: heard.append(words))
    assert heard == [("reading", 1024, 1100), ("reading", 1100, 1100)]


def test_a_generator_asks_for_no_codes(sprites):
    model = Model(sprites, renderer(sprites))
    assert len(scoring.rows(model, sprites, asked("mig@generator,sample_quality"))) == 0
    assert len(scoring.rows(model, sprites, asked("mig,mig@generator"))) == len(sprites)


def test_data_without_an_oracle_are_known_before(sprites):
    unknown = Dataset("free", "11", sprites.storage)
    why = plans.undefined(asked("mig@generator")[0], unknown)
    assert why.startswith("free is no complete grid of factors")


@pytest.mark.parametrize("name", ["nmi", "reconstruction", "active_units", "mig_chen"])
def test_metrics_without_a_generator_side_are_refused(name):
    with pytest.raises(UsageError, match=f"{name}@generator: a generator's codes are drawn"):
        choose_metrics(f"{name}@generator")


def test_a_side_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="did you mean '@generator'"):
        choose_metrics("mig@generater")


def test_the_sides_of_a_metric_are_kept_apart(sprites):
    model = Model(sprites, renderer(sprites))
    choices = asked("mig,mig@generator")
    entries = sides.score(model, sprites, choices)
    both = merged(entries[:1], entries[1:], choices)
    assert [entry.pictures for entry in both] == [None, FEW]
    again = read_entries([entry.plain() for entry in both])
    assert answer(again, choices)
    assert not answer(again[:1], choices)
    assert not answer(again, asked("mig@generator", 700))
    # a score of the encoder has the settings that it had before generators had any
    assert "pictures" not in rows.judge(again[0])
    assert rows.judge(again[1]) == {"pictures": FEW}
    assert digests.of_metric(choices[0]) != digests.of_metric(choices[1])


def test_the_newest_mini_scores_both_sides_and_an_older_one_did_not():
    assert any(choice.pictures for choice in protocols.get("mini").metrics)
    assert not any(choice.pictures for choice in protocols.get("mini-v2").metrics)


def test_no_score_of_a_side_is_taken_for_that_of_the_other(sprites):
    """By name, in the sentences about a model, and in the matrices that a seed's scores hold."""
    model = Model(sprites, renderer(sprites))
    entries = sides.score(model, sprites, asked("mig@generator,mig,sample_quality"))
    scored = api.Scored(None, tuple(entries))
    assert scored["mig@generator"] == entries[0].score
    assert scored["mig"] == entries[1].score != entries[0].score
    assert scored["sample_quality"] == scored["sample_quality@generator"] == 1.0
    drawn = replace(entries[0], live=[False] * 4)
    assert health.verdicts({}, [drawn]) == ["mig:dlib of the generator sees no code"]
    cell = SimpleNamespace(method="vae", variant="", seed=0, dataset=SimpleNamespace(name="dsprites"))
    assert matrices.stored(SimpleNamespace(cell=cell, entries=[entries[0]]), "mi") is None
    found = matrices.stored(SimpleNamespace(cell=cell, entries=entries), "mi")
    assert found.values.tolist() == entries[1].parts["mutual_information"]


def test_a_preset_for_all_keeps_the_side(sprites):
    one = SimpleNamespace(data=sprites, protocol="")
    chosen = sources.choose([one], "mig,factor_vae@generator", "ibgan")
    assert [choice.shown for choice in chosen] == ["mig", "factor_vae:ibgan@generator"]


def test_pending_and_failed_entries_say_their_side():
    (choice,) = choose_metrics("factor_vae:ibgan@generator")
    assert ScoreEntry.pending(choice).label == "ibgan@generator"
    assert choice.shown == "factor_vae:ibgan@generator"
