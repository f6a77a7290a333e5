"""`esr complexity --figure` and `--sweep`: kinds sum to the count, pictures are whole, faults are said."""

from __future__ import annotations

import io
import re
from itertools import combinations, pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from reports.figures_canvas import FORMATS, three_digits
from reports.figures_products import Bar, draw_products
from reports.figures_scaling import Cost, Curve, draw_scaling, moved_apart
from runner.counters import Kind, register, unregister
from runner.counters.exact import count_exact
from runner.counters.products import count_products
from runner.counters.subject import subject_of
from runner.tasks.complexity import SWEEP_LR
from tests.cli import esr
from zoo.protocols import Size
from zoo.quantities import Product

MADE_BARS = (
    Bar(label="One", parts={Product.DENSE: 12_000_000_000, Product.MATMUL: 3_000_000_000}),
    Bar(label="Two $x_1$", parts={Product.LINEAR: 4_000_000_000, Product.DENSE: 1_000_000}),
    Bar(label="Failed", parts=None),
    Bar(label="Nothing", parts=dict.fromkeys(Product, 0)),
)

ONLY_SMALL = """
import torch
class Net(torch.nn.Module):
    def forward(self, x):
        if x.shape[-1] > 128:
            raise RuntimeError("too wide for this net")
        return torch.nn.functional.conv2d(x, x.new_ones(48, 3, 1, 1)).reshape(1, 3, 4 * x.shape[2], 4 * x.shape[3])
"""


class _EveryKind(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(3, 8, 3, padding=1)
        self.point = nn.Conv2d(8, 8, 1)
        self.depth = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.grouped_point = nn.Conv2d(8, 8, 1, groups=2)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2)
        self.linear = nn.Linear(8, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.grouped_point(self.depth(self.point(self.dense(x))))
        tokens = self.linear(y.flatten(2).transpose(1, 2))
        return self.up(y).sum() + (tokens.transpose(1, 2) @ tokens).sum() + x


def test_each_layer_goes_to_its_kind() -> None:
    h, w = 10, 12
    subject = subject_of(_EveryKind(), lr=Size(h, w))
    pixels = h * w
    assert count_products(subject) == {
        Product.DENSE: pixels * 8 * 3 * 9,
        Product.POINTWISE: pixels * 8 * 8,
        Product.GROUPED: pixels * (8 * 25 + 8 * 4),
        Product.TRANSPOSED: pixels * 8 * 2 * 4,
        Product.OTHER_CONVOLUTION: 0,
        Product.LINEAR: pixels * 8 * 6,
        Product.MATMUL: pixels * 6 * 6,
    }


def test_a_registered_convolution_is_a_kind_of_its_own() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.inv(x)

    register("aten::linalg_inv_ex", lambda args, _out: {Kind.CONVOLUTION: 7 * args[0].numel()})
    try:
        subject = subject_of(Net(), lr=Size(4, 4))
        found = count_products(subject)
        assert sum(found.values()) == count_exact(subject).multi_adds
    finally:
        unregister("aten::linalg_inv_ex")
    assert found[Product.OTHER_CONVOLUTION] == 7 * 3 * 16


@pytest.mark.parametrize("model", ["agdn_s", "elan_light", "ngswin", "smsr", "bicubic"])
def test_kinds_sum_to_the_exact_count(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str) -> None:
    target = tmp_path / "new" / "cost.svg"
    (row,) = esr(capsys, "complexity", model, "--lr", "64x64", "--figure", str(target), "--json").rows
    assert sum(row["products"].values()) == row["multi_adds"]
    svg = target.read_text(encoding="utf-8")
    assert f"{three_digits(row['multi_adds'] / 1e9, padded=True)} G" in svg
    assert {product.value for product in Product if product.value in svg} == {
        name for name, amount in row["products"].items() if amount
    }


def test_the_sweep_counts_each_size_as_the_count_at_that_size(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = esr(capsys, "complexity", "ngswin", "--sweep", "--json").rows
    assert [at["lr"] for at in row["sweep"]] == ["64x64", "128x128", "256x256", "360x640", "720x1280"]
    for at in row["sweep"][:2]:
        (alone,) = esr(capsys, "complexity", "ngswin", "--lr", at["lr"], "--json").rows
        assert {name: at[name] for name in ("multi_adds", "activations", "peak_activation_bytes")} == {
            name: alone[name] for name in ("multi_adds", "activations", "peak_activation_bytes")
        }
        assert alone["sweep"] == []
    for at, lr in zip(row["sweep"], SWEEP_LR, strict=True):
        assert at["multi_adds_per_pixel"] * lr.height * lr.width == pytest.approx(at["multi_adds"], rel=1e-12)
    assert all(a["peak_activation_bytes"] < b["peak_activation_bytes"] for a, b in pairwise(row["sweep"]))
    shown = esr(capsys, "complexity", "ngswin", "--sweep").stdout
    assert "ngswin x4 by LR size" in shown
    assert f"{row['sweep'][-1]['peak_activation_bytes']:,}" in shown


def test_a_size_at_which_a_model_does_not_run_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(ONLY_SMALL, encoding="utf-8")
    target = tmp_path / "scaling.svg"
    model = f"{tmp_path / 'net.py'}:Net"
    result = esr(capsys, "complexity", model, "bicubic", "--lr", "8x8", "--sweep", "--figure", str(target), "--json")
    assert result.code == 1
    net, bicubic = result.rows
    assert [at["multi_adds"] is None for at in net["sweep"]] == [False, False, True, True, True]
    assert all("too wide for this net" in at["error"] for at in net["sweep"][2:])
    assert "at LR 256x256: " in result.words
    assert [at["error"] for at in bicubic["sweep"]] == [None] * 5
    assert "Bicubic" in target.read_text(encoding="utf-8")
    shown = esr(capsys, "complexity", model, "--lr", "8x8", "--sweep")
    assert shown.code == 1
    assert re.search(r"256x256 +- +- +- +-", shown.stdout)


def test_a_model_that_fails_keeps_its_place_in_the_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "cost.svg"
    result = esr(capsys, "complexity", "agdn_s", "bicubic", "--lr", "4x4", "--figure", str(target))
    assert result.code == 1
    svg = target.read_text(encoding="utf-8")
    assert "AGDN-S" in svg
    assert svg.count("not counted") == 1


def test_without_any_count_nothing_is_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "cost.svg"
    result = esr(capsys, "complexity", "agdn_s", "agdn", "--lr", "4x4", "--figure", str(target))
    assert result.code == 1
    assert "No network could be counted" in result.words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cost.jpg", "one of .svg, .pdf, .png"),
        ("cost", "one of .svg, .pdf, .png"),
        ("folder.svg", "is a folder"),
        ("note.txt/cost.svg", "is a file"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_counting(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "note.txt").write_text("kept", encoding="utf-8")
    result = esr(capsys, "complexity", "agdn_s", "--figure", str(tmp_path / name))
    assert result.code == 2
    assert said in result.words
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder.svg", "note.txt"]


def test_a_full_or_closed_folder_leaves_the_old_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "cost.svg"
    target.write_text("old", encoding="utf-8")
    # Tests may run as root, whom no permission stops.
    with mock.patch.object(Path, "write_bytes", side_effect=PermissionError(13, "Permission denied")):
        result = esr(capsys, "complexity", "bicubic", "--figure", str(target))
    assert result.code == 1
    assert "cost.svg cannot be written: Permission denied." in result.words
    assert "bicubic" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["cost.svg"]
    assert target.read_text(encoding="utf-8") == "old"


def _curves(count: int) -> list[Curve]:
    return [
        Curve(
            label=f"Net {n}",
            costs=tuple(
                Cost(lr=lr, multi_adds=n * lr.height * lr.width, peak_activation_bytes=5000 * lr.height * lr.width)
                for lr in SWEEP_LR
            ),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_numbers_make_the_same_bytes(file_format: str) -> None:
    for draw in (
        lambda: draw_products(MADE_BARS, title="T", file_format=file_format),
        lambda: draw_scaling(_curves(3), title="T", file_format=file_format),
    ):
        first = draw()
        assert first.startswith({"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[file_format])
        assert draw() == first


def test_a_part_has_its_colour_and_its_share_of_the_bar() -> None:
    png = draw_products(MADE_BARS[:1], title="", file_format="png")
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    shares = {}
    for product, rgb in ((Product.DENSE, (0x0B, 0x6E, 0x8A)), (Product.MATMUL, (0xA8, 0x40, 0x3A))):
        # Longest run over rows: the legend's patch is shorter than the bar.
        shares[product] = (np.abs(pixels - rgb).sum(axis=2) < 6).sum(axis=1).max()
    assert shares[Product.DENSE] / shares[Product.MATMUL] == pytest.approx(4, rel=0.02)


def test_markup_in_a_label_is_shown_as_it_is() -> None:
    assert b"Two $x_1$" in draw_products(MADE_BARS, title="T", file_format="svg")


def test_a_curve_without_a_logarithm_is_named() -> None:
    svg = draw_scaling(_curves(2), title="T", file_format="svg").decode()
    assert svg.count("none or 0 at every size: Net 0<") == 1


def test_of_many_curves_without_a_logarithm_some_are_named() -> None:
    curves = [
        Curve(label=f"N{n}", costs=(Cost(lr=Size(8, 8), multi_adds=0, peak_activation_bytes=1),)) for n in range(9)
    ]
    svg = draw_scaling(curves, title="T", file_format="svg").decode()
    assert "none or 0 at every size: N0, N1, N2 and 6 more<" in svg


@pytest.mark.parametrize("count", [1, 12, 40])
def test_labels_of_curves_do_not_overlap(count: int) -> None:
    svg = draw_scaling(_curves(count + 1), title="T", file_format="svg").decode()
    places: dict[float, list[float]] = {}
    for x, y in re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>Net', svg):
        places.setdefault(float(x), []).append(float(y))
    assert sorted(map(len, places.values())) == [count, count + 1]
    for column in places.values():
        assert all(abs(a - b) > 9 for a, b in combinations(column, 2))


@given(st.lists(st.floats(-50, 350), max_size=20), st.floats(1, 12))
def test_moving_apart_keeps_order_and_gap(ends: list[float], gap: float) -> None:
    places = moved_apart(ends, gap=gap, high=300.0)
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    for below, above in pairwise(order):
        assert places[above] - places[below] >= gap - 1e-6
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in places)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123, "0.0123"), (4.368, "4.37"), (99.96, "100"), (1454.1, "1,454")]
)
def test_numbers_in_figures_have_three_digits_or_all(value: float, text: str) -> None:
    assert three_digits(value) == text
    assert three_digits(value, padded=True) == text


def test_padded_numbers_keep_their_zeros() -> None:
    assert [three_digits(value, padded=True) for value in (1.9, 0.92, 10.0)] == ["1.90", "0.920", "10.0"]
