"""Settings out of range are refused before anything starts, in a sentence that says what is allowed."""

from __future__ import annotations

import math
import typing

import pytest

from disbench.benchmark.cli.main import main
from disbench.errors import UsageError
from disbench.models import Checkpoint, DataInfo, build, configure, get
from disbench.models.registry import built_in
from disbench.ranges import Range, declared

# Inherited, and of no use: see the config's `check`.
EMPTY = {("infogan_cr", "categorical")}
FIELDS = [
    (name, field, kind)
    for name in built_in()
    for field, kind in typing.get_type_hints(type(get(name).CONFIGS["paper"])).items()
    if (name, field) not in EMPTY
]
NUMBERS = [(name, field, kind) for name, field, kind in FIELDS if kind in (int, float, tuple[int, ...])]
# What a setting at the end of its range needs beside it.
BESIDE = {
    ("infogan", "continuous"): {"categorical": "2"},
    ("ibgan", "lam"): {"beta": 0},
    ("elastic_infogan", "rotation"): {"view": "elastic"},
}


def test_the_rule_below_sees_every_field_that_is_no_choice():
    others = {kind for _, _, kind in FIELDS if kind not in (int, float, tuple[int, ...])}
    assert all(kind is bool or typing.get_origin(kind) is typing.Literal for kind in others), others
    assert len(NUMBERS) > 80


@pytest.mark.parametrize(("name", "field", "kind"), NUMBERS)
def test_every_number_declares_its_range_and_takes_no_value_outside(name, field, kind):
    known = declared(type(get(name).CONFIGS["paper"]))
    assert field in known, "declare its range, as in disbench/ranges.py"
    allowed = known[field]

    def step(value, towards):
        return math.nextafter(value, towards) if kind is float else value + (1 if towards > 0 else -1)

    low = allowed.low if kind is float else int(allowed.low)
    inside, outside = [low], [step(low, -math.inf)]
    if allowed.above:
        inside, outside = [step(low, math.inf)], [low]
    if allowed.high < math.inf:
        inside.append(step(allowed.high, -math.inf) if allowed.below else allowed.high)
        outside.append(allowed.high if allowed.below else step(allowed.high, math.inf))
    beside = BESIDE.get((name, field), {})
    for value in inside:
        kept = getattr(configure(name, "paper", {field: str(value), **beside}), field)
        assert kept == ((value,) if kind == tuple[int, ...] else value)
    for value in outside:
        with pytest.raises(UsageError) as refused:
            configure(name, "paper", {field: str(value), **beside})
        assert str(refused.value).startswith(f"{name}.{field}=")
        assert f"must be {allowed}." in str(refused.value)


def test_an_integer_that_no_float_holds_is_refused():
    with pytest.raises(UsageError, match="but it must be finite and at least 1"):
        configure("betavae", "mini", {"steps": 10**400})


@pytest.mark.parametrize(("name", "field", "kind"), [entry for entry in NUMBERS if entry[2] is float])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_is_finite(name, field, kind, value):
    with pytest.raises(UsageError, match=f"^{name}.{field}={value} was given, but it must be finite and "):
        configure(name, "paper", {field: value})


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("betavae", {"codes": -1}, "betavae.codes=-1 was given, but it must be at least 1."),
        ("betavae", {"codes": 0}, "betavae.codes=0 was given, but it must be at least 1."),
        ("betavae", {"beta": -1}, "betavae.beta=-1.0 was given, but it must be at least 0."),
        ("vae", {"lr": 0}, "vae.lr=0.0 was given, but it must be above 0."),
        ("vae", {"steps": 0}, "vae.steps=0 was given, but it must be at least 1."),
        ("vae", {"batch": 1}, "vae.batch=1 was given, but it must be at least 2."),
        ("factorvae", {"layers": -1}, "factorvae.layers=-1 was given, but it must be at least 1."),
        ("jointvae", {"tau": 0}, "jointvae.tau=0.0 was given, but it must be above 0."),
        (
            "jointvae",
            {"discrete": "3,1"},
            "jointvae.discrete=3,1 was given, but each number must be at least 2.",
        ),
        ("jointvae", {"discrete": ()}, "jointvae.discrete is empty; give at least one number of categories."),
        ("elastic_infogan", {"k": 0}, "elastic_infogan.k=0 was given, but it must be at least 2."),
        ("elastic_infogan", {"k": 1}, "elastic_infogan.k=1 was given, but it must be at least 2."),
        (
            "elastic_infogan",
            {"zoom": 1},
            "elastic_infogan.zoom=1.0 was given, but it must be at least 0 and below 1.",
        ),
        (
            "elastic_infogan",
            {"init_std": 0},
            "elastic_infogan.init_std=0.0 was given, but it must be above 0.",
        ),
        ("ibgan", {"width": 0}, "ibgan.width=0 was given, but it must be at least 1."),
        ("ibgan", {"beta": 2}, "ibgan.beta=2.0 was given, but it must be at most lam, which is 1.0."),
        ("gan", {"noise_steps": -1}, "gan.noise_steps=-1 was given, but it must be at least 0."),
        ("infogan", {"channels": ""}, "infogan.channels is empty; give at least one number."),
        (
            "infogan",
            {"channels": "16,0"},
            "infogan.channels=16,0 was given, but each number must be at least 1.",
        ),
        (
            "infogan",
            {"continuous": 0},
            "infogan.continuous is 0 and categorical is empty; give at least one code.",
        ),
        (
            "infogan",
            {"noise_start": 1},
            "infogan.noise_steps is 0, so there would be no instance noise; give at least 1.",
        ),
    ],
)
def test_the_sentence_says_what_was_given_and_what_is_allowed(name, changes, sentence):
    with pytest.raises(UsageError) as refused:
        configure(name, "mini", changes)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("changes", [{"lam": 1, "beta": 1}, {"lam": 0, "beta": 0}])
def test_the_limits_of_ibgan_are_allowed(changes):
    assert configure("ibgan", "mini", changes).beta == changes["beta"]


def test_a_setting_without_a_range_is_still_finite(monkeypatch):
    config = get("vae").CONFIGS["mini"]
    monkeypatch.setattr("disbench.ranges.declared", lambda kind: {})
    assert configure("vae", "mini", {"lr": -1}) != config
    with pytest.raises(UsageError, match=r"^vae.lr=inf was given, but it must be finite\.$"):
        configure("vae", "mini", {"lr": "inf"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Range(1), "at least 1"),
        (Range(0, above=True), "above 0"),
        (Range(0, 1), "at least 0 and at most 1"),
        (Range(0, 1, above=True, below=True), "above 0 and below 1"),
    ],
)
def test_a_range_in_words(given, words):
    assert str(given) == words


def test_a_checkpoint_out_of_range_is_refused_by_the_same_sentence(make):
    method = make("betavae")
    values = {**vars(method.config), "beta": -1.0}
    checkpoint = Checkpoint(
        "betavae", values, method.data.shape, 10, None, {}, "smoke", "", 0, 1, method.state_dict()
    )
    with pytest.raises(UsageError, match=r"^betavae\.beta=-1\.0 was given, but it must be at least 0\.$"):
        checkpoint.build()


@pytest.mark.parametrize("config", ["paper", "mss"])
def test_beta_tcvae_needs_a_second_image(config):
    data, settings = DataInfo((1, 16, 16), 1), {"nets": "mini", "codes": 2}
    with pytest.raises(
        UsageError, match="betatcvae compares each image with the others, and the data have 1;"
    ):
        build("betatcvae", configure("betatcvae", config, settings), data, 0)
    data = DataInfo((1, 16, 16), 2)
    assert build("betatcvae", configure("betatcvae", config, settings), data, 0)


def test_a_run_ends_before_it_begins(tmp_path, monkeypatch, capsys):
    words = "disbench run --methods betavae --set betavae.codes=-1 --protocol smoke --out r"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", words.split())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "betavae.codes=-1 was given, but it must be at least 1." in " ".join(
        capsys.readouterr().err.split()
    )
    assert not list(tmp_path.iterdir())
