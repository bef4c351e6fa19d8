"""Markdown, notice and charts from a run's JSON documents: the same documents give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.paths import CHECKOUT
from engine.report.chart_data import prepare
from engine.report.charts import draw_svg
from engine.report.record import RunRecord
from engine.report.table import Markdown, escape, markdown_table, wrap
from engine.report.view import View, build_view

REPORT, SUMMARY = "SOAK_RESULTS.md", "summary.txt"
TEMPLATES = CHECKOUT / "templates"
_BLANK_LINES = re.compile(r"\n{3,}")


def render(documents: Mapping[str, Any], templates: Path = TEMPLATES) -> dict[str, bytes]:
    """{relative path: bytes} of SOAK_RESULTS.md, summary.txt and charts/*.svg.

    Args:
        documents: file name -> parsed value of EDGE_REPORT.json, KPI_GATE.json and soak_metrics.json.

    Raises:
        InputError: the documents are not those of a run of this format.
    """
    record = RunRecord.from_documents(documents)
    view = build_view(record)
    result = {
        REPORT: render_markdown(view, templates).encode(),
        SUMMARY: ("\n".join(view.summary) + "\n").encode(),
    }
    return result | {f"charts/{name}.svg": svg for name, svg in draw_svg(prepare(record)).items()}


def render_markdown(view: View, templates: Path = TEMPLATES) -> str:
    """SOAK_RESULTS.md: the template's layout, one blank line at most between blocks."""
    text = environment(templates).get_template(f"{REPORT}.j2").render(v=view)
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n"


def environment(templates: Path) -> Any:
    """The templates of `templates`: undefined names are errors, text is escaped for Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # HTML's rules are not Markdown's: `_finalize` escapes instead
    )
    made.globals.update(wrap=wrap, table=markdown_table)
    return made


def _finalize(value: Any) -> Any:
    """Escapes text for Markdown; refuses numbers and None, which the view-model has to put into words."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, str):
        return escape(value)
    raise TypeError(f"a template got {value!r}; only text from the view-model may be shown")
