"""Workers as actors of a Ray cluster: one that runs already, or one on this machine for the time of a run."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from runner.executors.head import require_head
from runner.executors.ray_host import Host
from runner.executors.team import NoWorkers, Team
from runner.executors.worker import Card, Surroundings, WorkerDied
from runner.isolation import Crashed, TimedOut, in_fresh_process
from runner.plan import Job
from zoo.contract import BadInput, JobFailed
from zoo.facts import Measured

JOIN_S: Final = 30.0
"""What a cluster is given to take a driver in. Ray's own limit is more than ten minutes."""
READY_S: Final = 120.0
"""What a node is given to start a worker; importing torch from a cold disk takes long."""
_OBJECT_STORE_BYTES: Final = 80 * 2**20
"""The least Ray accepts is enough: jobs and records are small, images stay in files."""
_LONGEST_TEMP: Final = 40
"""Ray makes Unix sockets in folders below its own; the system limits their paths to 107 bytes."""
_NO_STATISTICS: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
_QUIET: Final[Mapping[str, Any]] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}


@contextmanager
def connected(address: str | None, *, jobs: int | None, device: str) -> Iterator[Team[RayWorker]]:
    """A team on the cluster at `address` (else RAY_ADDRESS), or on a Ray of this machine that ends with the block.

    Raises BadInput where Ray is not installed or the address is none, JobFailed where no cluster answers there.
    """
    where = address or os.environ.get("RAY_ADDRESS")
    if where:
        require_head(where)
    # Ray writes pages on dead workers to stdout, where the data goes; the team says it in a sentence.
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        _variables(_NO_STATISTICS | ({} if where else _loopback())),
    ):
        ray = _imported()
        with _joined(ray, where) if where else _own(ray, jobs or 1):
            team = Team(Cluster(ray, jobs=jobs, device=device))
            try:
                yield team
            finally:
                team.dismiss()


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise BadInput(f'--executor ray needs Ray ({error}). Run `pip install "esr-bench[ray]"`.') from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    # Tried in another process first: there is no other way to stop Ray from waiting.
    try:
        problem = in_fresh_process(_try, address, timeout_s=JOIN_S, what="Joining it")
    except (Crashed, TimedOut) as error:
        problem = str(error).partition(" Allow")[0]
    if problem is not None:
        raise JobFailed(
            f"The Ray cluster at {address} cannot be joined: {problem} Expected the head of a cluster that this "
            f"machine is a node of (`ray start --address=HOST:PORT`), with the same versions of Ray and Python."
        )
    try:
        with _ctrl_c_waits():
            ray.init(address=address, **_QUIET)
        yield
    finally:
        _leave(ray)


def _try(address: str) -> str | None:
    """What keeps a process from joining a cluster, None if nothing does."""
    import ray

    try:
        ray.init(address=address, **_QUIET)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        return _reason(error)
    ray.shutdown()
    return None


@contextmanager
def _own(ray: Any, cpus: int) -> Iterator[None]:
    """A Ray of this process's own: loopback only, no dashboard, its files gone at the end."""
    folder = _short_folder()
    try:
        with _ctrl_c_waits():
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(folder),
                **_QUIET,
            )
        yield
    finally:
        _leave(ray)
        shutil.rmtree(folder, ignore_errors=True)


def _leave(ray: Any) -> None:
    with _ctrl_c_waits():
        ray.shutdown()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done: Ray crashes when it is stopped half started or half ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def _short_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="esr-ray-"))
    if len(str(folder)) <= _LONGEST_TEMP:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="esr-ray-", dir="/tmp"))


def _loopback() -> dict[str, str]:
    """Ray's switches for a cluster that nobody else can reach; it reads the first on import."""
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_TOKEN": _token()}


@cache
def _token() -> str:
    """Without one Ray writes one to the home folder. It stays for a process, because Ray keeps the first it sees."""
    return secrets.token_hex(32)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block; what Ray sets in it goes too."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_") and name not in before]:
            del os.environ[name]
        os.environ.update({name: before[name] for name in values if name in before})


class RayWorker:
    """An actor on one node."""

    def __init__(self, ray: Any, actor: Any, card: Card) -> None:
        self._ray = ray
        self._actor = actor
        self.card = card
        self.news: Any = None
        "Ray's generator of what it says of its job."

    def give(self, job: Job) -> None:
        """Send it a job; that it is dead shows when it is heard. The driver's journals are not on its machine."""
        self.news = self._actor.work.remote(replace(job, journal=None))

    def hear(self) -> str | Measured:
        """What it says next."""
        try:
            said: str | Measured = self._ray.get(next(self.news))
        except StopIteration:
            raise WorkerDied("it stopped without a record") from None
        except self._ray.exceptions.RayError as error:
            raise WorkerDied(_reason(error)) from None
        return said

    def end(self) -> None:
        """Kill the actor; its children end with it."""
        self._ray.kill(self._actor, no_restart=True)


class Cluster:
    """The nodes that are alive, with the workers spread over them (a `Workplace`)."""

    def __init__(self, ray: Any, *, jobs: int | None, device: str) -> None:
        self._ray = ray
        self._device = device
        self._per_node = 1
        nodes = self._nodes()
        self.size = jobs or len(nodes)
        if nodes:
            self._per_node = -(-self.size // len(nodes))
        self._hired: list[RayWorker] = []

    def hire(self, count: int) -> list[RayWorker]:
        """Actors on the nodes with the fewest of ours. Raises NoWorkers when the first ones cannot be had."""
        nodes = self._nodes()
        if not nodes:
            wanted = "a GPU" if self._device == "cuda" else "a CPU"
            raise NoWorkers(f"No node of the Ray cluster has {wanted}. `ray status` shows what it has.")
        places = [nodes[index % len(nodes)] for index in range(count)]
        started = {(actor := self._actor(node)).card.remote(node["NodeID"]): actor for node in places}
        ready, late = self._ray.wait(list(started), num_returns=len(started), timeout=READY_S)
        hired, reason = [], f"no free CPU within {READY_S:g} s"
        for answer in ready:
            try:
                hired.append(RayWorker(self._ray, started[answer], self._ray.get(answer)))
            except self._ray.exceptions.RayError as error:
                reason = _reason(error)
        for answer in late:
            self._ray.kill(started[answer])
        if not hired and self.size == count:
            raise NoWorkers(
                f"The Ray cluster started no worker: {reason} Its nodes need this version of esr-bench and free CPUs "
                f"(`ray status` shows them)."
            )
        # A place that could not be filled is not asked for again: each try would take its time.
        self.size -= count - len(hired)
        return hired

    def wait(self, busy: Sequence[RayWorker]) -> list[RayWorker]:
        """One with news, dead ones included."""
        (ready,), _rest = self._ray.wait([worker.news for worker in busy], num_returns=1)
        return [worker for worker in busy if worker.news is ready]

    def _nodes(self) -> list[dict[str, Any]]:
        """Living nodes with what the workers need."""
        needed = "GPU" if self._device == "cuda" else "CPU"
        alive = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get(needed, 0) > 0]
        return sorted(alive, key=lambda node: str(node["NodeID"]))

    def _actor(self, node: Mapping[str, Any]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        has = node["Resources"]
        options = {
            "num_cpus": _share(has.get("CPU", 0), self._per_node),
            "num_gpus": _share(has["GPU"], self._per_node) if self._device == "cuda" else 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        }
        return self._ray.remote(Host).options(**options).remote(Surroundings.here())


def _share(amount: float, parts: int) -> float:
    """Whole units where there is one for each, else a fraction that Ray can hold (four decimals)."""
    share = amount / parts
    return float(int(share)) if share >= 1 else int(share * 1e4) / 1e4


def _reason(error: BaseException) -> str:
    """The sentence of one of Ray's long messages that says what happened, with a full stop."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "in its creation task" in text:
        # The traceback of the worker follows, and ends with its own error.
        said = lines[-1]
    elif found := re.search(r"The actor is dead because (.+?)\.(\s|$)", text):
        said = found[1].strip()
    elif cause := getattr(error, "cause", None):
        said = f"{type(cause).__name__}: {cause}"
    else:
        said = lines[0] if lines else type(error).__name__
    return said if said.endswith(".") else f"{said}."
