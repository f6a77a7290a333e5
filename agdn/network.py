"""AGDN, attention guidance distillation network (Wang et al., CVPRW 2024), in the order of the paper's Fig. 2 and 3."""

from __future__ import annotations

from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Origin, Paper, Weights
from zoo.layers.attention import ESA, ContrastChannelAttention, bsconv3x3
from zoo.layers.convolution import BSConv, pixel_shuffle_tail
from zoo.layers.dispersion import MVSA_LEVELS, DispersionAttention, ResidualBody
from zoo.layers.distillation import DistillationNetwork, DistillationSteps
from zoo.layers.norm import ChannelLayerNorm
from zoo.paper_count import MultiAddRule, PaperCount, ParamRule

Spatial = Literal["mvsa", "esa"] | None
"""Spatial attention of a block: the paper's MVSA, the ESA it replaces (Table 2), or none (Table 1)."""
Channel = Literal["rcca", "cca"] | None
"""Channel attention of a block: the paper's RCCA, the CCA it replaces (Table 2), or none (Table 1)."""


class AGDN(DistillationNetwork):
    """Fig. 2: shallow features, attention guidance distillation blocks, fusion, reconstruction.

    RGB (n, 3, h, w) in [0, 1] -> (n, 3, h*scale, w*scale). `tlc_window` is the side of the windows (LR px) in which
    SGSA attends in eval mode; None attends over the whole image, as training does.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_feat: int = 42,
        num_block: int = 7,
        spatial: Spatial = "mvsa",
        channel: Channel = "rcca",
        sgsa: bool = True,
        tlc_window: int | None = 48,
    ) -> None:
        super().__init__(
            fea_conv=nn.Conv2d(3, num_feat, 3, padding=1),
            blocks=[
                AGDB(num_feat, spatial=spatial, channel=channel, sgsa=sgsa, tlc_window=tlc_window)
                for _ in range(num_block)
            ],
            c1=nn.Conv2d(num_feat * num_block, num_feat, 1),
            c2=BSConv(num_feat, num_feat, padding_mode="reflect"),
            upsampler=pixel_shuffle_tail(num_feat, scale),
            subtract_mean=True,
        )

    def fast_form(self) -> nn.Module:
        """The same function, faster: see fast.py."""
        from agdn.fast import FastAGDN

        return FastAGDN(self)


class AGDB(DistillationSteps):
    """Fig. 3(a), attention guidance distillation block: three distillation steps, fusion, then the attentions."""

    def __init__(
        self, num_feat: int, *, spatial: Spatial, channel: Channel, sgsa: bool, tlc_window: int | None
    ) -> None:
        super().__init__(
            num_feat,
            refine=(_bsrb(num_feat), _bsrb(num_feat), _bsrb(num_feat)),
            last=nn.Conv2d(num_feat, num_feat // 2, 3, padding=1, groups=num_feat // 2),
            inner_residual=True,
        )
        self.esa = _spatial_attention(spatial, num_feat)
        self.cca = _channel_attention(channel, num_feat)
        self.ea = SGSABlock(num_feat, tlc_window=tlc_window) if sgsa else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.ea(self.cca(self.esa(self.distill(x)))) + x


def _bsrb(num_feat: int) -> BSConv:
    """Fig. 3(b), the convolution of a blueprint shallow residual block; the step adds its input."""
    return BSConv(num_feat, num_feat, padding_mode="reflect")


def _spatial_attention(kind: Spatial, num_feat: int) -> nn.Module:
    """Fig. 3(d), multi-level variance-aware spatial attention, or what stands in its place."""
    if kind == "mvsa":
        return ResidualBody(DispersionAttention(num_feat, num_feat // 4, levels=MVSA_LEVELS))
    if kind == "esa":
        return ESA(num_feat, num_feat // 4, act=nn.GELU(), conv3x3=bsconv3x3, conv2=bsconv3x3)
    return nn.Identity()


def _channel_attention(kind: Channel, num_feat: int) -> nn.Module:
    if kind == "rcca":
        return RCCA(num_feat)
    if kind == "cca":
        return ContrastChannelAttention(num_feat, num_feat // 16)
    return nn.Identity()


class RCCA(nn.Module):
    """Fig. 3(e), reallocated contrast-aware channel attention: a CCA branch and a complementary branch."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(num_feat, num_feat, 3, padding=1, groups=num_feat)
        self.decompose = nn.Conv2d(num_feat, 1, 1)
        self.act = nn.GELU()
        self.sigma = ElementScale(num_feat, initial=1e-5)
        # The released code divides twice: C // (C // 4) hidden channels, 4 for every width it uses.
        self.cca = ContrastChannelAttention(num_feat, num_feat // (num_feat // 4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.dwconv(x))
        complementary = self.sigma(h - self.act(self.decompose(h)))
        return self.cca(h) + complementary + x


class ElementScale(nn.Module):
    """One learned factor per channel."""

    def __init__(self, channels: int, *, initial: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class SGSABlock(nn.Module):
    """Fig. 3(f): sparse global self-attention, then a gated feed-forward network; LayerNorm before, residual around."""

    def __init__(self, num_feat: int, *, tlc_window: int | None) -> None:
        super().__init__()
        self.norm3 = BodyLayerNorm(num_feat)
        self.restormer_attn = SparseGlobalSelfAttention(num_feat, num_head=3, tlc_window=tlc_window)
        self.norm4 = BodyLayerNorm(num_feat)
        self.restormer_ffn = GatedFeedForward(num_feat, expansion=2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.restormer_attn(self.norm3(x))
        return x + self.restormer_ffn(self.norm4(x))


class BodyLayerNorm(nn.Module):
    """Channel LayerNorm under the key `body`, as the released code stores it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = ChannelLayerNorm(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class SparseGlobalSelfAttention(nn.Module):
    """SGSA (DLGSANet, ICCV 2023): attention between channels with ReLU for softmax, so weak similarities become zero.

    In eval mode with `tlc_window` it attends in overlapping windows (TLC, ECCV 2022) whose outputs are averaged.
    """

    def __init__(self, channels: int, *, num_head: int, tlc_window: int | None) -> None:
        super().__init__()
        self.num_head, self.tlc_window = num_head, tlc_window
        self.temperature = nn.Parameter(torch.ones(num_head, 1, 1))
        self.qkv = nn.Conv2d(channels, channels * 3, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(channels * 3, channels * 3, 3, padding=1, groups=channels * 3, bias=False)
        self.act = nn.ReLU()
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv_dwconv(self.qkv(x))
        if self.training or self.tlc_window is None:
            n, _, h, w = qkv.shape
            return self.project_out(self._attend(qkv.flatten(2)).view(n, -1, h, w))
        return self.project_out(self._attend_in_windows(qkv, self.tlc_window))

    def _attend(self, qkv: Tensor) -> Tensor:
        """(b, 3c, pixels) -> (b, c, pixels): each head's channels attend to each other."""
        b, _, pixels = qkv.shape
        q, k, v = qkv.view(b, 3, self.num_head, -1, pixels).unbind(1)
        similarity = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return (self.act(similarity * self.temperature) @ v).reshape(b, -1, pixels)

    def _attend_in_windows(self, qkv: Tensor, window: int) -> Tensor:
        n, c3, h, w = qkv.shape
        rows, cols = _window_indices(h, window, qkv.device), _window_indices(w, window, qkv.device)
        (nr, kh), (nc, kw) = rows.shape, cols.shape
        tiles = qkv[:, :, rows][..., cols].permute(0, 2, 4, 1, 3, 5)  # (n, nr, nc, 3c, kh, kw)
        attended = self._attend(tiles.reshape(n * nr * nc, c3, kh * kw))
        tiles = attended.view(n, nr, nc, -1, kh, kw).permute(0, 3, 1, 4, 2, 5)  # (n, c, nr, kh, nc, kw)
        c = c3 // 3
        if torch.compiler.is_exporting():
            by_row = _added_by_gathers(tiles.reshape(n, c, nr * kh, nc, kw), 2, h, window)
            total = _added_by_gathers(by_row.reshape(n, c, h, nc * kw), 3, w, window)
        else:
            by_row = tiles.new_zeros(n, c, h, nc, kw).index_add_(
                2, rows.flatten(), tiles.reshape(n, c, nr * kh, nc, kw)
            )
            total = tiles.new_zeros(n, c, h, w).index_add_(3, cols.flatten(), by_row.reshape(n, c, h, nc * kw))
        return total / (_overlap(rows, h, window, total).view(h, 1) * _overlap(cols, w, window, total))


def window_starts(length: int, window: int) -> list[int]:
    """First pixels of the TLC windows along a side: ceil(length / window) of them, the last one at the end."""
    window = min(length, window)
    count = ceil(length / window)
    step = ceil((length - window) / (count - 1)) if count > 1 else window
    return [*range(0, length - window, step), length - window]


def _window_indices(length: int | Tensor, window: int, device: torch.device) -> Tensor:
    """(windows, min(length, window)) pixel indices along one side, from `window_starts`.

    In arithmetic that an exporter can write down for any length. No negative number is divided: ONNX rounds to zero.
    """
    if isinstance(length, Tensor):
        # A size under torch.jit.trace, by which fvcore counts; the symbolic functions refuse it.
        length = int(length)
    side, step = _window_grid(length, window)
    windows = (length - side + step - 1) // step + 1
    # A multiplication of tensors here would be counted as the network's own by ptflops.
    starts = torch.arange(0, windows * step, step, device=device).clamp(max=length - side)
    return starts[:, None] + torch.arange(side, device=device)


def _window_grid(length: int, window: int) -> tuple[Any, Any]:
    """Side of the windows, and the pixels from one to the next but the last one."""
    side = torch.sym_min(length, window)
    gaps = torch.sym_max((length - 1) // side, 1)
    return side, torch.sym_max((length - side + gaps - 1) // gaps, 1)


def _overlap(indices: Tensor, length: int, window: int, like: Tensor) -> Tensor:
    """How many windows cover each of `length` pixels, in the dtype of `like`."""
    ones = like.new_ones(indices.numel())
    if torch.compiler.is_exporting():
        return _added_by_gathers(ones, 0, length, window)
    return like.new_zeros(length).index_add_(0, indices.flatten(), ones)


def _added_by_gathers(x: Tensor, dim: int, length: int, window: int) -> Tensor:
    """`zeros.index_add_(dim, _window_indices(length, window).flatten(), x)` for an exporter.

    ONNX Runtime adds into repeated places from several threads at once and loses some. No pixel is in more than two
    windows: the first that ends behind it and the last that begins before it.
    """
    side, step = _window_grid(length, window)
    place, end = torch.arange(length, device=x.device), length - side
    first = (place - side + step).clamp(min=0) // step
    last = torch.where(place < end, place // step, (end + step - 1) // step)
    one, other = (x.index_select(dim, i * side + place - (i * step).clamp(max=end)) for i in (first, last))
    twice = (last > first).view(-1, *[1] * (x.dim() - dim - 1))
    return one + torch.where(twice, other, torch.zeros_like(other))


class GatedFeedForward(nn.Module):
    """Gated depthwise feed-forward network (Restormer's GDFN), without biases."""

    def __init__(self, channels: int, *, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.project_in = nn.Conv2d(channels, hidden * 2, 1, bias=False)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


PAPER = Paper(
    title="Attention Guidance Distillation Network for Efficient Image Super-Resolution",
    authors="Wang, Wei, Tang et al.",
    venue="CVPRW 2024",
    year=2024,
    code_url="https://github.com/daydreamer2024/AGDN",
)


def _released(scale: int, *, size_bytes: int, sha256: str) -> Weights:
    commit = "4eb39dc9a398d97e68090953db1acf83980a66a2"
    return Weights(
        file=f"agdn/AGDN_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url=f"{PAPER.code_url}/raw/{commit}/pretrain/AGDN_x{scale}.pth",
        licence="MIT",
        entry="params_ema",
    )


AGDN_WEIGHTS = {
    2: _released(2, size_bytes=2565454, sha256="950fd2370dfbea4f936b4b34b3db2a61e1e38c9743ee3fe504eccc46feb08014"),
    3: _released(3, size_bytes=2610894, sha256="2b9dfcb380704377548c1df1d243d1c1fc24999a6d70ec3e34985300687274f4"),
    4: _released(4, size_bytes=2674766, sha256="ca2a1c952f44f104f3f5aa327b59efcec985775c6451bbaa132ec98be48a3dfc"),
}

TRAINED_HERE = Weights(
    # How it was trained, and what it reaches, stands in the .json beside it.
    file="agdn/weights/agdn_s_x4_bsds400.safetensors",
    sha256="4d9f47a58939769d2059776a39bdb010af68bc3031d29c0e426f138ba2408768",
    size_bytes=302712,
    url=None,
    licence="MIT",
    origin=Origin.BUNDLED,
    note="trained here, 14k steps on BSDS400",
)

MIN_SIDE_PX = 15
"""Below it the 7x7 pooling of MVSA leaves one pixel, which the next reflect padding cannot mirror."""

PAPER_COUNT = PaperCount(
    multi_adds=MultiAddRule.THOP,
    params=ParamRule.THOP,
    note="The paper names no tool; thop's rules give its digits, all but those of Table 2's ESA+CCA.",
)

SPECS = (
    ModelSpec(
        name="agdn",
        display_name="AGDN",
        build=lambda scale: AGDN(scale=scale),
        scales=(2, 3, 4),
        min_side_px=MIN_SIDE_PX,
        paper_count=PAPER_COUNT,
        paper=PAPER,
        licence="MIT",
        weights=AGDN_WEIGHTS,
    ),
    ModelSpec(
        name="agdn_s",
        display_name="AGDN-S",
        build=lambda scale: AGDN(scale=scale, num_feat=24, num_block=4, tlc_window=96),
        scales=(4,),
        min_side_px=MIN_SIDE_PX,
        paper_count=PAPER_COUNT,
        paper=PAPER,
        licence="MIT",
        weights={
            4: Weights(
                file="agdn_s/team31_agdn.pth",
                sha256="795b7724e5975391c7134b088fb645ae2824e3ed286673dd43f1df3c9270650a",
                size_bytes=366165,
                url="https://github.com/Amazingren/NTIRE2024_ESR/raw/6404fa48dde4a4adbf241a51debdc661aef20449"
                "/model_zoo/team31_agdn.pth",
                licence="MIT",
            )
        },
        bundled={4: TRAINED_HERE},
        note="Team 31 of NTIRE 2024, winner of its FLOPs track.",
    ),
)
