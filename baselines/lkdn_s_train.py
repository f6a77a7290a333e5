"""LKDN-S as it is trained, with parallel branches, and the algebra that folds them into the deployed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.lkdn import FOLDER_URL, LKDN, PAPER, lkdn_s
from zoo.contract import Deploys, ModelSpec, Weights
from zoo.layers.convolution import BSConv

NUM_FEAT: Final = 42
NUM_BLOCK: Final = 5
REFINING_LAYERS: Final = tuple(f"B{b}.c{i}_r" for b in range(1, NUM_BLOCK + 1) for i in (1, 2, 3))
"""Keys of the layers that carry extra branches in training."""


class BranchedBSConv(BSConv):
    """BSConv with an identity beside `pw`, and an identity and a depthwise 1x1 beside `dw`."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(num_feat, num_feat)
        self.rep1x1 = nn.Conv2d(num_feat, num_feat, 1, groups=num_feat)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pw(x) + x
        return self.dw(y) + y + self.rep1x1(y)


class BranchedUpsampler(nn.Module):
    """Sum of a 1x1, a 3x3, and a 1x1 to twice the width followed by a 3x3; then pixel shuffle."""

    def __init__(self, num_feat: int, scale: int) -> None:
        super().__init__()
        out_channels = 3 * scale**2
        self.conv1 = nn.Conv2d(num_feat, out_channels, 1)
        self.conv3 = nn.Conv2d(num_feat, out_channels, 3, padding=1)
        self.conv1x1 = nn.Conv2d(num_feat, 2 * num_feat, 1)
        self.conv3x3 = nn.Conv2d(2 * num_feat, out_channels, 3)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        # Functional calls as in the released code: counters that hook modules (thop) do not see these two.
        bias = self.conv1x1.bias
        assert bias is not None
        wide = F.conv2d(x, self.conv1x1.weight, bias)
        # The border holds the bias, which is what the 1x1 makes of a zero pixel: so the folding is exact there too.
        border = bias.view(1, -1, 1, 1)
        wide = F.pad(wide - border, (1, 1, 1, 1)) + border
        deep = F.conv2d(wide, self.conv3x3.weight, self.conv3x3.bias)
        return self.shuffle(self.conv1(x) + self.conv3(x) + deep)


class TrainingLKDNS(LKDN):
    """LKDN with branches; its fast form is the deployed one."""

    def fast_form(self) -> nn.Module:
        """The branches folded."""
        return reparameterise(self)


def lkdn_s_train() -> LKDN:
    """LKDN-S (x4) in its training form, with its own initialisation."""
    return TrainingLKDNS(
        scale=4,
        num_feat=NUM_FEAT,
        num_block=NUM_BLOCK,
        refine=BranchedBSConv,
        upsampler=BranchedUpsampler(NUM_FEAT, scale=4),
    )


def reparameterise(training: LKDN) -> LKDN:
    """The deployed LKDN-S with the function of a training-form one; folded in float64, then as it was."""
    with torch.device("meta"):
        deployed = lkdn_s()
    deployed.load_state_dict(fold_branches(training.state_dict()), strict=True, assign=True)
    return deployed.train(training.training)


def fold_branches(training: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the deployed form from that of the training form, in the same dtype."""
    dtype = next(iter(training.values())).dtype
    exact = {key: value.double() for key, value in training.items()}
    folded = {key: value for key, value in exact.items() if "rep1x1" not in key and not key.startswith("upsampler.")}
    for layer in REFINING_LAYERS:
        width = exact[f"{layer}.dw.bias"].numel()
        identity = torch.eye(width, dtype=torch.float64, device=exact[f"{layer}.pw.weight"].device)
        folded[f"{layer}.pw.weight"] = exact[f"{layer}.pw.weight"] + identity.view(width, width, 1, 1)
        folded[f"{layer}.dw.weight"] = exact[f"{layer}.dw.weight"] + _centred(exact[f"{layer}.rep1x1.weight"] + 1)
        folded[f"{layer}.dw.bias"] = exact[f"{layer}.dw.bias"] + exact[f"{layer}.rep1x1.bias"]
    weight, bias = _fold_upsampler(exact)
    folded["upsampler.0.weight"], folded["upsampler.0.bias"] = weight, bias
    return {key: value.to(dtype) for key, value in folded.items()}


def _fold_upsampler(exact: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one 3x3 that equals the three branches."""
    outer, inner = exact["upsampler.conv3x3.weight"], exact["upsampler.conv1x1.weight"].flatten(1)
    weight = (
        exact["upsampler.conv3.weight"]
        + _centred(exact["upsampler.conv1.weight"])
        + torch.einsum("omhw,mi->oihw", outer, inner)
    )
    bias = (
        exact["upsampler.conv3.bias"]
        + exact["upsampler.conv1.bias"]
        + exact["upsampler.conv3x3.bias"]
        + torch.einsum("omhw,m->o", outer, exact["upsampler.conv1x1.bias"])
    )
    return weight, bias


def _centred(weight_1x1: Tensor) -> Tensor:
    """A 1x1 kernel as the 3x3 kernel that has it at its centre tap."""
    return F.pad(weight_1x1, (1, 1, 1, 1))


SPECS: Final = (
    ModelSpec(
        name="lkdn_s_train",
        display_name="LKDN-S (training form)",
        build=lambda _scale: lkdn_s_train(),
        scales=(4,),
        paper=PAPER,
        licence="MIT",
        weights={
            4: Weights(
                file="lkdn_s_train/LKDN-S_x4.pth",
                sha256="39ff2c69cdeb40f842c9f93368caee3323a4309c350373edeb2dc9ef3cc05851",
                size_bytes=1494129,
                url=f"{FOLDER_URL}/LKDN-S_x4.pth",
                licence="MIT",
                entry="params_ema",
            ),
        },
        deploys=Deploys(model="lkdn_s", fold=fold_branches),
        note="folds into lkdn_s by `baselines.lkdn_s_train.reparameterise`",
    ),
)
