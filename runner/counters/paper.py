"""A paper's parameters and multi-adds by the paper's own rule, so that printed numbers can be checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, Final

from torch import Tensor, nn

from reports.claims import load_papers
from runner.counters.differences import ADAPTIVE, RULES
from runner.counters.exact import count_exact
from runner.counters.fvcore import count_fvcore
from runner.counters.ledger import Ledger, Printed
from runner.counters.rules import Kind
from runner.counters.subject import Subject, subject_of
from runner.counters.thop import count_thop
from runner.counters.trace import trace
from zoo.contract import ModelSpec
from zoo.paper_count import MultiAddRule, PaperCount, ParamRule
from zoo.protocols import HR_720P, Size, lr_size
from zoo.quantities import MULTI_ADDS


def count_as_printed(spec: ModelSpec, scale: int, rule: PaperCount) -> dict[str, Any]:
    """`multi_adds` and `params` of one network by a paper's rule, with the rule and the LR size it holds for."""
    subject = subject_of(spec, lr=rule.lr_size(scale), scale=scale)
    formula = rule.multi_adds
    multi_adds = _RULES[formula](subject) if isinstance(formula, MultiAddRule) else formula(subject.lr, scale)
    return {
        "multi_adds": round(multi_adds),
        "params": _params(subject, rule),
        "rule": rule.rule,
        "params_rule": rule.params.value + (f", without {rule.params_without}" if rule.params_without else ""),
        "lr": str(subject.lr),
        "digits": rule.digits,
        "note": rule.note,
    }


def paper_ledger(spec: ModelSpec, scale: int, rule: PaperCount, *, lr: Size) -> Ledger:
    """The way from the exact count at `lr` to the number that the paper's rule gives at the paper's own LR size."""
    subject = subject_of(spec, lr=rule.lr_size(scale), scale=scale)
    seen = trace(subject)
    at_lr = count_exact(subject_of(spec, lr=lr, scale=scale)).multi_adds
    if isinstance(rule.multi_adds, MultiAddRule):
        amounts = {difference.name: difference.amount(seen) for difference in RULES[rule.multi_adds]}
    else:
        amounts = dict(rule.from_exact(subject.lr, scale)) if rule.from_exact else {}
    size = {f"LR of {subject.lr} instead of {lr}": seen.multi_adds - at_lr}
    rows = tuple((name, round(amount)) for name, amount in (size | amounts).items() if round(amount))
    counted: int = count_as_printed(spec, scale, rule)["multi_adds"]
    printed = tuple(_printed(spec.name, scale, rule, counted))
    return Ledger(counter="its paper's rule", exact=at_lr, differences=rows, counted=counted, printed=printed)


def _printed(model: str, scale: int, rule: PaperCount, counted: int) -> Iterator[Printed]:
    """Every printed multi-adds of the network in a table that was taken at the rule's size."""
    pixels = prod(rule.lr_size(scale))
    for paper in load_papers().values():
        for claim in paper.claims:
            table = paper.tables[claim.table]
            size = table.lr or lr_size(HR_720P, scale)
            # The three ways to divide 1280 by 3 are the same size to a table.
            if (claim.model, claim.scale, claim.metric) != (model, scale, MULTI_ADDS.name) or claim.value is None:
                continue
            if abs(prod(size) - pixels) <= 0.01 * pixels:
                half = MULTI_ADDS.display_scale * 10.0 ** -min(claim.decimals, rule.digits) / 2
                value = int(claim.value)
                yield Printed(where=table.label, multi_adds=value, rest=value - counted, half_digit=half)


def _params(subject: Subject, rule: PaperCount) -> int:
    if rule.params is ParamRule.THOP:
        return count_thop(subject).params or 0
    network = subject.fresh("meta")
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if (parameter.requires_grad or rule.params is ParamRule.ALL)
        and not (rule.params_without and re.search(rule.params_without, name))
    )


def _convolutions(subject: Subject) -> int:
    return count_exact(subject).by_kind.get(Kind.CONVOLUTION, 0)


def _thop_with_bias(subject: Subject) -> int:
    """The older thop: an output element of a convolution or linear layer costs one more where there is a bias."""
    seen = trace(subject)
    pools = sum(c.x.numel + c.y.numel for c in seen.modules if type(c.module) in ADAPTIVE)
    kinds = (Kind.CONVOLUTION, Kind.LINEAR, Kind.BIAS)
    return sum(operation.cost.get(kind, 0) for operation in seen.operations for kind in kinds) + pools


def _plain_weight(subject: Subject) -> int:
    """torchsummaryX 1.3.0: it asks each leaf module for `weight`, and its class name for `Conv`."""

    def measure(network: nn.Module, x: Tensor) -> int:
        found: list[int] = []

        def called(module: nn.Module, _args: Any, y: Tensor) -> None:
            weight = module._parameters.get("weight")
            if weight is not None:
                found.append(weight.numel() * (prod(y.shape[2:]) if "Conv" in type(module).__name__ else 1))

        for module in network.modules():
            if not any(module.children()):
                module.register_forward_hook(called)
        network(x)
        return sum(found)

    return subject.on_first_device(measure)[0]


def _params_x_pixels(subject: Subject) -> int:
    return sum(p.numel() for p in subject.fresh("meta").parameters()) * prod(subject.lr)


_RULES: Final[dict[MultiAddRule, Callable[[Subject], int]]] = {
    MultiAddRule.CONVOLUTIONS: _convolutions,
    MultiAddRule.THOP: lambda subject: count_thop(subject).multi_adds,
    MultiAddRule.THOP_WITH_BIAS: _thop_with_bias,
    MultiAddRule.FVCORE: lambda subject: count_fvcore(subject).multi_adds,
    MultiAddRule.PLAIN_WEIGHT: _plain_weight,
    MultiAddRule.PARAMS_X_PIXELS: _params_x_pixels,
}
