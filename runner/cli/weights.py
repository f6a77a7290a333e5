"""`esr weights`: the checkpoints of the zoo on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from runner.cli.options import Json, WeightsDir
from runner.cli.output import emit, progress, talk
from zoo.catalogue import catalogue, find
from zoo.contract import BadInput, ModelSpec, UnknownScale

if TYPE_CHECKING:
    from zoo.weights import Verified

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "state": "state",
    "size_bytes": "bytes",
    "origin": "origin",
    "licence": "licence",
    "file": "file",
}

ModelsOrAll = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL...]", help="Names of the zoo; none means all.")
]


def register(app: typer.Typer) -> None:
    """Add the command group to the app."""
    group = typer.Typer(no_args_is_help=True, help="List, fetch, add and verify the authors' checkpoints.")
    group.command("list", epilog="Example: esr weights list")(list_weights)
    group.command("pull", epilog="Example: esr weights pull agdn --scale 4")(pull_weights)
    group.command("add", epilog="Example: esr weights add ~/Downloads/AGDN_x4.pth")(add_weights)
    group.command("verify", epilog="Example: esr weights verify agdn imdn")(verify_weights)
    app.add_typer(group, name="weights")


def list_weights(models: ModelsOrAll = None, weights_dir: WeightsDir = None, as_json: Json = False) -> None:
    """List every published checkpoint and whether it is on this machine, and those that ship with the suite."""
    emit(_state_rows(_specs(models), weights_dir), as_json=as_json, columns=COLUMNS)


def verify_weights(models: ModelsOrAll = None, weights_dir: WeightsDir = None, as_json: Json = False) -> None:
    """Check the sha256 of every checkpoint that is here; exit 1 if one is not what its authors published."""
    rows = _state_rows(_specs(models), weights_dir)
    emit(rows, as_json=as_json, columns=COLUMNS)
    altered = [row for row in rows if row["state"] == "altered"]
    for row in altered:
        pull = f"Remove it and run `esr weights pull {row['model']} --scale {row['scale']}`."
        talk(
            f"[bold red]altered:[/] {row['model']} x{row['scale']}: a file stands at its place with another sha256. "
            f"{'Install the suite again.' if row['origin'] == 'bundled' else pull}"
        )
    if altered:
        raise typer.Exit(1)


def add_weights(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Downloaded checkpoints.")],
    as_json: Json = False,
) -> None:
    """Copy downloaded checkpoints into the user cache; each is recognised by its sha256."""
    from zoo.weights import default_store

    store = default_store()
    emit([_row(store.add(file)) for file in files], as_json=as_json, columns=COLUMNS)


def pull_weights(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="Names of the zoo.")] = None,
    scale: Annotated[list[int] | None, typer.Option("--scale", "-s", help="Only this scale; repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every published checkpoint of the zoo.")] = False,
    weights_dir: WeightsDir = None,
    as_json: Json = False,
) -> None:
    """Fetch checkpoints into the user cache; what is on this machine already is not fetched again."""
    from zoo.weights import FileState, Verified, default_store
    from zoo.weights_download import DownloadFailed, pull

    if bool(models) == everything:
        raise BadInput("Name the models whose checkpoints are to be fetched, or pass --all; not both.")
    store = default_store(weights_dir or ())
    wanted = [(spec, s) for spec in _specs(models) for s in _scales(spec, scale, everything=everything)]
    rows, failed = [], False
    with progress() as bar:
        for spec, s in wanted:
            task = bar.add_task(f"{spec.name} x{s}", total=spec.weights[s].size_bytes if s in spec.weights else None)
            try:
                path = pull(spec, s, store, on_bytes=partial(_show_bytes, bar, task))
            except DownloadFailed as error:
                failed = True
                bar.console.print(f"[bold red]error:[/] {escape(str(error))}")
            else:
                rows.append(_row(Verified(spec.name, s, spec.weights[s], FileState.OK, path)))
    if as_json or rows:
        emit(rows, as_json=as_json, columns=COLUMNS)
    if failed:
        raise typer.Exit(1)


def _show_bytes(bar: Progress, task: TaskID, count: int) -> None:
    bar.update(task, completed=count)


def _specs(models: Iterable[str] | None) -> list[ModelSpec]:
    return [find(name) for name in models] if models else list(catalogue().values())


def _scales(spec: ModelSpec, asked: list[int] | None, *, everything: bool) -> list[int]:
    """Scales to fetch: those asked for, else all that are published. Raises UnknownScale for a named model.

    A named model without any keeps one scale, so that the fetch can say that there is nothing to fetch.
    """
    if not asked:
        return sorted(spec.weights) or ([] if everything else [spec.scales[-1]])
    if everything:
        return [scale for scale in asked if scale in spec.weights]
    if not_there := [scale for scale in asked if scale not in spec.scales]:
        raise UnknownScale(f"{spec.name} has no x{not_there[0]} build (has {', '.join(f'x{s}' for s in spec.scales)}).")
    return asked


def _state_rows(specs: Iterable[ModelSpec], weights_dir: list[Path] | None) -> list[dict[str, Any]]:
    from zoo.weights import bundled_weights, default_store

    specs = list(specs)
    found = (*default_store(weights_dir or ()).verify(specs), *bundled_weights(specs))
    return [_row(verified) for verified in found]


def _row(verified: Verified) -> dict[str, Any]:
    weights = verified.weights
    return {
        "model": verified.model,
        "scale": verified.scale,
        "state": verified.state.value,
        "file": weights.file,
        "path": str(verified.path) if verified.path else None,
        "size_bytes": weights.size_bytes,
        "sha256": weights.sha256,
        "origin": weights.origin.value,
        "licence": weights.licence,
        "url": weights.url,
    }
