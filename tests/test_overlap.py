"""Three stages at once: order, alike items together, memory that does not grow, errors that lose nothing finished."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import ClassVar

import pytest

from runner.overlap import Stages, overlapped


class Buffer:
    """Something large; every living one is known."""

    living: ClassVar[weakref.WeakSet[Buffer]] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        Buffer.living.add(self)


def _stages(peaks: list[int]) -> Stages[int, Buffer, Buffer, int]:
    def run(group: Sequence[tuple[int, Buffer]]) -> list[Buffer]:
        peaks.append(len(Buffer.living))
        return [Buffer(10 * loaded.number) for _item, loaded in group]

    def finish(item: int, loaded: Buffer, output: Buffer) -> int:
        assert output.number == 10 * loaded.number == 10 * item
        return output.number

    return Stages(load=Buffer, run=run, finish=finish, alike=lambda loaded: loaded.number % 3)


@pytest.mark.parametrize("together", [1, 2, 5])
@pytest.mark.parametrize("finishers", [1, 3])
def test_results_keep_the_order_of_the_items(together: int, finishers: int) -> None:
    results = overlapped(range(23), _stages([]), together=together, finishers=finishers)
    assert list(results) == [10 * item for item in range(23)]
    assert list(overlapped([], _stages([]), together=together)) == []


@pytest.mark.parametrize(("together", "finishers"), [(1, 1), (4, 2)])
def test_the_number_of_living_buffers_does_not_depend_on_the_number_of_items(together: int, finishers: int) -> None:
    peaks: dict[int, int] = {}
    for items in (30, 300):
        seen: list[int] = []
        assert len(list(overlapped(range(items), _stages(seen), together=together, finishers=finishers))) == items
        peaks[items] = max(seen)
    # Waiting and in the network: two groups; each that is being finished holds what was loaded and its output.
    bound = 2 * together + 2 * (finishers + together)
    assert max(peaks.values()) <= bound
    assert not Buffer.living


def test_alike_items_within_the_window_go_together_and_others_do_not() -> None:
    groups: list[list[int]] = []

    def run(group: Sequence[tuple[int, int]]) -> list[int]:
        groups.append([item for item, _loaded in group])
        return [item for item, _loaded in group]

    def finish(_item: int, _loaded: int, output: int) -> int:
        return output

    stages: Stages[int, int, int, int] = Stages(
        load=lambda item: item, run=run, finish=finish, alike=lambda item: item % 2
    )
    assert list(overlapped([0, 2, 1, 4, 3, 5], stages, together=3)) == [0, 2, 1, 4, 3, 5]
    assert groups == [[0, 2], [1, 3], [4], [5]]


def test_the_next_item_loads_and_the_last_one_finishes_while_the_network_runs() -> None:
    """Each `run` waits for both; without overlap it would wait for ever."""
    loaded: dict[int, threading.Event] = {item: threading.Event() for item in range(4)}
    finished: dict[int, threading.Event] = {item: threading.Event() for item in range(4)}

    def load(item: int) -> int:
        loaded[item].set()
        return item

    def run(group: Sequence[tuple[int, int]]) -> list[int]:
        ((item, _),) = group
        if item < 3:
            assert loaded[item + 1].wait(30)
        if item > 0:
            assert finished[item - 1].wait(30)
        return [item]

    def finish(item: int, _loaded: int, _output: int) -> int:
        finished[item].set()
        return item

    assert list(overlapped(range(4), Stages(load=load, run=run, finish=finish))) == [0, 1, 2, 3]


@pytest.mark.parametrize("stage", ["load", "run", "finish"])
def test_an_error_is_raised_after_what_was_begun_has_finished(stage: str) -> None:
    finished: list[int] = []

    def fail(name: str, item: int) -> int:
        if name == stage and item == 3:
            raise ValueError(f"{name} {item}")
        return item

    def finish(item: int, _loaded: int, _output: int) -> int:
        fail("finish", item)
        finished.append(item)
        return item

    stages: Stages[int, int, int, int] = Stages(
        load=lambda item: fail("load", item),
        run=lambda group: [fail("run", item) for item, _loaded in group],
        finish=finish,
    )
    with pytest.raises(ValueError, match=f"{stage} 3"):
        list(overlapped(range(9), stages))
    assert finished[:3] == [0, 1, 2]
