"""Know a published set by its pixels, whatever its files and folder are called and however its HR was mod-cropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from runner.images import pixel_sha256, read_rgb
from runner.known_sets import KNOWN_SETS, KnownSet, Manifest
from zoo.contract import BadInput
from zoo.protocols import Size


@dataclass(frozen=True)
class Recognised:
    """A published set, and the published name of each file."""

    known: KnownSet
    names: Mapping[str, str]
    "File name without suffix -> image name."


def recognise(files: Mapping[str, Path]) -> Recognised | None:
    """The published set whose images these files are, all of them and no other; None where there is none.

    Images are decoded only where their sizes are those of a set.
    """
    for known in KNOWN_SETS.values():
        if known.images != len(files) or (manifest := known.manifest()) is None:
            continue
        sizes = _sizes(files)
        if sizes is None or not any(sizes == _sizes_of(manifest, crop) for crop in (1, *manifest.crops)):
            continue
        names = published_names(files, manifest)
        if len(names) == len(files):
            return Recognised(known, names)
    return None


def published_names(files: Mapping[str, Path], manifest: Manifest) -> dict[str, str]:
    """File -> published name, of the files that hold an image of the manifest, whole or mod-cropped."""
    name_of = {sha256: name for name, sha256, _crop in manifest.digests()}
    found = {}
    for stem, path in files.items():
        try:
            digest = pixel_sha256(read_rgb(path, grey_to_rgb=True))
        except BadInput:
            continue
        if digest in name_of:
            found[stem] = name_of[digest]
    return found if len(set(found.values())) == len(found) else {}


def _sizes(files: Mapping[str, Path]) -> Counter[Size] | None:
    """Sizes by the files' headers; None where one cannot be read."""
    found: Counter[Size] = Counter()
    for path in files.values():
        try:
            with Image.open(path) as image:
                found[Size(image.height, image.width)] += 1
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
    return found


def _sizes_of(manifest: Manifest, crop: int) -> Counter[Size]:
    sizes = (Size.parse(entry.size) for entry in manifest.hr.values())
    return Counter(Size(*(side - side % crop for side in size)) for size in sizes)
