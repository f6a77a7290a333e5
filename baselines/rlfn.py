"""RLFN, RLFN-S and the NTIRE 2022 entry: residual local feature networks (CVPRW 2022)."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.attention import ESA, max_pool7
from zoo.layers.convolution import pixel_shuffle_tail

NEGATIVE_SLOPE = 0.05
VALUE_RANGE = 255.0
"""All released weights take and give RGB in 0..255."""


class RLFB(nn.Module):
    """Residual local feature block: three 3x3 convolutions with a residual, a 1x1 one, and ESA that ends the block."""

    def __init__(self, width: int, *, mid: int, esa_channels: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(width, mid, 3, padding=1)
        self.c2_r = nn.Conv2d(mid, mid, 3, padding=1)
        self.c3_r = nn.Conv2d(mid, width, 3, padding=1)
        self.act = nn.LeakyReLU(NEGATIVE_SLOPE)
        self.c5 = nn.Conv2d(width, width, 1)
        self.esa = ESA(width, esa_channels, depth=1, pool=max_pool7)

    def forward(self, x: Tensor) -> Tensor:
        local = self.act(self.c1_r(x))
        local = self.act(self.c2_r(local))
        local = self.act(self.c3_r(local))
        return self.esa(self.c5(local + x))


class RLFN(nn.Module):
    """A plain chain of RLFBs `block_1`, `block_2`, ... with a long skip; block outputs are not collected.

    The NTIRE entry was pruned to `mid` above `width`; elsewhere they are equal.
    """

    def __init__(
        self, *, scale: int, width: int = 52, mid: int | None = None, num_block: int = 6, esa_channels: int = 16
    ) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(3, width, 3, padding=1)
        self.block_names = [f"block_{k}" for k in range(1, num_block + 1)]
        for name in self.block_names:
            self.add_module(name, RLFB(width, mid=mid or width, esa_channels=esa_channels))
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = pixel_shuffle_tail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv_1(x * VALUE_RANGE)
        deep = shallow
        for name in self.block_names:
            deep = self.get_submodule(name)(deep)
        return self.upsampler(self.conv_2(deep) + shallow) / VALUE_RANGE


PAPER = Paper(
    title="Residual Local Feature Network for Efficient Super-Resolution",
    authors="Kong, Li, Liu, et al.",
    venue="CVPRW 2022",
    year=2022,
    arxiv="2205.07514",
    code_url="https://github.com/bytedance/RLFN",
)


def _weights(name: str, scale: int, *, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"{name}/{name}_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url=(
            "https://github.com/bytedance/RLFN/raw/bccfde91bf8b2de80789ec033a029e6f2a932330/"
            f"model_zoo/{name}_x{scale}.pth"
        ),
        licence="Apache-2.0",
    )


NTIRE_WEIGHTS = Weights(
    file="rlfn_ntire/team00_rlfn.pth",
    sha256="3c9be7b9d7a4bece9b68c83a56a1ffb38010f76413d5f215be6b4be842e18fb2",
    size_bytes=1_294_011,
    url=(
        "https://github.com/Amazingren/NTIRE2024_ESR/raw/6404fa48dde4a4adbf241a51debdc661aef20449/"
        "model_zoo/team00_rlfn.pth"
    ),
    licence="MIT (repository), Apache-2.0 (origin)",
    note="Byte for byte the authors' rlfn_ntire_x4.pth.",
)

SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="rlfn",
        display_name="RLFN",
        build=lambda scale: RLFN(scale=scale),
        scales=(2, 3, 4),
        min_side_px=15,
        paper=PAPER,
        licence="Apache-2.0",
        weights={
            2: _weights(
                "rlfn",
                2,
                sha256="eafe5d5feeb122022453595c06d79160facdc157ae88deb02a44c50f5eba2d41",
                size_bytes=2_145_309,
            ),
            4: _weights(
                "rlfn",
                4,
                sha256="8c7edb57dfc89048bafba29d591d4c27d4099964b4a9e22df23d6dc257a637c0",
                size_bytes=2_212_893,
            ),
        },
        note="The authors released no x3 weights.",
    ),
    ModelSpec(
        name="rlfn_s",
        display_name="RLFN-S",
        build=lambda scale: RLFN(scale=scale, width=48),
        scales=(2, 3, 4),
        min_side_px=15,
        paper=PAPER,
        licence="Apache-2.0",
        weights={
            2: _weights(
                "rlfn_s",
                2,
                sha256="f5175f499f869c1b884c2552a1bcd6abd07ab352e3d8c8c9abe31b1deb60fe45",
                size_bytes=1_855_005,
            ),
            4: _weights(
                "rlfn_s",
                4,
                sha256="f769c5a88433786b2db0c2b24da6ca6c92a24c62344b9354a390f8a74388e89d",
                size_bytes=1_919_005,
            ),
        },
        note="The authors released no x3 weights.",
    ),
    ModelSpec(
        name="rlfn_ntire",
        display_name="RLFN (NTIRE 2022)",
        build=lambda scale: RLFN(scale=scale, width=46, mid=48, num_block=4),
        scales=(4,),
        min_side_px=15,
        paper=PAPER,
        licence="Apache-2.0",
        weights={4: NTIRE_WEIGHTS},
        note="Winner of NTIRE 2022 (runtime track) and baseline of the 2023 and 2024 efficient SR challenges; pruned.",
    ),
)
