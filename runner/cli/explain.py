"""`esr explain`: what each choice of a protocol does to a result, on the data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import DataDir, Json, Scale, Weights, WeightsDir
from runner.cli.output import emit, progress, talk
from zoo.contract import BadInput
from zoo.protocols import EvalProtocol, LrRecipe

if TYPE_CHECKING:
    from torch import nn

    from runner.datasets import Dataset
    from runner.explain import Candidate, Open, Printed, Score, Walk

NEAREST_SHOWN = 3
MATCHES_SHOWN = 12

WALK_COLUMNS = {
    "choice": "choice",
    "change": "from -> to",
    "alone": "alone dB",
    "step": "step dB",
    "psnr": "PSNR dB",
    "ssim_step": "step SSIM",
    "ssim": "SSIM",
    "note": "",
}
SEARCH_COLUMNS = {
    "gives": "gives it",
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "changes": "differs from ours by",
    "protocol": "protocol",
}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        "explain",
        epilog="Example: esr explain matlab-u8 y601full-matlab-float --model bicubic --data sample"
        "\n\nExample: esr explain 38.10/0.9610 --model bsrn --scale 2 --data Set5",
    )(explain)


def explain(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A protocol's id or parts of one, `default`, or a printed number.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="[B]", help="The same; by default the model's default protocol.")
    ] = "default",
    model: Annotated[str, typer.Option("--model", "-m", help="Zoo name or my_net.py:MyNet.")] = "bicubic",
    scale: Scale = 4,
    data: Annotated[str, typer.Option("--data", help="Data set: a name of `esr data list`, or a folder.")] = "sample",
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Try it for a printed number too: nine times the work.")
    ] = False,
    weights: Weights = "official",
    weights_dir: WeightsDir = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Say how much each choice moves PSNR and SSIM between two protocols, or which choices give a printed number.

    From A to B one choice changes after the other, so the steps add up to the difference; `alone` is what a choice
    does by itself in A. A printed number is PSNR (38.10), SSIM (0.9610) or both (38.10/0.9610), with all its digits:
    every combination of the named choices is then tried, and those that round to these digits are listed.
    """
    from runner.cli.quality import require_device, runnable
    from runner.explain import Printed
    from runner.protocol_choice import read_protocol

    spec = runnable(model, scale)
    require_device(device)
    default = EvalProtocol(inference=spec.inference)
    numbers = [number for number in (Printed.parse(first), Printed.parse(second)) if number is not None]
    protocols = [read_protocol(text, default) for text in (first, second) if Printed.parse(text) is None]
    if len(numbers) > 1:
        raise BadInput(f"{first} and {second} are both printed numbers. Pass one, and a protocol or nothing for ours.")
    network = _network(model, scale, weights, weights_dir or ())
    open_data = _opener(data, scale, tuple(data_dir or ()))
    if not numbers:
        _show_walk(_walk(network, open_data, protocols, scale=scale, device=device), scale, as_json=as_json)
        return
    printed_as = first if Printed.parse(first) else second
    _show_search(
        _search(network, open_data, numbers[0], protocols[0], scale=scale, ensemble=self_ensemble, device=device),
        printed_as,
        scale,
        as_json=as_json,
    )


def _network(model: str, scale: int, weights: str, folders: tuple[Path, ...] | list[Path]) -> nn.Module:
    from runner.chosen_weights import choose_weights
    from zoo.catalogue import find
    from zoo.create import create_model
    from zoo.weights import default_store

    spec = find(model)
    chosen = choose_weights(weights, reference=model, spec=spec, scale=scale, folders=tuple(folders))
    if weights == "official" and model != spec.name and scale not in spec.weights:
        chosen = None  # a user's file is taken as its constructor leaves it
    return create_model(spec, scale, chosen, store=default_store(folders))


def _opener(data: str, scale: int, folders: tuple[Path, ...]) -> Open:
    from runner.datasets import open_dataset

    def open_data(recipe: LrRecipe) -> Dataset:
        return open_dataset(data, scale, recipe=recipe, folders=folders)

    return open_data


def _walk(network: nn.Module, open_data: Open, protocols: list[EvalProtocol], *, scale: int, device: str) -> Walk:
    from runner.explain import walk

    with progress() as bar:
        task = bar.add_task("SR images", total=None)
        return walk(network, open_data, *protocols, scale=scale, device=device, on_image=lambda: bar.advance(task))


def _search(
    network: nn.Module,
    open_data: Open,
    printed: Printed,
    ours: EvalProtocol,
    *,
    scale: int,
    ensemble: bool,
    device: str,
) -> list[Candidate]:
    from runner.explain import candidates, runs_needed, search

    runs = runs_needed(candidates(ours, scale=scale, self_ensemble=ensemble))
    with progress() as bar:
        task = bar.add_task("SR images", total=runs * len(open_data(ours.lr_recipe).pairs))
        return search(
            network,
            open_data,
            printed,
            ours,
            scale=scale,
            self_ensemble=ensemble,
            device=device,
            on_image=lambda: bar.advance(task),
        )


def _show_walk(found: Walk, scale: int, *, as_json: bool) -> None:
    rows = [_start_row(found, scale)]
    for step in found.steps:
        rows.append(
            {
                "choice": step.choice,
                "before": step.before,
                "after": step.after,
                "alone_db": step.alone.psnr_db,
                "step_db": step.step.psnr_db,
                "alone_ssim": step.alone.ssim,
                "step_ssim": step.step.ssim,
                **_score(step.score),
                "protocol": step.protocol.id(scale),
                "note": step.note,
            }
        )
    total = _total(found)
    emit(
        rows if as_json else [_shown_step(row) for row in rows],
        as_json=as_json,
        columns=WALK_COLUMNS,
        right=("alone", "step", "psnr", "ssim", "ssim_step"),
    )
    if not found.steps:
        talk("A and B are the same protocol.")
        return
    alone = [step.alone.psnr_db for step in found.steps]
    together = "" if None in alone else f"; alone the choices make {sum(a for a in alone if a is not None):+.4f} dB"
    talk(f"{escape(found.first.id(scale))} -> {escape(found.last.id(scale))}: {total}{together}")


def _start_row(found: Walk, scale: int) -> dict[str, Any]:
    nothing = dict.fromkeys(("before", "after", "alone_db", "step_db", "alone_ssim", "step_ssim"))
    return {"choice": "A", **nothing, **_score(found.start), "protocol": found.first.id(scale), "note": ""}


def _total(found: Walk) -> str:
    psnr, ssim = (
        None if a is None or b is None else b - a
        for a, b in ((found.start.psnr_db, found.end.psnr_db), (found.start.ssim, found.end.ssim))
    )
    return f"{_signed(psnr, 4)} dB, SSIM {_signed(ssim, 5)}"


def _shown_step(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "choice": row["choice"],
        "change": row["protocol"] if row["before"] is None else f"{row['before']} -> {row['after']}",
        "alone": _signed(row["alone_db"], 4),
        "step": _signed(row["step_db"], 4),
        "psnr": f"{row['psnr_y_db']:.4f}",
        "ssim_step": _signed(row["step_ssim"], 5),
        "ssim": f"{row['ssim_y']:.5f}",
        "note": row["note"],
    }


def _show_search(found: list[Candidate], printed: str, scale: int, *, as_json: bool) -> None:
    giving = [candidate for candidate in found if candidate.gives]
    shown = giving or found[:NEAREST_SHOWN]
    rows: list[dict[str, Any]] = [
        {
            "printed": printed,
            "gives": candidate.gives,
            **_score(candidate.score),
            "changes": list(candidate.changes),
            "protocol": candidate.protocol.id(scale),
        }
        for candidate in shown
    ]
    table = [
        row
        | {
            "psnr": "-" if row["psnr_y_db"] is None else f"{row['psnr_y_db']:.4f}",
            "ssim": "-" if row["ssim_y"] is None else f"{row['ssim_y']:.5f}",
            "changes": ", ".join(row["changes"]) or "nothing",
        }
        for row in rows[:MATCHES_SHOWN]
    ]
    emit(rows if as_json else table, as_json=as_json, columns=SEARCH_COLUMNS, right=("psnr", "ssim"))
    if not giving:
        talk(
            f"None of the {len(found)} protocols tried gives {escape(printed)}; the nearest are listed. Other weights, "
            f"images or a choice without a name here made it."
        )
        return
    best = giving[0]
    how = f"by changing {', '.join(best.changes)}" if best.changes else "as it is"
    more = f", {MATCHES_SHOWN} of them listed" if not as_json and len(giving) > MATCHES_SHOWN else ""
    talk(
        f"{len(giving)} of the {len(found)} protocols tried give {escape(printed)}{more}; ours does {escape(how)}. "
        f"Few digits are met by chance too: a whole row of numbers says more than one."
    )


def _score(score: Score) -> dict[str, float | None]:
    return {"psnr_y_db": score.psnr_db, "ssim_y": score.ssim}


def _signed(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:+.{decimals}f}"
