"""Option values that no command can mean: a usage error or a clear one each, never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz import EXAMPLES, NASTY, fuzz, inside, refused, spellings, texts
from zoo.catalogue import catalogue

LONG = "x" * 300


def _no_size(text: str) -> bool:
    return re.fullmatch(r"\s*\d{1,6}[xX]\d{1,6}\s*", text) is None or re.search(r"(?<!\d)0+(?!\d)", text) is not None


def _no_number(text: str) -> bool:
    """True for what is neither an int of at least 1 nor a finite positive float."""
    try:
        return not 0 < float(text) < 1e300
    except ValueError:
        return True


sizes = st.one_of(
    texts, st.sampled_from(["0x5", "5x0", "-1x4", "1x", "x1", "1x2x3", "1.5x2", "1234567x1", "1 x 1"])
).filter(lambda text: text != "" and _no_size(text))
numbers = st.one_of(texts, st.sampled_from(["1,2", "1 2", "-7", "0", "1.5.2", "two", "0b1", "+-1", "∞"])).filter(
    _no_number
)
words = texts.filter(
    lambda text: text.lower().strip() not in ("cpu", "cuda", "plain", "fast", "official", "none", "auto")
)
names = texts.filter(lambda text: text not in catalogue())
missing = st.one_of(
    st.sampled_from([name for name in NASTY if name.strip("./~- ") and name != "/dev/null"]),
    st.text("ab\n '\"[]%é", min_size=1, max_size=12).map(lambda text: f"no {text}.pth"),
)

TOY = ("bicubic", "--scale", "2")
HOLES: tuple[tuple[tuple[str, ...], st.SearchStrategy[str]], ...] = (
    (("complexity", "{}"), names),
    (("complexity", "bicubic", "--scale={}"), numbers),
    (("complexity", *TOY, "--hr={}"), sizes),
    (("complexity", *TOY, "--lr={}"), sizes),
    (("complexity", *TOY, "--counter={}"), words),
    (("complexity", *TOY, "--depth={}"), numbers.filter(lambda text: text.strip() != "0")),
    (("complexity", *TOY, "--figure={}"), missing),
    (("quality", "{}"), names),
    (("quality", "bicubic", "--scale={}"), numbers),
    (("quality", *TOY, "--data={}"), missing),
    (("quality", *TOY, "--recipe={}"), words),
    (("quality", "imdn", "--scale", "2", "--weights={}"), missing),
    (("quality", *TOY, "--device={}"), words),
    (("latency", "{}"), names),
    (("latency", "bicubic", "--scale={}"), numbers),
    (("latency", *TOY, "--lr={}"), sizes),
    (("latency", *TOY, "--form={}"), words),
    (("latency", *TOY, "--threads={}"), numbers),
    (("latency", *TOY, "--max-seconds={}"), numbers),
    (("bench", "{}"), names),
    (("bench", "bicubic", "--scale={}"), numbers),
    (("bench", *TOY, "--data={}"), missing),
    (("bench", *TOY, "--tasks={}"), words),
    (("bench", *TOY, "--policy={}"), words),
    (("bench", *TOY, "--lr={}"), sizes),
    (("bench", *TOY, "--latency-lr={}"), sizes),
    (("bench", *TOY, "--device={}"), words),
    (("bench", *TOY, "--executor={}"), words),
    (("bench", *TOY, "--jobs={}"), numbers),
    (("bench", *TOY, "--executor=ray", "--address={}"), words.filter(bool)),
    (("bench", "imdn", "--scale", "2", "--weights={}"), missing),
    (("train", "--data=.", "--recipe={}"), missing),
    (("train", "--data=.", "--recipe=agdn_s_x4_short", "--budget={}"), numbers.filter(bool)),
    (("train", "--data=.", "--recipe=agdn_s_x4_short", "--iterations={}"), numbers),
    (("train", "--recipe=agdn_s_x4_short", "--data={}"), missing),
    (("report", "--budget={}"), numbers.filter(lambda text: text.strip() not in ("0", "-0", "inf"))),
    (("ntire", "{}"), names),
    (("ntire", "bicubic", "--edition={}"), numbers),
    (("ntire", "--rank={}"), missing),
    (("ntire", "bicubic", "--baseline={}"), words.filter(lambda text: text not in ("published", "measured"))),
    (("ntire", "bicubic", "--data={}"), missing),
    (("ntire", "bicubic", "--runs={}"), numbers),
    (("upscale", "{}", "out.png"), missing),
    (("upscale", "here.png", "{}"), missing),
    (("upscale", "here.png", "out.png", "--model={}"), names),
    (("upscale", "here.png", "out.png", *TOY[1:], "--model", "bicubic", "--tile={}"), numbers),
    (("weights", "list", "{}"), names),
    (("weights", "verify", "{}"), names),
    (("weights", "add", "{}"), missing),
    (("weights", "pull", "{}"), names),
    (("weights", "pull", "agdn", "--scale={}"), numbers),
    (("data", "verify", "{}"), missing),
    (("data", "pull", "{}"), missing),
    (("data", "prepare", "{}", "--out=prepared"), missing),
    (("data", "prepare", "sample", "--out=prepared", "--recipe={}"), words),
    (("data", "prepare", "sample", "--out=prepared", "--scale={}"), numbers),
)


@st.composite
def commands(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A command with one bad value, and what its message must name: the value, or the option that it was given to."""
    form, values = draw(st.sampled_from(HOLES))
    value = draw(values)
    option = next((word.removesuffix("={}") for word in form if word.endswith("={}")), None)
    return _filled(form, value), (*spellings(value), *([option] if option else []))


def _filled(form: tuple[str, ...], value: str) -> tuple[str, ...]:
    # A value that looks like an option comes after `--`, as a user would have to write it.
    if "{}" in form:
        place = form.index("{}")
        return (*form[:place], *form[place + 1 :], "--", value) if place == len(form) - 1 else _with(form, value or ".")
    return _with(form, value)


def _with(form: tuple[str, ...], value: str) -> tuple[str, ...]:
    return tuple(word.replace("{}", f"./{value}" if word == "{}" else value) for word in form)


def test_option_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ESR_WEIGHTS_DIR", raising=False)
    monkeypatch.delenv("ESR_DATA_DIR", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "here.png")
    with inside(folder):
        fuzz("options", commands(), lambda example: refused(folder, *example[0], names=example[1]) and None)


UNWRITABLE = ("here.png/x", "/dev/null/x", "/proc/x/y", f"{'n' * 300}/x", "a\0b/x")
WRITERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("complexity", *TOY, "--counter", "exact", "--lr", "8x8", "--csv={}"), ".csv"),
    (("complexity", *TOY, "--counter", "exact", "--lr", "8x8", "--markdown={}"), ".md"),
    (("complexity", *TOY, "--counter", "exact", "--lr", "8x8", "--html={}"), ".html"),
    (("quality", *TOY, "--data", "set", "--save={}"), ""),
    (("upscale", "here.png", "{}", "--model", "bicubic", "--scale", "2"), ".png"),
    (("data", "prepare", "set", "--scale", "2", "--out={}"), ""),
    (("bench", *TOY, "--lr", "8x8", "--tasks", "quality", "--data", "set", "--store={}"), ""),
    (("ntire", "--rank", "teams.csv", "--out={}"), ""),
    (("train", "--recipe", "agdn_s_x4_short", "--data", "set", "--iterations", "1", "--out={}"), ""),
)


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done and the result has no place: said in a sentence, and nothing half-written stays."""
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    (folder / "set").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "here.png")
    Image.new("RGB", (160, 160), (9, 99, 200)).save(folder / "set" / "a.png")
    (folder / "teams.csv").write_text(
        "team,val_psnr,test_psnr,runtime_ms,params_m,flops_g\nA,26.93,27.01,10.5,0.2,9.1\n", encoding="utf-8"
    )

    def check(example: tuple[tuple[tuple[str, ...], str], str]) -> None:
        (form, suffix), place = example
        refused(folder, *(word.replace("{}", place + suffix) for word in form))

    with inside(folder):
        fuzz("places", st.tuples(st.sampled_from(WRITERS), st.sampled_from(UNWRITABLE)), check)


def test_a_thousand_inputs_are_generated() -> None:
    """Every kind is run by a test of these files, and together they are more than a thousand."""
    run = set()
    for file in Path(__file__).parent.glob("test_fuzz_*.py"):
        run |= set(re.findall(r"^ *fuzz\(\"(\w+)\"", file.read_text(encoding="utf-8"), re.MULTILINE))
    assert run == set(EXAMPLES)
    assert sum(EXAMPLES.values()) >= 1000
