"""An explanation (engine.explain) in words: the short text first, then the tables it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.metrics import METRICS
from engine.report.format import (
    NO_DATA,
    and_list,
    beside_limit,
    interval,
    money_digits,
    number,
    plain,
    unit_digits,
    utc,
)
from engine.report.table import Table

_WINDOWS = 5
_HASH = 12
_NAME = 19
_NS_PER_S = 1_000_000_000
_KIND = {
    "data": "the data",
    "parameters": "the parameters given",
    "configuration": "the configuration",
    "settings": "the settings",
    "code": "the code",
}
_MEANING = {"digest": "tape", "start_ns": "start", "end_ns": "end", "code_sha256": "code", "lock_sha256": "lock"}


def short_text(found: Mapping[str, Any]) -> list[str]:
    """A sentence or two each, the most telling first."""
    run, other = found["run"], found["other"]
    same = run["verdict"] == other["verdict"]
    head = f"Both are {run['verdict']}." if same else f"{run['verdict']} against {other['verdict']}."
    lines = [f"{head} {run['run_id']}: {run['reason']} {other['run_id']}: {other['reason']}"]
    if not _equal(found):
        lines += [_flip(row) for row in found["gates"] if row["flipped"]]
        lines += [_net(found["net_bps"]), *_chance(found)]
    lines += _causes(found)
    lines += _consequences(found)
    for side in (run, other):
        if side["interrupted"]:
            lines.append(f"{side['run_id']} was interrupted: it covers a part of its market only.")
    if run["pnl_currency"] != other["pnl_currency"]:
        lines.append(f"Money is in {run['pnl_currency']} against {other['pnl_currency']} and cannot be subtracted.")
    return lines


def _flip(row: Mapping[str, Any]) -> str:
    by = "" if row["difference"] is None else f" ({_value(row['metric'], row['difference'], None, sign=True)})"
    now, was = (_value(row["metric"], row[side], row["limits"][i]) for i, side in enumerate(("run", "other")))
    limits = " / ".join(dict.fromkeys(plain(limit) for limit in row["limits"] if limit is not None))
    labels = " against ".join(label or "no check" for label in row["labels"])
    return f"{row['metric']} is {labels}: {now} against {was}{by}, limit {limits or '-'}."


def _net(net: Mapping[str, Any]) -> str:
    if net["difference"] is None:
        now, was = (number(net[side], 2) for side in ("run", "other"))
        return f"net_bps is {now} against {was}: there is no difference to split."
    parts = ", ".join(f"{row['name']} {number(row['difference'], 2, sign=True)}" for row in net["components"])
    return f"net_bps differs by {number(net['difference'], 2, sign=True)}: {parts}."


def _chance(found: Mapping[str, Any]) -> list[str]:
    chance = found["chance"]
    if chance is None:
        return ["There are too few windows to say how much such a difference scatters."]
    bounds = interval(chance["low"], chance["high"], 2)
    open_ = chance["low"] <= 0 <= chance["high"]
    shown = f"{number(chance['difference_bps'], 2, sign=True)} bps"
    if chance["paired"]:
        told = "zero lies inside, so it is open whether" if open_ else "zero lies outside, so it is likely that"
        what = f"Window by window on the same market the difference is {shown} of OTHER's notional {bounds}"
        return [f"{what}: {told} it would come again on such a market."]
    told = "inside: windows scatter as much by themselves" if open_ else "outside: windows scatter less by themselves"
    return [f"The markets differ, so no window has a pair. The intervals leave {shown} {bounds}, zero lies {told}."]


def _causes(found: Mapping[str, Any]) -> list[str]:
    causes = found["causes"]
    if not causes:
        given = "Data, parameters, configuration, settings and code were the same"
        return [f"{given}; {'so are the results.' if _equal(found) else 'yet the results differ: verify both.'}"]
    given = f"What the runs were given differs in {and_list(_cause(cause) for cause in causes)}"
    if _equal(found):
        return [f"{given}; the results are the same."]
    if len(causes) > 1:
        return [f"{given}; two runs cannot tell which of them did it."]
    if causes[0]["cause"] == "data":
        return [f"{given} alone, so the difference comes with the market."]
    return [f"{given} alone, so on this market the difference follows from that."]


def _equal(found: Mapping[str, Any]) -> bool:
    rows = [*found["results"], *found["gates"], *found["net_bps"]["components"]]
    return all(row["run"] == row["other"] for row in rows)


def _cause(cause: Mapping[str, Any]) -> str:
    what = dict.fromkeys(_MEANING.get(name, name.removeprefix("config/")) for name in cause["what"])
    return f"{_KIND[cause['cause']]} ({', '.join(what)})"


def _consequences(found: Mapping[str, Any]) -> list[str]:
    followed = [row for row in found["parameters"] if not row["given"]]
    if not followed:
        return []
    moves = ", ".join(
        f"{row['parameter']} {_short(row['run'])} against {_short(row['other'])} from {_since(row['since_ns'])}"
        for row in followed
    )
    return [f"The decision rules then chose differently, which follows from it: {moves}."]


def tables(found: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """(title, table); RUN before OTHER, differences are RUN - OTHER. Tables without rows are left out."""
    made = [
        ("Gates", _gates(found["gates"])),
        ("Where net_bps differs, bps", _components(found["net_bps"])),
        (f"The {_WINDOWS} windows that differ most", _windows(found)),
        ("Parameters that differed, and since when", _parameters(found["parameters"])),
        ("Data and results", _data(found)),
        ("Settings", _plain_rows(found["settings"], "Setting")),
        ("Hashes that differ", _plain_rows(found["inputs"], "Input", _HASH)),
    ]
    return [(title, table) for title, table in made if table.rows]


def _gates(rows: list[dict[str, Any]]) -> Table:
    return Table(
        ("Check", "RUN", "OTHER", "Difference", "Labels"),
        "lrrrl",
        tuple(
            (
                row["metric"],
                _value(row["metric"], row["run"], row["limits"][0]),
                _value(row["metric"], row["other"], row["limits"][1]),
                "-" if row["difference"] is None else _value(row["metric"], row["difference"], None, sign=True),
                " / ".join(label or "-" for label in row["labels"]) if row["flipped"] else str(row["labels"][0]),
            )
            for row in rows
        ),
    )


def _components(net: Mapping[str, Any]) -> Table:
    rows = [*net["components"], {"name": "net_bps", **{k: net[k] for k in ("run", "other", "difference")}}]
    return Table(
        ("Component", "RUN", "OTHER", "Difference"),
        "lrrr",
        tuple(
            (
                row["name"],
                number(row["run"], 3, sign=True),
                number(row["other"], 3, sign=True),
                number(row["difference"], 3, sign=True),
            )
            for row in rows
        ),
    )


def _windows(found: Mapping[str, Any]) -> Table:
    rows = found["windows"][:_WINDOWS]
    digits = money_digits([row[side] for row in rows for side in ("run", "other")])
    return Table(
        ("Window", "UTC", "RUN, PnL", "OTHER, PnL", "Difference, bps"),
        "rlrrr",
        tuple(
            (
                str(row["window"]),
                utc(row["start_ns"], "%H:%M:%S"),
                number(row["run"], digits, sign=True),
                number(row["other"], digits, sign=True),
                number(row["difference_bps"], 2, sign=True),
            )
            for row in rows
        ),
    )


def _parameters(rows: list[dict[str, Any]]) -> Table:
    return Table(
        ("Parameter", "Since", "RUN", "OTHER", "Last", "By"),
        "lrrrrl",
        tuple(
            (
                row["parameter"],
                _since(row["since_ns"]),
                _short(row["run"]),
                _short(row["other"]),
                f"{_short(row['run_last'])}/{_short(row['other_last'])}",
                row["source"].removeprefix("decision after "),
            )
            for row in rows
        ),
    )


def _data(found: Mapping[str, Any]) -> Table:
    rows = []
    for row in (*found["data"], *found["results"]):
        name, sides = row["name"], [row["run"], row["other"]]
        shown = [_datum(name, value) for value in sides]
        same = sides[0] == sides[1]
        by = "-" if row["difference"] is None or name in ("start_ns", "end_ns") else _plus(row["difference"])
        rows.append((_MEANING.get(name, name) if name != "digest" else "tape digest", *shown, "same" if same else by))
    return Table(("What", "RUN", "OTHER", "Difference"), "lrrr", tuple(rows))


def _datum(name: str, value: Any) -> str:
    if value is None:
        return NO_DATA
    if name == "digest":
        return str(value)[:_HASH]
    if name in ("start_ns", "end_ns"):
        return utc(value, "%F %H:%M:%S")
    if isinstance(value, float):
        return number(value, 2)
    text = str(value)
    return text if len(text) <= _NAME else f"...{text[3 - _NAME :]}"


def _plus(value: float) -> str:
    return number(value, 0 if isinstance(value, int) else 2, sign=True)


def _plain_rows(rows: list[dict[str, Any]], head: str, length: int | None = None) -> Table:
    shown = ((row["name"], *(str(row[side])[:length] for side in ("run", "other"))) for row in rows)
    return Table((head, "RUN", "OTHER"), "lll", tuple(shown))


def _value(metric: str, value: float | None, limit: float | None, *, sign: bool = False) -> str:
    unit = METRICS[metric].unit if metric in METRICS else "ratio" if metric.startswith("block_ratios.") else "count"
    digits = unit_digits(unit)
    return number(value, digits, sign=True) if sign else beside_limit(value, limit, digits)


def _short(value: float) -> str:
    return plain(value) if value == int(value) else f"{value:.3g}"


def _since(since_ns: int) -> str:
    seconds = since_ns // _NS_PER_S
    return "start" if since_ns == 0 else f"+{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
