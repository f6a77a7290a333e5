"""The pictures of `esr complexity`: rows of the command become figures in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from runner.cli.output import talk
from zoo.contract import BadInput, JobFailed, ModelSpec
from zoo.files import write_bytes_atomically
from zoo.protocols import Size
from zoo.quantities import Product

if TYPE_CHECKING:
    from reports.figures_scaling import Cost

SWEEP_COLUMNS = {
    "lr": "LR",
    "multi_adds": "multi-adds",
    "multi_adds_per_pixel": "per LR pixel",
    "activations": "conv activations",
    "peak_activation_bytes": "peak bytes",
}


def whole_numbers(sweep: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The sweep as its table shows it: fractions of a multi-add per pixel are noise to the eye."""
    return [
        dict(at) | {"multi_adds_per_pixel": None if at["error"] else round(at["multi_adds_per_pixel"])} for at in sweep
    ]


def require_target(path: Path) -> None:
    """Refuse a path that cannot become a figure before anything is counted. Raises BadInput."""
    from reports.figures_canvas import format_of

    format_of(path)
    if path.is_dir():
        raise BadInput(f"{path} is a folder. Expected the name of a file to draw to, such as {path / 'cost.svg'}.")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise BadInput(f"{nearest} is a file, so {path} cannot be in it. Pass a path in a folder to --figure.")


def write_figure(rows: Sequence[Mapping[str, Any]], specs: Sequence[ModelSpec], path: Path, *, sweep: bool) -> None:
    """Draw the rows, in their order, to the file: cost over LR size with `sweep`, else multi-adds by kind of layer.

    The rows are of one scale and LR size. Raises JobFailed where no network was counted or the file cannot be written.
    """
    from reports.figures_canvas import format_of
    from reports.figures_products import Bar, draw_products
    from reports.figures_scaling import Curve, draw_scaling

    names = [spec.display_name for spec in specs]
    if not any(row["sweep"] or row["products"] for row in rows):
        raise JobFailed(f"No network could be counted, so {path} was not drawn. See the errors above.")
    scale, lr = rows[0]["scale"], Size.parse(rows[0]["lr"])
    if sweep:
        curves = [
            Curve(label=name, costs=tuple(map(_cost, row["sweep"]))) for name, row in zip(names, rows, strict=True)
        ]
        content = draw_scaling(curves, title=f"Cost over the size of the image, ×{scale}", file_format=format_of(path))
    else:
        bars = [Bar(label=name, parts=_parts(row["products"])) for name, row in zip(names, rows, strict=True)]
        title = f"Multi-adds by kind of layer, ×{scale}, LR {lr.width}×{lr.height}"
        content = draw_products(bars, title=title, file_format=format_of(path))
    try:
        write_bytes_atomically(path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise JobFailed(
            f"{path} cannot be written: {reason}. Pass a path in a folder that you may write to."
        ) from error
    talk(f"wrote {escape(str(path))}")


def _cost(at: Mapping[str, Any]) -> Cost:
    from reports.figures_scaling import Cost

    return Cost(lr=Size.parse(at["lr"]), multi_adds=at["multi_adds"], peak_activation_bytes=at["peak_activation_bytes"])


def _parts(products: Mapping[str, int]) -> dict[Product, int] | None:
    return {Product(name): amount for name, amount in products.items()} or None
