"""`esr report --gallery`: which networks and images stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from reports.gallery import Gallery, Region
from runner.cli.options import parse_size
from runner.cli.output import progress, talk
from runner.cli.quality import require_device, runnable
from zoo.catalogue import catalogue, find
from zoo.contract import BadInput, EsrError, ModelSpec

if TYPE_CHECKING:
    from reports.assemble import Report
    from runner.datasets import Dataset
    from runner.gallery import Contestant
    from zoo.weights import WeightsStore

NETWORKS: Final = 6
"""Networks of a gallery whose networks are not named; those with the highest PSNR whose weights are here."""
BICUBIC: Final = "bicubic"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A gallery as asked for, checked as far as that is possible before anything runs."""

    dataset: Dataset
    store: WeightsStore
    models: tuple[str, ...] = ()
    "Empty: chosen by `_at_hand`."
    images: tuple[str, ...] = ()
    crops: dict[str, Region] = field(default_factory=dict)
    device: str = "cpu"
    number: int = 3
    "Images, where they are not named."


def wanted(
    data: str | None,
    *,
    scale: int,
    models: str | None,
    images: str | None,
    crops: Sequence[str],
    data_dir: Sequence[Path],
    weights_dir: Sequence[Path],
    device: str,
) -> Wanted | None:
    """The gallery of the options; None where none is asked for. Raises EsrError on a name that means nothing."""
    if data is None:
        given = [name for name, value in (("--models", models), ("--images", images), ("--crop", crops)) if value]
        if given:
            raise BadInput(
                f"{' and '.join(given)} choose what a gallery shows. Pass --gallery DATA too, such as Set14."
            )
        return None
    from runner.datasets import open_dataset
    from zoo.weights import default_store

    require_device(device)
    names = listed(models)
    for name in names:
        runnable(name, scale)
    return Wanted(
        dataset=open_dataset(data, scale, folders=data_dir),
        store=default_store(weights_dir),
        models=names,
        images=listed(images),
        crops=dict(map(parse_crop, crops)),
        device=device,
    )


def sample(scale: int, page: Report) -> Gallery | None:
    """A small gallery of the data set that ships with the suite; None where no network has its weights here."""
    from runner.datasets import SAMPLE, open_dataset
    from zoo.weights import default_store

    store = default_store()
    if not any(_has_weights(spec, scale, store) for spec in catalogue().values()):
        return None
    try:
        return made(Wanted(dataset=open_dataset(SAMPLE, scale), store=store, number=2), page)
    except EsrError as error:
        # Nobody asked for it: a page without pictures is better than none.
        talk(f"[yellow]no pictures:[/] {escape(str(error))}")
        return None


def listed(text: str | None) -> tuple[str, ...]:
    """The names of an option a,b,c, each once."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def parse_crop(text: str) -> tuple[str, Region]:
    """IMAGE:TOP,LEFT,HEIGHTxWIDTH in HR pixels. Raises BadInput."""
    # An image's name may hold a colon; the region does not.
    image, _, region = text.rpartition(":")
    parts = region.split(",")
    if not image or len(parts) != 3 or not all(part.strip().isdecimal() for part in parts[:2]):
        raise BadInput(
            f"--crop {text} names no region. Expected IMAGE:TOP,LEFT,HEIGHTxWIDTH in HR pixels, "
            f"such as img_002:120,200,120x180."
        )
    return image, Region(top=int(parts[0]), left=int(parts[1]), size=parse_size(parts[2]))


def made(wish: Wanted, page: Report) -> Gallery:
    """The pictures. Raises BadInput where no network can be run."""
    from runner.gallery import gallery

    models = wish.models or _at_hand(wish, page)
    with progress() as bar:
        count = len({*wish.images, *wish.crops}) or len(wish.dataset.pairs)
        task = bar.add_task(f"pictures of {wish.dataset.name} x{wish.dataset.scale}", total=count)
        found = gallery(
            [_contestant(name, wish) for name in dict.fromkeys((BICUBIC, *models))],
            wish.dataset,
            images=wish.images,
            crops=wish.crops,
            number=wish.number,
            device=wish.device,
            on_image=lambda _name: bar.advance(task),
        )
    size = f"{found.size_bytes / 2**20:.1f} MiB"
    talk(f"gallery of {escape(found.dataset)} x{found.scale}: {len(found.scenes)} images, {size}")
    if found.left_out:
        talk(f"[yellow]left out to keep the page small:[/] {escape(', '.join(found.left_out))}")
    return found


def _at_hand(wish: Wanted, page: Report) -> tuple[str, ...]:
    """Full networks whose weights are here, the highest PSNR on the data set first."""
    scale = wish.dataset.scale
    here = [spec.name for spec in catalogue().values() if _has_weights(spec, scale, wish.store)]
    if not here:
        raise BadInput(
            f"No network has weights for x{scale} here. Run `esr weights pull agdn --scale {scale}`, or name "
            f"a folder of checkpoints with --weights-dir."
        )
    order = {name: -psnr for name, psnr in _psnr(page, wish.dataset.name, scale).items()}
    return tuple(sorted(here, key=lambda name: order.get(name, 0.0))[:NETWORKS])


def _has_weights(spec: ModelSpec, scale: int, store: WeightsStore) -> bool:
    if not spec.runnable or not spec.learned or spec.ablation_of or scale not in spec.scales:
        return False
    declared = spec.weights.get(scale)
    return scale in spec.bundled or (declared is not None and store.locate(declared) is not None)


def _psnr(page: Report, dataset: str, scale: int) -> dict[str, float]:
    found = {}
    for table in page.tables:
        if table.scale == scale:
            for index, column in enumerate(table.columns):
                if column.dataset == dataset and column.metric.name == "psnr_y_db" and column.rule.compares:
                    slots = {row.model: row.slots[index].measured.value for row in table.rows}
                    found = {model: value for model, value in slots.items() if value is not None}
    return found


def _contestant(name: str, wish: Wanted) -> Contestant:
    """The network with its weights, or what it lacks."""
    from runner.chosen_weights import AUTO, choose_weights
    from runner.gallery import Contestant
    from zoo.create import create_model

    spec = find(name)
    scale = wish.dataset.scale
    choice = choose_weights(AUTO, reference=name, spec=spec, scale=scale)
    if choice == "official" and scale in spec.bundled:
        declared = spec.weights.get(scale)
        if declared is not None and wish.store.locate(declared) is None:
            choice = "bundled"
    if choice == "official" and scale not in spec.weights:
        has = ", ".join(f"x{s}" for s in sorted(spec.weights)) or "none"
        missing = f"No checkpoint of {name} x{scale} is known (published scales: {has}), so there is no picture."
        return Contestant(spec=spec, network=None, missing=missing)
    try:
        network = create_model(spec, scale, choice, store=wish.store).to(wish.device)
    except EsrError as error:
        return Contestant(spec=spec, network=None, missing=str(error))
    return Contestant(spec=spec, network=network, detail="" if choice in (None, "official") else f"{choice} weights")
