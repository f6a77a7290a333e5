"""SMSR: sparse masks that skip redundant computation (CVPR 2021); sparse mask modules (SMM) around sparse convolutions.

A spatial mask says which pixels matter, a channel mask per layer splits its channels into dense ones, computed
everywhere, and sparse ones, computed inside the spatial mask only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.attention import ChannelAttention
from zoo.layers.colour import MeanShift
from zoo.layers.convolution import pixel_shuffle_tail
from zoo.paper_count import PaperCount
from zoo.protocols import CropToMultiple, Size

NATIVE_RANGE = 255.0


class Masks(NamedTuple):
    """Masks of one module: 0 or 1 in eval mode, Gumbel softmax samples in train mode."""

    spatial: Tensor
    "(n, 1, h, w): 1 where the sparse channels are computed."
    dense: Tensor
    "(layers, channels, 1, 1): 1 for the channels that are computed everywhere."
    sparse: Tensor
    "(layers, channels, 1, 1): 1 for the other channels, `1 - dense`."

    def gate(self, layer: int) -> Tensor:
        """Share of each value of a layer's output that is computed, (n, channels, h, w)."""
        return self.dense[layer] + self.sparse[layer] * self.spatial

    def computed_share(self) -> Tensor:
        """Mean of each layer's `gate`, (n, layers)."""
        inside = self.spatial.mean((1, 2, 3))[:, None]
        return self.dense.mean((1, 2, 3)) + self.sparse.mean((1, 2, 3)) * inside


def neighbourhoods(x: Tensor) -> Tensor:
    """The zero-padded 3x3 neighbourhood of every pixel as a view, (n, c, h, w) -> (n, c, h, 3, w, 3)."""
    return F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 1, 2, 4, 3, 5)


class SMB(nn.Module):
    """Sparse mask convolutions: four 3x3 layers without bias, and a 1x1 convolution of all their outputs.

    Inside the spatial mask a layer is an ordinary convolution; outside, only its dense channels are computed and from
    dense channels only. So a sparse input counts by the mask at the *output* pixel, not at its own. To compute that
    with as many multi-adds as one convolution, each pixel's 3x3 neighbourhood is laid out and gated on its own, and
    `body[1:]` stride over those blocks. In train mode, where masks are soft, the two parts are two convolutions.
    """

    def __init__(self, width: int, *, num_layers: int) -> None:
        super().__init__()
        self.ch_mask = nn.Parameter(torch.rand(1, width, num_layers, 2))
        first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        others = [nn.Conv2d(width, width, 3, stride=3, bias=False) for _ in range(num_layers - 1)]
        self.body = nn.ModuleList([first, *others])
        self.collect = nn.Conv2d(num_layers * width, width, 1)

    def channel_masks(self) -> tuple[Tensor, Tensor]:
        """Dense and sparse channels, each (layers, channels, 1, 1)."""
        share = F.gumbel_softmax(self.ch_mask, dim=-1) if self.training else self.ch_mask.softmax(-1).round()
        dense, sparse = share[0].permute(2, 1, 0)[..., None, None].unbind()
        return dense, sparse

    def forward(self, x: Tensor, masks: Masks) -> Tensor:
        layer = self._soft_layer if self.training else self._hard_layer
        features = [F.relu(masks.gate(0) * self.body[0](x))]
        for i in range(1, len(self.body)):
            features.append(F.relu(layer(i, features[-1], masks)))
        return self.collect(torch.cat(features, 1))

    def _hard_layer(self, i: int, x: Tensor, masks: Masks) -> Tensor:
        blocks = neighbourhoods(x) * masks.gate(i - 1)[:, :, :, None, :, None]
        return masks.gate(i) * self.body[i](blocks.flatten(4, 5).flatten(2, 3))

    def _soft_layer(self, i: int, x: Tensor, masks: Masks) -> Tensor:
        weight = self.body[i].get_parameter("weight")
        from_dense = F.conv2d(x * masks.dense[i - 1], weight, padding=1)
        from_sparse = F.conv2d(x * masks.sparse[i - 1], weight, padding=1)
        return masks.gate(i) * from_dense + masks.spatial * from_sparse


class SMM(nn.Module):
    """Sparse mask module: predict the spatial mask, run the SMB under it, channel attention, skip."""

    def __init__(self, width: int, *, num_layers: int) -> None:
        super().__init__()
        hidden = width // 4
        self.spa_mask = nn.Sequential(
            nn.Conv2d(width, hidden, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(hidden, 2, 3, stride=2, padding=1, output_padding=1),
        )
        self.body = SMB(width, num_layers=num_layers)
        self.ca = ChannelAttention(width, width // 16)

    def masks(self, x: Tensor) -> Masks:
        """Masks for the features `x`; a last odd row or column lies outside the spatial mask."""
        logits = self.spa_mask(x)
        if self.training:
            spatial = F.gumbel_softmax(logits, dim=1)[:, 1:]
        else:
            spatial = (logits[:, 1:] > logits[:, :1]).to(x.dtype)
        spatial = F.pad(spatial, (0, x.shape[3] - spatial.shape[3], 0, x.shape[2] - spatial.shape[2]))
        return Masks(spatial, *self.body.channel_masks())

    def forward(self, x: Tensor) -> tuple[Tensor, Masks]:
        masks = self.masks(x)
        return self.ca(self.body(x, masks)) + x, masks


class SMSR(nn.Module):
    """Head, five SMMs whose outputs are all collected, long skip, pixel shuffle on top of bicubic upsampling."""

    channels_last_pays = False
    """On a CPU it ran at 0.83 of its speed."""

    def __init__(self, *, scale: int, width: int = 64, num_modules: int = 5, num_layers: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean = MeanShift(sign=-1, value_range=NATIVE_RANGE)
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self.body = nn.ModuleList(SMM(width, num_layers=num_layers) for _ in range(num_modules))
        self.collect = nn.Sequential(
            nn.Conv2d(num_modules * width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.tail = pixel_shuffle_tail(width, scale)
        self.add_mean = MeanShift(sign=1, value_range=NATIVE_RANGE)

    def forward(self, x: Tensor) -> Tensor:
        return self._with_masks(x)[0]

    def forward_with_sparsity(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """SR, and the share of values computed in each layer, (n, modules, layers).

        The paper trains with L1 plus `lambda * share.mean()`, lambda = 0.1 * min((epoch - 1) / 50, 1).
        """
        sr, masks = self._with_masks(x)
        return sr, torch.stack([m.computed_share() for m in masks], 1)

    def mask_densities(self, x: Tensor) -> Tensor:
        """Share of pixels inside each module's spatial mask, (n, modules)."""
        return torch.stack([m.spatial.mean((1, 2, 3)) for m in self._with_masks(x)[1]], 1)

    def _with_masks(self, x: Tensor) -> tuple[Tensor, list[Masks]]:
        x = self.sub_mean(x * NATIVE_RANGE)
        shallow = features = self.head(x)
        outputs, masks = [], []
        for module in self.body:
            features, mask = module(features)
            outputs.append(features)
            masks.append(mask)
        deep = self.collect(torch.cat(outputs, 1)) + shallow
        bicubic = F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return self.add_mean(self.tail(deep) + bicubic) / NATIVE_RANGE, masks


def _printed_multi_adds(lr: Size, scale: int) -> int:
    # That module describes the network of this one, so it can only be loaded after it.
    from baselines.smsr_counts import printed_multi_adds

    return printed_multi_adds(lr, scale)


def _printed_from_exact(lr: Size, scale: int) -> Mapping[str, float]:
    from baselines.smsr_counts import from_exact

    return from_exact(lr, scale)


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="smsr",
        display_name="SMSR",
        build=lambda scale: SMSR(scale=scale),
        scales=(2, 3, 4),
        min_side_px=2,
        paper_count=PaperCount(
            multi_adds=_printed_multi_adds,
            from_exact=_printed_from_exact,
            formula="convolutions, transposed ones at output size, a fixed share of the bodies skipped, no mean shifts",
            params_without="ch_mask$",
            note="The skipped share (49, 39, 33%) is solved from the printed numbers, not published.",
        ),
        paper=Paper(
            title="Exploring Sparsity in Image Super-Resolution for Efficient Inference",
            authors="Wang, Dong, Wang, et al.",
            venue="CVPR 2021",
            year=2021,
            arxiv="2006.09603",
            code_url="https://github.com/LongguangWang/SMSR",
        ),
        licence="none stated",
        weights={
            2: Weights(
                file="smsr/model_1000.pt",
                sha256="fe2a9ea09595e1ee3288d5543a22802ead716bdd0b4df9a5af373eb943eced0a",
                size_bytes=3_970_719,
                url=(
                    "https://github.com/LongguangWang/SMSR/raw/e1fd21e99a1baad14b6e6b4a7cd36735d7180ea5/"
                    "experiment/SMSR_X2/model/model_1000.pt"
                ),
                licence="none stated",
                note="x2 is the only published scale.",
            )
        },
        inference=CropToMultiple(2),
        note=(
            "Runs in the dense-equivalent form: the sparse result, without skipping anything. So multi-adds are those "
            "of all masks on; the printed ones depend on image content. Latency and memory are this form's, not those "
            "of the authors' sparse kernels."
        ),
    ),
)
