"""Each transformation against pictures and numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from disbench.models.transformations import cut_out, rotate_crop_zoom, translate

T = torch.tensor
SIDE = 28
PICTURES = torch.rand(3, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
RAMP = ((torch.arange(SIDE) + 0.5) / SIDE).expand(1, 1, SIDE, SIDE)


def turned(x, degrees, zoom=0.0):
    """By whole degrees up to 20: u in [-1, 1) falls into one of 21 parts on each side."""
    turn = math.copysign((abs(degrees) + 0.5) / 21, degrees)
    n = len(x)
    return rotate_crop_zoom(x, torch.full((n,), turn), torch.full((n,), zoom), 20, 0.1)


def test_no_movement_leaves_the_image_as_it_is():
    torch.testing.assert_close(turned(PICTURES, 0), PICTURES, rtol=1e-5, atol=1e-5)


# Augmentor 0.2.12 on 28x28: width and height of the rectangle that it crops and enlarges
CROPPED = {1: (28, 28), 5: (26, 26), 10: (24, 24), 15: (22, 20), 20: (20, 16)}


@pytest.mark.parametrize("degrees", CROPPED)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_turn_enlarges_what_it_crops_to_the_whole_image(degrees, sign):
    """A pixel across is width / 28 source pixels along (cos, sin), one down height / 28 along (-sin, cos)."""
    width, height = CROPPED[degrees]
    angle = sign * math.radians(degrees)
    for picture, across, down in (
        (RAMP, width * math.cos(angle), -height * math.sin(angle)),
        (RAMP.mT, width * math.sin(angle), height * math.cos(angle)),
    ):
        out = turned(picture, sign * degrees)[0, 0]
        assert SIDE * (out[14, 22] - out[14, 6]).item() == pytest.approx(16 * across / SIDE, abs=0.1)
        assert SIDE * (out[22, 14] - out[6, 14]).item() == pytest.approx(16 * down / SIDE, abs=0.1)


def test_angles_are_whole_degrees_and_zero_is_as_likely_as_one_and_minus_one_together():
    def part(turn):
        return rotate_crop_zoom(PICTURES[:1], T([turn]), torch.zeros(1), 20, 0.1)

    edge = 1 / 21
    assert torch.equal(part(-edge + 0.001), part(edge - 0.001))
    assert torch.equal(part(edge + 0.001), part(2 * edge - 0.001))
    assert not torch.equal(part(edge + 0.001), part(edge - 0.001))
    # the ends belong to the last part
    assert torch.equal(part(-1.0), part(-1.0 + 0.001))


def test_a_zoom_is_about_the_centre_and_black_beside_a_smaller_image():
    """A factor of 0.9 makes 25 pixels of 28, with 2 black ones before and 1 behind; 1.1 makes 31."""
    small = turned(torch.ones(1, 1, SIDE, SIDE), 0, zoom=-1.0)[0, 0]
    assert (small[:, 3:26] > 0.9).all(dim=1).sum() == 23 + 2
    assert small[0].max() == small[:, 0].max() == 0
    assert small[-1].max() < 0.1
    large = turned(RAMP, 0, zoom=1.0)[0, 0]
    assert SIDE * (large[14, 22] - large[14, 6]).item() == pytest.approx(16 * 28 / 31, abs=0.1)


def test_each_image_is_moved_by_its_own_numbers():
    turn, zoom = T([-0.9, 0.1, 0.7]), T([0.2, -0.8, 0.9])
    together = rotate_crop_zoom(PICTURES, turn, zoom, 20, 0.1)
    alone = rotate_crop_zoom(PICTURES[1:2], turn[1:2], zoom[1:2], 20, 0.1)
    torch.testing.assert_close(together[1:2], alone)
    assert 0 <= together.min() <= together.max() <= 1


def test_translation_moves_by_whole_pixels_up_to_an_eighth_and_fills_with_black():
    x = PICTURES[:, :, :16, :16].clone().requires_grad_()
    moved = translate(x, T([[1.0, 0.0], [0.0, -1.0], [0.1, -0.1]]), black=-1.0)
    torch.testing.assert_close(moved[0, :, 2:], x[0, :, :-2])
    assert (moved[0, :, :2] == -1).all()
    torch.testing.assert_close(moved[1, :, :, :-2], x[1, :, :, 2:])
    assert (moved[1, :, :, -2:] == -1).all()
    torch.testing.assert_close(moved[2], x[2])
    (gradient,) = torch.autograd.grad(moved[0].sum(), x)
    assert gradient[0, :, :-2].eq(1).all()
    assert gradient[0, :, -2:].eq(0).all()


def test_a_cutout_is_a_square_of_half_the_side():
    x = PICTURES[:2, :, :16, :16].clone().requires_grad_()
    cut = cut_out(x, T([[0.0, 0.0], [-1.0, -1.0]]), black=-1.0)
    black = (cut == -1).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(black, T([1 / 4, 1 / 16]))
    assert (cut[0, :, 4:12, 4:12] == -1).all()
    assert (cut[1, :, :4, :4] == -1).all()
    (gradient,) = torch.autograd.grad(cut.sum(), x)
    assert torch.equal(gradient == 0, cut == -1)
