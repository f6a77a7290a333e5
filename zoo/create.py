"""Build a network, give it weights, and guard its input."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.catalogue import find
from zoo.contract import BadInput, InputTooSmall, ModelSpec
from zoo.weights import WeightsStore, default_store, load_strictly


def create_model(
    name: str | ModelSpec,
    scale: int = 4,
    weights: str | Path | None = "official",
    *,
    device: str = "cpu",
    store: WeightsStore | None = None,
) -> nn.Module:
    """Eval-mode network: float32 RGB (n, 3, h, w) in [0, 1] -> (n, 3, h*scale, w*scale), not clamped.

    `weights` is "official" (the authors' checkpoint), "bundled" (trained by this suite), a path to a .pth or
    .safetensors file, or None for the network's own initialisation under seed 0. `device="meta"` allocates nothing.
    Raises UnknownModel, UnknownScale, NotRunnable, WeightsMissing, WeightsError.
    """
    spec = find(name) if isinstance(name, str) else name
    if device == "meta" and weights is not None:
        raise BadInput("A network on the meta device holds no values. Pass weights=None with device='meta'.")
    initialise = _SkipInitialisation() if device == "meta" else nullcontext()
    with torch.random.fork_rng(devices=[]), torch.device(device), initialise:
        torch.manual_seed(0)
        network = spec.network(scale)
    network.eval()
    if weights is not None and spec.learned:
        load_strictly(network, *(store or default_store()).state_dict_for(spec, scale, weights))
    _guard_input(network, spec, scale)
    return network


class _SkipInitialisation(TorchFunctionMode):
    """`torch.nn.init` does nothing: on the meta device there is nothing to fill, yet it takes a third of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _guard_input(network: nn.Module, spec: ModelSpec, scale: int) -> None:
    """Check every input against the spec, so that a bad size is an error of ours and not of a layer deep inside."""

    def check(_module: nn.Module, args: tuple[Any, ...]) -> None:
        check_input(args[0], spec, scale)

    network.register_forward_pre_hook(check)


def check_input(x: Tensor, spec: ModelSpec, scale: int) -> None:
    """Raise BadInput or InputTooSmall unless `x` is an RGB batch that this network accepts."""
    if x.dim() != 4 or x.shape[1] != 3:
        raise BadInput(f"{spec.name} got a tensor of shape {tuple(x.shape)}. Expected RGB of shape (n, 3, h, w).")
    height, width = int(x.shape[2]), int(x.shape[3])
    if min(height, width) < spec.min_side_px:
        raise InputTooSmall(
            f"{spec.name} x{scale} needs LR sides of at least {spec.min_side_px} px, got {height}x{width}. "
            f"Pass a larger image or pad it first."
        )
    if height % spec.size_multiple_px or width % spec.size_multiple_px:
        raise BadInput(
            f"{spec.name} x{scale} needs LR sides that are multiples of {spec.size_multiple_px} px, "
            f"got {height}x{width}. Crop or pad it first."
        )
