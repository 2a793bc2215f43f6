"""Sizes and layers of the published networks, and sides that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from disbench.errors import UsageError
from disbench.models import DataInfo, build, configure, get, layers, nets
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
    # disentanglement_lib, counted by hand: convolutions 544 + 16,416 + 8,256 + 16,448, then 1024-256-20;
    # back from 10-256-1024, deconvolutions 65,600 + 32,800 + 16,416 + 513
    ("vae", "dlib", DSPRITES, {"encoder": 309_204, "decoder": 381_313}),
    ("betavae", "dlib", DSPRITES, {"encoder": 309_204, "decoder": 381_313}),
    ("annealedvae", "dlib", DSPRITES, {"encoder": 309_204, "decoder": 381_313}),
    ("dipvae", "dlib", DSPRITES, {"encoder": 309_204, "decoder": 381_313}),
    ("betatcvae", "dlib", DSPRITES, {"encoder": 309_204, "decoder": 381_313}),
    # with a sixth hidden layer in D
    ("factorvae", "dlib", DSPRITES, {"encoder": 309_204, "decoder": 381_313, "d": 5_018_002}),
    ("annealedvae", "paper", DSPRITES, {"encoder": 252_052, "decoder": 249_953}),
    # JointVAE, counted by hand: convolutions 544 + 16,416 + 32,832 + 65,600, then 1024-256-15;
    # back from 9-256-1024, deconvolutions 65,600 + 32,800 + 16,416 + 513
    ("jointvae", "paper", DSPRITES, {"encoder": 381_647, "decoder": 381_057}),
    # for 32x32: convolutions 544 + 32,832 + 65,600, then 1024-256-30; back from 20-256-1024, and 49,184 more
    # in the decoder than with the authors' deconvolutions, 32,800 + 16,416 + 513: see its Deviations
    ("jointvae", "mnist", (1, 32, 32), {"encoder": 369_086, "decoder": 318_273 + 49_184}),
    (
        "elastic_infogan",
        "paper",
        MNIST,
        {"g": 6_650_433, "trunk": 6_558_144, "d": 1_025, "q": 132_746, "prior": 10},
    ),
    # InfoGAN's own: 74 inputs instead of Elastic-InfoGAN's 72, and 12 outputs of Q instead of 10
    ("infogan", "mnist", MNIST, {"g": 6_650_433 + 2 * 1024, "trunk": 6_558_144, "q": 132_746 + 2 * 129}),
    # InfoGAN for SVHN, counted by hand: 168 x 1792 + 3 x 1792, deconvolutions of 448-256-128-64-3 with two
    # batch norms; convolutions of 3-64-128-256; Q 4096-128-44
    (
        "infogan",
        "svhn",
        (3, 32, 32),
        {
            "g": 168 * 1792 + 3 * 1792 + 16 * (448 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 451 + 512,
            "trunk": 16 * (3 * 64 + 64 * 128 + 128 * 256) + 448 + 768,
            "d": 4_097,
            "q": 4096 * 128 + 3 * 128 + 128 * 44 + 44,
        },
    ),
    # for chairs: 189-1024-16384, deconvolutions of 256-256-256-128-64-1; D ends at 6x6, then 9216-1024
    (
        "infogan",
        "chairs",
        DSPRITES,
        {
            "g": 189 * 1024
            + 1024 * 16384
            + 3 * (1024 + 16384)
            + 16 * (2 * 256 * 256 + 256 * 128 + 128 * 64 + 64)
            + 705
            + 2 * 704,
            "trunk": 16 * (64 + 64 * 128 + 128 * 256 + 2 * 256 * 256)
            + 960
            + 2 * 896
            + 9216 * 1024
            + 3 * 1024,
            "d": 1_025,
            "q": 1024 * 128 + 3 * 128 + 128 * 61 + 61,
        },
    ),
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


def described(module):
    """The layers of a net in their order: outputs, kernel, stride and padding; "-": no bias."""
    match module:
        case nn.Sequential():
            return ", ".join(text for part in module for text in [described(part)] if text)
        case layers.Spectral():
            return f"spectral {described(module.layer)}"
        case nn.Linear():
            return f"linear {module.out_features}"
        case nn.Conv2d() | nn.ConvTranspose2d():
            kind = "deconv" if isinstance(module, nn.ConvTranspose2d) else "conv"
            (kernel,), (stride,), (padding,) = map(set, (module.kernel_size, module.stride, module.padding))
            text = f"{kind} {module.out_channels} {kernel}/{stride}/{padding}"
            return text if module.bias is not None else f"{text} -"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return "batch"
        case nn.LeakyReLU():
            return f"leaky {module.negative_slope}"
        case layers.Reshape():
            return f"reshape {'x'.join(map(str, module.shape))}"
    return {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Flatten: "flatten", nn.Identity: "identity"}[type(module)]


IBGAN_D = (
    "conv 16 4/2/1, leaky 0.2, conv 32 4/2/1 -, batch, leaky 0.2, conv 64 4/2/1 -, batch, leaky 0.2, "
    "conv 128 3/1/1 -, batch, leaky 0.2, conv 256 8/1/0 -, batch, leaky 0.2, "
)
IBGAN_G = (
    "linear 256, batch, relu, linear 4096, batch, relu, reshape 64x8x8, deconv 64 3/1/1 -, batch, relu, "
    "deconv 64 3/1/1 -, batch, relu, deconv 32 4/2/1 -, batch, relu, deconv 16 4/2/1 -, batch, relu, "
    "deconv 1 4/2/1, tanh"
)
MNIST_G = (
    "linear 1024, batch, relu, linear 6272, batch, relu, reshape 128x7x7, deconv 64 4/2/1, batch, relu, "
    "deconv 1 4/2/1"
)
CONV_DECODER = (
    "reshape 64x4x4, deconv 64 4/2/1, relu, deconv 32 4/2/1, relu, deconv 32 4/2/1, relu, deconv 1 4/2/1"
)

INFOGAN_TRUNK = (
    "spectral conv 32 4/2/1, leaky 0.2, spectral conv 32 4/2/1, leaky 0.2, "
    "spectral conv 64 4/2/1, leaky 0.2, spectral conv 64 4/2/1, leaky 0.2, "
    "flatten, spectral linear 128, leaky 0.2"
)

LAYERS = [
    # method, config, image, net: layers as in the paper or in the authors' code
    ("ibgan", "paper", DSPRITES, "e", "linear 32, relu, linear 32, relu, linear 20"),
    ("ibgan", "paper", DSPRITES, "g", IBGAN_G),
    ("ibgan", "paper", DSPRITES, "d", IBGAN_D + "conv 1 1/1/0, flatten"),
    (
        *("ibgan", "paper", DSPRITES, "q"),
        IBGAN_D + "conv 256 1/1/0, batch, leaky 0.2, conv 16 1/1/0, flatten",
    ),
    (
        *("ibgan", "celeba", COLOUR, "e"),
        "linear 64, batch, relu, linear 64, batch, relu, linear 32, batch, relu, linear 30",
    ),
    (
        *("ibgan", "celeba", COLOUR, "front"),
        "conv 64 4/2/1, leaky 0.2, conv 128 4/2/1 -, batch, leaky 0.2, conv 256 4/2/1 -, batch, leaky 0.2",
    ),
    (
        *("ibgan", "celeba", COLOUR, "d"),
        "conv 256 3/1/1 -, batch, leaky 0.2, conv 256 3/1/1 -, batch, leaky 0.2, "
        "conv 1024 8/1/0 -, batch, leaky 0.2, conv 1 1/1/0, flatten",
    ),
    (
        *("infogan", "paper", DSPRITES, "g"),
        "linear 128, relu, batch, linear 1024, relu, batch, reshape 64x4x4, "
        "deconv 64 4/2/1, leaky 0.2, batch, deconv 32 4/2/1, leaky 0.2, batch, "
        "deconv 32 4/2/1, leaky 0.2, batch, deconv 1 4/2/1",
    ),
    ("infogan", "paper", DSPRITES, "trunk", INFOGAN_TRUNK),
    ("infogan", "paper", DSPRITES, "d", "spectral linear 1"),
    ("infogan", "paper", DSPRITES, "q", "spectral linear 128, leaky 0.2, spectral linear 5"),
    ("infogan_cr", "paper", DSPRITES, "h", f"{INFOGAN_TRUNK}, linear 5"),
    ("infogan", "mnist", MNIST, "g", MNIST_G),
    (
        *("infogan", "mnist", MNIST, "trunk"),
        "conv 64 4/2/1, leaky 0.01, conv 128 4/2/1, batch, leaky 0.01, flatten, "
        "linear 1024, batch, leaky 0.01",
    ),
    ("infogan", "mnist", MNIST, "d", "linear 1"),
    ("infogan", "mnist", MNIST, "q", "linear 128, batch, leaky 0.01, linear 12"),
    (
        *("infogan", "svhn", (3, 32, 32), "g"),
        "linear 1792, batch, relu, reshape 448x2x2, deconv 256 4/2/1, batch, relu, "
        "deconv 128 4/2/1, relu, deconv 64 4/2/1, relu, deconv 3 4/2/1",
    ),
    (
        *("infogan", "chairs", DSPRITES, "trunk"),
        "conv 64 4/2/1, leaky 0.1, conv 128 4/2/1, batch, leaky 0.1, conv 256 4/2/1, batch, leaky 0.1, "
        "conv 256 4/1/1, batch, leaky 0.1, conv 256 4/1/1, batch, leaky 0.1, flatten, "
        "linear 1024, batch, leaky 0.1",
    ),
    ("elastic_infogan", "paper", MNIST, "g", MNIST_G),
    (
        *("elastic_infogan", "paper", MNIST, "trunk"),
        "conv 64 4/2/1, leaky 0.2, conv 128 4/2/1, batch, leaky 0.2, flatten, linear 1024, batch, leaky 0.2",
    ),
    ("elastic_infogan", "paper", MNIST, "q", "linear 128, batch, leaky 0.2, linear 10"),
    (
        *("vae", "paper", DSPRITES, "encoder"),
        "conv 32 4/2/1, relu, conv 32 4/2/1, relu, conv 64 4/2/1, relu, conv 64 4/2/1, relu, flatten, "
        "linear 128, relu, linear 20",
    ),
    ("vae", "paper", DSPRITES, "decoder", f"linear 128, relu, linear 1024, relu, {CONV_DECODER}"),
    (
        *("vae", "dlib", DSPRITES, "encoder"),
        "conv 32 4/2/1, relu, conv 32 4/2/1, relu, conv 64 2/2/0, relu, conv 64 2/2/0, relu, flatten, "
        "linear 256, relu, linear 20",
    ),
    ("vae", "dlib", DSPRITES, "decoder", f"linear 256, relu, linear 1024, relu, {CONV_DECODER}"),
    (
        *("annealedvae", "paper", DSPRITES, "encoder"),
        "conv 32 4/2/1, relu, conv 32 4/2/1, relu, conv 32 4/2/1, relu, conv 32 4/2/1, relu, flatten, "
        "linear 256, relu, linear 256, relu, linear 20",
    ),
    (
        *("betavae", "higgins2017", DSPRITES, "encoder"),
        "flatten, linear 1200, relu, linear 1200, relu, linear 20",
    ),
    (
        *("betavae", "higgins2017", DSPRITES, "decoder"),
        "linear 1200, tanh, linear 1200, tanh, linear 1200, tanh, linear 4096, reshape 1x64x64",
    ),
    ("factorvae", "paper", DSPRITES, "d", "linear 1000, leaky 0.2, " * 5 + "linear 2"),
    (
        *("jointvae", "paper", DSPRITES, "encoder"),
        "conv 32 4/2/1, relu, conv 32 4/2/1, relu, conv 64 4/2/1, relu, conv 64 4/2/1, relu, flatten, "
        "linear 256, relu, linear 15",
    ),
    ("jointvae", "paper", DSPRITES, "decoder", f"linear 256, relu, linear 1024, relu, {CONV_DECODER}"),
]


@pytest.mark.parametrize(("name", "config", "shape", "net", "expected"), LAYERS)
def test_a_network_has_the_layers_of_its_paper(name, config, shape, net, expected):
    with torch.device("meta"):
        method = get(name)(configure(name, config), DataInfo(shape, 737_280))
    assert described(getattr(method, net)) == expected


STUDY = ("vae", "betavae", "annealedvae", "factorvae", "dipvae", "betatcvae")


@pytest.mark.parametrize("name", STUDY)
def test_the_settings_dlib_share_optimiser_steps_and_batch(name):
    config = configure(name, "dlib")
    assert (config.nets, config.codes, config.optimizer) == ("dlib", 10, "adam")
    assert (config.lr, config.steps, config.batch) == (1e-4, 300_000, 64)


@pytest.mark.parametrize("name", ["betavae", "factorvae"])
def test_the_nets_of_dlib_start_as_in_its_code(name):
    """Glorot-uniform; mean and log-variance as layers of their own (together: a bound of sqrt(6 / 276))."""
    method = build(name, configure(name, "dlib"), DataInfo(DSPRITES, 100), 0)
    for key, value in method.named_parameters():
        assert key.endswith("weight") or not value.any(), key
    first, last = method.encoder[0].weight, method.encoder[-1][-1].weight
    assert first.abs().max().item() == pytest.approx((6 / (16 + 512)) ** 0.5, rel=0.02)
    for head in last.split(10):
        assert (6 / 276) ** 0.5 < head.abs().max().item() <= (6 / 266) ** 0.5
    if name == "factorvae":
        assert method.d[2].weight.abs().max().item() == pytest.approx((6 / 2000) ** 0.5, rel=0.01)


def gains(module):
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    return torch.cat([layer.weight.detach() for layer in module.modules() if isinstance(layer, norms)])


def test_the_gains_of_infogan_for_mnist_begin_as_in_its_code():
    """openai/InfoGAN, `custom_ops.py`: N(1, 0.02). In Elastic-InfoGAN's code they begin at 1."""
    data = DataInfo(MNIST, 100)
    own = build("infogan", configure("infogan", "mnist"), data, 0)
    assert gains(own).mean().item() == pytest.approx(1.0, abs=0.002)
    assert gains(own).std().item() == pytest.approx(0.02, rel=0.05)
    elastic = build("elastic_infogan", configure("elastic_infogan", "paper"), data, 0)
    assert (gains(elastic) == 1).all()


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
        ("infogan", "svhn", (3, 24, 24)),
        ("infogan", "chairs", (1, 28, 28)),
        ("elastic_infogan", "mini", (1, 30, 30)),
    ],
)
def test_an_image_that_does_not_fit_the_nets_is_refused(name, config, shape):
    with pytest.raises(UsageError, match=f"images are {shape[1]}x{shape[2]}"):
        build(name, configure(name, config), DataInfo(shape, 100), 0)
