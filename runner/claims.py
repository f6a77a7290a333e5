"""Several runs on one store: each job is one run's at a time, and what one has made the others do not make again.

A claim is a lock that the system lets go when its process ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from runner import journal
from runner.journal import StoreUnwritable
from runner.plan import Job
from runner.store import Store
from zoo.facts import Measured, Ok


class Claims:
    """The jobs of one run, by index; `postponed` are those that another run is at, `made` those it has made."""

    def __init__(self, jobs: Sequence[Job], store: Store) -> None:
        self.postponed: list[int] = []
        self.made: dict[int, Measured] = {}
        self._jobs, self._store = jobs, store
        self._known = [store.count(job.keys) for job in jobs]
        self._locks: dict[int, FileLock] = {}

    @classmethod
    @contextmanager
    def of(cls, jobs: Sequence[Job], store: Store) -> Iterator[Claims]:
        """Claims that end with the block."""
        claims = cls(jobs, store)
        for folder in store.journals():
            claims._drop_if_kept(folder)
        try:
            yield claims
        finally:
            for lock in claims._locks.values():
                lock.release()

    def _drop_if_kept(self, unfinished: Path) -> None:
        """Remove a journal that a kill left between its job's record and its own end."""
        if self._store.newest_ns_of(unfinished.name) > journal.last_change_ns(unfinished):
            with suppress(Timeout, OSError), FileLock(self._store.claims / f"{unfinished.name}.lock", timeout=0):
                journal.remove(unfinished)

    def begin(self, index: int) -> bool:
        """Claim a job. False: another run is at it (now postponed) or has made it. Raises StoreUnwritable.

        A job that is claimed already is this run's.
        """
        if index in self._locks:
            return True
        try:
            return self._claim(index, timeout_s=0)
        except Timeout:
            self.postponed.append(index)
            return False

    def wait(self, index: int) -> bool:
        """Claim a postponed job when the other run has ended or finished it. False: it has made it."""
        return self._claim(index, timeout_s=-1)

    def finish(self, index: int, record: Measured) -> None:
        """Keep the record of a claimed job and let it go; a finished one needs no journal. Raises StoreUnwritable."""
        self._store.append(record)
        if isinstance(record.outcome, Ok):
            journal.remove(self._journal(index))
        self._locks.pop(index).release()

    def _claim(self, index: int, *, timeout_s: float) -> bool:
        job = self._jobs[index]
        lock = FileLock(self._store.claims / f"{self._journal(index).name}.lock")
        with _writable(self._store.root):
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout_s)
        self._locks[index] = lock
        if self._store.count(job.keys) > self._known[index]:
            found = [record for key in job.keys if (record := self._store.find(key)) is not None]
            if found:
                self.made[index] = max(found, key=lambda record: record.provenance.created_utc)
                self._locks.pop(index).release()
                return False
        return True

    def _journal(self, index: int) -> Path:
        return self._store.journal_folder(self._jobs[index].key)


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise StoreUnwritable(
            f"{root} takes no files: {error.strerror or error}. Free space there or choose another folder with "
            f"--store; what was written before is whole."
        ) from error
