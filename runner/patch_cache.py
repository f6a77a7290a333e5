"""Training images decoded once into flat files that are mapped into memory: no image is decoded for a patch.

One cache folder per folder of images, scale and source of LR; runs and stages share it. What is mapped takes no memory
of its own, and before anything is written its size is known from the images' headers and held against a limit.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from runner.images import U8, read_rgb, size_of
from runner.patches import Decoded, LrSource, OnBad, TrainingImages
from runner.resize import modcrop_size
from runner.resize_others import make_lr
from runner.training_sets import TrainingFolder
from zoo.contract import BadInput, JobFailed
from zoo.files import atomic_target, write_text_atomically
from zoo.protocols import LrRecipe, Size

_VERSION: Final = 2
_INDEX: Final = "index.json"
_GIB: Final = 2**30
_WAYS_OUT: Final = "Mend or remove it, or leave such images out with --on-bad skip."

OnImage = Callable[[int, int], None]
"""Receives how many images are decoded, and of how many."""


def open_training_images(
    folders: Sequence[TrainingFolder],
    *,
    scale: int,
    lr_patch_px: int,
    cache: Path,
    recipe: LrRecipe = LrRecipe.MATLAB_U8,
    lr: LrSource = LrSource.CACHED,
    on_bad: OnBad = OnBad.STOP,
    limit_bytes: int | None = None,
    on_image: OnImage = lambda _done, _total: None,
) -> TrainingImages:
    """The training set of some folders, decoded once into `cache` and mapped from there.

    `on_bad` says what an image that cannot be read or is smaller than a patch does: STOP raises BadInput with its
    name, SKIP leaves it out and lists it in `skipped`. A changed file makes its folder's cache anew. Raises BadInput
    where the decoded files would be larger than `limit_bytes` or than the disk has room for.
    """
    wanted = [(folder, cache / _name(folder, scale, recipe, lr, on_bad)) for folder in folders]
    new = [(folder, target) for folder, target in wanted if not _is_whole(target, scale)]
    sizes = {file: _header_size(file) for folder, _target in new for file in folder.hr}
    if on_bad is OnBad.STOP:
        for file, size in sizes.items():
            _require_patch(file.name, size, scale, lr_patch_px)
    _require_room(sizes.values(), scale, lr, cache, limit_bytes)
    done = itertools.count(1)
    for folder, target in new:
        _build(folder, target, scale, recipe, lr, on_bad, lambda: on_image(next(done), len(sizes)))
    return _together([_mapped(target) for _folder, target in wanted], scale, lr_patch_px, recipe, on_bad)


def _name(folder: TrainingFolder, scale: int, recipe: LrRecipe, lr: LrSource, on_bad: OnBad) -> str:
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in folder.hr]
    question = json.dumps([_VERSION, scale, recipe.value, lr.value, on_bad.value, stats])
    return f"patches-{hashlib.sha256(question.encode()).hexdigest()[:16]}"


def _header_size(file: Path) -> Size | None:
    """Size by the file's header; None where it cannot be read, which decoding will say."""
    with suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError), Image.open(file) as image:
        return Size(image.height, image.width)
    return None


def _require_patch(name: str, size: Size | None, scale: int, lr_patch_px: int) -> None:
    """Raise BadInput where an HR image is smaller than a patch."""
    if size is not None and min(size) // scale < lr_patch_px:
        raise BadInput(
            f"{name} is {size}, smaller than a patch of {lr_patch_px * scale} px ({lr_patch_px} px LR at x{scale}). "
            f"{_WAYS_OUT}"
        )


def _require_room(sizes: Iterable[Size | None], scale: int, lr: LrSource, cache: Path, limit_bytes: int | None) -> None:
    pixels = sum(size.height * size.width for size in sizes if size)
    needed = 3 * pixels if lr is LrSource.ON_THE_FLY else 3 * (pixels + pixels // scale**2)
    if limit_bytes is not None and needed > limit_bytes:
        raise BadInput(
            f"Decoded, the training images take {needed / _GIB:.1f} GiB, the limit is {limit_bytes / _GIB:.1f}. "
            f"Raise --cache-gib, or train on fewer images (NAME:COUNT)."
        )
    there = next(path for path in (cache, *cache.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise BadInput(
            f"Decoded, the training images take {needed / _GIB:.1f} GiB, {there} has {free / _GIB:.1f} free. "
            f"Name a folder on a larger disk with --cache, or train on fewer images (NAME:COUNT)."
        )


def _build(
    folder: TrainingFolder,
    target: Path,
    scale: int,
    recipe: LrRecipe,
    lr: LrSource,
    on_bad: OnBad,
    on_image: Callable[[], None],
) -> None:
    names: list[str] = []
    sizes: list[Size] = []
    skipped: list[str] = []
    digest = hashlib.sha256()
    try:
        with ExitStack() as stack:
            parts = [stack.enter_context(atomic_target(target / f"{kind}.u8")) for kind in ("lr", "hr")]
            lr_file, hr_file = (stack.enter_context(part.open("wb")) for part in parts)
            for file in folder.hr:
                try:
                    pair = _pair(file, folder, scale, recipe, lr)
                except BadInput as error:
                    if on_bad is OnBad.STOP:
                        raise BadInput(f"{error} {_WAYS_OUT}") from error
                    skipped.append(f"{file.name}: {error}")
                    continue
                finally:
                    on_image()
                # HR decides a made LR, so only a given one needs to be in the digest.
                digest.update(f"{file.name}:{size_of(pair[1])}:".encode())
                digest.update(np.ascontiguousarray(pair[1]).data)
                if lr is LrSource.GIVEN and pair[0] is not None:
                    digest.update(np.ascontiguousarray(pair[0]).data)
                for values, stream in zip(pair, (lr_file, hr_file), strict=True):
                    if values is not None:
                        stream.write(np.ascontiguousarray(values).data)
                names.append(file.name)
                sizes.append(Size(*(side // scale for side in size_of(pair[1]))))
        # Written last: its presence says that the other two are whole.
        content = {"names": names, "lr_sizes": sizes, "skipped": skipped, "sha256": digest.hexdigest()}
        write_text_atomically(target / _INDEX, json.dumps(content | {"lr": lr is not LrSource.ON_THE_FLY}))
    except OSError as error:
        raise JobFailed(
            f"The decoded training images cannot be written to {target.parent}: {error.strerror or error}. "
            f"Free space, or name another folder with --cache."
        ) from error
    finally:
        if not (target / _INDEX).is_file():
            # Without its index a cache is never read: what is there only takes room.
            shutil.rmtree(target, ignore_errors=True)


def _pair(file: Path, folder: TrainingFolder, scale: int, recipe: LrRecipe, lr: LrSource) -> tuple[U8 | None, U8]:
    hr = read_rgb(file, grey_to_rgb=True)
    size = modcrop_size(size_of(hr), scale)
    hr = hr[: size.height, : size.width]
    if lr is LrSource.ON_THE_FLY or not min(size):
        return None, hr
    if lr is LrSource.CACHED:
        return make_lr(hr, scale, recipe), hr
    path = folder.lr_of(file, scale)
    given = read_rgb(path, grey_to_rgb=True)
    expected = Size(size.height // scale, size.width // scale)
    if size_of(given) != expected:
        raise BadInput(f"{path} is {size_of(given)}, {file.name} needs LR of {expected} at x{scale}.")
    return given, hr


def _is_whole(target: Path, scale: int) -> bool:
    """Whether a cache is there and its files have the lengths that its index asks for."""
    try:
        content = json.loads((target / _INDEX).read_text(encoding="utf-8"))
        pixels = sum(height * width for height, width in content["lr_sizes"])
        lengths = [(target / f"{kind}.u8").stat().st_size for kind in ("lr", "hr")]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return lengths == [3 * pixels if content.get("lr") else 0, 3 * pixels * scale**2]


def _mapped(target: Path) -> Decoded:
    content = json.loads((target / _INDEX).read_text(encoding="utf-8"))
    sizes = tuple(Size(*size) for size in content["lr_sizes"])
    counts = np.array([0, *(size.height * size.width for size in sizes)], dtype=np.int64)

    def flat(kind: str) -> U8:
        # An empty file cannot be mapped.
        path = target / f"{kind}.u8"
        return np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)

    return Decoded(
        names=tuple(content["names"]),
        lr_sizes=sizes,
        skipped=tuple(content["skipped"]),
        sha256=content["sha256"],
        lr=flat("lr") if content["lr"] else None,
        hr=flat("hr"),
        starts=np.cumsum(counts)[:-1],
    )


def _together(
    parts: Sequence[Decoded], scale: int, lr_patch_px: int, recipe: LrRecipe, on_bad: OnBad
) -> TrainingImages:
    """All parts as one set, without the images that are smaller than a patch."""
    places: list[tuple[int, int]] = []
    skipped = [line for part in parts for line in part.skipped]
    for number, part in enumerate(parts):
        for index, (name, size) in enumerate(zip(part.names, part.lr_sizes, strict=True)):
            try:
                _require_patch(name, Size(size.height * scale, size.width * scale), scale, lr_patch_px)
            except BadInput as error:
                if on_bad is OnBad.STOP:
                    raise
                skipped.append(f"{name}: {str(error).removesuffix(_WAYS_OUT)}")
                continue
            places.append((number, index))
    if not places:
        raise BadInput(f"None of {len(skipped)} training images can be used. The first: {skipped[0]}")
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    return TrainingImages(
        scale=scale, parts=tuple(parts), places=tuple(places), skipped=tuple(skipped), sha256=digest, recipe=recipe
    )
