"""A run's report as another place shows it: the document, its KPIs and charts, read from the run's folder on disk."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.metrics import METRICS
from engine.report.manifest import MANIFEST
from engine.report.record import EDGE, FOREIGN
from engine.report.render import SUMMARY

_KINDS = {
    "SOAK_RESULTS.md": "soak",
    "TUNE_RESULTS.md": "tune",
    "STEP1_BASELINE_SUMMARY.md": "baseline",
    "ROLLBACK.md": "rollback",
}
_NO_KEY = re.compile(r"[^a-z0-9]+")
_CHART = re.compile(r"!\[([^\]]*)\]\((charts/[^)\s]+\.svg)\)")
_NO_PARAGRAPH = ("", "#", "|", "<", "!", "`")
_MESSAGE_LINES = 2


@dataclass(frozen=True)
class ReportCopy:
    """`key` is kind and symbol, the same every night; `message` one line that begins with the verdict.

    `markdown` holds the charts as data URIs, since it has no folder beside it; `kpis` are rows of text, one a metric;
    `charts` is {name: data URI}.
    """

    key: str
    run_id: str
    message: str
    markdown: str
    kpis: tuple[dict[str, str], ...]
    charts: dict[str, str]


def read_copy(folder: Path) -> ReportCopy:
    """The copy of the report in a run's folder.

    Raises:
        InputError: the folder holds no report, or one that cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        document = manifest["document"]
        text = (folder / document).read_text(encoding="utf-8")
        summary = (folder / SUMMARY).read_text(encoding="utf-8").splitlines()
        edge = folder / EDGE
        totals = json.loads(edge.read_bytes())["totals"] if edge.is_file() else None
        charts = {path.stem: _data_uri(path) for path in sorted((folder / "charts").glob("*.svg"))}
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            where=str(error.filename),
            remedy="name a run's folder, or run it again",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"holds no whole report: {error}", where=str(folder), remedy="run it again") from error
    return ReportCopy(
        key=artefact_key(_kind(manifest), manifest["result"]["symbol"]),
        run_id=manifest["run_id"],
        message=" · ".join(summary[:_MESSAGE_LINES]),
        markdown=_CHART.sub(lambda link: _embedded(link, charts), _unwrapped(text)),
        kpis=_kpis(totals) if totals else (),
        charts=charts,
    )


def _kind(manifest: Mapping[str, Any]) -> str:
    document = manifest["document"]
    return FOREIGN if manifest.get("kind") == FOREIGN else _KINDS.get(document, Path(document).stem)


def artefact_key(*words: str) -> str:
    """Lower-case letters, digits and dashes, which is all that Prefect takes."""
    return "-".join(_NO_KEY.sub("-", word.lower()).strip("-") for word in words)


def _unwrapped(text: str) -> str:
    """Paragraphs and list items in one line each: Prefect's UI shows every line's end as one."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        before = lines[-1] if lines else ""
        quoted = line.startswith("> ") and before.startswith("> ")
        goes_on = quoted or ((line[:1].isalnum() or line.startswith(("  ", "`"))) and before[:1] not in _NO_PARAGRAPH)
        if before and not fenced and goes_on and not line.startswith("```"):
            lines[-1] = f"{before} {(line[2:] if quoted else line).lstrip()}"
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _embedded(link: re.Match[str], charts: dict[str, str]) -> str:
    title, path = link.groups()
    return f"![{title}]({charts[Path(path).stem]})" if Path(path).stem in charts else title


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()


def _kpis(totals: dict[str, Any]) -> tuple[dict[str, str], ...]:
    rows = []
    for metric in METRICS.values():
        if metric.name not in totals:
            continue
        value = totals[metric.name]
        rows.append(
            {
                "metric": metric.name,
                "value": "no data" if value is None else f"{value:.6g}",
                "unit": metric.unit,
                "n": str(totals["n"].get(metric.name, "-")),
                "note": totals["null_reasons"].get(metric.name) or "",
            }
        )
    return tuple(rows)
