"""Images beside each other: order, threads dealt out, networks that keep things in their modules, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info
from torch import Tensor, nn

from runner.datasets import Dataset, open_dataset
from runner.images import write_rgb
from runner.lanes import PIXELS_OF_A_THREAD, Cores, OneEach, side_by_side
from runner.machine import numpy_on_one_thread
from runner.tasks.quality import ImageScore, evaluate
from zoo.contract import JobFailed
from zoo.protocols import EvalProtocol

WAIT_S = 20


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Keeping(nn.Module):
    """Keeps its input in the module until another forward has begun: right only in a copy of its own."""

    def __init__(self, both: threading.Barrier | None = None) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.both = both

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeping:
        other = Keeping(self.both)
        other.gain = memo[id(self.gain)]
        return other

    def forward(self, x: Tensor) -> Tensor:
        self.kept = x
        if self.both is not None:
            self.both.wait(WAIT_S)
        y: Tensor = self.kept * self.gain
        return y.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Single(Keeping):
    """Cannot be copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeping:
        raise TypeError("cannot pickle 'module' object")


def _images(folder: Path, count: int) -> Dataset:
    rng = np.random.default_rng(3)
    for index in range(count):
        write_rgb(folder / f"{index}.png", rng.integers(0, 256, (48, 40, 3), dtype=np.uint8))
    return open_dataset(str(folder), 2)


def test_results_keep_the_order_and_torch_its_threads() -> None:
    def work(item: int) -> int:
        torch.set_num_threads(1)
        return 10 * item

    assert list(side_by_side(range(23), work, lanes=3)) == [10 * item for item in range(23)]
    with ThreadPoolExecutor(1) as pool:
        assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == 2


def test_after_an_error_what_was_begun_ends_and_the_rest_is_left_out() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            failed.set()
            raise JobFailed("planted")
        assert failed.wait(WAIT_S)
        time.sleep(0.01)

    with pytest.raises(JobFailed, match="planted"):
        list(side_by_side(range(1000), work, lanes=2))
    assert 2 <= len(begun) < 20


def test_the_error_of_the_first_item_that_fails_is_raised_though_a_later_one_failed_sooner() -> None:
    later = threading.Event()

    def work(item: int) -> None:
        if item == 1:
            later.set()
            raise JobFailed("later")
        assert later.wait(WAIT_S)
        raise JobFailed("first")

    with pytest.raises(JobFailed, match="first"):
        list(side_by_side(range(100), work, lanes=2))


def test_small_images_have_a_thread_each_and_a_large_one_has_all() -> None:
    cores, both, seen = Cores(2), threading.Barrier(2), []
    small, large = 100, 5 * PIXELS_OF_A_THREAD

    def work(lr_pixels: int) -> None:
        with cores.taken(lr_pixels):
            if lr_pixels == small:
                both.wait(WAIT_S)
            seen.append((lr_pixels, torch.get_num_threads()))

    list(side_by_side([small, small, large, small + 1, large + 1], work, lanes=2))
    assert sorted(seen) == [(small, 1)] * 2 + [(small + 1, 1), (large, 2), (large + 1, 2)]


def test_copies_share_the_parameters() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    copies = OneEach.made(network, 3)
    assert copies is not None
    made = [copies._idle.get() for _ in range(3)]
    assert made[0] is network
    assert len({id(copy) for copy in made}) == 3
    assert len({id(copy[0].weight) for copy in made}) == 1


def test_networks_that_keep_things_are_scored_as_alone(tmp_path: Path) -> None:
    dataset = _images(tmp_path / "Mine", 6)
    told: list[ImageScore] = []
    beside = evaluate(Keeping(threading.Barrier(2)).eval(), dataset, protocol=EvalProtocol(), on_image=told.append)
    alone = evaluate(Keeping().eval(), dataset, protocol=EvalProtocol(), batch=1)
    assert beside == alone
    assert [score.name for score in told] == [pair.name for pair in dataset.pairs]


def test_a_network_that_cannot_be_copied_sees_one_image_at_a_time(tmp_path: Path) -> None:
    dataset = _images(tmp_path / "Mine", 3)
    single = evaluate(Single().eval(), dataset, protocol=EvalProtocol())
    assert single == evaluate(Keeping().eval(), dataset, protocol=EvalProtocol(), batch=1)


def test_scoring_leaves_the_other_cores_to_the_network(tmp_path: Path) -> None:
    def blas_threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before, during = blas_threads(), []
    dataset = _images(tmp_path / "Mine", 2)
    for options in ({}, {"batch": 1}):
        evaluate(
            Keeping().eval(),
            dataset,
            protocol=EvalProtocol(),
            on_image=lambda _score: during.append(blas_threads()),
            **options,
        )
    assert during == [{1}] * 4
    assert blas_threads() == before
    with numpy_on_one_thread():
        assert blas_threads() == {1}
