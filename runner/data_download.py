"""Fetch the data sets that have a public archive; what arrives is accepted by its pixels."""

from __future__ import annotations

import fnmatch
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pooch
import requests

from runner.data_manifest import folder_when_complete
from runner.datasets import entry_of, user_cache
from runner.images import read_rgb
from runner.known_sets import KnownSet
from zoo.contract import BadInput, JobFailed


def pull(known: KnownSet, *, cache: Path | None = None) -> Path:
    """Download a set's archive and put its HR images into `<cache>/<name>/HR`; returns `<cache>/<name>`.

    Every image of the committed manifest must arrive with its published pixels, otherwise nothing is written.
    Raises JobFailed where there is no archive, on network errors, and on other pixels.
    """
    manifest = known.manifest()
    if known.archive is None or manifest is None:
        raise JobFailed(
            f"{known.name} has no public archive that can be checked. {known.obtain} "
            f"Put its images into {known.name}/HR below a data folder (--data-dir or ESR_DATA_DIR)."
        )
    root = (cache or user_cache()) / known.name
    with tempfile.TemporaryDirectory() as scratch, folder_when_complete(root) as part:
        archive = _download(known.archive.url, Path(scratch))
        wanted = set(manifest.hr)
        (part / "HR").mkdir()
        for name, content in _members(archive, known.archive.members):
            file = part / "HR" / name
            if file.stem not in wanted:
                continue
            file.write_bytes(content)
            if _entry_or_none(file) != manifest.hr[file.stem]:
                raise JobFailed(
                    f"{name} in {known.archive.url} has other pixels than the published {known.name}. Nothing was "
                    f"written; get the set elsewhere and check it with `esr data verify {known.name}`."
                )
            wanted.discard(file.stem)
        if wanted:
            raise JobFailed(
                f"{known.archive.url} lacks {len(wanted)} of {len(manifest.hr)} images ({min(wanted)}, ...). "
                f"Nothing was written; get the set elsewhere: {known.obtain}"
            )
    return root


def _download(url: str, folder: Path) -> Path:
    # known_hash=None: the pixels are checked one by one, and the archive itself may be packed anew by its host.
    pooch.get_logger().setLevel("ERROR")
    try:
        return Path(pooch.retrieve(url, known_hash=None, path=folder, fname=url.rpartition("/")[2]))
    except (requests.RequestException, OSError, ValueError) as error:
        raise JobFailed(f"{url} cannot be downloaded ({type(error).__name__}: {error}). Try again later.") from error


def _members(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of the regular files that match; folders of the archive are dropped, nothing is unpacked."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                for name in fnmatch.filter(opened.namelist(), pattern):
                    yield PurePosixPath(name).name, opened.read(name)
            return
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and fnmatch.fnmatch(member.name, pattern) and (stream := tar.extractfile(member)):
                    yield PurePosixPath(member.name).name, stream.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise JobFailed(f"{archive.name} is damaged ({error}). Run the command again.") from error


def _entry_or_none(file: Path) -> object:
    try:
        return entry_of(read_rgb(file))
    except BadInput:
        return None
