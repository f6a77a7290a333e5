"""`esr quality`: PSNR and SSIM of networks on a data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.chosen_weights import AUTO, choose_weights, stands_in
from runner.cli.options import (
    MODELS_OWN,
    DataDir,
    Json,
    Models,
    Scale,
    Weights,
    WeightsDir,
    takes_protocol,
)
from runner.cli.output import emit, progress, talk
from runner.protocol_choice import ProtocolChoice
from zoo.catalogue import find
from zoo.contract import BadInput, EsrError, JobFailed, ModelSpec
from zoo.facts import Failed, NotApplicable
from zoo.protocols import EvalProtocol, Form

if TYPE_CHECKING:
    from torch import nn

    from runner.datasets import Dataset
    from runner.execute import Event
    from runner.images import U8

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


@takes_protocol
def quality(
    models: Models,
    scale: Scale = 4,
    data: Annotated[str, typer.Option("--data", help="Data set: a name of `esr data list`, or a folder.")] = "sample",
    choice: ProtocolChoice = MODELS_OWN,
    weights: Weights = AUTO,
    data_dir: DataDir = None,
    weights_dir: WeightsDir = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    form: Annotated[
        str | None, typer.Option("--form", help="plain, or fast: the same up to rounding, and said in the protocol.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Images of one size at once. Default: 1 on the CPU, else 4.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save-sr", "--save", help="Folder to write the SR images to, as PNG.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace SR images that are there.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option("--store", help="Folder of records: what it holds is not measured again, a kill loses one image."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure PSNR and SSIM; by default on BT.601 luma, SR rounded to 8 bits, borders of `scale` pixels cut.

    --protocol takes an id as it is printed, or parts of one; the single options go over it. `psnr_y_db` and `ssim_y`
    are in the protocol's colour. A model that cannot be measured is reported with its error, the others are measured;
    the exit code is then 1.
    """
    from runner.datasets import open_dataset
    from zoo.create import create_model
    from zoo.weights import default_store

    chosen = None if form is None else _form(form)
    specs = [runnable(name, scale) for name in models]
    require_device(device)
    dataset = open_dataset(data, scale, recipe=choice.of(EvalProtocol()).lr_recipe, folders=data_dir or ())
    saved = _Saved(save, dataset, overwrite=overwrite)
    if keep and (save or batch):
        raise BadInput("--store keeps numbers, one image at a time. Leave out --save-sr and --batch, or --store.")
    for spec in specs:
        saved.require_free(spec)
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
            protocol = choice.of(EvalProtocol(inference=spec.inference))
            protocol = protocol if chosen is None else replace(protocol, form=chosen)
            if keep is None:
                network = create_model(spec, scale, wanted, store=store)
                found = _measure(spec, network, dataset, protocol, device=device, batch=batch, saved=saved)
            else:
                found = _kept(reference, data, scale, protocol, keep, wanted, weights_dir, data_dir, device)
            row |= {**found, "weights": wanted or "none", "error": None}
            _remark(row)
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


def _form(word: str) -> Form:
    if word not in (Form.PLAIN.value, Form.FAST.value):
        raise BadInput(f"--form has no {word!r} for quality. Expected plain or fast.")
    return Form(word)


def _measure(
    spec: ModelSpec,
    network: nn.Module,
    dataset: Dataset,
    protocol: EvalProtocol,
    *,
    device: str,
    batch: int | None,
    saved: _Saved,
) -> dict[str, Any]:
    from runner.tasks.quality import evaluate

    with progress() as bar:
        task = bar.add_task(f"{spec.name} x{dataset.scale} on {dataset.name}", total=len(dataset.pairs))
        return evaluate(
            network,
            dataset,
            protocol=protocol,
            on_image=lambda _score: bar.advance(task),
            on_sr=saved.writer(spec),
            device=device,
            batch=batch,
        )


def _kept(
    reference: str,
    data: str,
    scale: int,
    protocol: EvalProtocol,
    folder: Path,
    weights: str | None,
    weights_dir: list[Path] | None,
    data_dir: list[Path] | None,
    device: str,
) -> dict[str, Any]:
    """Values of the record that the store holds, or that is made now. Raises JobFailed with the record's reason."""
    from runner.chosen_weights import NO_WEIGHTS
    from runner.execute import WAITING, run
    from runner.plan import Policy, Protocols, Selection, Task, expand
    from runner.store import Store

    store = Store(folder)
    selection = Selection(
        models=(reference,),
        scales=(scale,),
        tasks=(Task.QUALITY,),
        datasets=(data,),
        protocols=Protocols(evaluation=protocol, device=device),
        weights=weights or NO_WEIGHTS,
        weights_folders=tuple(weights_dir or ()),
        data_folders=tuple(data_dir or ()),
    )
    # One who asks by hand wants a failed one tried again.
    plan = expand(selection, store, Policy.FAILED)
    with progress() as bar:
        task = bar.add_task(f"{reference} x{scale} on {data}", total=None)

        def follow(event: Event) -> None:
            bar.update(task, description=escape(event.detail or event.job.label))
            if event.detail == WAITING:
                talk(f"{escape(event.job.label)}: {WAITING}")

        made = list(run(plan.jobs, store, follow))
    (record,) = (*plan.held, *made)
    if isinstance(record.outcome, Failed):
        raise JobFailed(record.outcome.message)
    if isinstance(record.outcome, NotApplicable):
        raise JobFailed(f"{record.outcome.reason} {record.outcome.remedy}")
    if plan.held:
        talk(f"{escape(reference)}: held in {escape(str(folder))} since {record.provenance.created_utc}, not run again")
    return dict(record.values)


def _remark(row: dict[str, Any]) -> None:
    """Say on stderr what a reader of the row must know."""
    for name, (low, high) in row.get("out_of_range", {}).items():
        talk(
            f"[yellow]out of range:[/] {escape(row['model'])}, {escape(name)}: SR reaches from {low:.3g} to "
            f"{high:.3g}; expected [0, 1], so it is clamped. A network that works in 0..255 must divide by 255."
        )
    tiled = row.get("tiled_for_memory", {})
    if tiled:
        worst = max((entry["max_difference"] or 0 for entry in tiled.values()), default=0)
        talk(
            f"[yellow]in tiles:[/] {escape(row['model'])}: {len(tiled)} images did not fit into memory as a whole; "
            f"on a part that fits, tiles differ from the whole by up to {255 * worst:.2g} of 255 levels."
        )


class _Saved:
    """The SR images that are asked for: `<folder>/<model>_x4/<data set>/<image>.png`."""

    def __init__(self, folder: Path | None, dataset: Dataset, *, overwrite: bool) -> None:
        self._folder, self._dataset, self._overwrite = folder, dataset, overwrite

    def _path(self, spec: ModelSpec, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{spec.name}_x{self._dataset.scale}" / self._dataset.name / f"{name}.png"

    def require_free(self, spec: ModelSpec) -> None:
        """Raise BadInput where an image is there already and is not to be replaced."""
        if self._folder is None or self._overwrite:
            return
        there = [path for pair in self._dataset.pairs if (path := self._path(spec, pair.name)).exists()]
        if there:
            raise BadInput(
                f"{there[0]} is there already ({len(there)} in all). Pass --overwrite, or another --save-sr folder."
            )

    def writer(self, spec: ModelSpec) -> Callable[[str, U8], None] | None:
        """Writes one image, whole or not at all; None where none is asked for."""
        if self._folder is None:
            return None
        from runner.images import write_rgb

        return lambda name, sr: write_rgb(self._path(spec, name), sr)
