"""Checkpoints that were damaged, never were one, or would run code: refused by name, and nothing runs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz import fuzz, refused


def _saved(value: Any, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _safetensors(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


@st.composite
def bad_checkpoints(draw: st.DrawFn) -> tuple[str, bytes]:
    """Suffix and content: damaged, of another network, or holding what is no tensor."""
    tensors = {"conv.weight": torch.zeros(2, 2), "conv.bias": torch.zeros(2)}
    kind = draw(st.sampled_from(["cut", "noise", "flipped", "content", "safetensors", "zip", "cut safetensors"]))
    suffix = draw(st.sampled_from([".pth", ".pt", ".bin", ""]))
    whole = _saved(tensors, legacy=draw(st.booleans()))
    match kind:
        case "cut":
            return suffix, whole[: draw(st.integers(0, len(whole) - 1))]
        case "noise":
            return suffix, draw(st.binary(max_size=100))
        case "flipped":
            at = draw(st.integers(0, len(whole) - 1))
            return suffix, whole[:at] + bytes([whole[at] ^ draw(st.integers(1, 255))]) + whole[at + 1 :]
        case "content":
            content = draw(
                st.sampled_from([{}, [], 3, None, "x", {"params": 3}, {"params": {}}, {1: torch.zeros(1)}, {"a": [1]},
                                 {"params": {"x": torch.zeros(1)}}, torch.zeros(3), {("a", 1): torch.zeros(1)},
                                 {"state_dict": {3: torch.zeros(1)}}, {"a[/b]": torch.zeros(1)}])
            )  # fmt: skip
            return suffix, _saved(content)
        case "zip":
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr(draw(st.sampled_from(["a", "archive/data.pkl", "../x"])), draw(st.binary(max_size=30)))
            return suffix, stream.getvalue()
        case "cut safetensors":
            header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
            content = _safetensors(header, bytes(8))
            return ".safetensors", content[: draw(st.integers(0, len(content) - 1))]
        case _:
            header = draw(
                st.sampled_from([b"{}", b"[]", b"{", b"\xff", b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}',
                                 b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
                                 b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8000000000]}}',
                                 b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}',
                                 b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'])
            )  # fmt: skip
            return ".safetensors", _safetensors(header, bytes(8))


def _quality(file: Path) -> tuple[str, ...]:
    return ("quality", "imdn", "--scale", "2", "--data", "sample", "--weights", str(file))


@pytest.fixture
def small_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One black image in the place of `sample`: what is measured must not take long before the weights are refused."""
    data = tmp_path / "data" / "sample_set"
    data.mkdir(parents=True)
    Image.new("RGB", (12, 12)).save(data / "a.png")
    monkeypatch.setenv("ESR_DATA_DIR", str(tmp_path / "data"))


def test_checkpoints(tmp_path: Path, small_sample: None) -> None:
    def check(example: tuple[str, bytes]) -> None:
        suffix, content = example
        file = tmp_path / f"mine{suffix}"
        file.write_bytes(content)
        command = (*_quality(file)[:-3], "sample_set", "--weights", str(file))
        refused(tmp_path, *command, names=file.name)
        file.unlink()

    fuzz("checkpoints", bad_checkpoints(), check)


class _Code:
    """Unpickles to a call."""

    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.call = call
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


def test_code_in_a_checkpoint_never_runs(tmp_path: Path, small_sample: None) -> None:
    ran = tmp_path / "ran"

    @st.composite
    def poisoned(draw: st.DrawFn) -> bytes:
        code = draw(
            st.sampled_from([
                _Code(os.mkdir, (str(ran),)),
                _Code(os.system, (f"mkdir {ran}",)),
                _Code(eval, (f"__import__('os').mkdir({str(ran)!r})",)),
                _Code(exec, (f"open({str(ran)!r}, 'w')",)),
                _Code(open, (str(ran), "w")),
            ])
        )  # fmt: skip
        tensors = {"conv.weight": torch.zeros(2)}
        content = draw(
            st.sampled_from([{**tensors, "x": code}, {"params": tensors, "x": code}, {"params": code}, code, [code]])
        )
        how = draw(st.sampled_from(["new", "old", "pickle"]))
        protocol = draw(st.sampled_from([2, 4]))
        return pickle.dumps(content, protocol) if how == "pickle" else _saved(content, legacy=how == "old")

    def check(content: bytes) -> None:
        file = tmp_path / "mine.pth"
        file.write_bytes(content)
        command = (*_quality(file)[:-3], "sample_set", "--weights", str(file))
        result = refused(tmp_path, *command, names=str(file))
        assert not ran.exists()
        assert "could run code" in result.words or "cannot be read as a checkpoint" in result.words

    fuzz("code", poisoned(), check)
