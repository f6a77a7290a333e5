"""Several images through a network at once on a CPU, small ones on one thread each.

Threads that share a small image spend much of their time waiting for each other.
"""

from __future__ import annotations

import copy
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

Item = TypeVar("Item")
Result = TypeVar("Result")

PIXELS_OF_A_THREAD: Final = 2**16
"""LR pixels in work for each thread: this bounds the memory, however many images there are."""


def side_by_side(items: Sequence[Item], work: Callable[[Item], Result], *, lanes: int) -> Iterator[Result]:
    """`work` of each item in one of `lanes` threads, results in the order of the items.

    An exception of `work` is raised here after what was begun has finished; the rest is left out. `work` may set
    torch's number of threads: afterwards it is the caller's again, for new threads too.
    """
    threads = torch.get_num_threads()
    failed: list[int] = []

    def guarded(index: int, item: Item) -> Result:
        if any(before < index for before in failed):
            # Nobody gets to see it: the error of the one before is raised first.
            raise CancelledError
        try:
            return work(item)
        except BaseException:
            failed.append(index)
            raise

    pool = ThreadPoolExecutor(lanes, "lane")
    try:
        for future in [pool.submit(guarded, index, item) for index, item in enumerate(items)]:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


class Cores:
    """The threads of an evaluation, dealt out to the images that are in work; first come, first served."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._turn, self._returned = threading.Lock(), threading.Condition()

    @contextmanager
    def taken(self, lr_pixels: int) -> Iterator[None]:
        """As many threads as an image of that size is worth, for torch in this Python thread."""
        wanted = min(self.count, math.ceil(lr_pixels / PIXELS_OF_A_THREAD))
        with self._turn, self._returned:
            self._returned.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            torch.set_num_threads(wanted)
            yield
        finally:
            with self._returned:
                self._free += wanted
                self._returned.notify()


class OneEach:
    """A network for several threads: each call has a copy to itself, for a forward may keep things in its module.

    The copies share the parameters.
    """

    def __init__(self, copies: Sequence[nn.Module]) -> None:
        self._idle: queue.SimpleQueue[nn.Module] = queue.SimpleQueue()
        for network in copies:
            self._idle.put(network)

    @classmethod
    def made(cls, network: nn.Module, count: int) -> OneEach | None:
        """`count` of them, the network itself among them; None of a network that cannot be copied."""
        try:
            shared = [{id(parameter): parameter for parameter in network.parameters()} for _ in range(count - 1)]
            return cls([network, *(copy.deepcopy(network, memo) for memo in shared)])
        except (TypeError, RuntimeError, copy.Error):
            return None

    def __call__(self, x: Tensor) -> Tensor:
        network = self._idle.get()
        try:
            sr: Tensor = network(x)
            return sr
        finally:
            self._idle.put(network)
