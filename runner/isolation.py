"""One call in a process of its own: what it does to memory, threads or itself cannot reach the next one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import psutil

from zoo.contract import JobFailed

T = TypeVar("T")

_GRACE_S = 5.0
"""What a process that has answered is given to end by itself."""

_PRELOADED = ["torch", "zoo.create"]
"""Imported once by the server that fresh processes are forked from; it never builds or runs a network."""


class Crashed(JobFailed):
    """The process ended without an answer."""


class TimedOut(JobFailed):
    """The process gave no answer in time and was stopped."""


def in_fresh_process(function: Callable[..., T], *arguments: Any, timeout_s: float, what: str) -> T:
    """`function(*arguments)` in a process where nothing has run yet; function, arguments and result must pickle.

    The function handles its own exceptions: one that leaves it is a crash. The process and its children are gone when
    this returns or raises, KeyboardInterrupt included. Raises Crashed, TimedOut with `what` in the message.
    """
    context = clean_context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    # The child holds the only writing end now, so its death reads as the end of the pipe.
    sender.close()
    grace_s = 0.0
    try:
        if not receiver.poll(timeout_s):
            raise TimedOut(
                f"{what} gave no result within {timeout_s:g} s and was stopped. "
                f"Allow more time, or make the input smaller."
            )
        result: T = receiver.recv()
        grace_s = _GRACE_S
        return result
    except EOFError:
        process.join(_GRACE_S)
        raise Crashed(f"{what} ended its process without a result ({ending(process.exitcode)}).") from None
    finally:
        receiver.close()
        end(process, grace_s)


def clean_context() -> ForkServerContext | SpawnContext:
    """Processes forked from a clean server with torch imported, where the system can; importing takes seconds each."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    at_child_start()
    with sender:
        sender.send(function(*arguments))


def at_child_start() -> None:
    """What a child does first: leave Ctrl-C to its parent, and end when that is gone."""
    # Ctrl-C reaches the whole terminal group; the parent decides, and the child prints no traceback of its own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the parent is gone, then end: a parent that is killed cannot end a hanging child itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def ending(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is not None and exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


def end(process: BaseProcess, grace_s: float = 0.0) -> None:
    """Give the process `grace_s` to end, then end it with everything it started."""
    process.join(grace_s)
    if process.is_alive() and process.pid is not None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.join()
