"""The ablation rows of the paper's Tables 1 to 4, all AGDN at x4 with parts switched off or exchanged."""

from __future__ import annotations

from agdn.network import AGDN, AGDN_WEIGHTS, MIN_SIDE_PX, PAPER, PAPER_COUNT, Channel, Spatial
from zoo.contract import ModelSpec, Weights


def _ablation(
    name: str,
    display_name: str,
    *,
    spatial: Spatial = "mvsa",
    channel: Channel = "rcca",
    sgsa: bool = True,
    num_block: int = 7,
    tlc_window: int | None = 48,
    weights: dict[int, Weights] | None = None,
    note: str,
) -> ModelSpec:
    def build(scale: int) -> AGDN:
        return AGDN(
            scale=scale,
            num_block=num_block,
            spatial=spatial,
            channel=channel,
            sgsa=sgsa,
            tlc_window=tlc_window,
        )

    return ModelSpec(
        name=name,
        display_name=display_name,
        build=build,
        scales=(4,),
        min_side_px={"mvsa": MIN_SIDE_PX, "esa": 15, None: 2}[spatial],
        paper_count=PAPER_COUNT,
        paper=PAPER,
        licence="MIT",
        weights=weights or {},
        ablation_of="agdn",
        note=note,
    )


SPECS = (
    _ablation("agdn_none", "AGDN, no attention", spatial=None, channel=None, sgsa=False, note="Table 1, method 1."),
    _ablation("agdn_mvsa", "AGDN, MVSA only", channel=None, sgsa=False, note="Table 1, method 2."),
    _ablation("agdn_rcca", "AGDN, RCCA only", spatial=None, sgsa=False, note="Table 1, method 3."),
    _ablation("agdn_mvsa_rcca", "AGDN, MVSA + RCCA", sgsa=False, note="Table 1, method 4."),
    _ablation(
        "agdn_esa_cca",
        "AGDN, ESA + CCA",
        spatial="esa",
        channel="cca",
        note="Table 2. The paper names no configuration: built with BSRN's ESA (a quarter of the channels, BSConv) and "
        "CCA of reduction 16, which counts below the printed 286K and 16.0G. A depthwise 3x3 convolution before the "
        "CCA, as RCCA has one, would give both (285,592 and 15.96G by thop), but the paper does not say so.",
    ),
    _ablation(
        "agdn_no_tlc",
        "AGDN, no TLC",
        tlc_window=None,
        weights={4: AGDN_WEIGHTS[4]},
        note="Table 3: AGDN's weights, attention over the whole image.",
    ),
    _ablation("agdn_b5", "AGDN, 5 blocks", num_block=5, note="Table 4."),
    _ablation("agdn_b6", "AGDN, 6 blocks", num_block=6, note="Table 4."),
)
