"""`esr upscale`, and inference in tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from runner.images import read_rgb, write_rgb
from runner.inference import infer
from tests.cli import esr
from zoo.contract import BadInput
from zoo.create import create_model
from zoo.protocols import Tiled, Whole


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
