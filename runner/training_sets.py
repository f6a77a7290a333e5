"""Where training sets keep their images: DIV2K, Flickr2K, DF2K, LSDIR, BSDS400, or any folder of images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.datasets import DataMissing, find_root, prepared_folder
from runner.images import image_files
from zoo.contract import BadInput
from zoo.protocols import LrRecipe

HR_FOLDERS: Final = (
    "DIV2K_train_HR",
    "Flickr2K_HR",
    "DF2K_train_HR",
    "DF2K_HR",
    "LSDIR_HR",
    "HR/train",
    "train",
    "HR",
    "HR_train",
)
"""Where known sets keep their HR images below their root: the first that holds images wins, else the root itself."""

TOGETHER: Final = ("DIV2K_train_HR", "Flickr2K_HR")
"""Folders that are one set where both are there."""

UNIONS: Final = {"df2k": ("DIV2K", "Flickr2K")}
"""Names that stand for several sets, unless a folder has that name."""


@dataclass(frozen=True)
class TrainingFolder:
    """The HR images of one folder, in order, and where LR images that came with them are."""

    hr: tuple[Path, ...]
    lr_folders: tuple[Path, ...] = ()
    "Folders that may hold the LR image of each, `<name>x4.png` or `<name>.png`; the first that exists is taken."

    def lr_of(self, hr: Path, scale: int) -> Path:
        """The LR image that came with an HR image. Raises BadInput where there is none."""
        folder = next((folder for folder in self.lr_folders if folder.is_dir()), None)
        if folder is None:
            places = ", ".join(map(str, self.lr_folders)) or "this layout"
            raise BadInput(f"{hr.parent} has no LR images (searched {places}). Leave --lr out: LR is then made.")
        for stem in (f"{hr.stem}x{scale}", hr.stem):
            if (path := folder / f"{stem}.png").is_file():
                return path
        raise BadInput(f"{folder} has no LR image for {hr.name} (expected {hr.stem}x{scale}.png or {hr.stem}.png).")


def training_folders(
    sets: Iterable[str], scale: int, *, folders: Iterable[Path] = (), cache: Path | None = None
) -> list[TrainingFolder]:
    """Images of training sets, by name (searched as `esr data` does) or folder; `NAME:10000` is the first 10,000.

    Raises BadInput: a set that is not here, or a folder without images.
    """
    found: list[TrainingFolder] = []
    for asked in sets:
        name, limit = _limited(asked)
        parts = [
            part
            for root in _roots(name, lambda one: find_root(one, folders=tuple(folders), cache=cache))
            for part in _below(root, scale)
        ]
        found += parts if limit is None else _first(parts, limit, asked)
    return found


def _limited(asked: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.+):(\d+)", asked)
    return (match[1], int(match[2])) if match else (asked, None)


def _roots(name: str, find: Callable[[str], Path]) -> list[Path]:
    try:
        return [find(name)]
    except DataMissing:
        if name.lower() not in UNIONS:
            raise
        return [find(part) for part in UNIONS[name.lower()]]


def _first(parts: list[TrainingFolder], limit: int, asked: str) -> list[TrainingFolder]:
    """The first `limit` images. Raises BadInput where there are fewer: a part would pass for the whole."""
    kept, left = [], limit
    for part in parts:
        kept.append(TrainingFolder(part.hr[:left], part.lr_folders))
        left -= len(kept[-1].hr)
    if left:
        raise BadInput(
            f"{asked} wants {limit:,} images, {limit - left:,} are here. Complete the set, or ask for those."
        )
    return [part for part in kept if part.hr]


def _below(root: Path, scale: int) -> list[TrainingFolder]:
    together = [root / name for name in TOGETHER]
    candidates = [*(root / name for name in HR_FOLDERS), root]
    chosen = together if all(map(_files, together)) else [next((c for c in candidates if _files(c)), root)]
    parts = [TrainingFolder(tuple(_files(folder)), tuple(_lr_folders(root, folder, scale))) for folder in chosen]
    if not parts[0].hr:
        raise BadInput(f"{root} holds no images (png, jpg, bmp), nor does one of {', '.join(HR_FOLDERS)} in it.")
    return parts


def _files(folder: Path) -> list[Path]:
    """Images of a folder, or of its numbered subfolders, as LSDIR has them (0001000/0000001.png)."""
    if not folder.is_dir():
        return []
    shards = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())
    return image_files(folder) or [file for shard in shards for file in image_files(shard)]


def _lr_folders(root: Path, hr: Path, scale: int) -> Iterable[Path]:
    if hr.name.endswith("_HR"):
        yield root / f"{hr.name.removesuffix('_HR')}_LR_bicubic" / f"X{scale}"
    yield root / "LR_bicubic" / f"X{scale}"
    yield root / prepared_folder(LrRecipe.MATLAB_U8, scale)
