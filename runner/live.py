"""What a report measures at once: every network's cost, the speed of all on this machine, quality where it can run.

Jobs are ordered so that a short budget is spent on what most readers need first. What does not fit stays unmeasured,
and the next call goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from reports.claims import Paper
from reports.columns import LIVE_LR
from runner.execute import Event, run
from runner.plan import Job, Protocols, Selection, Task, expand
from runner.store import Store
from zoo.contract import ModelSpec
from zoo.facts import Measured
from zoo.weights import WeightsStore

SCALES: Final = (4, 3, 2)
"""x4 first: where every network is."""
SHORT: Final = ("exact", "thop")
"""Counters of the first pass: ours, and the one most papers use. The others follow when everything else is done."""
SAMPLE: Final = "sample"
"""The data set that ships with the suite."""
LATENCY_SECONDS: Final = 1.0
"""Sampling cap of one latency: a report wants all networks in minutes; `esr bench` takes its time."""


def live_jobs(
    specs: Sequence[ModelSpec], papers: Iterable[Paper], store: Store, *, weights: WeightsStore
) -> tuple[Job, ...]:
    """The jobs that the store does not hold yet, most wanted first.

    Cost by two counters, interpolation, the weights that ship, speed, the quality of networks whose weights
    are here, cost by all counters.
    """
    runnable = [spec for spec in specs if spec.runnable]
    fixed = [spec for spec in runnable if not spec.learned]
    ready = [spec for spec in runnable if spec.learned and _has_weights(spec, weights)]
    by_all = _planned(_each_scale(runnable, Task.COMPLEXITY), store)
    # Where a count by all counters is held, the short one would say nothing new.
    uncounted = {(job.key.model, job.key.scale) for job in by_all}
    short = _planned(_each_scale(runnable, Task.COMPLEXITY, Protocols(counters=SHORT)), store)
    jobs = (
        *(job for job in short if (job.key.model, job.key.scale) in uncounted),
        *_planned(_at_sizes_of(papers, runnable), store),
        *_planned(_each_scale(fixed, Task.QUALITY), store),
        *_planned(_bundled(runnable), store),
        *_planned(_latency(runnable), store),
        *_planned(_each_scale(ready, Task.QUALITY), store),
        *by_all,
    )
    return tuple({job.key: job for job in jobs}.values())


def _planned(selections: Iterable[Selection], store: Store) -> list[Job]:
    return [job for selection in selections for job in expand(selection, store).jobs]


def _each_scale(specs: Sequence[ModelSpec], task: Task, protocols: Protocols | None = None) -> Iterator[Selection]:
    """One selection per scale, so that x4 of every network comes before x3 of any."""
    for scale in SCALES:
        models = tuple(spec.name for spec in specs if scale in spec.scales)
        if models:
            yield Selection(
                models=models,
                scales=(scale,),
                tasks=(task,),
                datasets=(SAMPLE,),
                protocols=protocols or Protocols(),
            )


def _bundled(specs: Sequence[ModelSpec]) -> Iterator[Selection]:
    """Quality of the weights that ship with the suite, wherever official ones are."""
    for spec in specs:
        for scale in spec.bundled:
            yield Selection(
                models=(spec.name,), scales=(scale,), tasks=(Task.QUALITY,), datasets=(SAMPLE,), weights="bundled"
            )


def _at_sizes_of(papers: Iterable[Paper], specs: Sequence[ModelSpec]) -> Iterator[Selection]:
    """Counts at the sizes of papers' tables that do not count at 1280x720, by the tool of the table."""
    by_name = {spec.name: spec for spec in specs}
    for paper in papers:
        for table in paper.tables.values():
            if table.lr is None:
                continue
            places = {(c.model, c.scale) for c in paper.claims if c.table == table.key and c.model in by_name}
            for model, scale in sorted(places):
                if scale in by_name[model].scales:
                    protocols = Protocols(lr=table.lr, counters=("exact", table.counter))
                    yield Selection(models=(model,), scales=(scale,), tasks=(Task.COMPLEXITY,), protocols=protocols)


def _latency(specs: Sequence[ModelSpec]) -> Iterator[Selection]:
    """x4 on the CPU, full networks before ablation rows."""
    for ablation in (False, True):
        models = tuple(s.name for s in specs if (s.ablation_of is not None) == ablation and SCALES[0] in s.scales)
        if models:
            yield Selection(
                models=models,
                scales=SCALES[:1],
                tasks=(Task.LATENCY,),
                protocols=Protocols(timed_lr=LIVE_LR),
                max_seconds=LATENCY_SECONDS,
            )


def _has_weights(spec: ModelSpec, weights: WeightsStore) -> bool:
    """Whether a checkpoint is on this machine at any scale; a scale without becomes a NotApplicable with its remedy."""
    return bool(spec.bundled) or any(weights.locate(declared) is not None for declared in spec.weights.values())


def run_within(
    jobs: Sequence[Job], store: Store, on_event: Callable[[Event], None], *, budget_s: float
) -> tuple[Measured, ...]:
    """Run jobs in order until the budget is spent; the one at work is finished. Records are stored as they come."""
    deadline = time.monotonic() + budget_s
    records = []
    if jobs and budget_s > 0:
        for record in run(jobs, store, on_event):
            records.append(record)
            if time.monotonic() > deadline:
                break
    return tuple(records)
