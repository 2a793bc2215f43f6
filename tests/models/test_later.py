"""Settings that a method got later: what was trained before stays what it is."""

from dataclasses import dataclass

import pytest

from disbench import models
from disbench.benchmark.protocols import digests
from disbench.benchmark.runs.store import Cell, DataRef
from disbench.errors import UsageError
from disbench.models import DataInfo, later, method

INFO = DataInfo((1, 32, 32), 1000)
DATA = DataRef("dsprites", 32, "ab" * 32)


@dataclass(frozen=True)
class Config(method.Config):
    first: int = 3
    second: int = later(1)


def test_what_came_later_is_written_where_it_matters():
    assert Config().written() == {"steps": 300_000, "batch": 64, "first": 3}
    assert Config(second=2).written() == {"steps": 300_000, "batch": 64, "first": 3, "second": 2}


@pytest.mark.parametrize("name", models.registry.built_in())
def test_every_method_s_settings_come_back(name):
    for config, settings in models.get(name).CONFIGS.items():
        # also by a config that has other values of what came later
        assert models.restored(name, settings.written(), config) == settings
        assert models.restored(name, settings.written()) == settings


@pytest.mark.parametrize("missing", ["lr_g", "steps"])
def test_a_setting_that_was_always_there_is_never_filled_in(missing):
    written = models.configure("ibgan", "mini").written()
    del written[missing]
    with pytest.raises(UsageError, match=f"the settings do not fit ibgan as it is here: {missing} differ"):
        models.restored("ibgan", written)


def test_folder_and_digest_are_those_of_before_where_nothing_changes():
    def of(**changes):
        config = models.configure("ibgan", "mini", changes)
        cell = Cell("ibgan", "", "mini", config.written(), DATA, "mini-v3", 0)
        return cell.training, digests.of_training("ibgan", config, INFO, "a")

    assert of() == of(g_steps=1, d_steps=1)
    # from before there were these settings
    assert of() == ("ibgan-86497b7a", "618a6e590052ce9e")
    assert len({of()[0], of(g_steps=2)[0], of(d_steps=2)[0]}) == 3
    assert len({of()[1], of(g_steps=2)[1], of(d_steps=2)[1]}) == 3
