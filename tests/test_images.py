"""Images in files: what is read, what is refused and why, and that nothing half-written stays."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.images import image_files, pixel_sha256, read_rgb, write_rgb
from zoo.contract import BadInput


def _noise(height: int = 12, width: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _png(depth: int, colour_type: int, row: bytes, rows: int = 4, extra: bytes = b"") -> bytes:
    """A PNG written by hand, for kinds that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 4, rows, depth, colour_type, 0, 0, 0)
    body = zlib.compress((b"\0" + row) * rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_files_keep_every_value(tmp_path: Path, suffix: str) -> None:
    img = _noise()
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(img).save(tmp_path / f"a{suffix}", **options)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a{suffix}"), img)


def test_written_and_read_again(tmp_path: Path) -> None:
    write_rgb(tmp_path / "new" / "a.png", _noise())
    np.testing.assert_array_equal(read_rgb(tmp_path / "new" / "a.png"), _noise())
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("mode", "suffix", "words"),
    [
        ("L", ".png", "8-bit grey"),
        ("LA", ".png", "alpha"),
        ("RGBA", ".png", "alpha"),
        ("P", ".png", "palette"),
        ("1", ".png", "black-and-white"),
        ("I;16", ".png", "16-bit"),
        ("CMYK", ".jpg", "CMYK"),
        ("F", ".tif", "floating-point"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, mode: str, suffix: str, words: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new(mode, (16, 12)).save(path)
    with pytest.raises(BadInput, match=words):
        read_rgb(path)


def test_16_bit_rgb_is_refused_although_pillow_would_narrow_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png(16, 2, b"\x12\x34" * 12))
    with pytest.raises(BadInput, match="16-bit"):
        read_rgb(tmp_path / "a.png")


def test_a_transparent_colour_is_refused(tmp_path: Path) -> None:
    body = b"\0\1\0\2\0\3"
    transparency = struct.pack(">I", 6) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
    (tmp_path / "a.png").write_bytes(_png(8, 2, b"\x10" * 12, extra=transparency))
    with pytest.raises(BadInput, match="transparent"):
        read_rgb(tmp_path / "a.png")


def test_grey_is_replicated_only_on_request(tmp_path: Path) -> None:
    grey = _noise()[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png", grey_to_rgb=True), np.stack([grey] * 3, axis=2))
    Image.new("LA", (16, 12)).save(tmp_path / "b.png")
    with pytest.raises(BadInput, match="alpha"):
        read_rgb(tmp_path / "b.png", grey_to_rgb=True)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("kept", [0, 1, 10, 50, 90])
def test_truncated_files_are_named_at_any_length(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(_noise(64, 64)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * kept // 100])
    with pytest.raises(BadInput, match=r"cannot be decoded.*truncated"):
        read_rgb(path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 100])
def test_other_content_is_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.png cannot be decoded"):
        read_rgb(tmp_path / "a.png")


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(BadInput, match="does not exist"):
            read_rgb(path)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_only_rgb_bytes_are_written(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(BadInput, match="Expected uint8"):
        write_rgb(tmp_path / "a.png", bad)
    with pytest.raises(BadInput, match=r"ends in \.png"):
        write_rgb(tmp_path / "a.jpg", _noise())
    assert not list(tmp_path.iterdir())


def test_the_digest_is_of_pixels_and_shape_not_of_the_file(tmp_path: Path) -> None:
    img = _noise()
    for name in ("a.png", "a.bmp"):
        Image.fromarray(img).save(tmp_path / name)
    assert pixel_sha256(read_rgb(tmp_path / "a.png")) == pixel_sha256(read_rgb(tmp_path / "a.bmp"))
    assert pixel_sha256(img) != pixel_sha256(img.reshape(16, 12, 3))
    assert pixel_sha256(img[:, ::-1]) == pixel_sha256(img[:, ::-1].copy())


def test_only_images_of_the_folder_are_listed(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in image_files(tmp_path)] == ["a.JPG", "b.png"]
