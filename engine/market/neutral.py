"""The neutral format: an .npz of integer columns, with a *meta.json beside it.

    exch_ts, local_ts   ns; local_ts never falls    kind   0 depth, 1 trade
    side                +1 bid or buyer, -1 ask or seller
    price_ticks         > 0                         qty_lots   depth: new absolute size; trade: size > 0

A message is a run of rows with the same two times. The meta file says `tick` and `lot` and may say `symbol`,
`venue`, `contract` and `contract_size`; flags go before it.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import CaptureError
from engine.instrument import Instrument
from engine.market.capture import Capture, clock_shift_ns
from engine.market.events import BUY, COLUMN_DTYPES, DEPTH, LAST, TIMES_END_NS, TRADE, Array, Columns
from engine.market.instruments import InstrumentFlags, find_instrument

FIELDS = ("exch_ts", "local_ts", "kind", "side", "price_ticks", "qty_lots")


def read_neutral(file: Path, flags: InstrumentFlags, known: tuple[Instrument, ...]) -> Capture:
    """Read one .npz.

    Raises:
        CaptureError: the file cannot be read, a column is missing, of another type or length, or holds what it may
            not (the first such row is named), or tick and lot are neither in the meta file nor given.
    """
    arrays = _load(file)
    instrument = _instrument(file, flags, known)
    _check(file, arrays)
    columns = Columns.empty(len(arrays["kind"]))
    exch_ts, local_ts, kind, side, price_ticks, qty_lots = (arrays[name] for name in FIELDS)
    columns.exch_ts_ns[:], columns.local_ts_ns[:] = exch_ts, local_ts
    columns.kind[:] = np.where(kind == 0, DEPTH, TRADE)
    columns.flags[:] = np.where(side == 1, BUY, 0)
    columns.price_ticks[:], columns.qty_lots[:] = price_ticks, qty_lots
    same = (np.diff(exch_ts) == 0) & (np.diff(local_ts) == 0)
    columns.flags[:-1][~same] |= LAST
    columns.flags[-1] |= LAST
    shift_ns = clock_shift_ns(columns)
    columns.local_ts_ns[:] += shift_ns
    counts = {"depth_rows": int((kind == 0).sum()), "trades": int((kind == 1).sum())}
    return Capture(columns, instrument, shift_ns, (), counts)


def _load(file: Path) -> dict[str, Array]:
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            missing = [name for name in FIELDS if name not in archive.files]
            if missing:
                reason = f"lacks the columns {', '.join(missing)}"
                raise CaptureError(reason, where=str(file), remedy=f"the neutral format has {', '.join(FIELDS)}")
            return {name: archive[name] for name in FIELDS}
    except FileNotFoundError as error:
        raise CaptureError("no such file", where=str(file), remedy="check the path") from error
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise CaptureError(f"is damaged or not an .npz: {error}", where=str(file), remedy="copy it again") from error


def _check(file: Path, arrays: dict[str, Array]) -> None:
    """Raise CaptureError for the first column that is not what the format says."""
    count = arrays["kind"].shape
    for name, array in arrays.items():
        if array.dtype.kind not in "iu" or array.shape != count or len(count) != 1:
            reason = f"column {name} is {array.dtype}{list(array.shape)}, not integers of shape {list(count)}"
            raise CaptureError(reason, where=str(file), remedy="write integer columns of one length")
    if not count[0]:
        raise CaptureError("holds no rows", where=str(file), remedy="give a file with events")
    exch_ts, local_ts, kind, side, price, qty = (arrays[name] for name in FIELDS)
    top_price, top_qty = (np.iinfo(COLUMN_DTYPES[name]).max for name in ("price_ticks", "qty_lots"))
    rules = (
        ("exch_ts", "is not in ns since 1970", (exch_ts < 0) | (exch_ts >= TIMES_END_NS), 0),
        ("local_ts", "is not in ns since 1970", (local_ts < 0) | (local_ts >= TIMES_END_NS), 0),
        ("local_ts", "falls", local_ts[1:] < local_ts[:-1], 1),
        ("kind", "is neither 0 nor 1", (kind != 0) & (kind != 1), 0),
        ("side", "is neither +1 nor -1", (side != 1) & (side != -1), 0),
        ("price_ticks", f"is not in 1..{top_price}", (price < 1) | (price > top_price), 0),
        ("qty_lots", "is negative or, of a trade, zero", (qty < (kind == 1)) | (qty > top_qty), 0),
    )
    for name, what, wrong, shift in rules:
        if wrong.any():
            row = int(np.argmax(wrong)) + shift
            raise CaptureError(f"column {name} {what}", where=f"{file}, row {row}", remedy="mend the file's writer")


def _instrument(file: Path, flags: InstrumentFlags, known: tuple[Instrument, ...]) -> Instrument:
    """Flags first, then the meta file; without a symbol the file's own name is it."""
    meta_file = find_meta(file)
    meta = _read_meta(meta_file) if meta_file else {}
    decimals = {name: _decimal(meta_file, meta, name) for name in ("tick", "lot", "contract_size")}
    symbol = flags.symbol or str(meta.get("symbol") or _stem(file).upper())
    said: dict[str, Any] = {"contract": meta.get("contract"), **decimals}
    given = {name: getattr(flags, name) for name in said}
    merged = InstrumentFlags(symbol, **{name: said[name] if given[name] is None else given[name] for name in said})
    if merged.tick is None or merged.lot is None:
        missing = " and ".join(name for name in ("tick", "lot") if getattr(merged, name) is None)
        beside = f"{meta_file.name} does not say" if meta_file else "no *meta.json beside it says"
        raise CaptureError(
            f"{beside} the {missing}",
            where=str(file),
            remedy="give --tick and --lot (and --symbol), or put the keys tick and lot into the meta file",
        )
    return find_instrument((str(meta.get("venue", "neutral")),), symbol, merged, known, where=str(file))


def find_meta(file: Path) -> Path | None:
    """The meta file of an .npz: by its name, or the only *meta.json in its folder."""
    names = [f"{stem}{link}meta.json" for stem in (file.stem, _stem(file)) for link in ("_", ".")]
    for name in names:
        if (file.parent / name).is_file():
            return file.parent / name
    others = sorted(file.parent.glob("*meta.json"))
    return others[0] if len(others) == 1 else None


def _stem(file: Path) -> str:
    return file.stem.removesuffix("_neutral")


def _read_meta(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise CaptureError(f"is not JSON: {error}", where=str(file), remedy="mend the meta file") from error
    if not isinstance(value, dict):
        raise CaptureError("is not a JSON object", where=str(file), remedy="mend the meta file")
    return value


def _decimal(file: Path | None, meta: dict[str, Any], name: str) -> Decimal | None:
    if meta.get(name) is None:
        return None
    try:
        return Decimal(str(meta[name]))
    except InvalidOperation as error:
        reason = f"{name} {meta[name]!r} is not a decimal"
        raise CaptureError(reason, where=str(file), remedy="mend the meta file") from error
