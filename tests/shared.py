"""Where the official checkpoints, goldens and data sets are, and what happens where they are not.

`ESR_SHARED_DIR` (default: `shared` beside the clone) holds `zoo/`, `weights/` and `datasets/`. A test that needs one
of them is skipped with the reason where the whole folder is absent, and fails where the folder is there but the file
is not, so that a checkout with the material can never pass by skipping.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ESR_SHARED_DIR", ROOT.parent / "shared")).resolve()
SKIP_PREFIX = "shared material is absent"


def present() -> bool:
    """True where the shared folder is."""
    return SHARED.is_dir()


def require(relative: str) -> Path:
    """Path below the shared folder; skips the test where the folder is absent."""
    if not present():
        pytest.skip(f"{SKIP_PREFIX}: {SHARED} (set ESR_SHARED_DIR)")
    path = SHARED / relative
    assert path.exists(), f"{path} is missing although {SHARED} exists"
    return path
