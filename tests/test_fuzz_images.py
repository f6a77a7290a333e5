"""Images and folders that are not what they seem: one clear error each, nothing written."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz import esr, fuzz, inside, refused

Make = Callable[[Path], None]
"""Puts something at a path."""


def _encoded(mode: str, kind: str, side: int = 24) -> bytes:
    random = np.random.default_rng(side)
    rgb = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
    image = Image.fromarray(random.integers(0, 60000, (side, side), dtype=np.uint16)) if mode == "I;16" else rgb
    if mode not in ("RGB", "I;16"):
        image = rgb.convert(mode)
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return stream.getvalue()


def _png(width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG by its header alone."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


WHOLE = {".png": _encoded("RGB", "PNG"), ".jpg": _encoded("RGB", "JPEG"), ".webp": _encoded("RGB", "WEBP"),
         ".bmp": _encoded("RGB", "BMP"), ".tif": _encoded("RGB", "TIFF")}  # fmt: skip
WRONG_MODES = [(".png", mode, "PNG") for mode in ("RGBA", "P", "LA", "1", "I;16")] + [
    (".jpg", "CMYK", "JPEG"), (".tif", "F", "TIFF"), (".tif", "RGBA", "TIFF"),
    (".png", "P", "GIF"),
]  # fmt: skip
CONVERTED = {suffix for suffix, _mode, _form in WRONG_MODES}
SIDES = st.sampled_from([0, 1, 2, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1])


def _bytes(content: bytes) -> Make:
    return lambda path: path.write_bytes(content) and None


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    other = path.with_name(f"back{path.suffix}")
    path.symlink_to(other)
    other.symlink_to(path)


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@st.composite
def bad_images(draw: st.DrawFn) -> tuple[str, Make]:
    """Suffix, and what to put there."""
    kind = draw(st.sampled_from(["cut", "mode", "header", "noise", "flipped", "text", "no file"]))
    suffix = draw(st.sampled_from(sorted(WHOLE)))
    whole = WHOLE[suffix]
    match kind:
        case "cut":
            return suffix, _bytes(whole[: draw(st.integers(0, len(whole) * 3 // 5))])
        case "mode":
            suffix, mode, form = draw(st.sampled_from(WRONG_MODES))
            return suffix, _bytes(_encoded(mode, form))
        case "header":
            width, height = draw(SIDES), draw(SIDES)
            return ".png", _bytes(_png(width, height, data=draw(st.binary(max_size=8))))
        case "noise":
            return suffix, _bytes(draw(st.binary(max_size=200)))
        case "flipped":
            # The first bytes of the format: what follows may be damaged and decode all the same.
            at = draw(st.integers(0, 1))
            return suffix, _bytes(whole[:at] + bytes([whole[at] ^ draw(st.integers(1, 255))]) + whole[at + 1 :])
        case "text":
            return suffix, _bytes(draw(st.text(max_size=50)).encode("utf-8", "surrogatepass"))
        case _:
            return suffix, draw(st.sampled_from([_folder, _loop, _dangling, _fifo]))


COMMANDS = ("quality", "upscale", "upscale a folder", "prepare", "train", "bench")


def _command(name: str, data: Path, image: Path) -> tuple[str, ...]:
    match name:
        case "quality":
            return ("quality", "bicubic", "--scale", "2", "--data", str(data))
        case "upscale":
            return ("upscale", str(image), "out.png", "--model", "bicubic", "--scale", "2")
        case "upscale a folder":
            return ("upscale", str(data), "out", "--model", "bicubic", "--scale", "2")
        case "prepare":
            return ("data", "prepare", str(data), "--scale", "2", "--out", "prepared")
        case "train":
            return ("train", "--recipe", "agdn_s_x4_short", "--data", str(data), "--iterations", "1", "--out", "run")
        case _:
            return ("bench", "bicubic", "--scale", "2", "--tasks", "quality", "--data", str(data))


@pytest.fixture
def count(tmp_path: Path) -> Callable[[], Path]:
    """Gives an empty folder at each call."""
    numbers = iter(range(100_000))

    def fresh() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    return fresh


def test_images(count: Callable[[], Path]) -> None:
    def check(example: tuple[tuple[str, Make], str]) -> None:
        (suffix, make), command = example
        folder = count()
        data = folder / "data"
        data.mkdir()
        image = data / f"odd{suffix}"
        make(image)
        if command.startswith("upscale") and suffix in CONVERTED and image.is_file() and _decodes(image):
            # A user's picture may have any mode; a data set's may not.
            command = "quality"
        if command == "bench":
            _recorded_as_failed(folder, data)
            return
        is_file = image.is_file()
        with inside(folder):
            # Of a folder only files are its images; one without any is named itself.
            refused(folder, *_command(command, data, image), names=image.name if is_file else str(data))

    fuzz("images", st.tuples(bad_images(), st.sampled_from(COMMANDS)), check)


def _decodes(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:  # noqa: BLE001 - whatever Pillow raises on damage
        return False
    return True


def _recorded_as_failed(folder: Path, data: Path) -> None:
    """`esr bench` plans a data set that it cannot read, and the record says why."""
    with inside(folder):
        result = esr(*_command("bench", data, data))
    assert result.code == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert str(data) in result.stderr.replace("\n", ""), result.stderr


def _pairs(folder: Path, hr: dict[str, tuple[int, int]], lr: dict[str, tuple[int, int]]) -> Path:
    for place, sizes in (("HR", hr), ("LR_bicubic/X2", lr)):
        target = folder / "pairs" / place
        target.mkdir(parents=True)
        for name, (height, width) in sizes.items():
            Image.new("RGB", (width, height)).save(target / f"{name}.png")
    return folder / "pairs"


def test_pairs(count: Callable[[], Path]) -> None:
    """HR and LR that do not belong together."""
    sides = st.tuples(st.integers(1, 30), st.integers(1, 30))
    names = st.sampled_from(["a", "b", "ax2", "bx2", "c d", "é", "[b]", "a.b"])

    def check(example: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]) -> None:
        hr, lr = example
        folder = count()
        data = _pairs(folder, hr, lr)
        with inside(folder):
            refused(folder, "quality", "bicubic", "--scale", "2", "--data", str(data), names=str(data))

    def wrong(example: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]) -> bool:
        hr, lr = example
        belongs = {name: lr.get(f"{name}x2", lr.get(name)) for name in hr}
        return len(lr) != len(hr) or any(
            belongs[name] != (height // 2, width // 2) for name, (height, width) in hr.items()
        )

    pairs = st.tuples(st.dictionaries(names, sides, min_size=1, max_size=3), st.dictionaries(names, sides, max_size=3))
    fuzz("pairs", pairs.filter(wrong), check)


@st.composite
def bad_folders(draw: st.DrawFn) -> tuple[str, str]:
    """A name, and what is there: nothing, an empty folder, a file, a folder of other files or of hidden images."""
    characters = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
    name = draw(
        st.one_of(st.text(characters, min_size=1, max_size=40), st.sampled_from(["[b]x[b]", "a\nb", "n" * 300]))
    )
    kind = draw(st.sampled_from(["missing", "empty", "file", "other files", "hidden", "nested", "unreadable names"]))
    return name, kind


def test_folders(count: Callable[[], Path]) -> None:
    def check(example: tuple[tuple[str, str], str]) -> None:
        (name, kind), command = example
        folder = count()
        data = folder / "sets" / name
        if name.strip(".") == "" or len(name.encode()) > 250:
            kind = "missing"
            data = folder / "sets" / f"{name}x"
        match kind:
            case "missing":
                pass
            case "file":
                data.parent.mkdir()
                data.write_bytes(b"x")
            case _:
                data.mkdir(parents=True)
        if kind == "other files":
            (data / "readme.txt").write_text("x")
            (data / "image.pngx").write_bytes(WHOLE[".png"])
        if kind == "hidden":
            (data / ".a.png").write_bytes(WHOLE[".png"])
        if kind == "nested":
            (data / "HR").mkdir()
            (data / "HR" / "x.png").mkdir()
        if kind == "unreadable names":
            Path(os.fsdecode(os.fsencode(data) + b"/\xff\xfe.png")).write_bytes(b"\x89PNG")
        with inside(folder):
            refused(folder, *_command(command, data, data))

    commands = st.sampled_from([name for name in COMMANDS if name not in ("bench", "upscale")])
    fuzz("folders", st.tuples(bad_folders(), commands), check)
