"""LSANet of team MViC_SR (NTIRE 2024 efficient SR challenge), in its deployed form."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Final

from torch import Tensor, nn

from baselines.ntire2024.report import CHECKPOINTS_URL, NTIRE_2024_COUNT, NTIRE_2024_REPORT
from zoo.contract import ModelSpec, Weights
from zoo.layers.attention import ESA, dense3x3, max_pool7
from zoo.layers.convolution import BSConv, OneStepUpsampler
from zoo.layers.distillation import DistillationNetwork

ESA_WIDTH: Final = 16

_bsconv = partial(BSConv, padding_mode="reflect")


def _deployed(layer: nn.Module) -> nn.Sequential:
    """One layer under the key `rbr_reparam`: what the branches of the training form were folded into."""
    return nn.Sequential(OrderedDict(rbr_reparam=layer))


class PlainBlock(nn.Module):
    """Three BSConvs, each with GELU, and the residual."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1_r = _bsconv(num_feat, num_feat)
        self.c2_r = _deployed(_bsconv(num_feat, num_feat))
        self.c4 = _deployed(_bsconv(num_feat, num_feat))
        self.act = nn.GELU()

    def features(self, x: Tensor) -> Tensor:
        """The block without its residual."""
        for layer in (self.c1_r, self.c2_r, self.c4):
            x = self.act(layer(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) + x


class AttentionBlock(PlainBlock):
    """The plain block with two dense 3x3 convolutions instead of BSConvs, then 1x1 and ESA."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(num_feat)
        self.c2_r = _deployed(dense3x3(num_feat, num_feat))
        self.c4 = _deployed(dense3x3(num_feat, num_feat))
        self.c5 = nn.Conv2d(num_feat, num_feat, 1)
        self.esa = ESA(num_feat, ESA_WIDTH, depth=1, pool=max_pool7)

    def features(self, x: Tensor) -> Tensor:
        return self.esa(self.c5(super().features(x)))


class LSANet(DistillationNetwork):
    """Plain and attention blocks in turn, six of 36 features, in the frame of BSRN with DIV2K's mean taken off."""

    def __init__(self, *, scale: int = 4, num_feat: int = 36, num_pairs: int = 3) -> None:
        pairs = [(PlainBlock(num_feat), AttentionBlock(num_feat)) for _ in range(num_pairs)]
        super().__init__(
            # The word instead of a number is the released form: fvcore does not count this convolution,
            # and the challenge's printed FLOPs leave it out.
            fea_conv=nn.Conv2d(3, num_feat, 3, padding="same"),
            blocks=[block for pair in pairs for block in pair],
            c1=nn.Conv2d(2 * num_pairs * num_feat, num_feat, 1),
            c2=_bsconv(num_feat, num_feat),
            upsampler=OneStepUpsampler(num_feat, scale),
            subtract_mean=True,
        )


SPECS: Final = (
    ModelSpec(
        name="lsanet",
        display_name="LSANet (MViC_SR)",
        build=lambda scale: LSANet(scale=scale),
        scales=(4,),
        min_side_px=15,
        paper_count=NTIRE_2024_COUNT,
        paper=NTIRE_2024_REPORT,
        licence="MIT",
        weights={
            4: Weights(
                file="lsanet/team44_LSANet.pth",
                sha256="4a781d3b83a670931ae57d8e67c89c3dcda2d212d6be357edf536312d80587c0",
                size_bytes=1173689,
                url=f"{CHECKPOINTS_URL}/team44_LSANet.pth",
                licence="MIT",
                entry="params_ema",
            ),
        },
        note="MViC_SR in Table 6 of the AGDN paper (challenge team 44)",
    ),
)
