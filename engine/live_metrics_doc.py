"""docs/live_metrics.md from LIVE_METRICS: `python -m engine.live_metrics_doc` writes it, a test keeps it fresh."""

from __future__ import annotations

from engine.files import write_atomic
from engine.live_metrics import LIVE_METRICS, PREFIX, SAMPLES
from engine.paths import CHECKOUT

PATH = CHECKOUT / "docs" / "live_metrics.md"
_HEAD = f"""\
# The live metrics

Generated from `engine/live_metrics.py` by `python -m engine.live_metrics_doc`; do not edit by hand. A running bot
serves them on `/metrics` ([control-plane.md](control-plane.md)) as `{PREFIX}<name>`, of lane 0 unless labelled by
lane. What cannot be known is left out of the exposition, never 0. Percentiles are over the last {SAMPLES:,}
observations. Times are market time, the tape's or the feed's clock, unless wall time is said. "Measurement so far"
begins with the bot's start or the last `reset_shadow`. s is a fill's side, q its lots, p its price, v the value of a
lot, m the mid ([metrics_contract.md](metrics_contract.md)).

"""


def render() -> str:
    """The whole document."""
    lines = ["| metric | unit | kind | meaning | from | absent |", "|---|---|---|---|---|---|"]
    for metric in LIVE_METRICS.values():
        name = f"`{metric.name}`" + (f" by `{metric.label}`" if metric.label else "")
        cells = (name, metric.unit, metric.kind, metric.meaning, metric.source, metric.absent or "never")
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_atomic(PATH, render())
