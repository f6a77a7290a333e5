"""The devices of a training, as Lightning Fabric takes them: one, several of a machine, or those of torchrun."""

from __future__ import annotations

import os
import warnings
from typing import Literal

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def fabric_of(device: str = "cpu", *, devices: int = 1, nodes: int = 1, precision: Precision = "32-true") -> Fabric:
    """Fabric over `devices` of each of `nodes` machines, launched; under torchrun over the processes it started."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    if devices * nodes == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)
    # Some networks (CARN) hold layers of other scales, which no step reaches. Buffers are constants, which every
    # process makes for itself; some are expanded views, which cannot be broadcast.
    # (torch renames that option; the old name is the one that all supported versions know.)
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.* is deprecated")
    strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric
