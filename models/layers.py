"""Layers that torch lacks in the form needed here, and the small ones that the networks are built from."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2  # slope of the leaky ReLUs in the GANs here, unless a paper has another


class Reshape(nn.Module):
    """(b, ...) -> (b, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        # not its length, which an export for any number of images would take for a constant
        return x.reshape(x.shape[0], *self.shape)


def rows(x: Tensor) -> Tensor:
    """(b, c, h, w) as (b, h w c): no copy where the channels lie last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1)


def whole(layer: nn.Conv2d, x: Tensor) -> bool:
    """Whether the kernel is as large as the image, so that the convolution is one matrix product."""
    return layer.padding == (0, 0) and layer.kernel_size == x.shape[2:]


FEW = 4  # channels: as many as an image has at most


def paints(weight: Tensor, stride: tuple[int, ...], padding: tuple[int | str, ...] | str) -> bool:
    """Whether `spread` can compute this layer or its gradient: an image from feature maps, or the reverse.

    For images of one channel oneDNN takes five times as long as `spread`, for three twice as long. On a GPU,
    these layers took up to half of a step of many stacked seeds while cuDNN computed them.
    """
    return (
        weight.shape[1] <= FEW
        and weight.shape[2:] == (4, 4)
        and tuple(stride) == (2, 2)
        and tuple(padding) == (1, 1)
    )


def by_onednn(x: Tensor) -> bool:
    """Whether oneDNN computes the convolutions of `x`."""
    return x.device.type == "cpu"


def autocast(x: Tensor, *weights: Tensor | None) -> list[Tensor | None]:
    """The tensors in the precision that autocast has for products, as torch's own layers take theirs."""
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        return [x, *weights]
    return [None if each is None else each.to(torch.get_autocast_dtype(kind)) for each in (x, *weights)]


def written_down() -> bool:
    """Whether torch records the operations for a file (TorchScript, ONNX, torch.export).

    ONNX's exporter by tracing loses what `spread` adds within a view, without a word; and a layer of torch's
    is known wherever such a file is read.
    """
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return traced or torch.compiler.is_compiling()


def spread(features: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution (4x4, stride 2, padding 1): (b, n, h, w), (n, c, 4, 4) -> (b, c, 2h, 2w).

    One matrix product gives each kernel position its picture; each pixel is the sum of four of them.
    """
    b, n, h, w = features.shape
    c = weight.shape[1]
    kernels = weight.permute(1, 2, 3, 0).reshape(c * 16, n)
    pictures = (kernels @ features.permute(0, 2, 3, 1).reshape(-1, n).T).view(c, 4, 4, b, h, w)
    # rows 2i of the image take kernel row 1 at i and 3 at i - 1, rows 2i + 1 take 2 at i and 0 at i + 1
    even_odd = pictures[:, 1:3]
    even_odd[:, 0, :, :, 1:] += pictures[:, 3, :, :, :-1]
    even_odd[:, 1, :, :, :-1] += pictures[:, 0, :, :, 1:]
    # and columns likewise
    image = even_odd[:, :, 1:3]
    image[:, :, 0, :, :, 1:] += even_odd[:, :, 3, :, :, :-1]
    image[:, :, 1, :, :, :-1] += even_odd[:, :, 0, :, :, 1:]
    return image.permute(3, 0, 4, 1, 5, 2).reshape(b, c, 2 * h, 2 * w)


def patches(image: Tensor) -> Tensor:
    """What a kernel (4x4, stride 2, padding 1) sees: (b, c, 2h, 2w) -> (b, 16 c, h w)."""
    windows = F.pad(image, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)
    b, c, h, w, _, _ = windows.shape
    return windows.permute(0, 1, 4, 5, 2, 3).reshape(b, 16 * c, h * w)


def gather(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution (4x4, stride 2, padding 1): (b, c, 2h, 2w), (n, c, 4, 4), (n,) -> (b, n, h, w)."""
    if by_onednn(image):
        return F.conv2d(image, weight, bias, 2, 1)
    b, _, h, w = image.shape
    features = (weight.flatten(1) @ patches(image)).view(b, len(weight), h // 2, w // 2)
    return features if bias is None else features + bias[:, None, None]


def gather_gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of weight and bias of `gather`.

    Args:
        gradient: of the output, (b, n, h, w).
        image: the input, (b, c, 2h, 2w).
        weight: (n, c, 4, 4).
        bias: whether there is a bias.
    """
    if not by_onednn(image):
        of_weight = (gradient.flatten(2) @ patches(image).transpose(1, 2)).sum(0).view(weight.shape)
        return of_weight, gradient.sum((0, 2, 3)) if bias else None
    sizes, mask = [len(weight)] if bias else None, [False, True, bias]
    _, of_weight, of_bias = torch.ops.aten.convolution_backward(
        gradient, image, weight, sizes, [2, 2], [1, 1], [1, 1], False, [0, 0], 1, mask
    )
    return of_weight, of_bias


def added(*terms: Tensor | None) -> Tensor | None:
    """The sum of those that are there."""
    there = [term for term in terms if term is not None]
    return sum(there[1:], there[0]) if there else None


class Gather(torch.autograd.Function):
    """`gather`, whose gradient with respect to the image is `spread`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return gather(image, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        image, weight, bias = inputs
        ctx.save_for_backward(image, weight)
        ctx.save_for_forward(image, weight)
        ctx.bias = bias is not None

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        image, weight = ctx.saved_tensors
        of_image, of_weight, _ = ctx.needs_input_grad
        learned = gather_gradients(gradient, image, weight, ctx.bias) if of_weight else (None, None)
        return spread(gradient, weight) if of_image else None, *learned

    @staticmethod
    def jvp(
        ctx: Any, of_image: Tensor | None, of_weight: Tensor | None, of_bias: Tensor | None
    ) -> Tensor | None:
        image, weight = ctx.saved_tensors
        b, _, h, w = image.shape
        return added(
            None if of_image is None else gather(of_image, weight),
            None if of_weight is None else gather(image, of_weight),
            None if of_bias is None else of_bias[:, None, None].expand(b, -1, h // 2, w // 2),
        )


class Spread(torch.autograd.Function):
    """`spread`, whose gradient is `gather`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(features: Tensor, weight: Tensor) -> Tensor:
        return spread(features, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, of_features: Tensor | None, of_weight: Tensor | None) -> Tensor | None:
        features, weight = ctx.saved_tensors
        return added(
            None if of_features is None else spread(of_features, weight),
            None if of_weight is None else spread(features, of_weight),
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        features, weight = ctx.saved_tensors
        learned = gather_gradients(features, gradient, weight, False)[0] if ctx.needs_input_grad[1] else None
        return gather(gradient, weight), learned


def conv2d(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    """The layer's output for `x`, with this weight in place of its own."""
    if whole(layer, x):
        return F.linear(rows(x), rows(weight), layer.bias)[:, :, None, None]
    # of these, oneDNN is slow with the gradient of the image alone
    faster = (x.requires_grad or not by_onednn(x)) and paints(weight, layer.stride, layer.padding)
    if faster and not written_down():
        gathered: Tensor = Gather.apply(*autocast(x, weight, layer.bias))  # type: ignore[no-untyped-call]
        return gathered
    return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding)


class Conv2d(nn.Conv2d):
    """A convolution, faster for a kernel as large as its image, and on a CPU for the gradient of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(self, x, self.weight)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's transposed convolution, by `spread` where that is faster."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if written_down() or not paints(self.weight, self.stride, self.padding):
            return super().forward(x, output_size)
        image: Tensor = Spread.apply(*autocast(x, self.weight))  # type: ignore[no-untyped-call]
        return image if self.bias is None else image + self.bias[:, None, None]


class BatchNorm1d(nn.BatchNorm1d):
    """torch's, in the precision of its weights: mapped over seeds, torch's takes no other."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, in the precision of its weights: mapped over seeds, torch's takes no other."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class Spectral(nn.Module):
    """A convolution or linear layer whose weight is divided by an estimate of its largest singular value.

    One step of power iteration per forward pass in training mode, none in evaluation (Miyato et al. 2018,
    arXiv:1802.05957). torch's own version writes with `out=` and cannot be stacked over seeds; this one can.

    Args:
        layer: whose weight it is.
        each_pass: False for no power iteration in a forward pass: a loss calls `power_iteration`.
    """

    u: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, each_pass: bool = True) -> None:
        super().__init__()
        self.layer, self.each_pass = layer, each_pass
        self.register_buffer("u", F.normalize(torch.randn(layer.weight.shape[0]), dim=0))

    def flat(self) -> Tensor:
        """The weight as a matrix, (outputs, inputs)."""
        weight = self.layer.weight
        return rows(weight) if weight.dim() == 4 else weight

    def stretch(self) -> Tensor:
        """W v, (outputs,), of v = W^T u normalised: its length is the estimate, its direction the next u."""
        flat = self.flat()
        return flat @ F.normalize(flat.detach().T @ self.u, dim=0)

    @torch.no_grad()
    def turn(self, stretched: Tensor) -> None:
        """Take the direction of `stretched` as u."""
        self.u.copy_(stretched / torch.linalg.vector_norm(stretched))

    def forward(self, x: Tensor) -> Tensor:
        layer, weight, bias = self.layer, self.layer.weight, self.layer.bias
        stretched = self.stretch()
        # u W v; its gradient is the outer product of u and v
        sigma = torch.linalg.vector_norm(stretched)
        if self.training and self.each_pass:
            self.turn(stretched)
        if isinstance(layer, nn.Conv2d) and not whole(layer, x):
            return conv2d(layer, x, weight / sigma)
        products: Tensor = F.linear(x if weight.dim() == 2 else rows(x), self.flat())
        # there are fewer products than weights to divide
        y: Tensor = products / sigma + bias
        return y if weight.dim() == 2 else y[:, :, None, None]


def power_iteration(*modules: nn.Module) -> None:
    """One step of power iteration in each spectral norm within `modules`."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, Spectral):
                layer.turn(layer.stretch())


def initialise(
    module: nn.Module,
    kind: str = "dcgan",
    std: float = 0.02,
    gain_std: float = 0.0,
    truncated: bool = False,
) -> None:
    """Weights N(0, std) as in DCGAN, or orthogonal; biases 0.

    DCGAN's 0.02 suits its 64 channels. With a quarter of them, the first images of G are nearly grey and may
    stay so: batch norm hides low contrast from D.

    Args:
        module: its linear and convolutional layers are set.
        kind: "dcgan" or "orthogonal".
        std: of the weights, for "dcgan".
        gain_std: of the gains of its batch norms, around 1.
        truncated: whether the weights of its convolutions, but not of its transposed ones, are drawn again
            where they lie beyond two standard deviations: TensorFlow's truncated normal.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if kind == "orthogonal":
                nn.init.orthogonal_(layer.weight)
            elif truncated and isinstance(layer, nn.Conv2d):
                nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std)
            else:
                nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif gain_std and isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, gain_std)


def glorot(module: nn.Module) -> None:
    """Uniform weights of variance 2 / (inputs + outputs), and biases 0: TensorFlow's default layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def parameter_count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def relu() -> nn.ReLU:
    """A ReLU in place, which saves 1 to 3 % of a step: what it is given, no other layer may read."""
    return nn.ReLU(inplace=True)


def leaky(leak: float = LEAK) -> nn.LeakyReLU:
    """Likewise a leaky ReLU; its slope is by default that of the GANs here."""
    return nn.LeakyReLU(leak, inplace=True)


def batch_relu(n: int, dims: int) -> list[nn.Module]:
    """Batch norm of `n` units (dims 1) or channels (dims 2), then a ReLU."""
    return [BatchNorm1d(n) if dims == 1 else BatchNorm2d(n), relu()]


def batch_leaky(n: int, leak: float = LEAK) -> list[nn.Module]:
    """Batch norm of `n` channels, then a leaky ReLU."""
    return [BatchNorm2d(n), leaky(leak)]
