"""Self-ensemble: the mean over the eight flips and transposes of an image, whatever runs each of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from torch import Tensor


def self_ensemble(run: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
    """Mean of `run` on the eight symmetries of `lr` (n, 3, h, w), each result turned back; one is held at a time.

    Gradient mode is the caller's. Source: Lim et al., CVPRW 2017, section 4.
    """
    total: Tensor | None = None
    for down, across, transposed in product((False, True), repeat=3):
        axes = [axis for axis, flipped in ((2, down), (3, across)) if flipped]
        turned = lr.flip(axes)
        # Some networks reshape by memory order, so each gets its input in the usual one.
        sr = run((turned.transpose(2, 3) if transposed else turned).contiguous())
        back = (sr.transpose(2, 3) if transposed else sr).flip(axes)
        total = back.clone() if total is None else total.add_(back)
    assert total is not None, "there are eight symmetries"
    return total.div_(8)
