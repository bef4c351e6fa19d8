"""The grids of the symbols a feed is asked for: from config/instruments.json, or from the venue itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx

from engine.errors import ConfigError, FeedError, did_you_mean
from engine.instrument import Instrument
from engine.live.venues import Venues, is_loopback, places
from engine.market.instruments import read_instruments

_TIMEOUT_S = 10.0
_VENUES = {"bybit": ("bybit-linear", "bybit-inverse"), "binance": ("binance-usdm",)}


def find_instruments(feed: str, symbols: Sequence[str], endpoint: str, venues: Venues) -> tuple[Instrument, ...]:
    """The instruments of `symbols` at the venue.

    An endpoint of the user's own is asked first, since it may play a market under any name; the venue's own is
    asked only for what config/instruments.json does not list.

    Raises:
        ConfigError: no symbol, or one given twice, or one that the venue does not list either.
        FeedError: the venue does not answer, or not as documented.
    """
    if not symbols or len(set(symbols)) != len(symbols):
        what = "no symbol is given" if not symbols else "a symbol is given twice"
        raise ConfigError(what, where="--symbols", remedy="name each market once, like --symbols BTCUSDT")
    known = {(one.venue, one.symbol): one for one in read_instruments()}
    found = []
    for symbol in symbols:
        listed = [known[venue, symbol] for venue in _VENUES[feed] if (venue, symbol) in known]
        if listed and not endpoint:
            found.append(listed[0])
            continue
        asked = _ask(feed, symbol, endpoint, venues)
        if asked is None:
            near = did_you_mean(symbol, [name for venue, name in known if venue in _VENUES[feed]])
            remedy = near if near.endswith("?") else "check the name and the endpoint"
            raise ConfigError(f"{feed} does not list {symbol}", where="--symbols", remedy=remedy)
        found.append(asked)
    return tuple(found)


def _ask(feed: str, symbol: str, endpoint: str, venues: Venues) -> Instrument | None:
    if feed == "binance":
        _, rest = places(venues.binance.ws, venues.binance.rest, endpoint)
        url = f"{rest}/fapi/v1/exchangeInfo"
        answer = _get(url, {})
        with _understood(url):
            rows = [row for row in answer["symbols"] if row["symbol"] == symbol]
            return _binance_instrument(rows[0]) if rows else None
    _, rest = places(venues.bybit.ws, venues.bybit.rest, endpoint)
    for category in ("linear", "inverse"):
        url = f"{rest}/v5/market/instruments-info"
        answer = _get(url, {"category": category, "symbol": symbol})
        with _understood(url):
            rows = (answer.get("result") or {}).get("list") or []
            if rows:
                return _bybit_instrument(rows[0], category)
    return None


@contextmanager
def _understood(url: str) -> Iterator[None]:
    """What goes wrong in reading an answer is the venue's fault: FeedError."""
    try:
        yield
    except (ConfigError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise FeedError(
            f"the venue's answer cannot be read: {type(error).__name__}: {error}",
            where=url,
            remedy="check that --endpoint is such a venue, or list the symbol in config/instruments.json",
        ) from error


def _get(url: str, params: dict[str, str]) -> Any:
    remote = not is_loopback(url)
    try:
        answer = httpx.get(url, params=params, timeout=_TIMEOUT_S, trust_env=remote, verify=remote)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise FeedError(
            f"the venue does not answer: {error or type(error).__name__}",
            where=url,
            remedy="check the network and --endpoint; nightsoak venue plays a tape without either",
        ) from error


def _bybit_instrument(row: dict[str, Any], category: str) -> Instrument:
    """A row of instruments-info. Inverse contracts are of one unit of the quote currency."""
    lot = Decimal(row["lotSizeFilter"]["qtyStep"])
    return Instrument(
        venue=f"bybit-{category}",
        symbol=row["symbol"],
        tick=Decimal(row["priceFilter"]["tickSize"]),
        lot=lot,
        contract=category,
        contract_size=Decimal(1),
        quote_currency=row["quoteCoin"],
        pnl_currency=row["settleCoin"],
        min_qty_lots=max(1, int(Decimal(row["lotSizeFilter"]["minOrderQty"]) / lot)),
    )


def _binance_instrument(row: dict[str, Any]) -> Instrument:
    filters = {one["filterType"]: one for one in row["filters"]}
    lot = Decimal(filters["LOT_SIZE"]["stepSize"])
    return Instrument(
        venue="binance-usdm",
        symbol=row["symbol"],
        tick=Decimal(filters["PRICE_FILTER"]["tickSize"]),
        lot=lot,
        contract="linear",
        contract_size=Decimal(1),
        quote_currency=row["quoteAsset"],
        pnl_currency=row["marginAsset"],
        min_qty_lots=max(1, int(Decimal(filters["LOT_SIZE"]["minQty"]) / lot)),
    )
