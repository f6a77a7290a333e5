"""The distillation block of RFDN and the network frame of BSRN, which LKDN, MDRN, LKFN and AGDN took over."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.layers.bands import in_bands
from zoo.layers.colour import RgbMean
from zoo.layers.convolution import BSConv, Pointwise, conv1x1, pixelwise


class DistillationSteps(nn.Module):
    """Three times a distilled and a refined branch, then everything joined by `c5`: the first half of a block.

    d_i = act(c{i}_d(r)), r = act(c{i}_r(r) [+ r]) for i = 1, 2, 3; d_4 = act(c4(r)); c5 of [d_1, d_2, d_3, d_4].
    Subclasses add the attention and the block's residual. `inner_residual` is the `+ r`; the distilled width is
    num_feat // 2; c1_d, c2_d, c3_d and c5 are built by `pointwise`; `act` is GELU unless given. With `banded` (set by
    `zoo.optimize`) they run in bands of rows.
    """

    banded = False

    def __init__(
        self,
        num_feat: int,
        *,
        refine: tuple[nn.Module, nn.Module, nn.Module],
        last: nn.Module,
        inner_residual: bool,
        pointwise: Pointwise = conv1x1,
        act: nn.Module | None = None,
    ) -> None:
        super().__init__()
        distilled = num_feat // 2
        self.inner_residual = inner_residual
        self.c1_d = pointwise(num_feat, distilled)
        self.c1_r = refine[0]
        self.c2_d = pointwise(num_feat, distilled)
        self.c2_r = refine[1]
        self.c3_d = pointwise(num_feat, distilled)
        self.c3_r = refine[2]
        self.c4 = last
        self.c5 = pointwise(4 * distilled, num_feat)
        self.act = act or nn.GELU()

    def distill(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the joined features, same shape."""
        halo = self.halo_px() if self.banded else None
        return self._distill(x) if halo is None else in_bands(self._distill, x, halo=halo)

    def halo_px(self) -> int | None:
        """How far the steps see; None if that is not known, since a layer is of another kind."""
        total = 0
        for layer in (self.c1_r, self.c2_r, self.c3_r, self.c4):
            conv = layer.dw if type(layer) is BSConv else layer
            if type(conv) is not nn.Conv2d:
                return None
            total += conv.kernel_size[0] // 2
        return total

    def _distill(self, x: Tensor) -> Tensor:
        d1, r1 = self._step(self.c1_d, self.c1_r, x)
        d2, r2 = self._step(self.c2_d, self.c2_r, r1)
        d3, r3 = self._step(self.c3_d, self.c3_r, r2)
        d4 = self.act(self.c4(r3))
        return pixelwise(self.c5, torch.cat([d1, d2, d3, d4], dim=1))

    def _step(self, distill: nn.Module, refine: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        refined = refine(x)
        if self.inner_residual:
            refined = refined + x
        return self.act(pixelwise(distill, x)), self.act(refined)


class DistillationNetwork(nn.Module):
    """Shallow feature, blocks `B1`, `B2`, ... in series, fusion of all their outputs, reconstruction.

    RGB (n, 3, h, w) -> (n, 3, h*scale, w*scale), both in [0, 1]:
    upsampler(c2(GELU(c1([B1, B2, ...]))) + fea_conv(x)). The input is `input_copies` times RGB along the channels;
    with `subtract_mean` DIV2K's mean is taken off before and added after.
    """

    def __init__(
        self,
        *,
        fea_conv: nn.Module,
        blocks: Sequence[nn.Module],
        c1: nn.Module,
        c2: nn.Module,
        upsampler: nn.Module,
        input_copies: int = 1,
        subtract_mean: bool = False,
    ) -> None:
        super().__init__()
        self.input_copies = input_copies
        self.mean = RgbMean() if subtract_mean else None
        self.fea_conv = fea_conv
        self.block_names = [f"B{i}" for i in range(1, len(blocks) + 1)]
        for name, block in zip(self.block_names, blocks, strict=True):
            self.add_module(name, block)
        self.c1 = c1
        self.act = nn.GELU()
        self.c2 = c2
        self.upsampler = upsampler

    def forward(self, x: Tensor) -> Tensor:
        if self.mean is not None:
            x = self.mean(x)
        if self.input_copies > 1:
            x = x.repeat(1, self.input_copies, 1, 1)
        shallow = feature = self.fea_conv(x)
        outputs = []
        for name in self.block_names:
            feature = getattr(self, name)(feature)
            outputs.append(feature)
        fused = self.c2(self.act(pixelwise(self.c1, torch.cat(outputs, dim=1))))
        sr = self.upsampler(fused + shallow)
        return sr if self.mean is None else self.mean.add(sr)
