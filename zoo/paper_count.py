"""How a paper counted its own network, as data beside the network. `runner.counters.paper` applies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from zoo.protocols import HR_720P, Size, lr_size


class MultiAddRule(Enum):
    """A counting rule that several papers share; the value says it in words."""

    CONVOLUTIONS = "convolutions only, without biases"
    THOP = "thop 0.1.1"
    THOP_WITH_BIAS = "thop 0.0.31: convolutions with biases, adaptive average pools"
    FVCORE = "fvcore 0.1.5"
    PLAIN_WEIGHT = "convolution modules with a parameter named weight, other such parameters once"
    PARAMS_X_PIXELS = "all parameters times LR pixels"


class ParamRule(Enum):
    """Which parameters a paper prints."""

    ALL = "all, frozen ones included"
    TRAINABLE = "trainable ones"
    THOP = "thop: parameters of modules it knows, no bare tensors"


@dataclass(frozen=True, kw_only=True)
class PaperCount:
    """The convention behind a paper's printed parameters and multi-adds, found by reproducing them."""

    multi_adds: MultiAddRule | Callable[[Size, int], float]
    "A shared rule, or the paper's own formula of LR size and scale."
    formula: str = ""
    "In words, where `multi_adds` is a formula."
    from_exact: Callable[[Size, int], Mapping[str, float]] | None = None
    "Where `multi_adds` is a formula: by name, what it counts more or less than convolutions and matrix products."
    params: ParamRule = ParamRule.ALL
    params_without: str = ""
    "Regular expression; parameters whose name it finds are left out."
    lr: Mapping[int, Size] = field(default_factory=lambda: MappingProxyType({}))
    "LR size by scale where it is not 720x1280 over the scale, rounded half up."
    digits: int = 1
    "Decimals of G that the paper itself prints (later tables may add a zero)."
    note: str = ""

    def lr_size(self, scale: int) -> Size:
        """The LR size at which the paper counted."""
        return self.lr.get(scale) or lr_size(HR_720P, scale)

    @property
    def rule(self) -> str:
        """The multi-add rule in words."""
        return self.multi_adds.value if isinstance(self.multi_adds, MultiAddRule) else self.formula


X3_AT_426: Final = MappingProxyType({3: Size(240, 426)})
"""1280 / 3 rounded down."""
X3_AT_THE_EXACT_AREA: Final = MappingProxyType({3: Size(320, 320)})
"""1280 x 720 / 9 = 102,400 pixels, which no 240-row image has; only for rules that are proportional to the area."""
