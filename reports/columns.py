"""The columns of the results table: which quantity, and which runs may fill it.

Two runs share a column only where their numbers may be compared: equal counted size, equal evaluation protocol (the
inference rule is the model's own), and for latency equal protocol on the same machine with the same libraries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reports.claims import Paper
from reports.evidence import COMPLEXITY, LATENCY, QUALITY, Evidence, counted_at
from zoo.contract import ModelSpec
from zoo.facts import Measured, Ok
from zoo.protocols import EVAL_CHOICES, HR_720P, EvalProtocol, Form, Size, lr_size, shown_choice
from zoo.quantities import ACTIVATIONS, MULTI_ADDS, PARAMS, PSNR_Y, SSIM_Y, Metric
from zoo.quantities import LATENCY as LATENCY_METRIC

DATASETS: Final = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""Order of the field; others follow by name."""

_FAST = f"-{Form.FAST.value}"


LIVE_LR: Final = Size(128, 128)
"""LR size that a report times where nothing else was timed: small enough for every network on a laptop."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which records may fill a column."""

    task: str
    protocol: str
    "Exact id for latency, the part before the inference rule for quality, unused for complexity."
    lr: Size | None = None
    dataset: str | None = None
    dataset_sha256: str | None = None
    environment: str | None = None
    compares: bool = False
    "Whether a paper's number may stand beside; never for latency, which is of a machine."

    @property
    def needs_weights(self) -> bool:
        """Whether the origin of the weights moves the number."""
        return self.task == QUALITY

    def accepts(self, record: Measured, spec: ModelSpec) -> bool:
        """Whether a record of this task may stand in the column."""
        key = record.key
        if self.task == COMPLEXITY:
            return self.lr is not None and counted_at(record, self.lr)
        if self.task == LATENCY:
            return key.protocol == self.protocol and key.environment == self.environment
        # A run that never opened its images knows no manifest; it still says what went wrong on this data set.
        no_images = not isinstance(record.outcome, Ok) and self.compares
        same_images = key.dataset == self.dataset and (no_images or key.dataset_sha256 == self.dataset_sha256)
        return same_images and key.protocol == _with_inference(self.protocol or "", spec.inference.id)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: a metric under one rule."""

    metric: Metric
    group: str
    "What stands above: a data set, `Cost`, or a machine."
    rule: Rule
    dataset: str | None = None
    about: str
    "Protocol in words, shown with the header."

    @property
    def key(self) -> str:
        """Name in exports: `params`, `Set5 psnr_y_db`, `median_ms cpu-plain-... on x86_64`."""
        if self.dataset:
            return f"{self.group} {self.metric.name}"
        return f"{self.metric.name} {self.rule.protocol}".rstrip() if self.rule.task == LATENCY else self.metric.name


def result_columns(evidence: Evidence, papers: Iterable[Paper], scale: int) -> tuple[Column, ...]:
    """Cost at a 720p HR, one latency column per protocol and machine, and two columns per data set."""
    return (*_cost(scale), *_latency(evidence, scale), *_quality(evidence, papers, scale))


def _cost(scale: int) -> Iterable[Column]:
    lr = lr_size(HR_720P, scale)
    for metric, about in (
        (PARAMS, "Every parameter of the network."),
        (MULTI_ADDS, f"Exact multiply-adds at LR {lr} (HR 1280x720)."),
        (ACTIVATIONS, f"Output elements of all convolutions at LR {lr}."),
    ):
        rule = Rule(task=COMPLEXITY, protocol="", lr=lr, compares=metric is not ACTIVATIONS)
        yield Column(metric=metric, group="Cost", rule=rule, about=about)


def multi_adds_column(scale: int) -> Column:
    """The column of exact multi-adds at a 720p HR."""
    return next(column for column in _cost(scale) if column.metric is MULTI_ADDS)


def _latency(evidence: Evidence, scale: int) -> Iterable[Column]:
    newest: dict[tuple[str, str | None], Measured] = {}
    for record in evidence.all(scale, LATENCY):
        place = (record.key.protocol, record.key.environment)
        if place not in newest or newest[place].provenance.created_utc < record.provenance.created_utc:
            newest[place] = record
    if not newest:
        unfilled = Rule(task=LATENCY, protocol="cpu-plain", lr=LIVE_LR)
        yield Column(metric=LATENCY_METRIC, group="Latency", rule=unfilled, about="Nothing was timed yet.")
    for (protocol, environment), record in sorted(newest.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        where = machine_name(record)
        yield Column(
            metric=LATENCY_METRIC,
            group="Latency",
            rule=Rule(task=LATENCY, protocol=protocol, lr=_timed_lr(protocol), environment=environment),
            about=f"Median of one image, with the 10th and 90th percentile. {protocol} on {where}.",
        )


def _timed_lr(protocol: str) -> Size | None:
    sizes = [part[2:] for part in protocol.split("-") if part.startswith("lr")]
    return Size.parse(sizes[0]) if sizes else None


def machine_name(record: Measured) -> str:
    """The device a record was timed on, in words."""
    machine = record.provenance.machine
    device = "gpu" if record.key.protocol.startswith("cuda") else "cpu"
    return machine.get(device) or machine.get("cpu") or "an unnamed machine"


def _quality(evidence: Evidence, papers: Iterable[Paper], scale: int) -> Iterable[Column]:
    default = EvalProtocol().id(scale).rpartition("-")[0]
    manifests: dict[tuple[str, str], Counter[str | None]] = defaultdict(Counter)
    for record in evidence.all(scale, QUALITY):
        if record.key.dataset:
            place = (record.key.dataset, _without_inference(record.key.protocol))
            if isinstance(record.outcome, Ok):
                manifests[place][record.key.dataset_sha256] += not record.stale
            else:
                manifests[place][None] += 0
    for dataset in {c.dataset for p in papers for c in p.claims if c.metric == PSNR_Y.name and c.scale == scale}:
        if dataset:
            manifests.setdefault((dataset, default), Counter({None: 0}))
    for dataset, protocol in sorted(manifests, key=lambda p: (*dataset_order(p[0]), p[1] != default, p[1])):
        known = [sha for sha, _ in manifests[dataset, protocol].most_common() if sha is not None]
        main, others = (known[0], known[1:]) if known else (None, [])
        name = dataset if protocol == default else f"{dataset} ({_short(protocol, default)})"
        yield from _quality_pair(name, dataset, protocol, main, compares=protocol == default)
        for other in others:
            yield from _quality_pair(f"{name} #{str(other)[:6]}", dataset, protocol, other, compares=False)


def _without_inference(protocol: str) -> str:
    """The id of an evaluation without the part that is each model's own; a fast form stays at its end."""
    plain = protocol.removesuffix(_FAST)
    return plain.rpartition("-")[0] + protocol[len(plain) :]


def _with_inference(protocol: str, inference: str) -> str:
    plain = protocol.removesuffix(_FAST)
    return f"{plain}-{inference}{protocol[len(plain) :]}"


def _short(protocol: str, default: str) -> str:
    """What differs from the default protocol, as the id prints it: `matlab-float`."""
    try:
        own, usual = (EvalProtocol.parse(part, base=EvalProtocol()) for part in (protocol.removesuffix("-x8"), default))
    except ValueError:  # of a newer suite
        return protocol
    parts = [(name, shown_choice(own, name)) for name in EVAL_CHOICES if name != "inference"]
    shown = [f"crop{v}" if n == "crop_border_px" else v for n, v in parts if v != shown_choice(usual, n)]
    shown += [own.form.value] if own.form is not usual.form else []
    return "-".join([*shown, "x8"] if protocol.endswith("-x8") else shown)


def _quality_pair(group: str, dataset: str, protocol: str, manifest: str | None, *, compares: bool) -> Iterable[Column]:
    rule = Rule(task=QUALITY, protocol=protocol, dataset=dataset, dataset_sha256=manifest, compares=compares)
    for metric in (PSNR_Y, SSIM_Y):
        yield Column(
            metric=metric,
            group=group,
            dataset=dataset,
            rule=rule,
            about=f"Mean over the images of {dataset}. Protocol {protocol}, inference as in each model's paper.",
        )


def dataset_order(name: str) -> tuple[int, str]:
    """Sort key of data sets: the field's order, others by name."""
    return (DATASETS.index(name) if name in DATASETS else len(DATASETS), name)
