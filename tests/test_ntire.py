"""NTIRE rules: published scores and ranks, eligibility, overflow, ties, the 2022 rank sums, what the baseline decides.

Committed numbers are those that the AGDN paper's Table 6 and the 2024 report's Table 1 print; the whole Table 1 is
checked where the shared material is.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.ntire import Eligibility, Entry, ThresholdRule, eligibility, log_scores, rank, sensitivity
from reports.ntire import uncounted_suspicion as suspicion
from reports.ntire_editions import EDITIONS, Baseline, edition_of
from tests.shared import require
from zoo.contract import BadInput

E2024 = EDITIONS[2024]
WEIGHTS = E2024.weights
assert WEIGHTS is not None

# team, validation and test PSNR, ms, params, FLOPs; printed scores of runtime, FLOPs, params and the final one; and
# the places among all 26 teams: main, runtime, FLOPs, params.
TABLE_6 = [
    ("MViC_SR", 26.90, 27.00, 11.882, 0.138, 8.16, (7.53, 2.29, 2.39, 5.97), (10, 11, 5, 6)),
    ("VPEG_C", 26.90, 27.03, 16.032, 0.084, 4.97, (15.24, 1.66, 1.70, 11.17), (17, 17, 2, 3)),
    ("VPEG_E", 26.90, 27.01, 18.476, 0.093, 5.89, (23.09, 1.82, 1.80, 16.71), (18, 20, 4, 5)),
    ("ZHEstar", 26.93, 27.04, 27.866, 0.090, 5.81, (113.87, 1.81, 1.76, 80.25), (21, 21, 3, 4)),
    ("PiXupt", 26.91, 27.00, 48.562, 0.060, 9.84, (3834.6, 2.72, 1.46, 2684.9), (23, 23, 9, 1)),
    ("XJU_100th Ann", 26.90, 27.02, 58.836, 0.069, 4.39, (21974.0, 1.56, 1.55, 15382.0), (25, 25, 1, 2)),
]
TRACKS = ("runtime", "flops", "params", "main")
PRINTED = 0.003
"""Relative difference that the rounding of the printed numbers allows."""


def entry(team: str = "a", **changes: Any) -> Entry:
    """An eligible entry that equals the 2024 baseline."""
    values = {
        "val_psnr_db": 26.95,
        "test_psnr_db": 27.05,
        "runtime_ms": 11.77,
        "params_m": 0.317,
        "flops_g": 19.67,
    }
    return Entry(team=team, **(values | changes))


def table_6() -> list[Entry]:
    return [
        Entry(team=team, val_psnr_db=val, test_psnr_db=test, runtime_ms=ms, params_m=params, flops_g=flops)
        for team, val, test, ms, params, flops, _scores, _places in TABLE_6
    ]


@pytest.mark.parametrize("row", TABLE_6, ids=lambda row: str(row[0]))
def test_scores_of_table_6_are_the_published_ones(row: tuple[Any, ...]) -> None:
    (standing,) = (s for s in rank(table_6(), E2024) if s.entry.team == row[0])
    for track, printed in zip(TRACKS, row[6], strict=True):
        assert standing.score(track) == pytest.approx(printed, rel=PRINTED)


@pytest.mark.parametrize(("track", "place"), [("main", 0), ("runtime", 1), ("flops", 2), ("params", 3)])
def test_order_of_table_6_is_the_published_one_in_every_track(track: str, place: int) -> None:
    ours = sorted(rank(table_6(), E2024), key=lambda s: s.ranks[track])
    assert [s.entry.team for s in ours] == [row[0] for row in sorted(TABLE_6, key=lambda row: row[7][place])]
    assert [s.ranks[track] for s in ours] == [1, 2, 3, 4, 5, 6]


def test_the_whole_table_of_2024_is_reproduced() -> None:
    published = json.loads(require("ntire2024/scores.json").read_text(encoding="utf-8"))
    rows = {row["team"]: row for row in published["team_rows"]}
    standings = rank([_published_entry(row) for row in rows.values()], E2024)
    assert [s.entry.team for s in standings if s.ranks] == sorted(
        (team for team, row in rows.items() if row["rank"]), key=lambda team: rows[team]["rank"]
    )
    assert len(standings) == 35
    for standing in standings:
        row = rows[standing.entry.team]
        assert (standing.eligibility is Eligibility.YES) == row["recomputed"]["eligible"]
        for track in TRACKS:
            assert standing.score(track) == pytest.approx(row[f"score_{track}"], rel=PRINTED)
            assert standing.score(track) == pytest.approx(row["recomputed"][f"score_{track}"], rel=1e-12)
            assert standing.ranks.get(track) == row["recomputed"].get(f"rank_{track}")


def _published_entry(row: dict[str, Any]) -> Entry:
    return Entry(
        team=row["team"],
        val_psnr_db=row["val_psnr"],
        test_psnr_db=row["test_psnr"],
        runtime_ms=row["ave_ms"],
        params_m=row["params_M"],
        flops_g=row["flops_G"],
    )


def test_the_readmes_baseline_runtime_moves_five_teams_of_2024() -> None:
    published = json.loads(require("ntire2024/scores.json").read_text(encoding="utf-8"))
    found = sensitivity([_published_entry(row) for row in published["team_rows"]], E2024)
    moved = {team: [one.rank for one in by] for team, by in found.items() if len({one.rank for one in by}) > 1}
    assert moved == {
        "AdvancedSR": [7, 10],
        "ECNU_MViC": [8, 7],
        "MViC_SR": [10, 8],
        "Lanzhi": [13, 14],
        "Supersr": [14, 13],
    }


def test_the_baselines_runtime_decides_who_of_two_close_teams_is_ahead() -> None:
    close = [
        entry("AdvancedSR", runtime_ms=10.49, params_m=0.263, flops_g=16.20),
        entry("MViC_SR", runtime_ms=11.88, params_m=0.138, flops_g=8.16),
    ]
    ranks = {team: [one.rank for one in by] for team, by in sensitivity(close, E2024).items()}
    assert ranks == {"AdvancedSR": [1, 2], "MViC_SR": [2, 1]}


def test_agdn_s_scores_15382_or_4164_by_the_baselines_runtime() -> None:
    agdn_s = entry("agdn_s", runtime_ms=58.836, params_m=0.069272, flops_g=4.38768576)
    published, readme = sensitivity([agdn_s], E2024)["agdn_s"]
    assert (published.baseline_runtime_ms, readme.baseline_runtime_ms) == (11.77, 13.54)
    assert published.score == pytest.approx(15382.36, abs=0.01)
    assert readme.score == pytest.approx(4163.58, abs=0.01)
    assert agdn_s.is_baseline is False


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_a_baseline_scores_e_squared_in_its_own_edition(year: int) -> None:
    edition = EDITIONS[year]
    own = edition.baseline
    same = entry(runtime_ms=own.runtime_ms, params_m=own.params_m, flops_g=own.flops_g)
    (standing,) = rank([same], edition)
    assert [standing.score(track) for track in TRACKS] == pytest.approx([math.e**2] * 4)
    assert edition.weights is not None
    assert edition.weights.runtime + edition.weights.flops + edition.weights.params == pytest.approx(1)


def test_2026_weighs_runtime_more_than_2024() -> None:
    twice_as_slow = {
        year: log_scores(
            entry(runtime_ms=2.0, params_m=1.0, flops_g=1.0),
            Baseline(name="unit", model=None, runtime_ms=1.0, params_m=1.0, flops_g=1.0),
            weights,
        )["main"]
        for year in (2024, 2026)
        if (weights := EDITIONS[year].weights)
    }
    assert math.exp(twice_as_slow[2024]) == pytest.approx(0.7 * math.e**4 + 0.3 * math.e**2)
    assert math.exp(twice_as_slow[2026]) == pytest.approx(0.8 * math.e**4 + 0.2 * math.e**2)


def test_2023_is_refused_with_its_reason() -> None:
    with pytest.raises(BadInput, match=r"2023.*unverified.*2022, 2024, 2025, 2026"):
        edition_of(2023)
    with pytest.raises(BadInput, match="no NTIRE edition 1999"):
        edition_of(1999)


@pytest.mark.parametrize(
    ("val", "test", "rule", "expected"),
    [
        (26.90, 26.99, ThresholdRule.PRINTED, Eligibility.YES),
        (26.90, 26.99, ThresholdRule.RAW, Eligibility.YES),
        (26.8964, 26.9856, ThresholdRule.PRINTED, Eligibility.YES),
        (26.8964, 27.05, ThresholdRule.RAW, Eligibility.NO),
        (27.05, 26.9856, ThresholdRule.RAW, Eligibility.NO),
        (26.8949, 27.05, ThresholdRule.PRINTED, Eligibility.NO),
        (27.00, 26.95, ThresholdRule.PRINTED, Eligibility.NO),
        (26.95, None, ThresholdRule.PRINTED, Eligibility.UNKNOWN),
        (None, None, ThresholdRule.PRINTED, Eligibility.UNKNOWN),
        (26.00, None, ThresholdRule.PRINTED, Eligibility.NO),
    ],
)
def test_eligibility(val: float | None, test: float | None, rule: ThresholdRule, expected: Eligibility) -> None:
    assert eligibility(entry(val_psnr_db=val, test_psnr_db=test), E2024, rule)[0] is expected


def test_2022_asks_for_the_validation_psnr_only() -> None:
    assert eligibility(entry(val_psnr_db=29.0, test_psnr_db=None), EDITIONS[2022], ThresholdRule.RAW)[0] is (
        Eligibility.YES
    )


def test_who_is_not_eligible_unknown_or_the_baseline_is_scored_and_takes_no_rank() -> None:
    standings = rank(
        [
            entry("slow", runtime_ms=20.0),
            entry("blurred", val_psnr_db=20.0, runtime_ms=1.0),
            entry("untested", test_psnr_db=None, runtime_ms=1.0),
            entry("RLFN (Baseline)"),
            entry("fast", runtime_ms=5.0),
            entry("no_baseline_net", runtime_ms=6.0),
        ],
        E2024,
    )
    ranks = {s.entry.team: s.ranks.get("main") for s in standings}
    assert ranks == {
        "fast": 1,
        "no_baseline_net": 2,
        "slow": 3,
        "blurred": None,
        "untested": None,
        "RLFN (Baseline)": None,
    }
    assert [s.entry.team for s in standings[:3]] == ["fast", "no_baseline_net", "slow"]
    assert all(s.score("main") is not None for s in standings)


def test_equal_values_share_the_smaller_rank() -> None:
    same = [entry("a", params_m=0.1), entry("b", params_m=0.1), entry("c", params_m=0.2), entry("d", params_m=0.05)]
    assert {s.entry.team: s.ranks["params"] for s in rank(same, E2024)} == {"d": 1, "a": 2, "b": 2, "c": 4}


def test_an_unknown_runtime_leaves_the_main_score_open_and_ranks_the_rest() -> None:
    (standing,) = rank([entry(runtime_ms=None)], E2024)
    assert standing.score("main") is None
    assert standing.ranks == {"flops": 1, "params": 1}
    assert standing.overflows is False


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="Two entries are called 'a'"):
        rank([entry("a"), entry("a")], E2024)


def test_scores_beyond_float64_are_ranked_by_their_logarithm() -> None:
    unit = Baseline(name="unit", model=None, runtime_ms=1.0, params_m=1.0, flops_g=1.0)
    slow = [entry(name, runtime_ms=ms, params_m=1.0, flops_g=1.0) for name, ms in (("b", 400.0), ("a", 354.8))]
    standings = rank([*slow, entry("c", runtime_ms=1e6, params_m=1.0, flops_g=1.0)], E2024, baseline=unit)
    assert [s.entry.team for s in standings] == ["a", "b", "c"]
    assert [s.overflows for s in standings] == [False, True, True]
    assert standings[0].score("main") == pytest.approx(0.7 * math.exp(709.6))
    assert standings[1].score("main") is None
    assert standings[1].log_scores["main"] == pytest.approx(800 + math.log(0.7))
    assert [s.ranks["runtime"] for s in standings] == [1, 2, 3]


metric = st.floats(min_value=1e-3, max_value=1e5)


@given(runtime=metric, flops=metric, params=metric)
def test_the_logarithm_is_that_of_the_formula(runtime: float, flops: float, params: float) -> None:
    unit = Baseline(name="unit", model=None, runtime_ms=1.0, params_m=1.0, flops_g=1.0)
    assert WEIGHTS is not None
    log = log_scores(entry(runtime_ms=runtime, flops_g=flops, params_m=params), unit, WEIGHTS)["main"]
    assert math.isfinite(log)
    if max(runtime, flops, params) < 300:
        direct = 0.7 * math.exp(2 * runtime) + 0.15 * math.exp(2 * flops) + 0.15 * math.exp(2 * params)
        assert log == pytest.approx(math.log(direct), rel=1e-12, abs=1e-12)
    else:
        assert log == pytest.approx(2 * max(runtime, flops, params), abs=2)


@given(
    base=st.tuples(metric, metric, metric),
    field=st.sampled_from(["runtime_ms", "flops_g", "params_m"]),
    factor=st.floats(min_value=0.01, max_value=0.99),
)
def test_a_smaller_metric_never_worsens_a_score_or_a_rank(
    base: tuple[float, float, float], field: str, factor: float
) -> None:
    before = entry("before", runtime_ms=base[0], flops_g=base[1], params_m=base[2])
    after = replace(before, team="after", **{field: getattr(before, field) * factor})
    standings = {s.entry.team: s for s in rank([before, after], E2024)}
    for track in TRACKS:
        assert standings["after"].log_scores[track] <= standings["before"].log_scores[track]
        assert standings["after"].ranks[track] <= standings["before"].ranks[track]


@given(st.permutations(range(len(TABLE_6))))
def test_ranks_do_not_depend_on_the_order_of_the_file(order: list[int]) -> None:
    entries = table_6()
    expected = {s.entry.team: s.ranks for s in rank(entries, E2024)}
    assert {s.entry.team: s.ranks for s in rank([entries[i] for i in order], E2024)} == expected


def team_2022(team: str, *metrics: float) -> Entry:
    """Runtime, params, FLOPs, activations and memory of an eligible entry."""
    runtime_ms, params_m, flops_g, activations_m, memory_mib = metrics
    return Entry(
        team=team,
        val_psnr_db=29.0,
        test_psnr_db=None,
        runtime_ms=runtime_ms,
        params_m=params_m,
        flops_g=flops_g,
        activations_m=activations_m,
        memory_mib=memory_mib,
    )


def test_2022_ranks_by_runtime_and_by_sums_of_ranks() -> None:
    entries = [
        team_2022("a", 10.0, 0.3, 30.0, 50.0, 500.0),  # ranks 1 3 3 1 3: main 1, sums 6 and 11
        team_2022("b", 20.0, 0.2, 10.0, 90.0, 400.0),  # ranks 2 2 1 3 2: main 2, sums 3 and 10
        team_2022("c", 30.0, 0.1, 20.0, 70.0, 100.0),  # ranks 3 1 2 2 1: main 3, sums 3 and 9
    ]
    standings = {s.entry.team: s for s in rank(entries, EDITIONS[2022])}
    assert [standings[team].ranks["main"] for team in "abc"] == [1, 2, 3]
    assert [standings[team].rank_sums["sub1"] for team in "abc"] == [6, 3, 3]
    assert [standings[team].ranks["sub1"] for team in "abc"] == [3, 1, 1]
    assert [standings[team].rank_sums["sub2"] for team in "abc"] == [11, 10, 9]
    assert [standings[team].ranks["sub2"] for team in "abc"] == [3, 2, 1]
    assert standings["a"].log_scores == {}
    assert sensitivity(entries, EDITIONS[2022]) == {}


def test_2022_ranks_overall_performance_only_where_all_five_metrics_are_known() -> None:
    entries = [team_2022("a", 1, 1, 1, 1, 1), replace(team_2022("b", 2, 2, 2, 2, 2), memory_mib=None)]
    standings = {s.entry.team: s for s in rank(entries, EDITIONS[2022])}
    assert standings["a"].ranks["sub2"] == 1
    assert "sub2" not in standings["b"].ranks
    assert standings["b"].ranks["sub1"] == 2


def test_flops_that_cannot_hold_all_parameters_are_named() -> None:
    # A 2026 entry whose extension the trace does not see: 1.59 G for 0.139 M parameters, 9.11 G by hand.
    assert "9.11 G" in (suspicion(entry("team22", params_m=0.139, flops_g=1.59)) or "")
    assert suspicion(entry("agdn_s", params_m=0.069, flops_g=4.39)) is None
