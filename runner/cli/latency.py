"""`esr latency`: how long a forward pass takes here, and how networks or their forms compare."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape

from runner.cli.latency_rows import COLUMNS, COMPARED, PER_IMAGE, cells, columns_of, row_of, wrong
from runner.cli.options import DataDir, Json, Models, Scale, Weights, WeightsDir, parse_size
from runner.cli.output import emit, progress, talk
from runner.timing_terms import DTYPES, MEMORY_FORMATS, require_terms
from zoo.catalogue import find
from zoo.contract import BadInput, InputTooSmall, NotHere
from zoo.facts import Failed, NotApplicable, Ok, Outcome
from zoo.protocols import HR_720P, Form

if TYPE_CHECKING:
    from runner.plan import Job

E = TypeVar("E", bound=Enum)

Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads of an operation; default: one per physical core.")
]
MaxSeconds = Annotated[
    float,
    typer.Option("--max-seconds", min=0.01, help="Time cap of one model's warm-up (its first run apart) and sampling."),
]
Forms = Annotated[str, typer.Option("--form", help=f"{', '.join(form.value for form in Form)}; several with commas.")]
Dtypes = Annotated[str, typer.Option("--dtype", help=f"{', '.join(DTYPES)}; several with commas.")]
MemoryFormats = Annotated[
    str, typer.Option("--memory-format", help=f"{', '.join(MEMORY_FORMATS)}; several with commas.")
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Images in one pass.")]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    example = "Example: esr latency agdn_s --scale 4 --threads 2, or: esr latency agdn --form plain,fast --compare"
    app.command("latency", epilog=example)(latency)


def latency(
    models: Models,
    scale: Scale = 4,
    device: Device = "cpu",
    form: Forms = "plain",
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Time all in turns (A B B A) in one process; ratios to the first."),
    ] = False,
    lr: Annotated[str | None, typer.Option("--lr", help="LR size HEIGHTxWIDTH; default: --hr over the scale.")] = None,
    hr: Annotated[str, typer.Option("--hr", help="HR size HEIGHTxWIDTH, divided by the scale.")] = str(HR_720P),
    batch: Batch = 1,
    dtype: Dtypes = "float32",
    memory_format: MemoryFormats = "contiguous",
    threads: Threads = None,
    max_seconds: MaxSeconds = 20.0,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, help="Seconds after which a hanging network is stopped. Default: ample."),
    ] = None,
    per_image: Annotated[
        bool, typer.Option("--per-image", help="Each image of --data once at its size, cold, as NTIRE times.")
    ] = False,
    data: Annotated[
        str, typer.Option("--data", help="Images for --per-image and for the output's PSNR: a name or a folder.")
    ] = "sample",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Measure the output's PSNR in the timed configuration.")
    ] = True,
    weights: Weights = "auto",
    data_dir: DataDir = None,
    weights_dir: WeightsDir = None,
    as_json: Json = False,
) -> None:
    """Time networks, each in a fresh process: median, p10, p90, raw samples, peak memory, noise of the machine.

    Beside each time stands the PSNR of the same network in the same form, dtype and memory format. Nothing is stored
    (`esr bench` keeps records). Exit 1 if a network failed, or its output holds NaN or infinity.
    """
    require_device(device)
    if per_image and compare:
        raise BadInput("--per-image times a cold process and --compare a warm one. Pass one of them.")
    jobs = _jobs(
        models,
        scale,
        forms=several(Form, form, "--form"),
        dtypes=words(DTYPES, dtype, "--dtype"),
        formats=words(MEMORY_FORMATS, memory_format, "--memory-format"),
        common={
            "lr": parse_size(lr) if lr else None,
            "hr": parse_size(hr),
            "device": device,
            "batch": batch,
            **({"threads": threads} if threads else {}),
        },
        selection={
            "max_seconds": max_seconds,
            "timeout_s": timeout,
            "weights": weights,
            "check_on": data,
            "data_folders": tuple(data_dir or ()),
            "weights_folders": tuple(weights_dir or ()),
        },
    )
    jobs = tuple(_as_asked(job, per_image=per_image, check=check) for job in jobs)
    rows, failed = _compare(jobs) if compare else _measure(jobs)
    if as_json or rows:
        shown = columns_of(rows, COMPARED if compare else PER_IMAGE if per_image else COLUMNS)
        emit(rows if as_json else [cells(row) for row in rows], as_json=as_json, columns=shown)
    _remarks(rows)
    if failed or any(wrong(row) for row in rows):
        raise typer.Exit(1)


def several(kind: type[E], text: str, option: str) -> tuple[E, ...]:
    """The members of an enumeration that a list with commas names. Raises BadInput with the words there are."""
    return tuple(kind(word) for word in words(tuple(str(member.value) for member in kind), text, option))


def words(allowed: tuple[str, ...], text: str, option: str, *, most: int | None = None) -> tuple[str, ...]:
    """The words of a list with commas, each once. Raises BadInput unless all are allowed, and not more than `most`."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if most is not None and len(found) > most:
        raise BadInput(f"{option} {text} is more than one. Expected one of: {', '.join(allowed)}.")
    if (bad := next((word for word in found if word not in allowed), None)) is not None:
        several = "" if most == 1 else "; several with commas"
        raise BadInput(f"{option} has no {bad!r}. Expected one of: {', '.join(allowed)}{several}.")
    return found


def _jobs(
    models: list[str],
    scale: int,
    *,
    forms: tuple[Form, ...],
    dtypes: tuple[str, ...],
    formats: tuple[str, ...],
    common: dict[str, Any],
    selection: dict[str, Any],
) -> tuple[Job, ...]:
    """One job for each model in each configuration, models in the order given."""
    from runner.plan import Policy, Protocols, Selection, Task, expand
    from runner.store import Store

    jobs: list[Job] = []
    # A model named twice is timed twice: its ratio to itself shows what a ratio is worth here.
    for model, form, dtype, memory_format in product(models, forms, dtypes, formats):
        protocols = Protocols(form=form, dtype=dtype, memory_format=memory_format, **common)
        chosen = Selection(models=(model,), scales=(scale,), tasks=(Task.LATENCY,), protocols=protocols, **selection)
        jobs += expand(chosen, Store(Path()), Policy.ALWAYS).jobs
    for job in jobs:
        _require_runnable(job)
    return tuple(jobs)


def _as_asked(job: Job, *, per_image: bool, check: bool) -> Job:
    from zoo.protocols import TimingProtocol

    assert isinstance(job.protocol, TimingProtocol)
    protocol = replace(job.protocol, per_image=per_image)
    require_terms(protocol)
    dataset = job.dataset if check or per_image else None
    return replace(job, protocol=protocol, dataset=dataset, key=replace(job.key, protocol=protocol.id), check=check)


def require_device(device: str) -> None:
    """Raise BadInput for a word that is no device, NotHere for one that this machine lacks."""
    if device not in ("cpu", "cuda"):
        raise BadInput(f"{device!r} is no device. Pass --device cpu or --device cuda.")
    if device == "cpu":
        return
    from runner import machine

    if machine.gpu_name() is None:
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


def _measure(jobs: tuple[Job, ...]) -> tuple[list[dict[str, Any]], bool]:
    """Rows of the jobs that have numbers, and whether some have none."""
    from runner.execute import measure

    rows = []
    with progress() as bar:
        task = bar.add_task("latency", total=len(jobs))
        for job in jobs:
            bar.update(task, description=escape(f"{job.label} {job.key.protocol}"))
            record = measure(job)
            bar.advance(task)
            if isinstance(record.outcome, Ok):
                rows.append(row_of(job, record.outcome.values))
            else:
                bar.console.print(f"[bold red]error:[/] {escape(job.label)}: {escape(explain(record.outcome))}")
    return rows, len(rows) < len(jobs)


def _compare(jobs: tuple[Job, ...]) -> tuple[list[dict[str, Any]], bool]:
    from runner.execute import compare

    if len(jobs) < 2:
        raise BadInput(
            "--compare needs two networks or more, or several forms, dtypes or memory formats of one: "
            "esr latency agdn --form plain,fast --compare."
        )
    seconds = sum(job.max_seconds for job in jobs)
    talk(f"timing {len(jobs)} in turns: about {seconds:.0f} s, and what building and checking them takes")
    outcome: Outcome = compare(jobs)
    if not isinstance(outcome, Ok):
        talk(f"[bold red]error:[/] {escape(explain(outcome))}")
        return [], True
    return [row_of(job, values) for job, values in zip(jobs, outcome.values["sides"], strict=True)], False


def _remarks(rows: list[dict[str, Any]]) -> None:
    """What must be known of the rows, on stderr."""
    for row in rows:
        if row["noise"]:
            talk(f"[yellow]noise:[/] {_name(row)}: {escape('; '.join(row['noise']))}")
        if flags := row.get("check", {}).get("flags"):
            talk(f"[bold red]output:[/] {_name(row)}: {escape('; '.join(flags))}")
    if untrained := dict.fromkeys(escape(row["model"]) for row in rows if row["weights"] == "random"):
        talk(f"random weights (no checkpoint is here, or none was wanted), so no PSNR: {', '.join(untrained)}")
    for row in rows[1:]:
        if "ratio" in row:
            low, high = row["ratio_interval"]
            talk(
                f"{_name(row)} takes {row['ratio']:.3f} [{low:.3f}, {high:.3f}] times as long as {_name(rows[0])}: "
                f"{1 / row['ratio']:.2f}x as fast"
            )


def _name(row: dict[str, Any]) -> str:
    """Model and what is unusual of its configuration."""
    unusual = [row[key] for key, usual in (("dtype", "float32"), ("memory_format", "contiguous")) if row[key] != usual]
    return escape(" ".join((row["model"], row["form"], *unusual)))


def explain(outcome: Outcome) -> str:
    """Why a run has no numbers, and what would change that."""
    if isinstance(outcome, Failed):
        return f"{outcome.kind}: {outcome.message}"
    return f"{outcome.reason} {outcome.remedy}" if isinstance(outcome, NotApplicable) else ""
