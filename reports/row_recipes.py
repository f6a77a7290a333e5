"""Which single protocol gives most of a printed row: one cell may be met by chance, a row hardly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reports.claims import Paper
from reports.compare import Verdict, VerdictKind, equals_printed, protocol_words, quality_values
from reports.evidence import QUALITY, Evidence, quality_protocol
from zoo.contract import ModelSpec
from zoo.facts import Reported
from zoo.quantities import PSNR_Y, SSIM_Y

RowKey = tuple[str, str, str, str, int]
"""Paper, table, row, model and scale."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """How much of a printed row one protocol gives."""

    protocol: str
    words: str
    "What differs from the default protocol."
    given: int
    "Numbers of the row that it gives to the printed digits."
    measured: int
    "Numbers of the row that were measured by it."


@dataclass(frozen=True, kw_only=True)
class RowRecipe:
    """The protocols of which records say something about a printed row."""

    paper: Paper
    table: str
    row: str
    model: str
    scale: int
    printed: int
    "Quality numbers that the row prints."
    protocols: tuple[Given, ...]
    "Those that give most first; of equals the one that misses fewer, then the default."

    @property
    def best(self) -> Given:
        """The protocol that gives most of the row."""
        return self.protocols[0]

    @property
    def whole(self) -> bool:
        """True where one protocol gives every number of the row that was measured by any."""
        return self.best.given == max(given.measured for given in self.protocols)


def row_key(paper: str, claim: Reported) -> RowKey:
    """The row in which a number stands."""
    return paper, claim.table, claim.row, claim.model, claim.scale


def row_recipes(papers: Iterable[Paper], evidence: Evidence, specs: Mapping[str, ModelSpec]) -> dict[RowKey, RowRecipe]:
    """Every printed row with quality numbers of which some were measured with the authors' weights."""
    rows: dict[RowKey, list[tuple[Paper, Reported]]] = {}
    for paper in papers:
        for claim in paper.claims:
            if claim.value is not None and claim.metric in (PSNR_Y.name, SSIM_Y.name):
                rows.setdefault(row_key(paper.key, claim), []).append((paper, claim))
    found = {key: _recipe(claims, evidence, specs.get(key[3])) for key, claims in rows.items()}
    return {key: recipe for key, recipe in found.items() if recipe is not None}


def _recipe(claims: list[tuple[Paper, Reported]], evidence: Evidence, spec: ModelSpec | None) -> RowRecipe | None:
    paper, first = claims[0]
    default = quality_protocol(spec, first.scale)
    runs = [run for run in evidence.runs(first.model, first.scale, QUALITY) if not run.stale]
    tally: dict[str, list[bool]] = {}
    for _paper, claim in claims:
        seen = set()
        for run, value in quality_values((r for r in runs if r.key.dataset == claim.dataset), claim.metric):
            # Best first: an older record of the same question adds nothing.
            if run.key.protocol not in seen:
                seen.add(run.key.protocol)
                tally.setdefault(run.key.protocol, []).append(equals_printed(claim, value))
    if not tally:
        return None
    protocols = [
        Given(
            protocol=protocol,
            words="the default protocol" if protocol == default else protocol_words(protocol, default),
            given=sum(hits),
            measured=len(hits),
        )
        for protocol, hits in tally.items()
    ]
    protocols.sort(key=lambda g: (-g.given, g.measured - g.given, g.protocol != default, g.protocol))
    return RowRecipe(
        paper=paper,
        table=first.table,
        row=first.row,
        model=first.model,
        scale=first.scale,
        printed=len(claims),
        protocols=tuple(protocols),
    )


def with_row(verdict: Verdict, recipe: RowRecipe | None) -> Verdict:
    """An explained quality number with what the protocol that explains it does for the rest of the row."""
    if recipe is None or verdict.kind is not VerdictKind.EXPLAINED or not verdict.runs:
        return verdict
    by = next((given for given in recipe.protocols if given.protocol == verdict.runs[-1].key.protocol), None)
    if by is None:
        return verdict
    return replace(verdict, cause=f"{verdict.cause}; it gives {by.given} of the row's {by.measured} measured by it")
