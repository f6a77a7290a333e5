"""Ray: a real one of two workers with one killed in the middle, and what is said where there is none."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from runner.executors import Where, opened
from runner.executors.head import require_head
from runner.executors.ray_host import Host
from runner.plan import Job
from tests.cli import esr
from tests.fake_workers import NETWORKS
from tests.test_executors import compare_with_a_kill
from zoo.contract import BadInput, JobFailed
from zoo.facts import Measured

BENCH = ("bench", "bicubic", "--tasks", "complexity", "--executor", "ray")


@pytest.fixture(autouse=True)
def no_cluster_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def answering() -> Iterator[tuple[str, socket.socket]]:
    """The address of a server on this machine, and its socket."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}", server


@pytest.mark.slow
def test_two_workers_make_the_records_of_one_process_though_one_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Not importorskip: Ray reads its switches when it is first imported.
    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not installed: pip install "esr-bench[ray]"')
    nets = tmp_path / "nets.py"
    nets.write_text(NETWORKS, encoding="utf-8")
    variables, left = dict(os.environ), set(Path(tempfile.gettempdir()).glob("esr-ray-*"))
    with opened(Where.RAY, jobs=2) as executor:
        compare_with_a_kill(nets, tmp_path, executor)
    assert capsys.readouterr().out == ""
    assert set(Path(tempfile.gettempdir()).glob("esr-ray-*")) == left
    assert {name: value for name, value in os.environ.items() if name in variables} == variables
    assert not [name for name in os.environ if name not in variables and "TOKEN" in name]


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), ValueError("x")])
def test_what_ends_a_workers_thread_reaches_the_head(monkeypatch: pytest.MonkeyPatch, ending: BaseException) -> None:
    """A network may call `sys.exit`: a thread would end in silence, and the head wait for ever."""

    def ends(job: Job, tell: Callable[[str], object]) -> Measured:
        tell("a word")
        raise ending

    monkeypatch.setattr("runner.executors.ray_host.measure", ends)
    news = Host.work(Host.__new__(Host), cast(Job, None))
    assert next(news) == "a word"
    with pytest.raises(type(ending)):
        next(news)


def test_without_ray_the_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = esr(capsys, *BENCH, "--store", str(tmp_path / "store"))
    assert result.code == 2
    assert 'pip install "esr-bench[ray]"' in result.words
    assert not (tmp_path / "store").exists()


def test_an_address_where_nothing_answers_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.socket()) as bound:
        # Bound and not listening: connections are refused, and nobody else can take the port.
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        result = esr(capsys, *BENCH, "--address", address, "--store", str(tmp_path / "store"))
    assert result.code == 1
    assert f"No Ray cluster answers at {address}" in result.words
    assert "ray start --head" in result.words


def test_a_server_that_is_no_ray_head_is_told_apart(answering: tuple[str, socket.socket]) -> None:
    from threading import Thread

    address, server = answering

    def answer() -> None:
        connection, _peer = server.accept()
        with connection:
            connection.recv(64)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = Thread(target=answer)
    thread.start()
    with pytest.raises(JobFailed, match="is no Ray head"):
        require_head(address)
    thread.join()


@pytest.mark.parametrize(
    "address", ["", "head", "head:", ":6379", "head:0", "head:65536", "ray://head:10001", "a b:1", "h:1\0"]
)
def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(BadInput, match="HOST:PORT"):
        require_head(address)
