"""Networks of the AGDN paper's Table 5 that stand there with their printed numbers only, and why."""

from __future__ import annotations

from zoo.contract import ModelSpec, Paper, ReportedOnly

HPUN_M = ModelSpec(
    name="hpun_m",
    display_name="HPUN-M",
    build=ReportedOnly(
        reason=(
            "Its technique is under a patent application (US20230153946A1), for which its authors withhold code and "
            "weights, and the published text does not fix its layers."
        ),
        would_change="code and weights from the authors under a licence that allows their use.",
    ),
    scales=(2, 3, 4),
    paper=Paper(
        title="Hybrid Pixel-Unshuffled Network for Lightweight Image Super-Resolution",
        authors="Sun, Zhang, Jiang, et al.",
        venue="AAAI 2023",
        year=2023,
        arxiv="2203.08921",
        code_url="https://github.com/Sun1992/HPUN",
    ),
    licence="none (patent application)",
    note="The authors' repository holds an evaluation script and links to result images, no network.",
)

DFANET = ModelSpec(
    name="dfanet",
    display_name="DFANet",
    build=ReportedOnly(
        reason=(
            "No code and no weights are public, and printed counts alone fix neither its blocks nor its depth. "
            "(The DFANet of CVPR 2019 is an unrelated segmentation network.)"
        ),
        would_change="the full text of the paper with its layer sizes, or code and weights from the authors.",
    ),
    scales=(2, 3, 4),
    paper=Paper(
        title="Deep Feature Aggregation for Lightweight Single Image Super-Resolution",
        authors="Li, He, Tian, et al.",
        venue="ICASSP 2023",
        year=2023,
    ),
    licence="none (no public release)",
    note="Printed as DFAnet in Table 5.",
)

OSFFNET = ModelSpec(
    name="osffnet",
    display_name="OSFFNet",
    build=ReportedOnly(
        reason=(
            "No code and no weights are public, and the published abstract names its modules "
            "without fixing their layers."
        ),
        would_change="code and weights from the authors, or layer sizes that reproduce the printed counts.",
    ),
    scales=(2, 3, 4),
    licence="none (no public release)",
    paper=Paper(
        title="OSFFNet: Omni-Stage Feature Fusion Network for Lightweight Image Super-Resolution",
        authors="Wang, Zhang",
        venue="AAAI 2024",
        year=2024,
    ),
)

SPECS: tuple[ModelSpec, ...] = (HPUN_M, DFANET, OSFFNET)
