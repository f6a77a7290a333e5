"""`esr data`: what it lists, writes, checks and downloads, and how it fails."""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.data_download import pull
from runner.data_manifest import manifest_of
from runner.datasets import open_dataset, open_hr
from runner.images import write_rgb
from runner.known_sets import KNOWN_SETS, Archive, KnownSet, Manifest
from tests.cli import esr
from tests.test_datasets import make_set, picture
from zoo.contract import JobFailed
from zoo.protocols import LrRecipe


@pytest.fixture(autouse=True)
def _no_data_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ESR_DATA_DIR", "")
    monkeypatch.setattr("runner.datasets.user_cache", lambda: tmp_path / "cache")


def test_list_shows_found_sets_published_sets_and_the_next_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_set(tmp_path / "data" / "Set5")
    make_set(tmp_path / "data" / "Mine", ".")
    (tmp_path / "data" / "Set5" / "LR_bicubic" / "X3").mkdir(parents=True)
    (tmp_path / "data" / "no_images").mkdir()
    result = esr(capsys, "data", "list", "--data-dir", str(tmp_path / "data"), "--json")
    rows = {row["dataset"]: row for row in result.rows}
    assert result.code == 0
    assert set(rows) == {"sample", "Mine", *KNOWN_SETS}
    assert rows["Set5"]["images"] == 2
    assert rows["Set5"]["expected"] == 5
    assert rows["Set5"]["lr"] == ["x3"]
    assert rows["B100"]["images"] == 0
    assert rows["B100"]["next_step"] == "Run `esr data pull B100`."
    assert "on request" in rows["Manga109"]["next_step"]


def test_prepare_writes_lr_that_the_next_run_uses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = make_set(tmp_path / "Mine")
    arguments = ("data", "prepare", str(root), "--scale", "3", "--recipe", "matlab-float", "--out", str(root))
    result = esr(capsys, *arguments, "--json")
    assert result.code == 0
    assert result.rows[0]["path"] == str(root / "LR_matlab-float" / "X3")
    assert esr(capsys, *arguments).code == 2
    assert esr(capsys, "data", "prepare", str(root), "--recipe", "bicubic", "--out", str(root)).code == 2


@pytest.mark.parametrize("recipe", [recipe.value for recipe in LrRecipe])
def test_what_prepare_writes_by_any_recipe_identify_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: str
) -> None:
    root = make_set(tmp_path / "Mine")
    prepared = esr(capsys, "data", "prepare", str(root), "--scale", "2", "--lr-recipe", recipe, "--out", str(root))
    assert prepared.code == 0
    rows = esr(capsys, "data", "identify", str(root / "HR"), str(root / f"LR_{recipe}" / "X2"), "--json").rows
    assert (rows[0]["recipe"], rows[0]["differing"], rows[0]["scale"]) == (recipe, 0, 2)
    assert open_dataset(str(root), 2, recipe=LrRecipe(recipe)).lr_source == recipe


def test_verify_counts_states_and_fails_on_a_difference(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sample = esr(capsys, "data", "verify", "sample", "--json")
    assert sample.code == 0
    assert {row["state"] for row in sample.rows} == {"ok"}
    make_set(tmp_path / "Set5", names=("baby", "bird"))
    wrong = esr(capsys, "data", "verify", "Set5", "--data-dir", str(tmp_path), "--json")
    assert wrong.code == 1
    assert {row["image"]: row["state"] for row in wrong.rows} == {
        "baby": "differs",
        "bird": "differs",
        "butterfly": "missing",
        "head": "missing",
        "woman": "missing",
    }
    assert "2 differs, 3 missing" in wrong.words
    make_set(tmp_path / "Mine")
    unknown = esr(capsys, "data", "verify", str(tmp_path / "Mine"))
    assert unknown.code == 1
    assert "no manifest of Mine" in unknown.words


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pull", "Set6"), 2, "no published set"),
        (("pull", "Manga109"), 1, "on request from its authors"),
        (("verify", "Urban100"), 2, "SelfExSR"),
        (("verify", "/nowhere/at/all"), 2, "no folder"),
    ],
)
def test_errors_say_the_next_step(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = esr(capsys, "data", *arguments)
    assert (result.code, result.stdout) == (code, "")
    assert words in result.words


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """URL of a folder served on this machine: tmp_path / "www"."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def _archive(tmp_path: Path, name: str, root: Path) -> None:
    """`root`'s images in an archive, beside a file that is not wanted and one that tries to leave its folder."""
    images = sorted((root / "HR").iterdir())
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / "www" / name, "w") as archive:
            for image in images:
                archive.write(image, f"Mine/images/test/{image.name}")
        return
    with tarfile.open(tmp_path / "www" / name, "w:gz") as tar:
        for image in images:
            tar.add(image, f"Mine/images/test/{image.name}")
        tar.add(images[0], "Mine/images/train/unwanted.png")
        evil = tarfile.TarInfo("../../images/test/evil.png")
        evil.size = 3
        tar.addfile(evil, io.BytesIO(b"bad"))


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Manifest]:
    """A published set of two images, its manifest committed."""
    root = make_set(tmp_path / "published" / "Mine")
    manifest = manifest_of(open_hr(str(root)))
    monkeypatch.setattr("runner.known_sets.committed_manifest", lambda name: manifest)
    return root, manifest


def _known(url: str) -> KnownSet:
    archive = Archive(url=url, members="*/images/test/*.png")
    return KnownSet(name="Mine", images=2, obtain="Ask the authors.", archive=archive)


@pytest.mark.parametrize("name", ["mine.tgz", "mine.zip"])
def test_pull_keeps_the_published_images_and_nothing_else(
    tmp_path: Path, server: str, mine: tuple[Path, Manifest], name: str
) -> None:
    root, _ = mine
    _archive(tmp_path, name, root)
    path = pull(_known(f"{server}/{name}"), cache=tmp_path / "cache")
    assert sorted(p.name for p in path.rglob("*")) == ["HR", "a.png", "b.png"]
    assert not list(tmp_path.rglob("evil.png"))
    fetched = open_dataset("Mine", 4, cache=tmp_path / "cache")
    assert fetched.manifest_sha256 == open_dataset(str(root), 4).manifest_sha256


@pytest.mark.parametrize("fault", ["changed", "lacking", "damaged", "absent"])
def test_a_wrong_archive_leaves_nothing(tmp_path: Path, server: str, mine: tuple[Path, Manifest], fault: str) -> None:
    root, _ = mine
    if fault == "changed":
        write_rgb(root / "HR" / "a.png", picture(50))
    if fault == "lacking":
        (root / "HR" / "b.png").unlink()
    _archive(tmp_path, "mine.tgz", root)
    served = tmp_path / "www" / "mine.tgz"
    if fault == "damaged":
        served.write_bytes(served.read_bytes()[:200])
    if fault == "absent":
        served.unlink()
    words = {
        "changed": r"a\.png in .* other pixels",
        "lacking": "lacks 1 of 2 images",
        "damaged": "damaged",
        "absent": "cannot be downloaded",
    }
    with pytest.raises(JobFailed, match=words[fault]):
        pull(_known(f"{server}/mine.tgz"), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
