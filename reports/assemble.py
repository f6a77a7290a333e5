"""Specs, claims and records become one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reports.claims import Paper
from reports.compare import Verdict, VerdictKind, compare
from reports.evidence import Evidence
from reports.gallery import Gallery
from reports.ladder import Ladder
from reports.paper_tables import PaperView, paper_views
from reports.pareto import Figure, pareto_figure, pareto_front
from reports.row_recipes import RowRecipe, row_key, row_recipes, with_row
from reports.significance import Comparison, comparisons, uncompared
from reports.tables import CellKind, Table, results_table
from reports.three_ways import ThreeWaysTable, three_ways_tables
from reports.trained_here import bases, rows_of_bundled
from zoo.contract import ModelSpec, ReportedOnly
from zoo.facts import Failed, Measured, NotApplicable, Ok, Reported
from zoo.quantities import PSNR_Y

SCALES: Final = (4, 3, 2)
"""Order of the tables: x4 is where every paper compares."""
PREFERRED: Final = ("B100", "Set14", "Set5", "Urban100", "Manga109")
"""Data set of the figure, where several were measured equally often; the paper's Fig. 1 uses B100."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A printed number and what became of it."""

    paper: Paper
    claim: Reported
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a page shows, fixed: the same facts give the same report."""

    created_utc: str
    suite: str
    "Version and commit of the suite."
    tables: tuple[Table, ...]
    papers: tuple[PaperView, ...]
    "Every table of every paper as it is laid out there, printed and measured."
    three_ways: tuple[ThreeWaysTable, ...]
    "Multi-adds as printed, by each paper's own rule and by one rule for all."
    figures: tuple[Figure, ...]
    judgements: tuple[Judgement, ...]
    runs: tuple[Measured, ...]
    problems: tuple[str, ...]
    "Record files that could not be read."
    headline: str
    comparisons: tuple[Comparison, ...] = ()
    uncompared: tuple[str, ...] = ()
    "Sets of too many networks for that."
    "Which networks' differences are real, on every data set and scale."
    row_recipes: tuple[RowRecipe, ...] = ()
    "Which protocol gives most of each printed row."
    ladders: tuple[Ladder, ...] = ()
    "Proxy trainings of ablation rows."
    gallery: Gallery | None = None
    "Pictures, where they were asked for."

    @property
    def tally(self) -> Mapping[tuple[str, str], Counter[VerdictKind]]:
        """Verdicts by paper and table, in the paper's order."""
        counts: dict[tuple[str, str], Counter[VerdictKind]] = {}
        for judged in self.judgements:
            counts.setdefault((judged.paper.key, judged.claim.table), Counter())[judged.verdict.kind] += 1
        return counts

    @property
    def total(self) -> Counter[VerdictKind]:
        """Verdicts over all papers."""
        return Counter(judged.verdict.kind for judged in self.judgements)


def assemble(
    specs: Sequence[ModelSpec],
    claims: Mapping[str, Paper],
    records: Sequence[Measured],
    *,
    created_utc: str,
    suite: str,
    problems: Sequence[str] = (),
    ladders: Sequence[Ladder] = (),
) -> Report:
    """Judge every claim and lay out every table. Pure: stale records must be marked, the clock is an argument."""
    # One order of records, newest first, whatever order they were read in: the same facts give the same report.
    records = sorted(records, key=_age_and_name, reverse=True)
    specs = _in_order((*specs, *_known_by_records_only(specs, records), *rows_of_bundled(specs)))
    by_name = {spec.name: spec for spec in specs}
    evidence = Evidence(records, bases=bases(specs))
    rows = row_recipes(claims.values(), evidence, by_name)
    judgements = tuple(
        Judgement(
            paper=paper,
            claim=claim,
            verdict=with_row(
                compare(claim, evidence, table=paper.tables[claim.table], spec=by_name.get(claim.model)),
                rows.get(row_key(paper.key, claim)) if claim.dataset else None,
            ),
        )
        for paper in claims.values()
        for claim in paper.claims
        if claim.value is not None
    )
    verdicts = {(judged.paper.key, judged.claim): judged.verdict for judged in judgements}
    tables = tuple(
        results_table(specs=specs, evidence=evidence, papers=claims.values(), verdicts=verdicts, scale=scale)
        for scale in SCALES
    )
    figures = _figures(tables[0], claims)
    return Report(
        created_utc=created_utc,
        suite=suite,
        tables=tables,
        papers=paper_views(specs=specs, evidence=evidence, papers=claims.values(), verdicts=verdicts),
        three_ways=three_ways_tables(
            specs=specs, evidence=evidence, papers=claims.values(), verdicts=verdicts, scales=SCALES
        ),
        figures=figures,
        judgements=judgements,
        runs=tuple(records),
        problems=tuple(problems),
        headline=_headline(figures, judgements),
        comparisons=comparisons(evidence, specs, SCALES),
        uncompared=uncompared(evidence, SCALES),
        row_recipes=tuple(rows.values()),
        ladders=tuple(ladders),
    )


def _age_and_name(record: Measured) -> tuple[str, ...]:
    key = record.key
    return (record.provenance.created_utc, key.model, str(key.scale), key.task, key.protocol, str(key.dataset))


def _in_order(specs: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
    """Networks by year and name, each followed by its ablation rows."""
    by_name = {spec.name: spec for spec in specs}

    def place(spec: ModelSpec) -> tuple[int, str, bool]:
        full = by_name.get(spec.ablation_of or "", spec)
        return (full.paper.year if full.paper else 9999, full.display_name.lower(), full is not spec)

    return tuple(sorted(specs, key=place))


def _known_by_records_only(specs: Sequence[ModelSpec], records: Sequence[Measured]) -> tuple[ModelSpec, ...]:
    """Stand-ins for models that have records but no spec at hand, such as a network from a user's file."""
    known = {spec.name for spec in specs}
    scales: dict[str, set[int]] = {}
    for record in records:
        if record.key.model not in known:
            scales.setdefault(record.key.model, set()).add(record.key.scale)
    absent = ReportedOnly(reason="only its records are here.", would_change="Pass the file that defines it.")
    return tuple(
        ModelSpec(name=name, display_name=name, build=absent, scales=tuple(sorted(found)))
        for name, found in sorted(scales.items())
    )


def _figures(table: Table, claims: Mapping[str, Paper]) -> tuple[Figure, ...]:
    """The measured scatter on the data set measured most often, and the printed one of the paper's Fig. 1."""
    counts = _measured_by_dataset(table)
    chosen = sorted(counts, key=lambda name: (-counts[name], _preference(name), name))
    found = [pareto_figure(table, name, printed=False, source="measured") for name in chosen[:1]]
    citations = "; ".join(paper.citation for paper in claims.values())
    printed_on = chosen[0] if chosen and chosen[0] in PREFERRED else PREFERRED[0]
    found.append(pareto_figure(table, printed_on, printed=True, source=citations))
    return tuple(figure for figure in found if figure is not None)


def _measured_by_dataset(table: Table) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in table.rows:
        for column, slot in zip(table.columns, row.slots, strict=True):
            if column.dataset and column.metric is PSNR_Y and column.rule.compares:
                counts[column.dataset] += slot.measured.kind is CellKind.MEASURED and not row.ablation
    return +counts


def _preference(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def _headline(figures: Sequence[Figure], judgements: Sequence[Judgement]) -> str:
    """The measured Pareto front, and what became of the printed numbers; `commands` stand between backquotes."""
    total = Counter(judged.verdict.kind for judged in judgements)
    verdicts = (
        f"Of {len(judgements)} printed numbers {total[VerdictKind.REPRODUCED]} are reproduced to the printed digits, "
        f"{total[VerdictKind.EXPLAINED]} explained by a named rule and {total[VerdictKind.CONTRADICTED]} contradicted; "
        f"{total[VerdictKind.NOT_MEASURED]} are not measured yet."
    )
    measured = next((figure for figure in figures if not figure.printed), None)
    if measured is None:
        return (
            f"{verdicts} No two networks have a measured quality: fetch checkpoints with "
            f"`esr weights pull MODEL`, then run `esr bench MODEL --tasks quality --data Set5`."
        )
    front = pareto_front(measured.networks)
    listed = ", ".join(f"{p.label} ({p.psnr_y_db:.2f}\u00a0dB at {p.multi_adds / 1e9:.1f}\u00a0G)" for p in front)
    return (
        f"On {measured.dataset} ×{measured.scale}, {len(front)} of {len(measured.networks)} measured networks are on "
        f"the Pareto front of PSNR against multi-adds: {listed}. {verdicts}"
    )


def outcome_counts(runs: Sequence[Measured]) -> dict[str, int]:
    """Runs by what came of them; stale ones are counted as stale only."""
    current = [run for run in runs if not run.stale]
    return {
        "finished": sum(isinstance(run.outcome, Ok) for run in current),
        "failed": sum(isinstance(run.outcome, Failed) for run in current),
        "not applicable": sum(isinstance(run.outcome, NotApplicable) for run in current),
        "stale": len(runs) - len(current),
    }
