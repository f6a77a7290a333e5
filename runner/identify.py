"""Which recipe made the LR images of a folder: bit-exact where one did, else the closest and what is off."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np

from runner.images import U8, image_files, read_rgb, size_of
from runner.layouts import place_of
from runner.resize_others import make_lr, opencv_sums, opencv_ties
from zoo.contract import BadInput, JobFailed
from zoo.protocols import LrRecipe, Size

SCALES: Final = range(2, 9)
MULTIPLES: Final = (1, 12, 24, 2, 3, 4, 8)
"""Mod-crops that are tried where HR over the scale does not fit; 1 is the scale itself."""
_HR_STEM: Final = re.compile(r"(?P<image>.+?)(?:_SRF_\d+)?(?:_HR(?:_x\d+)?)?")
_LR_STEM: Final = re.compile(r"(?P<image>.+?)(?:_SRF_\d+)?(?:_LR(?:BI|_bicubic)?)?(?:_?x\d+)?")
_BORDER_LR_PX: Final = 3
"""LR pixels at each side into which a recipe's border rule reaches."""
_WINDOW_LR_PX: Final = 48
"""Side of the part that is searched for a shift."""
_SHIFTED_AT_MOST: Final = 0.5
"""A shift is named when it leaves at most this share of the differences."""

Pairs = Mapping[str, tuple[Path, Path]]
"""Image -> its HR and its LR file."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """How well one recipe explains the LR images."""

    recipe: LrRecipe
    scale: int
    images: int
    exact_images: int
    values: int
    differing: int
    "Values that differ; of OpenCV's recipe without those that lie between two grey levels, which builds round freely."
    largest: int
    "Largest difference, in grey levels."
    unlike: tuple[str, ...] = ()
    "Images with a difference."

    @property
    def exact(self) -> bool:
        """True where this recipe makes every value."""
        return self.differing == 0


@dataclass(frozen=True, kw_only=True)
class Identified:
    """What made a set of LR images, as far as it can be told."""

    scale: int
    multiple: int
    "HR was cropped to this multiple first; 1 where to the scale only."
    rounded_up: bool
    "LR sizes are HR over the scale rounded up: HR was not mod-cropped, and the last LR pixels are not compared."
    matches: tuple[Match, ...]
    "Best first."
    notes: tuple[str, ...]
    "What else was found: a shift, swapped channels, lossy files."


def pair_up(hr_files: Sequence[Path], lr_files: Sequence[Path]) -> dict[str, tuple[Path, Path]]:
    """HR and LR files by image, whatever suffixes (`_HR`, `x4`, `_SRF_4_LR`) they carry. Raises BadInput."""
    hr, lr = _by_image(hr_files, _HR_STEM), _by_image(lr_files, _LR_STEM)
    if not hr or not lr:
        raise BadInput("One of the folders holds no images. Expected a folder of HR and one of LR images.")
    if lacking := sorted(set(hr) ^ set(lr)):
        here, there = ("HR", "LR") if lacking[0] in hr else ("LR", "HR")
        raise BadInput(
            f"{lacking[0]} is an {here} image without an {there} image ({len(lacking)} such of {len(hr)} HR and "
            f"{len(lr)} LR). Expected the same names, LR also with x4, _LR or _SRF_4_LR at the end."
        )
    return {image: (path, lr[image]) for image, path in hr.items()}


def files_of(folder: Path, ending: str) -> list[Path]:
    """Images of a folder, of a data set's folder its HR; only those named `..._HR` (`_LR`) where both lie in one."""
    if not folder.is_dir():
        raise BadInput(f"There is no folder {str(folder)!r}. Pass an existing folder of {ending[1:]} images.")
    files = image_files(folder)
    if not files and ending == "_HR" and (place := place_of(folder.resolve())):
        return list(place.hr_files().values())
    marked = [path for path in files if path.stem.endswith(ending)]
    both = any(path.stem.endswith("_LR") for path in files) and any(path.stem.endswith("_HR") for path in files)
    return marked if both else files


def identify(pairs: Pairs, on_image: Callable[[], None] | None = None) -> Identified:
    """Every recipe against every image, one image in memory at a time.

    Raises BadInput for an unreadable image, JobFailed where no scale fits the sizes.
    """
    scale, multiple, rounded_up = _geometry(pairs)
    totals = {recipe: _nothing(recipe, scale) for recipe in LrRecipe}
    for image in pairs:
        hr, lr = _load(pairs[image], multiple)
        for recipe, total in totals.items():
            totals[recipe] = _added(total, image, _differences(hr, lr, scale, recipe, inside=rounded_up))
        if on_image:
            on_image()
    matches = sorted(totals.values(), key=lambda match: (match.differing, match.largest))
    notes: tuple[str, ...] = ()
    if not matches[0].exact:
        notes = tuple(_notes(pairs, matches[0], multiple))
    return Identified(scale=scale, multiple=multiple, rounded_up=rounded_up, matches=tuple(matches), notes=notes)


def _by_image(files: Sequence[Path], pattern: re.Pattern[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        match = pattern.fullmatch(path.stem)
        image = match["image"] if match else path.stem
        if image in found:
            raise BadInput(f"{path.parent} has {found[image].name} and {path.name} for one image. Keep one of them.")
        found[image] = path
    return found


def _geometry(pairs: Pairs) -> tuple[int, int, bool]:
    """Scale, mod-crop, and whether sizes are rounded up; what fits all images. Raises JobFailed."""
    sizes = {image: (size_of(_read(hr)), size_of(_read(lr))) for image, (hr, lr) in pairs.items()}
    fitting: Counter[tuple[int, int, bool]] = Counter()
    for hr, lr in sizes.values():
        # Of several explanations of one size each counts; only one that fits all images is taken.
        fitting.update(
            (scale, multiple, up)
            for scale, multiple, up in product(SCALES, MULTIPLES, (False, True))
            if lr == _lr_size(hr, scale, multiple, up)
        )
    for geometry in sorted(fitting, key=lambda g: (g[2], MULTIPLES.index(g[1]), g[0])):
        if fitting[geometry] == len(pairs):
            return geometry
    best = max(fitting, key=lambda g: fitting[g]) if fitting else None
    odd = next(i for i, (hr, lr) in sizes.items() if best is None or lr != _lr_size(hr, *best))
    hr, lr = sizes[odd]
    others = f"{fitting[best]} of {len(pairs)} images fit x{best[0]}" if best else "no image fits any scale from 2 to 8"
    raise JobFailed(
        f"No scale fits all images: {others}; {odd} has HR {hr} and LR {lr}, which is {hr.height / lr.height:.3f} and "
        f"{hr.width / lr.width:.3f} times smaller. Expected LR sides of HR over the scale: check that the folders "
        f"belong together."
    )


def _lr_size(hr: Size, scale: int, multiple: int, up: bool) -> Size:
    if multiple % scale and multiple != 1:
        return Size(0, 0)
    if up:
        return Size(*(-(-side // scale) for side in hr)) if multiple == 1 else Size(0, 0)
    return Size(*((side - side % multiple) // scale for side in hr))


def _load(pair: tuple[Path, Path], multiple: int) -> tuple[U8, U8]:
    hr, lr = (_read(path) for path in pair)
    return hr[: hr.shape[0] - hr.shape[0] % multiple, : hr.shape[1] - hr.shape[1] % multiple], lr


def _read(path: Path) -> U8:
    return read_rgb(path, grey_to_rgb=True)


def _differences(hr: U8, lr: U8, scale: int, recipe: LrRecipe, *, inside: bool) -> U8:
    """Absolute difference of each value; 0 for neighbours where OpenCV's builds round as they like."""
    made = make_lr(hr, scale, recipe)
    height, width = made.shape[:2]
    found: U8 = np.abs(made.astype(np.int16) - lr[:height, :width]).astype(np.uint8)
    if recipe is LrRecipe.OPENCV:
        found[opencv_ties(opencv_sums(hr, scale)) & (found == 1)] = 0
    return found[: height - _BORDER_LR_PX, : width - _BORDER_LR_PX] if inside else found


def _nothing(recipe: LrRecipe, scale: int) -> Match:
    return Match(recipe=recipe, scale=scale, images=0, exact_images=0, values=0, differing=0, largest=0)


def _added(total: Match, image: str, differences: U8) -> Match:
    differing = int(np.count_nonzero(differences))
    return replace(
        total,
        images=total.images + 1,
        exact_images=total.exact_images + (differing == 0),
        values=total.values + differences.size,
        differing=total.differing + differing,
        largest=max(total.largest, int(differences.max(initial=0))),
        unlike=total.unlike if differing == 0 else (*total.unlike, image),
    )


def _notes(pairs: Pairs, best: Match, multiple: int) -> list[str]:
    """What explains the differences that the closest recipe leaves."""
    image = best.unlike[0]
    hr, lr = _load(pairs[image], multiple)
    notes = []
    if lossy := [path for _hr, path in pairs.values() if path.suffix.lower() in (".jpg", ".jpeg", ".webp")]:
        notes.append(f"{len(lossy)} LR files are lossy ({lossy[0].name}): no recipe can be met exactly")
    own = np.count_nonzero(_differences(hr, lr, best.scale, best.recipe, inside=True))
    swapped = np.count_nonzero(
        _differences(hr, np.ascontiguousarray(lr[:, :, ::-1]), best.scale, best.recipe, inside=True)
    )
    if swapped < own * _SHIFTED_AT_MOST:
        notes.append(f"red and blue are swapped in LR: with them exchanged {swapped:,} values of {image} differ")
    if found := shift_of(hr, lr, best.scale):
        (down, right), recipe, left, values = found
        notes.append(
            f"LR is shifted: it starts {down:+d} pixels down and {right:+d} right in HR; there {left:,} of {values:,} "
            f"values in the middle of {image} differ from {recipe.value}"
        )
    return notes


def shift_of(hr: U8, lr: U8, scale: int) -> tuple[tuple[int, int], LrRecipe, int, int] | None:
    """Where in HR (rows down, columns right) LR starts, if not at its corner, by the middle of an image.

    Gives the shift, the recipe that fits there, the values that still differ, and the values compared. Rows and
    columns up to the scale are tried; None where no shift leaves half of the differences or fewer.
    """
    reach = _BORDER_LR_PX + 1
    # One LR pixel is left at each side, so that the part can be moved by the scale.
    height, width = (min(side - 2, _WINDOW_LR_PX) for side in size_of(lr))
    if min(height, width) <= 2 * reach + 1:
        return None
    top, left = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2
    inner = lr[top + reach : top + height - reach, left + reach : left + width - reach].astype(np.int16)
    counts: dict[tuple[int, int, LrRecipe], int] = {}
    for down, right in product(range(-scale, scale + 1), repeat=2):
        rows, columns = top * scale + down, left * scale + right
        part = hr[max(0, rows) : rows + height * scale, max(0, columns) : columns + width * scale]
        if rows < 0 or columns < 0 or part.shape[:2] != (height * scale, width * scale):
            continue
        for recipe in LrRecipe:
            made = make_lr(part, scale, recipe)[reach : height - reach, reach : width - reach]
            counts[down, right, recipe] = int(np.count_nonzero(made.astype(np.int16) - inner))
    unshifted = min((count for (down, right, _), count in counts.items() if not (down or right)), default=inner.size)
    best = min(counts, key=lambda key: (counts[key], abs(key[0]) + abs(key[1])), default=None)
    if best is None or not (best[0] or best[1]) or counts[best] > unshifted * _SHIFTED_AT_MOST:
        return None
    return (best[0], best[1]), best[2], counts[best], inner.size
