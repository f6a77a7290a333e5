"""Options that several commands share, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from runner.protocol_choice import ProtocolChoice
from zoo.contract import BadInput
from zoo.protocols import Colour, LrRecipe, Rounding, Size, SsimWindow

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
    str,
    typer.Option("--weights", help="auto (official if here, else bundled), official, bundled, none, or a file."),
]
Recipe = Annotated[LrRecipe, typer.Option("--recipe", "--lr-recipe", help="How LR images are made from HR.")]
_EVALUATION: Final[dict[str, Any]] = {
    "text": Annotated[
        str | None,
        typer.Option(
            "--protocol", help="A protocol's id, or parts of one: y601-crop4-u8-gauss11-matlab-u8-whole, rgb-crop0."
        ),
    ],
    "colour": Annotated[
        Colour | None,
        typer.Option("--colour", help="y601 (limited range, what papers print), y601full or rgb. Default: y601."),
    ],
    "crop_border_px": Annotated[
        int | None, typer.Option("--crop", help="HR pixels cut on each side. Default: the scale.")
    ],
    "rounding": Annotated[
        Rounding | None,
        typer.Option("--rounding", help="u8: SR; u8y8: SR, then luma; y8: luma only; float: none. Default: u8."),
    ],
    "lr_recipe": Annotated[
        LrRecipe | None,
        typer.Option("--lr-recipe", "--recipe", help="How LR images are made from HR. Default: matlab-u8."),
    ],
    "ssim_window": Annotated[
        SsimWindow | None,
        typer.Option("--ssim", help="gauss11 (MATLAB's) or uniform7 (scikit-image's default). Default: gauss11."),
    ],
    "self_ensemble": Annotated[
        bool, typer.Option("--self-ensemble", help="Mean over the eight flips and transposes: eight times the work.")
    ],
}
"""Each field of ProtocolChoice and its option, in the order of the help."""

MODELS_OWN: Final = ProtocolChoice()
"""Nothing is chosen: each model's default protocol."""


def takes_protocol(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of an evaluation in the place of its parameter `choice: ProtocolChoice`."""
    defaults = {field.name: field.default for field in fields(ProtocolChoice)}
    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.annotation is not ProtocolChoice:
            parameters.append(parameter)
            continue
        parameters += [
            parameter.replace(name=name, annotation=option, default=defaults[name])
            for name, option in _EVALUATION.items()
        ]

    @wraps(command)
    def taking(**values: Any) -> None:
        choice = ProtocolChoice(**{name: values.pop(name) for name in _EVALUATION})
        command(**values, choice=choice)

    # What typer reads; `wraps` has left the command's own there.
    taking.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return taking


def parse_size(text: str) -> Size:
    """HEIGHTxWIDTH of an option. Raises BadInput."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise BadInput(str(error)) from None
