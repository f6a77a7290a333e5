"""Labels of the scatter cover neither each other nor a disc, measured on what matplotlib has laid out."""

from __future__ import annotations

import math
import random
from itertools import combinations
from typing import Any

import pytest
from matplotlib import rc_context

from reports.assemble import assemble
from reports.claims import load_papers
from reports.figures import STYLE, composed, drawn_as
from reports.figures_labels import Box, Scene, leader, settle
from reports.pareto import Figure, Point
from runner.cli.report import COMMITTED
from runner.store import Store
from tests.made_records import SHA256, counted, evaluated, spec
from zoo.catalogue import catalogue
from zoo.contract import Weights


def _committed() -> list[Figure]:
    records = Store(COMMITTED).read().records
    specs = tuple(catalogue().values())
    return list(assemble(specs, load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="").figures)


def _crowd(number: int) -> Figure:
    """Networks as near to each other as a field of clones would be."""
    draw = random.Random(number)
    points = tuple(
        Point(
            label=f"Network-{i} of a crowd",
            multi_adds=draw.gauss(20e9, 2e9),
            params=draw.uniform(5e4, 9e5),
            psnr_y_db=draw.gauss(27.5, 0.03),
        )
        for i in range(number)
    )
    return Figure(key="crowd", title="A crowd", subtitle="", dataset="B100", scale=4, printed=False, points=points)


def _rendered(figure: Figure) -> tuple[dict[str, Box], list[Box], Box]:
    """Boxes of names by label, of discs, and of the axes, all in pixels, from the finished artists."""
    with rc_context(STYLE):
        canvas = composed(figure)
        canvas.draw_without_rendering()
        axes = canvas.axes[0]
        names = {p.label for p in figure.points}
        labels = {t.get_text(): Box(*t.get_window_extent().extents) for t in axes.texts if t.get_text() in names}
        return labels, [box for artist in axes.collections for box in _discs(artist)], Box(*axes.bbox.extents)


def _discs(artist: Any) -> list[Box]:
    centres = artist.get_offset_transform().transform(artist.get_offsets())
    if not len(centres):  # a handle of the legend, which has sizes and no place
        return []
    areas = artist.get_sizes()
    pixels = artist.figure.dpi / 72
    radii = [math.sqrt(area / math.pi) * pixels for area in areas]
    return [Box(x - r, y - r, x + r, y + r) for (x, y), r in zip(centres, radii, strict=True)]


@pytest.mark.parametrize("figure", [*_committed(), _crowd(60)], ids=lambda figure: str(figure.key))
def test_no_label_covers_another_or_a_disc(figure: Figure) -> None:
    labels, discs, area = _rendered(figure)
    assert set(labels) == {point.label for point in figure.points}
    assert len(discs) == len(figure.points)
    assert not [(a, b) for a, b in combinations(labels, 2) if labels[a].overlaps(labels[b])]
    assert not [name for name, box in labels.items() if any(box.overlaps(disc) for disc in discs)]
    assert all(area.holds(box) for box in labels.values())


def test_the_measured_figure_is_the_papers_on_b100() -> None:
    measured = next(figure for figure in _committed() if not figure.printed)
    assert (measured.dataset, measured.scale) == ("B100", 4)
    assert {"AGDN", "BSRN", "IMDN"} <= {point.label for point in measured.points}


def test_weights_of_this_suite_do_not_stretch_the_axis_of_the_official_ones_and_are_told() -> None:
    measured = next(figure for figure in _committed() if not figure.printed)
    (told,) = measured.below
    assert told.label == "AGDN-S (trained here)"
    with rc_context(STYLE):
        axes = composed(measured).axes[0]
    lowest, highest = min(p.psnr_y_db for p in measured.points), max(p.psnr_y_db for p in measured.points)
    assert told.psnr_y_db < axes.get_ylim()[0] < lowest
    assert lowest - axes.get_ylim()[0] < 0.4 * (highest - lowest)
    texts = {text.get_text() for text in axes.texts}
    assert f"{told.label} {told.psnr_y_db:.2f} dB, below this range" in texts
    arrow = next(text for text in axes.texts if not text.get_text())
    assert arrow.xy == (told.multi_adds / 1e9, 0.0)


@pytest.mark.parametrize(("psnr_y_db", "below"), [(26.99, False), (26.97, True), (27.5, False), (28.0, False)])
def test_only_what_lies_far_below_is_left_out(psnr_y_db: float, below: bool) -> None:
    """The two others reach from 27.00 to 27.20 dB: 0.024 dB of room."""
    weights = {4: Weights(file="x.safetensors", sha256=SHA256, size_bytes=1, url=None, licence="MIT", note="By hand.")}
    specs = [spec("agdn"), spec("bsrn"), spec("imdn", bundled=weights)]
    records = [counted(name, params=300_000, multi_adds=10**10) for name in ("agdn", "bsrn", "imdn")]
    records += [evaluated(name, psnr_y_db=psnr) for name, psnr in (("agdn", 27.0), ("bsrn", 27.2))]
    records.append(evaluated("imdn", psnr_y_db=psnr_y_db, origin="bundled"))
    report = assemble(specs, {}, records, created_utc="2024-05-06T08:00:00Z", suite="")
    (figure,) = report.figures
    assert [point.psnr_y_db for point in figure.below] == ([psnr_y_db] if below else [])
    assert len(figure.networks) == 3
    assert "of 3 measured networks" in report.headline


@pytest.mark.parametrize("file_format", ["svg", "pdf"])
def test_a_figure_file_has_the_same_bytes_again(file_format: str) -> None:
    figure = _crowd(12)
    first = drawn_as(figure, file_format=file_format)
    assert first == drawn_as(figure, file_format=file_format)
    assert first.startswith({"svg": b"<?xml", "pdf": b"%PDF-"}[file_format])


def test_a_name_with_markup_is_text_in_the_figure() -> None:
    evil = Point(label='<b>$x^2$</b> & "q"', multi_adds=1e9, params=1e5, psnr_y_db=27.0)
    other = Point(label="B", multi_adds=2e9, params=1e5, psnr_y_db=27.2)
    figure = Figure(key="k", title="<i>", subtitle="", dataset="<D>", scale=4, printed=False, points=(evil, other))
    svg = drawn_as(figure, file_format="svg").decode()
    assert "&lt;b&gt;$x^2$&lt;/b&gt; &amp; " in svg
    assert "<b>" not in svg


def test_a_label_without_a_free_place_is_refused() -> None:
    label = Box(0, 0, 10, 10)
    scene = Scene(area=Box(0, 0, 20, 20), blocked=[Box(0, 0, 20, 20)])
    assert settle([label], [(5, 5)], scene) == [None]


def test_labels_are_moved_apart_and_the_first_keeps_its_place() -> None:
    labels = [Box(40, 40, 60, 50)] * 3
    scene = Scene(area=Box(0, 0, 100, 100), blocked=())
    placed = [box for box in settle(labels, [(50, 45)] * 3, scene) if box is not None]
    assert placed[0] == labels[0]
    assert len(placed) == 3
    assert not any(a.overlaps(b) for a, b in combinations(placed, 2))


def test_a_leader_starts_at_the_edge_of_its_disc_and_is_drawn_only_over_a_distance() -> None:
    assert leader((0, 0), 5, Box(8, -5, 40, 5)) is None
    assert leader((0, 0), 5, Box(30, -5, 60, 5)) == ((5, 0), (30, 0))
