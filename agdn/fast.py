"""AGDN's fast form: the weights and the output of network.py, with less memory traffic.

Channels are last in memory and each part of a block runs in bands of rows that stay in the cache; three maps of the
whole image serve all blocks. On a CPU nearly half of the plain form's time is the system handing out memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agdn.fast_attention import FastAttention, is_compiled, normalised
from agdn.network import AGDB, AGDN, RCCA, SGSABlock
from zoo.layers.bands import Ahead, Band, bands, empty_map, part_of
from zoo.layers.convolution import BSConv
from zoo.layers.dispersion import DispersionAttention, ResidualBody
from zoo.layers.fast_dispersion import FastDispersion
from zoo.layers.fused import conv, conv_add, conv_mul


class FastAGDN(nn.Module):
    """Fig. 2; `c1` is added up block by block, so that the blocks' outputs need not be kept."""

    def __init__(self, network: AGDN) -> None:
        super().__init__()
        assert network.mean is not None
        self.mean, self.fea_conv, self.c2 = network.mean, network.fea_conv, network.c2
        self.blocks = nn.ModuleList(FastBlock(cast(AGDB, getattr(network, name))) for name in network.block_names)
        c1 = cast(nn.Conv2d, network.c1)
        parts = c1.weight.chunk(len(network.block_names), dim=1)
        self.c1 = nn.ParameterList(nn.Parameter(part.contiguous()) for part in parts)
        self.c1_bias = c1.bias
        tail, shuffle = cast(tuple[nn.Conv2d, nn.PixelShuffle], tuple(cast(nn.Sequential, network.upsampler)))
        self.scale = shuffle.upscale_factor
        self.tail_weight = tail.weight
        # Each output channel of the tail belongs to one colour, so that adding the mean is part of its bias.
        mean = self.mean.mean.flatten().repeat_interleave(self.scale**2)
        self.tail_bias = nn.Parameter(cast(Tensor, tail.bias) + mean)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mean(x).contiguous(memory_format=torch.channels_last)
        shallow = self.fea_conv(x)
        fused = self._compiled(shallow) if is_compiled() else self._in_three_maps(shallow)
        return self._reconstruct(fused, shallow)

    def _in_three_maps(self, shallow: Tensor) -> Tensor:
        """c1 of the outputs of all blocks."""
        channels, feature = shallow.shape[1], shallow
        free = [empty_map(shallow, channels) for _ in range(3)]
        fused, levels = empty_map(shallow, channels), empty_map(shallow, cast(FastBlock, self.blocks[0]).level_channels)
        for i, (block, weight) in enumerate(zip(self.blocks, self.c1, strict=True)):
            result, scratch = free.pop(), free.pop()
            block(feature, result, scratch, levels)
            for band in bands(result, halo=0):
                part = conv(result[:, :, band.read], weight, None if i else self.c1_bias)
                rows = fused[:, :, band.write]
                _ = rows.add_(part) if i else rows.copy_(part)
            free += [scratch] if feature is shallow else [scratch, feature]
            feature = result
        return fused

    def _compiled(self, shallow: Tensor) -> Tensor:
        """The same for torch.compile, which allocates itself and compiles one block for all."""
        feature, fused = shallow, None
        for block, weight in zip(self.blocks, self.c1, strict=True):
            feature = _block_of_new_maps(cast(FastBlock, block), feature)
            part = F.conv2d(feature, weight)
            fused = part if fused is None else fused + part
        assert fused is not None
        assert self.c1_bias is not None
        return fused + self.c1_bias.view(-1, 1, 1)

    def _reconstruct(self, fused: Tensor, shallow: Tensor) -> Tensor:
        """Fusion, long skip and pixel shuffle; the output is contiguous, as the plain form's."""
        n, _, h, w = shallow.shape
        sr = shallow.new_empty(n, 3, h * self.scale, w * self.scale)
        for band in bands(shallow, halo=2):
            deep = self.c2(F.gelu(fused[:, :, band.read])).add_(shallow[:, :, band.read])
            tail = conv(deep, self.tail_weight, self.tail_bias, padding=1)[:, :, band.keep]
            sr[:, :, band.start * self.scale : band.stop * self.scale] = F.pixel_shuffle(tail, self.scale)
        return sr


@torch.compiler.nested_compile_region
def _block_of_new_maps(block: FastBlock, x: Tensor) -> Tensor:
    """A block's output of `x`."""
    out, scratch = empty_map(x, x.shape[1]), empty_map(x, x.shape[1])
    block(x, out, scratch, empty_map(x, block.level_channels))
    return out


class FastBlock(nn.Module):
    """Fig. 3(a). Parts that an ablation exchanged stay as they are."""

    def __init__(self, block: AGDB) -> None:
        super().__init__()
        self.steps = FastSteps(block)
        self.spatial, self.channel = block.esa, block.cca
        self.mvsa = self.rcca = self.sgsa = None
        if isinstance(block.esa, ResidualBody):
            self.mvsa = FastDispersion(cast(DispersionAttention, block.esa.body[0]))
            self.spatial = nn.Identity()
        if isinstance(block.cca, RCCA):
            self.rcca = FastRCCA(block.cca)
        if isinstance(block.ea, SGSABlock):
            self.sgsa = FastSGSA(block.ea)

    @property
    def level_channels(self) -> int:
        """Channels of the map that MVSA adds its levels up in, 0 without MVSA."""
        return 0 if self.mvsa is None else self.mvsa.hidden_channels

    def forward(self, x: Tensor, out: Tensor, scratch: Tensor, levels: Tensor) -> None:
        """Write the block's output of `x` to `out`; what `scratch` and `levels` hold afterwards means nothing."""
        height = x.shape[2]
        ready = self._distil(x, out, scratch, levels)
        if self.rcca is not None:
            ready = self.rcca(out, scratch, ready)
        else:
            ready.upto(height)
            out.copy_(self.channel(out))
        if self.sgsa is not None:
            self.sgsa(out, scratch, ready, x)
        else:
            ready.upto(height)
            out.add_(x)

    def _distil(self, x: Tensor, out: Tensor, scratch: Tensor, levels: Tensor) -> Ahead:
        """Distillation and spatial attention of x to `out`, where the last step of MVSA is left for later."""
        mvsa = self.mvsa
        hidden = None if mvsa is None else part_of(scratch, mvsa.hidden_channels)
        for band in bands(x, halo=4):
            y = self.steps(x, band)
            out[:, :, band.write] = y
            if mvsa is not None and hidden is not None:
                hidden[:, :, band.write] = mvsa.hidden(y)
        if mvsa is None or hidden is None:
            out.copy_(self.spatial(out))
            return Ahead()
        mvsa.levels(hidden, levels)

        def gate(rows: slice) -> None:
            out[:, :, rows].addcmul_(out[:, :, rows], mvsa.gate(levels[:, :, rows]))

        return Ahead(gate)


class FastSteps(nn.Module):
    """The distillation steps of a band, with valid convolutions: each step needs one row less on both sides."""

    def __init__(self, block: AGDB) -> None:
        super().__init__()
        self.distilled = nn.ModuleList([block.c1_d, block.c2_d, block.c3_d])
        self.refined = nn.ModuleList([block.c1_r, block.c2_r, block.c3_r])
        self.c5 = cast(nn.Conv2d, block.c5)
        # The last convolution has groups of two: a depthwise one and the sum of each pair is faster.
        last = cast(nn.Conv2d, block.c4)
        groups, size, kh, kw = last.weight.shape
        self.last_weight = nn.Parameter(last.weight.reshape(groups * size, 1, kh, kw))
        pairs = torch.eye(groups).repeat_interleave(size, dim=1).to(last.weight)
        self.pair_weight = nn.Parameter(pairs.view(groups, groups * size, 1, 1))
        self.last_bias = last.bias

    def forward(self, x: Tensor, band: Band) -> Tensor:
        """c5 of the four distilled features, rows `band.write` only."""
        height, top, r = x.shape[2], band.top, x[:, :, band.read]
        features = []
        for distil, refine in self._layers():
            here = r[:, :, band.start - top : band.stop - top]
            features.append(conv(here, distil.weight, distil.bias, gelu=True))
            upper, lower = int(top == 0), int(top + r.shape[2] == height)
            r = self._refine(refine, r, upper, lower)
            top += 1 - upper
        r = conv(r, self.last_weight, padding=1, groups=self.last_weight.shape[0])
        r = r[:, :, band.start - top : band.stop - top]
        features.append(conv(r, self.pair_weight, self.last_bias, gelu=True))
        return conv(torch.cat(features, dim=1), self.c5.weight, self.c5.bias)

    def _layers(self) -> Iterator[tuple[nn.Conv2d, BSConv]]:
        for distil, refine in zip(self.distilled, self.refined, strict=True):
            yield cast(nn.Conv2d, distil), cast(BSConv, refine)

    @staticmethod
    def _refine(layer: BSConv, r: Tensor, upper: int, lower: int) -> Tensor:
        """act(layer(r) + r) with the image's border mirrored where the band touches it."""
        pointwise = cast(nn.Conv2d, layer.pw)
        blueprint = F.pad(conv(r, pointwise.weight), (1, 1, upper, lower), mode="reflect")
        refined = conv(blueprint, layer.dw.weight, layer.dw.bias, groups=layer.dw.groups)
        return gelu_(refined.add_(r[:, :, 1 - upper : r.shape[2] - 1 + lower]))


def gelu_(x: Tensor) -> Tensor:
    """GELU in place."""
    return torch.ops.aten.gelu_(x)


class FastRCCA(nn.Module):
    """Fig. 3(e) in two passes, since its gate needs the statistics of the whole image."""

    def __init__(self, rcca: RCCA) -> None:
        super().__init__()
        self.dwconv, self.decompose, self.conv_du = rcca.dwconv, rcca.decompose, rcca.cca.conv_du
        self.sigma = rcca.sigma.scale
        self.minus_sigma = nn.Parameter(-rcca.sigma.scale.view(-1, 1, 1, 1))

    def forward(self, x: Tensor, hidden: Tensor, ready: Ahead) -> Ahead:
        """Fill `hidden`; what is returned turns rows of `x` into rows of the result."""
        _, c, height, width = x.shape
        dw, moments = self.dwconv, []
        for band in bands(x, halo=1):
            ready.upto(band.bottom)
            h = conv(x[:, :, band.read], dw.weight, dw.bias, padding=1, groups=c, gelu=True)[:, :, band.keep]
            hidden[:, :, band.write] = h
            mean = h.mean((2, 3), keepdim=True)
            moments.append((h.shape[2] * width, mean, (h - mean).square_().sum((2, 3), keepdim=True)))
        pixels = height * width
        mean = torch.stack([m * (count / pixels) for count, m, _ in moments]).sum(0)
        squares = torch.stack([s + count * (m - mean).square() for count, m, s in moments]).sum(0)
        factor = self.conv_du((squares / pixels).sqrt() + mean) + self.sigma

        def combine(rows: slice) -> None:
            h, y = hidden[:, :, rows], x[:, :, rows]
            grey = conv(h, self.decompose.weight, self.decompose.bias, gelu=True)
            y.addcmul_(h, factor).add_(conv(grey, self.minus_sigma))

        return Ahead(combine)


class FastSGSA(nn.Module):
    """Fig. 3(f) and the residual around the whole block."""

    def __init__(self, block: SGSABlock) -> None:
        super().__init__()
        self.norm = block.norm4.body
        self.attention = FastAttention(block)
        ffn = block.restormer_ffn
        self.hidden = ffn.project_out.in_channels
        self.gate_in, self.value_in = (nn.Parameter(w.clone()) for w in ffn.project_in.weight.chunk(2))
        self.gate_dw, self.value_dw = (nn.Parameter(w.clone()) for w in ffn.dwconv.weight.chunk(2))
        self.project_out = ffn.project_out

    def forward(self, x: Tensor, scratch: Tensor, ready: Ahead, residual: Tensor) -> None:
        """x becomes its result plus `residual`; `ready` completes x."""
        self.attention(x, scratch, ready)
        for band in bands(x, halo=1):
            y = normalised(scratch[:, :, band.read], self.norm)
            gate = conv(conv(y, self.gate_in), self.gate_dw, padding=1, groups=self.hidden, gelu=True)
            y = conv_mul(conv(y, self.value_in), self.value_dw, None, gate, padding=1, groups=self.hidden)
            y = conv_add(y[:, :, band.keep], self.project_out.weight, None, scratch[:, :, band.write])
            x[:, :, band.write] = y.add_(residual[:, :, band.write])
