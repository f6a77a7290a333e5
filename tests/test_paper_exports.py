"""A table as a file says what the page says: CSV parses back, Markdown renders, LaTeX compiles."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from reports.assemble import Report, assemble
from reports.claims import Paper, load_papers
from reports.latex import latex_document, latex_table, latex_text
from reports.modes import Mode, fixed_headers, status
from reports.paper_exports import table_csv, table_files, table_json, table_markdown
from reports.paper_tables import PaperView
from runner.cli.report import COMMITTED
from runner.store import Store
from tests.made_records import evaluated, spec
from tests.shared import ROOT
from zoo.catalogue import catalogue

EVIL = r"a|b <script>alert(1)</script> \input{/etc/passwd} $x_1$ 50% #1 & ~ ^ {} `q` 'q' \"q\" Ünï 中文 ×" + "\n| c |"


def _committed() -> Report:
    records = Store(COMMITTED).read().records
    return assemble(tuple(catalogue().values()), load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="x")


def _evil_paper() -> Paper:
    """The paper with a name in every row and title that tries to break out."""
    paper = load_papers()["agdn"]
    tables = {key: replace(table, title=EVIL) for key, table in paper.tables.items()}
    claims = tuple(replace(claim, row=f"{claim.row} {EVIL}") for claim in paper.claims)
    return replace(paper, citation=EVIL, tables=tables, claims=claims)


def _evil() -> Report:
    records = [evaluated("agdn", psnr_y_db=32.4259, dataset="Set5", origin="bundled")]
    return assemble((spec("agdn", scales=(2, 3, 4)),), {"agdn": _evil_paper()}, records, created_utc="2024", suite="x")


REPORTS = {"committed": _committed(), "evil": _evil()}
EVERY = [
    pytest.param(view, mode, id=f"{name}-{view.stem}-{mode.value}")
    for name, report in REPORTS.items()
    for view in report.papers
    for mode in Mode
]


# --- CSV and JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "mode"), EVERY)
def test_csv_parses_back_to_the_facts(view: PaperView, mode: Mode) -> None:
    lines = list(csv.DictReader(io.StringIO(table_csv(view, mode))))
    assert [(line["row"], line["model"], int(line["scale"])) for line in lines] == [
        (row.label, row.model, row.scale) for row in view.rows
    ]
    for line, row in zip(lines, view.rows, strict=True):
        assert [line[name] == "yes" for name in view.layout.checks] == list(row.checks)
        for column, cell in zip(view.columns, row.cells, strict=True):
            assert cell.claim is not None
            if mode in (Mode.BOTH, Mode.MEASURED):
                ours = line[f"{column.key} measured"]
                assert (float(ours) if ours else None) == cell.measured.value
                assert line[f"{column.key} status"] == status(cell)
            if mode in (Mode.BOTH, Mode.PRINTED):
                theirs = line[f"{column.key} printed"]
                assert (Decimal(theirs) if theirs else None) == cell.claim.value
            if mode is Mode.DIFFERENCE:
                difference = line[f"{column.key} difference"]
                assert (Decimal(difference) / column.divisor if difference else None) == cell.difference
            if mode is not Mode.MEASURED:
                assert line[f"{column.key} verdict"] == (cell.verdict.kind.value if cell.verdict else "")


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_json_holds_every_cell_with_its_runs_and_reason(report: Report) -> None:
    for view in report.papers:
        content = json.loads(table_json(view))
        assert [row["row"] for row in content["rows"]] == [row.label for row in view.rows]
        for line, row in zip(content["rows"], view.rows, strict=True):
            for column, cell in zip(view.columns, row.cells, strict=True):
                found = line["cells"][column.key]
                assert found["measured"]["value"] == cell.measured.value
                assert [run["record"] for run in found["measured"]["runs"]] == [r.key.key12 for r in cell.measured.runs]
                assert all(run["protocol"] and run["machine"] for run in found["measured"]["runs"])
                if cell.verdict is None:
                    assert found["printed"] is None
                else:
                    assert found["verdict"] == {"kind": cell.verdict.kind.value, "cause": cell.verdict.cause}
                    assert found["printed"]["source"]


# --- Markdown -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "mode"), EVERY)
def test_markdown_renders_as_one_table_of_the_right_shape(view: PaperView, mode: Mode) -> None:
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(table_markdown(view, mode))
    assert html.count("<table>") == 1
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert len(rows) == 1 + len(view.rows)
    width = len(fixed_headers(view)) + len(view.columns)
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {width}
    assert "<script" not in html


def test_markdown_keeps_measured_upright_and_printed_in_italics() -> None:
    view = next(view for view in REPORTS["committed"].papers if view.stem == "table3")
    last = table_markdown(view, Mode.BOTH).splitlines()[-1]
    assert last.startswith("| AGDN | **32.43** ***32.43*** ✓ |")
    assert table_markdown(view, Mode.DIFFERENCE).splitlines()[-1].startswith("| AGDN | 0.00 |")


# --- LaTeX --------------------------------------------------------------------------------------------------------


def _rows(tex: str) -> list[str]:
    body = tex[tex.index(r"\toprule") : tex.index(r"\bottomrule")]
    return [line for line in body.splitlines() if line.endswith(r"\\")]


def _cells(row: str) -> int:
    spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
    return len(re.findall(r"(?<!\\)&", row)) + 1 + spans


@pytest.mark.parametrize(("view", "mode"), EVERY)
def test_latex_is_balanced_ascii_and_of_one_width(view: PaperView, mode: Mode) -> None:
    tex = latex_table(view, mode)
    assert tex.isascii()
    opened, closed = (re.findall(rf"\\{word}\{{(.*?)\}}", tex) for word in ("begin", "end"))
    assert opened == closed[::-1] == ["table*", "tabular"]
    plain = tex.replace(r"\\", "").replace(r"\{", "").replace(r"\}", "").replace(r"\$", "")
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    columns = re.search(r"\\begin\{tabular\}\{([lcr]+)\}", tex)
    assert columns is not None
    rows = _rows(tex)
    assert len(rows) >= 1 + len(view.rows)
    assert {_cells(row) for row in rows} == {len(columns[1])}
    # One unescaped percent sign, in the first line: a comment anywhere else would swallow what follows.
    assert len(re.findall(r"(?<!\\)%", tex)) == 1
    assert not re.search(r"(?<!\\)#", tex)
    assert r"\input" not in tex


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b & 50% #1", r"a\_b \& 50\% \#1"),
        ("\\{}$^~", r"\textbackslash{}\{\}\$\textasciicircum{}\textasciitilde{}"),
        ("×2 – ≈", r"$\times$2 -- $\approx$"),
        ("Ünïçø", r"\"{U}n\"{\i}\c{c}\o{}"),
        ("中\u202e", "[U+4E2D][U+202E]"),
        ("two\nlines\ttab\x00", "two lines tab[U+0000]"),
        ("--- ``q''", r"{-}{-}{-} \textasciigrave{}\textasciigrave{}q''"),
    ],
)
def test_text_prints_as_it_is(text: str, latex: str) -> None:
    assert latex_text(text) == latex


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex on this machine")
@pytest.mark.parametrize("name", REPORTS)
def test_latex_compiles_without_a_complaint(name: str, tmp_path: Path) -> None:
    stems = []
    for view in REPORTS[name].papers:
        files = {file: text for file, text in table_files(view).items() if file.endswith(".tex")}
        stems += [file.removesuffix(".tex") for file in files]
        for file, text in files.items():
            (tmp_path / file).write_text(text, encoding="utf-8")
    (tmp_path / "all.tex").write_text(latex_document(stems), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
    assert "Undefined" not in done.stdout


def test_the_readme_shows_table_3_as_it_is_written() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- table3 -->\n")[2].partition("<!-- /table3 -->")[0]
    view = next(view for view in REPORTS["committed"].papers if view.stem == "table3")
    assert shown == table_markdown(view, Mode.BOTH), "copy tables/table3.md of a report on the committed records"
    assert MarkdownIt("commonmark").enable("table").render(readme).count("<table>") == 2
