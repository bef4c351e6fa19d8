"""Which market a run was on. Windows of one market and profile are evidence together, never those of two.

    recorded    a venue's own feed, live or replayed from its tape
    generated   a simulated tape; seeds are stretches of one market, other settings are another market
    endpoint    a server of the user's own, live or replayed: it may play the same tape again at other times
    (empty)     the journal does not say: another bot's, or one from before it did

The champion's store is one per symbol. Its evidence is that of one market at a time, by default the one of the last
run that ran the champion, and what is decided on it says so.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from engine.instrument import Instrument

RECORDED, GENERATED, ENDPOINT = "recorded", "generated", "endpoint"
MARKET_COLUMNS = "market, venue, grid, generator, profile"
"""Of evidence_run, in the order of Market's fields."""
_GRID = ("tick", "lot", "contract", "contract_size", "quote_currency", "pnl_currency")


@dataclass(frozen=True)
class Market:
    """`kind`: see the module; `grid`: JSON text of the instrument's; `generator`: of a generated market's settings but
    for the seed; `profile`: the bot's."""

    kind: str
    venue: str
    grid: str
    generator: str
    profile: str

    @property
    def sentence(self) -> str:
        """Named for a reader: "the generated market of sim, profile S1"."""
        venue = self.venue or "an unnamed venue"
        what = {
            "": f"{venue}, of which the journal does not say whether it was generated",
            GENERATED: f"the generated market of {venue}",
            ENDPOINT: f"a server of the user's own in place of {venue}",
        }.get(self.kind, venue)
        return f"{what}, profile {self.profile or 'unnamed'}"

    @property
    def is_inverse(self) -> bool:
        """Whether PnL is in the base currency, so that a limit in quote currency needs a price."""
        return bool(self.grid) and json.loads(self.grid)["contract"] == "inverse"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "grid": json.loads(self.grid) if self.grid else None}


def grid_of(instrument: Instrument) -> str:
    """The same text for the same grid, however its decimals were written."""
    values = {name: getattr(instrument, name) for name in _GRID}
    plain = {name: f"{v.normalize():f}" if isinstance(v, Decimal) else v for name, v in values.items()}
    return json.dumps(plain, sort_keys=True)


def on_market(market: Market | None) -> str:
    """The end of a sentence that rests on a market's windows; empty where there was none."""
    return "" if market is None else f", on {market.sentence}"
