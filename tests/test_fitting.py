"""What does not fit into memory goes through in tiles; how far a network looks; images that go through together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from runner.datasets import open_dataset
from runner.fitting import FittingNetwork, is_out_of_memory
from runner.images import write_rgb
from runner.receptive_field import EXACT, measure, tiles_for, tiling_difference
from runner.tasks.quality import evaluate
from zoo.contract import JobFailed
from zoo.create import create_model
from zoo.protocols import TILED_FOR_MEMORY, EvalProtocol


class Net(nn.Module):
    """`depth` 3x3 convolutions, so a field of `depth` pixels. Past `room` LR pixels it asks for more than there is."""

    def __init__(self, *, depth: int = 3, room: int | None = None, mixing: str = "", probe_fits: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convs = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(depth)))
        self.room, self.mixing, self.probe_fits = room, mixing, probe_fits
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        n, _c, height, width = x.shape
        # The probe of the field, in double precision, is small beside images that do not fit.
        fits = self.room is None or n * height * width <= self.room or (self.probe_fits and x.dtype == torch.double)
        if not fits:
            torch.empty(1 << 62, dtype=torch.uint8)
        y = x.clamp(0, 1) + 0.1 * self.convs(x)
        if self.mixing == "image":
            y = y + 0.05 * x.mean((2, 3), keepdim=True)
        if self.mixing == "batch":
            y = y + 0.05 * x.mean(0, keepdim=True)
        return y.repeat_interleave(2, 2).repeat_interleave(2, 3)


def _images(folder: Path, count: int, height: int, width: int) -> Path:
    rng = np.random.default_rng(3)
    for index in range(count):
        coarse = rng.integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
        pixels = coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
        write_rgb(folder / f"{index}.png", np.ascontiguousarray(pixels))
    return folder


def _evaluate(network: nn.Module, folder: Path, **options: Any) -> dict[str, Any]:
    return evaluate(network.eval(), open_dataset(str(folder), 2), protocol=EvalProtocol(), **options)


@pytest.mark.parametrize("depth", [0, 1, 3, 20])
def test_the_field_of_convolutions_is_their_number(depth: int) -> None:
    assert measure(Net(depth=depth).eval(), 2).radius_px == depth


def test_a_mean_over_the_image_has_no_end() -> None:
    field = measure(Net(mixing="image").eval(), 2)
    assert field.radius_px is None
    assert not field.is_finite


def test_a_field_past_the_probe_is_not_called_finite() -> None:
    assert measure(Net(depth=30).eval(), 2, probe_px=128).radius_px is None


FIELDS = {"bicubic": 2, "shufflemixer_tiny": 17}
"""LR pixels at x4, by hand: two of bicubic's four taps; 3x3 convolutions: first, 3 in each of 5 blocks, last at HR."""


@pytest.mark.parametrize("model", FIELDS)
def test_tiles_of_networks_with_a_finite_field_equal_the_whole_image(model: str) -> None:
    network = create_model(model, 4, weights=None)
    field = measure(network, 4)
    assert field.radius_px == FIELDS[model]
    lr = torch.rand(1, 3, 83, 99, generator=torch.Generator().manual_seed(1))
    assert tiling_difference(network, lr, 4, tiles_for(field, 32)) <= EXACT


@pytest.mark.parametrize("model", ["rfdn", "safmn", "imdn"])
def test_networks_with_global_operations_are_found_out(model: str) -> None:
    assert measure(create_model(model, 4, weights=None), 4).radius_px is None


def test_an_image_that_does_not_fit_is_tiled_and_the_result_says_so(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 3, 140, 180)
    whole = _evaluate(Net(), folder)
    assert "tiled_for_memory" not in whole
    small = Net(room=70 * 90 - 1)
    tiled = _evaluate(small, folder)
    assert tiled["protocol"] == whole["protocol"] + TILED_FOR_MEMORY
    assert tiled["psnr_y_db"] == pytest.approx(whole["psnr_y_db"], abs=1e-3)
    assert set(tiled["tiled_for_memory"]) == {"0", "1", "2"}
    first = tiled["tiled_for_memory"]["0"]
    assert (first["tiles"], first["receptive_field_px"]) == ("tile45+16@16", 3)
    assert first["max_difference"] <= EXACT
    # The first image found out what fits; the others do not try in vain.
    assert sum(shape == (1, 3, 70, 90) for shape in small.seen) == 1


def test_tiles_are_halved_until_they_fit(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 1, 280, 280)
    tiled = _evaluate(Net(room=64 * 64), folder)["tiled_for_memory"]["0"]
    assert tiled["tiles"] == "tile35+16@16"


def test_where_the_probe_does_not_fit_either_the_field_is_unknown_and_the_difference_measured(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 2, 140, 180)
    tiled = _evaluate(Net(room=70 * 90 - 1, probe_fits=False), folder)["tiled_for_memory"]
    for entry in tiled.values():
        assert entry["receptive_field_px"] is None
        assert entry["max_difference"] <= EXACT


def test_of_a_network_that_sees_the_whole_image_the_difference_is_measured(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 2, 140, 180)
    tiled = _evaluate(Net(room=70 * 90 - 1, mixing="image"), folder)["tiled_for_memory"]
    for entry in tiled.values():
        assert entry["receptive_field_px"] is None
        assert 1e-4 < entry["max_difference"] < 0.05
        assert entry["measured_on"] == "64x80"


def test_what_fits_in_no_tile_fails_with_the_size(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 1, 140, 180)
    with pytest.raises(JobFailed, match=r"70x90 does not fit into memory, not even in tiles"):
        _evaluate(Net(room=100), folder)


def test_other_errors_are_not_taken_for_full_memory() -> None:
    def broken(_x: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    network = FittingNetwork(nn.Identity(), 1, plain=nn.Identity())
    network.network = broken  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="shapes"):
        network(torch.rand(1, 3, 4, 4))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_images_of_one_size_go_through_together_with_the_results_of_each_alone(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 5, 40, 48)
    network = Net()
    alone, together = _evaluate(Net(), folder), _evaluate(network, folder, batch=3)
    assert [shape[0] for shape in network.seen] == [3, 1, 2]
    for one, other in zip(alone["per_image"], together["per_image"], strict=True):
        assert one["name"] == other["name"]
        assert one["psnr_y_db"] == pytest.approx(other["psnr_y_db"], abs=1e-3)


def test_a_network_that_mixes_the_images_of_a_batch_gets_them_one_by_one(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 5, 40, 48)
    network = Net(mixing="batch")
    assert _evaluate(network, folder, batch=3) == _evaluate(Net(mixing="batch"), folder)
    assert [shape[0] for shape in network.seen] == [3, 1, 1, 1, 1, 1]


def test_a_batch_that_does_not_fit_goes_through_one_by_one(tmp_path: Path) -> None:
    folder = _images(tmp_path / "Mine", 4, 40, 48)
    network = Net(room=20 * 24)
    assert _evaluate(network, folder, batch=4) == _evaluate(Net(), folder)


def test_sr_far_out_of_range_is_told_by_image(tmp_path: Path) -> None:
    class Bytes(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 255

    values = _evaluate(Bytes(depth=0), _images(tmp_path / "Mine", 2, 40, 48))
    assert set(values["out_of_range"]) == {"0", "1"}
    low, high = values["out_of_range"]["0"]
    assert 0 <= low < high
    assert high > 100
    assert "out_of_range" not in _evaluate(Net(), tmp_path / "Mine")
