"""`esr export`: a network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.chosen_weights import AUTO, choose_weights, weights_sha256
from runner.cli.options import Json, Scale, Weights, WeightsDir, parse_size
from runner.cli.output import emit, talk
from zoo.catalogue import find
from zoo.contract import BadInput, InputTooSmall, ModelSpec
from zoo.files import write_bytes_atomically
from zoo.protocols import Size

if TYPE_CHECKING:
    from runner.export import Parity

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "weights": "weights",
    "lr": "LR",
    "max_abs_difference": "max |diff|",
    "checked": "checked at",
    "bytes": "bytes",
    "file": "file",
}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("export", epilog="Example: esr export agdn --scale 4 --onnx agdn_x4.onnx")(export)


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Zoo name or my_net.py:MyNet.")],
    onnx: Annotated[Path, typer.Option("--onnx", help="The file to write.")],
    scale: Scale = 4,
    weights: Weights = AUTO,
    lr: Annotated[
        str | None, typer.Option("--lr", help="For this LR size HEIGHTxWIDTH alone; default: any batch and size.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    weights_dir: WeightsDir = None,
    as_json: Json = False,
) -> None:
    """Write a network as ONNX (input `lr`, output `sr`, RGB in [0, 1]), checked against it in ONNX Runtime first.

    The file says in its metadata what it is: model, scale, sha256 of the weights, opset. Needs the extra `onnx`.
    """
    spec = find(model)
    if not spec.runnable:
        spec.network(scale)  # raises NotRunnable with the reason
    spec.require_scale(scale)
    size = _size(lr, spec, scale)
    if onnx.suffix.lower() != ".onnx":
        raise BadInput(f"{onnx} is no ONNX file. Give --onnx a path that ends in .onnx.")
    if onnx.exists() and not overwrite:
        raise BadInput(f"{onnx} is there already. Pass --overwrite, or another --onnx.")
    from runner.tasks.latency_forms import require_extra
    from zoo.protocols import Engine

    require_extra(Engine.ONNXRUNTIME)
    choice = choose_weights(weights, reference=model, spec=spec, scale=scale)
    sha256 = weights_sha256(choice, spec=spec, scale=scale)
    content, checked = _exported(spec, scale, choice, sha256, size, weights_dir or [])
    write_bytes_atomically(onnx, content)
    row = {
        "model": spec.name,
        "scale": scale,
        "weights": choice or "none",
        "weights_sha256": sha256,
        "lr": str(size) if size else "any",
        "max_abs_difference": max(one.max_abs_difference for one in checked),
        "parity": [
            {"lr": str(one.lr), "batch": one.batch, "image": one.image, "max_abs_difference": one.max_abs_difference}
            for one in checked
        ],
        "bytes": len(content),
        "file": str(onnx),
    }
    cells: dict[str, Any] = {"checked": ", ".join(f"{one.batch}x3x{one.lr} ({one.image})" for one in checked)}
    cells["max_abs_difference"] = f"{row['max_abs_difference']:.1e}"
    emit([row if as_json else row | cells], as_json=as_json, columns=COLUMNS)


def _size(lr: str | None, spec: ModelSpec, scale: int) -> Size | None:
    if lr is None:
        return None
    size = parse_size(lr)
    if min(size) < spec.min_side_px:
        raise InputTooSmall(
            f"{spec.name} x{scale} needs LR sides of at least {spec.min_side_px} px, got {size}. Pass a larger --lr."
        )
    if any(side % spec.size_multiple_px for side in size):
        raise BadInput(
            f"{spec.name} x{scale} needs LR sides that are multiples of {spec.size_multiple_px} px, got {size}."
        )
    return size


def _exported(
    spec: ModelSpec, scale: int, choice: str | None, sha256: str | None, size: Size | None, folders: list[Path]
) -> tuple[bytes, tuple[Parity, ...]]:
    import torch

    from runner.export import CannotExport, Metadata, Unsettled, exported_size, onnx_bytes, parity, sizes_to_check
    from zoo.create import create_model
    from zoo.weights import default_store

    network = create_model(spec, scale, choice, store=default_store(folders))
    metadata = Metadata(
        model=spec.name,
        scale=scale,
        revision=spec.revision,
        weights=choice or "none",
        weights_sha256=sha256 or "",
        lr=str(size) if size else "dynamic",
        min_side_px=spec.min_side_px,
        size_multiple_px=spec.size_multiple_px,
    )
    talk(f"exporting {escape(spec.name)} x{scale} for {f'LR {size}' if size else 'any size'} (up to some minutes)")
    x = torch.rand(1, 3, *(size or exported_size(spec)), generator=torch.Generator().manual_seed(0))
    try:
        content = onnx_bytes(network, x, dynamic=size is None, metadata=metadata)
        return content, parity(content, network, sizes_to_check(spec, size))
    except CannotExport as error:
        step = "Pass --lr HEIGHTxWIDTH to export it for one size." if size is None else "Choose another network."
        if isinstance(error, Unsettled):
            step = "Pass trained weights: --weights official, or a file."
        raise CannotExport(f"{spec.name} x{scale} has no ONNX form here. {error} {step}") from error
