"""The bicubic baseline against an independent implementation and its defining properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.formula import formula_image
from zoo.create import create_model

SCALES = (2, 3, 4)


@pytest.mark.parametrize("scale", SCALES)
def test_equals_pillow_away_from_the_border(scale: int) -> None:
    """Pillow's bicubic has the same a = -0.5 and differs from MATLAB's in how it treats the border only."""
    x = formula_image(20, 31)
    ours = create_model("bicubic", scale)(x)[0, 0].numpy()
    plane = Image.fromarray(x[0, 0].numpy(), mode=None).resize((31 * scale, 20 * scale), Image.Resampling.BICUBIC)
    inside = slice(3 * scale, -3 * scale)
    np.testing.assert_allclose(ours[inside, inside], np.asarray(plane)[inside, inside], atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3)])
def test_a_constant_image_stays_constant_at_any_size(scale: int, size: tuple[int, int]) -> None:
    y = create_model("bicubic", scale)(torch.full((1, 3, *size), 0.3))
    assert torch.allclose(y, torch.full_like(y, 0.3), atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_flipping_commutes(scale: int) -> None:
    network, x = create_model("bicubic", scale), formula_image(9, 12)
    assert torch.allclose(network(x.flip(2, 3)), network(x).flip(2, 3), atol=1e-6)
