"""The charts as SVG, the same bytes on every machine.

Text is drawn as outlines of matplotlib's own font, ids come from a fixed salt, no date is written, and user
settings are set aside: so a chart looks the same in every viewer and a second rendering is byte-identical. The
background is white, for dark pages too. matplotlib is imported here only, and only when charts are drawn.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from engine.params import PARAMETERS
from engine.report.chart_data import (
    BlocksChart,
    ChartData,
    ControlChart,
    MarkoutsChart,
    ParametersChart,
    PositionChart,
    PriceChart,
    WaterfallChart,
    WindowsChart,
)
from engine.report.chart_style import BAD, GOOD, INK, LINE, MUTED, TARGET, days, figure_of, style, time_axis
from engine.report.format import money_digits, number, plain


def draw_svg(data: ChartData) -> dict[str, bytes]:
    """{chart name: SVG bytes} for every chart that has data."""
    result = {}
    with style():
        for name in data.names():
            buffer = io.BytesIO()
            draw(name, getattr(data, name)).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            result[name] = buffer.getvalue()
    return result


def draw(name: str, chart: Any) -> Any:
    """One chart as a matplotlib Figure; call it inside `style()`."""
    return _DRAWERS[name](chart)


def _windows(chart: WindowsChart) -> Any:
    height_in = 3.6
    figure = figure_of(height_in, top=0.72)
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    if chart.low_bps is not None and chart.high_bps is not None:
        axes.axhspan(
            chart.low_bps, chart.high_bps, color=LINE, alpha=0.14, linewidth=0, label="95 % interval of the run"
        )
    if chart.total_bps is not None:
        axes.axhline(chart.total_bps, color=LINE, linewidth=1.2, label=f"run {number(chart.total_bps, 2)}")
    axes.axhline(
        chart.target_bps, color=TARGET, linewidth=1.2, linestyle=(0, (5, 3)), label=f"target {plain(chart.target_bps)}"
    )
    middles = [days((a + b) // 2) for a, b in zip(chart.start_ns, chart.end_ns, strict=True)]
    known = [(x, y) for x, y in zip(middles, chart.net_bps, strict=True) if y is not None]
    for colour, label, chosen in (
        (GOOD, "window at or above target", [p for p in known if p[1] >= chart.target_bps]),
        (BAD, "window below target", [p for p in known if p[1] < chart.target_bps]),
    ):
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), s=24, color=colour, zorder=3, label=label)
    empty = [x for x, y in zip(middles, chart.net_bps, strict=True) if y is None]
    if empty:
        axes.scatter(
            empty,
            [0.02] * len(empty),
            marker="x",
            s=24,
            color=MUTED,
            transform=axes.get_xaxis_transform(),
            label="no data",
            clip_on=False,
        )
    for iteration, start_ns in chart.iteration_starts:
        if start_ns != chart.start_ns[0]:
            axes.axvline(days(start_ns), color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
        if len(chart.iteration_starts) <= 12:
            axes.annotate(
                f"it {iteration}",
                (days(start_ns), 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(3, 3),
                textcoords="offset points",
                fontsize=7.5,
                color=MUTED,
            )
    figure.text(0.09, 1 - 0.2 / height_in, "net_bps by window", fontsize=10, fontweight="bold")
    axes.set_ylabel("net_bps, bps of notional")
    time_axis(axes, chart.start_ns[0], chart.end_ns[-1])
    axes.margins(y=0.12)
    figure.legend(
        loc="upper left", ncols=6, bbox_to_anchor=(0.08, 1 - 0.24 / height_in), handletextpad=0.4, columnspacing=1.1
    )
    return figure


def _waterfall(chart: WaterfallChart) -> Any:
    figure = figure_of(3.0, right=0.91)
    axes = figure.subplots()
    axes.grid(axis="y")
    level = 0.0
    edges = [0.0]
    for position, value in enumerate(chart.bps):
        axes.bar(position, value, bottom=level, width=0.58, color=GOOD if value >= 0 else BAD, zorder=2)
        axes.plot(
            [position - 0.29, position + 1.29], [level + value] * 2, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2))
        )
        _bar_label(axes, position, max(level, level + value), number(value, 2, sign=True))
        level += value
        edges.append(level)
    last = len(chart.bps)
    axes.bar(last, chart.net_bps, width=0.58, color=INK, zorder=2)
    _bar_label(axes, last, max(0.0, chart.net_bps), number(chart.net_bps, 2, sign=True))
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axhline(chart.target_bps, color=TARGET, linewidth=1.2, linestyle=(0, (5, 3)))
    axes.text(last + 0.54, chart.target_bps, f"target {plain(chart.target_bps)}", color=TARGET, fontsize=8, va="center")
    labels = [
        name if target is None else f"{name}\n(target {plain(target)})"
        for name, target in zip(chart.names, chart.targets, strict=True)
    ]
    axes.set_xticks(range(last + 1), [*labels, "net_bps"])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, last + 0.5)
    low, high = min([*edges, chart.net_bps]), max([*edges, chart.net_bps, chart.target_bps])
    axes.set_ylim(low - 0.06 * (high - low) * (low < 0), high + 0.12 * (high - low))
    axes.set_ylabel("contribution, bps of notional")
    axes.set_title("Where net came from")
    return figure


def _bar_label(axes: Any, position: float, top: float, text: str) -> None:
    axes.annotate(text, (position, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8.5)


def _markouts(chart: MarkoutsChart) -> Any:
    figure = figure_of(2.8)
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    colours = {"both": INK, "buy": GOOD, "sell": BAD}
    for shift, (side, values, halves) in enumerate(chart.curves):
        places = [i + 0.08 * (shift - 1) for i in range(len(chart.horizons_s))]
        known = [(x, y, half) for x, y, half in zip(places, values, halves, strict=True) if y is not None]
        if not known:
            continue
        x, y, half = zip(*known, strict=True)
        axes.errorbar(
            x, y, yerr=half, color=colours[side], linewidth=1.4 if side == "both" else 1.0, marker="o", markersize=3,
            capsize=2, label="all fills" if side == "both" else f"{side}s",
        )  # fmt: skip
    axes.set_xticks(range(len(chart.horizons_s)), [f"{horizon} s" for horizon in chart.horizons_s])
    axes.set_xlabel("after the fill")
    axes.set_ylabel("cost, bps")
    axes.set_title("Markout: what the mid did against us, with 95 % intervals")
    figure.legend(loc="upper right", ncols=3, bbox_to_anchor=(0.985, 1.0))
    return figure


def _price(chart: PriceChart) -> Any:
    figure = figure_of(3.2)
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.plot([days(t) for t in chart.ts_ns], chart.mid, color=MUTED, linewidth=0.8, label="mid")
    for colour, marker, word, (times, prices) in (
        (GOOD, "^", "buy", chart.buys),
        (BAD, "v", "sell", chart.sells),
    ):
        if times:
            axes.plot(
                [days(t) for t in times],
                prices,
                linestyle="none",
                marker=marker,
                markersize=4,
                markeredgewidth=0,
                color=colour,
                alpha=0.8,
                label=word,
            )
    axes.set_title("Price and fills" + (f" (one fill in {chart.shown_one_in} shown)" if chart.shown_one_in > 1 else ""))
    axes.set_ylabel(f"price, {chart.currency}")
    time_axis(axes, *chart.bounds_ns)
    figure.legend(loc="upper right", ncols=3, bbox_to_anchor=(0.985, 1.0))
    return figure


def _position(chart: PositionChart) -> Any:
    figure = figure_of(2.3)
    axes = figure.subplots()
    axes.grid(axis="y")
    times = [days(t) for t in chart.ts_ns]
    axes.fill_between(times, chart.qty, step="post", color=LINE, alpha=0.25, linewidth=0)
    axes.plot(times, chart.qty, drawstyle="steps-post", color=LINE, linewidth=0.9)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_title("Position")
    axes.set_ylabel("position, contract units")
    time_axis(axes, *chart.bounds_ns)
    return figure


def _blocks(chart: BlocksChart) -> Any:
    height = 1.1 + 0.28 * len(chart.reasons)
    figure = figure_of(height, left=0.16)
    axes = figure.subplots()
    axes.grid(axis="x")
    rows = range(len(chart.reasons))
    axes.barh(rows, chart.ratios_pct, height=0.62, color=LINE)
    top = max(chart.ratios_pct)
    for row, ratio, count in zip(rows, chart.ratios_pct, chart.counts, strict=True):
        axes.annotate(
            f"{number(ratio, 1)} %  ({count})",
            (ratio, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(rows, chart.reasons)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * top or 1.0)
    axes.set_xlabel("share of all intents to change a quote, %")
    axes.set_title("Blocked intents by reason")
    return figure


def _parameters(chart: ParametersChart) -> Any:
    """Small multiples: one panel per parameter, its allowed range as the height of the panel."""
    columns = 4
    rows = -(-len(chart.names) // columns)
    height = 0.9 + 1.3 * rows
    figure = figure_of(height, left=0.06, bottom=0.5, top=0.72)
    figure.subplots_adjust(hspace=0.8, wspace=0.32)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    edges = [*chart.iterations, chart.iterations[-1] + 1]
    for axes, name, values in zip(panels, chart.names, chart.values, strict=False):
        row = PARAMETERS[name]
        changed = any(value != values[0] for value in values)
        colour = GOOD if changed else MUTED
        axes.stairs(values, edges, baseline=None, color=colour, linewidth=1.8 if changed else 1.2)
        pad = 0.06 * (row.high - row.low)
        axes.set_ylim(row.low - pad, row.high + pad)
        axes.set_yticks([row.low, row.high], [plain(row.low), plain(row.high)], fontsize=7)
        axes.grid(axis="y")
        axes.set_xlim(edges[0], edges[-1])
        step = -(-len(chart.iterations) // 8)
        shown = chart.iterations[::step]
        axes.set_xticks([i + 0.5 for i in shown], [str(i) for i in shown], fontsize=7)
        axes.tick_params(length=0)
        axes.set_title(name, fontsize=8, fontweight="normal", pad=15)
        text = f"{plain(values[0])} -> {plain(values[-1])} {row.unit}" if changed else f"{plain(values[0])} {row.unit}"
        axes.annotate(
            text, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=7, color=colour
        )
    for axes in panels[len(chart.names) :]:
        axes.set_axis_off()
    figure.text(0.06, 1 - 0.18 / height, "Parameters in force, by iteration", fontsize=10, fontweight="bold")
    figure.text(
        0.5,
        0.12 / height,
        "iteration; the height of a panel is the allowed range",
        ha="center",
        fontsize=8,
        color=MUTED,
    )
    return figure


def _control(chart: ControlChart) -> Any:
    figure = figure_of(2.8)
    axes = figure.subplots()
    axes.grid(axis="y")
    times = [days(t) for t in chart.end_ns]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    if len(times) > 1:
        width = 0.6 * (times[1] - times[0])
        colours = [GOOD if step >= 0 else BAD for step in chart.steps_quote]
        axes.bar(times, chart.steps_quote, width=-width, align="edge", color=colours, alpha=0.45, label="one window")
        axes.set_xlabel("market time, UTC")
        time_axis(axes, 2 * chart.end_ns[0] - chart.end_ns[1], chart.end_ns[-1])
    else:
        time_axis(axes, chart.end_ns[0] - 300 * 10**9, chart.end_ns[0] + 300 * 10**9)
    axes.plot(times, chart.cumulated_quote, color=INK, linewidth=1.6, marker="o", markersize=2.5, label="cumulated")
    axes.margins(y=0.15)
    axes.set_title("Tuned minus frozen control, net PnL")
    axes.set_ylabel(f"difference, {chart.currency}")
    total = chart.cumulated_quote[-1]
    axes.annotate(
        number(total, money_digits([total]), sign=True),
        (times[-1], total),
        xytext=(-4, 6),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        fontweight="bold",
    )
    figure.legend(loc="upper right", ncols=2, bbox_to_anchor=(0.985, 1.0))
    return figure


_DRAWERS: dict[str, Callable[[Any], Any]] = {
    "windows": _windows,
    "waterfall": _waterfall,
    "markouts": _markouts,
    "price": _price,
    "position": _position,
    "blocks": _blocks,
    "parameters": _parameters,
    "control": _control,
}
