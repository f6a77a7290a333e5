"""`esr quality`: PSNR and SSIM of networks on a data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import (
    ChosenColour,
    ChosenRecipe,
    ChosenRounding,
    Crop,
    DataDir,
    Ensemble,
    Json,
    Models,
    ProtocolId,
    Scale,
    Ssim,
    Weights,
    WeightsDir,
)
from runner.cli.output import emit, progress, talk
from runner.plan import AUTO, choose_weights, stands_in
from zoo.catalogue import find
from zoo.contract import BadInput, EsrError, ModelSpec
from zoo.protocols import EvalProtocol

if TYPE_CHECKING:
    from runner.datasets import Dataset
    from runner.images import U8
    from runner.protocol_choice import ProtocolChoice
    from zoo.weights import WeightsStore

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "dataset": "data",
    "psnr_y_db": "PSNR dB",
    "ssim_y": "SSIM",
    "lr_source": "LR",
    "weights": "weights",
    "protocol": "protocol",
}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("quality", epilog="Example: esr quality agdn bicubic --scale 4 --data Set5")(quality)


def quality(
    models: Models,
    scale: Scale = 4,
    data: Annotated[str, typer.Option("--data", help="Data set: a name of `esr data list`, or a folder.")] = "sample",
    protocol: ProtocolId = None,
    colour: ChosenColour = None,
    crop: Crop = None,
    rounding: ChosenRounding = None,
    lr_recipe: ChosenRecipe = None,
    ssim: Ssim = None,
    self_ensemble: Ensemble = False,
    weights: Weights = AUTO,
    data_dir: DataDir = None,
    weights_dir: WeightsDir = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    save: Annotated[Path | None, typer.Option("--save", help="Folder to write the SR images to, as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Measure PSNR and SSIM; by default on BT.601 luma, SR rounded to 8 bits, borders of `scale` pixels cut.

    --protocol takes an id as it is printed, or parts of one; the single options go over it. `psnr_y_db` and `ssim_y`
    are in the protocol's colour. A model that cannot be measured is reported with its error, the others are measured;
    the exit code is then 1.
    """
    from runner.datasets import open_dataset
    from runner.protocol_choice import ProtocolChoice
    from zoo.weights import default_store

    choice = ProtocolChoice(
        text=protocol,
        colour=colour,
        crop_border_px=crop,
        rounding=rounding,
        lr_recipe=lr_recipe,
        ssim_window=ssim,
        self_ensemble=self_ensemble,
    )
    specs = [runnable(name, scale) for name in models]
    require_device(device)
    dataset = open_dataset(data, scale, recipe=choice.of(EvalProtocol()).lr_recipe, folders=data_dir or ())
    # Reads every image, so that a damaged one is found before hours of inference and not after.
    digest = dataset.manifest_sha256
    store = default_store(weights_dir or ())
    rows = []
    for reference, spec in zip(models, specs, strict=True):
        wanted = choose_weights(weights, reference=reference, spec=spec, scale=scale, folders=tuple(weights_dir or ()))
        if note := stands_in(weights, wanted, spec=spec, scale=scale):
            talk(f"[yellow]weights:[/] {escape(note)}")
        row: dict[str, Any] = {"model": spec.name, "scale": scale, "dataset": dataset.name, "dataset_sha256": digest}
        try:
            row |= _measure(spec, dataset, choice, weights=wanted, store=store, device=device, save=save)
        except EsrError as error:
            talk(f"[bold red]failed:[/] {escape(str(error))}")
            row |= {"psnr_y_db": None, "ssim_y": None, "per_image": [], "error": str(error)}
        rows.append(row)
    values = _comparable([row for row in rows if not row["error"]])
    _add_ranks(rows, values)
    emit(rows, as_json=as_json, columns=COLUMNS)
    _compare(values)
    if any(row["error"] for row in rows):
        raise typer.Exit(1)


def _label(row: dict[str, Any]) -> str:
    return f"{row['model']} ({row['weights']})"


def _comparable(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """PSNR of each image by network, where networks can be compared image by image; else empty."""
    values = {_label(row): {score["name"]: score["psnr_y_db"] for score in row["per_image"]} for row in rows}
    finite = all(math.isfinite(psnr) for images in values.values() for psnr in images.values())
    return values if len(values) > 1 and finite and len(rows[0]["per_image"]) > 1 else {}


def _add_ranks(rows: list[dict[str, Any]], values: dict[str, dict[str, float]]) -> None:
    """Each network's rank, and the interval of ranks over resampled images; None where there is nothing to compare."""
    from reports.statistics import ranks

    places = {place.name: place for place in (ranks(values) if values else ())}
    for row in rows:
        place = None if row["error"] else places.get(_label(row))
        row["rank"] = place.rank if place else None
        row["rank_interval"] = [place.low, place.high] if place else None


def _compare(values: dict[str, dict[str, float]]) -> None:
    """Say on stderr which of the networks' differences are real, and the places they take over resampled images."""
    if not values:
        return
    from reports.statistics import FEWEST_IMAGES, differences, ranks

    found = differences(values)
    talk("PSNR differences over images, 95 % bootstrap interval, p by Wilcoxon with Holm's correction:")
    for gap in found:
        verdict = "real" if gap.is_real() else "too few images to say" if gap.too_few else "not shown to be real"
        talk(
            f"  {escape(gap.first)} - {escape(gap.second)}: {gap.mean_db:+.3f} dB "
            f"[{gap.low_db:.3f}, {gap.high_db:.3f}], p = {gap.p_corrected:.2g}, {gap.images} images: {verdict}"
        )
    if len(values) > 2:
        placed = (f"{escape(place.name)} {place.rank} [{place.low}-{place.high}]" for place in ranks(values))
        talk(f"ranks, with the places taken over resampled images: {', '.join(placed)}")
    if found[0].too_few:
        talk(f"{found[0].images} images are too few to call a difference real; at least {FEWEST_IMAGES} are needed.")


def runnable(name: str, scale: int) -> ModelSpec:
    """The model, known to have this scale and to be more than printed numbers. Raises EsrError."""
    spec = find(name)
    if not spec.runnable:
        spec.network(scale)  # raises NotRunnable with the reason
    spec.require_scale(scale)
    return spec


def require_device(device: str) -> None:
    """Raises BadInput for a device that does not exist, or not here."""
    import torch

    if device not in ("cpu", "cuda"):
        raise BadInput(f"There is no device {device!r}. Pass --device cpu or --device cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("This machine has no CUDA device that torch can use. Pass --device cpu.")


def _measure(
    spec: ModelSpec,
    dataset: Dataset,
    choice: ProtocolChoice,
    *,
    weights: str | None,
    store: WeightsStore,
    device: str,
    save: Path | None,
) -> dict[str, Any]:
    from runner.tasks.quality import ImageScore, evaluate
    from zoo.create import create_model

    network = create_model(spec, dataset.scale, weights, store=store)
    protocol = choice.of(EvalProtocol(inference=spec.inference))
    with progress() as bar:
        task = bar.add_task(f"{spec.name} x{dataset.scale} on {dataset.name}", total=len(dataset.pairs))

        def advance(_score: ImageScore) -> None:
            bar.advance(task)

        values = evaluate(
            network, dataset, protocol=protocol, on_image=advance, on_sr=_writer(save, spec, dataset), device=device
        )
    return {**values, "weights": weights or "none", "error": None}


def _writer(save: Path | None, spec: ModelSpec, dataset: Dataset) -> Callable[[str, U8], None] | None:
    """Writes `<save>/<model>_x4/<data set>/<image>.png`."""
    if save is None:
        return None
    from runner.images import write_rgb

    folder = save / f"{spec.name}_x{dataset.scale}" / dataset.name
    return lambda name, sr: write_rgb(folder / f"{name}.png", sr)
