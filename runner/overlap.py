"""Three stages of a sequence at once: the next items load and the last ones finish while the network works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Output = TypeVar("Output")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Stages(Generic[Item, Loaded, Output, Result]):
    """What is done to each item; `load` and `finish` run in threads, `run` in the caller's."""

    load: Callable[[Item], Loaded]
    run: Callable[[Sequence[tuple[Item, Loaded]]], Sequence[Output]]
    "Outputs of one item or several alike ones, in their order."
    finish: Callable[[Item, Loaded, Output], Result]
    alike: Callable[[Loaded], Hashable] = lambda _loaded: None
    "Items may go through `run` together where this is equal."


def overlapped(
    items: Sequence[Item],
    stages: Stages[Item, Loaded, Output, Result],
    *,
    together: int = 1,
    finishers: int = 1,
) -> Iterator[Result]:
    """Results in the order of `items`, each as soon as it and those before it are there.

    At most `together` items wait for `run` and `finishers` + `together` for their end, however many there are.
    An exception of a stage is raised here after what was begun has finished.
    """
    source = iter(enumerate(items))
    waiting: deque[tuple[int, Item, Future[Loaded]]] = deque()
    ending: dict[int, Future[Result]] = {}
    due = 0
    with ThreadPoolExecutor(1, "load") as loader, ThreadPoolExecutor(finishers, "finish") as finisher:

        def refill() -> None:
            while len(waiting) < together and (found := next(source, None)) is not None:
                waiting.append((*found, loader.submit(stages.load, found[1])))

        refill()
        while waiting:
            group = _taken(waiting, stages.alike, together)
            refill()
            outputs = stages.run([(item, loaded) for _index, item, loaded in group])
            for (index, item, loaded), output in zip(group, outputs, strict=True):
                ending[index] = finisher.submit(stages.finish, item, loaded, output)
            # What is named here would live through the next run.
            del group, outputs, item, loaded, output
            while due in ending and (len(ending) > finishers or ending[due].done()):
                yield ending.pop(due).result()
                due += 1
        while due in ending:
            yield ending.pop(due).result()
            due += 1


def _taken(
    waiting: deque[tuple[int, Item, Future[Loaded]]], alike: Callable[[Loaded], Hashable], together: int
) -> list[tuple[int, Item, Loaded]]:
    """The first that waits, and those like it."""
    index, item, loading = waiting.popleft()
    group = [(index, item, loading.result())]
    kind = alike(group[0][2])
    for entry in list(waiting) if together > 1 else ():
        if alike(entry[2].result()) == kind:
            waiting.remove(entry)
            group.append((entry[0], entry[1], entry[2].result()))
    return group
