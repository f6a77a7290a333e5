"""Square and rectangular windows of an NCHW map as tokens, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def window_partition(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(n, c, h, w) -> (n * windows, tokens, c), windows and the tokens inside one in row-major order.

    `window` is (height, width); h and w must be multiples of it.
    """
    n, c, h, w = x.shape
    wh, ww = window
    x = x.view(n, c, h // wh, wh, w // ww, ww)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, wh * ww, c)


def window_reverse(tokens: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Undo `window_partition`: (n * windows, tokens, c) -> (n, c, h, w) with `size` = (h, w)."""
    (wh, ww), (h, w) = window, size
    c = tokens.shape[-1]
    x = tokens.view(-1, h // wh, w // ww, wh, ww, c)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, c, h, w)


def to_tokens(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, h*w, c), row-major."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `to_tokens`: (n, h*w, c) -> (n, c, h, w) with `size` = (h, w)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *size)


def shift_mask(size: tuple[int, int], window: int, shift: int, device: torch.device) -> Tensor:
    """Swin's mask (windows, 1, tokens, tokens) for a map rolled by -shift: -100 between tokens that were no neighbours.

    `size` (h, w) must be a multiple of `window`. The mask is added to attention logits.
    """

    def region(length: int) -> Tensor:
        position = torch.arange(length, device=device)
        return (position >= length - window).int() + (position >= length - shift).int()

    regions = 3 * region(size[0])[:, None] + region(size[1])[None, :]
    tokens = window_partition(regions[None, None], (window, window))
    return ((tokens != tokens.transpose(1, 2)).float() * -100.0)[:, None]
