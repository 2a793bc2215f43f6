"""Arguments of other types than their annotations end in a sentence, before anything is read or written."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import disbench
from disbench import models
from disbench.arguments import typed
from disbench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BUILT = {
    "name": "betavae",
    "config": models.configure("betavae", "mini"),
    "data": models.DataInfo((1, 32, 32), 16),
    "seed": 0,
}
RUN = {"methods": "betavae", "protocol": "smoke", "out": "never"}


@typed
def everything(
    n: int = 1,
    *,
    weight: float | None = None,
    yes: bool = False,
    place: str | Path = "",
    names: str | Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    codes: ArrayLike | None = None,
) -> tuple[object, ...]:
    """Gives back what it got."""
    return n, weight, yes, place, names, settings, codes


@pytest.mark.parametrize(
    "given",
    [
        {"n": np.int64(3)},
        {"weight": 3},
        {"weight": np.float32(0.5)},
        {"yes": np.bool_(True)},
        {"place": Path("a")},
        {"names": ["a", "b"]},
        {"names": {"a": 1}.keys()},
        {"settings": {"a": 1}},
        {"codes": object()},
    ],
)
def test_what_an_annotation_names_is_taken_as_it_is(given):
    ((name, value),) = given.items()
    position = list(inspect.signature(everything).parameters).index(name)
    assert everything(**given)[position] is value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": True}, "n True was given, but it must be a whole number."),
        ({"n": 1.0}, "n 1.0 was given, but it must be a whole number."),
        ({"n": None}, "n None was given, but it must be a whole number."),
        ({"weight": "1"}, "weight '1' was given, but it must be a number or None."),
        ({"weight": True}, "weight True was given, but it must be a number or None."),
        ({"yes": 1}, "yes 1 was given, but it must be True or False."),
        ({"place": 3}, "place 3 was given, but it must be a text or a path."),
        ({"place": b"a"}, "place b'a' was given, but it must be a text or a path."),
        ({"names": 3}, "names 3 was given, but it must be a text or a list."),
        ({"names": {"a": 1}}, "names {'a': 1} was given, but it must be a text or a list."),
        ({"settings": [1]}, r"settings \[1\] was given, but it must be a dictionary or None."),
    ],
)
def test_any_other_type_is_refused(given, said):
    with pytest.raises(UsageError, match=f"^{said}$"):
        everything(**given)


def test_a_call_that_does_not_fit_the_signature_is_refused_by_python():
    with pytest.raises(TypeError, match="nonsense"):
        everything(nonsense=1)


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        (disbench.run, RUN | {"jobs": "2"}, "jobs '2' was given"),
        (disbench.run, RUN | {"jobs": 1.5}, "jobs 1.5 was given"),
        (disbench.run, RUN | {"seeds": True}, "seeds True is no whole number"),
        (disbench.run, RUN | {"seeds": [True, 2]}, r"seeds \[True, 2\] is no whole number"),
        (disbench.forecast, RUN | {"methods": 3}, "methods 3 was given"),
        (disbench.forecast, RUN | {"device": 3}, "device 3 was given"),
        (disbench.forecast, RUN | {"settings": ["beta"]}, r"settings .*beta"),
        (disbench.score, {"source": "a.npz", "dataset": 3}, "dataset 3 was given"),
        (disbench.score, {"source": "a.npz", "settings": "beta=3"}, "settings 'beta=3' was given"),
        (disbench.score, {"source": "a.npz", "quick": "no"}, "quick 'no' was given"),
        (disbench.compare, {"mine": "a.npz", "others": None}, "others None was given"),
        (disbench.judge, {"source": 3}, "source 3 was given"),
        (disbench.judge, {"source": "a.pt", "pictures": "many"}, "pictures 'many' was given"),
        (disbench.load, {"checkpoint": None}, "checkpoint None was given"),
        (disbench.datasets.load, {"name": 3}, "name 3 was given, but it must be a text or"),
        (disbench.plugins.load, {"path": 3}, "path 3 was given"),
        (models.load_checkpoint, {"path": 3}, "path 3 was given"),
        (models.get, {"name": 3}, "name 3 was given"),
        (models.configure, {"name": "vae", "config": 3}, "config 3 was given"),
        (models.configure, {"name": "vae", "changes": [1]}, r"changes \[1\] was given"),
        (models.build, BUILT | {"seed": "a"}, "seed 'a' was given"),
        (models.build, BUILT | {"seed": 1.5}, "seed 1.5 was given"),
        (models.build, BUILT | {"seed": -1}, "seed -1 was given; give 0 or more"),
        (
            models.build,
            BUILT | {"name": "ibgan"},
            r"config of ibgan is a .*betavae\.Config, which is another",
        ),
    ],
)
def test_the_public_functions_look_at_theirs(tmp_path, monkeypatch, function, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        function(**given)
    assert not list(tmp_path.iterdir())


def test_a_data_set_may_be_a_path(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images, factors=np.arange(6) % 3)
    np.savez(tmp_path / "codes.npz", codes=np.random.default_rng(0).normal(size=(6, 2)))
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{i}.png")
    file, folder = tmp_path / "own.npz", tmp_path / "pictures"
    for path, name in ((file, str(file)), (folder, f"{folder}/")):
        assert disbench.datasets.load(path, data_dir=tmp_path).name == name
    scored = disbench.score(tmp_path / "codes.npz", dataset=file, metrics="mig", data_dir=tmp_path)
    assert scored.opened.data.name == str(file)
    asked = disbench.Request("betavae", dataset=[file, folder], metrics="mig", data_dir=tmp_path)
    with pytest.raises(UsageError, match=f"{folder}/"):
        # it has neither factors nor labels
        asked.prepare()
