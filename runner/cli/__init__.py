"""`esr`: parse, compose, print. Data goes to stdout, talk to stderr; exit 0 done, 1 a job failed, 2 usage."""

from __future__ import annotations

import importlib
import sys

import typer

from runner.cli.output import talk
from zoo.contract import EsrError, JobFailed

COMMANDS = (
    "models",
    "weights",
    "data",
    "complexity",
    "quality",
    "explain",
    "latency",
    "bench",
    "train",
    "report",
    "ntire",
    "upscale",
    "export",
)
"""Modules of this package, in help order; each has `register(app)`. They import torch inside their functions only."""

app = typer.Typer(
    name="esr",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reference bench for efficient super-resolution: quality, complexity and latency of SR networks.",
)

for _name in COMMANDS:
    importlib.import_module(f"runner.cli.{_name}").register(app)


def main() -> None:
    """Entry point: errors a user can act on become one paragraph on stderr, never a traceback."""
    try:
        app(prog_name="esr")
    except EsrError as error:
        talk(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1 if isinstance(error, JobFailed) else 2)
    except OSError as error:
        talk(f"[bold red]error:[/] {escape(str(error))}. Check the path, its permissions and the free space.")
        sys.exit(1)
    except KeyboardInterrupt:
        talk("interrupted; finished results are kept")
        sys.exit(130)


def escape(text: str) -> str:
    """Text of users and files, so that rich does not read markup in it."""
    from rich.markup import escape as rich_escape

    return rich_escape(text)
