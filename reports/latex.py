"""A paper's table in LaTeX: a floating `table*` that needs the package booktabs and nothing else."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from reports.compare import VerdictKind
from reports.modes import Mode, fixed_headers, fixed_texts, shown_difference, shown_measured, shown_printed
from reports.paper_tables import PaperCell, PaperColumn, PaperRow, PaperView
from zoo.facts import Mark

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "-": "{-}",
    "`": r"\textasciigrave{}",
}
_SIGNS: Final = {
    "–": "--",
    "—": "---",
    "−": "$-$",
    "×": r"$\times$",
    "✓": r"$\surd$",
    "≈": r"$\approx$",
    "✗": r"$\neq$",
    "†": r"$^{\dagger}$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\u00a0": "~",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
}
_ACCENTS: Final = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0308": '"',
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
    "\u0328": "k",
}
_VERDICTS: Final = {
    VerdictKind.REPRODUCED: r"\textsuperscript{$=$}",
    VerdictKind.EXPLAINED: r"\textsuperscript{$\approx$}",
    VerdictKind.CONTRADICTED: r"\textsuperscript{$\neq$}",
    VerdictKind.NOT_MEASURED: r"\textsuperscript{\phantom{$=$}}",  # so that digits stay below each other
}
_NOTES: Final = {
    Mode.BOTH: r"Upright: measured; \textit{italic}: printed. $=$: reproduced to the printed digits; $\approx$: "
    r"explained by a named rule; $\neq$: contradicted.",
    Mode.MEASURED: "Measured; a dash is not measured.",
    Mode.PRINTED: r"As printed. $=$: reproduced to the printed digits; $\approx$: explained by a named rule; $\neq$: "
    "contradicted.",
    Mode.DIFFERENCE: "Measured minus printed, both as shown.",
}


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is: ASCII only, nothing that acts; a letter without a command is `[U+4E2D]`."""
    return "".join(map(_character, " ".join(unicodedata.normalize("NFC", text).split())))


def _character(sign: str) -> str:
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if sign.isascii() and sign.isprintable():
        return sign
    if sign in _SIGNS:
        return _SIGNS[sign]
    base, *accents = list(unicodedata.normalize("NFD", sign))
    if len(accents) == 1 and accents[0] in _ACCENTS and base.isascii() and base.isalpha():
        letter = rf"\{base}" if base in "ij" else base
        return rf"\{_ACCENTS[accents[0]]}{{{letter}}}"
    return f"[U+{ord(sign):04X}]"


def latex_table(view: PaperView, mode: Mode) -> str:
    """One table for `\\input`; needs `\\usepackage{booktabs}`."""
    return "\n".join(_lines(view, mode)) + "\n"


def latex_document(stems: Sequence[str]) -> str:
    """A document that shows the tables of these files, which lie beside it."""
    return "\n".join(
        (
            r"\documentclass{article}",
            r"\usepackage{booktabs}",
            r"% A3 on its side, so that the widest table fits.",
            r"\pdfpagewidth=420mm \pdfpageheight=297mm \paperwidth=420mm \paperheight=297mm",
            r"\hoffset=-10mm \voffset=-15mm \oddsidemargin=0mm \topmargin=0mm \textwidth=390mm \textheight=250mm",
            r"\begin{document}",
            *(rf"\input{{{stem}.tex}}" for stem in stems),
            r"\end{document}",
            "",
        )
    )


def _lines(view: PaperView, mode: Mode) -> Iterator[str]:
    fixed = fixed_headers(view)
    yield rf"% {view.stem}, {mode.words}. Needs \usepackage{{booktabs}}."
    yield r"\begin{table*}[t]"
    yield r"\centering\scriptsize\setlength{\tabcolsep}{3pt}"
    source = latex_text(f"{view.paper.citation}, {view.table.label}")
    yield rf"\caption{{{latex_text(view.table.title)} ({source}; {mode.words}).}}"
    yield rf"\label{{tab:{_label(view, mode)}}}"
    yield rf"\begin{{tabular}}{{l{'c' * (len(fixed) - 1)}{'r' * len(view.columns)}}}"
    yield r"\toprule"
    yield from _head(view, fixed)
    yield r"\midrule"
    last = view.rows[0].scale if view.rows else 0
    for row in view.rows:
        if row.scale != last:
            yield r"\midrule"
            last = row.scale
        yield _row(view, row, mode)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    marks = "" if mode is Mode.DIFFERENCE else r" \textbf{Best} and \underline{second} of a column and scale, by rule."
    daggers = any(cell.measured.detail for row in view.rows for cell in row.cells)
    dagger = r" $\dagger$: weights other than the paper's." if daggers and mode in (Mode.BOTH, Mode.MEASURED) else ""
    yield rf"\par\smallskip {_NOTES[mode]}{marks}{dagger}"
    yield r"\end{table*}"


def _label(view: PaperView, mode: Mode) -> str:
    name = view.stem if mode is Mode.BOTH else f"{view.stem}-{mode.value}"
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name)


def _head(view: PaperView, fixed: Sequence[str]) -> Iterator[str]:
    if any(column.group for column in view.columns):
        groups, rules, place = [""] * len(fixed), [], len(fixed)
        for name, found in groupby(view.columns, key=lambda column: column.group):
            width = len(list(found))
            if name:
                groups.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(name)}}}")
                rules.append(rf"\cmidrule(lr){{{place + 1}-{place + width}}}")
            else:
                groups += [""] * width
            place += width
        yield rf"{' & '.join(groups)} \\"
        yield " ".join(rules)
    yield rf"{' & '.join([*map(latex_text, fixed), *map(_column_head, view.columns)])} \\"


def _column_head(column: PaperColumn) -> str:
    return latex_text(f"{column.label} [{column.unit}]" if column.unit and not column.dataset else column.label)


def _row(view: PaperView, row: PaperRow, mode: Mode) -> str:
    texts = [*map(latex_text, fixed_texts(view, row)), *(_cell(cell, mode) for cell in row.cells)]
    return rf"{' & '.join(texts)} \\"


def _cell(cell: PaperCell, mode: Mode) -> str:
    if mode is Mode.DIFFERENCE:
        return latex_text(shown_difference(cell))
    ours = _emphasised(latex_text(shown_measured(cell)), cell.measured_mark)
    if mode is Mode.MEASURED:
        return ours
    theirs = "--"
    if cell.claim is not None and cell.claim.value is not None:
        theirs = rf"\textit{{{_emphasised(latex_text(shown_printed(cell)), cell.printed_mark)}}}"
    verdict = _VERDICTS[cell.verdict.kind] if cell.verdict else ""
    return f"{theirs}{verdict}" if mode is Mode.PRINTED else f"{ours} {theirs}{verdict}"


def _emphasised(text: str, mark: Mark) -> str:
    return {Mark.NONE: text, Mark.BEST: rf"\textbf{{{text}}}", Mark.SECOND: rf"\underline{{{text}}}"}[mark]
