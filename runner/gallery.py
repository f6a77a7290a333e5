"""Pictures for the report: networks side by side on the parts of images where they disagree most."""

from __future__ import annotations

import difflib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from reports.gallery import GALLERY_BYTES, Gallery, Panel, PanelScore, Picture, Region, Scene
from runner.datasets import Dataset, Pair
from runner.images import U8, size_of
from runner.inference import Network
from runner.metrics import WINDOW_PX, scores
from runner.tasks.quality import super_resolve, to_uint8
from zoo.contract import BadInput, EsrError, ModelSpec
from zoo.protocols import EvalProtocol, Size

CROP: Final = Size(120, 180)
"""HR pixels of a region that is chosen: fine detail at twice its size, several panels in a row."""
IMAGES: Final = 3
"""Images of a gallery whose images are not named."""
OVERVIEW_PX: Final = 420
"""Longer side of the small picture that shows where a region lies."""

RULE: Final = (
    "The region of an image is the {size} window in which the networks disagree most: the mean over its pixels of the "
    "variance, over the networks, of 8-bit luma (interpolation has no say where there are two networks); of equal "
    "windows the first in reading order. Images are those whose windows disagree most, unless they were named."
)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A network of the gallery, or why it is not one."""

    spec: ModelSpec
    network: Network | None
    detail: str = ""
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One image through all networks."""

    pair: Pair
    hr: U8
    sr: Mapping[str, U8]
    "Model -> SR; some are smaller than HR (networks that crop)."
    errors: Mapping[str, str]
    region: Region
    disagreement: float


def gallery(
    contestants: Sequence[Contestant],
    dataset: Dataset,
    *,
    images: Sequence[str] = (),
    crops: Mapping[str, Region] | None = None,
    number: int = IMAGES,
    device: str = "cpu",
    limit_bytes: int = GALLERY_BYTES,
    on_image: Callable[[str], None] | None = None,
) -> Gallery:
    """Crops and scores of every contestant on the named images, or on the `number` on which they disagree most.

    `crops` fixes the region of an image and names it. Deterministic for the same networks and images. A network that
    fails on an image has a panel that says so. Raises BadInput: unknown image, region outside it, or no network runs.
    """
    crops = dict(crops or {})
    named = list(dict.fromkeys((*images, *crops)))
    pairs = _pairs(dataset, named)
    if not any(contestant.network for contestant in contestants):
        reasons = " ".join(contestant.missing for contestant in contestants)
        raise BadInput(f"No network of the gallery can be run. {reasons}".strip())
    for pair in pairs:
        if pair.name in crops:
            _require_inside(dataset, pair, crops[pair.name])
    kept: list[_Seen] = []
    for pair in pairs:
        seen = _see(contestants, dataset, pair, crops.get(pair.name), device=device)
        kept.append(seen)
        if not named:
            # Only the best are kept, so that memory does not grow with the data set; a stable sort keeps equal ones.
            kept = sorted(kept, key=lambda one: -one.disagreement)[:number]
        if on_image:
            on_image(pair.name)
    return _within(limit_bytes, kept, contestants, dataset, fixed=crops)


def _pairs(dataset: Dataset, named: Sequence[str]) -> list[Pair]:
    by_name = {pair.name: pair for pair in dataset.pairs}
    for name in named:
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=2)
            hint = f"Did you mean {' or '.join(close)}?" if close else f"It has {', '.join(list(by_name)[:5])}, ..."
            raise BadInput(f"{dataset.name} has no image {name!r}. {hint}")
    return [by_name[name] for name in named] if named else list(dataset.pairs)


def _require_inside(dataset: Dataset, pair: Pair, region: Region) -> None:
    _lr, hr = dataset.load(pair)
    size = size_of(hr)
    small = min(region.size) < WINDOW_PX
    outside = region.top + region.size.height > size.height or region.left + region.size.width > size.width
    if min(region.top, region.left) < 0 or outside or small:
        raise BadInput(
            f"The region {region} does not lie in {pair.name}, which is {size} at x{dataset.scale}. "
            f"Expected TOP,LEFT,HEIGHTxWIDTH in HR pixels inside it, each side at least {WINDOW_PX}."
        )


def _see(
    contestants: Sequence[Contestant], dataset: Dataset, pair: Pair, fixed: Region | None, *, device: str
) -> _Seen:
    lr, hr = dataset.load(pair)
    sr: dict[str, U8] = {}
    errors: dict[str, str] = {}
    for one in contestants:
        if one.network is None:
            continue
        name = f"{pair.name} of {dataset.name}"
        try:
            made = super_resolve(one.network, lr, dataset.scale, one.spec.inference, name=name, device=device)
            sr[one.spec.name] = to_uint8(made)
        except EsrError as error:
            errors[one.spec.name] = str(error)
    learned = [sr[one.spec.name] for one in contestants if one.spec.learned and one.spec.name in sr]
    voices = learned if len(learned) > 1 else list(sr.values()) + [hr] * (len(sr) == 1)
    region, disagreement = most_disputed(voices, size=CROP, border_px=dataset.scale) if sr else (_centre(hr), 0.0)
    return _Seen(pair=pair, hr=hr, sr=sr, errors=errors, region=fixed or region, disagreement=disagreement)


def _centre(hr: U8) -> Region:
    height, width = size_of(hr)
    size = Size(min(CROP.height, height), min(CROP.width, width))
    return Region(top=(height - size.height) // 2, left=(width - size.width) // 2, size=size)


def most_disputed(images: Sequence[U8], *, size: Size, border_px: int) -> tuple[Region, float]:
    """The window with the largest mean variance of luma over `images`, and that variance in squared grey levels.

    Images may differ in size at the bottom and right; the part that all have counts, without a border. Whole numbers
    until the last division, so that equal windows are equal: the first in reading order is taken.
    """
    height = min(img.shape[0] for img in images)
    width = min(img.shape[1] for img in images)
    border = border_px if min(height, width) > 2 * border_px else 0
    window = Size(min(size.height, height - 2 * border), min(size.width, width - 2 * border))
    total = np.zeros((height, width), np.int64)
    squares = np.zeros((height, width), np.int64)
    for img in images:
        luma = _luma(img[:height, :width])
        total += luma
        squares += luma * luma
    n = len(images)
    # n^2 times the variance.
    spread = (n * squares - total * total)[border : height - border, border : width - border]
    sums = _window_sums(spread, window)
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    disagreement = int(sums[top, left]) / (n * n * window.height * window.width)
    return Region(top=int(top) + border, left=int(left) + border, size=window), disagreement


def _luma(img: U8) -> npt.NDArray[np.int64]:
    """Rounded full-range BT.601 luma, 0..255."""
    red, green, blue = (img[..., channel].astype(np.int64) for channel in range(3))
    luma: npt.NDArray[np.int64] = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return luma


def _window_sums(values: npt.NDArray[np.int64], window: Size) -> npt.NDArray[np.int64]:
    """Sum over every window that lies inside, by the place of its first pixel."""
    table = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    high, wide = window
    sums: npt.NDArray[np.int64] = (
        table[high:, wide:] - table[:-high, wide:] - table[high:, :-wide] + table[:-high, :-wide]
    )
    return sums


def _within(
    limit_bytes: int,
    kept: Sequence[_Seen],
    contestants: Sequence[Contestant],
    dataset: Dataset,
    *,
    fixed: Mapping[str, Region],
) -> Gallery:
    """The gallery of as many images, in order, as the limit allows; at least one."""
    scenes: list[Scene] = []
    left_out: list[str] = []
    for seen in kept:
        scene = _scene(seen, contestants, dataset, named=seen.pair.name in fixed)
        if scenes and sum(one.size_bytes for one in scenes) + scene.size_bytes > limit_bytes:
            left_out.append(seen.pair.name)
        else:
            scenes.append(scene)
    return Gallery(
        dataset=dataset.name,
        scale=dataset.scale,
        protocol=EvalProtocol(lr_recipe=dataset.recipe).id(dataset.scale).rpartition("-")[0],
        rule=RULE.format(size=f"{CROP.width}×{CROP.height}"),
        scenes=tuple(scenes),
        left_out=tuple(left_out),
    )


def _scene(seen: _Seen, contestants: Sequence[Contestant], dataset: Dataset, *, named: bool) -> Scene:
    return Scene(
        name=seen.pair.name,
        size=size_of(seen.hr),
        region=seen.region,
        chosen="named" if named else f"mean variance {seen.disagreement:.1f} squared grey levels",
        overview=small(seen.hr),
        panels=tuple(_panels(seen, contestants, dataset)),
    )


def _panels(seen: _Seen, contestants: Sequence[Contestant], dataset: Dataset) -> Iterator[Panel]:
    yield Panel(model="", label="HR", picture=lossless(_cut(seen.hr, seen.region)))
    for one in contestants:
        sr = seen.sr.get(one.spec.name)
        label, missing = one.spec.display_name, one.missing or seen.errors.get(one.spec.name, "")
        if sr is not None:
            missing = missing or _too_small(sr, seen.region)
        if sr is None or missing:
            yield Panel(model=one.spec.name, label=label, picture=None, missing=missing)
            continue
        protocol = EvalProtocol(lr_recipe=dataset.recipe, inference=one.spec.inference)
        height, width = size_of(sr)
        crop = _cut(sr, seen.region)
        yield Panel(
            model=one.spec.name,
            label=label,
            picture=lossless(crop),
            detail=", ".join(filter(None, (one.detail, _rule_in_words(one.spec)))),
            whole=_score(sr, seen.hr[:height, :width], protocol, dataset.scale),
            crop=_score(crop, _cut(seen.hr, seen.region), EvalProtocol(crop_border_px=0), dataset.scale),
        )


def _rule_in_words(spec: ModelSpec) -> str:
    return "" if spec.inference.id == "whole" else f"inference {spec.inference.id}"


def _too_small(sr: U8, region: Region) -> str:
    height, width = size_of(sr)
    if region.top + region.size.height <= height and region.left + region.size.width <= width:
        return ""
    return f"This network's evaluation ends at {width}×{height}, before the region does. Choose another with --crop."


def _cut(img: U8, region: Region) -> U8:
    return img[region.top : region.top + region.size.height, region.left : region.left + region.size.width]


def _score(sr: U8, hr: U8, protocol: EvalProtocol, scale: int) -> PanelScore:
    found = scores(sr, hr, protocol, scale)
    return PanelScore(psnr_y_db=found.psnr_db, ssim_y=found.ssim)


def lossless(img: U8) -> Picture:
    """Every pixel as it is, in the smaller of WebP and PNG."""
    found = [Picture(mime="image/png", data=_encoded(img, "PNG", optimize=True), lossless=True)]
    if _has_webp():
        # The utmost effort (100, 6) takes seventy times as long and saves nothing on photographs.
        data = _encoded(img, "WEBP", lossless=True, quality=80, method=4)
        found.append(Picture(mime="image/webp", data=data, lossless=True))
    return min(found, key=lambda picture: len(picture.data))


def small(img: U8) -> Picture:
    """The image at a thumbnail's size, lossy: it only shows where a region lies."""
    thumbnail = Image.fromarray(img)
    thumbnail.thumbnail((OVERVIEW_PX, OVERVIEW_PX), Image.Resampling.LANCZOS)
    file_format, mime = ("WEBP", "image/webp") if _has_webp() else ("JPEG", "image/jpeg")
    return Picture(mime=mime, data=_encoded(np.asarray(thumbnail), file_format, quality=78), lossless=False)


def _encoded(img: U8, file_format: str, **options: bool | int) -> bytes:
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(img)).save(target, format=file_format, **options)
    return target.getvalue()


def _has_webp() -> bool:
    from PIL import features

    return bool(features.check("webp"))
