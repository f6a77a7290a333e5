"""What an NTIRE report says of a model that was measured here: its entry, its row, its place in results.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from reports.ntire import Entry
from reports.ntire_editions import SCALE, Baseline, Edition
from reports.ntire_files import OrganisersResult, Results
from runner.challenge import Measurement

if TYPE_CHECKING:
    from runner.tasks.challenge import SetRun

BASELINE_SUFFIX: Final = "_baseline"
"""Marks the row of the baseline that was measured beside the models; `Entry.is_baseline` knows it."""

MISSED_SHARE: Final = 0.02
"""Part of the exact count that the edition's counter may miss before the report says so."""


def on_official_sets(measured: Measurement, edition: Edition) -> tuple[bool, bool]:
    """Whether validation and test images are, by name and number, those of the edition."""
    run = measured.timing.run
    if run is None:
        return False, False
    return _is_official(run.valid, edition.val_set, edition), _is_official(run.test, edition.test_set, edition)


def _is_official(of: SetRun | None, name: str, edition: Edition) -> bool:
    return of is not None and of.dataset == name and len(of.images) == edition.images


def why_not_comparable(measured: Measurement, edition: Edition, *, baseline_measured: bool) -> str | None:
    """Why a runtime of ours cannot be set against the baseline's; None where it can."""
    if baseline_measured or edition.weights is None:
        return None
    published = f"the {edition.baseline.runtime_ms} ms of {edition.baseline.name} were taken on {edition.hardware}"
    if edition.timing_device is None or edition.timing_device not in measured.timing.device_name:
        return f"runtime was taken on {measured.timing.device_name}, {published}"
    if not all(on_official_sets(measured, edition)):
        return (
            f"runtime is the {measured.timing.rule}, {published} as the mean over {edition.val_set} and "
            f"{edition.test_set}"
        )
    return None


def entry_of(measured: Measurement, edition: Edition, *, name: str, baseline_measured: bool) -> Entry:
    """The numbers that the edition's rule may look at: PSNR on its own images, runtime where it is comparable.

    Against the published baseline the start-up counts, as it does there; against one measured here both are warm.
    """
    run = measured.timing.run
    valid, test = on_official_sets(measured, edition)
    runtime_ms: float | None = measured.timing.runtime_ms
    if edition.weights and not baseline_measured:
        comparable = run and why_not_comparable(measured, edition, baseline_measured=False) is None
        runtime_ms = run.mean_with_start_up_ms if run and comparable else None
    return Entry(
        team=name,
        val_psnr_db=run.valid.mean_psnr_db if run and valid else None,
        test_psnr_db=run.test.mean_psnr_db if run and run.test and test else None,
        runtime_ms=runtime_ms,
        params_m=measured.counts["params"] / 1e6,
        flops_g=measured.flops / 1e9,
        activations_m=measured.counts["activations"] / 1e6,
        memory_mib=measured.memory_mib,
    )


def measured_baseline(measured: Measurement) -> Baseline:
    """A baseline with numbers of this machine."""
    return Baseline(
        name=measured.name,
        model=measured.name,
        runtime_ms=measured.timing.runtime_ms,
        flops_g=measured.flops / 1e9,
        params_m=measured.counts["params"] / 1e6,
    )


def model_row(measured: Measurement, edition: Edition, *, baseline_measured: bool) -> dict[str, Any]:
    """Everything measured of one model, raw times included."""
    timing, counts = measured.timing, measured.counts
    why_not = why_not_comparable(measured, edition, baseline_measured=baseline_measured)
    return {
        "model": measured.name,
        "scale": SCALE,
        "params": counts["params"],
        "flops": measured.flops,
        "flops_counter": edition.flops_counter,
        "uncounted_ops": list(measured.uncounted_ops),
        "multi_adds": counts["multi_adds"],
        "activations": counts["activations"],
        "conv_calls": counts["conv_calls"],
        "memory_mib": measured.memory_mib,
        "memory_kind": timing.memory_kind,
        "runtime_ms": timing.runtime_ms,
        "runtime_rule": timing.rule,
        "comparable": why_not is None,
        "not_comparable_because": why_not,
        "device_name": timing.device_name,
        "threads": timing.threads,
        "noise": timing.noise,
        "samples_ms": timing.samples_ms,
        **_set_fields(measured),
        "error": None,
    }


def _set_fields(measured: Measurement) -> dict[str, Any]:
    run = measured.timing.run
    if run is None:
        return {"val_psnr_db": None, "test_psnr_db": None, "first_image_ms": None, "sets": []}
    return {
        "val_psnr_db": run.valid.mean_psnr_db,
        "test_psnr_db": run.test and run.test.mean_psnr_db,
        "first_image_ms": run.first_ms,
        "runtime_with_start_up_ms": run.mean_with_start_up_ms,
        "sets": [_set_row(of) for of in (run.valid, run.test) if of],
    }


def _set_row(of: SetRun) -> dict[str, Any]:
    return {
        "dataset": of.dataset,
        "mean_ms": of.mean_ms,
        "psnr_db": of.mean_psnr_db,
        "memory_bytes": of.memory_bytes,
        "per_image": [
            {"name": name, "samples_ms": list(times), "psnr_db": psnr_db}
            for name, times, psnr_db in zip(of.images, of.samples_ms, of.psnr_db, strict=True)
        ],
    }


def missed_by_counter(measured: Measurement, counter: str) -> str | None:
    """A sentence where the edition's counter finds clearly less than convolutions and matrix products amount to."""
    exact = int(measured.counts["multi_adds"])
    if measured.flops >= (1 - MISSED_SHARE) * exact:
        return None
    return (
        f"{measured.name}: {counter} finds {measured.flops / 1e9:.2f} G, the exact count of convolutions and matrix "
        f"products is {exact / 1e9:.2f} G. The score uses the former, as the organisers' does."
    )


def organisers_results(named: Mapping[str, Measurement]) -> Results:
    """results.json of models by name, keys as the organisers' loader makes them: `01_agdn_s`; 00 is the baseline."""
    # The baseline comes last in the mapping, so the others count from 1 without a gap.
    numbered = (
        (f"{0 if name.endswith(BASELINE_SUFFIX) else index:02d}_{name}", organisers_result(measured))
        for index, (name, measured) in enumerate(named.items(), 1)
    )
    return {key: result for key, result in numbered if result is not None}


def organisers_result(measured: Measurement) -> OrganisersResult | None:
    """The model as results.json has it, times of the warm network; None without images."""
    run = measured.timing.run
    if run is None:
        return None
    fields: Mapping[str, Any] = _organisers_set("valid", run.valid) | (
        _organisers_set("test", run.test) if run.test else {}
    )
    return OrganisersResult(
        **fields,
        activations=measured.counts["activations"] / 1e6,
        num_conv=measured.counts["conv_calls"],
        flops=measured.flops / 1e9,
        num_parameters=measured.counts["params"] / 1e6,
    )


def _organisers_set(prefix: str, of: SetRun) -> dict[str, Any]:
    return {
        f"{prefix}_runtime": list(of.runtimes_ms),
        f"{prefix}_psnr": list(of.psnr_db),
        f"{prefix}_memory": of.memory_bytes / 2**20,
        f"{prefix}_ave_runtime": of.mean_ms,
        f"{prefix}_ave_psnr": of.mean_psnr_db,
    }
