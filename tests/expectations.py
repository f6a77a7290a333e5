"""What is known of each network: `tests/expectations/<model>.toml`, read once.

`tolerance` (and `relative`, the error divided by max |y|) bounds the goldens; `[params]` holds exact counts by scale;
`[counts_720p.xS]` and `[counts_lr256.xS]` every tool's number on the released network; `[set5.xS]` the Y-PSNR measured
with the official weights on MATLAB's LR files and the model's own inference rule.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("expectations")


@cache
def expectations(model: str) -> dict[str, Any]:
    """Content of the model's file, empty if it has none."""
    path = FOLDER / f"{model}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
