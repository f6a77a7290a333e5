"""Where the jobs of a plan run: in this process, in several processes of this machine, or on a Ray cluster.

Every way gives the same records, and only the driver stores them. `opened` is the one entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from runner import machine
from runner.execute import Executor, InProcess
from zoo.contract import BadInput


class Where(Enum):
    """The executors there are."""

    LOCAL = "local"
    "This machine: one job at a time in this process, or several in processes of their own."
    RAY = "ray"
    "The nodes of a Ray cluster."


@contextmanager
def opened(
    where: Where, *, jobs: int | None = None, address: str | None = None, device: str = "cpu"
) -> Iterator[Executor]:
    """An executor for the time of a `with` block; its workers are gone after it, whatever ends the block.

    `jobs` is how many run at once: by default one here, one per node on Ray. `device` is what the workers reserve.
    Raises BadInput for options that do not go together, JobFailed where the cluster cannot be had.
    """
    if where is Where.LOCAL:
        if address is not None:
            raise BadInput(f"--address {address} names a Ray cluster. Pass --executor ray too, or leave it out.")
        if jobs is None or jobs == 1:
            yield InProcess()
            return
        from runner.executors.local import Pool, Processes

        team = Pool(Processes(jobs, threads=max(1, machine.usable_cores() // jobs)))
        try:
            yield team
        finally:
            team.dismiss()
        return
    from runner.executors.ray_cluster import connected

    with connected(address, jobs=jobs, device=device) as cluster:
        yield cluster
