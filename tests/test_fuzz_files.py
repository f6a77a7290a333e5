"""Records, manifests, recipes and tables that were damaged or never were one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from PIL import Image

from reports.claims import COLUMNS, load_papers
from runner.known_sets import Manifest
from runner.records import to_text
from runner.store import Store
from tests.fuzz import esr, fuzz, inside, plain, refused, texts
from tests.made_records import evaluated
from zoo.contract import BadInput

# Damage to JSON and to tables.

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**30),
    st.floats(),
    texts,
    st.just([]),
    st.just({}),
    st.just([{"a": [1]}]),
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for name, item in inner for place in _places(item, (*at, name)))]


def _changed(value: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    whole = copy.deepcopy(value)
    parent = whole
    for name in place[:-1]:
        parent = parent[name]
    change(parent, place[-1])
    return whole


@st.composite
def damaged_json(draw: st.DrawFn, whole: Any) -> bytes:
    """The bytes of a JSON file with one thing wrong; not every one of them is invalid."""
    text = json.dumps(whole)
    kind = draw(
        st.sampled_from(["type", "removed", "added", "cut", "noise", "utf-8", "deep", "nan", "duplicate", "other"])
    )
    place = draw(st.sampled_from(_places(whole)[1:]))
    match kind:
        case "type":
            value = draw(scalars)
            text = json.dumps(_changed(whole, place, lambda parent, name: parent.__setitem__(name, value)))
        case "removed":
            text = json.dumps(_changed(whole, place, lambda parent, name: parent.__delitem__(name)))
        case "added":
            name = draw(texts)
            text = json.dumps({**whole, name: draw(scalars)})
        case "cut":
            text = text[: draw(st.integers(0, len(text) - 1))]
        case "noise":
            at = draw(st.integers(0, len(text) - 1))
            text = text[:at] + draw(texts) + text[at + 1 :]
        case "utf-8":
            at = draw(st.integers(0, len(text) - 1))
            return text[:at].encode() + draw(st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80"])) + text[at:].encode()
        case "deep":
            depth = draw(st.sampled_from([50, 2000, 200_000]))
            opening = draw(st.sampled_from(["[", '{"a":']))
            text = json.dumps(_changed(whole, place, lambda parent, name: parent.__setitem__(name, "@")))
            closing = draw(st.sampled_from(["", "]" if opening == "[" else "}"]))
            text = text.replace('"@"', f"{opening * depth}1{closing * depth}")
        case "nan":
            text = json.dumps(_changed(whole, place, lambda parent, name: parent.__setitem__(name, "@")))
            text = text.replace(
                '"@"', draw(st.sampled_from(["NaN", "-Infinity", "1e999", '{"float": "nan"}', "9" * 5000]))
            )
        case "duplicate":
            text = "{" + f'"{next(iter(whole))}": 1, ' + text[1:]
        case _:
            text = json.dumps(draw(scalars))
    return text.encode("utf-8", "surrogatepass")


SOUND = evaluated("agdn", psnr_y_db=30.0)
RECORD = json.loads(to_text(SOUND))


def test_records(tmp_path: Path) -> None:
    """A store with a damaged record names the file and keeps the others; the page of the store is made all the same."""
    numbers = iter(range(10**6))

    def check(content: bytes) -> None:
        store = Store(tmp_path / str(next(numbers)))
        sound = store.append(SOUND)
        other = store.root / "other" / "x4" / "quality-0123456789ab.json"
        other.parent.mkdir(parents=True)
        other.write_bytes(content)
        contents = store.read()
        assert len(contents.records) == 1
        (problem,) = contents.problems
        assert str(other) in str(problem)
        assert len(problem.reason) > 10
        # In the place of the sound one: either it says the same, or it is named.
        sound.write_bytes(content)
        other.unlink()
        contents = store.read()
        assert len(contents.records) + len(contents.problems) == 1
        for record in contents.records:
            assert record.key == SOUND.key

    fuzz("records", damaged_json(RECORD), check)


def test_a_damaged_store_is_named_by_the_commands_that_read_it(tmp_path: Path) -> None:
    numbers = iter(range(10**6))

    def check(content: bytes) -> None:
        store = tmp_path / str(next(numbers))
        file = store / "bicubic" / "x2" / "complexity-0123456789ab.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        command = ("bench", "bicubic", "--scale", "2", "--tasks", "complexity", "--policy", "cached-only")
        result = esr(*command, "--store", str(store))
        assert result.code == 0
        assert "Traceback" not in result.stderr
        assert plain(f"not read: {file}") in plain(result.stderr), result.stderr
        assert file.read_bytes() == content

    fuzz("files", damaged_json(RECORD), check)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with prepared LR images."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tmp_path / "set"
    data.mkdir()
    Image.new("RGB", (32, 32), (10, 20, 30)).save(data / "a.png")
    made = esr("data", "prepare", str(data), "--scale", "2", "--recipe", "matlab-float", "--out", str(data))
    assert made.code == 0, made.stderr
    return data


def test_manifests(prepared: Path, tmp_path: Path) -> None:
    (file,) = prepared.rglob("manifest.json")
    whole = json.loads(file.read_text(encoding="utf-8"))

    def check(content: bytes) -> None:
        file.write_bytes(content)
        try:
            same = Manifest.parse(content.decode("utf-8"), "it") == Manifest.parse(json.dumps(whole), "it")
        except (BadInput, UnicodeDecodeError):
            same = False
        command = ("quality", "bicubic", "--scale", "2", "--recipe", "matlab-float", "--data", str(prepared))
        if same or esr(*command).code == 0:
            assert _still_vouches(content, whole)
            return
        refused(tmp_path, *command, names=(str(file), str(file.parent)))

    fuzz("manifests", damaged_json(whole), check)


def _still_vouches(content: bytes, whole: dict[str, Any]) -> bool:
    """True where what the manifest says of the images is untouched."""
    try:
        held = Manifest.parse(content.decode("utf-8"), "it")
    except (BadInput, UnicodeDecodeError):
        return False
    entries = Manifest.parse(json.dumps(whole), "it")
    same = (held.scale, held.recipe, held.hr.get("a")) == (entries.scale, entries.recipe, entries.hr["a"])
    return same and (held.lr or {}).get("a") == (entries.lr or {})["a"]


# Recipes.

RECIPE = {
    "model": '"agdn_s"', "scale": "4", "iterations": "10", "batch": "1", "lr_patch_px": "16", "rate": "1e-3",
    "halve_at": "[5, 8]", "warm_up": "2", "betas": "[0.9, 0.99]", "ema": "0.9", "loss": '"l1"', "seed": "0",
}  # fmt: skip
BAD_FIELDS = {
    "model": ['"no_such"', "3", '""', "[]"], "scale": ["0", "-4", '"x4"', "4.5", "7", "true"],
    "iterations": ["0", "-1", "1.5", '"many"', "nan"], "batch": ["0", "-1", "[1]", "inf"],
    "lr_patch_px": ["0", "7", "-16", '"16px"'], "rate": ["0", "-1e-3", '"fast"', "false", "{}"],
    "halve_at": ["[8, 5]", "[5, 5]", "5", '["a"]', "{}"], "warm_up": ["-1", '"x"', "2.5"],
    "betas": ["[0.9]", "[0.9, 0.99, 0.999]", '"a"', "0.9"], "ema": ["1.0", "-0.1", "nan", "2", '"x"'],
    "loss": ['"l3"', "1", "[]"], "seed": ['"x"', "1.5", "[]"],
}  # fmt: skip


@st.composite
def bad_recipes(draw: st.DrawFn) -> bytes:
    """A TOML file with a field that is wrong, unknown or missing, or what is no TOML."""
    fields = dict(RECIPE)
    kind = draw(st.sampled_from(["value", "value", "unknown", "missing", "cut", "noise", "bytes", "twice"]))
    name = draw(st.sampled_from(sorted(BAD_FIELDS)))
    if kind == "value":
        fields[name] = draw(st.sampled_from(BAD_FIELDS[name]))
    if kind == "unknown":
        fields[draw(st.sampled_from(["lr", "modle", "epochs", "x-y", '"a b"', '"[/]"', '"\\u0000"']))] = "1"
    if kind == "missing":
        del fields[draw(st.sampled_from(["model", "scale", "iterations", "batch", "lr_patch_px", "rate"]))]
    text = "".join(f"{name} = {value}\n" for name, value in fields.items())
    match kind:
        case "cut":
            # Inside the first six fields, which are all needed.
            text = text[: draw(st.integers(0, text.index("halve_at") - 2))]
        case "noise":
            text = draw(st.sampled_from(["= 1\n", "[", "model\n", "a = \n", '"', "\0", "a = 1 b = 2\n"])) + text
        case "bytes":
            return draw(st.sampled_from([b"\xff\xfe", b"\xc3\x28", b"\x80"])) + text.encode()
        case "twice":
            text += f"{name} = {fields[name]}\n"
    return text.encode()


def test_recipes(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"

    def check(content: bytes) -> None:
        file.write_bytes(content)
        with inside(tmp_path):
            refused(tmp_path, "train", "--recipe", str(file), "--data", "nowhere", "--out", "run", names=file.stem)

    fuzz("recipes", bad_recipes(), check)


# Tables.


@st.composite
def damaged_table(draw: st.DrawFn, header: tuple[str, ...], row: tuple[str, ...], wrong: dict[str, list[str]]) -> bytes:
    """A CSV whose third row or header is wrong."""
    lines = [list(header), list(row), [*row]]
    kind = draw(st.sampled_from(["cell", "cell", "cell", "header", "short", "long", "bytes", "quote", "empty"]))
    column = draw(st.sampled_from(sorted(wrong)))
    match kind:
        case "cell":
            lines[2][header.index(column)] = draw(st.sampled_from(wrong[column]))
        case "header":
            lines[0][header.index(column)] = draw(st.sampled_from(["", "x", "[/]", f"{column} ", "\u202e"]))
        case "short":
            lines[2] = lines[2][: draw(st.integers(1, len(header) - 1))]
        case "long":
            lines[2] += draw(st.lists(st.sampled_from(["", "1", "[b]"]), min_size=1, max_size=3))
        case "empty":
            return draw(st.sampled_from([b"", b"\n", b"\n\n\n", b",,,\n", b"\xef\xbb\xbf"]))
        case _:
            pass
    text = "\n".join(",".join(line) for line in lines) + "\n"
    if kind == "quote":
        at = text.index("\n") + 1
        text = text[:at] + '"' + text[at:]
    content = text.encode()
    at = draw(st.integers(0, len(content)))
    return content[:at] + b"\xff" + content[at:] if kind == "bytes" else content


NUMBERS = ["nan", "inf", "-1", "x", "1,2", "0x10", "1e999", "[/]", '"1 2"', "--"]
TEAM = ("team", "val_psnr", "test_psnr", "runtime_ms", "params_m", "flops_g")


def test_teams(tmp_path: Path) -> None:
    wrong = dict.fromkeys(TEAM[1:], NUMBERS) | {"team": ["", " ", '"  "']}
    file = tmp_path / "teams.csv"

    def check(content: bytes) -> None:
        file.write_bytes(content)
        refused(tmp_path, "ntire", "--rank", str(file), "--out", str(tmp_path / "out"), names=str(file))

    fuzz("teams", damaged_table(TEAM, ("A", "26.93", "27.01", "10.5", "0.2", "9.1"), wrong), check)


def test_results(tmp_path: Path) -> None:
    """results.json of the organisers."""
    model = {
        "valid_runtime": [1.0, 2.0], "valid_psnr": [27.0, 26.9], "valid_memory": 10.0, "valid_ave_runtime": 1.5,
        "valid_ave_psnr": 26.95, "activations": 1.0, "num_conv": 3, "flops": 1.0, "num_parameters": 1.0,
    }  # fmt: skip
    file = tmp_path / "results.json"

    def check(content: bytes) -> None:
        file.write_bytes(content)
        result = esr("ntire", "--rank", str(file))
        if result.code == 0:
            # Still the organisers' form: names and unused fields are theirs to choose.
            assert json.loads(content)
            return
        refused(tmp_path, "ntire", "--rank", str(file), "--out", str(tmp_path / "out"), names=str(file))

    fuzz("results", damaged_json({"00_A": model, "01_B": model}), check)


CLAIM = ("table5", "CARN", "agdn", "2", "psnr_y_db", "Set5", "37.76", "2", "")


def test_claims(tmp_path: Path) -> None:
    """The printed numbers of a paper: `load_papers` names file and line."""
    wrong = {
        "table": ["", "table99", "[/]"], "scale": ["0", "9", "x", "2.5", ""], "metric": ["", "psnr", "[b]"],
        "value": ["x", "", "nan", "1 2", "inf"], "decimals": ["x", "", "1.5"], "mark": ["bold", "BEST"],
    }  # fmt: skip
    about = """
citation = "A et al., 2024"
title = "T"
own = "agdn"
[table5]
title = "t"
counter = "exact"
hr = "720x1280"
"""
    numbers = iter(range(10**6))

    def check(content: bytes) -> None:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / "mine.csv").write_bytes(content)
        (folder / "mine.toml").write_text(about, encoding="utf-8")
        with pytest.raises(BadInput) as raised:
            load_papers(folder)
        assert "mine.csv" in str(raised.value)

    fuzz("claims", damaged_table(COLUMNS, CLAIM, wrong), check)
