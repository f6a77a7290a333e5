"""Finding models: by name, by file, by entry point; and what a wrong name is told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo
from tests.formula import formula_image
from zoo.catalogue import catalogue, find
from zoo.contract import BadInput, InputTooSmall, ModelSpec, UnknownModel, UnknownScale

USER_FILE = '''
import torch
from torch import nn

class MyNet(nn.Module):
    """A user's network."""

    scales = (2, 4)
    min_side_px = 4

    def __init__(self, scale):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.shuffle(self.conv(x))
'''


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_net.py"
    path.write_text(USER_FILE, encoding="utf-8")
    return path


def test_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(UnknownModel, match=r"no model 'agdm'. Did you mean .*agdn"):
        find("agdm")


def test_names_are_unique_lower_case_and_path_safe() -> None:
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in catalogue())
    assert zoo.list_models() == list(catalogue())


def test_an_ablation_names_its_full_model() -> None:
    assert all(spec.ablation_of in catalogue() for spec in catalogue().values() if spec.ablation_of)


def test_every_network_states_paper_and_licence() -> None:
    for spec in catalogue().values():
        assert spec.paper is not None, spec.name
        assert spec.licence != "unknown", spec.name


def test_a_class_in_a_users_file(user_file: Path) -> None:
    network = zoo.create_model(f"{user_file}:MyNet", 2, weights=None)
    assert network(formula_image(6, 9)).shape == (1, 3, 12, 18)
    with pytest.raises(InputTooSmall, match=r"MyNet x2 needs LR sides of at least 4 px, got 3x9"):
        network(formula_image(3, 9))
    with pytest.raises(UnknownScale, match=r"no x3 build \(has x2, x4\)"):
        zoo.create_model(f"{user_file}:MyNet", 3, weights=None)


def test_a_changed_user_file_has_another_revision(user_file: Path) -> None:
    before = find(f"{user_file}:MyNet")
    user_file.write_text(USER_FILE.replace("scales = (2, 4)", "scales = (8,)"), encoding="utf-8")
    after = find(f"{user_file}:MyNet")
    assert after.revision != before.revision
    assert (before.scales, after.scales) == ((2, 4), (8,))


def test_an_entry_point_of_another_package_adds_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(find("bicubic"), name="plugged_in")

    class Point:
        name = "plugged_in"

        def load(self) -> ModelSpec:
            return spec

    monkeypatch.setattr("zoo.catalogue.importlib.metadata.entry_points", lambda group: [Point()])
    catalogue.cache_clear()
    try:
        assert find("plugged_in") is spec
    finally:
        monkeypatch.undo()
        catalogue.cache_clear()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("absent.py:MyNet", r"absent\.py does not exist"),
        ("{file}:Other", r"no class 'Other'. It defines: MyNet"),
    ],
)
def test_wrong_file_references_are_explained(user_file: Path, reference: str, message: str) -> None:
    with pytest.raises(UnknownModel, match=message):
        find(reference.format(file=user_file))


def test_a_file_that_fails_on_import_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import not_there_at_all\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"broken\.py fails on import: ModuleNotFoundError"):
        find(f"{path}:MyNet")


def test_wrong_tensors_are_explained() -> None:
    network = zoo.create_model("bicubic", 2)
    with pytest.raises(BadInput, match=r"shape \(1, 4, 8, 8\). Expected RGB"):
        network(torch.zeros(1, 4, 8, 8))
    with pytest.raises(BadInput, match=r"shape \(3, 8, 8\). Expected RGB"):
        network(torch.zeros(3, 8, 8))


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = (zoo.create_model("agdn_none", 4, weights=None).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)
