"""Send an LR image of any size through a network by the rule of its evaluation (`zoo.protocols.Inference`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import assert_never

import torch
from torch import Tensor

from runner.self_ensemble import self_ensemble
from zoo.contract import BadInput
from zoo.protocols import CropToMultiple, Inference, PadSymmetric, Quadrants, SelfEnsemble, Size, Tiled, Whole

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
        case Tiled():
            return _infer_tiled(network, lr, scale, rule)
        case SelfEnsemble(inner):
            # Cut once: a flipped image would lose its other border.
            height, width = cropped_lr_size(Size(*lr.shape[2:]), inner)
            return self_ensemble(lambda turned: infer(network, turned, scale, inner), lr[:, :, :height, :width])
        case _:
            assert_never(rule)


def cropped_lr_size(lr: Size, rule: Inference) -> Size:
    """The part of an LR size that `rule` evaluates, anchored at the top left. Raises BadInput if nothing is left."""
    if isinstance(rule, SelfEnsemble):
        return cropped_lr_size(lr, rule.inner)
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


def _infer_tiled(network: Network, lr: Tensor, scale: int, rule: Tiled) -> Tensor:
    """Each tile with its halo on its own; the result is filled in place, so one tile is in memory at a time."""
    if rule.tile_px < 1 or rule.halo_px < 0 or rule.align_px < 1 or rule.halo_px % rule.align_px:
        raise BadInput(
            f"Tiles of {rule.tile_px} px with {rule.halo_px} px around, aligned to {rule.align_px}, cannot be cut. "
            f"Pass at least 1, 0 and 1, and a halo that is a multiple of the alignment."
        )
    n, channels, height, width = lr.shape
    sr = lr.new_empty(n, channels, height * scale, width * scale)
    for rows, rows_seen in _spans(height, rule):
        for columns, columns_seen in _spans(width, rule):
            part = network(lr[:, :, rows_seen, columns_seen])
            top, left = (rows.start - rows_seen.start) * scale, (columns.start - columns_seen.start) * scale
            tall, wide = (rows.stop - rows.start) * scale, (columns.stop - columns.start) * scale
            sr[:, :, rows.start * scale : rows.stop * scale, columns.start * scale : columns.stop * scale] = part[
                :, :, top : top + tall, left : left + wide
            ]
    return sr


def _spans(side: int, rule: Tiled) -> list[tuple[slice, slice]]:
    """Each tile of a side, and what the network is shown for it. Tiles share the side evenly, so that none is tiny."""
    # Aligned marks move down, which can widen a tile by less than the alignment.
    usable_px = max(rule.align_px, rule.tile_px - rule.tile_px % rule.align_px)
    count = -(-side // usable_px)
    inner = [side * index // count // rule.align_px * rule.align_px for index in range(1, count)]
    marks = sorted({0, *inner, side})
    return [
        (slice(begin, end), slice(max(0, begin - rule.halo_px), min(side, end + rule.halo_px)))
        for begin, end in pairwise(marks)
    ]
