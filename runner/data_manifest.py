"""Check a data set against the published pixels, and write generated LR images with a manifest of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from runner.datasets import MANIFEST_FILE, HrImages, entry_of, prepared_folder
from runner.images import size_of, write_rgb
from runner.known_sets import ImageEntry, Manifest
from runner.resize import modcrop_size
from runner.resize_others import make_lr
from zoo.contract import BadInput
from zoo.files import made_folder, write_text_atomically
from zoo.protocols import LrRecipe

CROPS: Final = (2, 3, 4, 12)
"""Multiples to which distributions crop HR: SelfExSR to the scale, BasicSR to 12."""


class ImageState(Enum):
    """What `verify` found for one image."""

    OK = "ok"
    DIFFERS = "differs"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    EXTRA = "not in the manifest"
    NOT_COMPARED = "not compared"
    "Readable, but nobody here knows its published pixels."


@dataclass(frozen=True)
class VerifiedImage:
    """One image name and its state."""

    name: str
    state: ImageState
    detail: str = ""


def verify(images: HrImages, manifest: Manifest, on_image: Callable[[], None] | None = None) -> list[VerifiedImage]:
    """State of every image of the manifest, then of the images it does not have.

    An image under another name counts as there when its pixels do: file names differ between distributions.
    """
    found: dict[str, ImageEntry] = {}
    broken: dict[str, VerifiedImage] = {}
    for name in images.paths:
        try:
            found[name] = entry_of(images.load(name))
        except BadInput as error:
            broken[name] = VerifiedImage(name, ImageState.UNREADABLE, str(error))
        if on_image:
            on_image()
    held = {entry.sha256: name for name, entry in found.items()}
    states = [broken.get(name) or _state(name, manifest, found, held) for name in manifest.hr]
    published = {sha256 for _name, sha256, _crop in manifest.digests()}
    extra = (n for n, entry in found.items() if entry.sha256 not in published and n not in manifest.hr)
    states += [VerifiedImage(name, ImageState.EXTRA) for name in extra]
    return states + [image for name, image in broken.items() if name not in manifest.hr]


def readable(
    images: HrImages, published: Sequence[str] = (), on_image: Callable[[], None] | None = None
) -> list[VerifiedImage]:
    """What can be said of a set whose pixels are not known: which images are missing by name, which cannot be read."""
    states = [VerifiedImage(name, ImageState.MISSING) for name in published if name not in images.paths]
    for name in images.paths:
        try:
            states.append(VerifiedImage(name, ImageState.NOT_COMPARED, str(size_of(images.load(name)))))
        except BadInput as error:
            states.append(VerifiedImage(name, ImageState.UNREADABLE, str(error)))
        if on_image:
            on_image()
    return states


def _state(name: str, manifest: Manifest, found: dict[str, ImageEntry], held: dict[str, str]) -> VerifiedImage:
    """State of one published image; `held` is the image here of each digest."""
    forms = ((sha256, crop) for image, sha256, crop in manifest.digests() if image == name)
    for sha256, crop in forms:
        if sha256 in held:
            notes = (
                f"as {held[sha256]}" if held[sha256] != name else "",
                f"cropped to a multiple of {crop}" if crop > 1 else "",
            )
            return VerifiedImage(name, ImageState.OK, ", ".join(note for note in notes if note))
    if name not in found:
        return VerifiedImage(name, ImageState.MISSING)
    here, published = found[name].size, manifest.hr[name].size
    detail = f"{here}, published {published}" if here != published else f"same size {here}, other pixels"
    return VerifiedImage(name, ImageState.DIFFERS, detail)


def manifest_of(images: HrImages) -> Manifest:
    """The manifest of a data set's HR images, as the committed ones were made."""
    loaded = {name: images.load(name) for name in images.paths}
    hr = {name: entry_of(img) for name, img in loaded.items()}
    cropped: dict[int, dict[str, str]] = {}
    for multiple in CROPS:
        sizes = {name: modcrop_size(size_of(img), multiple) for name, img in loaded.items()}
        entries = {name: entry_of(img[: sizes[name][0], : sizes[name][1]]) for name, img in loaded.items()}
        if others := {name: entry.sha256 for name, entry in entries.items() if entry != hr[name]}:
            cropped[multiple] = others
    return Manifest(name=images.name, hr=hr, cropped=cropped or None)


def write_lr(
    images: HrImages, scale: int, recipe: LrRecipe, out: Path, on_image: Callable[[], None] | None = None
) -> Path:
    """Generate all LR images into `out/LR_<recipe>/X<scale>`: `<name>x<scale>.png` and a manifest; returns the folder.

    The folder appears when it is complete. Raises BadInput if it exists already.
    """
    target = out / prepared_folder(recipe, scale)
    hr_entries: dict[str, ImageEntry] = {}
    lr_entries: dict[str, ImageEntry] = {}
    with folder_when_complete(target) as part:
        for name in images.paths:
            hr = images.load(name)
            lr = make_lr(hr, scale, recipe)
            hr_entries[name], lr_entries[name] = entry_of(hr), entry_of(lr)
            write_rgb(part / f"{name}x{scale}.png", lr)
            if on_image:
                on_image()
        manifest = Manifest(name=images.name, scale=scale, recipe=recipe.value, hr=hr_entries, lr=lr_entries)
        write_text_atomically(part / MANIFEST_FILE, to_json(manifest))
    return target


def to_json(manifest: Manifest) -> str:
    """A manifest as its files hold it."""
    return manifest.model_dump_json(indent=1, exclude_none=True) + "\n"


@contextmanager
def folder_when_complete(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` on success and vanishes on an error. Raises BadInput if it exists."""
    if target.exists():
        raise BadInput(f"{target} exists already. Remove it first, or name another folder.")
    with made_folder(target.parent):
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield part
            part.chmod(0o755)
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
