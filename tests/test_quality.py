"""Quality of a network: toy networks against hand-made references, and AGDN against the published table."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

from runner.datasets import open_dataset
from runner.images import read_rgb, write_rgb
from runner.tasks.quality import ImageScore, evaluate, to_tensor, to_uint8
from tests import shared
from tests.cli import esr
from tests.test_datasets import make_set, picture
from zoo.contract import BadInput, JobFailed
from zoo.create import create_model
from zoo.protocols import CropToMultiple, EvalProtocol, Form, LrRecipe, PadSymmetric, Rounding


class Nearest(nn.Module):
    """Each LR pixel becomes scale x scale pixels; `gain` and `offset` push values out of [0, 1]."""

    def __init__(self, *, scale: int, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.scale, self.gain, self.offset = scale, gain, offset

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.scale, dim=2).repeat_interleave(self.scale, dim=3) * self.gain + self.offset


class SideOf8(Nearest):
    """Refuses LR sides that are no multiple of 8."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] % 8 == 0
        assert x.shape[3] % 8 == 0
        return super().forward(x)


def _luma(img: np.ndarray) -> np.ndarray:
    return 16 + img.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def _big_set(tmp_path: Path) -> Path:
    root = tmp_path / "Mine"
    make_set(root)
    for seed, path in enumerate(sorted((root / "HR").iterdir())):
        path.unlink()
        write_rgb(path, picture(seed, 53, 67))
    return root


def test_nearest_equals_a_reference_by_hand(tmp_path: Path) -> None:
    dataset = open_dataset(str(_big_set(tmp_path)), 2)
    seen: list[ImageScore] = []
    saved: dict[str, np.ndarray] = {}
    protocol = EvalProtocol()
    values = evaluate(Nearest(scale=2), dataset, protocol=protocol, on_image=seen.append, on_sr=saved.__setitem__)
    expected = []
    for pair in dataset.pairs:
        lr, hr = dataset.load(pair)
        sr = lr.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(saved[pair.name], sr)
        inner = (slice(2, -2), slice(2, -2))
        expected.append(peak_signal_noise_ratio(_luma(hr)[inner], _luma(sr)[inner], data_range=255))
    assert [score["psnr_y_db"] for score in values["per_image"]] == pytest.approx(expected, abs=1e-9)
    assert values["psnr_y_db"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert values["ssim_y"] == pytest.approx(np.mean([score.ssim_y for score in seen]), abs=1e-15)
    assert [(s.name, s.height, s.width) for s in seen] == [("a", 52, 66), ("b", 52, 66)]
    assert values["lr_source"] == "matlab-u8"
    assert values["protocol"] == protocol.id(2)


def test_sr_is_clamped_and_rounded_as_the_protocol_says(tmp_path: Path) -> None:
    dataset = open_dataset(str(_big_set(tmp_path)), 2)
    third = 1 / (3 * 255)
    plain, shifted, shifted_float = (
        evaluate(Nearest(scale=2, offset=offset), dataset, protocol=EvalProtocol(rounding=rounding))["psnr_y_db"]
        for offset, rounding in ((0, Rounding.SR), (third, Rounding.SR), (third, Rounding.NONE))
    )
    assert plain == shifted != shifted_float
    saved: dict[str, np.ndarray] = {}
    evaluate(Nearest(scale=2, gain=3), dataset, protocol=EvalProtocol(), on_sr=saved.__setitem__)
    lr = dataset.load(dataset.pairs[0])[0]
    np.testing.assert_array_equal(saved["a"][::2, ::2], np.minimum(3 * lr.astype(int), 255))


def test_hr_is_cropped_with_lr(tmp_path: Path) -> None:
    dataset = open_dataset(str(_big_set(tmp_path)), 2)
    values = evaluate(SideOf8(scale=2), dataset, protocol=EvalProtocol(inference=CropToMultiple(8)))
    assert [(image["height"], image["width"]) for image in values["per_image"]] == [(48, 64)] * 2
    padded = evaluate(SideOf8(scale=2), dataset, protocol=EvalProtocol(inference=PadSymmetric(8)))
    assert padded["psnr_y_db"] == evaluate(Nearest(scale=2), dataset, protocol=EvalProtocol())["psnr_y_db"]


def test_a_perfect_network_scores_infinity_and_one(tmp_path: Path) -> None:
    root = _big_set(tmp_path)
    flat = np.full((40, 40, 3), 90, np.uint8)
    for path in (root / "HR").iterdir():
        write_rgb(path, flat)
    values = evaluate(Nearest(scale=4), open_dataset(str(root), 4), protocol=EvalProtocol())
    assert (values["psnr_y_db"], values["ssim_y"]) == (math.inf, 1.0)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Nearest(scale=2, gain=math.nan), "a of Mine.*NaN or infinity"),
        (Nearest(scale=2, gain=math.inf), "a of Mine.*NaN or infinity"),
        (Nearest(scale=3), r"a of Mine.*\(1, 3, 78, 99\).*Expected \(1, 3, 52, 66\)"),
    ],
)
def test_a_broken_output_fails_the_job_and_names_the_image(tmp_path: Path, network: nn.Module, words: str) -> None:
    dataset = open_dataset(str(_big_set(tmp_path)), 2)
    with pytest.raises(JobFailed, match=words):
        evaluate(network, dataset, protocol=EvalProtocol())


def test_protocol_and_data_must_agree_on_the_recipe(tmp_path: Path) -> None:
    dataset = open_dataset(str(_big_set(tmp_path)), 2)
    with pytest.raises(BadInput, match=r"matlab-float.*matlab-u8"):
        evaluate(Nearest(scale=2), dataset, protocol=EvalProtocol(lr_recipe=LrRecipe.MATLAB_FLOAT))


def test_tensors_and_bytes_convert_without_loss() -> None:
    img = picture(0)
    assert to_tensor(img).shape == (1, 3, 26, 34)
    np.testing.assert_array_equal(to_uint8(to_tensor(img)[0]), img)
    every_level = torch.arange(256.0).view(1, 16, 16).repeat(3, 1, 1) / 255
    assert to_uint8(every_level)[..., 0].ravel().tolist() == list(range(256))


NETWORK_FILE = """
from torch import nn
class Twice(nn.Upsample):
    scales = (2,)
    def __init__(self):
        super().__init__(scale_factor=2)
class Broken(Twice):
    def forward(self, x):
        return super().forward(x) * float("nan")
class InBytes(Twice):
    def forward(self, x):
        return super().forward(x) * 255
"""


def test_the_command_measures_a_users_file_and_saves_sr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETWORK_FILE, encoding="utf-8")
    arguments = ("--scale", "2", "--data", str(_big_set(tmp_path)), "--save", str(tmp_path / "sr"), "--json")
    result = esr(capsys, "quality", f"{tmp_path}/nets.py:Twice", *arguments)
    assert result.code == 0
    row = result.rows[0]
    expected = evaluate(Nearest(scale=2), open_dataset(str(tmp_path / "Mine"), 2), protocol=EvalProtocol())
    assert {key: row[key] for key in ("model", "scale", "dataset")} == {"model": "Twice", "scale": 2, "dataset": "Mine"}
    assert row["psnr_y_db"] == pytest.approx(expected["psnr_y_db"], abs=1e-12)
    assert row["per_image"] == expected["per_image"]
    assert row["error"] is None
    assert read_rgb(tmp_path / "sr" / "Twice_x2" / "Mine" / "a.png").shape == (52, 66, 3)


def test_the_command_takes_a_protocol_and_single_choices(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = str(_big_set(tmp_path))
    wanted = "rgb-crop1-u8y8-uniform7-pil-x8-whole"
    single = ("--colour", "rgb", "--crop", "1", "--rounding", "u8y8", "--ssim", "uniform7", "--lr-recipe", "pil")
    arguments = ("quality", "bicubic", "--scale", "2", "--data", root, "--json")
    by_id = esr(capsys, *arguments, "--protocol", wanted).rows[0]
    assert by_id["protocol"] == wanted
    assert esr(capsys, *arguments, *single, "--self-ensemble").rows[0] == by_id
    mixed = esr(capsys, *arguments, "--protocol", "rgb-crop1", "--colour", "y601full").rows[0]
    assert mixed["protocol"] == "y601full-crop1-u8-gauss11-matlab-u8-whole"
    assert mixed["psnr_y_db"] != by_id["psnr_y_db"]


def test_saved_sr_is_not_overwritten_unless_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = (
        "quality",
        "bicubic",
        "--scale",
        "2",
        "--data",
        str(_big_set(tmp_path)),
        "--save-sr",
        str(tmp_path / "s"),
    )
    assert esr(capsys, *command).code == 0
    (image, _other) = sorted((tmp_path / "s" / "bicubic_x2" / "Mine").iterdir())
    image.write_bytes(b"precious")
    refused = esr(capsys, *command)
    assert (refused.code, refused.stdout) == (2, "")
    assert "is there already (2 in all). Pass --overwrite" in refused.words
    assert image.read_bytes() == b"precious"
    assert esr(capsys, *command, "--overwrite").code == 0
    assert read_rgb(image).shape == (52, 66, 3)


def test_with_a_store_the_command_keeps_and_finds_its_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root, kept = str(_big_set(tmp_path)), str(tmp_path / "kept")
    plain = esr(capsys, "quality", "bicubic", "--scale", "2", "--data", root, "--json")
    command = ("quality", "bicubic", "--scale", "2", "--data", root, "--store", kept, "--json")
    first, second = esr(capsys, *command), esr(capsys, *command)
    assert first.rows == second.rows == plain.rows
    assert "not run again" in second.words
    assert "not run again" not in first.words
    assert len(list(Path(kept).rglob("*.json"))) == 1
    refused = esr(capsys, *command, "--save-sr", str(tmp_path / "s"))
    assert (refused.code, refused.stdout) == (2, "")


def test_the_fast_form_says_so_in_the_protocol(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ("quality", "bicubic", "--scale", "2", "--data", str(_big_set(tmp_path)), "--json")
    (plain,), (fast,) = esr(capsys, *command).rows, esr(capsys, *command, "--form", "fast").rows
    assert fast["protocol"] == plain["protocol"] + "-fast"
    assert fast["psnr_y_db"] == pytest.approx(plain["psnr_y_db"], abs=1e-3)
    assert EvalProtocol.parse(fast["protocol"]) == replace(EvalProtocol.parse(plain["protocol"]), form=Form.FAST)


def test_a_network_that_works_in_bytes_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETWORK_FILE, encoding="utf-8")
    result = esr(capsys, "quality", f"{tmp_path}/nets.py:InBytes", "--scale", "2", "--data", str(_big_set(tmp_path)))
    assert result.code == 0
    assert "SR reaches from" in result.words
    assert "must divide by 255" in result.words


def test_a_failed_model_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESR_WEIGHTS_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "nets.py").write_text(NETWORK_FILE, encoding="utf-8")
    models = (f"{tmp_path}/nets.py:Broken", "agdn", "bicubic")
    result = esr(capsys, "quality", *models, "--scale", "2", "--data", str(_big_set(tmp_path)), "--json")
    assert result.code == 1
    broken, without_weights, measured = result.rows
    assert "NaN" in broken["error"]
    assert "esr weights pull agdn" in without_weights["error"]
    assert broken["psnr_y_db"] is None
    assert measured["error"] is None
    assert measured["psnr_y_db"] > 5
    assert "NaN" in result.words
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("agdm",), "no model 'agdm'"),
        (("bicubic", "agdn", "--scale", "8"), "no x8 build"),
        (("bicubic", "--data", "no_such_set"), "no_such_set"),
        (("bicubic", "--lr-recipe", "bicubic"), "matlab-u8"),
        (("bicubic", "--protocol", "y601-cropped"), "Expected the parts"),
        (("bicubic", "--crop", "-1"), "--crop 0"),
        (("bicubic", "--device", "tpu"), "no device 'tpu'"),
        (("bicubic", "--form", "compile"), "plain or fast"),
    ],
)
def test_usage_errors_come_before_any_run(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    result = esr(capsys, "quality", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert words in result.words


def test_a_damaged_image_is_a_usage_error_before_any_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = _big_set(tmp_path)
    content = (root / "HR" / "b.png").read_bytes()
    (root / "HR" / "b.png").write_bytes(content[: len(content) // 2])
    result = esr(capsys, "quality", "bicubic", "--data", str(root), "--json")
    assert (result.code, result.stdout) == (2, "")
    assert "b.png cannot be decoded" in result.words


@pytest.mark.parametrize("command", [("quality",), ("bench", "--tasks", "quality", "--store", "kept")])
@pytest.mark.parametrize(
    ("side", "options", "words"),
    [
        (12, (), "b of Mine: SSIM needs at least 11x11 px after the border is cut, got 8x8"),
        (8, ("--ssim", "uniform7"), "b of Mine: SSIM by a uniform window needs at least 7x7 px"),
        (12, ("--crop", "6"), "b of Mine: Cutting 6 px on each side leaves nothing of a 12x12 image"),
    ],
)
def test_an_image_too_small_for_the_metric_is_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    side: int,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = _big_set(tmp_path)
    write_rgb(root / "HR" / "b.png", picture(1, side, side))
    result = esr(capsys, *command, "bicubic", "--scale", "2", "--data", str(root), *options)
    assert result.code == 1
    assert words in result.words
    assert "Traceback" not in result.stderr


@pytest.mark.shared
@pytest.mark.parametrize(
    ("scale", "recipe", "psnr_y_db", "ssim_y"),
    [
        (4, LrRecipe.MATLAB_U8, 32.4259, 0.89803),
        (4, LrRecipe.MATLAB_FLOAT, 32.4245, 0.89803),
        (3, LrRecipe.MATLAB_U8, 34.6258, 0.92911),
        (3, LrRecipe.MATLAB_FLOAT, 34.6297, 0.92919),
        pytest.param(2, LrRecipe.MATLAB_U8, 38.2118, 0.96129, marks=pytest.mark.slow),
        pytest.param(2, LrRecipe.MATLAB_FLOAT, 38.2270, 0.96141, marks=pytest.mark.slow),
    ],
)
def test_agdn_on_set5(scale: int, recipe: LrRecipe, psnr_y_db: float, ssim_y: float) -> None:
    """Measured once with the authors' code and checkpoints; printed in Table 5 as 38.21, 34.63 and 32.43 dB."""
    dataset = open_dataset("Set5", scale, recipe=recipe, folders=[shared.require("datasets")])
    values = evaluate(create_model("agdn", scale), dataset, protocol=EvalProtocol(lr_recipe=recipe))
    assert values["psnr_y_db"] == pytest.approx(psnr_y_db, abs=6e-5)
    assert values["ssim_y"] == pytest.approx(ssim_y, abs=6e-6)
