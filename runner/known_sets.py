"""The test sets of the field: how many images, which pixels, and where to get them."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.contract import BadInput


class ImageEntry(BaseModel):
    """One image of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: str
    "HEIGHTxWIDTH."
    sha256: str
    "`runner.images.pixel_sha256`: of the decoded pixels, so the file format does not matter."


class Archive(BaseModel):
    """A download that holds a set's HR images; they are accepted by the pixels in the set's manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    members: str
    "Pattern of the images inside (fnmatch)."


class Manifest(BaseModel):
    """What a data set consists of, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    scale: int | None = None
    "Set with `recipe` where the file describes generated LR images."
    recipe: str | None = None
    hr: dict[str, ImageEntry]
    "By image name."
    lr: dict[str, ImageEntry] | None = None
    cropped: dict[int, dict[str, str]] | None = None
    "Of HR cropped at the bottom and right to a multiple, as some distributions are: multiple -> image -> sha256."
    archive: Archive | None = None
    "Where the HR images can be downloaded."

    @property
    def crops(self) -> tuple[int, ...]:
        """The multiples to which HR may be cropped and still be known."""
        return tuple(self.cropped or {})

    def digests(self) -> Iterator[tuple[str, str, int]]:
        """(image, sha256, multiple it is cropped to or 1) of every image in every form."""
        yield from ((name, entry.sha256, 1) for name, entry in self.hr.items())
        for multiple, digests in (self.cropped or {}).items():
            yield from ((name, sha256, multiple) for name, sha256 in digests.items())

    @classmethod
    def parse(cls, text: str, where: str) -> Manifest:
        """Manifest of a JSON text. Raises BadInput naming `where`."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadInput(f"{where} is not a manifest: {error}. Expected what `esr data prepare` writes.") from error


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """One published test set."""

    name: str
    images: int
    obtain: str
    "How a person gets it."
    archive: Archive | None = None
    "From its manifest where it has one there."
    aliases: tuple[str, ...] = ()
    "Other names of its folder."
    names: tuple[str, ...] = ()
    "Names of its images, where they are known without the images."
    grey: frozenset[str] = frozenset()
    "Names under which its monochrome photographs are published as 8-bit grey files."

    def manifest(self) -> Manifest | None:
        """The committed pixels of its HR images, None if they were not at hand."""
        return committed_manifest(self.name)


def committed_manifest(name: str) -> Manifest | None:
    """The manifest of a set in this package."""
    file = importlib.resources.files("runner") / "manifests" / f"{name.lower()}.json"
    return Manifest.parse(file.read_text(encoding="utf-8"), file.name) if file.is_file() else None


_PLACE: Final = "Put the images into {name}/HR below a data folder (--data-dir or ESR_DATA_DIR)."

_DIV2K_VALID: Final = tuple(f"{number:04}" for number in range(801, 901))


def _archive(name: str) -> Archive | None:
    manifest = committed_manifest(name)
    return manifest.archive if manifest else None


_SETS: Final = (
    KnownSet(
        name="Set5",
        images=5,
        obtain="Bevilacqua et al., BMVC 2012; part of the SelfExSR and EDSR benchmark archives.",
    ),
    KnownSet(
        name="Set14",
        images=14,
        obtain="Zeyde et al., 2010; part of the SelfExSR and EDSR benchmark archives.",
        grey=frozenset({"img_003", "bridge"}),
    ),
    KnownSet(
        name="B100",
        images=100,
        obtain="Martin et al., ICCV 2001: the 100 test images of BSDS300.",
        archive=_archive("B100"),
        aliases=("BSD100", "BSDS100"),
    ),
    KnownSet(
        name="Urban100",
        images=100,
        obtain="Huang et al., CVPR 2015: the SelfExSR repository of its authors.",
        names=tuple(f"img_{number:03}" for number in range(1, 101)),
    ),
    KnownSet(
        name="Manga109",
        images=109,
        obtain="Matsui et al., 2017: on request from its authors at manga109.org; it may not be passed on.",
    ),
    KnownSet(
        name="DIV2K_valid",
        images=100,
        obtain="Agustsson and Timofte, CVPRW 2017: DIV2K_valid_HR.zip from the DIV2K site of ETH Zurich.",
        aliases=("DIV2K_val", "DIV2K100"),
        names=_DIV2K_VALID,
    ),
    KnownSet(
        name="DIV2K_LSDIR_valid",
        images=200,
        obtain="Validation images of the NTIRE Efficient SR challenges: 100 of LSDIR, 100 of DIV2K; linked from the "
        "challenge's repository, as folders DIV2K_LSDIR_valid_HR and DIV2K_LSDIR_valid_LR.",
        names=(*(f"{number:07}" for number in range(1, 101)), *_DIV2K_VALID),
    ),
)

KNOWN_SETS: Final = MappingProxyType({known.name: known for known in _SETS})


def known_set(name: str) -> KnownSet | None:
    """The published set of this name or alias, whatever the case."""
    wanted = name.lower()
    every = KNOWN_SETS.values()
    return next((k for k in every if wanted in (n.lower() for n in (k.name, *k.aliases))), None)


def how_to_get(known: KnownSet) -> str:
    """The next step for a person who lacks this set."""
    if known.archive:
        return f"Run `esr data pull {known.name}`."
    return f"{known.obtain} {_PLACE.format(name=known.name)}"
