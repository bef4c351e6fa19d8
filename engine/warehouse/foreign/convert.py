"""An export -> a journal of one run: run_start, marks and mids from a tape where one is given, fills, funding, run_end.

The journal is a file like any other, so that the warehouse can be made again from it. Its run id ends in a digest of
its content: the same export gives the same run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import JournalError
from engine.files import write_atomic
from engine.instrument import Instrument
from engine.market.instruments import InstrumentFlags, find_instrument, read_instruments
from engine.market.tape import Tape
from engine.warehouse.foreign import binance, bybit, hummingbot, hyperliquid
from engine.warehouse.foreign.fills import NS_PER_S, Export, ForeignFill, plain_symbol
from engine.warehouse.foreign.mids import FRESH_NS, touches

READERS: dict[str, Callable[[bytes, str], Export]] = {
    "binance": binance.read,
    "bybit": bybit.read,
    "hummingbot": hummingbot.read,
    "hyperliquid": hyperliquid.read,
}
MOST_BYTES = 1 << 30
_OPTIONAL = ("liquidity", "fee", "fee_currency", "order_id")


@dataclass(frozen=True)
class Converted:
    """`missing`: by field, the fills that lack it. `passed_over`: by what they are, the export's other rows."""

    run_id: str
    journal: Path
    fills: int
    funding: int
    marks: int
    mids_joined: int
    time_step_ns: int
    missing: dict[str, int]
    passed_over: dict[str, int]


def convert(
    form: str, path: Path, folder: Path, *, symbol: str, tape: Path | None = None, flags: InstrumentFlags | None = None
) -> Converted:
    """Write the journal of the fills of `symbol` in an export into `folder`.

    Args:
        form: one of READERS.
        tape: the market at the time; marks and the fills' mids are taken from it, and the instrument.
        flags: the instrument where there is no tape and config/instruments.json does not know it.

    Raises:
        JournalError: the export cannot be read, or has no fill of `symbol`.
        CaptureError: the instrument is unknown.
        TapeError: the tape cannot be read, or is of another symbol.
    """
    export = READERS[form](_content(path), str(path))
    wanted = plain_symbol(symbol)
    fills = [fill for fill in export.fills if fill.symbol == wanted]
    others = sorted({fill.symbol for fill in export.fills} - {wanted})
    if not fills:
        there = f"; it has fills of {', '.join(others)}" if others else ""
        raise JournalError(f"has no fill of {wanted}{there}", where=str(path), remedy="name another --symbol")
    if others:
        export.passed_over["fills of other symbols"] += len(export.fills) - len(fills)
    opened = None if tape is None else Tape.open(tape)
    if opened is not None and plain_symbol(opened.meta.symbol) != wanted:
        raise JournalError(
            f"is a tape of {opened.meta.symbol}, the fills are of {wanted}", where=str(tape), remedy="name its own tape"
        )
    if opened is not None:
        instrument = opened.meta.instrument()
    else:
        known = read_instruments()
        venues = export.venues or (form,)
        instrument = find_instrument(venues, wanted, flags or InstrumentFlags(), known, where=str(path))
        quote = export.quote_currency
        if quote and instrument.contract == "linear" and instrument not in known:
            instrument = replace(instrument, quote_currency=quote, pnl_currency=quote)
    return _write(form, folder, export, fills, instrument, opened)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise JournalError(f"has more than {MOST_BYTES} bytes", where=str(path), remedy="export shorter spans")
        return path.read_bytes()
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from error


def _write(
    form: str, folder: Path, export: Export, fills: list[ForeignFill], instrument: Instrument, tape: Tape | None
) -> Converted:
    symbol = fills[0].symbol
    payments = [payment for payment in export.funding if payment.symbol == symbol]
    times = [fill.ts_ns for fill in fills]
    first = min(times + [p.ts_ns for p in payments])
    last = max(times + [p.ts_ns for p in payments])
    # A time to the minute says nothing of the mid at the fill.
    joinable = tape is not None and export.time_step_ns <= FRESH_NS
    own = touches(tape, times) if tape is not None and joinable else [None] * len(fills)
    marks = [] if tape is None else _marks(tape, first, last)

    def records() -> Iterator[dict[str, Any]]:
        rows: list[tuple[int, int, dict[str, Any]]] = [
            (ts, 0, {"type": "mark", **_mid(bid, ask)}) for ts, bid, ask in marks
        ]
        rows += [(p.ts_ns, 1, {"type": "funding", "amount": _text(p.amount)}) for p in payments]
        rows += [(fill.ts_ns, 2, _fill(fill, touch, _mid)) for fill, touch in zip(fills, own, strict=True)]
        rows.sort(key=lambda row: row[:2])
        start, end = min(first, rows[0][0]), max(last, rows[-1][0])
        yield {
            "type": "run_start",
            "ts_ns": start,
            "bot": f"{form}-export",
            "mode": "export",
            "instrument": instrument.journal(),
            "lanes": [{"lane": 0, "role": "champion", "params": {}}],
            **({"position_start": _text(before)} if (before := fills[0].position_before) is not None else {}),
        }
        for ts_ns, _, record in rows:
            yield {"ts_ns": ts_ns, **record}
        yield {"type": "run_end", "ts_ns": end, "reason": "export"}

    def _mid(bid: int, ask: int) -> dict[str, Any]:
        return {
            "mid": _text(instrument.mid(bid + ask)),
            "bid": _text(instrument.price(bid)),
            "ask": _text(instrument.price(ask)),
        }

    content = list(records())
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    begun = datetime.fromtimestamp(content[0]["ts_ns"] // NS_PER_S, UTC)
    run_id = f"{begun:%Y%m%dT%H%M%S}-{symbol}-{digest}"
    journal = folder / f"{run_id}.0.jsonl"
    lines = (
        json.dumps({"v": 1, "run_id": run_id, "seq": seq, "symbol": symbol, "lane": 0, **record}, separators=(",", ":"))
        for seq, record in enumerate(content)
    )
    data = "".join(f"{line}\n" for line in lines)
    if not journal.exists() or journal.read_text(encoding="utf-8") != data:
        write_atomic(journal, data)
    joined = sum(touch is not None for touch in own)
    missing = {name: sum(getattr(fill, name) is None for fill in fills) for name in _OPTIONAL}
    missing |= {"fill_mid": len(fills) - joined, "quote_mid": len(fills), "order_age_ms": len(fills)}
    if fills[0].position_before is None:
        missing["position_start"] = 1
    return Converted(
        run_id=run_id,
        journal=journal,
        fills=len(fills),
        funding=len(payments),
        marks=len(marks),
        mids_joined=joined,
        time_step_ns=export.time_step_ns,
        missing={name: count for name, count in missing.items() if count},
        passed_over=dict(sorted(export.passed_over.items())),
    )


def _marks(tape: Tape, first_ns: int, last_ns: int) -> list[tuple[int, int, int]]:
    """(time, bid, ask) of the whole seconds around first_ns..last_ns at which the tape has a fresh book."""
    begin = max(first_ns, tape.meta.first_exch_ts_ns) // NS_PER_S
    end = min(last_ns + NS_PER_S, tape.meta.last_exch_ts_ns + FRESH_NS) // NS_PER_S
    times = [second * NS_PER_S for second in range(begin, end + 1)]
    return [(at, *touch) for at, touch in zip(times, touches(tape, times), strict=True) if touch is not None]


def _fill(
    fill: ForeignFill, touch: tuple[int, int] | None, mid: Callable[[int, int], dict[str, Any]]
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "type": "fill",
        "side": fill.side,
        "price": _text(fill.price),
        "qty": _text(fill.qty),
    }
    optional = {name: getattr(fill, name) for name in _OPTIONAL}
    record |= {name: _text(v) if isinstance(v, Decimal) else v for name, v in optional.items() if v is not None}
    if touch is not None:
        record["fill_mid"] = mid(*touch)["mid"]
    return record


def _text(value: Decimal) -> str:
    return f"{value:f}"
