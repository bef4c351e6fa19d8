"""What all charts share: colours, matplotlib's settings, figures with fixed margins and a time axis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INK, MUTED, GRID = "#1f2933", "#66727f", "#e3e8ed"
GOOD, BAD, LINE, TARGET = "#2a6f97", "#c8553d", "#33658a", "#b58900"
NS_PER_DAY = 86_400 * 10**9
WIDTH_IN = 8.6
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "nightsoak",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "timezone": "UTC",
}


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's defaults and ours, whatever the user's own settings are; they are restored afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def figure_of(
    height_in: float, *, left: float = 0.09, right: float = 0.965, bottom: float = 0.6, top: float = 0.42
) -> Any:
    """A figure with fixed margins: `left` and `right` as shares of the width, `bottom` and `top` in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in))
    figure.subplots_adjust(left=left, right=right, bottom=bottom / height_in, top=1 - top / height_in)
    return figure


def days(ts_ns: int) -> float:
    """Market time as matplotlib's days since 1970."""
    return ts_ns / NS_PER_DAY


def time_axis(axes: Any, start_ns: int, end_ns: int) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    pattern = "%H:%M:%S" if end_ns - start_ns < 900 * 10**9 else "%H:%M"
    if end_ns - start_ns > NS_PER_DAY:
        pattern = "%d %b %H:%M"
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=4, maxticks=9))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter(pattern))  # type: ignore[no-untyped-call]
    axes.set_xlim(days(start_ns), days(end_ns))
    axes.set_xlabel("market time, UTC")
