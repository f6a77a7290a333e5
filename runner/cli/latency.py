"""`esr latency`: how long a forward pass takes here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import Json, Models, Scale, parse_size
from runner.cli.output import emit, progress, talk
from zoo.catalogue import find
from zoo.contract import BadInput, InputTooSmall, NotHere
from zoo.facts import Failed, Measured, NotApplicable, Ok
from zoo.protocols import Form

if TYPE_CHECKING:
    from runner.plan import Job

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "lr": "LR",
    "median_ms": "median ms",
    "p10_ms": "p10",
    "p90_ms": "p90",
    "interval": "±",
    "samples": "samples",
    "peak_mib": "peak MiB",
    "device": "device",
    "threads": "threads",
    "form": "form",
    "noise": "noise",
}

Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads of an operation; default: one per physical core.")
]
MaxSeconds = Annotated[
    float, typer.Option("--max-seconds", min=0.01, help="Time cap of one model's warm-up and sampling together.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("latency", epilog="Example: esr latency agdn_s --scale 4 --threads 2")(latency)


def latency(
    models: Models,
    scale: Scale = 4,
    device: Device = "cpu",
    form: Annotated[Form, typer.Option("--form", help="The network as written, or its fast form.")] = Form.PLAIN,
    lr: Annotated[
        str | None, typer.Option("--lr", help="LR size HEIGHTxWIDTH; default: 720x1280 divided by the scale.")
    ] = None,
    threads: Threads = None,
    max_seconds: MaxSeconds = 20.0,
    as_json: Json = False,
) -> None:
    """Time networks, each in a fresh process: median, p10, p90, raw samples, peak memory, noise of the machine.

    Nothing is stored; `esr bench` keeps records.
    """
    jobs = _jobs(models, scale, device=device, form=form, lr=lr, threads=threads, max_seconds=max_seconds)
    records = _measure(jobs)
    values = [_row(record) for record in records if isinstance(record.outcome, Ok)]
    if as_json or values:
        emit(values if as_json else [_cells(row) for row in values], as_json=as_json, columns=COLUMNS)
    for row in values:
        if row["noise"]:
            talk(f"[yellow]noise:[/] {escape(row['model'])}: {escape('; '.join(row['noise']))}")
    if len(values) < len(records):
        raise typer.Exit(1)


def _jobs(
    models: list[str],
    scale: int,
    *,
    device: str,
    form: Form,
    lr: str | None,
    threads: int | None,
    max_seconds: float,
) -> tuple[Job, ...]:
    from runner import machine
    from runner.plan import Policy, Protocols, Selection, Task, expand
    from runner.store import Store

    require_device(device)
    protocols = Protocols(
        lr=parse_size(lr) if lr else None, device=device, form=form, threads=threads or machine.default_threads()
    )
    selection = Selection(
        models=tuple(models), scales=(scale,), tasks=(Task.LATENCY,), protocols=protocols, max_seconds=max_seconds
    )
    jobs = expand(selection, Store(Path()), Policy.ALWAYS).jobs
    for job in jobs:
        _require_runnable(job)
    return jobs


def require_device(device: str) -> None:
    """Raise BadInput for a word that is no device, NotHere for one that this machine lacks."""
    from runner import machine

    if device not in ("cpu", "cuda"):
        raise BadInput(f"{device!r} is no device. Pass --device cpu or --device cuda.")
    if device == "cuda" and machine.gpu_name() is None:
        raise NotHere(
            "This machine has no CUDA device that torch can use.",
            remedy="Run it where there is one, or pass --device cpu.",
        )


def _require_runnable(job: Job) -> None:
    """Raise NotRunnable for a reported-only model, InputTooSmall for a size below its minimum."""
    from zoo.protocols import TimingProtocol

    spec = find(job.reference)
    if not spec.runnable:
        spec.network(job.key.scale)
    if isinstance(job.protocol, TimingProtocol) and min(job.protocol.lr) < spec.min_side_px:
        raise InputTooSmall(
            f"{spec.name} x{job.key.scale} needs LR sides of at least {spec.min_side_px} px, got {job.protocol.lr}. "
            f"Pass a larger --lr."
        )


def _measure(jobs: tuple[Job, ...]) -> list[Measured]:
    from runner.execute import measure

    records = []
    with progress() as bar:
        task = bar.add_task("latency", total=len(jobs))
        for job in jobs:
            bar.update(task, description=escape(job.label))
            record = measure(job)
            records.append(record)
            bar.advance(task)
            if isinstance(record.outcome, (Failed, NotApplicable)):
                bar.console.print(f"[bold red]error:[/] {escape(job.label)}: {escape(explain(record.outcome))}")
    return records


def explain(outcome: Failed | NotApplicable) -> str:
    """Why a run has no numbers, and what would change that."""
    if isinstance(outcome, Failed):
        return f"{outcome.kind}: {outcome.message}"
    return f"{outcome.reason} {outcome.remedy}"


def _row(record: Measured) -> dict[str, Any]:
    return {"model": record.key.model, "scale": record.key.scale, **record.values}


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the table shows it: the same numbers, shorter."""
    shown = {
        "interval": f"{100 * row['relative_interval']:.1f} %",
        "samples": len(row["samples_ms"]),
        "peak_mib": round(row["peak_memory_bytes"] / 2**20, 1),
        "noise": "yes" if row["noise"] else "no",
    }
    return row | {key: round(row[key], 2) for key in ("median_ms", "p10_ms", "p90_ms")} | shown
