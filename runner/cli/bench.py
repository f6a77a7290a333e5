"""`esr bench`: everything about the selected networks, kept as records, going on where the last run ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from runner.cli.latency import (
    Batch,
    Device,
    MaxSeconds,
    Threads,
    explain,
    require_device,
    words,
)
from runner.cli.options import (
    MODELS_OWN,
    DataDir,
    Json,
    WeightsDir,
    parse_size,
    takes_protocol,
)
from runner.cli.output import emit, progress, talk
from runner.protocol_choice import ProtocolChoice
from runner.timing_terms import DTYPES, MEMORY_FORMATS, require_terms
from zoo.catalogue import catalogue, find
from zoo.contract import BadInput, NotHere
from zoo.facts import Failed, Measured, Ok, Outcome, RunKey
from zoo.protocols import Form, TimingProtocol

if TYPE_CHECKING:
    from runner.execute import Event, Executor
    from runner.plan import Job, Plan, Task
    from runner.store import Store

E = TypeVar("E", bound=Enum)
TASKS = ("complexity", "latency", "quality")

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "task": "task",
    "dataset": "data",
    "status": "status",
    "result": "result",
}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("bench", epilog="Example: esr bench agdn agdn_s --scale 4 --data sample")(bench)


@takes_protocol
def bench(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL...]", help="Zoo name or my_net.py:MyNet.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every network of the zoo but the ablation rows, which are named one by one.")
    ] = False,
    scale: Annotated[
        list[str] | None, typer.Option("--scale", "-s", help="2, or 2,3,4; repeatable. Default: 4.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="Name or folder; repeatable. Default: sample.")
    ] = None,
    tasks: Annotated[str, typer.Option("--tasks", help="Any of these, with commas.")] = "complexity,latency,quality",
    policy: Annotated[str, typer.Option("--policy", help="missing, failed, always or cached-only.")] = "missing",
    store: Annotated[Path, typer.Option("--store", help="Folder of the records.")] = Path("results"),
    weights: Annotated[
        str, typer.Option("--weights", help="auto (official, else bundled), official, bundled, none, or a file.")
    ] = "auto",
    lr: Annotated[
        str | None, typer.Option("--lr", help="LR size of complexity and latency; default: 720x1280 over the scale.")
    ] = None,
    latency_lr: Annotated[str | None, typer.Option("--latency-lr", help="LR size of latency alone.")] = None,
    choice: ProtocolChoice = MODELS_OWN,
    device: Device = "cpu",
    form: Annotated[Form, typer.Option("--form", help="Form in which latency is taken.")] = Form.PLAIN,
    dtype: Annotated[str, typer.Option("--dtype", help=f"Of latency: {', '.join(DTYPES)}.")] = "float32",
    memory_format: Annotated[
        str, typer.Option("--memory-format", help=f"Of latency: {', '.join(MEMORY_FORMATS)}.")
    ] = "contiguous",
    batch: Batch = 1,
    threads: Threads = None,
    max_seconds: MaxSeconds = 20.0,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            help="local, or ray (pip install 'esr-bench\\[ray]'): the nodes of a Ray cluster. They need the suite, and "
            "weights, data and files of yours at the same paths; where one is missing the job is not applicable.",
        ),
    ] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Jobs run at once; default: 1 here, one per node on Ray. A latency never runs beside another job.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="HOST:PORT of the Ray cluster's head, or auto; then RAY_ADDRESS, else a Ray of its own here.",
        ),
    ] = None,
    weights_dir: WeightsDir = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure complexity, latency and quality, and keep each result as a record.

    Records that are there are not made again, so an interrupted run goes on where it ended. Exit 1 if a job failed.
    """
    from runner.executors import Where, opened
    from runner.plan import Policy, Protocols, Selection, expand
    from runner.store import Store

    if bool(models) == everything:
        raise BadInput("Name the networks to measure, or pass --all; not both.")
    where = _one_of(Where, executor, "--executor")
    # On a cluster the devices of its nodes count.
    with suppress(NotHere) if where is Where.RAY else nullcontext():
        require_device(device)
    scales = _numbers(scale or ["4"])
    chosen = _one_of(Policy, policy, "--policy")
    kept = Store(store)
    with opened(where, jobs=jobs, address=address, device=device) as machines:
        selection = Selection(
            models=tuple(models or _every_network(scales)),
            scales=scales,
            tasks=_tasks(tasks),
            datasets=tuple(data or ["sample"]),
            protocols=Protocols(
                lr=parse_size(lr) if lr else None,
                timed_lr=parse_size(latency_lr) if latency_lr else None,
                device=device,
                threads=threads or machines.threads(),
                form=form,
                dtype=words(DTYPES, dtype, "--dtype", most=1)[0],
                memory_format=words(MEMORY_FORMATS, memory_format, "--memory-format", most=1)[0],
                batch=batch,
                choice=choice,
            ),
            weights=weights,
            weights_folders=tuple(weights_dir or ()),
            data_folders=tuple(data_dir or ()),
            max_seconds=max_seconds,
        )
        plan = expand(selection, kept, chosen, environment=machines.environment)
        for job in plan.jobs:
            if isinstance(job.protocol, TimingProtocol):
                require_terms(job.protocol)
        _announce(plan, kept, weights)
        records = (*plan.held, *_run(plan, kept, machines))
    rows = [_row(record) for record in records] + [_missing_row(job) for job in plan.missing]
    order = [find(reference).name for reference in selection.models]
    rows.sort(key=lambda row: (order.index(row["model"]), row["scale"], TASKS.index(row["task"])))
    emit(rows if as_json else [row | {"result": _result(row)} for row in rows], as_json=as_json, columns=COLUMNS)
    if any(row["status"] == "failed" for row in rows):
        raise typer.Exit(1)


def _numbers(words: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(int(number) for word in words for number in word.split(","))
    except ValueError:
        raise BadInput(
            f"--scale {','.join(words)} is no list of scales. Expected numbers with commas: 2,3,4."
        ) from None


def _tasks(text: str) -> tuple[Task, ...]:
    from runner.plan import Task

    return tuple(_one_of(Task, word.strip(), "--tasks") for word in text.split(","))


def _one_of(kind: type[E], word: str, option: str) -> E:
    """The member of an enumeration that a word names. Raises BadInput with the words there are."""
    try:
        return kind(word)
    except ValueError:
        words = ", ".join(str(member.value) for member in kind)
        raise BadInput(f"{option} has no {word!r}. Expected one of: {words}.") from None


def _every_network(scales: Sequence[int]) -> list[str]:
    """Names of all networks with one of the scales; ablation rows are left to those who name them."""
    return [s.name for s in catalogue().values() if s.ablation_of is None and set(scales) & set(s.scales)]


def _announce(plan: Plan, store: Store, weights: str) -> None:
    talk(f"{len(plan.jobs)} to run, {len(plan.held)} held in {escape(str(store.root))}")
    for note in dict.fromkeys(_stand_ins(plan, weights)):
        talk(f"[yellow]weights:[/] {escape(note)}")
    if plan.absent:
        more = f" and {len(plan.absent) - 3} more" if len(plan.absent) > 3 else ""
        talk(f"[yellow]left out:[/] {escape('; '.join(plan.absent[:3]))}{more}")
    for problem in store.read().problems:
        talk(f"[yellow]not read:[/] {escape(str(problem))}")


def _stand_ins(plan: Plan, choice: str) -> list[str]:
    from runner.chosen_weights import stands_in

    found = [(job, find(job.reference)) for job in plan.jobs if job.weights == "bundled"]
    return [note for job, spec in found if (note := stands_in(choice, job.weights, spec=spec, scale=job.key.scale))]


def _run(plan: Plan, store: Store, executor: Executor) -> list[Measured]:
    from runner.execute import run

    records: list[Measured] = []
    with progress() as bar:
        task = bar.add_task("", total=len(plan.jobs))
        try:
            for record in run(plan.jobs, store, lambda event: follow(bar, task, event), executor):
                records.append(record)
        except KeyboardInterrupt:
            bar.stop()
            talk(
                f"interrupted: {len(records)} of {len(plan.jobs)} are finished and kept in {escape(str(store.root))}. "
                f"The same command goes on from there."
            )
            raise typer.Exit(130) from None
    return records


def follow(bar: Progress, task: TaskID, event: Event) -> None:
    """Show where a run stands; on a file or pipe, a line for each finished job and each that another run is at."""
    from runner.execute import WAITING

    label = escape(" ".join(word for word in (event.job.label, event.detail) if word))
    bar.update(task, description=label)
    if event.record is None:
        if bar.disable and event.detail == WAITING:
            bar.console.print(label)
        return
    bar.advance(task)
    outcome = event.record.outcome
    if not isinstance(outcome, Ok):
        colour = "red" if isinstance(outcome, Failed) else "yellow"
        bar.console.print(f"[{colour}]{_status(outcome)}:[/] {label}: {escape(explain(outcome))}")
    elif bar.disable:
        bar.console.print(f"{event.index + 1}/{event.total} {label}: {event.record.provenance.duration_s:.1f} s")


def _status(outcome: Outcome) -> str:
    return "ok" if isinstance(outcome, Ok) else "failed" if isinstance(outcome, Failed) else "not applicable"


def _row(record: Measured) -> dict[str, Any]:
    outcome = record.outcome
    reason = None if isinstance(outcome, Ok) else explain(outcome)
    return {**_cells(record.key, _status(outcome), reason, record.provenance.created_utc), **record.values}


def _missing_row(job: Job) -> dict[str, Any]:
    reason = "The store holds no record of it. Run without --policy cached-only."
    return _cells(job.key, "missing", reason, None)


def _cells(key: RunKey, status: str, reason: str | None, created_utc: str | None) -> dict[str, Any]:
    """What a row has whatever came of its job."""
    return {
        "model": key.model,
        "scale": key.scale,
        "task": key.task,
        "dataset": key.dataset,
        "protocol": key.protocol,
        "status": status,
        "reason": reason,
        "key": key.key12,
        "created_utc": created_utc,
    }


def _result(row: dict[str, Any]) -> str:
    """The one thing to know of a row."""
    if row["status"] != "ok":
        return str(row["reason"])
    match row["task"]:
        case "complexity":
            return f"{row['params']:,} parameters, {row['multi_adds'] / 1e9:.1f} G multi-adds"
        case "latency":
            return f"{row['median_ms']:.1f} ms at LR {row['lr']}" + (", noisy machine" if row["noise"] else "")
        case _:
            return f"{row['psnr_y_db']:.2f} dB, SSIM {row['ssim_y']:.4f}"
