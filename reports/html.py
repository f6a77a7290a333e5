"""The report as one self-contained HTML file: no request leaves the page, all text is escaped.

The page is a frame (`templates/report.*`) around the sections of `reports.sections`. Their data travels as compact JSON
(`reports.payload`) and is laid out by their scripts, so that ten thousand rows stay small on disk and responsive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.assemble import Report
from reports.payload import Pools
from reports.payload_papers import claims
from reports.sections import SECTIONS, Content, Section

TEMPLATES: Final = Path(__file__).parent / "templates"

_MARKS: Final = {"REPRODUCED": "✓", "EXPLAINED": "≈", "CONTRADICTED": "✗", "NOT_MEASURED": ""}


def page(report: Report, figures: Mapping[str, str], *, sections: Sequence[Section] = SECTIONS) -> str:
    """The whole page; `figures` are the drawn SVGs by key."""
    environment = _environment()
    content = Content(report=report, drawn=figures)
    shown = [section for section in sections if section.shown(content)]
    pools = Pools(report.runs)
    payloads = {section.key: section.payload(content, pools) for section in shown}
    rendered = {section.key: _rendered(environment, section, content) for section in shown}
    views: dict[str, list[Section]] = {}
    for section in shown:
        views.setdefault(section.view or section.key, []).append(section)
    libraries = {section.library: None for section in shown if section.library is not None}
    return environment.get_template("report.html.jinja").render(
        report=report,
        # The pools last: the others fill them.
        data={"sections": payloads, "claims": claims(report, pools), **pools.content()},
        styles=[_asset("report.css"), *_assets(shown, "css")],
        libraries=[Markup(_closed(library())) for library in libraries],
        scripts=[_asset("report.js"), *_assets(shown, "js")],
        views=views,
        rendered=rendered,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "ensure_ascii": False}
    environment.filters["code"] = _with_code
    environment.globals["marks"] = _MARKS
    return environment


def _rendered(environment: Environment, section: Section, content: Content) -> Markup:
    variables: dict[str, Any] = {"report": content.report, **section.context(content)}
    # Jinja escaped every value of it already.
    return Markup(environment.get_template(f"sections/{section.key}.html.jinja").render(variables))


def _with_code(text: str) -> Markup:
    """Escaped text in which what stands between backquotes is code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _assets(sections: Sequence[Section], kind: str) -> list[Markup]:
    names = [f"sections/{section.key}.{kind}" for section in sections]
    return [_asset(name) for name in names if (TEMPLATES / name).is_file()]


def _asset(name: str) -> Markup:
    # Our own files, not data: escaping them would break them.
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _closed(script: str) -> str:
    """A script in which no string can end the element that holds it."""
    return script.replace("</script", "<\\/script")
