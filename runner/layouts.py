"""How people keep a data set on disk: where its HR images lie, where the LR images of a scale, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.images import image_files
from zoo.contract import BadInput
from zoo.protocols import LrRecipe

SCALES: Final = range(2, 9)
"""Scales at which LR images are looked for."""
CONTAINERS: Final = ("", "benchmark", "datasets", "DIV2K")
"""Folders of a data folder in which sets lie: EDSR's archive has `benchmark`, BasicSR's clone `datasets`."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way of keeping a data set; paths are below its folder (`../`: beside it), with `{scale}` and `{name}`."""

    key: str
    "Whose it is."
    hr: str
    lr: str
    lr_recipe: LrRecipe
    "What the LR images of this layout were made with."
    hr_stem: str = "{image}"
    "File name of an HR image without suffix."
    lr_stems: tuple[str, ...] = ("{image}x{scale}", "{image}")
    "File names that its LR image may have."


LAYOUTS: Final = (
    Layout(key="EDSR", hr="HR", lr="LR_bicubic/X{scale}", lr_recipe=LrRecipe.MATLAB_U8),
    # BasicSR's script works on a double image.
    Layout(key="BasicSR", hr="GTmod12", lr="LRbicx{scale}", lr_recipe=LrRecipe.MATLAB_FLOAT),
    Layout(key="DIV2K", hr="{name}_HR", lr="{name}_LR_bicubic/X{scale}", lr_recipe=LrRecipe.MATLAB_U8),
    # Its LR is an older MATLAB's: 0 values differ on Set14 and BSD100.
    Layout(
        key="SelfExSR",
        hr="image_SRF_{scale}",
        lr="image_SRF_{scale}",
        lr_recipe=LrRecipe.MATLAB_U8_REPLICATE,
        hr_stem="{image}_SRF_{scale}_HR",
        lr_stems=("{image}_SRF_{scale}_LR",),
    ),
    Layout(key="DIV2K", hr="../{name}_HR", lr="../{name}_LR_bicubic/X{scale}", lr_recipe=LrRecipe.MATLAB_U8),
    Layout(key="NTIRE", hr="../{name}_HR", lr="../{name}_LR", lr_recipe=LrRecipe.MATLAB_U8),
    Layout(key="folder", hr=".", lr="LR_bicubic/X{scale}", lr_recipe=LrRecipe.MATLAB_U8),
)


@dataclass(frozen=True)
class Place:
    """A data set on disk: its folder, the layout that fits, and the scale of its HR images where they have one."""

    root: Path
    layout: Layout
    scale: int | None
    "Of a layout that keeps HR by scale; None for all others."

    @property
    def hr(self) -> Path:
        """Folder of the HR images."""
        return self.path(self.layout.hr, self.scale or 0)

    def lr(self, scale: int) -> Path:
        """Folder of the LR images that came with it; it need not be there."""
        return self.path(self.layout.lr, scale)

    def has_lr(self, scale: int) -> bool:
        """True where LR images of this scale came with it."""
        folder = self.lr(scale)
        if not is_folder(folder) or (folder == self.hr and self.scale != scale):
            return False
        return "{scale}" in self.layout.lr or any(path.stem.endswith(f"x{scale}") for path in image_files(folder))

    def path(self, template: str, scale: int) -> Path:
        """A folder of the layout."""
        return _below(self.root, template, scale)

    def hr_files(self) -> dict[str, Path]:
        """HR files by image name, in order. Raises BadInput for two of one name."""
        return _named(self.hr, _pattern(self.layout.hr_stem, self.scale))

    def lr_files(self, images: Iterable[str], scale: int) -> dict[str, Path]:
        """The given LR file of every image. Raises BadInput unless the two sets are the same."""
        return match_lr(images, self.lr(scale), scale, self.layout.lr_stems, only_lr=self.lr(scale) != self.hr)


def places(root: Path, scale: int | None = None) -> list[Place]:
    """Every layout that fits a folder, in order; of HR kept by scale that of `scale`, else of the smallest."""
    found = []
    for layout in LAYOUTS:
        by_scale = "{scale}" in layout.hr
        for tried in dict.fromkeys((scale, *SCALES)) if by_scale else (None,):
            place = Place(root, layout, tried)
            if (tried is not None or not by_scale) and is_folder(place.hr) and place.hr_files():
                found.append(place)
                break
    return found


def place_of(root: Path, scale: int | None = None) -> Place | None:
    """The layout of a folder; of several with the same HR images the one whose LR is there."""
    found = places(root, scale)
    if not found:
        return None
    same_hr = [place for place in found if place.hr == found[0].hr]
    wanted = (scale,) if scale else SCALES
    return next((place for place in same_hr if any(place.has_lr(s) for s in wanted)), found[0])


def require_place(root: Path, scale: int | None = None) -> Place:
    """`place_of`, or BadInput that says where images were expected."""
    if found := place_of(root, scale):
        return found
    places_shown = dict.fromkeys(layout.hr.format(name=root.name, scale=scale or 4) for layout in LAYOUTS[:-1])
    raise BadInput(
        f"{root} holds no images, neither itself nor in {', '.join(places_shown)}. Put HR images there as PNG files."
    )


def beside(path: Path) -> Path | None:
    """The set whose HR folder is `<path>_HR`, or is `path` itself: NTIRE and DIV2K keep HR and LR side by side."""
    if path.name.endswith("_HR") and len(path.name) > len("_HR") and is_folder(path):
        return path.with_name(path.name.removesuffix("_HR"))
    return path if path.name and is_folder(path.with_name(f"{path.name}_HR")) else None


def is_folder(path: Path) -> bool:
    """True for a folder; False for a name that the file system cannot hold too."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def match_lr(
    images: Iterable[str], folder: Path, scale: int, stems: tuple[str, ...], *, only_lr: bool = True
) -> dict[str, Path]:
    """The LR file of every image, under any of the names. Raises BadInput unless the two sets are the same."""
    lr_files = _named(folder, re.compile(r"(?P<image>.+)"))
    matched: dict[str, Path] = {}
    for image in images:
        names = [stem.format(image=image, scale=scale) for stem in stems]
        found = next((lr_files.pop(name) for name in names if name in lr_files), None)
        if found is None:
            expected = " or ".join(f"{name}.png" for name in names)
            raise BadInput(
                f"{folder} has no LR image for {image} (expected {expected}). "
                f"Add it, or move the folder away to have LR generated."
            )
        matched[image] = found
    if lr_files and only_lr:
        raise BadInput(f"{folder} has {next(iter(lr_files.values())).name}, which no HR image has the name of.")
    return matched


def _below(root: Path, template: str, scale: int) -> Path:
    path = template.format(name=root.name, scale=scale)
    return root.parent / path.removeprefix("../") if path.startswith("../") else root / path


def _pattern(stem: str, scale: int | None) -> re.Pattern[str]:
    before, after = stem.format(image="\0", scale=scale).split("\0")
    return re.compile(f"{re.escape(before)}(?P<image>.+){re.escape(after)}")


def _named(folder: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    files = [(match["image"], path) for path in image_files(folder) if (match := pattern.fullmatch(path.stem))]
    found: Mapping[str, Path] = dict(files)
    if len(found) < len(files):
        double = next((image, path) for image, path in files if found[image] != path)
        raise BadInput(f"{folder} has {double[1].name} and {found[double[0]].name}. Keep one file per image name.")
    return dict(found)
