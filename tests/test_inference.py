"""Inference rules on hand-made networks whose output says which piece it came from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from runner.inference import infer, pad_symmetric, sr_size
from tests.formula import formula_image
from zoo.contract import BadInput
from zoo.protocols import CropToMultiple, Inference, PadSymmetric, Quadrants, SelfEnsemble, Size, Whole

RULES: list[Inference] = [
    Whole(),
    PadSymmetric(8),
    PadSymmetric(64),
    Quadrants(),
    Quadrants(overlap_px=3, max_area_px=100),
    CropToMultiple(2),
    CropToMultiple(5),
]


class Nearest:
    """Nearest upsampling: a purely local network, so every rule must reproduce it. Records the sizes it sees."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.seen: list[Size] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(Size(*x.shape[2:]))
        return F.interpolate(x, scale_factor=self.scale, mode="nearest")


class PieceIndex(Nearest):
    """Gives the number of the call in every pixel: 0 for the first piece, 1 for the second, ..."""

    def __call__(self, x: Tensor) -> Tensor:
        index = len(self.seen)
        return torch.full_like(super().__call__(x), index)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule}")
@pytest.mark.parametrize("size", [(1, 1), (6, 5), (21, 40), (37, 64), (63, 19)], ids=str)
@pytest.mark.parametrize("scale", [2, 3])
def test_nearest_upsampling_is_reproduced(rule: Inference, size: tuple[int, int], scale: int) -> None:
    if isinstance(rule, CropToMultiple) and min(size) < rule.multiple_px:
        with pytest.raises(BadInput, match=rf"at least {rule.multiple_px} px"):
            infer(Nearest(scale), formula_image(*size), scale, rule)
        return
    lr = torch.cat([formula_image(*size), formula_image(*size).flip(2)])
    height, width = sr_size(Size(*size), scale, rule)
    whole = Nearest(scale)(lr)
    sr = infer(Nearest(scale), lr, scale, rule)
    assert sr.shape[2:] == (height, width)
    assert torch.equal(sr, whole[:, :, :height, :width])


def test_quadrants_divide_at_the_floor_of_half_and_overlap() -> None:
    network = PieceIndex(2)
    sr = infer(network, formula_image(41, 50), 2, Quadrants())
    assert network.seen == [(30, 35)] * 4
    expected = torch.empty(82, 100)
    expected[:40, :50], expected[:40, 50:], expected[40:, :50], expected[40:, 50:] = 0, 1, 2, 3
    assert torch.equal(sr[0, 0], expected)


def test_each_quadrant_sees_its_own_corner() -> None:
    """The mean of a piece is written into every pixel of it: it must be the mean of that corner of the LR image."""
    lr = formula_image(41, 50)
    sr = infer(lambda x: x.mean((2, 3), keepdim=True).expand_as(x), lr, 1, Quadrants())
    corners = [lr[:, :, :30, :35], lr[:, :, :30, 15:], lr[:, :, 11:, :35], lr[:, :, 11:, 15:]]
    for (y, x), corner in zip([(0, 0), (0, 49), (40, 0), (40, 49)], corners, strict=True):
        torch.testing.assert_close(sr[0, :, y, x], corner.mean((2, 3))[0], rtol=0, atol=0)


def test_a_piece_of_the_maximal_area_is_quartered_again() -> None:
    """30x35 = 1050 LR pixels: run as it is when the limit is 1051, cut into 25x27 pieces when it is 1050."""
    rule_at, rule_above = Quadrants(max_area_px=1050), Quadrants(max_area_px=1051)
    at, above = PieceIndex(2), PieceIndex(2)
    infer(above, formula_image(41, 50), 2, rule_above)
    sr = infer(at, formula_image(41, 50), 2, rule_at)
    assert above.seen == [(30, 35)] * 4
    assert at.seen == [(25, 27)] * 16
    # The first piece is rows 0..29 and columns 0..34 of LR, halved at 15 and 17; 20 and 25 halve the image.
    assert sr[0, 0, 0, [0, 33, 34, 49, 50]].tolist() == [0, 0, 1, 1, 4]
    assert sr[0, 0, [0, 29, 30, 39, 40], 0].tolist() == [0, 0, 2, 2, 8]


def test_the_default_limit_is_that_of_the_published_chop() -> None:
    network = PieceIndex(1)
    infer(network, torch.zeros(1, 3, 780, 780), 1, Quadrants())
    assert network.seen == [(210, 210)] * 16
    network = PieceIndex(1)
    infer(network, torch.zeros(1, 3, 778, 780), 1, Quadrants())
    assert network.seen == [(399, 400)] * 4


def test_a_narrow_image_ends_the_recursion() -> None:
    network = Nearest(1)
    infer(network, torch.zeros(1, 3, 4, 4), 1, Quadrants(overlap_px=10, max_area_px=1))
    assert network.seen == [(4, 4)] * 4


def test_symmetric_padding_repeats_the_edge() -> None:
    x = torch.tensor([[0.0, 1, 2], [3, 4, 5]]).view(1, 1, 2, 3)
    padded = pad_symmetric(x, bottom=3, right=4)[0, 0]
    assert padded[0].tolist() == [0, 1, 2, 2, 1, 0, 0]
    assert padded[:, 0].tolist() == [0, 3, 3, 0, 0]


@pytest.mark.parametrize(("size", "seen"), [((33, 40), (64, 64)), ((64, 32), (64, 32))], ids=str)
def test_padding_is_the_least_that_reaches_the_multiple(size: tuple[int, int], seen: tuple[int, int]) -> None:
    network = Nearest(2)
    infer(network, formula_image(*size), 2, PadSymmetric(32))
    assert network.seen == [seen]


def test_cropping_shows_the_network_only_the_multiple() -> None:
    network = Nearest(2)
    infer(network, formula_image(37, 64), 2, CropToMultiple(2))
    assert network.seen == [(36, 64)]


def test_self_ensemble_is_the_mean_of_eight_turned_back() -> None:
    """A network that is no symmetric function: twice the image, plus its own row number."""

    def slope(x: Tensor) -> Tensor:
        up = F.interpolate(x, scale_factor=2, mode="nearest")
        return up + torch.arange(up.shape[2], dtype=x.dtype)[:, None]

    lr = formula_image(6, 10)
    turned = []
    for quarter in range(4):
        for mirrored in (False, True):
            there = torch.rot90(lr.flip(3) if mirrored else lr, quarter, (2, 3))
            back = torch.rot90(slope(there), -quarter, (2, 3))
            turned.append(back.flip(3) if mirrored else back)
    assert torch.allclose(infer(slope, lr, 2, SelfEnsemble()), torch.stack(turned).mean(0), atol=1e-6)
    for inner in RULES[:5]:
        assert torch.allclose(infer(Nearest(3), lr, 3, SelfEnsemble(inner)), Nearest(3)(lr), atol=1e-6)


def test_self_ensemble_keeps_the_part_that_its_rule_crops() -> None:
    rule = SelfEnsemble(CropToMultiple(4))
    lr = formula_image(7, 10)
    assert sr_size(Size(7, 10), 2, rule) == Size(8, 16)
    assert torch.allclose(infer(Nearest(2), lr, 2, rule), Nearest(2)(lr[:, :, :4, :8]), atol=1e-6)
