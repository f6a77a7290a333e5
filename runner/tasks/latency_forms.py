"""The forms in which a network is timed: as written or optimised, by PyTorch, a compiler, a CUDA graph or a runtime.

A form is made for one input, which stands for its size, dtype, memory format and device; eager forms take any size.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

import zoo
from runner.tasks.latency_devices import Run
from runner.timing_terms import require_terms
from zoo.contract import BadInput, NotHere
from zoo.protocols import Engine, TimingProtocol

DTYPES: Final = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FORMATS: Final = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

_EXTRAS: Final = {
    Engine.ONNXRUNTIME: ("onnx", ("onnx", "onnxscript", "onnxruntime")),
    Engine.OPENVINO: ("onnx,openvino", ("onnx", "onnxscript", "openvino")),
}
"""Extras of this package that an engine needs, and the modules of them that are imported."""

_GRAPH_WARM_UP: Final = 3
"""Passes before a capture, so that libraries have chosen their kernels and allocated their workspaces."""


def require_form(protocol: TimingProtocol) -> None:
    """Raise unless this machine can run the protocol's form on its device in its dtype.

    BadInput for a combination that does not exist, NotHere for a device, extra or compiler that is missing.
    """
    require_terms(protocol)
    _require_engine(protocol)
    if protocol.device == "cuda" and not torch.cuda.is_available():
        raise NotHere(
            "This machine has no CUDA device that torch can use.",
            remedy="Run it where there is one, or pass --device cpu.",
        )


def _require_engine(protocol: TimingProtocol) -> None:
    engine = protocol.form.engine
    if engine is Engine.COMPILE and protocol.device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        raise NotHere("torch.compile needs a C++ compiler, and there is none.", remedy="Install g++ or clang++.")
    if engine in _EXTRAS:
        require_extra(engine)


def require_extra(engine: Engine) -> None:
    """Raise NotHere with the extra to install, unless what the engine needs can be imported."""
    extras, modules = _EXTRAS[engine]
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise NotHere(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed.",
            remedy=f"Install the extra: pip install -e '.[{extras}]' in the clone.",
        )


def in_form(network: nn.Module, protocol: TimingProtocol, x: Tensor) -> Run:
    """`network` (float32, on the CPU, given away by the caller) as the protocol runs it, ready for inputs like `x`.

    Engines that build at their first call have built when this returns. Call it without gradients.
    """
    network = network.eval()
    if protocol.form.fast:
        network = _fast(network)
    if protocol.form.engine in _EXTRAS:
        return _exported(network, protocol, x)
    network = network.to(protocol.device, DTYPES[protocol.dtype])
    if protocol.memory_format == "channels_last":
        # Not the other way round: a fast form has chosen its own format, which `contiguous` would undo.
        network = network.to(memory_format=torch.channels_last)
    match protocol.form.engine:
        case Engine.COMPILE:
            # Freezing folds the weights into the graph, as a deployed form has them.
            compiled: Run = torch.compile(network, dynamic=False, options={"freezing": True})
            compiled(x)
            return compiled
        case Engine.CUDA_GRAPH:
            graphed = Graphed(network)
            graphed(x)
            return graphed
        case _:
            return network


def placed(x: Tensor, protocol: TimingProtocol) -> Tensor:
    """A float32 CPU input as the protocol's form takes it."""
    if protocol.form.engine in _EXTRAS:
        return x.contiguous()
    return x.to(protocol.device, DTYPES[protocol.dtype]).contiguous(memory_format=FORMATS[protocol.memory_format])


def _fast(network: nn.Module) -> nn.Module:
    optimize = getattr(zoo, "optimize", None)
    if not callable(optimize):
        raise BadInput("This version has no fast forms yet: zoo.optimize comes with a later one. Pass --form plain.")
    optimized: nn.Module = optimize(network)
    return optimized


class Graphed:
    """A network whose pass is captured once per input size as a CUDA graph and replayed.

    The result is the graph's own output tensor: the next call overwrites it. `cuda` as in `latency_devices.Cuda`.
    """

    def __init__(self, network: Run, *, cuda: Any = torch.cuda) -> None:
        self._network, self._cuda = network, cuda
        self._x: Tensor | None = None
        self._sr: Tensor
        self._graph: Any = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._x is None or self._x.shape != x.shape or self._x.dtype != x.dtype:
            self._capture(x)
        elif x is not self._x:
            self._x.copy_(x)
        self._graph.replay()
        return self._sr

    def _capture(self, x: Tensor) -> None:
        self._x = x.clone(memory_format=torch.preserve_format)
        side = self._cuda.Stream()
        side.wait_stream(self._cuda.current_stream())
        with self._cuda.stream(side):
            for _ in range(_GRAPH_WARM_UP):
                self._network(self._x)
        self._cuda.current_stream().wait_stream(side)
        self._graph = self._cuda.CUDAGraph()
        with self._cuda.graph(self._graph):
            self._sr = self._network(self._x)


def _exported(network: nn.Module, protocol: TimingProtocol, x: Tensor) -> Run:
    from runner.export import onnx_bytes

    model = onnx_bytes(network, x)
    if protocol.form.engine is Engine.OPENVINO:
        return _openvino(model, protocol)
    return onnxruntime_run(model, threads=protocol.threads)


def onnxruntime_run(model: bytes, *, threads: int) -> Run:
    """An ONNX model in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Spinning threads would still be busy when the other side of a comparison runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: x.numpy()})[0])

    return run


def _openvino(model: bytes, protocol: TimingProtocol) -> Run:
    import openvino

    core = openvino.Core()
    # Left to itself OpenVINO computes in bfloat16 where the processor can, which is another number.
    precision = {"float32": "f32", "bfloat16": "bf16"}[protocol.dtype]
    config: Mapping[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": protocol.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(model), "CPU", config)
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != precision:
        raise NotHere(f"OpenVINO computes in {used} on this processor.", remedy="Leave out --dtype.")
    request = compiled.create_infer_request()
    return partial(_infer_openvino, request.infer)


def _infer_openvino(infer: Callable[..., Any], x: Tensor) -> Tensor:
    # The result is copied: the request reuses its output memory.
    return torch.from_numpy(infer([x.numpy()], share_inputs=True)[0])
