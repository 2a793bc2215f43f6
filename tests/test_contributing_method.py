"""CONTRIBUTING's way to a new method, taken word for word on a copy: two files, nothing else lists them."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from disbench import models, plugins

ROOT = Path(__file__).resolve().parents[1]
NAME = "freebits"


def shown(file):
    """A file that docs/howto/method.md shows in full."""
    page = (ROOT / "docs" / "howto" / "method.md").read_text("utf-8")
    (text,) = re.findall(rf'^```python title="{file}"\n(.*?)^```$', page, re.DOTALL | re.MULTILINE)
    return text


def steps():
    """The commands of CONTRIBUTING's section on methods, for the method at hand."""
    section = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("\n## A method in two files\n")[1]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section.split("\n## ")[0], re.DOTALL | re.MULTILINE)
    environment, *commands = block.replace("my_method", NAME).splitlines()
    assert environment == ". .venv/bin/activate"
    return [shlex.split(command) for command in commands]


@pytest.fixture(scope="module")
def checkout(new_checkout):
    """A copy of the checkout with the page's two files in it, and a few images."""
    copy = new_checkout()
    (copy.folder / "models" / f"{NAME}.py").write_text(shown(f"{NAME}.py"))
    (copy.folder / "tests" / "models" / f"test_{NAME}.py").write_text(shown(f"test_{NAME}.py"))
    factors = np.stack(np.unravel_index(np.arange(16), (4, 4)), 1)
    images = np.random.default_rng(0).integers(0, 255, (16, 32, 32), np.uint8)
    np.savez(copy.folder / "tiny.npz", images=images, factors=factors)
    return copy


def test_the_steps_work_on_a_copy(checkout):
    tests, listed, run = steps()
    chosen = [f"{NAME} or not [" if word == NAME else word for word in tests]
    printed = checkout.run("-m", *chosen, "-v", "--no-header")
    for test in (
        f"test_{NAME}.py::test_the_penalty_by_hand",
        f"test_two_stacked_seeds_follow_the_same_seeds_alone[{NAME}]",
        f"test_every_config_builds[{NAME}-paper]",
        f"test_every_method_has_its_page_with_settings_and_deviations[{NAME}]",
    ):
        assert f"{test} PASSED" in printed
    assert re.search(rf"^{NAME} +Free bits: Kingma", checkout.run("-m", *listed), re.MULTILINE)
    checkout.run("-m", *run, "--set", f"{NAME}.steps=4", "--dataset", "tiny.npz", "--jobs", "1")
    (checkpoint,) = (checkout.folder / "runs" / NAME).glob(f"{NAME}-*/seed-0/checkpoint.pt")
    assert (checkpoint.parent / "traversal.png").is_file()


def test_the_same_file_works_as_a_plugin(monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "_FILES", {})
    monkeypatch.setattr(plugins, "_OFFERS", [])
    (tmp_path / f"{NAME}.py").write_text(shown(f"{NAME}.py"))
    assert plugins.load(tmp_path / f"{NAME}.py") == [f"method {NAME}"]
    method = models.build(NAME, models.configure(NAME, "mini"), models.DataInfo((1, 32, 32), 16), 0)
    terms = method.loss(torch.rand(2, 1, 32, 32), method.noise(2, torch.Generator()), torch.tensor(0.0))
    assert set(terms) == {"reconstruction", "kl"}
