"""The journal of a job: what is in it survives torn lines, altered bytes and a full disk; foreign ones are dropped."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.journal import Journal, StoreUnwritable, remove

ENTRIES: dict[str, dict[str, Any]] = {
    "a": {"score": {"psnr_y_db": math.inf, "ssim_y": 1.0}},
    "bé\n": {"score": {"psnr_y_db": 0.1 + 0.2}, "out_of_range": [-3.0, 2.5]},
    "c": {"score": {}},
}


def _filled(folder: Path, identity: str = "job") -> bytes:
    with Journal.open(folder, identity) as journal:
        for name, values in ENTRIES.items():
            journal.add(name, values)
    return (folder / "done.jsonl").read_bytes()


def _entries(folder: Path, identity: str = "job") -> dict[str, dict[str, Any]]:
    with Journal.open(folder, identity) as journal:
        return dict(journal.entries)


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    _filled(tmp_path / "j")
    assert _entries(tmp_path / "j") == ENTRIES


@given(data=st.data())
def test_of_a_journal_cut_anywhere_the_whole_lines_are_left_and_it_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut") / "j"
    content = _filled(folder)
    at = data.draw(st.integers(0, len(content)))
    (folder / "done.jsonl").write_bytes(content[:at])
    whole = max(0, content[:at].count(b"\n") - 1)
    assert list(_entries(folder)) == list(ENTRIES)[:whole]
    with Journal.open(folder, "job") as journal:
        journal.add("after", {})
    assert list(_entries(folder)) == [*list(ENTRIES)[:whole], "after"]


@given(data=st.data())
def test_an_altered_line_is_left_out(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("altered") / "j"
    content = bytearray(_filled(folder))
    at = data.draw(st.integers(content.index(b"\n") + 1, len(content) - 1).filter(lambda at: content[at] != 10))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (content[at], 10)))
    (folder / "done.jsonl").write_bytes(content)
    found = _entries(folder)
    assert len(found) == len(ENTRIES) - 1
    assert found.items() <= ENTRIES.items()


def test_what_another_job_or_other_code_began_is_dropped(tmp_path: Path) -> None:
    _filled(tmp_path / "j", "older code")
    with Journal.open(tmp_path / "j", "older code") as journal:
        journal.keep_output("d", np.zeros(3))
    assert _entries(tmp_path / "j", "job") == {}
    assert [path.name for path in (tmp_path / "j").iterdir()] == ["done.jsonl"]


def test_an_output_is_kept_until_it_is_scored(tmp_path: Path) -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    with Journal.open(tmp_path / "j", "job") as journal:
        journal.keep_output("a", image)
    with Journal.open(tmp_path / "j", "job") as journal:
        kept = journal.output("a")
        assert kept is not None
        np.testing.assert_array_equal(kept, image)
        assert journal.output("b") is None
        journal.add("a", {})
        assert journal.output("a") is None


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: bytes(200)])
def test_a_damaged_output_is_made_again(tmp_path: Path, damage: Any) -> None:
    with Journal.open(tmp_path / "j", "job") as journal:
        journal.keep_output("a", np.arange(9))
        (path,) = (tmp_path / "j").glob("*.output")
        path.write_bytes(damage(path.read_bytes()))
        assert journal.output("a") is None


def test_a_full_disk_leaves_the_lines_before_it_and_the_next_one_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes half of a line."""

    def half(handle: int, content: bytes) -> int:
        if len(content) > 20:
            return write(handle, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = os.write
    with Journal.open(tmp_path / "j", "job") as journal:
        journal.add("a", {})
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(StoreUnwritable, match=r"No space left.*The 1 finished images are kept.*--store"):
                journal.add("b", {})
        assert list(_lines(tmp_path / "j")) == ["a"]
        journal.add("c", {})
    assert list(_entries(tmp_path / "j")) == ["a", "c"]


def _lines(folder: Path) -> list[str]:
    from runner.journal import _read

    return list(_read(folder / "done.jsonl")[1])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(StoreUnwritable, match="cannot be written"), Journal.open(tmp_path / "file" / "j", "job"):
        pass


def test_a_removed_journal_leaves_nothing(tmp_path: Path) -> None:
    _filled(tmp_path / "j")
    remove(tmp_path / "j")
    assert list(tmp_path.iterdir()) == []
