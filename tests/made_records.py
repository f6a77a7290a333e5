"""Records made by hand, for tests of what is shown; none of these numbers was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.contract import ModelSpec, Paper, ReportedOnly
from zoo.facts import Failed, Measured, NotApplicable, Ok, Outcome, Provenance, RunKey
from zoo.protocols import HR_720P, EvalProtocol, lr_size

CREATED = "2024-05-06T07:08:09Z"
SHA256 = "ab" * 32


def spec(name: str, *, display_name: str | None = None, runnable: bool = True, **fields: Any) -> ModelSpec:
    """A model that is never built."""
    absent = ReportedOnly(reason="No code was published.", would_change="The authors' release.")
    defaults: dict[str, Any] = {"scales": (2, 3, 4), "paper": _PAPER}
    return ModelSpec(
        name=name,
        display_name=display_name or name.upper(),
        build=(lambda _scale: None) if runnable else absent,  # type: ignore[arg-type, return-value]
        **(defaults | fields),
    )


_PAPER = Paper(title="A title", authors="Someone et al.", venue="CVPRW 2023", year=2023)


def record(
    model: str,
    task: str,
    outcome: Outcome,
    *,
    protocol: str,
    scale: int = 4,
    origin: str | None = None,
    created: str = CREATED,
    stale: bool = False,
    **key: Any,
) -> Measured:
    """One record with a full provenance."""
    return Measured(
        key=RunKey(model=model, revision="1", scale=scale, task=task, task_version=1, protocol=protocol, **key),
        outcome=outcome,
        provenance=Provenance(
            created_utc=created,
            machine={"cpu": "Example CPU 3000", "cores": "2 physical, 2 usable", "memory": "8 GiB"},
            versions={"python": "3.11.9", "torch": "2.9.0"},
            git_commit="0" * 40,
            duration_s=1.5,
            weights_origin=origin,
        ),
        stale=stale,
    )


def counted(
    model: str,
    *,
    params: int,
    multi_adds: int,
    counters: Mapping[str, Mapping[str, int]] | None = None,
    scale: int = 4,
    as_printed: Mapping[str, Any] | None = None,
    by_kind: Mapping[str, int] | None = None,
    **rest: Any,
) -> Measured:
    """A complexity record at a 720p HR."""
    values = {
        "params": params,
        "multi_adds": multi_adds,
        "activations": 10 * params,
        "counters": dict(counters or {}),
        "by_kind": dict(by_kind or {}),
        "as_printed": as_printed,
    }
    protocol = f"lr{lr_size(HR_720P, scale)}-exact+thop"
    return record(model, "complexity", Ok(values=values), protocol=protocol, scale=scale, **rest)


def by_papers_rule(
    multi_adds: int, *, params: int = 1, lr: str = "180x320", digits: int = 1, note: str = ""
) -> dict[str, Any]:
    """The field `as_printed` of a complexity record."""
    return {
        "multi_adds": multi_adds,
        "params": params,
        "rule": "convolutions only",
        "params_rule": "trainable ones",
        "lr": lr,
        "digits": digits,
        "note": note,
    }


def evaluated(
    model: str,
    *,
    psnr_y_db: float,
    ssim_y: float = 0.8,
    dataset: str = "B100",
    scale: int = 4,
    evaluation: EvalProtocol | None = None,
    origin: str | None = "official",
    **rest: Any,
) -> Measured:
    """A quality record."""
    return record(
        model,
        "quality",
        Ok(values={"psnr_y_db": psnr_y_db, "ssim_y": ssim_y, "per_image": []}),
        protocol=(evaluation or EvalProtocol()).id(scale),
        scale=scale,
        origin=origin,
        weights_sha256=SHA256,
        dataset=dataset,
        **{"dataset_sha256": "cd" * 32, **rest},
    )


def timed(model: str, *, median_ms: float, scale: int = 4, environment: str = "e" * 16, **rest: Any) -> Measured:
    """A CPU latency record at LR 128x128."""
    values = {"median_ms": median_ms, "p10_ms": 0.9 * median_ms, "p90_ms": 1.2 * median_ms, "samples_ms": [median_ms]}
    protocol = "cpu-plain-float32-contiguous-n1-lr128x128-t2"
    return record(model, "latency", Ok(values=values), protocol=protocol, scale=scale, environment=environment, **rest)


def failed(model: str, task: str, *, protocol: str, message: str = "it broke", **rest: Any) -> Measured:
    """A run that did not finish."""
    return record(model, task, Failed(kind="RuntimeError", message=message), protocol=protocol, **rest)


def not_here(model: str, task: str, *, protocol: str, remedy: str = "Run `esr weights pull`.", **rest: Any) -> Measured:
    """A run that cannot be done on this machine."""
    return record(
        model, task, NotApplicable(reason="The checkpoint is not here.", remedy=remedy), protocol=protocol, **rest
    )
