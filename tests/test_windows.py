"""Windows of a feature map, and the mask of shifted ones, against their definitions."""

from __future__ import annotations

import pytest
import torch

from zoo.layers.windows import shift_mask, to_map, to_tokens, window_partition, window_reverse

SIZES = [(16, 24), (8, 8), (24, 16)]


@pytest.mark.parametrize("window", [(8, 8), (4, 8), (2, 4)])
@pytest.mark.parametrize("size", SIZES)
def test_a_window_holds_its_pixels_in_row_major_order(size: tuple[int, int], window: tuple[int, int]) -> None:
    x = torch.arange(2 * 3 * size[0] * size[1]).view(2, 3, *size)
    tokens = window_partition(x, window)
    columns = size[1] // window[1]
    for index in (0, columns - 1, len(tokens) // 2 - 1):
        top, left = index // columns * window[0], index % columns * window[1]
        expected = x[0, :, top : top + window[0], left : left + window[1]].reshape(3, -1).T
        assert torch.equal(tokens[index], expected)
    assert torch.equal(window_reverse(tokens, window, size), x)


def test_tokens_and_map_undo_each_other() -> None:
    x = torch.randn(2, 5, 3, 4)
    tokens = to_tokens(x)
    assert torch.equal(tokens[1, 4 + 2], x[1, :, 1, 2])
    assert torch.equal(to_map(tokens, (3, 4)), x)


@pytest.mark.parametrize("size", SIZES)
def test_the_mask_separates_tokens_that_the_roll_brought_together(size: tuple[int, int]) -> None:
    window, shift = 8, 4
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    here = torch.stack((rows, columns))[None]
    origin = torch.roll(here, (-shift, -shift), dims=(2, 3))

    def offsets(coordinates: torch.Tensor) -> torch.Tensor:
        tokens = window_partition(coordinates, (window, window))
        return tokens[:, :, None] - tokens[:, None, :]

    kept_their_offset = (offsets(here) == offsets(origin)).all(dim=3)
    mask = shift_mask(size, window, shift, torch.device("cpu"))
    assert torch.equal(mask[:, 0] == 0, kept_their_offset)
    assert set(mask.unique().tolist()) == {0.0, -100.0}
