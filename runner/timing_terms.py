"""Which choices of a timing go together, told without torch, so that a wrong command is refused at once."""

from __future__ import annotations

from typing import Final

from zoo.contract import BadInput
from zoo.protocols import Engine, TimingProtocol

DEVICES: Final = ("cpu", "cuda")
DTYPES: Final = ("float32", "bfloat16", "float16")
MEMORY_FORMATS: Final = ("contiguous", "channels_last")

EXPORTED: Final = {Engine.ONNXRUNTIME: ("float32",), Engine.OPENVINO: ("float32", "bfloat16")}
"""Engines that run an exported file, with the dtypes in which they do."""


def require_terms(protocol: TimingProtocol) -> None:
    """Raise BadInput unless the protocol's words are known and go together."""
    if protocol.device not in DEVICES:
        raise BadInput(f"{protocol.device!r} is no device of the latency task. Pass cpu or cuda.")
    if protocol.dtype not in DTYPES or protocol.memory_format not in MEMORY_FORMATS:
        raise BadInput(
            f"{protocol.dtype}, {protocol.memory_format} cannot be timed. Expected one of {', '.join(DTYPES)} "
            f"and one of {', '.join(MEMORY_FORMATS)}."
        )
    if protocol.threads < 1 or protocol.batch < 1:
        raise BadInput(f"Threads and batch must be at least 1, got {protocol.threads} and {protocol.batch}.")
    form = protocol.form.value
    if protocol.form.engine is Engine.CUDA_GRAPH and protocol.device != "cuda":
        raise BadInput(f"The form {form} exists on a GPU only. Pass --device cuda, or another --form.")
    if protocol.per_image and (protocol.form.one_size or protocol.batch != 1):
        raise BadInput(
            f"--per-image runs images of many sizes one by one, and {form} with batch {protocol.batch} is made for one "
            f"size. Pass --form plain or fast, and no --batch."
        )
    if (allowed := EXPORTED.get(protocol.form.engine)) is None:
        return
    if protocol.device != "cpu":
        raise BadInput(f"The form {form} is timed on the CPU only. Pass --device cpu.")
    if protocol.dtype not in allowed or protocol.memory_format != "contiguous":
        raise BadInput(
            f"The form {form} is timed in {' or '.join(allowed)} from contiguous memory, got {protocol.dtype}, "
            f"{protocol.memory_format}. Leave out --dtype and --memory-format."
        )
