"""Faults a local venue can be asked for: `kind@TIME[:AMOUNT]`, TIME since the playing began.

disconnect@30s           every connection is dropped
refuse@30s:5s            new connections are refused for 5 s, the present ones dropped
silence@30s:15s          pings are answered, nothing else is sent, for 15 s
slow@30s:5s              frames are held back for 5 s, then all are sent at once
gap@30s:3                3 book updates are never sent
duplicate@30s:3          3 book updates are sent twice, trades with them
reorder@30s              a book update is sent after its successor
garbage@30s:2            2 frames are cut short
limit@30s:15s            Binance: snapshots are refused for 15 s, as to somebody who asked too often
restart@30s              update ids start again at 1, with a snapshot that nobody asked for
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import ConfigError

TIMED = ("refuse", "silence", "slow", "limit")
KINDS = ("gap", "duplicate", "reorder", "garbage", "restart", "disconnect", *TIMED)
_SPEC = re.compile(r"(?P<kind>[a-z]+)@(?P<at>[0-9.]+)(?P<unit>s|m|h)?(:(?P<amount>[0-9.]+)s?)?\Z")
_UNITS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Fault:
    """`at_s` seconds after the playing began; `amount`: how many frames, or for how many seconds."""

    kind: str
    at_s: float
    amount: float = 1.0


def parse_fault(text: str) -> Fault:
    """Raises: ConfigError: not of the form above."""
    found = _SPEC.match(text)
    try:
        if found is None or found["kind"] not in KINDS:
            raise ValueError
        at_s = float(found["at"]) * _UNITS[found["unit"]]
        return Fault(found["kind"], at_s, float(found["amount"] or 1))
    except ValueError:
        remedy = f"say KIND@TIME[:AMOUNT], like silence@30s:15s; kinds: {', '.join(KINDS)}"
        raise ConfigError(f"{text!r} is no fault", where="--fault", remedy=remedy) from None
