"""Sizes of the published networks, the spectral norm, initial weights, and sides that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from disbench.errors import UsageError
from disbench.models import DataInfo, build, configure, get, nets

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
        part: sum(nets.parameter_count(getattr(method, module)) for module in part.split()) for part in parts
    }
    assert counted == parts


def test_the_largest_singular_value_becomes_one():
    torch.manual_seed(0)
    linear, conv = nn.Linear(7, 5), nn.Conv2d(3, 6, 4, 2, 1)
    for layer, x in ((linear, torch.randn(2, 7)), (conv, torch.randn(2, 3, 8, 8))):
        spectral = nets.Spectral(layer)
        for _ in range(1000):
            spectral(x)
        sigma = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
        got = spectral(x)
        layer.weight.data /= sigma
        torch.testing.assert_close(got, layer(x))


def test_the_power_iteration_rests_in_evaluation():
    torch.manual_seed(0)
    spectral = nets.Spectral(nn.Linear(4, 3))
    start = spectral.u.clone()
    spectral.eval()(torch.ones(1, 4))
    assert torch.equal(spectral.u, start)
    spectral.train()(torch.ones(1, 4))
    assert not torch.equal(spectral.u, start)


def gradients(y, *inputs):
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return torch.autograd.grad((y * weights).sum(), inputs)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_painted_the_quick_way_is_the_transposed_convolution(channels):
    layer = nets.ConvTranspose2d(5, channels, 4, 2, 1).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    assert nets.paints(layer.weight, layer.stride, layer.padding)
    plain = nn.functional.conv_transpose2d(x, layer.weight, layer.bias, 2, 1)
    torch.testing.assert_close(layer(x), plain)
    inputs = (x, layer.weight, layer.bias)
    torch.testing.assert_close(gradients(layer(x), *inputs), gradients(plain, *inputs))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_the_gradient_of_an_image_is_that_of_the_convolution(channels, bias):
    layer = nets.Conv2d(channels, 5, 4, 2, 1, bias=bias).double()
    x = torch.randn(2, channels, 8, 12, dtype=torch.float64, requires_grad=True)
    plain = nn.functional.conv2d(x, layer.weight, layer.bias, 2, 1)
    torch.testing.assert_close(layer(x), plain)
    inputs = (x, *layer.parameters())
    torch.testing.assert_close(gradients(layer(x), *inputs), gradients(plain, *inputs))


def test_one_pixel_painted_by_hand():
    """Kernel position (k, l) of a transposed convolution of stride 2 and padding 1 lands on 2i - 1 + k."""
    features = torch.zeros(1, 1, 3, 3)
    features[0, 0, 1, 2] = 1
    weight = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    image = torch.zeros(6, 6)
    image[1:5, 3:6] = weight[0, 0, :, :3]  # the last column falls outside
    assert torch.equal(nets.spread(features, weight)[0, 0], image)


def test_a_kernel_as_large_as_its_image_is_still_the_convolution():
    layer = nets.Conv2d(3, 5, 4).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    plain = nn.functional.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), plain)
    torch.testing.assert_close(gradients(layer(x), layer.weight), gradients(plain, layer.weight))


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(2, 4, 3, 1, 1), nn.Conv2d(2, 4, 4)])
def test_the_spectral_norm_is_that_of_the_paper(layer):
    """Algorithm 1: v = W'u and u = Wv, normalised and constant; then the layer with W / (u'Wv)."""
    x = torch.randn(3, *((6,) if layer.weight.dim() == 2 else (2, 4, 4)), dtype=torch.float64)
    ours = nets.Spectral(layer).double()
    weight = layer.weight.detach().clone().requires_grad_()
    flat = weight.flatten(1)
    v = nn.functional.normalize(flat.detach().T @ ours.u, dim=0)
    u = nn.functional.normalize(flat.detach() @ v, dim=0)
    plain = functional_call(layer, {"weight": weight / (u @ flat @ v)}, x)
    found = ours(x)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(gradients(found, layer.weight), gradients(plain, weight))
    torch.testing.assert_close(ours.u, u)


def test_weights_start_as_in_dcgan_or_orthogonal():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(300, 200), nn.BatchNorm1d(200), nn.Conv2d(30, 10, 3))
    nets.initialise(net, "dcgan")
    assert net[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert net[0].weight.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert not net[0].bias.any()
    assert (net[1].weight == 1).all()
    nets.initialise(net, "orthogonal")
    torch.testing.assert_close(net[0].weight @ net[0].weight.T, torch.eye(200), atol=1e-5, rtol=0)
    flat = net[2].weight.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(10), atol=1e-5, rtol=0)


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
