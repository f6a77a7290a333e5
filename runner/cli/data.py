"""`esr data`: the data sets on this machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import DataDir, Json, Recipe, Scale
from runner.cli.output import emit, progress, talk
from zoo.contract import BadInput, JobFailed
from zoo.protocols import LrRecipe

Name = Annotated[str, typer.Argument(metavar="NAME", help="Set5, Set14, B100, sample, ... or a folder.")]


def register(app: typer.Typer) -> None:
    """Add the command group to the app."""
    group = typer.Typer(no_args_is_help=True, help="List, fetch, prepare and verify data sets.")
    group.command("list", epilog="Example: esr data list")(list_data)
    group.command("pull", epilog="Example: esr data pull B100")(pull_data)
    group.command("prepare", epilog="Example: esr data prepare Set14 --scale 4 --recipe matlab-float --out data/Set14")(
        prepare_data
    )
    group.command("verify", epilog="Example: esr data verify Set5")(verify_data)
    group.command("identify", epilog="Example: esr data identify data/Set5/HR data/Set5/LR_bicubic/X4")(identify_lr)
    app.add_typer(group, name="data")


def list_data(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the published test sets and the data sets found on this machine."""
    from runner.datasets import SAMPLE, SAMPLE_IMAGES, found_datasets, lr_scales
    from runner.known_sets import KNOWN_SETS, how_to_get, known_set

    rows: list[dict[str, Any]] = [_row(SAMPLE, len(SAMPLE_IMAGES), "built in")]
    for place in found_datasets(data_dir or ()):
        known = known_set(place.root.name)
        row = _row(known.name if known else place.root.name, known.images if known else None, str(place.root))
        given = [f"x{scale}" for scale in lr_scales(place)]
        rows.append(row | {"images": len(place.hr_files()), "lr": given, "layout": place.layout.key})
    held = {row["dataset"] for row in rows}
    rows += [
        _row(name, known.images, None) | {"images": 0, "next_step": how_to_get(known)}
        for name, known in KNOWN_SETS.items()
        if name not in held
    ]
    columns = {
        "dataset": "data",
        "images": "images",
        "expected": "of",
        "lr": "LR given",
        "layout": "layout",
        "path": "where",
    }
    emit(rows, as_json=as_json, columns=columns | {"next_step": "how to get it"})


def _row(name: str, images: int | None, path: str | None) -> dict[str, Any]:
    return {
        "dataset": name,
        "images": images,
        "expected": images,
        "lr": [],
        "layout": "",
        "path": path,
        "next_step": "",
    }


def pull_data(name: Name, as_json: Json = False) -> None:
    """Download a data set that has a public archive into the user cache, and check its pixels."""
    from runner.data_download import pull
    from runner.known_sets import KNOWN_SETS, known_set

    known = known_set(name)
    if known is None:
        raise BadInput(f"{name!r} is no published set. Known: {', '.join(KNOWN_SETS)}.")
    if known.archive:
        talk(f"downloading {known.archive.url}")
    path = pull(known)
    emit(
        [{"dataset": known.name, "images": known.images, "path": str(path)}],
        as_json=as_json,
        columns={"dataset": "data", "images": "images", "path": "where"},
    )


def prepare_data(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="Folder that gets LR_<recipe>/X<scale>.")],
    scale: Scale = 4,
    recipe: Recipe = LrRecipe.MATLAB_U8,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write the LR images of a data set as PNG, with a manifest of the decoded pixels.

    They are used in place of generated ones when OUT is the data set's own folder.
    """
    from runner.data_manifest import write_lr
    from runner.datasets import open_hr

    images = open_hr(name, folders=data_dir or ())
    with progress() as bar:
        task = bar.add_task(f"{images.name} x{scale} {recipe.value}", total=len(images.paths))
        folder = write_lr(images, scale, recipe, out, lambda: bar.advance(task))
    row = {"dataset": images.name, "scale": scale, "recipe": recipe.value, "images": len(images.paths)}
    columns = {"dataset": "data", "scale": "scale", "recipe": "recipe", "images": "images", "path": "where"}
    emit([row | {"path": str(folder)}], as_json=as_json, columns=columns)


def verify_data(name: Name, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Compare the HR images of a data set with the published pixels; the exit code is 1 unless all are the same."""
    from runner.data_manifest import ImageState, readable, verify
    from runner.datasets import SAMPLE, open_hr
    from runner.known_sets import KNOWN_SETS, committed_manifest, known_set

    images = open_hr(name, folders=data_dir or ())
    manifest, known = committed_manifest(images.name), known_set(images.name)
    with progress() as bar:
        task = bar.add_task(images.name, total=len(images.paths))

        def advance() -> None:
            bar.advance(task)

        found = (
            verify(images, manifest, advance) if manifest else readable(images, known.names if known else (), advance)
        )
    rows = [
        {"dataset": images.name, "image": image.name, "state": image.state.value, "detail": image.detail}
        for image in found
    ]
    silent = (ImageState.OK.value, ImageState.NOT_COMPARED.value)
    shown = rows if as_json else [r for r in rows if r["state"] not in silent or (manifest and r["detail"])]
    if as_json or shown:
        emit(shown, as_json=as_json, columns={"image": "image", "state": "state", "detail": "detail"})
    counts = Counter(image.state for image in found)
    talk(f"{escape(images.name)}: " + ", ".join(f"{number} {state.value}" for state, number in counts.items()))
    if manifest is None:
        of = f" of {known.images}" if known else ""
        raise JobFailed(
            f"The suite holds no manifest of {images.name}, so the pixels of its {len(images.paths)}{of} images cannot "
            f"be compared. Sets with one: {SAMPLE}, {', '.join(n for n, k in KNOWN_SETS.items() if k.manifest())}."
        )
    if set(counts) != {ImageState.OK}:
        raise typer.Exit(1)


def identify_lr(
    hr_dir: Annotated[Path, typer.Argument(metavar="HR_DIR", help="Folder of HR images.")],
    lr_dir: Annotated[Path, typer.Argument(metavar="LR_DIR", help="Folder of the LR images made from them.")],
    as_json: Json = False,
) -> None:
    """Name the recipe that made the LR images of a folder, by comparing every value; best first.

    Where none makes every value the closest comes first, with what else is off: a shift, a mod-crop, swapped channels.
    """
    from runner.identify import files_of, identify, pair_up

    pairs = pair_up(files_of(hr_dir, "_HR"), files_of(lr_dir, "_LR"))
    with progress() as bar:
        task = bar.add_task("comparing", total=len(pairs))
        found = identify(pairs, lambda: bar.advance(task))
    rows = [
        {
            "recipe": match.recipe.value,
            "scale": match.scale,
            "exact": match.exact,
            "images": match.images,
            "exact_images": match.exact_images,
            "values": match.values,
            "differing": match.differing,
            "percent": 100 * match.differing / match.values,
            "largest": match.largest,
            "modcrop": found.multiple if found.multiple > 1 else match.scale,
            "rounded_up": found.rounded_up,
            "unlike": list(match.unlike),
            "notes": list(found.notes) if match is found.matches[0] else [],
        }
        for match in found.matches
    ]
    columns = {"recipe": "recipe", "scale": "scale", "exact_images": "exact images", "images": "of"}
    columns |= {"differing": "values that differ", "values": "of values", "percent": "%", "largest": "by at most"}
    emit(rows, as_json=as_json, columns=columns)
    best = found.matches[0]
    crop = f", HR cropped to a multiple of {found.multiple} first" if found.multiple > 1 else ""
    crop += ", HR not mod-cropped (the last LR pixels are not compared)" if found.rounded_up else ""
    if best.exact:
        free = (
            " but for exact halves, which OpenCV's builds round differently" if best.recipe is LrRecipe.OPENCV else ""
        )
        talk(f"{best.recipe.value} at x{best.scale} makes every value{free}{crop}")
        return
    share = f"{best.differing:,} of {best.values:,} values differ, by up to {best.largest}"
    talk(f"no recipe makes these images; the closest is {best.recipe.value} at x{best.scale}: {share}{crop}")
    for note in found.notes:
        talk(escape(note))
    if best.exact_images:
        listed = ", ".join(best.unlike[:5]) + (" ..." if len(best.unlike) > 5 else "")
        talk(f"{best.exact_images} of {best.images} images are exact; not {escape(listed)}")
