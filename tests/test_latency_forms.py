"""The forms of a network: what runs where, what is refused, and whether a wrong output is seen."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.datasets import Dataset, open_dataset
from runner.tasks import latency, latency_forms
from runner.tasks.latency_devices import Cpu, Cuda
from runner.tasks.sampling import SamplingRule
from zoo.contract import BadInput, ModelSpec, NotHere
from zoo.protocols import Engine, Form, Size, TimingProtocol

QUICK = SamplingRule(target=1e9, min_samples=3, max_seconds=1)
PROTOCOL = TimingProtocol(device="cpu", lr=Size(16, 24), threads=torch.get_num_threads())


class Nearest(nn.Module):
    """Nearest neighbours through a convolution, so that there are weights; `factor` scales what lies between."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.factor = factor
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[..., None, None])
            self.conv.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x * self.factor) / self.factor
        return nn.functional.interpolate(y, scale_factor=4.0, mode="nearest")


SPEC = ModelSpec(name="nearest", display_name="Nearest", build=lambda _scale: Nearest(), scales=(4,))


@pytest.fixture(scope="module")
def one_image() -> Dataset:
    whole = open_dataset("sample", 4)
    return replace(whole, pairs=whole.pairs[:1])


def test_every_form_names_its_engine_and_its_base() -> None:
    assert {form for form in Form if not form.one_size} == {Form.PLAIN, Form.FAST}
    assert Form.FAST_CUDA_GRAPH.fast
    assert (Form.FAST_CUDA_GRAPH.engine, Form.COMPILE.engine) == (Engine.CUDA_GRAPH, Engine.COMPILE)


def test_ids_of_what_was_there_before_are_as_before() -> None:
    assert PROTOCOL.id == f"cpu-plain-float32-contiguous-n1-lr16x24-t{PROTOCOL.threads}"
    changed = replace(PROTOCOL, form=Form.FAST_COMPILE, dtype="bfloat16", memory_format="channels_last", batch=2)
    assert changed.id == f"cpu-fast-compile-bfloat16-channels_last-n2-lr16x24-t{PROTOCOL.threads}"


def _check(one_image: Dataset, network: nn.Module, **change: Any) -> dict[str, Any]:
    values = latency.measure(
        SPEC, 4, protocol=replace(PROTOCOL, **change), network=network, check_on=one_image, rule=QUICK, weights="file"
    )
    check: dict[str, Any] = values["check"]
    return check


def test_psnr_of_the_plain_form_is_that_of_the_quality_task(one_image: Dataset) -> None:
    from runner.tasks.quality import evaluate
    from zoo.protocols import EvalProtocol

    check = _check(one_image, Nearest())
    expected = evaluate(Nearest(), one_image, protocol=EvalProtocol())["psnr_y_db"]
    assert check["psnr_y_db"] == check["plain_psnr_y_db"] == pytest.approx(expected, abs=1e-9)
    assert (check["lr"], check["finite"], check["flags"]) == ("own", True, [])


def test_half_precision_that_overflows_is_flagged(one_image: Dataset) -> None:
    check = _check(one_image, Nearest(factor=1e6), dtype="float16")
    assert not check["finite"]
    assert check["psnr_y_db"] is None
    assert check["plain_psnr_y_db"] > 20
    assert check["flags"] == ["the output holds NaN or infinity"]


def test_a_fast_form_that_is_wrong_is_flagged(one_image: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Darker(Nearest):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 0.9

    monkeypatch.setattr("zoo.optimize", lambda _network: Darker(), raising=False)
    check = _check(one_image, Nearest(), form=Form.FAST)
    assert 0.09 < check["max_abs_difference"] < 0.101
    assert check["plain_psnr_y_db"] > check["psnr_y_db"] + 1
    assert "below the plain form's" in check["flags"][0]


def test_random_weights_have_no_psnr_but_a_difference(one_image: Dataset) -> None:
    values = latency.measure(
        SPEC, 4, protocol=replace(PROTOCOL, dtype="bfloat16"), check_on=one_image, rule=QUICK, weights=None
    )
    assert values["weights"] == "random"
    assert values["check"]["psnr_y_db"] is values["check"]["plain_psnr_y_db"] is None
    assert 1e-4 < values["check"]["max_abs_difference"] < 0.1


def test_forms_of_one_size_get_images_of_that_size(one_image: Dataset) -> None:
    """The image is cut in height and mirrored in width, and compared with the plain form on the same pixels."""
    from runner.tasks.latency_check import check

    shapes: list[tuple[int, ...]] = []

    def one_size(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape))
        with torch.inference_mode():
            return Nearest()(x)

    with torch.inference_mode():
        found = check(
            one_size,
            Nearest(),
            one_image,
            place=lambda x: x,
            rule=SPEC.inference,
            trained=True,
            fitted=Size(40, 150),
            batch=2,
        )
    assert shapes == [(2, 3, 40, 150)]
    assert found["lr"] == "40x150"
    assert found["psnr_y_db"] == found["plain_psnr_y_db"] > 20


@pytest.mark.slow
def test_a_compiled_form_gives_the_plain_forms_image(one_image: Dataset) -> None:
    assert _check(one_image, Nearest(), form=Form.COMPILE)["max_abs_difference"] < 1e-6


def test_a_form_that_compiles_at_its_first_call_has_done_so_before_it_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def fake_compile(network: nn.Module, **options: Any) -> Any:
        assert options == {"dynamic": False, "options": {"freezing": True}}
        return lambda x: calls.append("call") or network(x)

    def device_for(_kind: str, run: Any, x: Tensor) -> Cpu:
        calls.append("device")
        return Cpu(run, x)

    monkeypatch.setattr(torch, "compile", fake_compile)
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/g++")
    latency.measure(SPEC, 4, protocol=replace(PROTOCOL, form=Form.COMPILE), rule=QUICK, device_for=device_for)
    assert calls[:3] == ["call", "device", "call"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": Form.CUDA_GRAPH}, "on a GPU only"),
        ({"form": Form.ONNXRUNTIME, "dtype": "float16"}, "timed in float32"),
        ({"form": Form.OPENVINO, "memory_format": "channels_last"}, "from contiguous memory"),
        ({"form": Form.ONNXRUNTIME, "device": "cuda"}, "on the CPU only"),
    ],
)
def test_combinations_that_do_not_exist_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        latency_forms.require_form(replace(PROTOCOL, **change))


@pytest.mark.parametrize(("form", "extra"), [(Form.ONNXRUNTIME, "onnx"), (Form.OPENVINO, "onnx,openvino")])
def test_a_missing_extra_is_named(form: Form, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(NotHere) as caught:
        latency_forms.require_form(replace(PROTOCOL, form=form))
    assert f"'.[{extra}]'" in caught.value.remedy


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(NotHere, match="C\\+\\+ compiler"):
        latency_forms.require_form(replace(PROTOCOL, form=Form.FAST_COMPILE))


class FakeCuda:
    """The names of `torch.cuda` that are used, writing down what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def reset_peak_memory_stats(self) -> None:
        self.calls.append("reset")

    def max_memory_allocated(self) -> int:
        return 2**20

    def max_memory_reserved(self) -> int:
        return 2**21

    def Event(self, *, enable_timing: bool) -> FakeCuda._Event:
        assert enable_timing
        return self._Event(self)

    class _Event:
        def __init__(self, cuda: FakeCuda) -> None:
            self._cuda = cuda

        def record(self) -> None:
            self._cuda.calls.append("record")

        def elapsed_time(self, _end: Any) -> float:
            self._cuda.calls.append("elapsed")
            return 1.5

    def Stream(self) -> FakeCuda._Stream:
        return self._Stream("side", self)

    def current_stream(self) -> FakeCuda._Stream:
        return self._Stream("main", self)

    class _Stream:
        def __init__(self, name: str, cuda: FakeCuda) -> None:
            self.name, self._cuda = name, cuda

        def wait_stream(self, other: FakeCuda._Stream) -> None:
            self._cuda.calls.append(f"{self.name} waits for {other.name}")

    @contextmanager
    def stream(self, stream: FakeCuda._Stream) -> Iterator[None]:
        self.calls.append(f"on {stream.name}")
        yield

    def CUDAGraph(self) -> FakeCuda._Graph:
        return self._Graph(self)

    class _Graph:
        def __init__(self, cuda: FakeCuda) -> None:
            self._cuda = cuda

        def replay(self) -> None:
            self._cuda.calls.append("replay")

    @contextmanager
    def graph(self, _graph: Any) -> Iterator[None]:
        self.calls.append("capture")
        yield


def test_a_cuda_run_is_alone_between_its_events() -> None:
    cuda = FakeCuda()
    device = Cuda(lambda x: cuda.calls.append("forward") or x, torch.zeros(1), cuda=cuda)
    assert cuda.calls == ["synchronize", "reset"]
    cuda.calls.clear()
    assert device.step() == 1.5
    assert cuda.calls == ["synchronize", "record", "forward", "record", "synchronize", "elapsed"]
    assert device.memory() == {
        "peak_memory_bytes": 2**20,
        "peak_memory_kind": "CUDA allocated",
        "peak_reserved_bytes": 2**21,
    }


def test_a_graph_is_warmed_beside_the_stream_captured_once_per_size_and_replayed() -> None:
    cuda = FakeCuda()

    def network(x: Tensor) -> Tensor:
        cuda.calls.append(f"forward {tuple(x.shape)}")
        return x

    graphed = latency_forms.Graphed(network, cuda=cuda)
    x = torch.rand(1, 3, 4, 5)
    graphed(x)
    warm = ["forward (1, 3, 4, 5)"] * 3
    assert cuda.calls == [
        "side waits for main",
        "on side",
        *warm,
        "main waits for side",
        "capture",
        warm[0],
        "replay",
    ]
    cuda.calls.clear()
    other = torch.rand(1, 3, 4, 5)
    assert torch.equal(graphed(other), other), "the graph's own input must hold the new values"
    assert cuda.calls == ["replay"]
    graphed(torch.rand(1, 3, 6, 5))
    assert cuda.calls.count("capture") == 1


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("form", [Form.PLAIN, Form.CUDA_GRAPH, Form.COMPILE])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_forms_on_a_gpu_give_the_plain_image(form: Form, dtype: str, one_image: Dataset) -> None:
    check = _check(one_image, Nearest(), device="cuda", form=form, dtype=dtype, memory_format="channels_last")
    assert check["finite"]
    assert check["max_abs_difference"] < {"float32": 1e-3, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    assert check["psnr_y_db"] == pytest.approx(check["plain_psnr_y_db"], abs=0.05)


@pytest.mark.cuda
@needs_cuda
def test_a_captured_graph_takes_new_values_and_new_sizes() -> None:
    network = Nearest().cuda().eval()
    with torch.inference_mode():
        graphed = latency_forms.Graphed(network)
        for height in (8, 8, 12):
            x = torch.rand(1, 3, height, 9, device="cuda")
            assert torch.equal(graphed(x), network(x))


@pytest.mark.cuda
@needs_cuda
def test_events_see_the_work_and_not_the_launch() -> None:
    """A kernel that is launched at once and spins for 10^8 cycles: no GPU's clock does them in 20 ms."""
    device = Cuda(lambda _x: torch.cuda._sleep(100_000_000), torch.empty(0, device="cuda"))
    assert device.step() > 20


@pytest.mark.cuda
@needs_cuda
def test_the_state_of_the_gpu_is_in_the_record() -> None:
    values = latency.measure(SPEC, 4, protocol=replace(PROTOCOL, device="cuda"), rule=QUICK)
    assert {"clock_mhz", "temperature_c"} <= set(values["load"]["gpu_before"])
    assert values["peak_reserved_bytes"] >= values["peak_memory_bytes"] > 0
