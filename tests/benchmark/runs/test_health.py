"""Verdicts about a trained model, from values written by hand."""

import json

import pytest

from disbench.benchmark.runs import health
from disbench.benchmark.scoring.entries import ScoreEntry
from disbench.metrics import live


def entry(**values):
    return ScoreEntry("mig", "dlib", {}, score=0.1, **values)


@pytest.mark.parametrize(
    ("logged", "entries", "verdicts"),
    [
        ({"L_I_categorical": 2.2, "H_categorical": 2.303}, [], []),
        (
            {"L_I_categorical": -0.01, "H_categorical": 2.303},
            [],
            ["categorical code ignored: L_I 0.00 of 2.30 nats"],
        ),
        (
            {"L_I_categorical": [1.0, 0.2], "H_categorical": [1.1, 2.3]},
            [],
            ["categorical code 1 ignored: L_I 0.20 of 2.30 nats"],
        ),
        ({"I_upper": 0.04}, [], ["bottleneck closed: I is at most 0.04 nats"]),
        ({"I_upper": 1.9, "kl_per_latent": [0.9, 1.0]}, [], []),
        ({"kl_per_latent": [0.09, 1.0, 0.0]}, [], ["2 of 3 codes have collapsed: KL below 0.1 nats"]),
        # of the scores, where they know it; JSON has no infinity
        (
            {"kl_per_latent": [0.09, 1.0]},
            [entry(kl=[None, 0.01, 3.0])],
            ["1 of 3 codes have collapsed: KL below 0.1 nats"],
        ),
        ({"kl_per_discrete": 0.02}, [], ["categorical latent has collapsed: KL 0.02 nats"]),
        ({"kl_per_discrete": [1.1, 0.0]}, [], ["categorical latent 1 has collapsed: KL 0.00 nats"]),
        ({}, [entry(live=[False, False])], ["mig:dlib sees no code"]),
        ({}, [entry(live=[False, True])], []),
        (
            {},
            [entry(parts={"read_as": [8, 7, 4, 7, 4, 7]})],
            ["2 categories share class 4", "3 categories share class 7"],
        ),
        (
            {"d_real": 0.85, "d_unseen": 0.52},
            [],
            ["D rates images of the training 0.85 and unseen ones 0.52"],
        ),
        ({"d_real": 0.6, "d_unseen": 0.52}, [], []),
        # of a stranger
        ({"L_I_categorical": [0.1, 0.2], "H_categorical": 2.3}, [], []),
        ({"kl_per_latent": [[0.0], {}, "a"], "I_upper": {}, "d_real": "x", "d_unseen": []}, [], []),
        ({"kl_per_latent": [10**400], "I_upper": True}, [entry(parts={"read_as": [[1], 2]})], []),
    ],
)
def test_what_is_wrong_is_said(logged, entries, verdicts):
    assert health.verdicts(logged, entries) == verdicts


def test_the_last_whole_line_of_a_journal_counts(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert health.last_line(path) == {}
    lines = [{"step": i, "terms": {"a": i}, "monitor": {"b": [i]}} for i in range(3000)]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 3000, "te', "utf-8")
    assert path.stat().st_size > max(health.TAILS)
    assert health.last_line(path) == {"a": 2999, "b": [2999]}
    # a line longer than what is read first
    path.write_text(
        json.dumps({"terms": {"a": 1}}) + "\n" + json.dumps({"terms": {"b": [0.5] * 2000}}), "utf-8"
    )
    assert list(health.last_line(path)) == ["b"]
    path.write_text("[1]\nnonsense\n", "utf-8")
    assert health.last_line(path) == {}


def test_collapsed_means_the_same_as_in_the_scores():
    assert health.KL == live.KL


def test_odd_journals_have_no_last_line(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert health.last_line(tmp_path / "folder") == health.last_line(tmp_path / "link") == {}
