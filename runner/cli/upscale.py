"""`esr upscale`: super-resolve image files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import Json, Scale, Weights, WeightsDir
from runner.cli.output import emit, progress, talk
from runner.cli.quality import require_device, runnable
from runner.plan import AUTO, choose_weights, stands_in
from zoo.contract import BadInput, EsrError
from zoo.protocols import CropToMultiple, PadSymmetric, Tiled

if TYPE_CHECKING:
    from torch import Tensor

    from runner.inference import Network

COLUMNS = {"image": "image", "lr": "LR", "sr": "SR", "out": "written to", "seconds": "s"}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("upscale", epilog="Example: esr upscale photo.png photo_x4.png --model agdn --scale 4")(upscale)


def upscale(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A PNG, or for a folder a folder of PNGs.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Zoo name or my_net.py:MyNet.")] = "agdn",
    scale: Scale = 4,
    weights: Weights = AUTO,
    tile: Annotated[int, typer.Option("--tile", min=0, help="LR side above which tiles are cut; 0: never.")] = 512,
    halo: Annotated[int, typer.Option("--halo", min=0, help="LR pixels of neighbourhood around a tile.")] = 32,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    weights_dir: WeightsDir = None,
    as_json: Json = False,
) -> None:
    """Super-resolve one image or every image of a folder; 8-bit RGB and greyscale, written as PNG.

    An image that cannot be done is named, the others are done; the exit code is then 1.
    """
    from runner.inference import infer
    from zoo.create import create_model
    from zoo.weights import default_store

    spec = runnable(model, scale)
    require_device(device)
    jobs = list(_jobs(source, target, overwrite=overwrite))
    choice = choose_weights(weights, reference=model, spec=spec, scale=scale, folders=tuple(weights_dir or ()))
    if note := stands_in(weights, choice, spec=spec, scale=scale):
        talk(f"[yellow]weights:[/] {escape(note)}")
    network = create_model(spec, scale, choice, store=default_store(weights_dir or ())).to(device)
    # Evaluation may cut pixels off; a user's picture keeps them.
    rule = PadSymmetric(cut.multiple_px) if isinstance(cut := spec.inference, CropToMultiple) else spec.inference
    tiles = Tiled(tile, halo) if tile else None

    def run(lr: Tensor) -> Tensor:
        return infer(network, lr, scale, rule)

    rows = []
    with progress() as bar:
        task = bar.add_task(f"{spec.name} x{scale}", total=len(jobs))
        for image, out in jobs:
            row: dict[str, Any] = {"image": str(image), "model": spec.name, "scale": scale, "error": None}
            try:
                row |= _one(run, image, out, scale, tiles, device=device)
            except EsrError as error:
                talk(f"[bold red]failed:[/] {escape(str(error))}")
                row |= {"lr": None, "sr": None, "out": None, "seconds": None, "error": str(error)}
            rows.append(row)
            bar.advance(task)
    emit(rows, as_json=as_json, columns=COLUMNS)
    if any(row["error"] for row in rows):
        raise typer.Exit(1)


def _jobs(source: Path, target: Path, *, overwrite: bool) -> Iterator[tuple[Path, Path]]:
    """Each image and the file it becomes. Raises BadInput before anything is run."""
    from runner.images import image_files

    if source.is_dir():
        images = image_files(source)
        if not images:
            raise BadInput(f"{source} holds no images (png, jpg, bmp). Name a folder that does.")
        pairs = [(image, target / f"{image.stem}.png") for image in images]
        stems = [out.name for _image, out in pairs]
        if double := next((name for name in stems if stems.count(name) > 1), None):
            raise BadInput(f"Several images of {source} would become {double}. Rename one of them.")
    elif source.is_file():
        out = target / f"{source.stem}.png" if target.is_dir() else target
        if out.suffix.lower() != ".png":
            raise BadInput(f"{out} is no PNG. Give OUT the ending .png: other formats would change the result.")
        pairs = [(source, out)]
    else:
        raise BadInput(f"{source} does not exist. Pass an image or a folder of images.")
    there = [out for _image, out in pairs if out.exists()]
    if there and not overwrite:
        raise BadInput(f"{there[0]} is there already ({len(there)} in all). Pass --overwrite, or another OUT.")
    yield from pairs


def _one(network: Network, image: Path, out: Path, scale: int, tiles: Tiled | None, *, device: str) -> dict[str, Any]:
    import time

    from runner.images import read_rgb, size_of, write_rgb
    from runner.tasks.quality import super_resolve, to_uint8
    from zoo.protocols import Whole

    lr = read_rgb(image, grey_to_rgb=True)
    rule = tiles if tiles and max(size_of(lr)) > tiles.tile_px else Whole()
    started = time.perf_counter()
    pixels = to_uint8(super_resolve(network, lr, scale, rule, name=str(image), device=device))
    seconds = time.perf_counter() - started
    write_rgb(out, pixels)
    return {
        "lr": str(size_of(lr)),
        "sr": str(size_of(pixels)),
        "out": str(out),
        "inference": rule.id,
        "seconds": seconds,
    }
