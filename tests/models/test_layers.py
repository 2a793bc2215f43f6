"""Each layer against torch's own one, the spectral norm, and initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, hessian, jacfwd, jacrev

from disbench.models import layers


def test_the_largest_singular_value_becomes_one():
    torch.manual_seed(0)
    linear, conv = nn.Linear(7, 5), nn.Conv2d(3, 6, 4, 2, 1)
    for layer, x in ((linear, torch.randn(2, 7)), (conv, torch.randn(2, 3, 8, 8))):
        spectral = layers.Spectral(layer)
        for _ in range(1000):
            spectral(x)
        sigma = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
        got = spectral(x)
        layer.weight.data /= sigma
        torch.testing.assert_close(got, layer(x))


def test_the_power_iteration_rests_in_evaluation():
    torch.manual_seed(0)
    spectral = layers.Spectral(nn.Linear(4, 3))
    start = spectral.u.clone()
    spectral.eval()(torch.ones(1, 4))
    assert torch.equal(spectral.u, start)
    spectral.train()(torch.ones(1, 4))
    assert not torch.equal(spectral.u, start)


def gradients(y, *inputs):
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return torch.autograd.grad((y * weights).sum(), inputs)


@pytest.fixture(params=["CPU", "GPU"])
def way(request, monkeypatch):
    """The ways of both devices, computed here."""
    monkeypatch.setattr(layers, "by_onednn", lambda x: request.param == "CPU")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_painted_the_quick_way_is_the_transposed_convolution(channels):
    layer = layers.ConvTranspose2d(5, channels, 4, 2, 1).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    assert layers.paints(layer.weight, layer.stride, layer.padding)
    plain = nn.functional.conv_transpose2d(x, layer.weight, layer.bias, 2, 1)
    torch.testing.assert_close(layer(x), plain)
    inputs = (x, layer.weight, layer.bias)
    torch.testing.assert_close(gradients(layer(x), *inputs), gradients(plain, *inputs))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_image_of_the_onnx_file_is_that_of_the_layer(tmp_path):
    """ONNX's exporter by tracing loses sums within a view, and says nothing."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    layer = layers.ConvTranspose2d(3, 1, 4, 2, 1).eval().requires_grad_(False)
    x, file = torch.randn(2, 3, 4, 4), tmp_path / "layer.onnx"
    torch.onnx.export(layer, (x,), str(file), dynamo=False)
    session = runtime.InferenceSession(str(file))
    (image,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.as_tensor(image), layer(x))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_the_gradient_of_an_image_is_that_of_the_convolution(channels, bias):
    layer = layers.Conv2d(channels, 5, 4, 2, 1, bias=bias).double()
    x = torch.randn(2, channels, 8, 12, dtype=torch.float64, requires_grad=True)
    plain = nn.functional.conv2d(x, layer.weight, layer.bias, 2, 1)
    torch.testing.assert_close(layer(x), plain)
    inputs = (x, *layer.parameters())
    torch.testing.assert_close(gradients(layer(x), *inputs), gradients(plain, *inputs))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "layer", [layers.ConvTranspose2d(5, 1, 4, 2, 1).double(), layers.Conv2d(1, 5, 4, 2, 1).double()]
)
def test_derivatives_forwards_are_those_backwards(layer):
    """As of a decoder by its latents: few inputs, many outputs; and second ones, forwards over backwards."""
    x = torch.randn(layer.in_channels, 4, 4, dtype=torch.float64)
    given = {name: parameter.detach() for name, parameter in layer.named_parameters()}

    def output(x, given):
        return functional_call(layer, given, (x[None],))[0]

    forwards, backwards = (way(output, argnums=(0, 1))(x, given) for way in (jacfwd, jacrev))
    torch.testing.assert_close(forwards, backwards)
    twice = hessian(lambda x: output(x, given).pow(3).sum())(x)
    torch.testing.assert_close(twice, jacrev(jacrev(lambda x: output(x, given).pow(3).sum()))(x))


@pytest.mark.parametrize("alone", ["image", "weight", "bias"])
def test_a_derivative_forwards_by_one_input_alone(alone):
    given = {"image": torch.randn(2, 1, 8, 8), "weight": torch.randn(5, 1, 4, 4), "bias": torch.randn(5)}
    change = torch.randn(given[alone].shape)
    with forward_ad.dual_level():
        dual = {**given, alone: forward_ad.make_dual(given[alone], change)}
        found = forward_ad.unpack_dual(layers.Gather.apply(*dual.values())).tangent
        plain = forward_ad.unpack_dual(nn.functional.conv2d(*dual.values(), 2, 1)).tangent
    torch.testing.assert_close(found, plain)


def test_what_a_kernel_sees_by_hand():
    """Of an image of 1 to 16: zeros around it, and each pixel in four windows."""
    seen = layers.patches(torch.arange(1.0, 17).reshape(1, 1, 4, 4))
    assert seen.shape == (1, 16, 4)
    assert seen[0, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11]
    assert seen[0, :, 3].tolist() == [6, 7, 8, 0, 10, 11, 12, 0, 14, 15, 16, 0, 0, 0, 0, 0]


def test_one_pixel_painted_by_hand():
    """Kernel position (k, l) of a transposed convolution of stride 2 and padding 1 lands on 2i - 1 + k."""
    features = torch.zeros(1, 1, 3, 3)
    features[0, 0, 1, 2] = 1
    weight = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    image = torch.zeros(6, 6)
    image[1:5, 3:6] = weight[0, 0, :, :3]  # the last column falls outside
    assert torch.equal(layers.spread(features, weight)[0, 0], image)


def test_a_kernel_as_large_as_its_image_is_still_the_convolution():
    layer = layers.Conv2d(3, 5, 4).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    plain = nn.functional.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), plain)
    torch.testing.assert_close(gradients(layer(x), layer.weight), gradients(plain, layer.weight))


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(2, 4, 3, 1, 1), nn.Conv2d(2, 4, 4)])
def test_the_spectral_norm_is_that_of_the_paper(layer):
    """Algorithm 1: v = W'u and u = Wv, normalised and constant; then the layer with W / (u'Wv)."""
    x = torch.randn(3, *((6,) if layer.weight.dim() == 2 else (2, 4, 4)), dtype=torch.float64)
    ours = layers.Spectral(layer).double()
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
    layers.initialise(net, "dcgan")
    assert net[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert net[0].weight.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert not net[0].bias.any()
    assert (net[1].weight == 1).all()
    layers.initialise(net, "orthogonal")
    torch.testing.assert_close(net[0].weight @ net[0].weight.T, torch.eye(200), atol=1e-5, rtol=0)
    flat = net[2].weight.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(10), atol=1e-5, rtol=0)


def test_gains_of_batch_norms_start_around_one_where_asked():
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(2000), nn.BatchNorm2d(2000))
    layers.initialise(net, gain_std=0.02)
    for norm in net:
        assert norm.weight.mean().item() == pytest.approx(1.0, abs=0.002)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not norm.bias.any()


def test_glorot_weights_by_hand():
    """Uniform up to sqrt(6 / (inputs + outputs)); in a convolution both count once per kernel position."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(300, 200), nn.Conv2d(30, 10, 4), nn.ConvTranspose2d(30, 10, 4))
    layers.glorot(net)
    for layer, fans in zip(net, (300 + 200, 16 * (30 + 10), 16 * (30 + 10)), strict=True):
        assert layer.weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=0.01)
        assert layer.weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.05)
        assert not layer.bias.any()
