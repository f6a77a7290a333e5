"""Pictures side by side: where networks disagree, true pixels, honest scores, and what is missing said in its place."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from reports.gallery import Gallery, Panel, Region, payload
from runner.cli.report_gallery import parse_crop
from runner.datasets import Dataset, open_dataset
from runner.gallery import CROP, Contestant, gallery, lossless, most_disputed
from runner.images import write_rgb
from runner.tasks.quality import evaluate
from tests.cli import esr
from tests.made_records import spec
from zoo.contract import BadInput
from zoo.protocols import CropToMultiple, EvalProtocol, Size

U8 = npt.NDArray[np.uint8]
OWN_NETWORK = """
from torch import nn


class Twice(nn.Module):
    scales = (2,)

    def __init__(self, scale):
        super().__init__()

    def forward(self, x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
"""


class Blocks(nn.Module):
    """Every LR pixel twice in both directions, brighter by `gain` in the right half."""

    def __init__(self, gain: float = 0.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        sr = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        half = torch.arange(sr.shape[3]) >= sr.shape[3] // 2
        return sr + self.gain * half * (x.mean() > 0.3)


def _dataset(folder: Path, sizes: dict[str, tuple[int, int]] | None = None, dark: str = "") -> Dataset:
    random = np.random.default_rng(0)
    for name, (height, width) in (sizes or {"a": (130, 400), "b": (130, 400), "c": (130, 400)}).items():
        noise = random.integers(100, 140, (height, width, 3), dtype=np.uint8)
        write_rgb(folder / "Mine" / "HR" / f"{name}.png", noise // 4 if name == dark else noise)
    return open_dataset(str(folder / "Mine"), 2)


def _contestants(**gains: float) -> list[Contestant]:
    return [Contestant(spec=spec(name), network=Blocks(gain)) for name, gain in gains.items()]


def _panel(made: Gallery, model: str, scene: int = 0) -> Panel:
    return next(panel for panel in made.scenes[scene].panels if panel.model == model)


def _pixels(panel: Panel) -> U8:
    assert panel.picture is not None
    return np.asarray(Image.open(io.BytesIO(panel.picture.data)).convert("RGB"))


def test_the_most_disputed_window_is_that_of_a_plain_search() -> None:
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (23, 31, 3), dtype=np.uint8) for _ in range(3)]
    region, disagreement = most_disputed(images, size=Size(7, 9), border_px=2)
    luma = np.stack([np.floor(img @ np.array([0.299, 0.587, 0.114]) + 0.5) for img in images])
    variance = luma.var(axis=0)
    found = {
        (top, left): variance[top : top + 7, left : left + 9].mean()
        for top in range(2, 23 - 2 - 7 + 1)
        for left in range(2, 31 - 2 - 9 + 1)
    }
    best = max(found, key=lambda place: found[place])
    assert (region.top, region.left, region.size) == (*best, Size(7, 9))
    assert disagreement == pytest.approx(found[best])


def test_of_equal_windows_the_first_in_reading_order_is_taken() -> None:
    images = [np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)]
    for top, left in ((20, 8), (8, 40), (20, 40)):
        images[1][top : top + 4, left : left + 4] = 90
    region, _ = most_disputed(images, size=Size(4, 4), border_px=0)
    assert (region.top, region.left) == (8, 40)
    assert most_disputed(images[:1] * 2, size=Size(4, 4), border_px=3)[0] == Region(top=3, left=3, size=Size(4, 4))


def test_an_image_smaller_than_the_window_is_taken_whole() -> None:
    images = [np.zeros((20, 30, 3), np.uint8), np.ones((18, 30, 3), np.uint8)]
    assert most_disputed(images, size=CROP, border_px=2)[0] == Region(top=2, left=2, size=Size(14, 26))


@pytest.mark.parametrize("shade", [0, 255])
def test_pictures_of_regions_keep_every_pixel(shade: int) -> None:
    random = np.random.default_rng(2)
    img = random.integers(0, 256, (33, 47, 3), dtype=np.uint8)
    img[:10] = shade
    picture = lossless(img)
    assert picture.lossless
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB")), img)


def test_images_and_regions_are_those_where_networks_disagree(tmp_path: Path) -> None:
    made = gallery(_contestants(plain=0.0, bright=0.1), _dataset(tmp_path, dark="b"), number=2)
    assert sorted(scene.name for scene in made.scenes) == ["a", "c"]
    region = made.scenes[0].region
    # The difference is in the right half.
    assert (region.left >= 200, region.size) == (True, CROP)
    assert made == gallery(_contestants(plain=0.0, bright=0.1), _dataset(tmp_path, dark="b"), number=2)


def test_panels_show_the_very_pixels_and_the_scores_of_the_suite(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    made = gallery(_contestants(plain=0.0, bright=0.1), dataset, images=["b"])
    assert [panel.label for panel in made.scenes[0].panels] == ["HR", "PLAIN", "BRIGHT"]
    lr, hr = dataset.load(dataset.pairs[1])
    region = made.scenes[0].region
    rows = slice(region.top, region.top + region.size.height)
    columns = slice(region.left, region.left + region.size.width)
    np.testing.assert_array_equal(_pixels(_panel(made, "")), hr[rows, columns])
    np.testing.assert_array_equal(_pixels(_panel(made, "plain")), lr.repeat(2, 0).repeat(2, 1)[rows, columns])
    values = evaluate(Blocks(), dataset, protocol=EvalProtocol())["per_image"][1]
    whole = _panel(made, "plain").whole
    assert whole is not None
    assert (whole.psnr_y_db, whole.ssim_y) == (values["psnr_y_db"], values["ssim_y"])


def test_a_named_region_is_taken_as_it_is(tmp_path: Path) -> None:
    region = Region(top=11, left=17, size=Size(16, 20))
    made = gallery(_contestants(plain=0.0), _dataset(tmp_path), crops={"c": region}, images=["a"])
    assert [(scene.name, scene.region == region) for scene in made.scenes] == [("a", False), ("c", True)]
    assert _pixels(_panel(made, "plain", scene=1)).shape == (16, 20, 3)


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (Region(top=120, left=0, size=Size(16, 16)), "does not lie in a, which is 130x400"),
        (Region(top=0, left=0, size=Size(10, 16)), "at least 11"),
    ],
)
def test_a_region_outside_the_image_is_refused_before_anything_runs(tmp_path: Path, region: Region, words: str) -> None:
    calls: list[str] = []
    with pytest.raises(BadInput, match=words):
        gallery(_contestants(plain=0.0), _dataset(tmp_path), crops={"a": region}, on_image=calls.append)
    assert calls == []


def test_an_unknown_image_suggests_the_nearest(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, {"img_001": (40, 40), "img_002": (40, 40)})
    with pytest.raises(BadInput, match=r"no image 'img_01'. Did you mean img_001"):
        gallery(_contestants(plain=0.0), dataset, images=["img_01"])


def test_what_is_missing_or_fails_is_said_in_its_panel_and_the_others_are_shown(tmp_path: Path) -> None:
    contestants = [
        *_contestants(plain=0.0, broken=math.nan),
        Contestant(spec=spec("absent"), network=None, missing="Run `esr weights pull absent --scale 2`."),
        Contestant(spec=spec("cropping", inference=CropToMultiple(64)), network=Blocks()),
    ]
    region = Region(top=0, left=380, size=Size(16, 20))
    made = gallery(contestants, _dataset(tmp_path), crops={"a": region})
    missing = {panel.model: panel.missing for panel in made.scenes[0].panels if panel.picture is None}
    assert missing["absent"] == "Run `esr weights pull absent --scale 2`."
    assert "NaN or infinity" in missing["broken"]
    assert "ends at 384×128, before the region does" in missing["cropping"]
    assert _panel(made, "plain").picture is not None


def test_without_any_network_the_reasons_are_told(tmp_path: Path) -> None:
    alone = [Contestant(spec=spec("absent"), network=None, missing="Run `esr weights pull`.")]
    with pytest.raises(BadInput, match=r"No network of the gallery can be run\. Run `esr weights pull`\."):
        gallery(alone, _dataset(tmp_path))


def test_images_beyond_the_size_limit_are_left_out_and_named(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    whole = gallery(_contestants(plain=0.0), dataset)
    made = gallery(_contestants(plain=0.0), dataset, limit_bytes=whole.scenes[0].size_bytes + 1)
    assert len(made.scenes) == 1
    assert len(made.left_out) == 2
    assert made.size_bytes == sum(len(p.picture.data) * 4 // 3 for s in made.scenes for p in s.panels if p.picture) + (
        4 * len(made.scenes[0].overview.data) // 3
    )


def test_an_equal_picture_scores_infinity(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    made = gallery(_contestants(plain=0.0), dataset, images=["a"])
    scene = made.scenes[0]
    score = replace(scene.panels[1].crop, psnr_y_db=math.inf)  # type: ignore[type-var]
    shown = payload(replace(made, scenes=(replace(scene, panels=(replace(scene.panels[1], crop=score),)),)))
    assert shown[0][4][0][5][0] == "∞"  # type: ignore[index]


@pytest.mark.parametrize("text", ["a", "a:1,2", "a:1,2,3", ":1,2,3x4", "a:-1,2,16x16", "a:1,2,16x"])
def test_a_crop_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_crop(text)


def test_a_crop_keeps_colons_of_the_image_name() -> None:
    assert parse_crop("a:b:1,2,30x40") == ("a:b", Region(top=1, left=2, size=Size(30, 40)))


def test_options_of_a_gallery_without_one_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = esr(capsys, "report", "--models", "agdn", "--out", str(tmp_path / "page"))
    assert result.code == 2
    assert "--models choose what a gallery shows. Pass --gallery" in result.words
    assert not (tmp_path / "page").exists()


def test_an_unknown_data_set_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = esr(capsys, "report", "--live", "--gallery", "set15", "--out", str(tmp_path / "page"))
    assert result.code == 2
    assert "There is no data set 'set15'" in result.words
    assert not (tmp_path / "page").exists()


def test_the_command_puts_pictures_of_ones_own_network_into_the_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.cli.report.COMMITTED", tmp_path / "none")
    _dataset(tmp_path)
    (tmp_path / "net.py").write_text(OWN_NETWORK, encoding="utf-8")
    options = ("--gallery", str(tmp_path / "Mine"), "--scale", "2", "--models", f"{tmp_path / 'net.py'}:Twice,agdn")
    weights = ("--weights-dir", str(tmp_path / "no weights"))
    monkeypatch.delenv("ESR_WEIGHTS_DIR", raising=False)
    page = tmp_path / "page"
    result = esr(
        capsys, "report", *options, *weights, "--crop", "b:5,6,40x50", "--out", str(page), "--store", str(page)
    )
    assert result.code == 0, result.stderr
    assert "gallery of Mine x2: 1 images" in result.words
    html = (page / "index.html").read_text(encoding="utf-8")
    assert "[5,6,40,50]" in html
    assert "data:image/" in html
    assert "esr weights pull agdn --scale 2" in html
