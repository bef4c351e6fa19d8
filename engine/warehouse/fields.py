"""The journal's fields as columns: one table from which the Arrow schema, the compiled scanner and the
strict line reader derive.

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
    "text": "type run_id symbol bot mode profile git source side event reason liquidity fee_currency market generator "
    "tape_digest",
    "decimal": "position_start position_cap_qty mid bid ask amount price qty quote_mid fill_mid fee position_after "
    "latency_ms order_age_ms valid_book_ms",
    "boolean": "latency_modelled iteration_end",
    "nested": " ".join(NESTED),
}
KINDS: dict[str, str] = {name: kind for kind, names in _BY_KIND.items() for name in names.split()}
"""Field -> kind. An `id` is a whole number or a text, kept as text."""

_ARROW = {
    "integer": pa.int64(),
    "text": pa.string(),
    "nested": pa.string(),
    "decimal": DECIMAL_TYPE,
    "boolean": pa.bool_(),
}
SCHEMA = pa.schema([(name, _ARROW.get(kind, pa.string())) for name, kind in KINDS.items()])
"""The columns that lines are read into."""

COMMON = ("v", "seq", "ts_ns", "lane", "run_id", "symbol")
PARTS: dict[str, tuple[str, ...]] = {
    "order": (
        *COMMON,
        *("order_id", "side", "price", "qty", "price_ticks", "qty_lots", "quote_mid", "quote_mid2"),
        *("event", "reason", "latency_ms", "exch_ts_ns"),
    ),
    "fill": (
        *COMMON,
        *("order_id", "side", "price", "qty", "price_ticks", "qty_lots", "quote_mid", "quote_mid2", "fill_mid"),
        *("fill_mid2", "liquidity", "fee", "fee_currency", "order_age_ms", "latency_ms", "exch_ts_ns"),
        *("position_after", "position_after_lots"),
    ),
}
"""Record types with a table of their own, raw_<type>, and the fields it has. Nearly all rows of a journal are orders
and fills, and a column costs time even where it is null. A row with any other field stands in raw_other, which has
them all; the view raw_record shows the three as one."""
