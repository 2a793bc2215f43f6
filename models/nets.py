"""The networks of the papers, for all methods."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from torch import nn

from disbench.errors import UsageError, argument
from disbench.models.layers import (
    LEAK,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Reshape,
    Spectral,
    batch_leaky,
    batch_relu,
    glorot,
    leaky,
    relu,
)


def mlp(sizes: list[int], activation: Callable[[], nn.Module], norm: bool = False) -> nn.Sequential:
    """Linear layers with an activation between them, but none at the end.

    Args:
        sizes: units of the input, of each hidden layer and of the output.
        activation: makes one.
        norm: whether a batch norm comes before each activation.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(n_in, n_out), *([BatchNorm1d(n_out)] if norm else []), activation()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def check_side(net: str, shape: tuple[int, int, int], multiple: int) -> None:
    """Refuse images that a net cannot halve as often as it must.

    Args:
        net: its name, for the message.
        shape: (c, h, w) of the images.
        multiple: what both sides must be multiples of.

    Raises:
        UsageError: height and width are not equal multiples of `multiple`.
    """
    _, h, w = shape
    if h != w or h % multiple:
        raise UsageError(
            f"the images are {h}x{w}, but {net} needs a square whose side is a multiple of "
            f"{multiple}; give {argument('size')} {-(-max(h, w) // multiple) * multiple}, or another net."
        )


# ---- encoders and decoders of the VAE family: (b, c, h, w) -> (b, out) and (b, d) -> logits (b, c, h, w)

# name: (channels, kernel sizes, hidden units of the encoder, hidden units of the decoder); all of stride 2
CONV = {
    "conv": ((32, 32, 64, 64), (4, 4, 4, 4), (128,), (128,)),  # Kim & Mnih 2018, as in FactorVAE's code ports
    "burgess": ((32, 32, 32, 32), (4, 4, 4, 4), (256, 256), (256, 256)),  # Burgess et al. 2018
    "dlib": ((32, 32, 64, 64), (4, 4, 2, 2), (256,), (256,)),  # disentanglement_lib
    "jointvae": ((32, 32, 64, 64), (4, 4, 4, 4), (256,), (256,)),  # Dupont 2018, 64x64
    "jointvae32": ((32, 64, 64), (4, 4, 4), (256,), (256,)),  # Dupont 2018, 32x32
    "mini": ((16, 16, 32), (4, 4, 4), (128,), (128,)),  # ours, for 32x32 on one core
}


def vae_nets(kind: str, shape: tuple[int, int, int], codes: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """Encoder (b, c, h, w) -> (b, outputs) and decoder (b, codes) -> logits (b, c, h, w).

    Args:
        kind: a key of `CONV`, or "mlp" for the fully connected nets of Higgins et al. 2017 (ReLU encoder
            1200-1200, tanh decoder 1200-1200-1200). "dlib" has the initial weights of its code too.
        shape: (c, h, w) of the images.
        codes: inputs of the decoder.
        outputs: outputs of the encoder.

    Raises:
        UsageError: the images do not fit the nets.
    """
    c, h, w = shape
    if kind == "mlp":
        encoder = nn.Sequential(nn.Flatten(), mlp([c * h * w, 1200, 1200, outputs], relu))
        decoder = nn.Sequential(mlp([codes, 1200, 1200, 1200, c * h * w], nn.Tanh), Reshape(c, h, w))
        return encoder, decoder

    channels, kernels, enc_hidden, dec_hidden = CONV[kind]
    check_side(f"the net {kind!r}", shape, 1 << len(channels))
    layers: list[nn.Module] = []
    for (n_in, n_out), k in zip(itertools.pairwise((c, *channels)), kernels, strict=True):
        layers += [Conv2d(n_in, n_out, k, stride=2, padding=(k - 2) // 2), relu()]
    h_last, w_last = h >> len(channels), w >> len(channels)
    flat = channels[-1] * h_last * w_last
    head = mlp([flat, *enc_hidden, outputs], relu)
    encoder = nn.Sequential(*layers, nn.Flatten(), head)

    back = (*channels[::-1], c)
    layers = [mlp([codes, *dec_hidden, flat], relu), relu(), Reshape(channels[-1], h_last, w_last)]
    for n_in, n_out in itertools.pairwise(back):
        layers += [ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), relu()]
    decoder = nn.Sequential(*layers[:-1])
    if kind == "dlib":
        glorot(encoder)
        glorot(decoder)
        # mean and log-variance are layers of their own there, each with `codes` outputs
        weights = head.get_parameter(f"{len(head) - 1}.weight").detach()
        for start in range(0, outputs, codes):
            nn.init.xavier_uniform_(weights[start : start + codes])
    return encoder, decoder


# ---- IB-GAN's networks; GAN and InfoGAN in its limits use them too


def check_ibgan(shape: tuple[int, int, int], base: int) -> None:
    """Refuse images that IB-GAN's nets cannot halve down to `base`.

    Raises:
        UsageError: the images are not square, or their side is not `base` doubled at least once.
    """
    _, h, w = shape
    sides = [base << i for i in range(1, 8)]
    if h != w or h not in sides:
        nearest = min(sides, key=lambda side: abs(side - max(h, w)))
        raise UsageError(
            f"the images are {h}x{w}, but IB-GAN's nets need a square whose side is base={base} doubled at "
            f"least once; give {argument('size')} {nearest}, or another base."
        )


def ibgan_generator(shape: tuple[int, int, int], inputs: int, width: int, base: int = 8) -> nn.Sequential:
    """(b, inputs) -> (b, c, h, w) in [-1, 1]; `base` is the side of the first feature map."""
    check_ibgan(shape, base)
    c, side, _ = shape
    doublings = int(math.log2(side // base))
    top = 4 * width
    layers: list[nn.Module] = [
        *(nn.Linear(inputs, 16 * width), *batch_relu(16 * width, 1)),
        *(nn.Linear(16 * width, top * base * base), *batch_relu(top * base * base, 1)),
        Reshape(top, base, base),
        *(ConvTranspose2d(top, top, 3, 1, 1, bias=False), *batch_relu(top, 2)),
        *(ConvTranspose2d(top, top, 3, 1, 1, bias=False), *batch_relu(top, 2)),
    ]
    channels = [max(top >> i, width) for i in range(doublings)]
    for n_in, n_out in itertools.pairwise(channels):
        layers += [ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False), *batch_relu(n_out, 2)]
    return nn.Sequential(*layers, ConvTranspose2d(channels[-1], c, 4, 2, 1), nn.Tanh())


def ibgan_head(
    shape: tuple[int, int, int],
    outputs: int,
    width: int,
    base: int = 8,
    spectral: bool = False,
    hidden: bool = False,
) -> nn.Sequential:
    """Discriminator or reconstructor: (b, c, h, w) in [-1, 1] -> (b, outputs).

    Args:
        shape: (c, h, w) of the images.
        outputs: of the last layer.
        width: channels of the first layer.
        base: side of the last feature map.
        spectral: spectral norm in every layer instead of batch norm.
        hidden: whether there is a 1x1 layer before the last, as in IB-GAN's reconstructor q.
    """
    check_ibgan(shape, base)
    c, side, _ = shape
    halvings = int(math.log2(side // base))
    channels = [width << i for i in range(halvings)]

    def block(
        n_in: int, n_out: int, kernel: int, stride: int, padding: int, bias: bool = False
    ) -> list[nn.Module]:
        conv = Conv2d(n_in, n_out, kernel, stride, padding, bias=bias or spectral)
        return [Spectral(conv), leaky()] if spectral else [conv, *batch_leaky(n_out)]

    first = Conv2d(c, width, 4, 2, 1)
    layers: list[nn.Module] = [Spectral(first) if spectral else first, leaky()]
    for n_in, n_out in itertools.pairwise(channels):
        layers += block(n_in, n_out, 4, 2, 1)
    layers += block(channels[-1], 2 * channels[-1], 3, 1, 1)
    layers += block(2 * channels[-1], 4 * channels[-1], base, 1, 0)
    if hidden:
        layers += block(4 * channels[-1], 4 * channels[-1], 1, 1, 0, bias=True)
    last = Conv2d(4 * channels[-1], outputs, 1)
    return nn.Sequential(*layers, Spectral(last) if spectral else last, nn.Flatten())


def ibgan_front(shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """The layers that D and q share on CelebA and 3D Chairs: (b, c, h, w) -> (b, 4 width, h / 8, w / 8)."""
    check_side("IB-GAN's shared front", shape, 8)
    return nn.Sequential(
        *(Conv2d(shape[0], width, 4, 2, 1), leaky()),
        *(Conv2d(width, 2 * width, 4, 2, 1, bias=False), *batch_leaky(2 * width)),
        *(Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False), *batch_leaky(4 * width)),
    )


def ibgan_front_head(side: int, outputs: int, width: int) -> nn.Sequential:
    """Discriminator or reconstructor on that front: (b, 4 width, side / 8, side / 8) -> (b, outputs)."""
    return nn.Sequential(
        *(Conv2d(4 * width, 4 * width, 3, 1, 1, bias=False), *batch_leaky(4 * width)),
        *(Conv2d(4 * width, 4 * width, 3, 1, 1, bias=False), *batch_leaky(4 * width)),
        *(Conv2d(4 * width, 16 * width, side // 8, bias=False), *batch_leaky(16 * width)),
        Conv2d(16 * width, outputs, 1),
        nn.Flatten(),
    )


# ---- InfoGAN's networks: "modified" (InfoGAN-CR's for dSprites), its own; MNIST also for Elastic-InfoGAN


def infogan_generator(shape: tuple[int, int, int], inputs: int, channels: tuple[int, ...]) -> nn.Sequential:
    """(b, inputs) -> logits (b, c, h, w); each (leaky) ReLU comes before its batch norm, as in its code."""
    check_side("InfoGAN's net 'modified'", shape, 1 << len(channels))
    c, side, _ = shape
    low = side >> len(channels)
    layers: list[nn.Module] = [
        *(nn.Linear(inputs, 128), relu(), BatchNorm1d(128)),
        *(nn.Linear(128, channels[0] * low * low), relu(), BatchNorm1d(channels[0] * low * low)),
        Reshape(channels[0], low, low),
    ]
    for n_in, n_out in itertools.pairwise(channels):
        layers += [ConvTranspose2d(n_in, n_out, 4, 2, 1), leaky(), BatchNorm2d(n_out)]
    return nn.Sequential(*layers, ConvTranspose2d(channels[-1], c, 4, 2, 1))


def infogan_trunk(shape: tuple[int, int, int], channels: tuple[int, ...]) -> nn.Sequential:
    """(b, c, h, w) -> (b, 128), spectrally normalised, no batch norm; see `spectral` for the iteration."""
    check_side("InfoGAN's net 'modified'", shape, 1 << len(channels))
    c, side, _ = shape
    low = side >> len(channels)
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise((c, *channels)):
        layers += [spectral(Conv2d(n_in, n_out, 4, 2, 1)), leaky()]
    return nn.Sequential(*layers, nn.Flatten(), spectral(nn.Linear(channels[-1] * low * low, 128)), leaky())


def infogan_pair_head(shape: tuple[int, int, int], channels: tuple[int, ...], outputs: int) -> nn.Sequential:
    """InfoGAN-CR's H: two images side by side as channels, (b, 2c, h, w) -> logits (b, outputs).

    The trunk's layers with weights of their own, and a last layer without spectral norm, as in its code.
    """
    c, h, w = shape
    return nn.Sequential(infogan_trunk((2 * c, h, w), channels), nn.Linear(128, outputs))


def infogan_q_head(outputs: int) -> nn.Sequential:
    """(b, 128) -> means of Q(c|x) and logits, (b, outputs)."""
    return nn.Sequential(spectral(nn.Linear(128, 128)), leaky(), spectral(nn.Linear(128, outputs)))


def spectral(layer: nn.Conv2d | nn.Linear) -> Spectral:
    """Spectral norm whose power iteration is the loss's affair: once per training step, as in their code."""
    return Spectral(layer, each_pass=False)


def mnist_generator(
    shape: tuple[int, int, int], inputs: int, width: int = 64, hidden: int = 1024
) -> nn.Sequential:
    """(b, inputs) -> pre-activations (b, c, h, w) of 28x28 or 32x32 images."""
    check_side("the net 'mnist'", shape, 4)
    c, side, _ = shape
    low = side // 4
    return nn.Sequential(
        *(nn.Linear(inputs, hidden), *batch_relu(hidden, 1)),
        *(nn.Linear(hidden, 2 * width * low * low), *batch_relu(2 * width * low * low, 1)),
        Reshape(2 * width, low, low),
        *(ConvTranspose2d(2 * width, width, 4, 2, 1), *batch_relu(width, 2)),
        ConvTranspose2d(width, c, 4, 2, 1),
    )


def mnist_trunk(
    shape: tuple[int, int, int], width: int = 64, hidden: int = 1024, leak: float = LEAK
) -> nn.Sequential:
    """(b, c, h, w) -> (b, hidden): the layers that D and Q share."""
    check_side("the net 'mnist'", shape, 4)
    c, side, _ = shape
    low = side // 4
    return nn.Sequential(
        *(Conv2d(c, width, 4, 2, 1), leaky(leak)),
        *(Conv2d(width, 2 * width, 4, 2, 1), *batch_leaky(2 * width, leak)),
        nn.Flatten(),
        *(nn.Linear(2 * width * low * low, hidden), BatchNorm1d(hidden), leaky(leak)),
    )


def svhn_generator(shape: tuple[int, int, int], inputs: int) -> nn.Sequential:
    """InfoGAN's for SVHN and CelebA: (b, inputs) -> pre-activations (b, c, h, w) of 32x32 images."""
    check_side("InfoGAN's net 'svhn'", shape, 16)
    c, side, _ = shape
    low = side // 16
    return nn.Sequential(
        *(nn.Linear(inputs, 448 * low * low), *batch_relu(448 * low * low, 1)),
        Reshape(448, low, low),
        *(ConvTranspose2d(448, 256, 4, 2, 1), *batch_relu(256, 2)),
        *(ConvTranspose2d(256, 128, 4, 2, 1), relu()),
        *(ConvTranspose2d(128, 64, 4, 2, 1), relu()),
        ConvTranspose2d(64, c, 4, 2, 1),
    )


def svhn_trunk(shape: tuple[int, int, int], leak: float) -> nn.Sequential:
    """(b, c, h, w) -> (b, 256 h w / 64): the layers that D and Q share on SVHN and CelebA."""
    check_side("InfoGAN's net 'svhn'", shape, 16)
    return nn.Sequential(
        *(Conv2d(shape[0], 64, 4, 2, 1), leaky(leak)),
        *(Conv2d(64, 128, 4, 2, 1), *batch_leaky(128, leak)),
        *(Conv2d(128, 256, 4, 2, 1), *batch_leaky(256, leak)),
        nn.Flatten(),
    )


def chairs_generator(shape: tuple[int, int, int], inputs: int) -> nn.Sequential:
    """InfoGAN's for 3D Chairs: (b, inputs) -> pre-activations (b, c, h, w) of 64x64 images.

    Of the layers of stride 1, one adds a row and a column and the next takes them away again.
    """
    check_side("InfoGAN's net 'chairs'", shape, 8)
    c, side, _ = shape
    low = side // 8
    return nn.Sequential(
        *(nn.Linear(inputs, 1024), *batch_relu(1024, 1)),
        *(nn.Linear(1024, 256 * low * low), *batch_relu(256 * low * low, 1)),
        Reshape(256, low, low),
        *(ConvTranspose2d(256, 256, 4, 1, 1), *batch_relu(256, 2)),
        *(ConvTranspose2d(256, 256, 4, 1, 2), *batch_relu(256, 2)),
        *(ConvTranspose2d(256, 128, 4, 2, 1), *batch_relu(128, 2)),
        *(ConvTranspose2d(128, 64, 4, 2, 1), *batch_relu(64, 2)),
        ConvTranspose2d(64, c, 4, 2, 1),
    )


def chairs_trunk(shape: tuple[int, int, int], leak: float, hidden: int = 1024) -> nn.Sequential:
    """(b, c, h, w) -> (b, hidden): the layers that D and Q share on 3D Chairs."""
    check_side("InfoGAN's net 'chairs'", shape, 8)
    c, side, _ = shape
    # two convolutions of stride 1 take a row and a column each
    low = side // 8 - 2
    layers: list[nn.Module] = [Conv2d(c, 64, 4, 2, 1), leaky(leak)]
    for n_in, n_out, stride in ((64, 128, 2), (128, 256, 2), (256, 256, 1), (256, 256, 1)):
        layers += [Conv2d(n_in, n_out, 4, stride, 1), *batch_leaky(n_out, leak)]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        *(nn.Linear(256 * low * low, hidden), BatchNorm1d(hidden), leaky(leak)),
    )


def mnist_q_head(hidden: int, outputs: int, middle: int = 128, leak: float = LEAK) -> nn.Sequential:
    """(b, hidden) -> parameters of Q(c|x), (b, outputs)."""
    return nn.Sequential(
        *(nn.Linear(hidden, middle), BatchNorm1d(middle), leaky(leak)), nn.Linear(middle, outputs)
    )
