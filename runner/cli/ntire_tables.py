"""What `esr ntire` prints: tables of models and teams on stdout, the rules and warnings behind them on stderr."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from reports.ntire import SCORED, Eligibility, Standing, ThresholdRule
from reports.ntire_editions import Baseline, Edition
from reports.ntire_rows import TRACKS_2022
from runner.challenge import Measurement
from runner.challenge_report import missed_by_counter
from runner.cli.output import Row, emit, talk

RANK_HEADERS = {
    "main": "rank",
    "sub1": "sub 1",
    "sub2": "sub 2",
    "runtime": "r.time",
    "flops": "r.FLOPs",
    "params": "r.params",
    "activations": "r.acts",
    "memory": "r.mem",
}


def emit_teams(rows: Sequence[dict[str, Any]], edition: Edition, *, as_json: bool) -> None:
    """The ranking, and for people the table of what changes with the baseline's runtime."""
    if as_json:
        emit(rows, as_json=True, columns={})
        return
    columns = {
        "team": "team",
        "val_psnr": "val dB",
        "test_psnr": "test dB",
        "eligibility": "eligible",
        "runtime_ms": "ms",
        "params_m": "params M",
        "flops_g": "FLOPs G",
    }
    emit([shown(row) for row in rows], as_json=False, columns=_rank_columns(edition, columns), right=_TEXT_NUMBERS)
    if any(row["sensitivity"] for row in rows):
        _emit_sensitivity(rows)


def emit_models(rows: Sequence[dict[str, Any]], edition: Edition, *, as_json: bool) -> None:
    """The models that were measured; one that failed has its error in the row."""
    if as_json:
        emit(rows, as_json=True, columns={})
        return
    columns = {
        "model": "model",
        "eligibility": "eligible",
        "runtime_ms": "ms",
        "params_m": "params M",
        "flops_g": "FLOPs G",
        "activations_m": "acts M",
        "conv_calls": "convs",
        "memory_mib": "MiB",
        "val_psnr_db": "val dB",
        "test_psnr_db": "test dB",
    }
    emit(
        [shown(_in_units(row)) for row in rows],
        as_json=False,
        columns=_rank_columns(edition, columns),
        right=_TEXT_NUMBERS,
    )


def _in_units(row: Row) -> dict[str, Any]:
    """A model's row with the counts in the organisers' units."""
    if row.get("error"):
        return {"model": row["model"], "eligibility": "failed"}
    name = f"{row['model']} (baseline)" if row["is_baseline"] else row["model"]
    return dict(row) | {
        "model": name,
        "params_m": row["params"] / 1e6,
        "flops_g": row["flops"] / 1e9,
        "activations_m": row["activations"] / 1e6,
    }


_DECIMALS = {"params_m": 3} | dict.fromkeys(
    ("val_psnr", "test_psnr", "val_psnr_db", "test_psnr_db", "runtime_ms", "flops_g", "activations_m", "memory_mib"), 2
)
"""As the organisers print them."""


_TEXT_NUMBERS = (*_DECIMALS, *(f"score_{track}" for track in SCORED))


def shown(row: Row) -> dict[str, Any]:
    """A row as the table prints it: the organisers' decimals, scores that no float64 holds as powers of e."""
    cells = dict(row)
    for field, decimals in _DECIMALS.items():
        if isinstance(value := cells.get(field), (int, float)):
            cells[field] = f"{value:.{decimals}f}"
    for track in SCORED:
        cells[f"score_{track}"] = score_text(cells.get(f"score_{track}"), cells.get(f"log_score_{track}"))
    return cells


def score_text(score: float | None, log_score: float | None) -> str | None:
    """`4.05`, `1.538e+04`, or `e^1234.5` for what is beyond float64; None where there is no score."""
    if log_score is None:
        return None
    if score is None:
        return f"e^{log_score:.1f}"
    return f"{score:.2f}" if score < 1e4 else f"{score:.4g}"


def _rank_columns(edition: Edition, middle: Mapping[str, str]) -> dict[str, str]:
    """The main rank, what the rows are about, scores where the edition has any, and the ranks of the sub-tracks."""
    tracks = SCORED if edition.weights else TRACKS_2022
    scores = {f"score_{track}": "score" if track == "main" else f"s.{track}" for track in SCORED}
    return (
        {"rank_main": RANK_HEADERS["main"]}
        | dict(middle)
        | (scores if edition.weights else {})
        | {f"rank_{track}": RANK_HEADERS[track] for track in tracks if track != "main"}
    )


def _emit_sensitivity(rows: Sequence[Row]) -> None:
    """Teams whose main rank depends on which printed baseline runtime is taken, and the scores of all."""
    table = []
    for row in rows:
        by_source = row["sensitivity"]
        cells: dict[str, Any] = {"team": row["team"]}
        for one in by_source:
            ms = one["baseline_runtime_ms"]
            cells[f"score {ms}"] = score_text(one["score"], one["log_score"])
            cells[f"rank {ms}"] = one["rank"]
        cells["moves"] = "yes" if len({one["rank"] for one in by_source}) > 1 else ""
        table.append(cells)
    headers = {key: key for cells in table for key in cells if key not in ("team", "moves")}
    columns = {"team": "team", **headers, "moves": "moves"}
    emit(table, as_json=False, columns=columns, title="\nBy the runtime of the baseline (ms)", right=headers)


def explain(
    standings: Sequence[Standing], edition: Edition, rule: ThresholdRule, baseline: Baseline, source: str
) -> None:
    """The rules behind a ranking, and what they left out."""
    test = "" if edition.test_threshold_db is None else f" and test PSNR at least {edition.test_threshold_db:.2f} dB"
    talk(f"eligible: validation PSNR at least {edition.val_threshold_db:.2f} dB{test}; compared: {rule.value}")
    if edition.weights is None:
        talk("ranks: main by runtime; sub 1 and 2 by the sum of ranks in params+FLOPs, and in all five metrics")
    else:
        w = edition.weights
        talk(
            f"score: {w.runtime:.2f} runtime + {w.flops:.2f} FLOPs + {w.params:.2f} params of exp(2 m / m0), lower is "
            f"better; m0 is {escape(baseline.name)}, {source}: {_m0(baseline)}"
        )
    if any(standing.overflows for standing in standings):
        talk("[yellow]overflow:[/] scores shown as e^x are beyond float64; they are ranked by x, the logarithm")
    for standing in standings:
        if not standing.ranks and not standing.entry.is_baseline:
            talk(f"not ranked: {escape(standing.entry.team)}: {escape(standing.why)}")


def _m0(baseline: Baseline) -> str:
    values = ((baseline.runtime_ms, "ms"), (baseline.flops_g, "G"), (baseline.params_m, "M"))
    return ", ".join(f"{value:.5g} {unit}" for value, unit in values if value is not None and math.isfinite(value))


def explain_models(rows: Sequence[Row], measured: Sequence[Measurement], edition: Edition) -> None:
    """Where the times come from, why a score is open, and what the counter did not see."""
    missed = {one.name: missed_by_counter(one, edition.flops_counter) for one in measured}
    for row in rows:
        if row.get("error"):
            continue
        talk(f"{escape(row['model'])}: runtime on {escape(row['device_name'])}: {escape(row['runtime_rule'])}")
        if not row["comparable"]:
            talk(
                f"[yellow]main score not comparable:[/] {escape(row['not_comparable_because'])}. "
                f"Pass --baseline measured to time the baseline here."
            )
        if row["noise"]:
            talk(f"[yellow]noise:[/] {escape('; '.join(row['noise']))}")
        if sentence := missed[row["model"]]:
            talk(f"[yellow]FLOPs:[/] {escape(sentence)}")
    with_images = next((row for row in rows if row.get("sets")), None)
    if with_images and with_images["eligibility"] == Eligibility.UNKNOWN.value:
        sets = " and ".join(f"{len(of['per_image'])} images of {of['dataset']}" for of in with_images["sets"])
        asked = edition.val_set + ("" if edition.test_threshold_db is None else f" and of {edition.test_set}")
        talk(f"PSNR on {escape(sets)} does not decide: the edition asks for the {edition.images} images of {asked}")
