"""The challenge report that the entries of this package come from."""

from __future__ import annotations

from typing import Final

from zoo.contract import Paper
from zoo.paper_count import MultiAddRule, PaperCount
from zoo.protocols import Size

NTIRE_2024_REPORT: Final = Paper(
    title="The Ninth NTIRE 2024 Efficient Super-Resolution Challenge Report",
    authors="Ren, Li, Mehta, et al.",
    venue="CVPRW 2024",
    year=2024,
    arxiv="2404.10343",
    code_url="https://github.com/Amazingren/NTIRE2024_ESR",
)

CHECKPOINTS_URL: Final = (
    "https://github.com/Amazingren/NTIRE2024_ESR/raw/6404fa48dde4a4adbf241a51debdc661aef20449/model_zoo"
)
"""Folder of the teams' checkpoints, at the commit they were read from."""

NTIRE_2024_COUNT: Final = PaperCount(multi_adds=MultiAddRule.FVCORE, lr={4: Size(256, 256)}, digits=2)
"""How the organisers counted: fvcore, at 256x256 LR pixels."""
