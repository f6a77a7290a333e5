"""Training patches, drawn by counting and not by a running state, from images that lie decoded in mapped files.

The patches of step k depend on the seed and on k alone. So a run that goes on from any step draws what an uninterrupted
one would, several devices draw the parts of one global batch, and threads may draw ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.images import U8
from runner.resize_others import make_lr
from zoo.protocols import LrRecipe, Size

_HALO_PX: Final = 3
"""LR pixels beside a patch that its downsampling reaches into: the kernel's support is two on each side."""


class OnBad(Enum):
    """What an image that cannot be read, or is smaller than a patch, does to a training set."""

    STOP = "stop"
    "It ends the opening with its name."
    SKIP = "skip"
    "It is left out and listed."


class LrSource(Enum):
    """Where the LR values of a patch come from."""

    CACHED = "cached"
    "Made once from the whole HR image, and kept beside it."
    GIVEN = "given"
    "The LR images that came with the set, or that `esr data prepare` wrote."
    ON_THE_FLY = "on-the-fly"
    "Made from the HR patch and its surroundings at each draw: the same values, less disk, more work."


@dataclass(frozen=True)
class Decoded:
    """Images of one folder as flat uint8 files: HR, sides cut to multiples of the scale, and LR unless on the fly."""

    names: tuple[str, ...]
    lr_sizes: tuple[Size, ...]
    skipped: tuple[str, ...]
    "Images that could not be read, with the reason."
    sha256: str
    "Of names, sizes and pixels."
    lr: npt.NDArray[np.uint8] | None
    hr: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    "Index of each image's first LR pixel; its first HR pixel is this times scale squared."


@dataclass(frozen=True)
class TrainingImages:
    """Every usable image of a training set."""

    scale: int
    parts: tuple[Decoded, ...]
    places: tuple[tuple[int, int], ...]
    "Part and index in it of each image."
    skipped: tuple[str, ...]
    "Images that could not be used, with the reason."
    sha256: str
    "Of names, sizes and pixels of all parts."
    recipe: LrRecipe = LrRecipe.MATLAB_U8

    @property
    def names(self) -> tuple[str, ...]:
        """File names, in order."""
        return tuple(self.parts[part].names[index] for part, index in self.places)

    def lr_size(self, index: int) -> Size:
        """LR size of an image."""
        part, at = self.places[index]
        return self.parts[part].lr_sizes[at]

    def image(self, index: int) -> tuple[U8 | None, U8]:
        """LR (h, w, 3), None where it is made on the fly, and HR (h*scale, w*scale, 3): views into the files."""
        part, at = self.places[index]
        found = self.parts[part]
        (height, width), start = found.lr_sizes[at], int(found.starts[at])
        count, area = height * width, self.scale**2
        hr = found.hr[start * area * 3 : (start + count) * area * 3]
        hr = hr.reshape(height * self.scale, width * self.scale, 3)
        lr = None if found.lr is None else found.lr[start * 3 : (start + count) * 3].reshape(height, width, 3)
        return lr, hr

    def patch(self, index: int, top: int, left: int, side: int) -> tuple[U8, U8]:
        """LR (side, side, 3) at an LR position, and the HR that belongs to it."""
        lr, hr = self.image(index)
        scale = self.scale
        cut = hr[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        if lr is not None:
            return lr[top : top + side, left : left + side], cut
        # Where the halo ends at the image's border, the border rule applies as it does to the whole image.
        above, before = max(0, top - _HALO_PX), max(0, left - _HALO_PX)
        wide = hr[above * scale : (top + side + _HALO_PX) * scale, before * scale : (left + side + _HALO_PX) * scale]
        made = make_lr(wide, scale, self.recipe)
        return made[top - above : top - above + side, left - before : left - before + side], cut


def draw(
    images: TrainingImages, *, step: int, batch: int, lr_patch_px: int, seed: int, part: slice = slice(None)
) -> tuple[U8, U8]:
    """Patches of one step: LR (n, p, p, 3) and HR (n, p*scale, p*scale, 3), flipped and rotated at random.

    `part` picks the patches of one device out of the global batch.
    """
    random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    chosen = random.integers(len(images.places), size=batch)
    places = random.random((batch, 2))
    turns = random.integers(8, size=batch)
    lrs, hrs = [], []
    for image, place, turn in zip(chosen[part], places[part], turns[part], strict=True):
        size = images.lr_size(int(image))
        top, left = (int(at * (side - lr_patch_px + 1)) for at, side in zip(place, size, strict=True))
        lr, hr = images.patch(int(image), top, left, lr_patch_px)
        lrs.append(_turned(lr, int(turn)))
        hrs.append(_turned(hr, int(turn)))
    return np.stack(lrs), np.stack(hrs)


def _turned(patch: U8, turn: int) -> U8:
    """One of the eight symmetries of the square."""
    turned = np.rot90(patch, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned


def drawn_ahead(
    images: TrainingImages,
    *,
    first: int,
    last: int,
    batch: int,
    lr_patch_px: int,
    seed: int,
    part: slice = slice(None),
    workers: int = 1,
) -> Iterator[tuple[U8, U8]]:
    """Patches of the steps `first` up to `last`, in order, drawn by `workers` threads while the step before runs.

    The result does not depend on `workers`; 0 draws when asked. Threads suffice: drawing copies memory.
    """

    def at(step: int) -> tuple[U8, U8]:
        return draw(images, step=step, batch=batch, lr_patch_px=lr_patch_px, seed=seed, part=part)

    if not workers:
        yield from map(at, range(first, last))
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="patches") as pool:
        waiting: deque[Future[tuple[U8, U8]]] = deque()
        for step in range(first, last):
            while len(waiting) <= workers and step + len(waiting) < last:
                waiting.append(pool.submit(at, step + len(waiting)))
            yield waiting.popleft().result()
