"""`esr export`: ONNX files that give the network's image at any size, or are not written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agdn.network import _window_indices, window_starts
from runner import export
from runner.tasks.latency_forms import onnxruntime_run, require_form
from tests.cli import esr
from zoo.contract import ModelSpec
from zoo.protocols import Form, Size, TimingProtocol

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

NET = """
from torch import nn

class MyNet(nn.Module):
    scales = (2,)
    size_multiple_px = 2

    def __init__(self, scale):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.shuffle(self.conv(x))

class Branching(MyNet):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(NET, encoding="utf-8")
    return file


def test_the_file_gives_the_networks_image_at_any_size_and_says_what_it_is(
    user_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out" / "net.onnx"
    result = esr(capsys, "export", f"{user_file}:MyNet", "--scale", "2", "--onnx", str(target), "--json")
    assert result.code == 0, result.words
    (row,) = result.rows
    assert row["lr"] == "any"
    assert row["max_abs_difference"] < 1e-6
    assert {parity["lr"] for parity in row["parity"]} == {"50x58", "52x78", "114x108"}
    model = onnx.load(target)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["esr.model"] == "MyNet"
    assert metadata["esr.scale"] == "2"
    assert metadata["esr.lr"] == "dynamic"
    assert metadata["esr.opset"] == str(model.opset_import[0].version) == str(export.OPSET)
    sr = onnxruntime_run(target.read_bytes(), threads=1)(torch.rand(3, 3, 5, 9))
    assert tuple(sr.shape) == (3, 3, 10, 18)


def test_a_size_of_the_users_is_the_only_one(
    user_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "net.onnx"
    arguments = ("export", f"{user_file}:MyNet", "--scale", "2", "--onnx", str(target), "--lr", "6x8", "--json")
    assert esr(capsys, *arguments).rows[0]["lr"] == "6x8"
    run = onnxruntime_run(target.read_bytes(), threads=1)
    assert tuple(run(torch.rand(1, 3, 6, 8)).shape) == (1, 3, 12, 16)
    with pytest.raises(Exception, match="6"):
        run(torch.rand(1, 3, 8, 8))


def test_what_cannot_be_exported_leaves_no_file(
    user_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "net.onnx"
    result = esr(capsys, "export", f"{user_file}:Branching", "--scale", "2", "--onnx", str(target))
    assert result.code == 1
    assert "has no ONNX form here" in result.words
    assert "--lr HEIGHTxWIDTH" in result.words
    assert "Traceback" not in result.words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nets.py"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--onnx", "net.pt"), "ends in .onnx"),
        (("--onnx", "nets.py"), "ends in .onnx"),
        (("--onnx", "net.onnx", "--lr", "7x8"), "multiples of 2 px"),
        (("--onnx", "net.onnx", "--lr", "7by8"), "HEIGHTxWIDTH"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: tuple[str, ...],
    message: str,
    user_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = esr(capsys, "export", f"{user_file}:MyNet", "--scale", "2", *arguments)
    assert result.code == 2
    assert message in result.words


def test_a_file_that_is_there_is_kept(user_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "net.onnx"
    target.write_text("mine", encoding="utf-8")
    result = esr(capsys, "export", f"{user_file}:MyNet", "--scale", "2", "--onnx", str(target))
    assert (result.code, target.read_text(encoding="utf-8")) == (2, "mine")
    assert "--overwrite" in result.words


def test_a_model_that_differs_is_refused() -> None:
    spec = ModelSpec(name="n", display_name="N", build=lambda _scale: nn.Identity(), scales=(1,))
    sizes = export.sizes_to_check(spec, None)
    model = export.onnx_bytes(Scaled(1.0), torch.rand(1, 3, 8, 9), dynamic=True)
    assert export.parity(model, Scaled(1.0), sizes)[0].max_abs_difference == 0
    with pytest.raises(export.CannotExport, match="differs from the network"):
        export.parity(model, Scaled(1.01), sizes)


class Scaled(nn.Module):
    """One factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.mark.parametrize("window", [48, 96])
def test_windows_in_exportable_arithmetic_are_the_windows(window: int) -> None:
    for length in [*range(1, 500), 2305, 2400, 3000, 4801]:
        indices = _window_indices(length, window, torch.device("cpu"))
        assert indices[:, 0].tolist() == window_starts(length, window)
        assert indices.shape[1] == min(length, window)


@pytest.mark.parametrize("form", [Form.ONNXRUNTIME, Form.OPENVINO])
def test_an_exported_form_is_timed_and_its_output_checked(form: Form) -> None:
    from runner.datasets import open_dataset
    from runner.tasks import latency
    from runner.tasks.sampling import SamplingRule
    from zoo.catalogue import find

    pytest.importorskip("openvino", reason="needs the extra openvino")
    protocol = TimingProtocol(device="cpu", lr=Size(24, 30), threads=torch.get_num_threads(), form=form)
    require_form(protocol)
    sample = open_dataset("sample", 4)
    values = latency.measure(
        find("bicubic"),
        4,
        protocol=protocol,
        check_on=replace(sample, pairs=sample.pairs[:1]),
        rule=SamplingRule(target=1e9, min_samples=3, max_seconds=1),
    )
    assert values["check"]["max_abs_difference"] < 1e-5
    assert values["check"]["psnr_y_db"] == pytest.approx(values["check"]["plain_psnr_y_db"], abs=1e-3)
    assert values["check"]["lr"] == "24x30"
