"""Known instruments: config/instruments.json, and instruments defined ad hoc on the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field

from engine.config import ConfigModel, load_config
from engine.errors import CaptureError, ConfigError
from engine.instrument import Instrument
from engine.paths import Paths

FILE = "instruments.json"
_QUOTES = ("USDT", "USDC", "FDUSD", "USD", "EUR", "BTC", "ETH")


class _Row(ConfigModel):
    venue: str
    symbol: str
    tick: Decimal
    lot: Decimal
    contract: Literal["linear", "inverse"]
    contract_size: Decimal
    quote_currency: str
    pnl_currency: str
    min_qty_lots: int = Field(default=1, ge=1)


class _File(ConfigModel):
    instruments: tuple[_Row, ...]


@dataclass(frozen=True)
class InstrumentFlags:
    """What the command line says about the instrument; None where it is silent."""

    symbol: str | None = None
    tick: Decimal | None = None
    lot: Decimal | None = None
    contract: str | None = None
    contract_size: Decimal | None = None


def read_instruments(path: Path | None = None) -> tuple[Instrument, ...]:
    """The instruments of config/instruments.json, in file order.

    Raises:
        ConfigError: the file is missing or does not say what it must.
    """
    path = Paths.from_environment().config / FILE if path is None else path
    rows = load_config(path, _File).instruments
    found = tuple(Instrument(**row.model_dump(exclude={"comment"})) for row in rows)
    names = [(one.venue, one.symbol) for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{' '.join(name)} stands twice", where=str(path), remedy="keep one of them")
    return found


def find_instrument(
    venues: tuple[str, ...], symbol: str, flags: InstrumentFlags, known: tuple[Instrument, ...], *, where: str
) -> Instrument:
    """The instrument of `symbol` at the first of `venues` that lists it, with the flags' values put over it.

    An unknown symbol needs --tick and --lot; its contract is linear of size 1 unless the flags say otherwise.

    Raises:
        CaptureError: the symbol is unknown and the flags do not define it.
        ConfigError: a flag's value is not a grid.
    """
    matches = [one for venue in venues for one in known if (one.venue, one.symbol) == (venue, symbol)]
    names = ("tick", "lot", "contract", "contract_size")
    given = {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}
    if matches and given.get("contract", matches[0].contract) == matches[0].contract:
        return replace(matches[0], **given)
    inverse = flags.contract == "inverse"
    missing = [name for name in ("tick", "lot", *(["contract_size"] if inverse else [])) if name not in given]
    if missing:
        raise CaptureError(
            f"unknown symbol {symbol} of {' or '.join(venues)}",
            where=where,
            remedy=f"add it to config/{FILE}, or define it with --tick, --lot, --contract and --contract-size"
            f" (missing: {', '.join('--' + name.replace('_', '-') for name in missing)})",
        )
    base, quote = _currencies(symbol)
    return Instrument(
        venue=venues[0],
        symbol=symbol,
        tick=given["tick"],
        lot=given["lot"],
        contract=given.get("contract", "linear"),
        contract_size=given.get("contract_size", Decimal(1)),
        quote_currency=quote,
        pnl_currency=base if inverse else quote,
    )


def _currencies(symbol: str) -> tuple[str, str]:
    """Base and quote currency by the symbol's ending; the whole symbol and "quote" where it tells nothing."""
    pair = symbol.split("_")[0]
    for quote in _QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair[: -len(quote)], quote
    return pair, "quote"
