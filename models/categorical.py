"""Categorical codes: Gumbel noise, relaxed samples, one-hot rows, and their form in a representation."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

CategoryCode = Literal["argmax", "probabilities"]
"""Form of a categorical code in `represent`: one column of integers, or one column per category."""


def gumbel_noise(*shape: int, generator: torch.Generator) -> Tensor:
    """Samples of Gumbel(0, 1): -log of a standard exponential."""
    return -torch.empty(shape, device=generator.device).exponential_(generator=generator).log()


def gumbel_softmax(log_p: Tensor, g: Tensor, tau: float) -> Tensor:
    """A relaxed one-hot sample (B, K) of the categorical exp(log_p): softmax((log p + g) / tau).

    Jang, Gu & Poole 2017, arXiv:1611.01144, eq. 2. Its largest entry is an exact sample (Gumbel-max).
    """
    return ((log_p + g) / tau).softmax(1)


def uniform_prior(sizes: tuple[int, ...], like: Tensor) -> Tensor | None:
    """Equal shares of the categories of the first code, (K,); None where there is no code.

    Args:
        sizes: number of categories of each code.
        like: a tensor of the dtype and device wanted.
    """
    return like.new_full((sizes[0],), 1 / sizes[0]) if sizes else None


def category_codes(blocks: list[Tensor], kind: CategoryCode) -> list[Tensor]:
    """Blocks of logits, (B, K) each, as columns of a representation: (B, 1) or (B, K) each."""
    if kind == "argmax":
        return [block.argmax(1, keepdim=True).to(block.dtype) for block in blocks]
    return [block.softmax(1) for block in blocks]


def one_hot_rows(blocks: list[Tensor], code: int) -> Tensor:
    """One-hot blocks (B, K_i) side by side, once for every category of one of them.

    Args:
        blocks: one per code, (B, K_i) each.
        code: position of the block that takes every category in turn.

    Returns:
        (K_code, B, sum K).
    """
    k = blocks[code].shape[1]
    ones = torch.eye(k, dtype=blocks[code].dtype, device=blocks[code].device)
    return torch.stack(
        [torch.cat([*blocks[:code], one.expand_as(blocks[code]), *blocks[code + 1 :]], 1) for one in ones]
    )


def one_hot(block: Tensor) -> Tensor:
    """The largest entry of each row of (B, K) as a one-hot row."""
    return F.one_hot(block.argmax(1), block.shape[1]).to(block.dtype)
