"""Every network against committed outputs under formula weights: what a clone without the checkpoints can check.

The values were written by `tests/write_formula_outputs.py` after each network had been seen to equal its authors'.
"""

from __future__ import annotations

import json

import pytest

from tests.write_formula_outputs import FILE, formula_output
from zoo.catalogue import catalogue

BUILDS = [(name, scale) for name, spec in catalogue().items() if spec.runnable for scale in spec.scales]
EXPECTED = json.loads(FILE.read_text(encoding="utf-8"))

RELATIVE_TOLERANCE = 1e-9
"""Of the largest magnitude, in float64: room for another order of summation, not for another network."""


@pytest.mark.parametrize(("name", "scale"), BUILDS, ids=[f"{name}-x{scale}" for name, scale in BUILDS])
def test_outputs_under_formula_weights(name: str, scale: int) -> None:
    expected = EXPECTED[name][f"x{scale}"]
    got = formula_output(catalogue()[name], scale)
    assert got["lr"] == expected["lr"]
    bound = RELATIVE_TOLERANCE * max(1.0, expected["max_abs"])
    assert got["max_abs"] == pytest.approx(expected["max_abs"], abs=bound)
    assert got["values"] == pytest.approx(expected["values"], abs=bound)


def test_no_output_is_kept_for_a_model_that_is_gone() -> None:
    assert set(EXPECTED) == {name for name, _ in BUILDS}
