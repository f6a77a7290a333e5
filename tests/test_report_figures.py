"""Figures that `esr report` makes when asked: two networks image by image, and counts at several sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.figures_differences import chosen_set, draw_difference
from reports.interactive import ImageSet, image_sets
from runner.cli.report_figures import count_sizes
from runner.store import Store
from tests.cli import esr
from tests.made_records import counted
from tests.test_browser_plots import made_report, per_image
from zoo.contract import BadInput


def _images(*, count: int = 4, hostile: str = "$x_1$ <b>") -> ImageSet:
    names = (*(f"img_{i:03}" for i in range(count - 1)), hostile)
    values = {
        model: {name: 25 + shift * i for i, name in enumerate(names)} for model, shift in (("a", 0.1), ("b", 0.0))
    }
    return ImageSet(
        scale=4, group="Set", protocol="p", names=names, values=values, display_names={"a": "A $\\frac$", "b": "B"}
    )


@pytest.mark.parametrize("count", [4, 60])
def test_the_same_differences_give_the_same_file_and_markup_stays_text(count: int) -> None:
    images = _images(count=count)
    for kind in ("svg", "pdf"):
        assert draw_difference(images, "a", "b", file_format=kind) == draw_difference(
            images, "a", "b", file_format=kind
        )
    svg = draw_difference(images, "a", "b", file_format="svg").decode()
    assert "$x_1$ &lt;b&gt;" in svg
    assert "A $\\frac$ − B on Set ×4" in svg
    assert f"mean {0.1 * (count - 1) / 2:+.3f} dB, 95 % interval [" in svg
    assert ("too few to trust it" in svg) == (count < 10)


def test_networks_are_found_by_either_name_and_the_largest_set_is_taken() -> None:
    sets = list(image_sets(made_report().tables))
    images, first, second = chosen_set(sets, "AGDN", "bsrn", scale=4, dataset=None)
    assert (images.group, first, second) == ("B100", "agdn", "bsrn")


@pytest.mark.parametrize(
    ("first", "second", "scale", "dataset", "words"),
    [
        ("agdn", "bsr", 4, None, "bsr has no per-image values on a data set at x4. Did you mean bsrn"),
        ("agdn", "bsrn", 3, None, "No per-image values of two networks on any data set at x3. There are: B100 x4"),
        ("agdn", "bsrn", 4, "Set14", "esr bench agdn bsrn --scale 4 --tasks quality --data Set14"),
        ("agdn", "AGDN", 4, "B100", "A difference needs two networks"),
    ],
)
def test_a_difference_that_cannot_be_drawn_says_what_there_is(
    first: str, second: str, scale: int, dataset: str | None, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        chosen_set(list(image_sets(made_report().tables)), first, second, scale=scale, dataset=dataset)


def test_the_command_draws_the_difference_and_refuses_data_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.cli.report.COMMITTED", tmp_path / "none")
    store = Store(tmp_path / "results")
    for model, shift in (("agdn", 0.2), ("bsrn", 0.0)):
        store.append(per_image(model, {f"i{n}": 26 + n + shift * n for n in range(12)}, dataset="Set14"))
    out = ("--out", str(tmp_path / "page"), "--store", str(tmp_path / "results"))
    refused = esr(capsys, "report", "--data", "Set14", *out)
    assert (refused.code, (tmp_path / "page").exists()) == (2, False)
    result = esr(capsys, "report", "--difference", "agdn", "bsrn", *out)
    assert result.code == 0, result.stderr
    for kind in ("svg", "pdf"):
        assert (tmp_path / "page" / "figures" / f"difference_agdn_bsrn_Set14_x4.{kind}").is_file()


def test_a_sweep_keeps_records_of_the_sizes_that_are_not_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    known = [counted("bicubic", params=0, multi_adds=1, scale=2)]  # at LR 360x640, a size of the sweep
    count_sizes(["bicubic"], scale=2, store=store, known=known)
    sizes = {record.key.protocol for record in store.read().records}
    assert sizes == {f"lr{lr}-exact" for lr in ("64x64", "128x128", "256x256", "720x1280")}
    count_sizes(["bicubic"], scale=2, store=store, known=known)
    assert len(store.read().records) == 4
