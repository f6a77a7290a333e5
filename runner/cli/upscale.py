"""`esr upscale`: super-resolve image files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.chosen_weights import AUTO, choose_weights, stands_in
from runner.cli.options import Json, Scale, Weights, WeightsDir
from runner.cli.output import emit, progress, talk
from runner.cli.quality import require_device, runnable
from zoo.contract import BadInput, EsrError, ModelSpec
from zoo.protocols import CropToMultiple, PadSymmetric, Size, Tiled, Whole

if TYPE_CHECKING:
    from torch import Tensor

    from runner.inference import Network

COLUMNS = {
    "image": "image",
    "kind": "kind",
    "lr": "LR",
    "sr": "SR",
    "inference": "run",
    "seconds": "s",
    "out": "written to",
}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("upscale", epilog="Example: esr upscale photo.png photo_x4.png --model agdn --scale 4")(upscale)


def upscale(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A PNG, or for a folder a folder of PNGs.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Zoo name or my_net.py:MyNet.")] = "agdn",
    scale: Scale = 4,
    weights: Weights = AUTO,
    tile: Annotated[
        int | None,
        typer.Option("--tile", min=0, help="LR side of tiles; 0: never. Default: tiles where memory would not do."),
    ] = None,
    halo: Annotated[int, typer.Option("--halo", min=0, help="LR pixels of neighbourhood around a tile.")] = 32,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    weights_dir: WeightsDir = None,
    as_json: Json = False,
) -> None:
    """Super-resolve one image or every image of a folder, written as PNG.

    Grey stays grey, alpha stays (interpolated), 16-bit grey stays 16-bit, EXIF rotation is carried out. An image that
    cannot be done is named, the others are done; the exit code is then 1.
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
    tiling = _Tiling(spec, scale, tile=tile, halo=halo, device=device)

    def run(lr: Tensor) -> Tensor:
        return infer(network, lr, scale, rule)

    rows = []
    with progress() as bar:
        task = bar.add_task(f"{spec.name} x{scale}", total=len(jobs))
        for image, out in jobs:
            row: dict[str, Any] = {"image": str(image), "model": spec.name, "scale": scale, "error": None}
            try:
                row |= _one(run, image, out, scale, tiling, device=device)
            except EsrError as error:
                talk(f"[bold red]failed:[/] {escape(str(error))}")
                row |= dict.fromkeys(("lr", "sr", "kind", "out", "inference", "seconds")) | {"error": str(error)}
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
            raise BadInput(f"{source} holds no images (png, jpg, bmp, tif, webp). Name a folder that does.")
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


class _Tiling:
    """Which images are cut, and how finely: as the user says, else by the memory that is free."""

    def __init__(self, spec: ModelSpec, scale: int, *, tile: int | None, halo: int, device: str) -> None:
        self._spec, self._scale, self._tile, self._halo, self._device = spec, scale, tile, halo, device

    def rule(self, lr: Size) -> Tiled | Whole:
        """Tiles for an image of this size, or the whole."""
        if self._tile is not None:
            return Tiled(self._tile, self._halo) if self._tile and max(lr) > self._tile else Whole()
        from runner.tiling import free_bytes, tiles_for

        tiles = tiles_for(lr, per_pixel=self._per_pixel, free=free_bytes(self._device), halo_px=self._halo)
        return tiles or Whole()

    @cached_property
    def _per_pixel(self) -> float:
        from runner.tiling import bytes_per_pixel

        return bytes_per_pixel(self._spec, self._scale)


def _one(network: Network, image: Path, out: Path, scale: int, tiling: _Tiling, *, device: str) -> dict[str, Any]:
    import time

    from runner.pictures import read_picture, super_resolve, write_picture

    lr = read_picture(image)
    if lr.note:
        talk(f"[yellow]note:[/] {escape(image.name)}: {lr.note}")
    rule = tiling.rule(lr.size)
    started = time.perf_counter()
    sr = super_resolve(network, lr, scale, rule, name=str(image), device=device)
    seconds = time.perf_counter() - started
    write_picture(out, sr)
    return {
        "lr": str(lr.size),
        "sr": str(sr.size),
        "kind": sr.kind,
        "out": str(out),
        "inference": rule.id,
        "seconds": seconds,
    }
