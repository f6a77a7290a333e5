"""MDRN and MDRN-S: multi-level dispersion residual network (Mao et al., CVPRW 2023)."""

from __future__ import annotations

from functools import partial
from typing import Final

from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.convolution import BSConv, OneStepUpsampler
from zoo.layers.dispersion import MDSA_LEVELS, DispersionAttention, ResidualBody, enhanced_cca
from zoo.layers.distillation import DistillationNetwork, DistillationSteps

_bsconv = partial(BSConv, padding_mode="reflect")


class EADB(DistillationSteps):
    """Enhanced attention distillation block: three distillation steps, then MDSA (`esa`) and ECCA (`cca`)."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(
            num_feat,
            refine=(_bsconv(num_feat, num_feat), _bsconv(num_feat, num_feat), _bsconv(num_feat, num_feat)),
            last=_bsconv(num_feat, num_feat // 2),
            inner_residual=True,
        )
        self.esa = ResidualBody(DispersionAttention(num_feat, num_feat // 4, levels=MDSA_LEVELS))
        self.cca = enhanced_cca(num_feat, num_feat // 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.cca(self.esa(self.distill(x))) + x


class MDRN(DistillationNetwork):
    """Eight EADBs in the frame of BSRN, with DIV2K's mean taken off; RGB in [0, 1].

    Global statistics make the output depend on the whole image: tiles give another result.
    """

    def __init__(self, *, scale: int, num_feat: int = 56, num_block: int = 8) -> None:
        super().__init__(
            # The word instead of a number is the released form; fvcore does not count such a convolution.
            fea_conv=nn.Conv2d(3, num_feat, 3, padding="same"),
            blocks=[EADB(num_feat) for _ in range(num_block)],
            c1=nn.Conv2d(num_block * num_feat, num_feat, 1),
            c2=_bsconv(num_feat, num_feat),
            upsampler=OneStepUpsampler(num_feat, scale),
            subtract_mean=True,
        )


PAPER: Final = Paper(
    title="Multi-Level Dispersion Residual Network for Efficient Image Super-Resolution",
    authors="Mao, Zhang, Wang, et al.",
    venue="CVPRW 2023",
    year=2023,
    code_url="https://github.com/bbbolt/MDRN",
)
FOLDER_URL: Final = "https://github.com/bbbolt/MDRN/raw/a919ff291f96bb7ab6267da52a8a8db4354fc653/pretrain_models"


def _weights(*, scale: int, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"mdrn/mdrn_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url=f"{FOLDER_URL}/mdrn_x{scale}.pth",
        licence="MIT",
        entry="params_ema",
    )


SPECS: Final = (
    ModelSpec(
        name="mdrn",
        display_name="MDRN",
        build=lambda scale: MDRN(scale=scale),
        scales=(2, 3, 4),
        min_side_px=15,
        paper=PAPER,
        licence="MIT",
        weights={
            2: _weights(
                scale=2,
                sha256="a4c9729d0003fb428ebef1902c411f1d43d14e4d96b800ae8f03a92424dba8e7",
                size_bytes=2761351,
            ),
            3: _weights(
                scale=3,
                sha256="5b782ea1c3e25ac0aebc8b5eb533bdcc682fb54c11d7ae2e112535db6818d25d",
                size_bytes=2821895,
            ),
            4: _weights(
                scale=4,
                sha256="c9ad9752bd01feca8b9e3a703cfc2a211ee5eb39d1d67b402d65acf98998f137",
                size_bytes=2906887,
            ),
        },
    ),
    ModelSpec(
        name="mdrn_s",
        display_name="MDRN-S",
        build=lambda scale: MDRN(scale=scale, num_feat=28),
        scales=(4,),
        min_side_px=15,
        paper=PAPER,
        licence="MIT",
        weights={
            4: Weights(
                file="mdrn_s/mdrn-s.pth",
                sha256="45f284838a431164375cb11f6f5d7a6e02a5015bcefa21b82f1a5bba34ccb9a9",
                size_bytes=547247,
                url=f"{FOLDER_URL}/mdrn-s.pth",
                licence="MIT",
            ),
        },
        note="winner of the model-complexity track of NTIRE 2023 Efficient SR",
    ),
)
