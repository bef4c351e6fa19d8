"""The journal's fields as columns: one table from which the Arrow schema and the strict line reader derive.

A journal record is flat but for three objects (`params`, `instrument`) and one list (`lanes`), which are kept as
JSON text. A decimal is a JSON string or number, kept to DECIMAL_PLACES places (further digits are rounded half to
even). A field that no version knows is ignored, so that journals of other bots can carry their own.
"""

from __future__ import annotations

import pyarrow as pa

JOURNAL_VERSION = 1
DECIMAL_PLACES = 18
DECIMAL_TYPE = pa.decimal128(38, DECIMAL_PLACES)

NESTED = ("params", "lanes", "instrument")

_BY_KIND = {
    "integer": "v seq ts_ns lane window_seconds window iteration start_ns events effective_ts_ns mid2 bid_ticks "
    "ask_ticks price_ticks qty_lots quote_mid2 fill_mid2 exch_ts_ns position_after_lots count",
    "id": "order_id",
    "text": "type run_id symbol bot mode profile git source side event reason liquidity fee_currency",
    "decimal": "position_start position_cap_qty mid bid ask amount price qty quote_mid fill_mid fee position_after "
    "latency_ms order_age_ms valid_book_ms",
    "boolean": "latency_modelled iteration_end",
    "nested": " ".join(NESTED),
}
KINDS: dict[str, str] = {name: kind for kind, names in _BY_KIND.items() for name in names.split()}
"""Field -> kind. An `id` is a whole number or a text; the fast reader takes whole numbers."""

_ARROW = {
    "integer": pa.int64(),
    "text": pa.string(),
    "nested": pa.string(),
    "decimal": DECIMAL_TYPE,
    "boolean": pa.bool_(),
}
FAST_SCHEMA = pa.schema([(name, _ARROW.get(kind, pa.int64())) for name, kind in KINDS.items()])
"""What a chunk of well-formed lines is read with (order_id as a whole number)."""
SLOW_SCHEMA = pa.schema([(name, _ARROW.get(kind, pa.string())) for name, kind in KINDS.items()])
"""What lines that were read one by one are gathered in (order_id as text)."""
