"""Figures that `esr report` makes when asked: two networks image by image, and counts at several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from runner.cli.output import progress, talk
from runner.cli.quality import runnable
from zoo.facts import Measured, Ok

if TYPE_CHECKING:
    from reports.assemble import Report
    from runner.store import Store


def difference_files(
    page: Report, pair: tuple[str, str], *, scale: int, dataset: str | None, out: Path
) -> dict[Path, bytes]:
    """SVG and PDF of the differences of two networks over images, by path. Raises BadInput."""
    from reports.figures_differences import chosen_set, draw_difference
    from reports.interactive import image_sets

    images, first, second = chosen_set(list(image_sets(page.tables)), *pair, scale=scale, dataset=dataset)
    stem = "".join(c if c.isalnum() else "_" for c in f"difference {first} {second} {images.group} x{scale}")
    return {
        out / "figures" / f"{stem}.{kind}": draw_difference(images, first, second, file_format=kind)
        for kind in ("svg", "pdf")
    }


def count_sizes(names: Sequence[str], *, scale: int, store: Store, known: Sequence[Measured]) -> None:
    """Count networks exactly at the sizes of a sweep, as records of the store; sizes that are known are left out."""
    from runner.cli.bench import follow
    from runner.execute import run
    from runner.plan import Protocols, Selection, Task, expand
    from runner.tasks.complexity import SWEEP_LR

    for name in names:
        runnable(name, scale)
    held = {
        (record.key.model, record.key.protocol.partition("-")[0])
        for record in known
        if record.key.task == Task.COMPLEXITY.value and record.key.scale == scale and isinstance(record.outcome, Ok)
    }
    jobs = [
        job
        for lr in SWEEP_LR
        for job in expand(
            Selection(
                models=tuple(names),
                scales=(scale,),
                tasks=(Task.COMPLEXITY,),
                protocols=Protocols(lr=lr, counters=("exact",)),
            ),
            store,
        ).jobs
        # A record with the counts of every tool stands in the tables; a newer one without them would take its place.
        if (job.key.model, f"lr{lr}") not in held
    ]
    with progress() as bar:
        task = bar.add_task("", total=len(jobs))
        done = sum(1 for _record in run(jobs, store, lambda event: follow(bar, task, event)))
    talk(f"counted {escape(', '.join(names))} at {len(SWEEP_LR)} sizes: {done} new records")
