"""What one call of an operation costs: one small rule per operation, and `register` for operations of your own.

Unit of every number: one multiply-add, or one operation where there is no product to add to (a comparison of a max
pool, a square root). `MULTI_ADD_KINDS` names the kinds that make up `multi_adds`; the others are columns beside it.
An operation without a rule is reported as uncounted, never taken as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from math import ceil, log2, prod
from typing import Any, Final

import torch
from torch import Tensor


class Kind(Enum):
    """A column of the exact count."""

    CONVOLUTION = "convolution"
    "Convolutions of any dimension, grouped and transposed; zero padding is multiplied too, as every counter has it."
    LINEAR = "linear"
    "Matrix products with a parameter or buffer of the network."
    MATMUL = "matmul"
    "Matrix products of two activations: attention, einsum, Gram matrices."
    BIAS = "bias"
    "One addition per output element of a convolution or matrix product that has a bias."
    INTERPOLATION = "interpolation"
    "Taps per output element: bilinear 4, bicubic 16, nearest 0."
    POOLING = "pooling"
    "Elements read: window size per output element, input elements where the window is adaptive."
    NORMALISATION = "normalisation"
    "Batch norm 2 per element (1 without affine), layer and group norm 5 (4 without affine)."
    REDUCTION = "reduction"
    "One per input element of sums, means, variances, norms and prefix sums."
    FFT = "fft"
    "2.5 n log2 n per complex transform of n points, half of that for real input or output (half of FFTW's flops)."
    ELEMENTWISE = "element-wise"
    "One per output element, whatever the function; softmax 3."


MULTI_ADD_KINDS: Final = (Kind.CONVOLUTION, Kind.LINEAR, Kind.MATMUL)
"""What the suite calls multi-adds: every convolution and every matrix product, attention's included."""

Cost = Mapping[Kind, int]
Rule = Callable[[Sequence[Any], Any], Cost]
"""(arguments of the call, its output) -> cost. Tensors have shapes but no values."""

FREE: Final[Cost] = {}
"""Cost of moving, viewing or making data."""

_rules: dict[str, Rule] = {}


def register(op: str, rule: Rule | None = None) -> Callable[[Rule], Rule]:
    """Give an operation its cost: `register("mylib::scan", lambda args, out: {Kind.MATMUL: args[0].numel() * 16})`.

    `op` is the name that the report of uncounted operations prints, without an overload. Also a decorator. A later
    registration of the same name replaces the earlier one.
    """

    def add(rule: Rule) -> Rule:
        _rules[op] = rule
        return rule

    if rule is not None:
        add(rule)
    return add


def unregister(op: str) -> None:
    """Forget the rule of an operation."""
    _rules.pop(op, None)


def rule_for(op: torch._ops.OpOverload[..., Any]) -> Rule | None:
    """The rule of an operation: a registered one, else free if it is a view, else element-wise if torch says so."""
    name = op._schema.name
    if name in _rules:
        return _rules[name]
    # `relu_` and `fill_` cost what `relu` and `fill` cost.
    if name.endswith("_") and name[:-1] in _rules:
        return _rules[name[:-1]]
    if op.is_view:
        return _free
    return _elementwise if torch.Tag.pointwise in op.tags else None


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def add(rule: Rule) -> Rule:
        for op in ops:
            register(f"aten::{op}", rule)
        return rule

    return add


def _outputs(out: Any) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else [t for t in out if isinstance(t, Tensor)]


_MOVING: Final = """
    alias detach clone contiguous copy lift_fresh lift_fresh_copy _to_copy _unsafe_view resize set_ view_copy
    empty empty_strided empty_like new_empty new_empty_strided zeros zeros_like new_zeros zero ones ones_like
    new_ones full full_like new_full fill arange range linspace eye scalar_tensor tril_indices triu_indices
    rand rand_like randn randn_like randint randperm uniform normal bernoulli native_dropout
    cat stack concat repeat tile roll flip rot90 index index_select gather take embedding nonzero
    index_put _unsafe_index _unsafe_index_put index_copy index_fill slice_scatter select_scatter
    masked_select masked_scatter tril triu scatter constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    pixel_shuffle pixel_unshuffle channel_shuffle im2col unfold_copy
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d
    split_with_sizes_copy unsafe_split unsafe_split_with_sizes unbind_copy
    _assert_async _assert_tensor_metadata _local_scalar_dense is_same_size _linalg_check_errors complex
"""
"""Operations that move, view, make or check data."""

_REDUCING: Final = """
    sum mean prod var std var_mean std_mean norm linalg_vector_norm logsumexp all any
    amax amin max min argmax argmin aminmax cumsum cumprod cummax cummin sort topk median
"""


@_rule(*_MOVING.split())
def _free(_args: Sequence[Any], _out: Any) -> Cost:
    """Data is moved or made, nothing is computed."""
    return FREE


def _elementwise(_args: Sequence[Any], out: Any) -> Cost:
    return {Kind.ELEMENTWISE: sum(t.numel() for t in _outputs(out))}


register("aten::_prelu_kernel", _elementwise)
register("aten::rrelu_with_noise", _elementwise)
register("aten::glu", _elementwise)
# Adds overlapping windows: one addition per window element.
register("aten::col2im", lambda args, _out: {Kind.ELEMENTWISE: args[0].numel()})
# Two operands per output element and gate: the product g * v / |v| of the reparametrisation.
register("aten::_weight_norm_interface", lambda args, _out: {Kind.ELEMENTWISE: 2 * args[0].numel()})
for _name in ("index_add", "scatter_add", "scatter_reduce"):
    register(f"aten::{_name}", lambda args, _out: {Kind.ELEMENTWISE: args[-1].numel()})


@_rule("_softmax", "_log_softmax", "_safe_softmax", "_masked_softmax")
def _softmax(args: Sequence[Any], _out: Any) -> Cost:
    return {Kind.ELEMENTWISE: 3 * args[0].numel()}


@_rule(*_REDUCING.split())
def _reduction(args: Sequence[Any], out: Any) -> Cost:
    # `max(a, b)` of two tensors is element-wise; it shares its name with the reduction.
    if len(args) > 1 and isinstance(args[1], Tensor):
        return _elementwise(args, out)
    return {Kind.REDUCTION: args[0].numel()}


@_rule("convolution", "_convolution", "convolution_overrideable", "cudnn_convolution", "mkldnn_convolution")
@_rule("_slow_conv2d_forward", "conv2d", "conv1d", "conv3d")
def _convolution(args: Sequence[Any], out: Tensor) -> Cost:
    """Every weight once per output position and image; once per input position where the convolution is transposed."""
    x, weight, bias = args[:3]
    transposed = len(args) > 6 and args[6] is True
    positions = (x if transposed else out).shape
    products = positions[0] * prod(positions[2:]) * weight.numel()
    return {Kind.CONVOLUTION: products} | ({} if bias is None else {Kind.BIAS: out.numel()})


@_rule("mm", "bmm", "mv", "dot", "vdot", "_int_mm")
def _matmul(args: Sequence[Any], out: Tensor) -> Cost:
    return {Kind.MATMUL: out.numel() * args[0].shape[-1]}


@_rule("addmm", "addmv", "baddbmm", "_addmm_activation")
def _matmul_with_bias(args: Sequence[Any], out: Tensor) -> Cost:
    return {Kind.MATMUL: out.numel() * args[1].shape[-1], Kind.BIAS: out.numel()}


@_rule("addbmm")
def _addbmm(args: Sequence[Any], out: Tensor) -> Cost:
    batch, _, inner = args[1].shape
    return {Kind.MATMUL: out.numel() * batch * inner, Kind.BIAS: out.numel()}


@_rule("addr", "ger")
def _outer(_args: Sequence[Any], out: Tensor) -> Cost:
    return {Kind.MATMUL: out.numel()}


@_rule("linear")
def _linear(args: Sequence[Any], out: Tensor) -> Cost:
    bias = {} if len(args) < 3 or args[2] is None else {Kind.BIAS: out.numel()}
    return {Kind.LINEAR: out.numel() * args[0].shape[-1]} | bias


@_rule("_trilinear")
def _trilinear(args: Sequence[Any], out: Tensor) -> Cost:
    """nn.Bilinear: x1 (n, i) with weight (o, i, j) gives (n, o, j), then with x2 (n, j) gives (n, o)."""
    i, j = args[0].shape[-1], args[2].shape[-1]
    return {Kind.LINEAR: out.numel() * (i * j + j)}


def attention_products(query: Tensor, key: Tensor, value: Tensor) -> int:
    """Multi-adds of q k^T and of the product with v, (..., heads, tokens, channels); grouped queries repeat k and v."""
    rows, tokens = query.numel() // query.shape[-1], key.shape[-2]
    return rows * tokens * (query.shape[-1] + value.shape[-1])


@_rule(
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
def _attention(args: Sequence[Any], _out: Any) -> Cost:
    """Both products over all tokens (a causal mask saves nothing here), softmax at 3 per score."""
    query, key, value = args[:3]
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    return {Kind.MATMUL: attention_products(query, key, value), Kind.ELEMENTWISE: 3 * scores}


@_rule("_flash_attention_forward", "_efficient_attention_forward")
def _attention_tokens_first(args: Sequence[Any], _out: Any) -> Cost:
    """The kernels below: (batch, tokens, heads, channels)."""
    return _attention([t.transpose(1, 2) for t in args[:3]], None)


@_rule("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")
def _interpolation(args: Sequence[Any], out: Tensor) -> Cost:
    return {Kind.INTERPOLATION: 2 ** (args[0].dim() - 2) * out.numel()}


@_rule("upsample_bicubic2d")
def _bicubic(_args: Sequence[Any], out: Tensor) -> Cost:
    return {Kind.INTERPOLATION: 16 * out.numel()}


def _antialiased(support: int) -> Rule:
    """Separable resize: width first, then height; taps grow with the reduction. An upper bound at borders."""

    def rule(args: Sequence[Any], out: Tensor) -> Cost:
        (h, w), (oh, ow) = args[0].shape[-2:], out.shape[-2:]
        taps_h, taps_w = (2 * ceil(support * max(1.0, a / b)) + 1 for a, b in ((h, oh), (w, ow)))
        planes = prod(out.shape[:-2])
        return {Kind.INTERPOLATION: planes * (h * ow * taps_w + oh * ow * taps_h)}

    return rule


register("aten::_upsample_bilinear2d_aa", _antialiased(1))
register("aten::_upsample_bicubic2d_aa", _antialiased(2))


@_rule("grid_sampler_2d", "grid_sampler_3d")
def _grid_sampler(args: Sequence[Any], out: Tensor) -> Cost:
    bilinear, nearest, bicubic = 2 ** (args[0].dim() - 2), 0, 16
    return {Kind.INTERPOLATION: (bilinear, nearest, bicubic)[args[2]] * out.numel()}


def _pooling(dims: int) -> Rule:
    def rule(args: Sequence[Any], out: Any) -> Cost:
        kernel = list(args[1]) if isinstance(args[1], Sequence) else [args[1]]
        window = prod(kernel if len(kernel) == dims else kernel * dims)
        return {Kind.POOLING: _outputs(out)[0].numel() * window}

    return rule


for _dims in (1, 2, 3):
    for _name in ("max_pool{}d", "max_pool{}d_with_indices", "avg_pool{}d"):
        register("aten::" + _name.format(_dims), _pooling(_dims))


@_rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d")
@_rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_pooling(args: Sequence[Any], _out: Any) -> Cost:
    return {Kind.POOLING: args[0].numel()}


@_rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "batch_norm")
@_rule("cudnn_batch_norm")
def _batch_norm(args: Sequence[Any], _out: Any) -> Cost:
    return {Kind.NORMALISATION: (1 if args[1] is None else 2) * args[0].numel()}


@_rule("native_group_norm")
def _group_norm(args: Sequence[Any], _out: Any) -> Cost:
    return {Kind.NORMALISATION: (4 if args[1] is None else 5) * args[0].numel()}


@_rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def _layer_norm(args: Sequence[Any], _out: Any) -> Cost:
    return {Kind.NORMALISATION: (4 if args[2] is None else 5) * args[0].numel()}


def _fft(*, real: bool, full: Callable[[Sequence[Any], Tensor], Tensor]) -> Rule:
    def rule(args: Sequence[Any], out: Tensor) -> Cost:
        shape = full(args, out).shape
        points = prod(shape[d] for d in args[1])
        cost = 2.5 * prod(shape) * log2(points) if points > 1 else 0.0
        return {Kind.FFT: round(cost / 2 if real else cost)}

    return rule


register("aten::_fft_r2c", _fft(real=True, full=lambda args, _out: args[0]))
register("aten::_fft_c2r", _fft(real=True, full=lambda _args, out: out))
register("aten::_fft_c2c", _fft(real=False, full=lambda args, _out: args[0]))
