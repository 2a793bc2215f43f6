"""Versions of protocols, and the digests that tell whether a version still decides the same.

`digests.json` has what each version decides. A change that moves a number makes a new version: copy the file
of the protocol to NAME-vN.toml as it was, raise `version`, and run this file with Python, which adds what is
new. It refuses to change what is there.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from disbench import metrics, models
from disbench.benchmark import protocols
from disbench.benchmark.protocols import FOLDER, digests
from disbench.errors import UsageError
from disbench.models.method import DataInfo

RECORDED = Path(__file__).with_name("digests.json")
BETA = models.configure("betavae", "mini")
INFO = DataInfo((1, 32, 32), 1000)


def current():
    return {(p := protocols.get(name)).id: digests.of_protocol(p) for name in protocols.names()}


def changed(recorded, found):
    """The version and the method of each digest that is another one than was recorded."""
    return [
        f"{version}: {name or 'what all methods share'}"
        for version, of in recorded.items()
        for name, digest in of.items()
        if found.get(version, {}).get(name) != digest
    ]


def test_no_version_of_a_protocol_decides_anything_else_than_it_did():
    found, recorded = current(), json.loads(RECORDED.read_text("utf-8"))
    moved = changed(recorded, found)
    assert not moved, f"{', '.join(moved)}: a change that moves a number makes a new version, see {__file__}"
    # a method that is new is recorded with the next version that is, and need not list itself here
    missing = [version for version in found if "" not in recorded.get(version, {})]
    assert not missing, f"digests of {', '.join(missing)} are missing: run python {__file__}"


@pytest.mark.parametrize(
    "other",
    [
        {"size": 64},
        {"dataset": "cars3d"},
        {"config": "paper"},
        {"every": {"steps": 7}},
        {"version": 99},
        {"unlabelled": protocols.choose_metrics("active_units")},
        {"metrics": protocols.choose_metrics("sap")},
    ],
)
def test_whatever_a_protocol_decides_moves_its_digest(other):
    mini = protocols.get("mini")
    assert digests.of_all_methods(mini.model_copy(update=other)) != digests.of_all_methods(mini)


def test_what_a_protocol_says_of_itself_moves_nothing():
    mini = protocols.get("mini")
    other = mini.model_copy(update={"summary": "other words"})
    assert digests.of_all_methods(other) == digests.of_all_methods(mini)


def test_a_metric_s_version_moves_the_digest(monkeypatch):
    mini = protocols.get("mini")
    before = digests.of_all_methods(mini)
    monkeypatch.setitem(metrics.registry._METRICS, "mig", dataclasses.replace(metrics.get("mig"), version=2))
    assert digests.of_all_methods(mini) != before


def test_the_digest_of_a_training_is_of_data_settings_nets_and_code(monkeypatch):
    def of(config=BETA, info=INFO, sha256="a", plugin=""):
        return digests.of_training("betavae", config, info, sha256, plugin)

    first = of()
    assert first == of()
    assert len(first) == digests.LENGTH
    others = [
        of(dataclasses.replace(BETA, steps=7)),
        of(dataclasses.replace(BETA, beta=7.0)),
        of(info=DataInfo((3, 32, 32), 1000)),
        of(info=DataInfo((1, 32, 32), 1001)),
        of(sha256="b"),
        of(plugin="mine.py, sha256 12"),
    ]
    assert len({first, *others}) == 7
    monkeypatch.setattr(models.get("betavae"), "VERSION", 2)
    assert of() not in {first, *others}


def test_nets_are_told_apart_by_stride_and_slope_and_not_only_by_shapes():
    from torch import nn

    nets = [
        nn.Sequential(nn.Conv2d(1, 2, 4, stride=2), nn.LeakyReLU(0.2)),
        nn.Sequential(nn.Conv2d(1, 2, 4, stride=1), nn.LeakyReLU(0.2)),
        nn.Sequential(nn.Conv2d(1, 2, 4, stride=2), nn.LeakyReLU(0.1)),
        nn.Sequential(nn.Conv2d(1, 2, 4, stride=2), nn.ReLU()),
    ]
    assert len({digests.digest(digests.nets(net)) for net in nets}) == 4


@pytest.fixture
def two_versions(monkeypatch, tmp_path):
    """`smoke` in versions 1 and 2; the second has one metric."""
    package = tmp_path / "package"
    shutil.copytree(Path(protocols.__file__).parent, package / "protocols")
    old = (package / "protocols" / "smoke.toml").read_text("utf-8")
    (package / "protocols" / "smoke-v1.toml").write_text(old, "utf-8")
    new = old.replace("version = 1", "version = 2").partition("[[metrics]]")[0]
    (package / "protocols" / "smoke.toml").write_text(new + '[[metrics]]\nname = "mig"\n', "utf-8")
    monkeypatch.setattr("disbench.strict.files", lambda _: package)
    return package / "protocols"


def test_a_bare_name_asks_for_the_newest_version_and_a_record_of_one_for_the_first(two_versions):
    newest, first = protocols.get("smoke"), protocols.get("smoke-v1")
    assert (newest.id, len(newest.metrics)) == ("smoke-v2", 1)
    assert (first.id, len(first.metrics)) == ("smoke-v1", 2)
    assert protocols.get("smoke-v2").metrics == newest.metrics
    assert protocols.of_record("smoke").metrics == protocols.of_record("smoke-v1").metrics == first.metrics
    assert protocols.of_record("smoke-v2").metrics == newest.metrics
    assert protocols.find("smoke-v3") is None
    assert protocols.find("gone") is None
    assert protocols.get("elastic-mini").id == "elastic-mini-v1"  # a hyphen is no version


@pytest.mark.parametrize("name", ["smoke-v3", "smoke-v0", "smoke-v", "smke"])
def test_a_version_that_there_is_not_is_refused(two_versions, name):
    with pytest.raises(UsageError, match="smoke"):
        protocols.get(name)


def test_a_file_says_the_version_that_it_is_named_after(two_versions):
    (two_versions / "smoke-v3.toml").write_text((two_versions / "smoke-v1.toml").read_text("utf-8"), "utf-8")
    with pytest.raises(UsageError, match="has version 1"):
        protocols.get("smoke-v3")


def test_every_file_states_its_version():
    with pytest.raises(UsageError, match="version"):
        FOLDER.parse("mine", 'summary = ""\nmeaningful = true\ndataset = "x"\nconfig = "mini"\n')


def record():
    found = current()
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    if moved := changed(recorded, {**recorded, **found}):
        raise SystemExit(f"{', '.join(moved)}: make a new version instead")
    RECORDED.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    record()
