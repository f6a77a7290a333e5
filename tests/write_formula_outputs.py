"""Write `formula_outputs.json` anew: `python -m tests.write_formula_outputs MODEL...` (all models when none is named).

Run it for a model only after its outputs were seen to equal the authors' (`tests/test_goldens.py`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from tests.formula import formula_image, load_formula_weights
from zoo.catalogue import catalogue
from zoo.contract import ModelSpec
from zoo.create import create_model

FILE = Path(__file__).with_name("formula_outputs.json")
SAMPLES = 6


def formula_output(spec: ModelSpec, scale: int) -> dict[str, Any]:
    """Size, largest magnitude and a few values of a network's float64 output under formula weights and input."""
    height = max(24, spec.min_side_px)
    height += -height % spec.size_multiple_px
    width = height + 7 + -(height + 7) % spec.size_multiple_px
    network = create_model(spec, scale, weights=None)
    load_formula_weights(network)
    with torch.inference_mode():
        y = network.double()(formula_image(height, width).double()).flatten()
    at = torch.linspace(0, y.numel() - 1, SAMPLES).long()
    return {
        "lr": [height, width],
        "max_abs": float(y.abs().max()),
        "at": at.tolist(),
        "values": y[at].tolist(),
    }


def main(names: list[str]) -> None:
    """Update the entries of `names`, keep the others."""
    content = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    for name, spec in catalogue().items():
        if spec.runnable and (not names or name in names):
            content[name] = {f"x{scale}": formula_output(spec, scale) for scale in spec.scales}
    # One line for each build, so that a diff names the networks that changed.
    models = []
    for name in sorted(content):
        builds = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content[name].items())
        models.append(f"{json.dumps(name)}: {{\n{builds}")
    FILE.write_text("{\n" + "\n},\n".join(models) + "\n}\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
