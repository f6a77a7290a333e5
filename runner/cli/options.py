"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.contract import BadInput
from zoo.protocols import LrRecipe, Size

Json = Annotated[bool, typer.Option("--json", help="Print one JSON array on stdout instead of a table.")]
Scale = Annotated[int, typer.Option("--scale", "-s", help="Upscaling factor.")]
Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Zoo name, my_net.py:MyNet, or a name from an entry point.")
]
WeightsDir = Annotated[
    list[Path] | None,
    typer.Option("--weights-dir", help="Folder of checkpoints; repeatable. Then ESR_WEIGHTS_DIR, then the user cache."),
]
DataDir = Annotated[
    list[Path] | None,
    typer.Option("--data-dir", help="Folder of data sets; repeatable. Then ESR_DATA_DIR, then the user cache."),
]
Weights = Annotated[
    str, typer.Option("--weights", help="official, bundled, none (seeded random), or a .pth / .safetensors file.")
]
Recipe = Annotated[LrRecipe, typer.Option("--recipe", help="How LR images are made from HR.")]


def parse_size(text: str) -> Size:
    """HEIGHTxWIDTH of an option. Raises BadInput."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise BadInput(str(error)) from None
