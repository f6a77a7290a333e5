"""From the exact count to every tool's number, by named differences that leave a remainder of 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.counters.differences import DIFFERENCES
from runner.counters.subject import Subject, ToolCount
from runner.counters.trace import Trace, trace


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The way from the exact count to one tool's number."""

    counter: str
    exact: int
    differences: tuple[tuple[str, int], ...]
    "Name and signed amount; those that are 0 here are left out."
    counted: int
    "What the tool itself gives."

    @property
    def remainder(self) -> int:
        """What no difference explains; 0 when the ledger closes."""
        return self.counted - self.exact - sum(amount for _, amount in self.differences)

    def as_fields(self) -> dict[str, Any]:
        """Plain numbers; a remainder that is not 0 is named `unexplained`."""
        rows = [{"name": name, "multi_adds": amount} for name, amount in self.differences]
        if self.remainder:
            rows.append({"name": "unexplained", "multi_adds": self.remainder})
        return {"exact": self.exact, "differences": rows, "counted": self.counted, "remainder": self.remainder}


def reconcile(counter: str, counted: int, seen: Trace) -> Ledger:
    """The ledger of one tool's number over one trace."""
    amounts = ((difference.name, round(difference.amount(seen))) for difference in DIFFERENCES[counter])
    rows = tuple((name, amount) for name, amount in amounts if amount)
    return Ledger(counter=counter, exact=seen.multi_adds, differences=rows, counted=counted)


def ledgers(subject: Subject, tools: Mapping[str, Callable[[Subject], ToolCount]]) -> dict[str, Ledger]:
    """Run the tools and reconcile each with the exact count. Raises JobFailed."""
    seen = trace(subject)
    return {name: reconcile(name, tool(subject).multi_adds, seen) for name, tool in tools.items()}
