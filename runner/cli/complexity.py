"""`esr complexity`: what networks cost, by the exact counter and by every tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from runner.cli.complexity_figure import SWEEP_COLUMNS, require_target, whole_numbers, write_figure
from runner.cli.options import Json, Models, Scale, parse_size
from runner.cli.output import emit, progress, talk
from zoo.catalogue import find
from zoo.contract import EsrError, ModelSpec
from zoo.protocols import HR_720P, CountProtocol, Size, lr_size

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "lr": "LR",
    "params": "params",
    "multi_adds": "multi-adds",
    "activations": "conv activations",
    "conv_calls": "convs",
    "peak_activation_bytes": "peak bytes",
    "as_printed_multi_adds": "by its paper's rule",
}
TREE_COLUMNS = {
    "module": "module",
    "type": "type",
    "params": "params",
    "multi_adds": "multi-adds",
    "share": "share",
    "activations": "conv activations",
    "conv_calls": "convs",
}
LEDGER_COLUMNS = {"name": "difference", "multi_adds": "multi-adds"}
TOOL_HEADERS = {"ptflops_aten": "ptflops aten", "torch": "torch / 2", "ntire2022": "NTIRE 2022"}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    examples = (
        "Example: esr complexity agdn bsrn --scale 4 --counter all",
        "A picture: esr complexity agdn bsrn elan_light --figure cost.pdf",
        "Over sizes: esr complexity agdn bsrn --sweep --figure scaling.svg",
    )
    app.command("complexity", epilog="\n\n".join(examples))(complexity)


def complexity(
    models: Models,
    scale: Scale = 4,
    hr: Annotated[
        str | None, typer.Option("--hr", help="HR size, HEIGHTxWIDTH (720x1280 if neither is given).")
    ] = None,
    lr: Annotated[str | None, typer.Option("--lr", help="LR size, HEIGHTxWIDTH, instead of --hr.")] = None,
    counter: Annotated[
        list[str] | None,
        typer.Option("--counter", help="exact, thop, ptflops, ptflops_aten, fvcore, torch, ntire2022 or all."),
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=0, help="Also show modules down to this level.")] = 0,
    ledger: Annotated[
        bool,
        typer.Option(
            "--ledger", help="Explain each tool's number and the paper's from the exact count, to the last unit."
        ),
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Also count exactly at LR sizes from 64x64 to 720x1280, whatever --hr says.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            help="Draw multi-adds by kind of layer (with --sweep: cost over LR size) to this .svg, .pdf or .png file.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write the table to this CSV file.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Also write it to this Markdown file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write it to this HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Count parameters, multi-adds, convolution activations and peak activation memory; nothing is computed.

    Multi-adds are every convolution, linear layer and matrix product (attention included). Of several models, one
    that cannot be counted is reported with its error, the others are counted; the exit code is then 1.
    """
    from runner.counters import resolve

    if figure is not None:
        require_target(figure)
    size = _lr_size(hr, lr, scale)
    protocol = CountProtocol(lr=size, counters=resolve(counter or ("exact",)))
    specs = [_runnable(name, scale) for name in models]
    rows = []
    with progress() as bar:
        task = bar.add_task("counting", total=len(specs))
        for spec in specs:
            bar.update(task, description=f"counting {spec.name} x{scale}")
            try:
                kinds = figure is not None and not sweep
                rows.append(_row(spec, scale, protocol, depth=depth, ledger=ledger, kinds=kinds, sweep=sweep))
            except EsrError as error:
                if len(specs) == 1:
                    raise
                talk(f"[bold red]failed:[/] {escape(str(error))}")
                rows.append(_empty_row(spec, scale, protocol) | {"error": str(error)})
            bar.advance(task)
    columns = COLUMNS | {name: TOOL_HEADERS.get(name, name) for name in protocol.counters if name != "exact"}
    emit(rows if as_json else _flat(rows), as_json=as_json, columns=columns)
    if not as_json:
        _emit_details(rows, depth=depth)
    _say_incomplete(rows)
    _write(_flat(rows), columns, csv=csv, markdown=markdown, html=html)
    if figure is not None:
        write_figure(rows, specs, figure, sweep=sweep)
    if any(part["error"] for row in rows for part in (row, *row["sweep"])):
        raise typer.Exit(1)


def _lr_size(hr: str | None, lr: str | None, scale: int) -> Size:
    if hr is not None and lr is not None:
        raise typer.BadParameter("--hr and --lr exclude each other. Pass one of them.")
    return parse_size(lr) if lr is not None else lr_size(parse_size(hr) if hr else HR_720P, scale)


def _runnable(name: str, scale: int) -> ModelSpec:
    """The model, known to have this scale and to be more than printed numbers. Raises EsrError."""
    spec = find(name)
    if not spec.runnable:
        spec.network(scale)  # raises NotRunnable with the reason
    spec.require_scale(scale)
    return spec


def _row(
    spec: ModelSpec, scale: int, protocol: CountProtocol, *, depth: int, ledger: bool, kinds: bool, sweep: bool
) -> dict[str, Any]:
    from runner.tasks import complexity as task

    row = _empty_row(spec, scale, protocol) | task.measure(spec, scale, protocol=protocol)
    if depth:
        row["modules"] = task.modules(spec, scale, protocol=protocol, depth=depth)
    if ledger:
        row["ledger"] = task.differences(spec, scale, protocol=protocol)
    if kinds:
        row["products"] = task.products(spec, scale, protocol=protocol)
    if sweep:
        row["sweep"] = task.sweep(spec, scale)
    return row


def _empty_row(spec: ModelSpec, scale: int, protocol: CountProtocol) -> dict[str, Any]:
    return {
        "model": spec.name,
        "scale": scale,
        "lr": str(protocol.lr),
        "params": None,
        "multi_adds": None,
        "activations": None,
        "counters": {},
        "uncounted_ops": [],
        "as_printed": None,
        "modules": [],
        "ledger": {},
        "products": {},
        "sweep": [],
        "error": None,
    }


def _flat(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Multi-adds of each tool, and by the paper's own rule, as fields of their own."""
    return [
        row
        | {name: entry["multi_adds"] for name, entry in row["counters"].items()}
        | {"as_printed_multi_adds": (row["as_printed"] or {}).get("multi_adds")}
        for row in rows
    ]


def _emit_details(rows: list[dict[str, Any]], *, depth: int) -> None:
    for row in rows:
        title = f"{row['model']} x{row['scale']}"
        if depth:
            emit(row["modules"], as_json=False, columns=TREE_COLUMNS, title=title)
        for tool, way in row["ledger"].items():
            ends = {"name": "exact", "multi_adds": way["exact"]}, {"name": tool, "multi_adds": way["counted"]}
            lines = [ends[0], *way["differences"], ends[1]]
            for printed in way["printed"]:
                lines.append({"name": printed["name"], "multi_adds": printed["rest"]})
                lines.append({"name": f"printed in {printed['where']}", "multi_adds": printed["multi_adds"]})
            emit(lines, as_json=False, columns=LEDGER_COLUMNS, title=f"{title}: from exact to {tool}")
        if row["sweep"]:
            emit(whole_numbers(row["sweep"]), as_json=False, columns=SWEEP_COLUMNS, title=f"{title} by LR size")


def _say_incomplete(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for at in row["sweep"]:
            if at["error"]:
                talk(f"[bold red]failed:[/] {escape(row['model'])} at LR {at['lr']}: {escape(at['error'])}")
        for message in row["uncounted_ops"]:
            talk(f"[yellow]uncounted in {escape(row['model'])}:[/] {escape(message)}")


def _write(
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    *,
    csv: Path | None,
    markdown: Path | None,
    html: Path | None,
) -> None:
    if csv is markdown is html is None:
        return
    import pandas as pd

    from zoo.files import write_text_atomically

    frame = pd.DataFrame([{header: row.get(field) for field, header in columns.items()} for row in rows])
    # Nullable integers: a missing count must not turn its column into floats.
    frame = frame.convert_dtypes()
    if csv is not None:
        write_text_atomically(csv, frame.to_csv(index=False))
    if markdown is not None:
        write_text_atomically(markdown, _markdown(frame))
    if html is not None:
        write_text_atomically(html, "<!doctype html>\n<meta charset=utf-8>\n" + frame.to_html(index=False, na_rep="-"))


def _markdown(frame: Any) -> str:
    lines = [
        list(frame.columns),
        ["---"] * len(frame.columns),
        *frame.astype(object).where(frame.notna(), "-").astype(str).to_numpy().tolist(),
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
