"""Name and digest of a data set, by which a run's key knows it; images are decoded once for a state of their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.contract import EsrError
from zoo.protocols import LrRecipe

if TYPE_CHECKING:
    from runner.datasets import Dataset

DatasetIdentity = Callable[[str, int, LrRecipe, tuple[Path, ...]], tuple[str, str | None]]
"""(name or folder, scale, recipe, folders) -> the data set's name and its manifest digest, None if it is not here."""


def identify_dataset(
    name_or_folder: str, scale: int, recipe: LrRecipe, folders: tuple[Path, ...]
) -> tuple[str, str | None]:
    """Name and manifest digest of a data set; the digest is None where it cannot be read (the run will say why).

    Raises DataMissing for a name that is neither here nor known.
    """
    from runner.datasets import DataMissing, open_dataset
    from runner.known_sets import known_set

    try:
        dataset = open_dataset(name_or_folder, scale, recipe=recipe, folders=folders)
    except DataMissing:
        # A set that exists elsewhere is planned and becomes not applicable; a name that means nothing is a mistake.
        if known := known_set(name_or_folder):
            return known.name, None
        raise
    except EsrError:
        return Path(name_or_folder).name, None
    try:
        return dataset.name, manifest_sha256(dataset)
    except EsrError:
        return dataset.name, None


def manifest_sha256(dataset: Dataset) -> str:
    """The data set's manifest digest; its images are decoded again only when a file's size or time has changed.

    Raises BadInput for an image that cannot be read.
    """
    paths = [path for pair in dataset.pairs for path in (pair.hr_path, pair.lr_path) if path is not None]
    state = tuple((str(path), (found := path.stat()).st_size, found.st_mtime_ns) for path in paths)
    known = (dataset.name, dataset.scale, dataset.recipe, state)
    if known not in _manifests:
        _manifests[known] = dataset.manifest_sha256
    return _manifests[known]


_manifests: dict[object, str] = {}
