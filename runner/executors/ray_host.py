"""What runs in a Ray worker. Ray itself is not imported here, so the suite must be installed on a node, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread

from runner.execute import measure
from runner.executors.worker import Card, Surroundings, card
from runner.plan import Job
from zoo.facts import Measured


class Host:
    """The actor: one job at a time."""

    def __init__(self, surroundings: Surroundings) -> None:
        surroundings.take_on()

    def card(self, place: str) -> Card:
        """What this process says of its machine."""
        return card(place)

    def work(self, job: Job) -> Iterator[str | Measured]:
        """A word on each image, then the record."""
        news: SimpleQueue[str | Measured | BaseException] = SimpleQueue()

        def run() -> None:
            try:
                news.put(measure(job, news.put))
            except BaseException as error:  # noqa: BLE001 - handed on: the caller would wait forever
                news.put(error)

        Thread(target=run, daemon=True).start()
        while True:
            item = news.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Measured):
                return
