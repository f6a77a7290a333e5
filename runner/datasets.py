"""Data sets: folders of HR images with the LR images that belong to them, given or generated.

A data set is a folder, or a name that is searched in the given folders, those of ESR_DATA_DIR (a search path) and the
user cache. `sample` is always there: crops of photographs that ship inside the scikit-image package.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

import platformdirs

from runner.images import U8, pixel_sha256, read_rgb, size_of
from runner.known_sets import KNOWN_SETS, ImageEntry, Manifest, committed_manifest, how_to_get, known_set
from runner.layouts import CONTAINERS, LAYOUTS, SCALES, Place, beside, is_folder, match_lr, place_of, require_place
from runner.recognise import recognise
from runner.resize_others import make_lr
from zoo.contract import BadInput
from zoo.protocols import LrRecipe, Size

ENVIRONMENT_VARIABLE: Final = "ESR_DATA_DIR"
SAMPLE: Final = "sample"
SAMPLE_IMAGES: Final = ("astronaut", "chelsea", "coffee", "motorcycle_left")
"""The lossless colour photographs among scikit-image's data files."""
SAMPLE_CROP: Final = Size(288, 384)
"""Centre part of each that `sample` is: a multiple of 2, 3 and 4, small enough for a run on two cores."""
MANIFEST_FILE: Final = "manifest.json"
"""What `esr data prepare` writes beside LR images."""
GIVEN: Final = "given"
"""`Dataset.lr_source` where the LR images came with the data set."""


class DataMissing(BadInput):
    """No search folder holds the data set."""


@dataclass(frozen=True, kw_only=True)
class HrImages:
    """The HR images of a data set, without a scale. Images are read when asked for, one at a time."""

    name: str
    paths: Mapping[str, Path]
    "By image name, in order."
    grey_names: frozenset[str] = frozenset()
    "Images that may be grey files (`KnownSet.grey`)."
    stems: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    "Name in its files of an image that has another one in the published set."
    crop: Size | None = None
    "Centre part of every image that is used; None means all of it."

    def load(self, name: str) -> U8:
        """One image, uint8 (h, w, 3). Raises BadInput."""
        hr = read_rgb(self.paths[name], grey_to_rgb=name in self.grey_names)
        return hr if self.crop is None else _centre(hr, self.crop, self.paths[name])


@dataclass(frozen=True)
class Pair:
    """One image of a data set."""

    name: str
    hr_path: Path
    lr_path: Path | None
    "None where LR is generated."


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """HR images and their LR images at one scale."""

    hr: HrImages
    scale: int
    recipe: LrRecipe
    lr_source: str
    "`given`, or the id of the recipe that generates LR."
    pairs: tuple[Pair, ...]
    prepared: Manifest | None = None
    "What `esr data prepare` wrote beside its LR images, where those are used."

    @property
    def name(self) -> str:
        """Name of a published set, else of the folder."""
        return self.hr.name

    def load(self, pair: Pair) -> tuple[U8, U8]:
        """(lr, hr) of one image, uint8 (h, w, 3), HR cropped to scale times LR. Raises BadInput."""
        hr = self.hr.load(pair.name)
        if pair.lr_path is None:
            lr = make_lr(hr, self.scale, self.recipe)
        else:
            lr = read_rgb(pair.lr_path, grey_to_rgb=pair.name in self.hr.grey_names)
            self._require_fit(pair, lr, hr)
            self._require_unchanged(pair, lr, hr)
        height, width = (side * self.scale for side in size_of(lr))
        return lr, hr[:height, :width]

    def _require_fit(self, pair: Pair, lr: U8, hr: U8) -> None:
        expected = Size(*(side // self.scale for side in size_of(hr)))
        if size_of(lr) != expected:
            raise BadInput(
                f"{pair.lr_path} is {size_of(lr)}, which does not fit HR {pair.hr_path} of {size_of(hr)} at "
                f"x{self.scale}. Expected LR of {expected}: check the scale and the folder."
            )

    def _require_unchanged(self, pair: Pair, lr: U8, hr: U8) -> None:
        """Prepared LR stands for a recipe, so it must still be what the recipe made of this HR."""
        if self.prepared is None or pair.lr_path is None:
            return
        listed = (self.prepared.hr.get(pair.name), (self.prepared.lr or {}).get(pair.name))
        if listed != (entry_of(hr), entry_of(lr)):
            raise BadInput(
                f"{pair.lr_path} or {pair.hr_path} changed since LR was prepared ({MANIFEST_FILE} has other pixels). "
                f"Remove {pair.lr_path.parent} and run `esr data prepare` again."
            )

    @cached_property
    def manifest_sha256(self) -> str:
        """Digest over names and decoded HR and LR pixels: equal wherever and in whatever format the images are.

        Reads every image once. Raises BadInput.
        """
        digest = hashlib.sha256()
        for pair in self.pairs:
            lr, hr = self.load(pair)
            digest.update(f"{pair.name} {pixel_sha256(hr)} {pixel_sha256(lr)}\n".encode())
        return digest.hexdigest()


def entry_of(img: U8) -> ImageEntry:
    """Size and pixel digest of an image, as a manifest holds them."""
    return ImageEntry(size=str(size_of(img)), sha256=pixel_sha256(img))


def _centre(img: U8, size: Size, path: Path) -> U8:
    have = size_of(img)
    if have.height < size.height or have.width < size.width:
        raise BadInput(f"{path} is {have}, smaller than the {size} part that is used. Take a larger image.")
    top, left = (have.height - size.height) // 2, (have.width - size.width) // 2
    return img[top : top + size.height, left : left + size.width]


def open_dataset(
    name_or_dir: str,
    scale: int,
    *,
    recipe: LrRecipe = LrRecipe.MATLAB_U8,
    folders: Iterable[Path] = (),
    cache: Path | None = None,
) -> Dataset:
    """The data set of a name or a folder, at one scale.

    LR images that lie with it are used when their layout stands for `recipe`, all others are generated. `cache` is the
    folder that `esr data pull` fills (default: the user cache). Raises DataMissing, BadInput.
    """
    if scale < 2:
        raise BadInput(f"A data set has no x{scale}. Expected a scale of at least 2.")
    hr = open_hr(name_or_dir, scale=scale, folders=folders, cache=cache)
    lr_paths: dict[str, Path | None] = dict.fromkeys(hr.paths)
    lr_source = recipe.value
    prepared = None
    if name_or_dir != SAMPLE:
        place = require_place(find_root(name_or_dir, folders=folders, cache=cache), scale)
        stems = [hr.stems.get(name, name) for name in hr.paths]
        made = place.root / prepared_folder(recipe, scale)
        found: Mapping[str, Path] = {}
        if recipe is place.layout.lr_recipe and place.has_lr(scale):
            found, lr_source = place.lr_files(stems, scale), GIVEN
        elif made.is_dir():
            found = match_lr(stems, made, scale, LAYOUTS[0].lr_stems)
            prepared = _read_manifest(made / MANIFEST_FILE, recipe, scale)
        lr_paths |= {name: found.get(stem) for name, stem in zip(hr.paths, stems, strict=True)}
    pairs = tuple(Pair(name, path, lr_paths[name]) for name, path in hr.paths.items())
    return Dataset(hr=hr, scale=scale, recipe=recipe, lr_source=lr_source, pairs=pairs, prepared=prepared)


def open_hr(
    name_or_dir: str, *, scale: int | None = None, folders: Iterable[Path] = (), cache: Path | None = None
) -> HrImages:
    """The HR images of a name or a folder; those kept for `scale` where a layout has one folder for each.

    A published set is known by its pixels, under whatever names its files and folder go. Raises DataMissing, BadInput.
    """
    if name_or_dir == SAMPLE:
        return _sample()
    place = require_place(find_root(name_or_dir, folders=folders, cache=cache), scale)
    files = place.hr_files()
    known = known_set(place.root.name)
    names = {stem: stem for stem in files}
    manifest = known.manifest() if known else None
    if (manifest is None or set(files) != set(manifest.hr)) and (found := recognise(files)):
        known, names = found.known, dict(found.names)
    return HrImages(
        name=known.name if known else place.root.name,
        paths={name: files[stem] for name, stem in sorted((name, stem) for stem, name in names.items())},
        grey_names=known.grey if known else frozenset(),
        stems=MappingProxyType({name: stem for stem, name in names.items() if name != stem}),
    )


def data_folders(folders: Iterable[Path] = (), cache: Path | None = None) -> tuple[Path, ...]:
    """Where names are searched, in order: `folders`, ESR_DATA_DIR, the user cache."""
    from_environment = (Path(p) for p in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if p)
    return (*folders, *from_environment, cache or user_cache())


def user_cache() -> Path:
    """Where `esr data pull` puts data sets."""
    return Path(platformdirs.user_cache_dir("esr")) / "data"


def find_root(name_or_dir: str, *, folders: Iterable[Path] = (), cache: Path | None = None) -> Path:
    """The folder that a name or a path stands for. Raises DataMissing with the folders searched and the next step."""
    searched = data_folders(folders, cache)
    is_path = os.sep in name_or_dir or name_or_dir in ("", ".", "..")
    known = known_set(name_or_dir)
    names = (
        [] if not name_or_dir else [name_or_dir] if is_path or not known else [name_or_dir, known.name, *known.aliases]
    )
    if is_path:
        candidates = [Path(name) for name in names]
    else:
        inside = [folder / container for folder in searched for container in CONTAINERS]
        candidates = [folder / name for folder in (*inside, Path()) for name in names]
    for path in candidates:
        if found := _root(path):
            return found
    if is_path:
        raise DataMissing(f"There is no folder {name_or_dir!r}. Pass an existing folder of HR images, or a name.")
    if known:
        step = how_to_get(known)
    elif close := difflib.get_close_matches(name_or_dir, (*KNOWN_SETS, SAMPLE), n=2):
        step = f"Did you mean {' or '.join(close)}? `esr data list` shows what is here."
    else:
        step = "Pass an existing folder of HR images, or `sample`; `esr data list` shows what is here."
    raise DataMissing(f"There is no data set {name_or_dir!r} in: {', '.join(map(str, searched))}. {step}")


def _root(path: Path) -> Path | None:
    """The set that a path stands for, whatever the case of its last part; None where there is nothing."""
    if not is_folder(path.parent):
        return None
    other_case = (p for p in sorted(path.parent.iterdir()) if p.name.lower() == path.name.lower())
    for candidate in (path, *other_case):
        side_by_side = beside(candidate)
        if side_by_side is not None and (candidate.name.endswith("_HR") or not is_folder(candidate)):
            return side_by_side.resolve()
        if is_folder(candidate):
            return candidate.resolve()
    return None


def lr_scales(place: Place) -> list[int]:
    """Scales at which LR images came with a data set."""
    return [scale for scale in SCALES if place.has_lr(scale)]


def _read_manifest(path: Path, recipe: LrRecipe, scale: int) -> Manifest:
    if not path.is_file():
        raise BadInput(f"{path} is missing, so nothing says how these LR images were made. Prepare them again.")
    manifest = Manifest.parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if (manifest.recipe, manifest.scale) != (recipe.value, scale):
        raise BadInput(
            f"{path} says that its images are LR by {manifest.recipe} at x{manifest.scale}, its folder says "
            f"{recipe.value} at x{scale}. Put the folder back where it was, or prepare the images again."
        )
    return manifest


def prepared_folder(recipe: LrRecipe, scale: int) -> Path:
    """Where generated LR images lie below a data set's folder."""
    return Path(f"LR_{recipe.value}") / f"X{scale}"


def _sample() -> HrImages:
    """The crops, checked against the pixels that this suite's numbers were made with. Raises BadInput."""
    hr = sample_images()
    manifest = committed_manifest(SAMPLE)
    for name, path in hr.paths.items():
        if manifest is None or manifest.hr[name] != entry_of(hr.load(name)):
            raise BadInput(
                f"{path} has other pixels than the ones `sample` is made of. "
                f"Install scikit-image again, or pass another --data."
            )
    return hr


def sample_images() -> HrImages:
    """The crops of whatever scikit-image is installed, unchecked."""
    folder = importlib.resources.files("skimage") / "data"
    paths = {name: Path(str(folder / f"{name}.png")) for name in SAMPLE_IMAGES}
    return HrImages(name=SAMPLE, paths=paths, crop=SAMPLE_CROP)


def found_datasets(folders: Iterable[Path] = (), cache: Path | None = None) -> Iterator[Place]:
    """All data sets in the search folders; of two with one name the one that a search finds."""
    seen: set[str] = set()
    for folder in (f / container for f in data_folders(folders, cache) for container in CONTAINERS):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not path.is_dir() or path.name.startswith(".") or _is_container(path):
                continue
            root = beside(path) if path.name.endswith("_HR") else path
            if path.name.endswith("_LR") and beside(path.with_name(path.name.removesuffix("_LR"))):
                continue
            if root is not None and root.name.lower() not in seen and (place := place_of(root)):
                seen.add(root.name.lower())
                yield place


def _is_container(path: Path) -> bool:
    return path.name in CONTAINERS and place_of(path) is None
