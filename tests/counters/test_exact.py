"""The exact counter against closed forms worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from runner.counters import count, register, unregister
from runner.counters.exact import ExactCount, count_exact
from runner.counters.rules import Kind
from runner.counters.subject import subject_of
from runner.tasks.complexity import measure
from tests.counters.networks import Small
from zoo.catalogue import find
from zoo.contract import BadInput, InputTooSmall, JobFailed
from zoo.create import create_model
from zoo.protocols import CountProtocol, Size

sizes = st.integers(1, 9)
few = settings(max_examples=40, deadline=None)


class Call(nn.Module):
    """A network made of one function of the image and of the modules it uses."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def exact(network: nn.Module, height: int = 16, width: int = 20) -> ExactCount:
    return count_exact(subject_of(network, lr=Size(height, width)))


def kinds(network: nn.Module, height: int = 16, width: int = 20) -> dict[str, int]:
    return {kind.value: n for kind, n in exact(network, height, width).by_kind.items()}


@few
@given(
    groups=st.integers(1, 3),
    into=sizes,
    out=sizes,
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    height=st.integers(12, 25),
)
def test_convolution(
    groups: int,
    into: int,
    out: int,
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    bias: bool,
    height: int,
) -> None:
    cin, cout = groups * into, groups * out
    conv = nn.Conv2d(cin, cout, kernel, stride, padding, dilation, groups, bias)
    found = exact(nn.Sequential(nn.Conv2d(3, cin, 1, bias=False), conv), height, 20)
    h, w = ((n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip((height, 20), kernel, strict=True))
    products = h * w * cout * into * kernel[0] * kernel[1]
    assert found.multi_adds == products + height * 20 * 3 * cin
    assert found.by_kind.get(Kind.BIAS, 0) == h * w * cout * bias
    assert found.activations == h * w * cout + height * 20 * cin
    assert found.conv_calls == 2


@few
@given(groups=st.integers(1, 3), into=sizes, out=sizes, kernel=st.integers(2, 6), stride=st.integers(1, 3))
def test_transposed_convolution_multiplies_once_per_input_position(
    groups: int, into: int, out: int, kernel: int, stride: int
) -> None:
    conv = nn.ConvTranspose2d(groups * into, groups * out, kernel, stride, groups=groups)
    found = exact(nn.Sequential(nn.Conv2d(3, groups * into, 1, bias=False), conv))
    assert found.multi_adds == 16 * 20 * (3 * groups * into + groups * into * out * kernel**2)
    h, w = ((n - 1) * stride + kernel for n in (16, 20))
    assert found.activations == 16 * 20 * groups * into + h * w * groups * out


@few
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(kernel=st.integers(1, 7), dilation=st.integers(1, 3))
def test_padding_same_counts_like_numeric_padding(kernel: int, dilation: int) -> None:
    conv = nn.Conv2d(3, 5, kernel, padding="same", dilation=dilation)
    assert exact(conv).multi_adds == 16 * 20 * 15 * kernel**2


def test_convolutions_of_one_and_three_dimensions_and_functional_ones() -> None:
    one, three = nn.Conv1d(3, 4, 5), nn.Conv3d(1, 2, 3)
    assert kinds(Call(lambda x, conv: conv(x.flatten(2)), one)) == {"convolution": 316 * 4 * 3 * 5, "bias": 316 * 4}
    assert kinds(Call(lambda x, conv: conv(x[:, None]), three)) == {"convolution": 14 * 18 * 54, "bias": 14 * 18 * 2}
    weight = torch.zeros(8, 3, 3, 3)
    assert kinds(Call(lambda x: F.conv2d(x, weight.to(x.device)))) == {"convolution": 14 * 18 * 8 * 27}


@few
@given(into=sizes, out=sizes, bias=st.booleans(), dims=st.integers(1, 4))
def test_linear(into: int, out: int, bias: bool, dims: int) -> None:
    linear = nn.Linear(into, out, bias=bias)
    shape = (*(2, 3, 4)[4 - dims :], into)
    rows = torch.Size(shape[:-1]).numel()
    found = kinds(Call(lambda _x, layer: layer(torch.zeros(shape)), linear))
    assert found == {"linear": rows * into * out} | ({"bias": rows * out} if bias else {})


@few
@given(batch=sizes, heads=sizes, rows=sizes, columns=sizes, inner=sizes, form=st.integers(0, 3))
def test_matrix_products_of_activations(batch: int, heads: int, rows: int, columns: int, inner: int, form: int) -> None:
    def product(_x: Tensor) -> Tensor:
        a, b = torch.zeros(batch, heads, rows, inner), torch.zeros(batch, heads, inner, columns)
        forms = (
            lambda: a @ b,
            lambda: torch.einsum("bhij,bhjk->bhik", a, b),
            lambda: torch.bmm(a.flatten(0, 1), b.flatten(0, 1)),
            lambda: torch.baddbmm(torch.zeros(batch * heads, rows, columns), a.flatten(0, 1), b.flatten(0, 1)),
        )
        return forms[form]()

    found = kinds(Call(product))
    elementwise = {k: v for k, v in found.items() if k != "matmul"}
    # An einsum over an axis of length 1 is done as a product of elements, which is no matrix product.
    expected = batch * heads * rows * columns * inner
    assert found.get("matmul", 0) + (elementwise.get("element-wise", 0) if form == 1 else 0) == expected
    assert elementwise.get("bias", 0) == (batch * heads * rows * columns if form == 3 else 0)


def test_a_matrix_product_with_a_parameter_is_linear_whatever_its_form() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 7))
            self.register_buffer("table", torch.zeros(7, 5))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bchw,cd->bhwd", x, self.weight) @ self.table

    assert kinds(Mixed()) == {"linear": 16 * 20 * (3 * 7 + 7 * 5)}


@few
@given(heads=sizes, queries=sizes, keys=sizes, dim=st.integers(2, 9), value=st.integers(2, 9))
def test_scaled_dot_product_attention(heads: int, queries: int, keys: int, dim: int, value: int) -> None:
    def attend(_x: Tensor) -> Tensor:
        q, k, v = (torch.zeros(2, heads, *shape) for shape in ((queries, dim), (keys, dim), (keys, value)))
        return F.scaled_dot_product_attention(q, k, v)

    assert kinds(Call(attend))["matmul"] == 2 * heads * queries * keys * (dim + value)


@pytest.mark.parametrize(
    "op",
    [
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
        "_flash_attention_forward",
        "_efficient_attention_forward",
    ],
)
def test_every_fused_form_of_attention_costs_what_its_two_products_cost(op: str) -> None:
    from runner.counters.rules import rule_for

    tokens_first = op in ("_flash_attention_forward", "_efficient_attention_forward")
    q, k, v = (torch.zeros(2, 3, *shape, device="meta") for shape in ((10, 8), (12, 8), (12, 6)))
    args = [t.transpose(1, 2) if tokens_first else t for t in (q, k, v)]
    rule = rule_for(getattr(torch.ops.aten, op).default)
    assert rule is not None
    assert rule(args, None)[Kind.MATMUL] == 2 * 3 * 10 * 12 * (8 + 6)


def test_flash_attention_on_cpu_tensors_counts_like_its_plain_form() -> None:
    def attend(x: Tensor) -> Tensor:
        if float(x.mean()) < 0:
            return x
        q = torch.zeros(1, 2, 16, 8)
        return F.scaled_dot_product_attention(q, q, q)

    found = exact(Call(attend))
    assert found.device == "cpu"
    assert found.multi_adds == 2 * 16 * 16 * 16


def test_multi_head_attention() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    found = kinds(Call(lambda _x, a: a(*[torch.zeros(1, 5, 8)] * 3, need_weights=False)[0], attention))
    assert found["linear"] == 5 * 8 * 8 * 4
    assert found["matmul"] == 2 * 5 * 5 * 8


PIXELS = 3 * 16 * 20
COLUMNS: list[tuple[str, Callable[[Tensor], Tensor], dict[str, int]]] = [
    ("bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), {"interpolation": 4 * 4 * PIXELS}),
    ("bicubic", lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), {"interpolation": 16 * 4 * PIXELS}),
    ("nearest", lambda x: F.interpolate(x, scale_factor=2), {}),
    ("max pool", lambda x: F.max_pool2d(x, 3, 2), {"pooling": 3 * 7 * 9 * 9}),
    ("average pool", lambda x: F.avg_pool2d(x, (2, 4)), {"pooling": PIXELS}),
    ("adaptive pool", lambda x: F.adaptive_avg_pool2d(x, 3), {"pooling": PIXELS}),
    ("global pool", lambda x: F.adaptive_avg_pool2d(x, 1), {"reduction": PIXELS}),
    ("layer norm", lambda x: F.layer_norm(x, (20,)), {"normalisation": 4 * PIXELS}),
    ("std", lambda x: x.std((2, 3)), {"reduction": PIXELS}),
    ("gelu", lambda x: F.gelu(x), {"element-wise": PIXELS}),
    ("in place", lambda x: x.clone().relu_(), {"element-wise": PIXELS}),
    ("softmax", lambda x: x.softmax(1), {"element-wise": 3 * PIXELS}),
    ("real fft", lambda x: torch.fft.rfft(x[..., :16]).real, {"fft": round(1.25 * 3 * 16 * 16 * 4)}),
    ("complex fft", lambda x: torch.fft.fft2(x[:, :, :, :16] + 0j).real, {"fft": round(2.5 * 3 * 256 * 8)}),
    ("moves", lambda x: torch.roll(F.pixel_shuffle(x[:, [0, 1, 2, 0]], 2), 1, 2).flip(3).contiguous(), {}),
    ("paddings", lambda x: F.pad(F.pad(x, (1, 1, 1, 1), mode="reflect"), (2, 2)), {}),
    ("unfold", lambda x: F.unfold(x, 3), {}),
]


@pytest.mark.parametrize(("function", "expected"), [c[1:] for c in COLUMNS], ids=[c[0] for c in COLUMNS])
def test_columns_beside_multi_adds(function: Callable[[Tensor], Tensor], expected: dict[str, int]) -> None:
    found = exact(Call(function))
    assert found.multi_adds == 0
    assert found.uncounted == ()
    columns = {kind.value: n for kind, n in found.by_kind.items()}
    # The sum that makes the complex input is one operation per element.
    if "fft" in expected:
        columns.pop("element-wise", None)
    assert columns == expected


def test_norms_with_weights() -> None:
    norms = nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(3, 3), nn.BatchNorm2d(3, affine=False))
    assert kinds(norms) == {"normalisation": (2 + 5 + 1) * PIXELS}


def test_peak_memory_follows_lifetimes() -> None:
    class Chain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            wide = torch.cat([x] * 4, 1)
            narrow = wide[:, :1] * 2
            del wide
            return torch.cat([narrow] * 3, 1)

    image = 4 * PIXELS
    # Input and the four-fold copy, then one third of an image beside them, is the largest moment.
    assert exact(Chain()).peak_activation_bytes == image + 4 * image + image // 3
    assert exact(Chain()).output_elements == 4 * PIXELS + PIXELS // 3 + PIXELS
    assert exact(Call(lambda x: x.view(-1).view(x.shape).relu_())).peak_activation_bytes == image


def test_the_module_tree_adds_up_and_shared_modules_count_each_call() -> None:
    found = exact(Small())
    total = found.tree.total()
    assert total == found.by_kind
    body = next(node for node in found.tree.walk() if node.path == "body")
    assert body.total()[Kind.CONVOLUTION] == 2 * 320 * (8 * 8 * 9 + 8 * 4)
    assert [child.path for child in found.tree.children] == ["head", "body", "tail"]
    assert found.tree.own[Kind.MATMUL] == 2 * 8 * 8 * 320
    assert sum(node.own_params for node in found.tree.walk()) == found.params
    assert found.conv_calls == sum(node.conv_calls for node in found.tree.walk()) == 6
    assert sum(node.activations for node in found.tree.walk()) == found.activations == 320 * (8 * 5 + 12)


def test_parameters_and_buffers_are_told_apart() -> None:
    found = exact(Small())
    assert (found.params_frozen, found.buffers) == (8, 3)
    assert found.params == sum(p.numel() for p in Small().parameters())


def test_an_operation_without_a_rule_is_reported_and_fixed_by_the_line_it_names() -> None:
    network = Call(lambda x: torch.linalg.inv(x[..., :16]))
    (missing,) = exact(network).uncounted
    assert missing.op == "aten::linalg_inv_ex"
    assert missing.shapes == ((1, 3, 16, 16),)
    assert 'register("aten::linalg_inv_ex", lambda args, out: {Kind.MATMUL: ...})' in missing.message
    assert (
        "linalg_inv_ex(1x3x16x16), 1 calls, first in the network"
        in count(network, lr_size=(16, 20))["uncounted_ops"][0]
    )
    register("aten::linalg_inv_ex", lambda args, out: {Kind.MATMUL: args[0].numel() * args[0].shape[-1]})
    try:
        fixed = exact(network)
    finally:
        unregister("aten::linalg_inv_ex")
    assert fixed.uncounted == ()
    assert fixed.multi_adds == 3 * 16**3


def test_a_custom_operation_counts_once_it_is_registered() -> None:
    @torch.library.custom_op("esr_test::mix", mutates_args=())
    def mix(x: Tensor, taps: int) -> Tensor:
        return x * taps

    network = Call(lambda x: torch.ops.esr_test.mix(x, 5))
    # Without a shape function it runs on values; with one, on shapes.
    assert exact(network).device == "cpu"
    mix.register_fake(lambda x, taps: torch.empty_like(x))
    found = exact(network)
    assert found.device == "meta"
    assert [missing.op for missing in found.uncounted] == ["esr_test::mix"]
    register("esr_test::mix", lambda args, out: {Kind.ELEMENTWISE: args[1] * out.numel()})
    try:
        assert kinds(network) == {"element-wise": 5 * PIXELS}
    finally:
        unregister("esr_test::mix")


def test_a_weight_normalised_network_can_be_counted() -> None:
    with pytest.warns(FutureWarning):
        conv = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    found = exact(conv)
    assert found.multi_adds == 14 * 18 * 4 * 27
    assert found.uncounted == ()


def test_counting_leaves_the_network_as_it_was() -> None:
    network = Small().train()
    before = {name: dict(vars(module)) for name, module in network.named_modules()}
    values = {key: value.clone() for key, value in network.state_dict().items()}
    count(network, lr_size=(16, 20))
    for name, module in network.named_modules():
        assert vars(module) == before[name]
    assert network.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(values[key], value) for key, value in network.state_dict().items())


def test_counting_works_under_inference_mode_and_on_a_network_of_the_zoo() -> None:
    network = Small()
    outside = count(network, lr_size=(16, 20))
    with torch.inference_mode():
        assert count(network, lr_size=(16, 20)) == outside
        assert count(Small(), lr_size=(16, 20)) == outside


def test_a_users_file_is_counted_by_name(tmp_path: Path) -> None:
    source = """
import torch
from torch import nn
from runner.counters import Kind, register

register("aten::linalg_inv_ex", lambda args, out: {Kind.MATMUL: 7})

class Mine(nn.Module):
    min_side_px = 8
    def __init__(self, *, scale):
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
    def forward(self, x):
        torch.linalg.inv(x[..., :8, :8])
        return self.up(x)
"""
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    spec = find(f"{path}:Mine")
    protocol = CountProtocol(lr=Size(16, 20), counters=("exact", "thop"))
    try:
        found = measure(spec, 3, protocol=protocol)
    finally:
        unregister("aten::linalg_inv_ex")
    assert found["multi_adds"] == 320 * 27 * 27 + 7
    assert found["counters"]["thop"]["multi_adds"] == 320 * 27 * 27
    assert found["params"] == 27 * 27 + 27
    with pytest.raises(InputTooSmall, match="at least 8 px"):
        measure(spec, 3, protocol=CountProtocol(lr=Size(7, 20), counters=("exact",)))
    ready = count(create_model(spec, 3, weights=None), lr_size=(16, 20))
    assert {k: v for k, v in ready.items() if k not in ("counters", "uncounted_ops", "multi_adds", "by_kind")} == {
        k: found[k] for k in ready if k not in ("counters", "uncounted_ops", "multi_adds", "by_kind")
    }


def test_a_network_that_does_not_run_is_an_error_with_its_cause() -> None:
    with pytest.raises(JobFailed, match=r"does not run at LR 2x2.*Kernel size"):
        count(nn.Conv2d(3, 3, 5), lr_size=(2, 2))


def test_an_unknown_counter_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"no counter flopco.*exact, thop"):
        count(Small(), lr_size=(16, 20), counters=("flopco",))
