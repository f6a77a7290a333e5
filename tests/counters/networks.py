"""Small networks that the counter tests share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Small(nn.Module):
    """A network with a bit of everything; frozen, bare and shared parts included."""

    def __init__(self, *, scale: int = 2) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding="same"), nn.GELU(), nn.Conv2d(8, 8, 1, groups=2))
        self.tail = nn.Conv2d(8, 3 * scale**2, 1)
        self.gain = nn.Parameter(torch.ones(1, 8, 1, 1), requires_grad=False)
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x - self.mean)
        x = self.body(self.body(x)) * self.gain + torch.tensor([0.1])
        q = F.normalize(x.flatten(2), dim=-1)
        x = x + (q @ q.transpose(1, 2) @ q).view_as(x) * F.adaptive_avg_pool2d(x, 1)
        return F.pixel_shuffle(self.tail(x), self.scale)


class Many(nn.Module):
    """One of each thing that the tools disagree about; 3 channels in, 3 out at twice the size."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.same = nn.Conv2d(8, 8, 3, padding="same", groups=2)
        self.act = nn.GELU()
        self.rectify = nn.LeakyReLU(0.1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 8)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.bare = nn.Parameter(torch.ones(8))
        self.tail = nn.Conv2d(8, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.head(x)) + self.rectify(F.relu(self.same(self.head(x))))
        x = x * self.pool(x) + F.max_pool2d(x, 3, 1, 1)
        tokens = self.linear(self.norm(x.permute(0, 2, 3, 1)) * self.bare)
        scores = tokens.flatten(1, 2).transpose(1, 2) @ tokens.flatten(1, 2)
        x = x + torch.einsum("bcd,bdhw->bchw", scores.softmax(-1), x)
        small = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
        x = x + F.interpolate(small, size=x.shape[2:], mode="nearest").mul(2)
        return self.tail(self.up(x))
