"""Rows of an NTIRE report as tables and JSON have them; what a number is not known for is null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from reports.ntire import SCORED, SUB_TRACKS_2022, Entry, Sensitivity, Standing
from reports.ntire_editions import Baseline, Edition

TRACKS_2022: Final = ("main", *SUB_TRACKS_2022, "runtime", "flops", "params", "activations", "memory")


def score_fields(
    standing: Standing,
    edition: Edition,
    *,
    baseline: Baseline,
    baseline_source: str,
    sensitivities: Mapping[str, Sequence[Sensitivity]],
) -> dict[str, Any]:
    """Eligibility, scores (null where unknown or beyond float64), their logarithms and ranks, as a row has them."""
    fields: dict[str, Any] = {
        "edition": edition.year,
        "is_baseline": standing.entry.is_baseline,
        "eligibility": standing.eligibility.value,
        "eligibility_reason": standing.why,
        "sensitivity": [asdict(one) for one in sensitivities.get(standing.entry.team, ())],
    }
    if edition.weights:
        for track in SCORED:
            fields[f"score_{track}"] = standing.score(track)
            fields[f"log_score_{track}"] = standing.log_scores.get(track)
            fields[f"rank_{track}"] = standing.ranks.get(track)
        fields["baseline"] = {
            "name": baseline.name,
            "source": baseline_source,
            "runtime_ms": baseline.runtime_ms,
            "flops_g": baseline.flops_g,
            "params_m": baseline.params_m,
        }
    else:
        fields |= {f"rank_{track}": standing.ranks.get(track) for track in TRACKS_2022}
        fields |= {f"rank_sum_{track}": standing.rank_sums.get(track) for track in SUB_TRACKS_2022}
    return fields


def team_row(entry: Entry) -> dict[str, Any]:
    """The numbers of a ranked file's team, as given."""
    return {
        "team": entry.team,
        "val_psnr": entry.val_psnr_db,
        "test_psnr": entry.test_psnr_db,
        "runtime_ms": entry.runtime_ms,
        "params_m": entry.params_m,
        "flops_g": entry.flops_g,
        "activations_m": entry.activations_m,
        "memory_mib": entry.memory_mib,
    }
