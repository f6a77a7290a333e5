"""What a model is to the suite: one data object per network, with its paper and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from zoo.paper_count import PaperCount
from zoo.protocols import Inference, Whole

if TYPE_CHECKING:
    from torch import Tensor, nn


class EsrError(Exception):
    """An error the user can act on: the message says what was expected, what came, and the next step."""


class UnknownModel(EsrError):
    """No model answers to the given name."""


class UnknownScale(EsrError):
    """The model has no build at this scale."""


class NotRunnable(EsrError):
    """The model exists as printed numbers only."""


class InputTooSmall(EsrError):
    """An LR side is below the network's minimum."""


class BadInput(EsrError):
    """A tensor, image, folder or file that does not fit what the suite expects."""


class WeightsError(EsrError):
    """A checkpoint is missing, altered, unsafe or does not fit its network."""


class WeightsMissing(WeightsError):
    """No search folder holds the checkpoint."""


class JobFailed(EsrError):
    """A well-formed request that could not be carried out; the CLI exits with 1 instead of 2."""


class NotHere(JobFailed):
    """A sound request that this machine cannot serve (no such device, no such data): not applicable, not a failure."""

    def __init__(self, reason: str, *, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}")
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The publication a network comes from."""

    title: str
    authors: str
    "Family names, et al. after three."
    venue: str
    "With the year, as tables print it: `CVPRW 2022`."
    year: int
    arxiv: str | None = None
    code_url: str | None = None
    "Repository of the authors' release, None if there is none."


class Origin(Enum):
    """Who trained a checkpoint."""

    OFFICIAL = "official"
    THIRD_PARTY = "third-party"
    BUNDLED = "bundled"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One published checkpoint file and the path from its keys to the network's."""

    file: str
    "Path below a weights folder: `agdn/AGDN_x4.pth`."
    sha256: str
    size_bytes: int
    url: str | None
    licence: str
    origin: Origin = Origin.OFFICIAL
    entry: str | None = None
    "Key of the state dict inside the file; None when the file is the state dict."
    strip_prefix: str = ""
    "Prefix taken off every key (`module.` of a DataParallel checkpoint)."
    rename: Callable[[str], str] | None = None
    "Written map from a key of the file to a key of the network."
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportedOnly:
    """Why a network cannot be built here, and what would change that."""

    reason: str
    would_change: str


@dataclass(frozen=True, kw_only=True)
class Deploys:
    """The network that a training form folds into after training: the same function with fewer operations."""

    model: str
    "Zoo name of the deployed form."
    fold: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
    "State dict of the deployed form from that of the training form."


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One network of the zoo. `build(scale)` maps float32 RGB (n, 3, h, w) in [0, 1] to (n, 3, h*scale, w*scale)."""

    name: str
    "Unique, lower case, what the CLI takes."
    display_name: str
    "What tables print."
    build: Callable[[int], nn.Module] | ReportedOnly
    scales: tuple[int, ...]
    revision: str = "1"
    "Raise it when a change of code changes a result; records of other revisions become stale."
    min_side_px: int = 1
    "Smallest LR side the network accepts; smaller input raises InputTooSmall."
    size_multiple_px: int = 1
    "LR sides must be a multiple of this; 1 means any size (networks that pad inside say 1)."
    paper: Paper | None = None
    licence: str = "unknown"
    "Licence of the authors' release."
    weights: Mapping[int, Weights] = field(default_factory=lambda: MappingProxyType({}))
    "Published checkpoints by scale."
    learned: bool = True
    "False for a fixed function such as bicubic interpolation: there are no weights to load."
    bundled: Mapping[int, Weights] = field(default_factory=lambda: MappingProxyType({}))
    "Checkpoints trained by this code and shipped with it, by scale; `file` is a path below the clone."
    inference: Inference = Whole()
    "How the paper evaluates images of any size; the default of `esr quality`."
    paper_count: PaperCount | None = None
    "How its paper counted parameters and multi-adds; None where that is not known."
    deploys: Deploys | None = None
    "Set where this is a training form: what its trained weights become."
    ablation_of: str | None = None
    "Name of the full model when this is an ablation row."
    note: str = ""
    "What a reader of a table must know: inferred layout, reconstruction, third-party weights."

    @property
    def runnable(self) -> bool:
        """False for a model that exists as printed numbers only."""
        return not isinstance(self.build, ReportedOnly)

    def require_scale(self, scale: int) -> None:
        """Raise UnknownScale unless the model has this scale."""
        if scale not in self.scales:
            has = ", ".join(f"x{s}" for s in self.scales)
            raise UnknownScale(f"{self.name} has no x{scale} build (has {has}). Pass --scale {self.scales[-1]}.")

    def network(self, scale: int) -> nn.Module:
        """Build the network with its default initialisation. Raises NotRunnable, UnknownScale."""
        if isinstance(self.build, ReportedOnly):
            raise NotRunnable(
                f"{self.name} cannot be run: {self.build.reason} It stands in tables with its printed numbers only. "
                f"What would change that: {self.build.would_change}"
            )
        self.require_scale(scale)
        return self.build(scale)
