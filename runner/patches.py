"""Training patches: images decoded once into memory-mapped files, patches drawn by counting, not by a running state.

The patches of step k depend on the seed and on k alone. So a run that goes on from any step draws what an uninterrupted
one would, and several devices draw the parts of one global batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.images import U8, image_files, read_rgb, size_of
from runner.resize import modcrop_size
from runner.resize_others import make_lr
from zoo.contract import BadInput
from zoo.files import atomic_target, write_text_atomically
from zoo.protocols import LrRecipe, Size

_CACHE_VERSION: Final = 1
_HR_FOLDERS: Final = ("DIV2K_train_HR", "Flickr2K_HR", "LSDIR_HR", "HR", "HR_train")
"""Where known training sets keep their HR images below their root, the first that holds images wins; else the root."""


class OnBad(Enum):
    """What an image that cannot be read, or is smaller than a patch, does to a training set."""

    STOP = "stop"
    "It ends the opening with its name."
    SKIP = "skip"
    "It is left out and listed."


@dataclass(frozen=True)
class TrainingImages:
    """Every image of a training set as uint8, memory-mapped: one flat file of LR and one of HR values."""

    scale: int
    names: tuple[str, ...]
    lr_sizes: tuple[Size, ...]
    skipped: tuple[str, ...]
    "Images that could not be used, with the reason."
    lr: npt.NDArray[np.uint8]
    hr: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    "Index of each image's first LR pixel; its first HR pixel is this times scale squared."

    def image(self, index: int) -> tuple[U8, U8]:
        """LR (h, w, 3) and HR (h*scale, w*scale, 3) of one image, views into the files."""
        size, start = self.lr_sizes[index], int(self.starts[index])
        count = size.height * size.width
        lr = self.lr[start * 3 : (start + count) * 3].reshape(size.height, size.width, 3)
        area = self.scale**2
        hr = self.hr[start * area * 3 : (start + count) * area * 3]
        return lr, hr.reshape(size.height * self.scale, size.width * self.scale, 3)


def hr_files(root: Path) -> list[Path]:
    """HR images of a training set: DIV2K, Flickr2K, LSDIR layouts, or a folder of images. Raises BadInput."""
    if not root.is_dir():
        raise BadInput(f"{root} is no folder. Pass --data with a folder of training images (BSDS400, DIV2K, ...).")
    for folder in (*(root / name for name in _HR_FOLDERS), root):
        if folder.is_dir() and (files := image_files(folder)):
            return files
    raise BadInput(f"{root} holds no images (png, jpg, bmp), nor does one of {', '.join(_HR_FOLDERS)} in it.")


def open_training_images(
    roots: Sequence[Path],
    *,
    scale: int,
    lr_patch_px: int,
    cache: Path,
    recipe: LrRecipe = LrRecipe.MATLAB_U8,
    on_bad: OnBad = OnBad.STOP,
    on_image: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainingImages:
    """The training set of some folders, decoded and downsampled once into `cache` and mapped from there.

    `on_bad` says what an image that cannot be read or is smaller than a patch does: STOP raises BadInput with its
    name, SKIP leaves it out and lists it in `skipped`. A changed file makes the cache anew.
    """
    files = [file for root in roots for file in hr_files(root)]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    question = json.dumps([_CACHE_VERSION, scale, lr_patch_px, recipe.value, on_bad.value, stats])
    folder = cache / f"patches-{hashlib.sha256(question.encode()).hexdigest()[:16]}"
    index = folder / "index.json"
    if not index.is_file():
        try:
            _build(files, folder, index, scale, lr_patch_px, recipe, on_bad, on_image)
        except BaseException:
            # The files are gone already, each with its own failure; an empty folder would only puzzle.
            with suppress(OSError):
                folder.rmdir()
            raise
    return _mapped(folder, index, scale)


def _build(
    files: Sequence[Path],
    folder: Path,
    index: Path,
    scale: int,
    lr_patch_px: int,
    recipe: LrRecipe,
    on_bad: OnBad,
    on_image: Callable[[int, int], None],
) -> None:
    names, sizes, skipped = [], [], []
    with atomic_target(folder / "lr.u8") as lr_part, atomic_target(folder / "hr.u8") as hr_part:
        with lr_part.open("wb") as lr_file, hr_part.open("wb") as hr_file:
            for done, file in enumerate(files, 1):
                try:
                    lr, hr = _pair(file, scale, lr_patch_px, recipe)
                except BadInput as error:
                    if on_bad is OnBad.STOP:
                        raise BadInput(
                            f"{error} Mend or remove it, or leave such images out with --on-bad skip."
                        ) from error
                    skipped.append(f"{file.name}: {error}")
                    continue
                lr_file.write(np.ascontiguousarray(lr).data)
                hr_file.write(np.ascontiguousarray(hr).data)
                names.append(file.name)
                sizes.append(list(size_of(lr)))
                on_image(done, len(files))
        if not names:
            raise BadInput(f"None of {len(files)} training images can be used. The first: {skipped[0]}")
    # Written last: its presence says that the other two are whole.
    write_text_atomically(index, json.dumps({"names": names, "lr_sizes": sizes, "skipped": skipped}))


def _pair(file: Path, scale: int, lr_patch_px: int, recipe: LrRecipe) -> tuple[U8, U8]:
    hr = read_rgb(file, grey_to_rgb=True)
    size = modcrop_size(size_of(hr), scale)
    if min(size) < lr_patch_px * scale:
        raise BadInput(
            f"{file.name} is {size_of(hr)}, smaller than a patch of {lr_patch_px * scale} px "
            f"({lr_patch_px} px LR at x{scale})."
        )
    hr = hr[: size.height, : size.width]
    return make_lr(hr, scale, recipe), hr


def _mapped(folder: Path, index: Path, scale: int) -> TrainingImages:
    content = json.loads(index.read_text(encoding="utf-8"))
    sizes = tuple(Size(*size) for size in content["lr_sizes"])
    counts = np.array([size.height * size.width for size in sizes], dtype=np.int64)
    return TrainingImages(
        scale=scale,
        names=tuple(content["names"]),
        lr_sizes=sizes,
        skipped=tuple(content["skipped"]),
        lr=np.memmap(folder / "lr.u8", dtype=np.uint8, mode="r"),
        hr=np.memmap(folder / "hr.u8", dtype=np.uint8, mode="r"),
        starts=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64),
    )


def draw(
    images: TrainingImages, *, step: int, batch: int, lr_patch_px: int, seed: int, part: slice = slice(None)
) -> tuple[U8, U8]:
    """Patches of one step: LR (n, p, p, 3) and HR (n, p*scale, p*scale, 3), flipped and rotated at random.

    `part` picks the patches of one device out of the global batch.
    """
    random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    chosen = random.integers(len(images.names), size=batch)
    places = random.random((batch, 2))
    turns = random.integers(8, size=batch)
    scale = images.scale
    lrs, hrs = [], []
    for image, place, turn in zip(chosen[part], places[part], turns[part], strict=True):
        lr, hr = images.image(int(image))
        top, left = (int(at * (side - lr_patch_px + 1)) for at, side in zip(place, lr.shape[:2], strict=True))
        lrs.append(_turned(lr[top : top + lr_patch_px, left : left + lr_patch_px], int(turn)))
        rows = slice(top * scale, (top + lr_patch_px) * scale)
        columns = slice(left * scale, (left + lr_patch_px) * scale)
        hrs.append(_turned(hr[rows, columns], int(turn)))
    return np.stack(lrs), np.stack(hrs)


def _turned(patch: U8, turn: int) -> U8:
    """One of the eight symmetries of the square."""
    turned = np.rot90(patch, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned
