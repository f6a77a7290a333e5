"""From the exact count to every tool's number, by named differences that leave a remainder of 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.counters.differences import DIFFERENCES
from runner.counters.subject import Subject, ToolCount
from runner.counters.trace import Trace, trace


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A paper's printed multi-adds and what is left between them and the paper's rule."""

    where: str
    multi_adds: int
    rest: int
    "Printed minus counted."
    half_digit: float
    "Half a unit of the last printed digit."

    @property
    def explained(self) -> bool:
        """Whether rounding to the printed digits covers the rest."""
        return abs(self.rest) <= self.half_digit

    def as_fields(self) -> dict[str, Any]:
        """Plain values; `name` says whether the rest is rounding or unexplained."""
        name = "rounded to the printed digits" if self.explained else "unexplained"
        return {"where": self.where, "multi_adds": self.multi_adds, "rest": self.rest, "name": name}


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The way from the exact count to one tool's number."""

    counter: str
    exact: int
    differences: tuple[tuple[str, int], ...]
    "Name and signed amount; those that are 0 here are left out."
    counted: int
    "What the tool itself gives."
    printed: tuple[Printed, ...] = ()
    "What papers print for it, where the ledger is of a paper's rule."

    @property
    def remainder(self) -> int:
        """What no difference explains; 0 when the ledger closes."""
        return self.counted - self.exact - sum(amount for _, amount in self.differences)

    def as_fields(self) -> dict[str, Any]:
        """Plain numbers; a remainder that is not 0 is named `unexplained`."""
        rows = [{"name": name, "multi_adds": amount} for name, amount in self.differences]
        if self.remainder:
            rows.append({"name": "unexplained", "multi_adds": self.remainder})
        return {
            "exact": self.exact,
            "differences": rows,
            "counted": self.counted,
            "remainder": self.remainder,
            "printed": [printed.as_fields() for printed in self.printed],
        }


def reconcile(counter: str, counted: int, seen: Trace) -> Ledger:
    """The ledger of one tool's number over one trace."""
    amounts = ((difference.name, round(difference.amount(seen))) for difference in DIFFERENCES[counter])
    rows = tuple((name, amount) for name, amount in amounts if amount)
    return Ledger(counter=counter, exact=seen.multi_adds, differences=rows, counted=counted)


def ledgers(subject: Subject, tools: Mapping[str, Callable[[Subject], ToolCount]]) -> dict[str, Ledger]:
    """Run the tools and reconcile each with the exact count. Raises JobFailed."""
    seen = trace(subject)
    return {name: reconcile(name, tool(subject).multi_adds, seen) for name, tool in tools.items()}
