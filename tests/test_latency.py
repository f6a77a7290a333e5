"""The latency task on small networks: what is in the record, what is refused, what is seen of the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from runner.machine import usable_cores
from runner.records import plain
from runner.tasks import latency, observe
from runner.tasks.sampling import SamplingRule, quantile
from zoo.contract import BadInput, InputTooSmall, ModelSpec, NotHere
from zoo.protocols import Form, Size, TimingProtocol

QUICK = SamplingRule(target=1e9, min_samples=3, max_seconds=1)
PROTOCOL = TimingProtocol(device="cpu", lr=Size(8, 12), threads=1)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


class Recorder(nn.Module):
    """Doubles the sides and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 1)
        self.seen: list[dict[str, Any]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(
            {
                "shape": tuple(x.shape),
                "dtype": x.dtype,
                "channels_last": x.is_contiguous(memory_format=torch.channels_last),
                "inference": torch.is_inference_mode_enabled(),
                "threads": torch.get_num_threads(),
                "training": self.training,
            }
        )
        return nn.functional.pixel_shuffle(self.conv(x), 2)


SPEC = ModelSpec(name="recorder", display_name="Recorder", build=lambda _scale: Recorder(), scales=(2,))


@pytest.fixture(autouse=True)
def _threads_as_before() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_values_are_complete_storable_and_derived_from_the_samples() -> None:
    values = latency.measure(SPEC, 2, protocol=PROTOCOL, rule=QUICK)
    samples = values["samples_ms"]
    assert plain(values) == values
    assert len(samples) >= 3
    assert all(sample > 0 for sample in samples)
    for key, q in (("p10_ms", 0.1), ("median_ms", 0.5), ("p90_ms", 0.9)):
        assert values[key] == quantile(samples, q)
    low, high = values["interval_ms"]
    assert low <= values["median_ms"] <= high
    assert values["peak_memory_bytes"] >= 0
    assert values["device"] == "cpu"
    assert values["lr"] == values["timed_lr"] == "8x12"


def test_the_network_runs_as_the_protocol_says() -> None:
    network = Recorder().train()
    protocol = replace(PROTOCOL, batch=2, dtype="bfloat16", memory_format="channels_last")
    latency.measure(SPEC, 2, protocol=protocol, network=network, rule=QUICK)
    assert network.seen[0] == {
        "shape": (2, 3, 8, 12),
        "dtype": torch.bfloat16,
        "channels_last": True,
        "inference": True,
        "threads": 1,
        "training": False,
    }


def test_every_call_is_either_warm_up_or_sample() -> None:
    network = Recorder()
    values = latency.measure(SPEC, 2, protocol=PROTOCOL, network=network, rule=QUICK)
    assert len(network.seen) == len(values["warm_up"]["samples_ms"]) + len(values["samples_ms"])


def test_sides_are_raised_to_the_multiple_and_both_sizes_are_told() -> None:
    network = Recorder()
    spec = replace(SPEC, size_multiple_px=8)
    values = latency.measure(spec, 2, protocol=PROTOCOL, network=network, rule=QUICK)
    assert network.seen[0]["shape"] == (1, 3, 8, 16)
    assert (values["lr"], values["timed_lr"]) == ("8x12", "8x16")


def test_a_size_below_the_minimum_is_refused() -> None:
    with pytest.raises(InputTooSmall, match="at least 16 px"):
        latency.measure(replace(SPEC, min_side_px=16), 2, protocol=PROTOCOL, rule=QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "tpu"}, "Pass cpu or cuda"),
        ({"dtype": "int8"}, "Expected one of float32"),
        ({"memory_format": "odd"}, "channels_last"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_a_protocol_that_cannot_be_run_says_what_can(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        latency.measure(SPEC, 2, protocol=replace(PROTOCOL, **change), rule=QUICK)


def test_the_fast_form_comes_from_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Recorder()
    monkeypatch.setattr(zoo, "optimize", lambda _network: fast, raising=False)
    values = latency.measure(SPEC, 2, protocol=replace(PROTOCOL, form=Form.FAST), rule=QUICK)
    assert fast.seen
    assert values["form"] == "fast"


def test_without_fast_forms_the_plain_one_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(zoo, "optimize", raising=False)
    with pytest.raises(BadInput, match="--form plain"):
        latency.measure(SPEC, 2, protocol=replace(PROTOCOL, form=Form.FAST), rule=QUICK)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_on_a_machine_without_it_is_not_here() -> None:
    with pytest.raises(NotHere, match="no CUDA device") as caught:
        latency.measure(SPEC, 2, protocol=replace(PROTOCOL, device="cuda"), rule=QUICK)
    assert "--device cpu" in caught.value.remedy


@pytest.mark.cuda
@needs_cuda
def test_cuda_times_and_memory() -> None:
    network = Recorder()
    values = latency.measure(SPEC, 2, protocol=replace(PROTOCOL, device="cuda"), network=network, rule=QUICK)
    assert values["device_name"] == torch.cuda.get_device_name()
    assert 0 < values["peak_memory_bytes"] <= values["peak_reserved_bytes"]
    assert all(sample > 0 for sample in values["samples_ms"])


@pytest.mark.cuda
@needs_cuda
def test_cuda_peak_is_of_this_run() -> None:
    large = torch.empty(2**28, device="cuda")
    del large
    values = latency.measure(SPEC, 2, protocol=replace(PROTOCOL, device="cuda"), network=Recorder(), rule=QUICK)
    assert values["peak_memory_bytes"] < 2**28


class Hungry(nn.Module):
    """Touches 64 MiB and lets them go."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(2**24).sum()


def test_peak_memory_sees_what_is_freed_before_the_end() -> None:
    values = latency.measure(SPEC, 2, protocol=PROTOCOL, network=Hungry(), rule=QUICK)
    assert 60 * 2**20 < values["peak_memory_bytes"] < 120 * 2**20


def _mark(**change: float | None) -> observe.LoadMark:
    quiet: dict[str, Any] = {"wall_s": 0.0, "busy_s": 0.0, "own_s": 0.0, "load_1min": 0.0, "clock_mhz": 2000.0}
    return observe.LoadMark(**(quiet | change))


def test_a_planted_neighbour_is_counted_and_flagged() -> None:
    load = observe.load_between(_mark(), _mark(wall_s=10.0, busy_s=25.0, own_s=10.0))
    assert load["others_cores"] == 1.5
    assert observe.noise(load, p10_ms=10, p90_ms=11, warm_up_stable=True, cores=2) == [
        "other processes used 1.50 of 2 cores"
    ]


def test_a_quiet_machine_raises_no_flag() -> None:
    load = observe.load_between(_mark(), _mark(wall_s=10.0, busy_s=20.5, own_s=20.0))
    assert observe.noise(load, p10_ms=10, p90_ms=11, warm_up_stable=True, cores=2) == []


def test_throttling_spread_and_a_restless_warm_up_are_flagged() -> None:
    load = observe.load_between(_mark(), _mark(wall_s=1.0, clock_mhz=1000.0))
    flags = observe.noise(load, p10_ms=10, p90_ms=30, warm_up_stable=False, cores=2)
    assert [flag.split()[0] for flag in flags] == ["the", "p90", "warm-up"]


def test_an_unknown_clock_is_no_flag() -> None:
    load = observe.load_between(_mark(clock_mhz=None), _mark(wall_s=1.0, clock_mhz=None))
    assert observe.noise(load, p10_ms=10, p90_ms=10, warm_up_stable=True, cores=2) == []


def test_heat_quota_and_the_gpus_state_are_kept_and_flagged() -> None:
    hot = {"clock_mhz": 900.0, "temperature_c": 88.0, "throttle_reasons": float(0x40), "busy_percent": 99.0}
    before = replace(_mark(), temperature_c=60.0, throttle_count=5, quota_s=1.0, gpu=hot | {"busy_percent": 55.0})
    after = replace(_mark(wall_s=10.0), temperature_c=93.5, throttle_count=8, quota_s=4.0, gpu=hot)
    load = observe.load_between(before, after)
    assert (load["temperature_c_before"], load["temperature_c_after"]) == (60.0, 93.5)
    assert (load["throttled_times"], load["quota_held_s"]) == (3, 3.0)
    assert plain(load) == load
    assert observe.noise(load, p10_ms=10, p90_ms=10, warm_up_stable=True, cores=2) == [
        "the cores were slowed down by heat 3 times",
        "the container's processor quota held threads back for 3.00 s",
        "the GPU's clock was held down by power or heat",
        "the GPU was busy (55 %) before the run",
    ]


def test_an_idle_gpu_raises_no_flag() -> None:
    idle = {"throttle_reasons": float(0x1), "busy_percent": 0.0}
    load = observe.load_between(replace(_mark(), gpu=idle), replace(_mark(wall_s=1.0), gpu=idle))
    assert observe.noise(load, p10_ms=10, p90_ms=10, warm_up_stable=True, cores=2) == []


def test_a_neighbour_planted_in_the_counters_is_flagged_and_the_median_is_still_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = iter([_mark(), _mark(wall_s=10.0, busy_s=10.0 + 8.0 * usable_cores(), own_s=10.0)])
    monkeypatch.setattr(observe.LoadMark, "now", lambda _device: next(marks))
    planted = iter([50.0, 10.0, 10.0, *[10.0, 10.0, 25.0] * 100])

    class Disturbed:
        """Every third pass meets the neighbour."""

        def step(self) -> float:
            return next(planted)

        def memory(self) -> dict[str, Any]:
            return {}

    rule = SamplingRule(max_samples=30)
    values = latency.measure(SPEC, 2, protocol=PROTOCOL, rule=rule, device_for=lambda *_: Disturbed())
    assert values["median_ms"] == 10
    assert values["noise"][0].startswith("other processes used")
    assert "p90 is 2.50 times p10" in values["noise"]


def test_the_load_of_this_machine_can_be_read() -> None:
    load = observe.load_between(observe.LoadMark.now(), observe.LoadMark.now())
    assert load["wall_s"] >= 0
    assert load["others_cores"] >= 0
