"""`esr upscale`, and inference in tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from runner.images import read_rgb, write_rgb
from runner.inference import infer
from runner.tiling import SMALLEST_PX, bytes_per_pixel, tiles_for
from tests.cli import esr
from zoo.catalogue import find
from zoo.contract import BadInput
from zoo.create import create_model
from zoo.protocols import Size, Tiled, Whole


def picture(path: Path, height: int, width: int) -> Path:
    write_rgb(path, np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))
    return path


@pytest.mark.parametrize("model", ["carn_m", "bicubic"])
def test_tiles_equal_the_whole_image_where_the_network_sees_no_further(model: str) -> None:
    network = create_model(model, 4, weights=None)
    x = torch.rand(1, 3, 97, 83, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole = infer(network, x, 4, Whole())
        tiled = infer(network, x, 4, Tiled(40, 40))
        narrow = infer(network, x, 4, Tiled(40, 0))
    assert torch.allclose(whole, tiled, rtol=0, atol=2e-6)
    assert not torch.allclose(whole, narrow, rtol=0, atol=2e-6), "without a halo the seams must show"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 41), (7, 200)])
def test_tiles_fill_an_image_of_any_size(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(3))
    nearest = torch.nn.Upsample(scale_factor=3, mode="nearest")
    assert torch.equal(infer(nearest, x, 3, Tiled(40, 5)), nearest(x))


def test_tiles_without_a_side_are_refused() -> None:
    with pytest.raises(BadInput, match="at least 1"):
        infer(torch.nn.Identity(), torch.rand(1, 3, 4, 4), 1, Tiled(0, 3))


def test_a_folder_is_upscaled_and_a_bad_image_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "in" / "a.png", 12, 20)
    picture(tmp_path / "in" / "b.png", 60, 20)
    (tmp_path / "in" / "torn.png").write_bytes(b"no image")
    result = esr(
        capsys,
        *("upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--model", "bicubic", "--scale", "3"),
        *("--tile", "32", "--json"),
    )
    assert result.code == 1
    assert "torn.png" in result.words
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert [row.get("inference") for row in result.rows] == ["whole", "tile32+32", None]
    assert read_rgb(tmp_path / "out" / "b.png").shape == (180, 60, 3)


def test_nothing_is_overwritten_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png", 12, 20)
    out = picture(tmp_path / "b.png", 5, 5)
    kept = out.read_bytes()
    command = ("upscale", str(tmp_path / "a.png"), str(out), "--model", "bicubic")
    refused = esr(capsys, *command)
    assert (refused.code, out.read_bytes()) == (2, kept)
    assert "Pass --overwrite" in refused.words
    assert esr(capsys, *command, "--overwrite").code == 0
    assert read_rgb(out).shape == (48, 80, 3)


@pytest.mark.parametrize(
    ("source", "target", "words"), [("none.png", "x.png", "does not exist"), ("a.png", "x.jpg", ".png")]
)
def test_bad_paths_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, target: str, words: str
) -> None:
    picture(tmp_path / "a.png", 12, 20)
    result = esr(capsys, "upscale", str(tmp_path / source), str(tmp_path / target), "--model", "bicubic")
    assert result.code == 2
    assert words in result.words
    assert not (tmp_path / target).exists()


def _kinds() -> dict[str, Image.Image]:
    """One picture of each kind that people have, 6 rows by 5 columns."""
    rgb = Image.fromarray(np.arange(90, dtype=np.uint8).reshape(6, 5, 3) * 2)
    alpha = Image.fromarray(np.tile(np.array([0, 0, 255, 255, 255], dtype=np.uint8), (6, 1)))
    with_alpha, grey_alpha = rgb.copy(), rgb.convert("L")
    with_alpha.putalpha(alpha)
    grey_alpha.putalpha(alpha)
    palette = rgb.quantize(8)
    transparent = rgb.quantize(8)
    transparent.info["transparency"] = 0
    deep = Image.fromarray((np.arange(30, dtype=np.uint16) * 2000).reshape(6, 5))
    return {
        "rgb": rgb,
        "grey": rgb.convert("L"),
        "black_and_white": rgb.convert("1"),
        "with_alpha": with_alpha,
        "grey_alpha": grey_alpha,
        "palette": palette,
        "palette_transparent": transparent,
        "grey_16": deep,
    }


MODES = {"grey": "L", "black_and_white": "L", "with_alpha": "RGBA", "grey_alpha": "LA", "grey_16": "I;16"}


@pytest.mark.parametrize("kind", list(_kinds()))
def test_a_picture_of_any_kind_stays_of_its_kind(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    _kinds()[kind].save(source)
    result = esr(capsys, "upscale", str(source), str(out), "--model", "bicubic", "--scale", "2", "--json")
    assert result.code == 0, result.words
    with Image.open(out) as sr:
        assert sr.size == (10, 12)
        assert sr.mode == MODES.get(kind, "RGBA" if kind == "palette_transparent" else "RGB")
        if "alpha" in kind:
            opaque = np.asarray(sr.getchannel("A"))
            assert (opaque[:, 0], opaque[:, -1]) == (pytest.approx(0), pytest.approx(255))
        if kind == "grey_16":
            values = np.asarray(sr)
            assert values.max() > 50_000
            assert len(np.unique(values)) > 60, "more steps than 8 bits of this range would have"


def test_a_photo_is_turned_as_its_exif_data_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "phone.jpg", tmp_path / "out.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((6, 10, 3), dtype=np.uint8)).save(source, exif=exif)
    assert esr(capsys, "upscale", str(source), str(out), "--model", "bicubic", "--scale", "2").code == 0
    assert read_rgb(out).shape == (20, 12, 3)


def test_sixteen_bits_of_colour_are_read_as_eight_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(range(36)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    source = tmp_path / "deep.png"
    source.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    result = esr(capsys, "upscale", str(source), str(tmp_path / "out.png"), "--model", "bicubic", "--scale", "2")
    assert result.code == 0
    assert "16 bits per colour were read as 8" in result.words


def test_an_image_is_tiled_where_its_tensors_would_not_fit() -> None:
    assert tiles_for(Size(100, 100), per_pixel=1000, free=20_000_000, halo_px=16) is None
    tiles = tiles_for(Size(1000, 1000), per_pixel=1000, free=100_000_000, halo_px=16)
    assert tiles is not None
    assert 0.8 * 60_000 < (tiles.tile_px + 2 * tiles.halo_px) ** 2 <= 60_000
    assert tiles_for(Size(1000, 1000), per_pixel=1000, free=1, halo_px=16) == Tiled(SMALLEST_PX, 16)


def test_the_memory_of_a_pass_is_counted_without_running_it() -> None:
    wide, narrow = (bytes_per_pixel(find(name), 4) for name in ("agdn", "agdn_s"))
    assert wide > 1.5 * narrow > 1000


def test_little_memory_means_tiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.tiling.free_bytes", lambda _device: 1)
    picture(tmp_path / "a.png", 80, 20)
    command = ("upscale", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--model", "bicubic", "--json")
    assert esr(capsys, *command).rows[0]["inference"] == "tile32+32"
    assert esr(capsys, *command, "--overwrite", "--tile", "0").rows[0]["inference"] == "whole"
