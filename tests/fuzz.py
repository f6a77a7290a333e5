"""Generated bad inputs: how many there are of each kind, and what the command line must answer to every one."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.cli import main
from tests.cli import Result

T = TypeVar("T")

EXAMPLES = {
    "images": 130,
    "folders": 60,
    "pairs": 40,
    "records": 170,
    "manifests": 60,
    "recipes": 90,
    "claims": 70,
    "teams": 90,
    "results": 40,
    "checkpoints": 70,
    "code": 20,
    "options": 240,
    "places": 30,
    "files": 40,
}
"""Inputs generated of each kind; each test asserts that it has run so many."""

NASTY = (
    "", " ", "\n", "\0", "[/]", "[bold red]x[/]", "[", "{}", "%s", "'", '"', "`id`", "$(id)", "a;b", "..", "../..",
    "/", "/dev/null", "~", "-", "--", "nan", "inf", "-inf", "-1", "0", "1e400", "1_0", "0x10", "½", "４x４", "x",
    "\u202e",
    "é", "🙂", "\x1b[31m", "\r\n", "a\tb", "\ufeff", "null", "None", "True", "y" * 300, "z" * 5000, "a/" * 200,
    "\udcff",
)  # fmt: skip
"""Text that a shell can hand over (a byte that is no UTF-8 arrives as a surrogate) and that breaks programs."""

texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text("[]{}()<>\\/\"'`$%&|;:,.=-+*?!#@~^ \n\t\0x0123456789", max_size=12),
)


def fuzz(kind: str, strategy: st.SearchStrategy[T], check: Callable[[T], None]) -> None:
    """Run `check` on the number of generated inputs that EXAMPLES promises, the same ones each time."""
    ran = 0

    @settings(
        max_examples=EXAMPLES[kind],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy)
    def one(value: T) -> None:
        nonlocal ran
        ran += 1
        check(value)

    one()
    assert ran >= EXAMPLES[kind], f"{kind}: {ran} of {EXAMPLES[kind]} were run"


def esr(*arguments: str) -> Result:
    """`esr ARGUMENTS...` in this process; what escapes from `main` escapes from here."""
    # Strict and escaping as the real ones: text that stdout cannot encode must not get there.
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", newline="")
    with mock.patch("sys.argv", ["esr", *arguments]), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 0
    return Result(code, _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """The working folder, for the time of a block."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: content of files, target of links, None for what is neither."""
    found: dict[str, bytes | str | None] = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            key = str(path.relative_to(folder))
            found[key] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def refused(folder: Path, *arguments: str, names: str | tuple[str, ...] = "") -> Result:
    """The command ends with 1 or 2 and a message with one of `names`; nothing below `folder` changes."""
    before = tree(folder)
    result = esr(*arguments)
    shown = f"esr {arguments!r}: exit {result.code}\n{result.stderr[:3000]}"
    assert result.code in (1, 2), shown
    assert "Traceback" not in result.stderr, shown
    message = plain(result.stderr)
    assert re.search(r"error|failed|usage", message, re.IGNORECASE), shown
    assert len(message) > 20, shown
    wanted = (names,) if isinstance(names, str) else names
    assert any(plain(name) in message for name in wanted), f"{wanted!r} is not named: {shown}"
    assert tree(folder) == before, shown
    return result


def plain(text: str) -> str:
    """Text without spaces and the frames that wrap it, as stderr writes it."""
    return re.sub(r"[\s│╭╮╰╯─]+", "", text.encode("utf-8", "backslashreplace").decode("utf-8"))


def spellings(value: str) -> tuple[str, ...]:
    """How a message may name a value: as it is, or as Python writes it."""
    return (value, value.rstrip("/"), repr(value)[1:-1], repr(value).replace("\\\\", "\\")[1:-1])
