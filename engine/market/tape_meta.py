"""meta.json: what a tape says of itself.

It carries the sha256 of every other file of the tape, and `digest`, the sha256 of its own remaining contents:
the digest names the tape as a whole and an edited meta.json is found out at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ConfigError, TapeError
from engine.files import to_json
from engine.instrument import Instrument

FORMAT = 1
META_FILE = "meta.json"
IMPORT_AGAIN = "import or generate the tape again"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gap(_Frozen):
    """Messages were lost just before `local_ts_ns`."""

    local_ts_ns: int
    reason: str


ENDPOINT = "endpoint"
"""In the `format` of a tape's source: it was recorded from a server of the user's own, not from the venue."""


class SourceFile(_Frozen):
    """A raw file that a tape was made from; the name without its folder."""

    name: str
    sha256: str


class Source(_Frozen):
    """Where an imported tape comes from. `counts`: what the importer met, used, dropped and compared.

    `local_clock` is "recorder" where the capture has times of receipt, "venue" where the venue's push time
    stands in for them.
    """

    format: str
    files: tuple[SourceFile, ...]
    counts: dict[str, int]
    local_clock: Literal["recorder", "venue"] = "recorder"


class TapeMeta(_Frozen):
    """Times are UTC ns. `order` is how a replay must run: "exchange" (recorded by others, or generated: the
    exchange's book follows exchange time) or "arrival" (our own shadow runs, which acted on what had arrived).

    `price_low_ticks` and `price_high_ticks` are the kernel's price window; `coverage_pct` is the share of the
    tape's exchange time with a valid, two-sided, uncrossed book.
    """

    format: int
    venue: str
    symbol: str
    tick: Decimal
    lot: Decimal
    contract: Literal["linear", "inverse"]
    contract_size: Decimal
    quote_currency: str
    pnl_currency: str
    min_qty_lots: int
    order: Literal["exchange", "arrival"]
    generated: dict[str, Any] | None
    source: Source | None
    clock_shift_ns: int
    count: int
    depth_count: int
    trade_count: int
    message_count: int
    first_exch_ts_ns: int
    last_exch_ts_ns: int
    first_local_ts_ns: int
    last_local_ts_ns: int
    price_low_ticks: int
    price_high_ticks: int
    gaps: tuple[Gap, ...]
    crossed_message_ends: int
    coverage_pct: float
    sha256: dict[str, str]
    digest: str

    @classmethod
    def build(cls, instrument: Instrument, **fields: Any) -> TapeMeta:
        """Metadata of a new tape: the fields as given, the instrument's, format and digest."""
        meta = cls(format=FORMAT, **{name: getattr(instrument, name) for name in _INSTRUMENT}, **fields, digest="")
        return meta.model_copy(update={"digest": _digest(meta.model_dump(mode="json"))})

    def instrument(self) -> Instrument:
        return Instrument(**{name: getattr(self, name) for name in _INSTRUMENT})


_INSTRUMENT = (
    "venue",
    "symbol",
    "tick",
    "lot",
    "contract",
    "contract_size",
    "quote_currency",
    "pnl_currency",
    "min_qty_lots",
)


def read_meta(folder: Path) -> TapeMeta:
    """Read and check the meta.json of the tape in `folder`.

    Raises:
        TapeError: there is no tape, or its meta.json is damaged, altered or of another format.
    """
    file = folder / META_FILE
    if not folder.is_dir():
        raise TapeError(
            "is not a tape: no such folder",
            where=str(folder),
            remedy="make one with nightsoak tape import or generate",
        )
    try:
        value = json.loads(file.read_bytes())
        meta = TapeMeta.model_validate(value)
        meta.instrument()
    except FileNotFoundError as error:
        raise TapeError("is missing; the folder is not a tape", where=str(file), remedy=IMPORT_AGAIN) from error
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise TapeError(reason, where=str(file), remedy="check its permissions") from error
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"is not a tape's metadata: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise TapeError(reason, where=str(file), remedy=IMPORT_AGAIN) from error
    except (ValueError, ConfigError) as error:
        raise TapeError(f"is not a tape's metadata: {error}", where=str(file), remedy=IMPORT_AGAIN) from error
    if meta.format != FORMAT:
        reason = f"has format {meta.format}, this version reads {FORMAT}"
        raise TapeError(reason, where=str(file), remedy=IMPORT_AGAIN)
    if _digest(value) != meta.digest:
        raise TapeError("is altered: its digest is not that of its contents", where=str(file), remedy=IMPORT_AGAIN)
    return meta


def _digest(meta: Mapping[str, Any]) -> str:
    """sha256 of meta.json's contents without the digest itself."""
    rest = {key: value for key, value in meta.items() if key != "digest"}
    return hashlib.sha256(to_json(rest).encode()).hexdigest()
