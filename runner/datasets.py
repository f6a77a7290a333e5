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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import platformdirs

from runner.images import U8, image_files, pixel_sha256, read_rgb, size_of
from runner.known_sets import KNOWN_SETS, ImageEntry, Manifest, committed_manifest, how_to_get, known_set
from runner.resize import matlab_bicubic
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


@dataclass(frozen=True)
class Layout:
    """One way in which people keep a data set; paths below its folder, `{scale}` and `{name}` filled in."""

    hr: str
    lr: str
    lr_recipe: LrRecipe
    "What the LR images of this layout were made with."


LAYOUTS: Final = (
    Layout("HR", "LR_bicubic/X{scale}", LrRecipe.MATLAB_U8),
    # BasicSR's script works on a double image.
    Layout("GTmod12", "LRbicx{scale}", LrRecipe.MATLAB_FLOAT),
    Layout("{name}_HR", "{name}_LR_bicubic/X{scale}", LrRecipe.MATLAB_U8),
    Layout(".", "LR_bicubic/X{scale}", LrRecipe.MATLAB_U8),
)


@dataclass(frozen=True, kw_only=True)
class HrImages:
    """The HR images of a data set, without a scale. Images are read when asked for, one at a time."""

    name: str
    paths: Mapping[str, Path]
    "By image name, in order."
    grey_names: frozenset[str] = frozenset()
    "Images that may be grey files (`KnownSet.grey`)."
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
            lr = matlab_bicubic(hr, self.scale, self.recipe)
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
    hr = open_hr(name_or_dir, folders=folders, cache=cache)
    lr_paths: dict[str, Path | None] = dict.fromkeys(hr.paths)
    lr_source = recipe.value
    prepared = None
    if name_or_dir != SAMPLE:
        root = find_root(name_or_dir, folders=folders, cache=cache)
        if found := _lr_folder(root, scale, recipe):
            folder, lr_source = found
            lr_paths |= _match(hr.paths, folder, scale)
            prepared = None if lr_source == GIVEN else _read_manifest(folder / MANIFEST_FILE, recipe, scale)
    pairs = tuple(Pair(name, path, lr_paths[name]) for name, path in hr.paths.items())
    return Dataset(hr=hr, scale=scale, recipe=recipe, lr_source=lr_source, pairs=pairs, prepared=prepared)


def open_hr(name_or_dir: str, *, folders: Iterable[Path] = (), cache: Path | None = None) -> HrImages:
    """The HR images of a name or a folder. Raises DataMissing, BadInput."""
    if name_or_dir == SAMPLE:
        return _sample()
    root = find_root(name_or_dir, folders=folders, cache=cache)
    known = known_set(root.name)
    _layout, folder = require_layout(root)
    return HrImages(
        name=known.name if known else root.name,
        paths=_by_stem(folder),
        grey_names=known.grey if known else frozenset(),
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
    for folder in (Path(),) if is_path else (*searched, Path()):
        if name_or_dir and _is_folder(path := folder / name_or_dir):
            return path.resolve()
        if not is_path and (other_case := _folder_in_other_case(folder, name_or_dir)):
            return other_case.resolve()
    if is_path:
        raise DataMissing(f"There is no folder {name_or_dir!r}. Pass an existing folder of HR images, or a name.")
    known = known_set(name_or_dir)
    if known:
        step = how_to_get(known)
    elif close := difflib.get_close_matches(name_or_dir, (*KNOWN_SETS, SAMPLE), n=2):
        step = f"Did you mean {' or '.join(close)}? `esr data list` shows what is here."
    else:
        step = "Pass an existing folder of HR images, or `sample`; `esr data list` shows what is here."
    raise DataMissing(f"There is no data set {name_or_dir!r} in: {', '.join(map(str, searched))}. {step}")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that the file system cannot hold
        return False


def _folder_in_other_case(folder: Path, name: str) -> Path | None:
    candidates = sorted(folder.iterdir()) if _is_folder(folder) else ()
    return next((path for path in candidates if path.name.lower() == name.lower() and path.is_dir()), None)


def layout_of(root: Path) -> tuple[Layout, Path] | None:
    """The first layout whose HR folder holds images, with that folder."""
    for layout in LAYOUTS:
        hr = root / layout.hr.format(name=root.name)
        if hr.is_dir() and image_files(hr):
            return layout, hr
    return None


def require_layout(root: Path) -> tuple[Layout, Path]:
    """`layout_of`, or BadInput that says where images were expected."""
    if found := layout_of(root):
        return found
    places = ", ".join(layout.hr.format(name=root.name) for layout in LAYOUTS[:-1])
    raise BadInput(f"{root} holds no images, neither itself nor in {places}. Put HR images there as PNG files.")


def _by_stem(folder: Path) -> dict[str, Path]:
    files = image_files(folder)
    found = {path.stem: path for path in files}
    if len(found) < len(files):
        double = next(path for path in files if found[path.stem] != path)
        raise BadInput(f"{folder} has {double.name} and {found[double.stem].name}. Keep one file per image name.")
    return found


def _lr_folder(root: Path, scale: int, recipe: LrRecipe) -> tuple[Path, str] | None:
    """Folder and source of the LR images that fit the recipe."""
    layout, _hr = require_layout(root)
    given = _given_lr(root, layout, scale)
    if recipe is layout.lr_recipe and given.is_dir():
        return given, GIVEN
    prepared = root / prepared_folder(recipe, scale)
    return (prepared, recipe.value) if prepared.is_dir() else None


def _given_lr(root: Path, layout: Layout, scale: int) -> Path:
    return root / layout.lr.format(name=root.name, scale=scale)


def lr_scales(root: Path) -> list[int]:
    """Scales at which LR images came with a data set."""
    layout, _hr = require_layout(root)
    return [scale for scale in range(2, 9) if _given_lr(root, layout, scale).is_dir()]


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


def _match(hr_names: Iterable[str], folder: Path, scale: int) -> dict[str, Path]:
    """The LR file of every HR image: `<name>x4` or `<name>`. Raises BadInput unless the two sets are the same."""
    lr_files = _by_stem(folder)
    matched: dict[str, Path] = {}
    for stem in hr_names:
        path = lr_files.pop(f"{stem}x{scale}", None) or lr_files.pop(stem, None)
        if path is None:
            raise BadInput(
                f"{folder} has no LR image for {stem} (expected {stem}x{scale}.png or {stem}.png). "
                f"Add it, or move the folder away to have LR generated."
            )
        matched[stem] = path
    if lr_files:
        raise BadInput(f"{folder} has {next(iter(lr_files.values())).name}, which no HR image has the name of.")
    return matched


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


def found_datasets(folders: Iterable[Path] = (), cache: Path | None = None) -> Iterator[Path]:
    """Roots of all data sets in the search folders; of two with one name the one that a search finds."""
    seen: set[str] = set()
    for folder in data_folders(folders, cache):
        for root in sorted(folder.iterdir()) if folder.is_dir() else ():
            if root.is_dir() and not root.name.startswith(".") and root.name.lower() not in seen and layout_of(root):
                seen.add(root.name.lower())
                yield root
