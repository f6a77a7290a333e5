"""`esr weights`: the checkpoints of the zoo on this machine."""

from __future__ import annotations

import typer

from runner.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command group to the app."""
    group = typer.Typer(no_args_is_help=True, help="List, fetch, add and verify the authors' checkpoints.")
    group.command("list", epilog="Example: esr weights list")(list_weights)
    app.add_typer(group, name="weights")


def list_weights(as_json: Json = False) -> None:
    """List every published checkpoint and whether it is on this machine."""
