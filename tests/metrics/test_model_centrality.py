import sys

import numpy as np
import pytest

from disbench.errors import UsageError
from disbench.metrics import model_centrality
from disbench.metrics.model_centrality import Generator, centrality, held_codes

# An image is a row of three numbers, drawn independently.
D = 3
SMALL = {"votes_per_code": 20, "batch": 10, "variance_rows": 500}


def draw(held, batch, rng):
    z = rng.normal(size=(len(held), batch, D))
    votes = np.arange(len(held))
    z[votes, :, held] = z[votes, :1, held]
    return z.reshape(-1, D)


def shuffled(held, batch, rng):
    """A generator whose images have nothing to do with its codes."""
    return rng.normal(size=(len(held) * batch, D))


PLAIN = Generator(D, draw)
ALIGNED = [lambda x: x, lambda x: x[:, ::-1] * [1, -5, 0.1], lambda x: -x[:, [1, 2, 0]]]


def score(encoders=ALIGNED, generators=None, seed=0, **settings):
    generators = [PLAIN] * len(encoders) if generators is None else generators
    return model_centrality(encoders, generators, rng=np.random.default_rng(seed), **{**SMALL, **settings})


def noise(seed):
    return lambda x: np.random.default_rng(seed).normal(size=(len(x), D))


def test_the_medoid_of_three_by_hand():
    """B is .6, .4 and .6 off the diagonal, so that the middle model agrees best.

    With the diagonal in the mean, .67, .43 and .67, it would be the worst; the rows of A alone, .7, .45 and
    .45, would choose the first model; the columns alone, .3, .75 and .55, have the choice but not the scores.
    """
    a = np.array([[1.0, 0.8, 0.6], [0.4, 0.1, 0.5], [0.2, 0.7, 1.0]])
    assert centrality(a) == pytest.approx([0.5, 0.6, 0.5])
    assert centrality(a.T) == pytest.approx([0.5, 0.6, 0.5])
    np.fill_diagonal(a, np.nan)
    assert centrality(a) == pytest.approx([0.5, 0.6, 0.5])


def test_each_code_is_held_equally_often():
    assert held_codes(3, 2).tolist() == [0, 1, 2, 0, 1, 2]


def test_models_that_agree_but_for_order_sign_and_scale_score_one():
    found = score()
    assert found.score == 1
    assert found.parts["models"].tolist() == [1, 1, 1]
    assert np.isnan(np.diag(found.parts["pairwise"])).all()


def test_a_choice_by_hand():
    """Sum and difference of two numbers move alike while one of them is held, so one of the two always wins.

    The third code is right, so two of three votes are. Twice 1 and 2/3 make s = 5/6, the odd one has 2/3.
    """
    turn = np.array([[1, 1, 0], [1, -1, 0], [0, 0, 1]])
    odd = Generator(D, lambda *asked: draw(*asked) @ turn)
    found = score([lambda x: x @ turn, *ALIGNED[:2]], [odd, PLAIN, PLAIN], batch=100)
    assert found.parts["pairwise"][0, 1:] == pytest.approx([2 / 3, 2 / 3])
    assert found.parts["pairwise"][1:, 0] == pytest.approx([2 / 3, 2 / 3])
    assert found.parts["models"] == pytest.approx([2 / 3, 5 / 6, 5 / 6])
    assert found.parts["best"] == 1
    assert found.score == pytest.approx(7 / 9)


def test_a_model_of_noise_is_the_last_choice():
    found = score([noise(1), *ALIGNED], [Generator(D, shuffled), PLAIN, PLAIN, PLAIN], votes_per_code=200)
    a = found.parts["pairwise"]
    assert a[1:, 1:][~np.eye(3, dtype=bool)].tolist() == [1] * 6
    # a table fitted on its own votes is a little above 1/3
    assert a[1:, 0] == pytest.approx([0.36] * 3, abs=0.03)
    assert a[0, 1:] == pytest.approx([0.36] * 3, abs=0.03)
    assert found.parts["models"].argmin() == 0
    assert found.parts["best"] == 1


def by_definition(encoder, generator, rng, votes, batch, rows):
    """The FactorVAE metric of one encoder on one generator, vote by vote."""
    spread = encoder(generator.draw(np.zeros(rows, int), 1, rng)).std(axis=0)
    won = np.zeros((D, generator.codes))
    for vote in range(votes * generator.codes):
        k = vote % generator.codes
        z = encoder(generator.draw(np.array([k]), batch, rng))
        won[np.argmin((z / spread).std(axis=0)), k] += 1
    return won.max(axis=1).sum() / won.sum()


def test_every_pair_is_the_factor_vae_metric():
    """Blurred encoders, so that the scores are none of the easy ones."""
    mix = np.random.default_rng(0).normal(size=(4, D, D))
    encoders = [lambda x, m=m: x @ m for m in mix]
    generators = [Generator(D, lambda *asked, m=m: draw(*asked) @ np.linalg.inv(m)) for m in mix]
    found = score(encoders, generators).parts["pairwise"]
    assert len(np.unique(found[~np.isnan(found)])) > 4
    seed = int(np.random.default_rng(0).integers(2**63))
    for i in range(4):
        for j in range(4):
            if i != j:
                rng = np.random.default_rng(seed)
                assert found[i, j] == by_definition(encoders[j], generators[i], rng, 20, 10, 500), (i, j)


def test_the_order_of_the_models_changes_nothing_but_the_order():
    mix = np.random.default_rng(1).normal(size=(4, D, D))
    encoders = [lambda x, m=m: x @ m for m in mix]
    order = [2, 0, 3, 1]
    first, other = score(encoders), score([encoders[i] for i in order])
    assert other.parts["models"].tolist() == first.parts["models"][order].tolist()
    assert other.parts["pairwise"][0, 1] == first.parts["pairwise"][2, 0]


def test_images_are_drawn_once_and_encoded_once_by_every_other_model(monkeypatch):
    """In parts, whose size does not matter; no model reads its own images."""
    drawn, read, told = [], [], []

    def generator(i):
        def own(held, batch, rng):
            images = draw(held, batch, rng)
            drawn.append((i, len(images)))
            return np.column_stack([images, np.full(len(images), i)])

        return Generator(D, own)

    def encoder(j):
        def own(x):
            read.append((int(x[0, -1]), j, len(x)))
            return x[:, :D]

        return own

    models = [encoder(j) for j in range(3)], [generator(i) for i in range(3)]
    monkeypatch.setattr(sys.modules[Generator.__module__], "CHUNK", 128)
    found = score(*models, progress=lambda *counts: told.append(counts))
    each = 500 + 20 * 3 * 10
    assert all(sum(n for who, n in drawn if who == i) == each for i in range(3))
    assert max(n for _, n in drawn) <= 128
    pairs = {(i, j): sum(n for *pair, n in read if pair == [i, j]) for i in range(3) for j in range(3)}
    assert pairs == {(i, j): each * (i != j) for i in range(3) for j in range(3)}
    assert found.n_encoded == 6 * each
    assert told[-1] == (6 * each, 6 * each)
    assert found.score == 1


def test_a_constant_code_never_wins_and_an_encoder_without_any_other_is_at_chance():
    """Without a rule for 0/0 the constant would take every vote, and A would be 1/3."""
    dead = [lambda x: np.column_stack([x * 0 + [0.1, 0.7, 12.3], x])] * 3
    assert score(dead).score == 1
    found = score([*ALIGNED[:2], lambda x: np.full((len(x), 2), 0.1)])
    assert found.parts["pairwise"][:2, 2] == pytest.approx([1 / 3, 1 / 3])
    assert found.parts["models"] == pytest.approx([5 / 6, 5 / 6, 2 / 3])
    assert "models [2] have no live code" in found.warnings[0]


@pytest.mark.parametrize("variance_rows", [0, 500])
def test_the_variance_of_the_votes_themselves_will_do(variance_rows):
    assert score(variance_rows=variance_rows).score == 1


def test_pruned_codes_win_nothing():
    """A faint copy of a wrong number, without noise, takes the votes of its blurred rival unless pruned."""
    blurred = [lambda x, s=s: np.column_stack([x + noise(s)(x), 0.01 * x[:, :1]]) for s in range(3)]
    kept, pruned = score(blurred, preset="infogan_cr"), score(blurred, preset="pruned")
    assert kept.score > pruned.score + 0.05


def test_the_number_of_codes_may_differ():
    two = Generator(2, lambda held, batch, rng: draw(held, batch, rng))
    found = score(generators=[two, PLAIN, PLAIN])
    assert found.score == 1
    assert found.n_encoded == 2 * (500 + 20 * 2 * 10) + 4 * (500 + 20 * 3 * 10)


@pytest.mark.parametrize(
    ("encoders", "generators", "settings", "told"),
    [
        (ALIGNED[:2], None, {}, "needs 3 or more models, .* but got 2"),
        (ALIGNED, [PLAIN] * 2, {}, "there are 3 and 2"),
        (ALIGNED, [PLAIN, Generator(1, draw), PLAIN], {}, r"generators of models \[1\] have fewer than two"),
        (ALIGNED, [Generator(D, lambda *a: draw(*a)[1:])] * 3, {}, "500 votes of 1 images, it returned 499"),
        ([*ALIGNED[:2], lambda x: x[1:]], None, {}, "asked for the codes of 500 rows"),
        ([*ALIGNED[:2], lambda x: x * np.nan], None, {}, "NaN or infinity"),
        (ALIGNED, None, {"batch": 1}, "batch=1 was given, but it must be at least 2"),
        (ALIGNED, None, {"votes_per_code": 0}, "votes_per_code=0 was given, but it must be at least 1"),
        (ALIGNED, None, {"variance_rows": 1}, "variance_rows must be 2 or more, or 0"),
        (ALIGNED, None, {"prune": "all"}, "unknown prune rule of model_centrality"),
    ],
)
def test_what_cannot_be_compared_is_refused(encoders, generators, settings, told):
    with pytest.raises(UsageError, match=told):
        score(encoders, generators, **settings)
