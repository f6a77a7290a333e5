"""Pictures of a gallery as plain data: made by `runner.gallery`, shown by the page. Nothing here reads an image."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Final

from zoo.facts import Json
from zoo.protocols import Size

GALLERY_BYTES: Final = 12 * 2**20
"""Most that the pictures of a gallery may add to the page; images beyond it are left out, and the page says so."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of an HR image, in pixels."""

    top: int
    left: int
    size: Size

    def __str__(self) -> str:
        return f"{self.top},{self.left},{self.size}"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded image."""

    mime: str
    data: bytes
    lossless: bool

    @property
    def uri(self) -> str:
        """The picture as text that a page can hold."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, kw_only=True)
class PanelScore:
    """PSNR in dB (inf where equal) and SSIM of luma, border of one scale cut for the image, nothing for the crop."""

    psnr_y_db: float
    ssim_y: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One network's view of a region, or why there is none."""

    model: str
    label: str
    picture: Picture | None
    detail: str = ""
    "Origin of the weights where they are not the authors', the protocol's inference rule."
    whole: PanelScore | None = None
    "Of the whole image."
    crop: PanelScore | None = None
    "Of the region alone."
    missing: str = ""
    "What is missing and how to get it, where there is no picture."


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One image of the gallery."""

    name: str
    size: Size
    region: Region
    chosen: str
    "How the region came about."
    overview: Picture
    "The whole HR image, small and lossy."
    panels: tuple[Panel, ...]
    "HR first, bicubic second, then the networks."

    @property
    def size_bytes(self) -> int:
        """What its pictures take in the page."""
        pictures = (self.overview, *(panel.picture for panel in self.panels))
        return sum(4 * len(picture.data) // 3 for picture in pictures if picture)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Images of one data set side by side."""

    dataset: str
    scale: int
    protocol: str
    "Evaluation protocol without the inference rule, which is each network's own."
    rule: str
    "How images and regions were chosen, in words."
    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...] = ()
    "Names of images that would have broken the size limit."

    @property
    def size_bytes(self) -> int:
        """What all pictures take in the page."""
        return sum(scene.size_bytes for scene in self.scenes)


def payload(gallery: Gallery | None) -> Json:
    """The gallery for its script; positions are named in `templates/sections/gallery.js`."""
    if gallery is None:
        return None
    return [
        [
            scene.name,
            [scene.size.height, scene.size.width],
            [scene.region.top, scene.region.left, *scene.region.size],
            scene.overview.uri,
            [_panel(panel) for panel in scene.panels],
        ]
        for scene in gallery.scenes
    ]


def _panel(panel: Panel) -> Json:
    return [
        panel.model,
        panel.label,
        panel.picture.uri if panel.picture else "",
        panel.detail,
        _scores(panel.whole),
        _scores(panel.crop),
        panel.missing,
    ]


def _scores(score: PanelScore | None) -> Json:
    if score is None:
        return None
    psnr = f"{score.psnr_y_db:.2f}" if math.isfinite(score.psnr_y_db) else "∞"
    return [psnr, f"{score.ssim_y:.4f}"]
