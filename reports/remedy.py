"""What it would take to fill an empty cell: the command, or the reason why no command can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reports.evidence import COMPLEXITY, LATENCY, QUALITY
from reports.trained_here import base_of
from zoo.contract import ModelSpec, ReportedOnly
from zoo.protocols import HR_720P, Size, lr_size
from zoo.quantities import LATENCY as LATENCY_METRIC
from zoo.quantities import PSNR_RGB, PSNR_Y, RUNTIME, SSIM_Y

_TASK_OF_METRIC: Final = {PSNR_Y.name: QUALITY, SSIM_Y.name: QUALITY, LATENCY_METRIC.name: LATENCY}
_MODEL: Final = "{model}"


@dataclass(frozen=True)
class Remedy:
    """A sentence in which `{model}` stands for the model's name, so that ten thousand rows share one text."""

    template: str

    def text(self, model: str) -> str:
        """The sentence for one model."""
        return self.template.replace(_MODEL, model)


def remedy(
    spec: ModelSpec | None, *, scale: int, metric: str, dataset: str | None = None, lr: Size | None = None
) -> Remedy:
    """What would fill the cell of this metric; `lr` is the counted or timed LR size, default that of a 720p HR."""
    if metric == PSNR_RGB.name:
        return Remedy(f"needs the images of {dataset}, which the challenge does not publish with HR")
    if metric == RUNTIME.name:
        return Remedy("needs the organisers' GPU (RTX 3090) and their images")
    if spec is None:
        return Remedy(f"no model {_MODEL} in the catalogue: add it as a file with a ModelSpec")
    if isinstance(spec.build, ReportedOnly):
        return Remedy(f"cannot be run: {spec.build.reason} {spec.build.would_change}")
    if scale not in spec.scales:
        has = ", ".join(f"x{s}" for s in spec.scales)
        return Remedy(f"{_MODEL} has no x{scale} build (has {has})")
    task = _TASK_OF_METRIC.get(metric, COMPLEXITY)
    if task == QUALITY:
        return _quality(spec, scale, dataset)
    if task == LATENCY:
        size = f" --latency-lr {lr}" if lr else ""
        return Remedy(f"`esr bench {base_of(spec.name) or _MODEL} --scale {scale} --tasks latency{size}`")
    if lr in (None, lr_size(HR_720P, scale)):
        return Remedy(f"`esr bench {base_of(spec.name) or _MODEL} --scale {scale} --tasks complexity`")
    return Remedy(f"`esr report --live`, which counts at LR {lr} too")


def _quality(spec: ModelSpec, scale: int, dataset: str | None) -> Remedy:
    # `bench` and not `quality`: only a kept record fills a cell.
    run = f"`esr bench {_MODEL} --scale {scale} --tasks quality --data {dataset}`"
    if base := base_of(spec.name):
        return Remedy(f"{run[:-1]} --weights bundled`".replace(_MODEL, base))
    if scale in spec.weights:
        return Remedy(f"`esr weights pull {_MODEL} --scale {scale}`, then {run}")
    if scale in spec.bundled or not spec.learned:
        return Remedy(run)
    return Remedy(f"no x{scale} checkpoint is published; train one and pass it: {run[:-1]} --weights FILE`")
