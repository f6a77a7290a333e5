"""How each tool's number differs from the exact count, as data: a name and a small function of one `Trace` each.

No rule knows a network. They describe what a tool looks at (module classes, functions, operations) and what it adds
or misses there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, Final

from torch import nn

from runner.counters.rules import MULTI_ADD_KINDS, Kind
from runner.counters.trace import FunctionCall, ModuleCall, Operation, Shape, Trace
from zoo.paper_count import MultiAddRule

_Types = Collection[type[nn.Module]]


@dataclass(frozen=True)
class Difference:
    """One thing that a tool counts more or less than the exact counter."""

    name: str
    amount: Callable[[Trace], float]
    "Signed, in the tool's multi-adds."


CONV_MODULES: Final = frozenset(
    {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
)
_PRODUCTS: Final = frozenset(f"aten::{name}" for name in ("mm", "bmm", "addmm", "convolution", "_convolution"))
"""Operations with products that every dispatch-level tool knows; torch also knows `baddbmm`."""


def _sum_operations(cost: Callable[[Operation], float]) -> Callable[[Trace], float]:
    return lambda t: sum(map(cost, t.operations))


def _sum_modules(types: _Types, cost: Callable[[ModuleCall], float]) -> Callable[[Trace], float]:
    """Sum over calls of modules of exactly these classes: tools look classes up, so a subclass is unknown to them."""
    return lambda t: sum(cost(call) for call in t.modules if type(call.module) in types)


def _sum_functions(names: str, cost: Callable[[FunctionCall], float]) -> Callable[[Trace], float]:
    wanted = frozenset(names.split())
    return lambda t: sum(cost(call) for call in t.functions if call.name in wanted)


def _missed_products(kind: Kind, seen: _Types = ()) -> Callable[[Trace], float]:
    """Minus the products of a kind that run outside modules of the classes `seen`."""
    return _sum_operations(lambda o: 0 if o.module in seen else -o.cost.get(kind, 0))


def _missed_outside(known: Collection[str]) -> Callable[[Trace], float]:
    """Minus the products of operations other than the `known` ones."""
    return _sum_operations(lambda o: 0 if o.op in known else -sum(o.cost.get(kind, 0) for kind in MULTI_ADD_KINDS))


def _transposed_at_output(operation: Operation) -> int:
    """Output instead of input positions of a transposed convolution."""
    if not operation.transposed:
        return 0
    x: Shape = operation.args[0]
    per_position = operation.cost[Kind.CONVOLUTION] // (x[0] * prod(x[2:]))
    return per_position * (prod(operation.out[2:]) - prod(x[2:])) * x[0]


def _transposed_by_thop(call: ModuleCall) -> int:
    """thop's formula for a convolution, output elements by input channels, beside once per input position."""
    weight, groups = call.module.get_parameter("weight").shape, int(call.module.groups)  # type: ignore[arg-type]
    return call.y.numel * (call.x[1] // groups) * prod(weight[2:]) - call.x[0] * prod(call.x[2:]) * weight.numel()


TRANSPOSED: Final = frozenset({nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d})
NORMS: Final = frozenset(
    {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm}
    | {nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.SyncBatchNorm}
)
ADAPTIVE: Final = frozenset({nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d})
AVERAGE: Final = frozenset({nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d})
UPSAMPLE: Final = frozenset({nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d})
_THOP_UPSAMPLE: Final = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}


def _is_affine(module: Any) -> bool:
    return bool(getattr(module, "affine", False) or getattr(module, "elementwise_affine", False))


THOP: Final = (
    Difference("products of two activations missed", _missed_products(Kind.MATMUL)),
    Difference("products with weights outside nn.Linear missed", _missed_products(Kind.LINEAR, {nn.Linear})),
    Difference("convolutions outside nn.Conv modules missed", _missed_products(Kind.CONVOLUTION, CONV_MODULES)),
    Difference("transposed convolutions at output size", _sum_modules(TRANSPOSED, _transposed_by_thop)),
    Difference("adaptive average pools", _sum_modules(ADAPTIVE, lambda c: c.x.numel + c.y.numel)),
    Difference("average pools", _sum_modules(AVERAGE, lambda c: c.y.numel)),
    Difference(
        "norms, 2 per element, 4 with affine",
        _sum_modules(NORMS, lambda c: (4 if _is_affine(c.module) else 2) * c.x.numel),
    ),
    Difference("PReLU, 1 per element", _sum_modules({nn.PReLU}, lambda c: c.x.numel)),
    Difference(
        "softmax modules, 3n - 1 of n features",
        _sum_modules({nn.Softmax}, lambda c: c.x.numel // c.x[c.module.dim] * (3 * c.x[c.module.dim] - 1)),  # type: ignore[index]
    ),
    Difference(
        "resize modules", _sum_modules(UPSAMPLE, lambda c: _THOP_UPSAMPLE.get(str(c.module.mode), 0) * c.y.numel)
    ),
)

TORCH: Final = (Difference("products without a formula missed", _missed_outside(_PRODUCTS | {"aten::baddbmm"})),)


def _bias(*ops: str) -> Callable[[Trace], float]:
    names = {f"aten::{op}" for op in ops}
    return _sum_operations(lambda o: o.cost.get(Kind.BIAS, 0) if o.op in names else 0)


PTFLOPS_ATEN: Final = (
    Difference("biases of convolutions", _bias("convolution", "_convolution")),
    Difference("biases of linear layers", _bias("addmm")),
    Difference("products without a formula missed", _missed_outside(_PRODUCTS)),
)

_ACTIVATIONS: Final = frozenset({nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.GELU})
_POOLS: Final = (
    frozenset({nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d})
    | {nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d}
    | AVERAGE
    | ADAPTIVE
)
_PTFLOPS_NORMS: Final = (NORMS - {nn.SyncBatchNorm}) | {nn.GroupNorm}
_ELEMENTS_READ: Final = (
    "F.relu F.prelu F.elu F.relu6 F.gelu F.silu F.softmax F.avg_pool1d F.avg_pool2d F.avg_pool3d F.max_pool1d "
    "F.max_pool2d F.max_pool3d F.adaptive_avg_pool1d F.adaptive_avg_pool2d F.adaptive_avg_pool3d "
    "F.adaptive_max_pool1d F.adaptive_max_pool2d F.adaptive_max_pool3d"
)


def _input(call: FunctionCall) -> Shape:
    shape: Shape = call.argument(0, "input")
    return shape


def _ptflops_resize(call: FunctionCall) -> float:
    x, size, factor = _input(call), call.argument(1, "size"), call.argument(2, "scale_factor")
    if size is not None:
        return int((prod(size) if isinstance(size, tuple) else size ** (len(x) - 2)) * prod(x[:2]))
    if isinstance(factor, tuple) and len(factor) == len(x) - 2:
        return x.numel * int(prod(factor))
    return float(x.numel * factor ** (len(x) - 2))


def _ptflops_matmul(call: FunctionCall) -> int:
    if call.name.endswith(("addmm", "baddbmm")):
        mat1, mat2 = call.argument(1, "mat1"), call.argument(2, "mat2")
        return int(mat1.numel * mat2[-1] + (_input(call).numel if call.kwargs.get("beta", 1) != 0 else 0))
    other: Shape = call.argument(1, "other")
    return _input(call).numel * other[-1]


def _ptflops_elementwise(call: FunctionCall) -> int:
    """As the tool broadcasts: shapes aligned at their first dimension, not at their last."""
    shapes = [shape for shape in (_input(call), call.argument(1, "other")) if isinstance(shape, Shape)]
    ranks = range(max((len(shape) for shape in shapes), default=0))
    return prod(max(shape[i] if i < len(shape) else 1 for shape in shapes) for i in ranks)


PTFLOPS: Final = (
    Difference("products of two activations missed", _missed_products(Kind.MATMUL)),
    Difference("products with weights outside nn.Linear missed", _missed_products(Kind.LINEAR, {nn.Linear})),
    Difference("convolutions outside nn.Conv modules missed", _missed_products(Kind.CONVOLUTION, CONV_MODULES)),
    Difference(
        "biases of convolutions", _sum_modules(CONV_MODULES, lambda c: c.y.numel if c.module.bias is not None else 0)
    ),
    Difference(
        "biases of linear layers", _sum_modules({nn.Linear}, lambda c: c.y.numel if c.module.bias is not None else 0)
    ),
    Difference("activation modules, 1 per element", _sum_modules(_ACTIVATIONS, lambda c: c.y.numel)),
    Difference("pooling modules, 1 per input element", _sum_modules(_POOLS, lambda c: c.x.numel)),
    Difference(
        "norm modules, 1 per element, 2 with affine",
        _sum_modules(_PTFLOPS_NORMS, lambda c: (2 if getattr(c.module, "affine", False) else 1) * c.x.numel),
    ),
    Difference("resize modules, 1 per output element", _sum_modules({nn.Upsample}, lambda c: c.y.numel // c.y[0])),
    Difference(
        "activations, softmax and pools as functions (a second time if they are modules)",
        _sum_functions(_ELEMENTS_READ, lambda c: _input(c).numel),
    ),
    Difference("resizes as functions", _sum_functions("F.interpolate F.upsample", _ptflops_resize)),
    Difference(
        "matrix products called by name",
        _sum_functions(
            "torch.matmul Tensor.matmul torch.mm Tensor.mm torch.bmm Tensor.bmm torch.addmm Tensor.addmm torch.baddbmm",
            _ptflops_matmul,
        ),
    ),
    Difference(
        "mul and add called by name",
        _sum_functions("torch.mul Tensor.mul torch.add Tensor.add", _ptflops_elementwise),
    ),
)


def _padding_same(call: FunctionCall) -> int:
    """Products of a convolution whose padding is given by name."""
    if not isinstance(call.argument(4, "padding"), str):
        return 0
    weight: Shape = call.argument(1, "weight")
    return call.out[0] * prod(call.out[2:]) * weight.numel


def _attention_function(call: FunctionCall) -> int:
    query, key, value = call.argument(0, "query"), call.argument(1, "key"), call.argument(2, "value")
    return int(query.numel // query[-1] * key[-2] * (query[-1] + value[-1]))


def _fvcore_norm(affine: int, operation: str) -> Callable[[Trace], float]:
    return _sum_operations(
        lambda o: (4 if o.args[affine] is None else 5) * o.args[0].numel if o.op == f"aten::{operation}" else 0
    )


def _resized(mode: str, per_element: int) -> Callable[[Trace], float]:
    return _sum_functions(
        "F.interpolate",
        lambda c: per_element * c.out.numel if (c.argument(3, "mode") or "nearest") == mode and len(c.out) == 4 else 0,
    )


FVCORE: Final = (
    Difference('convolutions with padding="same" missed', _sum_functions("F.conv2d", lambda c: -_padding_same(c))),
    Difference(
        "fused attention missed", _sum_functions("F.scaled_dot_product_attention", lambda c: -_attention_function(c))
    ),
    Difference("products without a handle missed", _missed_outside(_PRODUCTS)),
    Difference("bilinear resizes, 4 per output element", _resized("bilinear", 4)),
    Difference("nearest resizes, 1 per output element", _resized("nearest", 1)),
    Difference(
        "adaptive average pools, 1 per input element",
        _sum_functions("F.adaptive_avg_pool2d", lambda c: _input(c).numel),
    ),
    Difference("grid sampling, 4 per output element", _sum_functions("F.grid_sample", lambda c: 4 * c.out.numel)),
    Difference("layer norms, 5 per element, 4 without affine", _fvcore_norm(2, "native_layer_norm")),
    Difference("group norms, 5 per element, 4 without affine", _fvcore_norm(1, "native_group_norm")),
    Difference(
        "batch norms, 2 per element, 1 without affine",
        _sum_functions("F.batch_norm", lambda c: (1 if c.argument(3, "weight") is None else 2) * _input(c).numel),
    ),
    Difference(
        "instance norms, 5 per element, 4 without affine",
        _sum_functions("F.instance_norm", lambda c: (4 if c.argument(3, "weight") is None else 5) * _input(c).numel),
    ),
)

_ORGANISERS_CONV: Final = (nn.Conv2d, nn.ConvTranspose2d)


def _organisers_linear(call: ModuleCall) -> int:
    return call.x[0] * call.x[1] * call.y[1]


NTIRE2022: Final = (
    Difference("products of two activations missed", _missed_products(Kind.MATMUL)),
    Difference("products of linear layers and other weights left out", _missed_products(Kind.LINEAR)),
    Difference(
        "linear layers as batch x second dimensions of input and output",
        lambda t: sum(_organisers_linear(c) for c in t.modules if isinstance(c.module, nn.Linear)),
    ),
    Difference(
        "convolutions outside Conv2d modules missed",
        _sum_operations(lambda o: 0 if issubclass(o.module, _ORGANISERS_CONV) else -o.cost.get(Kind.CONVOLUTION, 0)),
    ),
    Difference(
        "transposed convolutions at output size",
        _sum_operations(lambda o: _transposed_at_output(o) if issubclass(o.module, _ORGANISERS_CONV) else 0),
    ),
    Difference(
        "rectifiers, 1 per element",
        lambda t: sum(
            c.y.numel for c in t.modules if isinstance(c.module, (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6))
        ),
    ),
    Difference(
        "batch norms, 2 per element",
        lambda t: sum(2 * c.y.numel for c in t.modules if isinstance(c.module, nn.BatchNorm2d)),
    ),
)

DIFFERENCES: Final[Mapping[str, tuple[Difference, ...]]] = MappingProxyType(
    {
        "thop": THOP,
        "ptflops": PTFLOPS,
        "ptflops_aten": PTFLOPS_ATEN,
        "fvcore": FVCORE,
        "torch": TORCH,
        "ntire2022": NTIRE2022,
    }
)
"""Every tool's differences from the exact count, in the order of the table."""

_NO_LINEAR: Final = Difference("linear layers left out", _missed_products(Kind.LINEAR))
_NO_MATMUL: Final = Difference("products of two activations left out", _missed_products(Kind.MATMUL))


def _other_weights(call: ModuleCall) -> int:
    """A parameter named weight of a leaf module that is no convolution, counted once in a call."""
    weight = call.module._parameters.get("weight")
    leaf = not any(call.module.children()) and "Conv" not in type(call.module).__name__
    return weight.numel() if leaf and weight is not None else 0


def _bias_values(call: ModuleCall) -> int:
    bias = call.module._parameters.get("bias")
    return 0 if bias is None else bias.numel()


def _at_every_pixel(t: Trace) -> float:
    """Weights of convolutions that run on fewer positions than LR has pixels, as if they ran on all."""
    pixels = prod(t.lr)
    convolutions = (call for call in t.modules if type(call.module) in CONV_MODULES)
    return sum(call.module.get_parameter("weight").numel() * (pixels - prod(call.y[2:])) for call in convolutions)


RULES: Final[Mapping[MultiAddRule, tuple[Difference, ...]]] = MappingProxyType(
    {
        MultiAddRule.CONVOLUTIONS: (_NO_LINEAR, _NO_MATMUL),
        MultiAddRule.THOP: THOP,
        MultiAddRule.THOP_WITH_BIAS: (
            _NO_MATMUL,
            Difference("biases", _sum_operations(lambda o: o.cost.get(Kind.BIAS, 0))),
            Difference("adaptive average pools", _sum_modules(ADAPTIVE, lambda c: c.x.numel + c.y.numel)),
        ),
        MultiAddRule.FVCORE: FVCORE,
        MultiAddRule.PLAIN_WEIGHT: (
            _NO_LINEAR,
            _NO_MATMUL,
            Difference(
                "convolutions without a parameter named weight missed",
                _missed_products(Kind.CONVOLUTION, CONV_MODULES),
            ),
            Difference("other weights, once per call", lambda t: sum(map(_other_weights, t.modules))),
        ),
        MultiAddRule.PARAMS_X_PIXELS: (
            Difference("gates on pooled vectors as if at every pixel", _at_every_pixel),
            Difference(
                "biases, 1 per pixel",
                lambda t: prod(t.lr) * sum(map(_bias_values, t.modules)),
            ),
        ),
    }
)
"""Differences of the rules that papers share from the exact count at the paper's LR size."""
