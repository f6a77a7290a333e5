"""`esr train --ladder`: the rows of ablation tables under one small budget, as a proxy."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from runner.cli.output import emit, progress, talk
from runner.cli.train_checks import Opener, require_data, require_fit

if TYPE_CHECKING:
    from reports.ladder import Ladder
    from runner.recipes import Recipe
    from runner.training_run import Pace

BASE = "ladder_x4"
COLUMNS = {
    "table": "table",
    "row": "row",
    "model": "model",
    "dataset": "data",
    "psnr_y_db": "PSNR-Y dB",
    "seeds_range": "over seeds",
    "gap": "to the full network",
    "printed": "printed",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A ladder as the user asked for it."""

    tables: tuple[str, ...]
    seeds: tuple[int, ...]
    recipe: str | None
    data: Sequence[str] | None
    out: Path
    iterations: int | None
    budget_s: float | None
    validate: Sequence[str]
    folders: Sequence[Path]


def climb(asked: Asked, open_images: Opener, pace: Pace, *, as_json: bool) -> None:
    """Train, measure, print. Raises BadInput."""
    from reports.claims import load_papers
    from reports.ladder import FULL, PAPER, table_rows
    from runner.datasets import open_dataset
    from runner.ladder import RESULT
    from runner.ladder import climb as run
    from runner.ladder import rungs as rungs_of
    from runner.recipes import load_stages

    (base,) = load_stages(asked.recipe or BASE)
    if asked.data:
        base = base.model_copy(update={"data": tuple(asked.data)})
    require_data([base])
    models = [model for _table, _row, model in table_rows(load_papers()[PAPER], asked.tables)]
    # The network that every row is compared with comes first: nothing can be said without it.
    rungs = rungs_of(base, [FULL, *models], asked.seeds)
    for rung in rungs:
        require_fit(rung)
    datasets = [open_dataset(name, base.scale, folders=tuple(asked.folders)) for name in asked.validate]
    with progress() as bar:
        task = bar.add_task("decoding")
        images = open_images(base, lambda done, total: bar.update(task, completed=done, total=total))
        iterations = _iterations(asked, rungs, images, pace)
        rungs = [rung.scaled_to(iterations) for rung in rungs]
        talk(
            f"{len(rungs)} trainings of {iterations:,} iterations, {base.batch} patches of {base.lr_patch_px} px each: "
            f"a proxy for {', '.join(asked.tables)}, not a check of them"
        )
        bar.reset(task, total=len(rungs))

        def show(index: int, rung: Recipe) -> None:
            bar.update(task, completed=index, description=escape(rung.name))
            if bar.disable:
                talk(escape(f"{index + 1}/{len(rungs)} {rung.name}"))

        ladder = run(rungs, images, datasets, asked.out, tables=asked.tables, pace=pace, on_run=show)
    emit(_rows(ladder, as_json=as_json), as_json=as_json, columns=COLUMNS)
    talk(f"wrote {escape(str(asked.out / RESULT))}; intervals are over {len(asked.seeds)} seeds only")


def _iterations(asked: Asked, rungs: Sequence[Recipe], images: Any, pace: Pace) -> int:
    """As asked for, as an earlier call decided, as many as the budget allows, or the recipe's."""
    from runner.ladder import affordable
    from runner.training_run import STAGES_FILE, begun

    if asked.iterations:
        return asked.iterations
    first = asked.out / f"{rungs[0].model}-seed{rungs[0].seed}"
    if (first / STAGES_FILE).exists():
        return begun(first)[0].iterations
    if asked.budget_s is None:
        return rungs[0].iterations
    with tempfile.TemporaryDirectory() as folder:
        return affordable(rungs, images, asked.budget_s, Path(folder), pace)


def _rows(ladder: Ladder, *, as_json: bool) -> list[dict[str, Any]]:
    from reports.claims import load_papers
    from reports.ladder import ladder_rows, printed_text

    found = []
    for row in ladder_rows(ladder, load_papers()):
        for cell in row.cells:
            interval = "" if cell.gap_low_db is None else f" [{cell.gap_low_db:+.2f}, {cell.gap_high_db:+.2f}]"
            shown = {
                "seeds_range": f"{cell.low_db:.2f} to {cell.high_db:.2f}",
                "gap": f"{cell.gap_db:+.2f}{interval}",
            }
            found.append(
                {
                    "table": row.table,
                    "row": row.row,
                    "model": row.model,
                    "dataset": cell.dataset,
                    "psnr_y_db": cell.mean_db,
                    "low_db": cell.low_db,
                    "high_db": cell.high_db,
                    "gap_db": cell.gap_db,
                    "gap_low_db": cell.gap_low_db,
                    "gap_high_db": cell.gap_high_db,
                    "printed": printed_text(cell),
                    "iterations": ladder.iterations,
                    "batch": ladder.batch,
                    "seeds": list(ladder.seeds),
                    "proxy": True,
                    **({} if as_json else shown),
                }
            )
    return found
