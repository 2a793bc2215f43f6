"""What a method must be like to be built: updates that name what it has."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from disbench import plugins
from disbench.errors import UsageError
from disbench.models import DataInfo, Method, Optimizer, Update, adam, build, configure, registry, vae

DATA = DataInfo((1, 32, 32), 100)


class Wrong(vae.VAE):
    """A VAE with one update of one's own, `UPDATE`."""

    UPDATE: Update

    def __init__(self, config, data):
        super().__init__(config, data)
        self.scale = nn.Parameter(torch.ones(1))
        self.nothing = nn.Identity()
        self.frozen = nn.Linear(2, 2)  # no update learns it

    def updates(self):
        return (self.UPDATE,)


def built(monkeypatch, loss="loss", modules=("encoder", "decoder"), optimizer=None):
    Wrong.UPDATE = Update(loss, modules, optimizer or adam(1e-3))
    monkeypatch.setattr(registry, "get", lambda name: Wrong)
    return build("vae", vae.Config(nets="mini"), DATA, 0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"loss": "los"}, r"unknown loss in Wrong.updates\(\) 'los'; did you mean 'loss'\?"),
        ({"loss": "zzz"}, r"unknown loss in Wrong.updates\(\) 'zzz'; choose from: loss, penalty, posterior."),
        ({"loss": "config"}, r"Wrong.updates\(\) names 'config' as a loss, which is no function"),
        (
            {"modules": ("encoder", "decodr")},
            r"unknown module in Wrong.updates\(\) 'decodr'; did you mean 'decoder'\?",
        ),
        (
            {"modules": ("encoder", "scale")},
            r"Wrong.updates\(\) names 'scale' as a module, which is no torch.nn.Module",
        ),
        ({"modules": ("nothing",)}, r"gives 'loss' nothing to learn: 'nothing' without any parameter"),
        ({"modules": ()}, r"gives 'loss' nothing to learn: no module"),
        (
            {"optimizer": Optimizer("adamw")},
            r"unknown optimiser in Wrong.updates\(\) 'adamw'; did you mean 'adam'\?",
        ),
    ],
)
def test_an_update_that_no_step_could_take_is_refused_when_the_method_is_built(monkeypatch, wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        built(monkeypatch, **wrong)


def test_a_module_that_no_update_learns_and_an_empty_one_beside_others_are_fine(monkeypatch):
    assert isinstance(built(monkeypatch, modules=("encoder", "nothing")), Method)


PLUGIN = """
from disbench.models import Update, adam, vae

class Slip(vae.VAE):
    def updates(self):
        return (Update("loss", ("encoder", "decodr"), adam(1e-3)),)

METHOD = Slip
"""


def test_of_a_plugin_the_sentence_names_its_file(monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "_FILES", {})
    monkeypatch.setattr(plugins, "_OFFERS", [])
    (tmp_path / "slip.py").write_text(PLUGIN)
    plugins.load(tmp_path / "slip.py")
    with pytest.raises(
        UsageError, match=r"the plug-in .*slip.py cannot be used: unknown module in Slip.*'decoder'"
    ):
        build("slip", configure("slip", "mini"), DATA, 0)
