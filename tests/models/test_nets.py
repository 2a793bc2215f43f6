"""Sizes of the published networks, and sides that do not fit."""

from __future__ import annotations

import pytest
import torch

from disbench.errors import UsageError
from disbench.models import DataInfo, build, configure, get, nets
from disbench.models.layers import parameter_count

DSPRITES, MNIST, COLOUR = (1, 64, 64), (1, 28, 28), (3, 64, 64)

COUNTS = [
    # method, config, image, parts: number of parameters
    ("ibgan", "paper", DSPRITES, {"e": 2_260, "g": 1_179_489, "d": 2_213_329, "q": 2_283_488}),
    ("gan", "paper", DSPRITES, {"g": 1_179_489, "d": 2_213_329}),
    ("infogan", "limit", DSPRITES, {"g": 1_179_489, "d": 2_213_329}),
    ("infogan", "paper", DSPRITES, {"g": 251_393, "trunk d q": 263_878}),
    ("vae", "paper", DSPRITES, {"encoder": 249_172, "decoder": 248_833}),
    ("betavae", "paper", DSPRITES, {"encoder": 249_172, "decoder": 248_833}),
    ("betavae", "burgess", DSPRITES, {"encoder": 252_052, "decoder": 249_953}),
    ("betavae", "higgins2017", DSPRITES, {"encoder": 6_381_620, "decoder": 7_814_896}),
    ("betatcvae", "paper", DSPRITES, {"encoder": 6_381_620, "decoder": 7_814_896}),
    # D of FactorVAE: 10 x 1000 + 4 x 1000 x 1000 + 1000 x 2 weights, 5 x 1000 + 2 biases
    ("factorvae", "paper", DSPRITES, {"encoder": 249_172, "decoder": 248_833, "d": 4_017_002}),
    # JointVAE, counted by hand: convolutions 544 + 16,416 + 32,832 + 65,600, then 1024-256-15;
    # back from 9-256-1024, deconvolutions 65,600 + 32,800 + 16,416 + 513
    ("jointvae", "paper", DSPRITES, {"encoder": 381_647, "decoder": 381_057}),
    (
        "elastic_infogan",
        "paper",
        MNIST,
        {"g": 6_650_433, "trunk": 6_558_144, "d": 1_025, "q": 132_746, "prior": 10},
    ),
    # InfoGAN's own: 74 inputs instead of Elastic-InfoGAN's 72, and 12 outputs of Q instead of 10
    ("infogan", "mnist", MNIST, {"g": 6_650_433 + 2 * 1024, "trunk": 6_558_144, "q": 132_746 + 2 * 129}),
    # IB-GAN with a shared front of width 64, counted by hand: 3 x 64 x 16 + 64, then 64 x 128 x 16 + 256 and
    # 128 x 256 x 16 + 512; each head 2 (256 x 256 x 9 + 512) + 256 x 1024 x 64 + 2048 + 1025 per output
    ("ibgan", "celeba", COLOUR, {"front": 659_264, "d": 17_960_961, "q": 17_959_936 + 64 * 1025}),
]


@pytest.mark.parametrize(("name", "config", "shape", "parts"), COUNTS)
def test_a_full_size_network_has_as_many_parameters_as_published(name, config, shape, parts):
    settings = {"nets": "burgess"} if config == "burgess" else {}
    config = "paper" if config == "burgess" else config
    with torch.device("meta"):
        method = get(name)(configure(name, config, settings), DataInfo(shape, 737_280))
    counted = {
        part: sum(parameter_count(getattr(method, module)) for module in part.split()) for part in parts
    }
    assert counted == parts


@pytest.mark.parametrize("kind", [*nets.CONV, "mlp"])
def test_decoders_give_back_the_shape_of_the_image(kind):
    shape = (3, 32, 32)
    encoder, decoder = nets.vae_nets(kind, shape, 4, 9)
    assert encoder(torch.zeros(2, *shape)).shape == (2, 9)
    assert decoder(torch.zeros(2, 4)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("vae", "paper", (1, 28, 28)),
        ("vae", "paper", (1, 64, 32)),
        ("gan", "paper", (1, 28, 28)),
        ("gan", "paper", (1, 8, 8)),
        ("ibgan", "celeba", (3, 28, 28)),
        ("infogan", "paper", (1, 28, 28)),
        ("infogan", "mnist", (1, 30, 30)),
        ("elastic_infogan", "mini", (1, 30, 30)),
    ],
)
def test_an_image_that_does_not_fit_the_nets_is_refused(name, config, shape):
    with pytest.raises(UsageError, match=f"images are {shape[1]}x{shape[2]}"):
        build(name, configure(name, config), DataInfo(shape, 100), 0)
