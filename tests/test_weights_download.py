"""Fetching checkpoints from a server on this machine: whole, resumed, altered, broken, absent."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zoo.catalogue import find
from zoo.contract import ModelSpec, UnknownScale, Weights
from zoo.weights import WeightsStore
from zoo.weights_download import DownloadFailed, pull

CONTENT = bytes(range(256)) * 2000


@dataclass
class Source:
    """A server with one file, and the ways it can misbehave."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    "Whether Range is understood."
    break_after: list[int] = field(default_factory=list)
    "Bytes after which the next connections end early, one entry each."
    status: int | None = None
    asked: list[str | None] = field(default_factory=list)
    "Range header of each request."


@pytest.fixture
def source() -> Iterator[Source]:
    state = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.break_after.pop(0)] if state.break_after else body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/net.pth"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore((), tmp_path / "cache")


def _spec(url: str | None, content: bytes = CONTENT) -> ModelSpec:
    weights = Weights(
        file="net/net.pth",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        url=url,
        licence="MIT",
    )
    return replace(find("agdn"), name="net", weights={4: weights})


def _files(store: WeightsStore) -> list[str]:
    """Names in the model's cache folder, lock files left out."""
    folder = store.cache / "net"
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.is_dir() else []


def test_a_checkpoint_arrives_at_its_place_and_is_not_fetched_twice(source: Source, store: WeightsStore) -> None:
    counts: list[int] = []
    path = pull(_spec(source.url), 4, store, on_bytes=counts.append)
    assert path == store.cache / "net" / "net.pth"
    assert path.read_bytes() == CONTENT
    assert counts == sorted(counts)
    assert counts[-1] == len(CONTENT)
    assert pull(_spec(source.url), 4, store) == path
    assert len(source.asked) == 1
    assert _files(store) == ["net.pth"]


def test_a_broken_connection_is_resumed_where_it_ended(source: Source, store: WeightsStore) -> None:
    source.break_after = [100_000, 100_000]
    assert pull(_spec(source.url), 4, store).read_bytes() == CONTENT
    assert source.asked[0] is None
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in source.asked[1:] if asked]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] <= 200_000


def test_what_arrived_is_kept_for_the_next_command(source: Source, store: WeightsStore) -> None:
    source.break_after = [50_000, 50_000, 50_000]
    with pytest.raises(DownloadFailed, match=r"[\d,]+ of 512,000 bytes are here and are kept"):
        pull(_spec(source.url), 4, store)
    assert _files(store) == ["net.pth.part"]
    assert pull(_spec(source.url), 4, store).read_bytes() == CONTENT
    assert source.asked[-1] is not None
    assert _files(store) == ["net.pth"]


def test_a_server_without_ranges_starts_anew(source: Source, store: WeightsStore) -> None:
    source.ranges = False
    source.break_after = [100_000]
    assert pull(_spec(source.url), 4, store).read_bytes() == CONTENT


@pytest.mark.parametrize("got", [CONTENT[:-1] + b"x", CONTENT + b"more"], ids=["other bytes", "longer"])
def test_other_bytes_are_refused_and_nothing_stays(source: Source, store: WeightsStore, got: bytes) -> None:
    source.content = got
    with pytest.raises(DownloadFailed, match=r"other bytes than the published net/net\.pth: expected sha256"):
        pull(_spec(source.url), 4, store)
    assert _files(store) == []


def test_a_foreign_beginning_does_not_poison_the_next_try(source: Source, store: WeightsStore) -> None:
    part = store.cache / "net" / "net.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    with pytest.raises(DownloadFailed, match="other bytes"):
        pull(_spec(source.url), 4, store)
    assert pull(_spec(source.url), 4, store).read_bytes() == CONTENT


def test_an_altered_file_in_the_cache_is_replaced(source: Source, store: WeightsStore) -> None:
    target = store.cache / "net" / "net.pth"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"altered")
    assert pull(_spec(source.url), 4, store).read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "words"), [(404, "answered 404"), (503, "answered 503"), (416, "answered 416")])
def test_an_answer_that_is_no_file_is_told(source: Source, store: WeightsStore, status: int, words: str) -> None:
    source.status = status
    part = store.cache / "net" / "net.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:10])
    with pytest.raises(DownloadFailed, match=words):
        pull(_spec(source.url), 4, store)
    assert _files(store) == ([] if status == 416 else ["net.pth.part"])


def test_offline_the_error_names_the_way_without_a_network(source: Source, store: WeightsStore) -> None:
    # A port that nobody listens on.
    with pytest.raises(DownloadFailed, match=r"no connection\. Check the network.*esr weights add FILE"):
        pull(_spec("http://127.0.0.1:9/net.pth"), 4, store, timeout_s=1)


def test_without_an_address_the_file_is_to_be_fetched_by_hand(store: WeightsStore) -> None:
    with pytest.raises(DownloadFailed, match=r"by hand, then run `esr weights add FILE`"):
        pull(_spec(None), 4, store)


def test_scales_without_a_checkpoint_are_told(store: WeightsStore) -> None:
    with pytest.raises(DownloadFailed, match=r"published scales: x4"):
        pull(_spec(None), 3, store)
    with pytest.raises(UnknownScale):
        pull(_spec(None), 8, store)


def test_a_file_in_a_given_folder_is_enough(tmp_path: Path) -> None:
    given = tmp_path / "given" / "net" / "net.pth"
    given.parent.mkdir(parents=True)
    given.write_bytes(CONTENT)
    assert pull(_spec(None), 4, WeightsStore((tmp_path / "given",), tmp_path / "cache")) == given
