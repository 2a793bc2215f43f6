"""Traversals: the values above the tiles, which codes are grey, and what a sheet starts from."""

import dataclasses

import numpy as np
import pytest
import torch

from disbench import models
from disbench.benchmark import datasets
from disbench.benchmark.runs import pictures
from disbench.models import DataInfo


@pytest.mark.parametrize(
    ("ends", "steps", "expected"),
    [
        ((-2.0, 2.0), 5, ["-2", "-1", "0", "1", "2"]),
        ((-1.0, 1.0), 5, ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
        ((-0.1, 0.1), 3, ["-0.1", "0.0", "0.1"]),
        ((0.0, 0.05), 2, ["0.00", "0.05"]),
    ],
)
def test_values_have_as_many_decimals_as_tell_them_apart(ends, steps, expected):
    assert pictures.values_of([1], steps, ends) == [expected]


def test_a_category_has_its_number():
    assert pictures.values_of([1, 3], 6, (0.0, 5.0)) == [
        ["0", "1", "2", "3", "4", "5"],
        ["0", "0", "1", "1", "2", "2"],
    ]


def built(name, **changes):
    data = datasets.load("dsprites", size=32)
    config = models.configure(name, "mini", changes)
    return models.build(name, config, DataInfo((1, 32, 32), len(data)), seed=0), data


def test_collapsed_codes_are_last_and_grey():
    """Codes 0 and 2 are moved by the image, the posterior of the others is N(0, 1) and has a KL of 0."""
    method, data = built("vae", codes=4)

    class Told(type(method)):
        def gaussians(self, images):
            mean = torch.zeros(len(images), 4)
            mean[:, [0, 2]] = torch.linspace(-3, 3, len(images))[:, None]
            return mean, torch.zeros(len(images), 4)

    method.__class__ = Told
    sheet = pictures.traversal(method, data, torch.device("cpu"), steps=3)
    assert list(sheet.labels) == ["z0", "z2", "z1", "z3"]
    assert list(sheet.dim) == [False, False, True, True]
    assert "collapsed, KL below 0.1 nats" in sheet.note
    row = pictures.starting_row(data)
    assert (sheet.start[::2, ::2, 0] == (data.images(np.array([row])).numpy()[0, 0] * 255).round()).all()


def test_categories_have_no_picture_that_they_start_from_and_a_code_of_uniform_prior_its_own_range():
    method, data = built("infogan", categorical="3", continuous="2")
    sheet = pictures.traversal(method, data, torch.device("cpu"), steps=3)
    assert list(sheet.labels) == ["c0", "c1", "k0"]
    assert sheet.heads == [["-1", "0", "1"]] * 2 + [["0", "1", "2"]]
    assert sheet.start is not None
    normal = dataclasses.replace(method.config, prior="normal")
    method.config = normal
    assert method.span() == (-2.0, 2.0)
    elastic, data = built("elastic_infogan")
    sheet = pictures.traversal(elastic, data, torch.device("cpu"), steps=10)
    assert sheet.start is None
    assert sheet.heads == [list("0123456789")]
