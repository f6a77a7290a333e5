"""What the generated inputs found once, kept by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from reports.claims import load_papers
from runner.records import BadRecord, from_text
from tests.fuzz import esr, inside, refused
from zoo.contract import BadInput, WeightsError
from zoo.files import atomic_target
from zoo.weights import read_state_dict


@pytest.mark.parametrize("depth", [400, 100_000])
@pytest.mark.parametrize("closed", [True, False])
def test_a_record_nested_deeply_is_no_record(depth: int, closed: bool) -> None:
    with pytest.raises(BadRecord):
        from_text('{"schema_version": 1, "key": ' + "[" * depth + "]" * depth * closed + "}")


def test_a_paper_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(b"table\xff")
    (tmp_path / "mine.toml").write_text('citation = "A"\ntitle = "T"\nown = "agdn"\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"mine\.csv is no UTF-8"):
        load_papers(tmp_path)
    (tmp_path / "mine.toml").write_bytes(b'title = "\xff"')
    with pytest.raises(BadInput, match=r"mine\.toml"):
        load_papers(tmp_path)


def test_a_checkpoint_with_names_that_are_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save({("a", 1): torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="not a state dict"):
        read_state_dict(file, None)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_file_name_that_is_no_utf8_is_printed(tmp_path: Path, as_json: bool) -> None:
    name = os.fsdecode(b"\xff.png")
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "plain.png")
    (tmp_path / "in" / "plain.png").rename(tmp_path / "in" / name)
    with inside(tmp_path):
        result = esr("upscale", "in", "out", "--model", "bicubic", "--scale", "2", *(["--json"] if as_json else []))
    assert result.code == 0, result.stderr
    assert "\\udcff.png" in result.stdout
    if as_json:
        assert json.loads(result.stdout)[0]["image"] == f"in/{name}"


def test_a_write_that_fails_takes_the_folders_made_for_it_along(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_target(tmp_path / "a" / "b" / "c.txt"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    with pytest.raises(ZeroDivisionError), atomic_target(tmp_path / "a" / "b" / "c.txt"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_prepared_images_in_the_folder_of_another_recipe_are_not_believed(tmp_path: Path) -> None:
    data = tmp_path / "set"
    data.mkdir()
    Image.new("RGB", (32, 32), (9, 99, 200)).save(data / "a.png")
    assert esr("data", "prepare", str(data), "--scale", "2", "--recipe", "pil", "--out", str(data)).code == 0
    (data / "LR_pil").rename(data / "LR_matlab-float")
    refused(data, "quality", "bicubic", "--scale", "2", "--recipe", "matlab-float", "--data", str(data), names="by pil")


def test_a_training_whose_images_cannot_be_used_claims_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"broken")
    with inside(tmp_path):
        refused(tmp_path, "train", "--recipe", "agdn_s_x4_short", "--data", "data", "--iterations", "1", names="a.png")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("latency", "bicubic", "--form="), "--form"),
        (("train", "--data", ".", "--recipe", "mine.toml"), "mine"),
        (("ntire", "--rank", "empty.json"), "empty.json names no team"),
    ],
    ids=["no form", "a recipe of no model", "no results"],
)
def test_refused(arguments: tuple[str, ...], names: str, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("{}", encoding="utf-8")
    recipe = 'model = "no_such"\nscale = 4\niterations = 1\nbatch = 1\nlr_patch_px = 16\nrate = 1e-3\n'
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    with inside(tmp_path):
        refused(tmp_path, *arguments, names=names)
