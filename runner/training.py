"""The training loop: Adam on patches, halving rates, an average of the weights, checkpoints to go on from bit by bit.

Lightning Fabric beneath it places the network, casts to the precision asked for and averages gradients over devices.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from runner.images import U8
from runner.patches import TrainingImages, drawn_ahead
from runner.recipes import Recipe
from runner.training_state import Diverged, State, save
from zoo.contract import BadInput, EsrError

LOSSES: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {"l1": F.l1_loss, "l2": F.mse_loss}
STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
WITH_SPARSITY: Final = "forward_with_sparsity"
"""Method of a network with masks: SR, and the share of values that it computes."""

Entry = dict[str, float]
Validate = Callable[[nn.Module], Entry]
"""Numbers of the averaged network for the curve: {"psnr_y_db": ...}."""


class Interrupted(EsrError):
    """A signal ended the training after a whole step; the checkpoint is of that step."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


@dataclass
class Stop:
    """Which signal asked the training to end, if one did."""

    number: int = 0


@contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Within it, the first SIGINT or SIGTERM asks for an end after the step at work; a second one ends at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kept = {number: signal.getsignal(number) for number in STOPPING}

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.number = number
        for one, handler in kept.items():
            signal.signal(one, handler)

    for number in kept:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def train(
    state: State,
    recipe: Recipe,
    images: TrainingImages,
    *,
    folder: Path,
    fabric: Fabric | None = None,
    until: int | None = None,
    workers: int = 1,
    report_every: int = 100,
    validate_every: int = 1000,
    checkpoint_every_s: float = 240.0,
    validate: Validate | None = None,
    on_report: Callable[[Entry], None] = lambda _entry: None,
    on_step: Callable[[State], None] = lambda _state: None,
) -> State:
    """Run steps up to `until` (None: the recipe's last), checkpointing into `folder`; gives the state it was given.

    Raises Diverged on a loss that is NaN or infinite (the checkpoint on disk is from before that step), Interrupted
    after a SIGINT or SIGTERM (it is of the last step), BadInput for other images than the state was trained on.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    _require_same_images(state, images)
    network, optimizer = _set_up(state, recipe, fabric)
    last = recipe.iterations if until is None else min(until, recipe.iterations)
    patches = drawn_ahead(
        images,
        first=state.iteration,
        last=last,
        batch=recipe.batch,
        lr_patch_px=recipe.lr_patch_px,
        seed=recipe.seed,
        part=_part(recipe.batch, fabric),
        workers=workers,
    )
    saved_at = time.monotonic()
    with stopping_on_signals() as stop:
        for began, (lr, hr) in _timed(patches):
            loss, stopped = _step(network, optimizer, fabric, recipe, state.iteration, lr, hr, stop)
            _update_average(state.average, state.network, recipe.ema)
            state.iteration += 1
            state.seconds += time.perf_counter() - began
            state.recent.append(loss)
            done = state.iteration == last
            if state.iteration % report_every == 0 or done:
                wanted = fabric.is_global_zero and (state.iteration % validate_every == 0 or done)
                on_report(_reported(state, validate if wanted else None))
            if fabric.is_global_zero and (done or stopped or time.monotonic() - saved_at > checkpoint_every_s):
                state.precision = fabric.strategy.precision.state_dict()
                save(state, recipe, folder)
                saved_at = time.monotonic()
            on_step(state)
            if stopped:
                raise _interrupted(state, recipe, folder, stopped)
    if stop.number:
        # It came after the last step had looked; the next stage must not begin.
        raise _interrupted(state, recipe, folder, stop.number)
    return state


def _reported(state: State, validate: Validate | None) -> Entry:
    """A new entry of the curve: mean loss since the last one, time, and what the validation gives."""
    entry = {"iteration": float(state.iteration), "loss": math.fsum(state.recent) / len(state.recent)}
    entry["seconds"] = state.seconds
    state.recent.clear()
    if validate:
        entry |= validate(state.average)
    state.curve.append(entry)
    return entry


def _interrupted(state: State, recipe: Recipe, folder: Path, number: int) -> Interrupted:
    where = f"Stopped after step {state.iteration} of {recipe.iterations}; its checkpoint is in {folder}."
    return Interrupted(where, number)


def _timed(patches: Iterator[tuple[U8, U8]]) -> Iterator[tuple[float, tuple[U8, U8]]]:
    """Each draw with the time at which it was asked for, so that waiting for patches counts as part of a step."""
    while True:
        began = time.perf_counter()
        try:
            drawn = next(patches)
        except StopIteration:
            return
        yield began, drawn


def _require_same_images(state: State, images: TrainingImages) -> None:
    if state.images_sha256 not in (None, images.sha256):
        raise BadInput(
            f"The checkpoint was trained on other images (digest {str(state.images_sha256)[:12]}, these have "
            f"{images.sha256[:12]}). Go on with those, or start in another folder."
        )
    state.images_sha256 = images.sha256


def _set_up(state: State, recipe: Recipe, fabric: Fabric) -> tuple[Any, Any]:
    """Network and optimizer under Fabric's care."""
    # In place, so that the optimizer keeps its parameters; 1.3 to 1.5 times as fast on a CPU.
    state.network.to(memory_format=torch.channels_last)
    state.average.to(fabric.device)
    network, optimizer = fabric.setup(state.network, state.optimizer)
    # A resumed optimizer holds its moments on the CPU; loading puts them where the parameters are now.
    state.optimizer.load_state_dict(state.optimizer.state_dict())
    if recipe.sparsity:
        if not hasattr(state.network, WITH_SPARSITY):
            raise BadInput(f"{recipe.model} has no masks, so its recipe cannot have sparsity = {recipe.sparsity:g}.")
        network.mark_forward_method(WITH_SPARSITY)
    if state.precision:
        fabric.strategy.precision.load_state_dict(state.precision)
    return network, optimizer


def _part(batch: int, fabric: Fabric) -> slice:
    """The patches of this process out of a global batch."""
    if batch % fabric.world_size:
        raise BadInput(f"A batch of {batch} cannot be shared by {fabric.world_size} devices. Choose a multiple.")
    each = batch // fabric.world_size
    return slice(fabric.global_rank * each, (fabric.global_rank + 1) * each)


def _step(
    network: Any, optimizer: Any, fabric: Fabric, recipe: Recipe, iteration: int, lr: U8, hr: U8, stop: Stop
) -> tuple[float, int]:
    """One step of Adam; the loss before it, and the signal that asks for an end, over all devices."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(iteration)
    optimizer.zero_grad(set_to_none=True)
    x, y = (fabric.to_device(_tensor(patches)) for patches in (lr, hr))
    loss = loss_of(network, recipe, iteration, x, y)
    value, stopped = _over_devices(fabric, float(loss.detach()), stop.number)
    if not math.isfinite(value):
        raise Diverged(
            f"The loss of step {iteration + 1} is {value}. What is checkpointed is from before it. "
            f"Train with a smaller rate in the recipe (it was {recipe.rate_at(iteration):g})."
        )
    fabric.backward(loss)
    optimizer.step()
    return value, stopped


def loss_of(network: Callable[[Tensor], Tensor], recipe: Recipe, iteration: int, x: Tensor, y: Tensor) -> Tensor:
    """The recipe's loss of a batch, with the share that a network of masks computes where the recipe weighs it."""
    if not recipe.sparsity:
        return LOSSES[recipe.loss](network(x), y)
    sr, share = getattr(network, WITH_SPARSITY)(x)
    loss: Tensor = LOSSES[recipe.loss](sr, y) + recipe.sparsity_at(iteration) * share.mean()
    return loss


def _over_devices(fabric: Fabric, loss: float, stopped: int) -> tuple[float, int]:
    """Mean loss and any signal over all devices: one that stops alone would leave the others waiting."""
    if fabric.world_size == 1:
        return loss, stopped
    own = [loss / fabric.world_size, *(float(stopped == number) for number in STOPPING)]
    told = fabric.all_reduce(torch.tensor(own, dtype=torch.float64, device=fabric.device), reduce_op="sum")
    assert isinstance(told, Tensor)
    asked = [number for number, votes in zip(STOPPING, told[1:].tolist(), strict=True) if votes]
    return float(told[0]), asked[0] if asked else 0


def _tensor(patches: U8) -> Tensor:
    """uint8 (n, h, w, 3) -> float32 (n, 3, h, w) in [0, 1], channels last in memory, as they lie."""
    return torch.from_numpy(patches).permute(0, 3, 1, 2).float().div_(255)


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - decay)
    for mean, value in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(value)
