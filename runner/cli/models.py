"""`esr models`: what the zoo holds."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.options import Json
from runner.cli.output import emit
from zoo.catalogue import catalogue
from zoo.contract import ModelSpec


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("models", epilog="Example: esr models --filter bsrn")(models)


def models(
    filter_: Annotated[str, typer.Option("--filter", help="Only names that contain this text.")] = "",
    as_json: Json = False,
) -> None:
    """List the networks of the zoo: scales, venue, licence, weights."""
    rows = [_row(spec) for spec in catalogue().values() if filter_.lower() in spec.name]
    columns = {
        "model": "model",
        "name": "name",
        "scales": "scales",
        "venue": "venue",
        "weights": "weights for",
        "licence": "licence",
        "status": "status",
    }
    emit(rows, as_json=as_json, columns=columns)


def _row(spec: ModelSpec) -> dict[str, object]:
    return {
        "model": spec.name,
        "name": spec.display_name,
        "scales": [f"x{scale}" for scale in spec.scales],
        "venue": spec.paper.venue if spec.paper else None,
        "weights": [f"x{scale}" for scale in sorted(spec.weights)],
        "bundled": [f"x{scale}" for scale in sorted(spec.bundled)],
        "licence": spec.licence,
        "min_side_px": spec.min_side_px,
        "ablation_of": spec.ablation_of,
        "status": "runs" if spec.runnable else "reported only",
        "note": spec.note,
    }
