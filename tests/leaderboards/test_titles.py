"""Names for people: every line of titles.toml names something that exists, and says it as its file does."""

import ast
from pathlib import Path

import pandas as pd
import pytest

from disbench import metrics, models
from disbench.leaderboards import labels, titles

ROOT = Path(__file__).resolve().parents[2]


def test_a_method_is_called_as_the_head_of_its_file_calls_it():
    for name, title in titles.known()["methods"].items():
        head = ast.get_docstring(ast.parse((ROOT / "models" / f"{name}.py").read_text("utf-8")))
        assert head.partition(":")[0] == title


def test_every_line_names_something_that_exists():
    known = titles.known()
    assert set(known["metrics"]) <= set(metrics.names())
    presets = {preset for name in metrics.names() for preset in metrics.get(name).presets}
    assert set(known["presets"]) <= presets
    variants = {labels.label(name, v) for name in models.names() for v in models.get(name).VARIANTS}
    assert set(known["variants"]) <= variants


def test_no_two_things_have_one_title():
    for kind in ("methods", "metrics", "presets", "quantities"):
        known = list(map(str, titles.known()[kind].values()))
        assert len(set(known)) == len(known), kind


@pytest.mark.parametrize(
    ("method", "variant", "title"),
    [
        ("ibgan", "", "IB-GAN"),
        ("elastic_infogan", "uniform", "Uniform InfoGAN"),
        ("betavae", "beta4", "beta-VAE, beta4"),
        ("of_a_stranger", "", "of_a_stranger"),
        ("of_a_stranger", "x", "of_a_stranger, x"),
    ],
)
def test_a_training_has_its_title_and_a_stranger_its_own_name(method, variant, title):
    assert titles.training(method, variant) == title


def test_a_preset_keeps_what_was_changed_in_it():
    assert titles.measure("mig", "dlib") == "MIG · disentanglement_lib"
    assert titles.measure("mig", "dlib, bins=10") == "MIG · disentanglement_lib, bins=10"
    assert titles.measure("mine", "own") == "mine · own"


def test_what_tells_two_rows_apart_follows_the_title():
    rows = [
        {"method": "betavae", "variant": "", "name": "betavae (mini, beta=4)"},
        {"method": "infogan", "variant": "auxiliary_q", "name": "infogan-auxiliary_q"},
        {"method": "vae", "variant": "", "name": "another name"},
    ]
    shown = titles.rows(pd.DataFrame(rows))
    assert shown == ["beta-VAE (mini, beta=4)", "GAN with auxiliary Q", "another name"]


def test_a_plug_in_that_is_called_as_one_of_ours_has_a_row_and_a_column_of_its_own():
    assert titles.training("gan", "") == "GAN"
    assert titles.training("GAN", "") == "GAN (plug-in)"
    assert titles.training("GAN", "small") == "GAN (plug-in), small"
    assert (titles.metric("mig"), titles.metric("MIG")) == ("MIG", "MIG (plug-in)")
    named = pd.DataFrame({"method": ["gan", "GAN"], "variant": "", "name": ["gan", "GAN (beta=1)"]})
    assert titles.rows(named) == ["GAN", "GAN (plug-in) (beta=1)"]
