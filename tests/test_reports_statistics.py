"""Paired differences, ranks and the correction for many comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.statistics import differences, holm, mean_intervals, ranks
from tests.cli import esr
from zoo.contract import BadInput


def measured(
    seed: int, shifts: dict[str, float], images: int = 100, spread: float = 0.05
) -> dict[str, dict[str, float]]:
    """Networks whose values share the images' difficulty and differ by a shift and a little noise."""
    random = np.random.default_rng(seed)
    base = random.normal(28, 4, images)
    return {
        name: {f"{index:03}": float(v) for index, v in enumerate(base + shift + random.normal(0, spread, images))}
        for name, shift in shifts.items()
    }


def test_a_small_shift_on_the_same_images_is_found_though_images_differ_by_far_more() -> None:
    (found,) = differences(measured(1, {"a": 0.0, "b": 0.05}))
    assert (found.first, found.second, found.images) == ("b", "a", 100)
    assert 0 < found.low_db < found.mean_db < found.high_db
    assert found.is_real()


def test_no_difference_is_not_called_real() -> None:
    calls = [differences(measured(seed, {"a": 0.0, "b": 0.0}))[0].is_real() for seed in range(20)]
    assert sum(calls) <= 4
    (equal,) = differences({"a": {"x": 1.0, "y": 2.0}, "b": {"x": 1.0, "y": 2.0}})
    assert (equal.mean_db, equal.low_db, equal.high_db, equal.p_value) == (0, 0, 0, 1)


def test_intervals_are_scipys_percentile_bootstrap() -> None:
    values = measured(6, {"a": 0.0, "b": 0.02, "c": 0.5})
    for found in differences(values):
        gap = np.array([values[found.first][image] - values[found.second][image] for image in values["a"]])
        scipys = stats.bootstrap((gap,), np.mean, method="percentile", rng=np.random.default_rng(1))
        interval = scipys.confidence_interval
        assert (found.low_db, found.high_db) == pytest.approx(
            (interval.low, interval.high), abs=0.05 * np.ptp(interval)
        )


def test_intervals_cover_the_true_shift_about_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(60):
        (found,) = differences(measured(seed, {"a": 0.0, "b": 0.1}, images=30))
        low, high = (found.low_db, found.high_db) if found.first == "b" else (-found.high_db, -found.low_db)
        hits += low <= 0.1 <= high
    assert 50 <= hits <= 60


def test_five_images_are_too_few_however_large_the_difference() -> None:
    (found,) = differences(measured(2, {"a": 0.0, "b": 5.0}, images=5))
    assert found.too_few
    assert not found.is_real()


def test_holm_is_the_step_down_rule() -> None:
    # By hand: 0.01*4, then 0.02*3, 0.03*2 (raised to the one before), 0.04*1 (likewise).
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_more_comparisons_ask_for_more() -> None:
    values = measured(3, {name: index * 0.01 for index, name in enumerate("abcdefgh")})
    assert all(found.p_corrected >= found.p_value for found in differences(values))


def test_ranks_have_intervals_that_hold_their_rank() -> None:
    found = ranks(measured(4, {"low": 0.0, "top": 1.0, "near": 0.99}))
    assert [rank.name for rank in found][2] == "low"
    assert (found[2].low, found[2].high) == (3, 3)
    assert all(rank.low <= rank.rank <= rank.high for rank in found)
    close = ranks(measured(4, {"a": 0.0, "b": 0.001}))
    assert [(rank.low, rank.high) for rank in close] == [(1, 2), (1, 2)]


def test_the_same_seed_gives_the_same_numbers() -> None:
    values = measured(5, {"a": 0.0, "b": 0.02})
    assert differences(values) == differences(values)
    assert ranks(values) == ranks(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"a": {"x": 1.0, "y": 2.0}}, "at least two networks"),
        ({"a": {"x": 1.0, "y": 2.0}, "b": {"x": 1.0, "z": 2.0}}, "not measured on the same images"),
        ({"a": {"x": 1.0, "y": float("inf")}, "b": {"x": 1.0, "y": 2.0}}, "not finite"),
        ({"a": {"x": 1.0}, "b": {"x": 2.0}}, "at least two images"),
    ],
)
def test_what_cannot_be_compared_says_why(values: dict[str, dict[str, float]], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        differences(values)


def test_the_quality_command_says_which_differences_are_real(capsys: pytest.CaptureFixture[str]) -> None:
    models = ("bicubic", "lsanet", "rlfn_ntire")
    result = esr(capsys, "quality", *models, "--weights", "none", "--data", "sample", "--json")
    assert result.code == 0
    assert [row["model"] for row in result.rows] == list(models)
    assert "bicubic (none) - lsanet (none): +" in result.words
    assert "too few images to say" in result.words
    assert "bicubic (none) 1 [1-1]" in result.words
    assert "4 images are too few" in result.words
    assert result.rows[0]["rank"] == 1
    assert all(low <= row["rank"] <= high for row in result.rows for low, high in [row["rank_interval"]])


@pytest.mark.parametrize("at_once", [7 * 13, 10**9])
def test_intervals_of_many_pairs_are_those_of_each_pair(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.statistics._DRAWN_AT_ONCE", at_once)
    values = measured(4, {"c": 0.2, "b": 0.1, "a": 0.0}, images=13)
    for gap, (low, high) in zip(differences(values), mean_intervals(values), strict=True):
        assert (low, high) == pytest.approx((gap.low_db, gap.high_db), abs=1e-9)
