"""Square and rectangular windows of an NCHW map as tokens, and back."""

from __future__ import annotations

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
