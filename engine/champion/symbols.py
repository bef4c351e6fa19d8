"""The symbols that this installation has seen: a champion of any other one is a typing error, as a rule."""

from __future__ import annotations

from contextlib import suppress

from engine.errors import InputError, TapeError, did_you_mean
from engine.market.instruments import FILE, read_instruments
from engine.market.tape_meta import META_FILE, read_meta
from engine.paths import Paths
from engine.warehouse.db import Warehouse


def require_known_symbol(symbol: str, paths: Paths, *, wait_s: float) -> None:
    """
    Raises:
        InputError: no champion, instrument of the configuration, tape or run of the warehouse has the symbol.
        LockHeldError: another process has the warehouse, and nothing else has the symbol.
    """
    known = {*paths.champion_symbols(), *(one.symbol for one in read_instruments(paths.config / FILE))}
    for file in paths.datasets.glob(f"*/*/{META_FILE}"):
        with suppress(TapeError):
            known.add(read_meta(file.parent).symbol)
    if symbol not in known and paths.warehouse.exists():
        with Warehouse(paths.warehouse, wait_s=wait_s) as wh:
            known.update(name for (name,) in wh.execute("SELECT DISTINCT symbol FROM raw_record"))
    if symbol not in known:
        raise InputError(
            "no champion, tape, run or known instrument has this symbol",
            where=f"--symbol {symbol}",
            remedy=f"{did_you_mean(symbol, sorted(known))} Else say --new-symbol",
        )
