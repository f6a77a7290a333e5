"""A report becomes files."""

from __future__ import annotations

from pathlib import Path

from reports.assemble import Report
from reports.figures import drawn_in
from reports.html import page
from reports.latex import latex_document
from reports.paper_exports import table_files
from reports.text import results_csv, results_markdown, three_ways_csv, three_ways_markdown
from zoo.files import write_bytes_atomically, write_text_atomically


def write(report: Report, out_dir: Path) -> tuple[Path, ...]:
    """Write figures (SVG, PDF), results and papers' tables (CSV, Markdown, LaTeX, JSON), last index.html.

    Each file is whole or not there.
    """
    drawn: dict[str, str] = {}
    content: dict[Path, str | bytes] = {}
    for figure in report.figures:
        files = drawn_in(figure, "svg", "pdf")
        drawn[figure.key] = files["svg"].decode()
        content |= {out_dir / "figures" / f"{figure.key}.{name}": file for name, file in files.items()}
    content[out_dir / "results.csv"] = results_csv(report.tables)
    content[out_dir / "multi_adds.csv"] = three_ways_csv(report.three_ways)
    content[out_dir / "results.md"] = "\n".join(
        (results_markdown(report.tables), three_ways_markdown(report.three_ways))
    )
    for view in report.papers:
        for name, text in table_files(view).items():
            content[out_dir / "tables" / name] = text
    content[out_dir / "tables" / "all.tex"] = latex_document([view.stem for view in report.papers])
    content[out_dir / "index.html"] = page(report, drawn)
    for path, data in content.items():
        if isinstance(data, bytes):
            write_bytes_atomically(path, data)
        else:
            write_text_atomically(path, data)
    return tuple(content)
