"""Fetch a published checkpoint: resumable, checked by sha256, at its place only when it is whole.

pooch keeps the contract (hash, then one rename); the bytes come through `resume`, which keeps what has arrived in
`<file>.part` beside the target and asks for the rest with an HTTP Range the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pooch
import requests
from filelock import FileLock

from zoo.contract import JobFailed, ModelSpec, Weights
from zoo.files import sha256_of
from zoo.weights import WeightsStore

ATTEMPTS: Final = 3
"""Connections tried in one pull; each goes on where the one before ended."""

TIMEOUT_S: Final = (10, 60)
"""Seconds to connect, and between two pieces of the body."""

_PIECE_BYTES: Final = 2**14

OnBytes = Callable[[int], None]
"""Receives the number of bytes that are there so far."""


class DownloadFailed(JobFailed):
    """A checkpoint could not be fetched; what has arrived is kept for the next try."""


def pull(
    spec: ModelSpec, scale: int, store: WeightsStore, *, on_bytes: OnBytes | None = None, timeout_s: float | None = None
) -> Path:
    """Path of the official checkpoint of a model at a scale, fetched into the user cache unless it is there.

    Raises UnknownScale, and DownloadFailed without an address, without a network, or when other bytes arrive.
    """
    spec.require_scale(scale)
    weights = spec.weights.get(scale)
    if weights is None:
        has = ", ".join(f"x{s}" for s in sorted(spec.weights)) or "none"
        raise DownloadFailed(f"No checkpoint of {spec.name} x{scale} is published (published scales: {has}).")
    if path := store.locate(weights):
        return path
    if weights.url is None:
        raise DownloadFailed(
            f"The checkpoint of {spec.name} x{scale} has no address that a program can fetch. Get {weights.file} "
            f"(sha256 {weights.sha256}) from its authors by hand, then run `esr weights add FILE`."
        )
    return _fetch(weights, store.cache / weights.file, on_bytes or (lambda _count: None), timeout_s)


def _fetch(weights: Weights, target: Path, on_bytes: OnBytes, timeout_s: float | None) -> Path:
    part = target.with_name(f"{target.name}.part")

    def downloader(url: str, output_file: str, _pooch: object) -> None:
        resume(url, part, size_bytes=weights.size_bytes, on_bytes=on_bytes, timeout_s=timeout_s)
        part.replace(output_file)

    # pooch announces every download by itself; what the user sees is the command line's business.
    pooch.get_logger().setLevel("ERROR")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.is_file() and sha256_of(target) == weights.sha256:
            return target
        try:
            pooch.retrieve(
                weights.url, f"sha256:{weights.sha256}", fname=target.name, path=target.parent, downloader=downloader
            )
        except requests.RequestException as error:
            kept = part.stat().st_size if part.is_file() else 0
            arrived = f"{kept:,} of {weights.size_bytes:,} bytes are here and are kept. " if kept else ""
            raise DownloadFailed(
                f"{weights.url} could not be fetched: {_in_words(error)}. {arrived}Check the network "
                f"and run the command again, or copy the file from elsewhere and run `esr weights add FILE`."
            ) from error
        except ValueError as error:
            raise DownloadFailed(
                f"{weights.url} gave other bytes than the published {weights.file}: expected sha256 {weights.sha256}. "
                f"Nothing was kept. Run the command again; if it stays so, the file was replaced at its source."
            ) from error
        except OSError as error:
            raise DownloadFailed(
                f"{target} cannot be written: {error.strerror or error}. Free space or mend the permissions."
            ) from error
    return target


def resume(url: str, part: Path, *, size_bytes: int, on_bytes: OnBytes, timeout_s: float | None = None) -> None:
    """Complete `part` to `size_bytes` bytes of `url`, going on after the ones it holds.

    Raises requests.RequestException after three attempts, ValueError when the source has more bytes than expected.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append(url, part, size_bytes, on_bytes, TIMEOUT_S if timeout_s is None else (timeout_s, timeout_s))
            return
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            if attempt == ATTEMPTS:
                raise


def _append(url: str, part: Path, size_bytes: int, on_bytes: OnBytes, timeout_s: tuple[float, float]) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have > size_bytes:
        part.unlink()
        have = 0
    if have == size_bytes:
        return
    # An encoding made on the way would make byte ranges meaningless.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # What is here does not belong to what the source has now; the next try starts anew.
            part.unlink()
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0
        with part.open("ab" if have else "wb") as stream:
            for piece in response.iter_content(_PIECE_BYTES):
                have += len(piece)
                if have > size_bytes:
                    stream.close()
                    part.unlink()
                    raise ValueError(f"{url} is longer than {size_bytes} bytes")
                stream.write(piece)
                on_bytes(have)
    if have < size_bytes:
        raise requests.ConnectionError(f"the source ended after {have:,} of {size_bytes:,} bytes")


def _in_words(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError) and "the source ended" not in str(error):
        return "no connection"
    return str(error)
