"""NGswin's multi-adds by the rule of its authors, which gives the printed numbers and is no tool's.

Attention products, norms, pools and biases of single vectors are in it; queries, keys and values are taken as wide as
the features, although heads of NGswin are narrower where the width does not divide.
"""

from __future__ import annotations

from typing import Final

from zoo.protocols import Size

WIDTH, WINDOW, MULTIPLE = 64, 8, 32
STAGES: Final = ((1, 6, 6, 1), (2, 4, 4, 2), (4, 4, 4, 3), (1, 6, 6, 1))
"""Reduction, depth, heads and concatenated maps of the three encoder stages and the decoder."""


def printed_multi_adds(lr: Size, scale: int) -> int:
    """Multi-adds at an LR size, which is padded to whole windows of all stages first."""
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in lr)
    pixels = height * width
    stages = sum(_stage(pixels // reduction**2, depth, heads, maps) for reduction, depth, heads, maps in STAGES)
    merging = sum(_merging(pixels // reduction**2, maps) for reduction, maps in ((1, 1), (2, 2)))
    head = pixels * (27 * WIDTH + WIDTH)
    tail = pixels * (9 * WIDTH * 3 * scale**2 + 3 * scale**2) + pixels * scale**2 * (9 * 3 * 3 + 3)
    return head + stages + merging + _bottleneck(pixels) + pixels * WIDTH + tail


def _attention(width: int, tokens: int, heads: int, windows: int) -> int:
    projections = tokens * width * 3 * width + 3 * width + tokens * width * width + width
    return windows * (projections + 2 * heads * tokens * tokens * (width // heads))


def _stage(pixels: int, depth: int, heads: int, maps: int) -> int:
    windows = pixels // WINDOW**2
    context = windows * (WINDOW**2 * WIDTH + WIDTH + 4 * WIDTH + WIDTH**2)
    context += 2 * _attention(WIDTH // 2, 4, heads, windows)
    mlp = 2 * pixels * WIDTH * 2 * WIDTH + 3 * WIDTH
    block = context + _attention(WIDTH, WINDOW**2, heads, windows) + mlp + 2 * pixels * WIDTH
    return depth * block + (pixels * maps * WIDTH * WIDTH + WIDTH if maps > 1 else 0)


def _merging(pixels: int, maps: int) -> int:
    """Patch merging of a stage's output, and the pool of the `maps` maps that skip it."""
    quarter = pixels // 4
    return pixels * 4 * WIDTH + quarter * 4 * WIDTH * WIDTH + WIDTH + 4 * quarter * maps * WIDTH


def _bottleneck(pixels: int) -> int:
    mixed = WIDTH + WIDTH // 4 + WIDTH // 16
    pools = sum(4 * WIDTH * (pixels // 4**i) for level in range(3) for i in range(1, level + 1))
    activations = sum(WIDTH * (pixels // 4**level) for level in range(3))
    return pools + activations + pixels * (9 * mixed + 2 * mixed) + pixels * mixed * WIDTH + WIDTH


def from_exact(lr: Size, scale: int) -> dict[str, float]:
    """What the rule counts more than convolutions, linear layers and matrix products, in named parts."""
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in lr)
    pixels = height * width
    full_width = norms = averages = biases = 0
    for reduction, depth, heads, maps in STAGES:
        here = pixels // reduction**2
        windows = here // WINDOW**2
        narrow, narrow_context = heads * (WIDTH // heads), heads * (WIDTH // 2 // heads)
        widened = WINDOW**2 * WIDTH * 4 * (WIDTH - narrow) + 2 * 4 * (WIDTH // 2) * 4 * (WIDTH // 2 - narrow_context)
        full_width += depth * windows * widened
        norms += depth * 2 * here * WIDTH
        averages += depth * windows * 4 * WIDTH
        # Of the embedding, of one vector for each window in three attentions, and of the MLP.
        biases += depth * (windows * (WIDTH + 4 * WIDTH + 2 * 4 * (WIDTH // 2)) + 3 * WIDTH)
        biases += WIDTH if maps > 1 else 0
    merged = [(pixels // reduction**2, maps) for reduction, maps in ((1, 1), (2, 2))]
    mixed = WIDTH + WIDTH // 4 + WIDTH // 16
    bottleneck = _bottleneck(pixels) - pixels * (9 * mixed + mixed * WIDTH)
    return {
        "queries, keys and values as wide as the features": full_width,
        "norms": norms + sum(here * 4 * WIDTH for here, _ in merged) + pixels * WIDTH,
        "averages of N-grams": averages,
        "pools between stages": sum(here * maps * WIDTH for here, maps in merged),
        "pools, activations and biases of the bottleneck": bottleneck,
        "biases": biases + len(merged) * WIDTH + pixels * (WIDTH + 2 * 3 * scale**2),
    }
