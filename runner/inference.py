"""Send an LR image of any size through a network by the rule of its evaluation (`zoo.protocols.Inference`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor

from zoo.contract import BadInput
from zoo.protocols import CropToMultiple, Inference, PadSymmetric, Quadrants, Size, Whole

Network = Callable[[Tensor], Tensor]
"""(n, 3, h, w) -> (n, 3, h*scale, w*scale)."""


def infer(network: Network, lr: Tensor, scale: int, rule: Inference) -> Tensor:
    """SR of `lr` (n, 3, h, w) by `rule`: (n, 3, h*scale, w*scale), or of the cropped LR under CropToMultiple.

    The size of the result is `sr_size` in every case, so a caller crops HR to that. Gradient mode is the caller's.
    Raises BadInput on an LR without pixels left after cropping.
    """
    match rule:
        case Whole():
            return network(lr)
        case PadSymmetric(multiple_px):
            height, width = lr.shape[2:]
            padded = pad_symmetric(lr, bottom=-height % multiple_px, right=-width % multiple_px)
            return network(padded)[:, :, : height * scale, : width * scale]
        case Quadrants():
            return _infer_quadrants(network, lr, scale, rule)
        case CropToMultiple():
            height, width = cropped_lr_size(Size(*lr.shape[2:]), rule)
            return network(lr[:, :, :height, :width])
        case _:
            assert_never(rule)


def cropped_lr_size(lr: Size, rule: Inference) -> Size:
    """The part of an LR size that `rule` evaluates, anchored at the top left. Raises BadInput if nothing is left."""
    if not isinstance(rule, CropToMultiple):
        return lr
    cropped = Size(*(side - side % rule.multiple_px for side in lr))
    if not min(cropped):
        raise BadInput(
            f"An LR image of {lr} has no multiple of {rule.multiple_px} px in a side, so cropping leaves nothing. "
            f"Pass LR sides of at least {rule.multiple_px} px."
        )
    return cropped


def sr_size(lr: Size, scale: int, rule: Inference) -> Size:
    """Size of what `infer` returns for an LR size, and of the HR part to compare it with. Raises BadInput."""
    return Size(*(side * scale for side in cropped_lr_size(lr, rule)))


def pad_symmetric(x: Tensor, *, bottom: int, right: int) -> Tensor:
    """Mirror `x` (n, c, h, w) with the edge repeated, by any number of pixels, at the bottom and right."""
    rows, columns = (_mirrored(side, more, x.device) for side, more in zip(x.shape[2:], (bottom, right), strict=True))
    return x[:, :, rows][:, :, :, columns]


def _mirrored(side: int, more: int, device: torch.device) -> Tensor:
    """0 1 2 2 1 0 0 1 ...: source index of each of `side + more` pixels."""
    there_and_back = torch.arange(side + more, device=device) % (2 * side)
    return torch.minimum(there_and_back, 2 * side - 1 - there_and_back)


def _infer_quadrants(network: Network, lr: Tensor, scale: int, rule: Quadrants) -> Tensor:
    """The chop of EDSR's test code with FDIWN's numbers: four pieces in the order of reading, no blending."""
    height, width = lr.shape[2:]
    half = Size(height // 2, width // 2)
    # An image narrower than two overlaps has pieces as large as itself; cutting those again would never end.
    piece = Size(min(height, half.height + rule.overlap_px), min(width, half.width + rule.overlap_px))
    again = piece.height * piece.width >= rule.max_area_px and piece != (height, width)

    def run(top: int, left: int) -> Tensor:
        part = lr[:, :, top : top + piece.height, left : left + piece.width]
        return _infer_quadrants(network, part, scale, rule) if again else network(part)

    # Each piece gives the pixels on its own side of the halving lines.
    upper, lower = slice(0, half.height * scale), slice((piece.height - (height - half.height)) * scale, None)
    left, right = slice(0, half.width * scale), slice((piece.width - (width - half.width)) * scale, None)
    bottom_row, right_column = height - piece.height, width - piece.width
    top_half = [run(0, 0)[:, :, upper, left], run(0, right_column)[:, :, upper, right]]
    bottom_half = [run(bottom_row, 0)[:, :, lower, left], run(bottom_row, right_column)[:, :, lower, right]]
    return torch.cat([torch.cat(top_half, dim=3), torch.cat(bottom_half, dim=3)], dim=2)
