"""What a run's rows must look like: the Great Expectations suite, and the process that runs it.

    python -m engine.quality_suite < request > result        (see engine/quality.py)

Great Expectations takes 2.4 s to import and sets up warnings, logging and progress bars of its own: a process of its
own keeps all of that away from the soak, and imports it while the soak does other things.

A row that fails `critical` expectations makes the run's sums meaningless; one that fails another is a genuine record
that somebody should look at.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa

MOST_OFF_MID_BPS = 200.0
"""How far from the mid a price can be and still be believed: a misplaced decimal is much further."""
FEE_TOLERANCE_BPS = 0.01
LONGEST_LATENCY_MS = 60_000.0
LONGEST_ORDER_AGE_MS = 86_400_000.0
KEYS = ("lane", "seq")
MOST_KEYS = 1000
"""Keys kept per expectation; `failed` counts all."""


@dataclass(frozen=True)
class Expected:
    """One expectation on a column of engine.quality.frames; `arguments` are those of Great Expectations' class `kind`.

    A null is not judged: what a journal does not say is not wrong. `why_unknown` says what it means that a whole
    column is null.
    """

    table: str
    title: str
    column: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    critical: bool = False
    why_unknown: str = "the journal does not say"


def _between(
    table: str, title: str, column: str, low: float | None, high: float | None = None, **more: Any
) -> Expected:
    strict = more.pop("above", False)
    arguments = {"min_value": low, "max_value": high, "strict_min": strict}
    return Expected(table, title, column, "ExpectColumnValuesToBeBetween", arguments, **more)


def _in_set(table: str, title: str, column: str, values: list[Any], **more: Any) -> Expected:
    return Expected(table, title, column, "ExpectColumnValuesToBeInSet", {"value_set": values}, **more)


def _order(table: str) -> list[Expected]:
    rising = "ExpectColumnValuesToBeIncreasing"
    return [
        Expected(table, "seq rises from row to row", "seq", rising, {"strictly": True}),
        Expected(table, "time does not fall from row to row", "ts_ns", rising, {"strictly": False}),
    ]


SUITE: tuple[Expected, ...] = (
    *_order("fills"),
    _in_set("fills", "side is buy or sell", "side", ["buy", "sell"], critical=True),
    _in_set("fills", "liquidity is maker or taker", "liquidity", ["maker", "taker"]),
    _between("fills", "price is above 0", "price", 0.0, above=True, critical=True),
    _between("fills", "quantity is above 0", "qty", 0.0, above=True, critical=True),
    _in_set("fills", "position follows fills", "position_jump", [0.0], critical=True),
    _between(
        "fills", f"price is within {MOST_OFF_MID_BPS:g} bps of the mid", "off_mid_bps", 0.0, MOST_OFF_MID_BPS,
        why_unknown="no mid at the fill",
    ),
    _between("fills", "fee has the sign of its tier", "fee_sign", 0.0, why_unknown="no fee, or no tier"),
    _between(
        "fills", f"fee is its tier's, within {FEE_TOLERANCE_BPS:g} bps", "fee_off_tier_bps",
        -FEE_TOLERANCE_BPS, FEE_TOLERANCE_BPS, why_unknown="no fee, or no tier",
    ),
    _between("fills", "latency is 0 to 60 s", "latency_ms", 0.0, LONGEST_LATENCY_MS),
    _between("fills", "quote age is 0 to a day", "order_age_ms", 0.0, LONGEST_ORDER_AGE_MS),
    *_order("orders"),
    _in_set("orders", "side is buy or sell", "side", ["buy", "sell"]),
    _in_set("orders", "event is known", "event", ["new", "ack", "amend", "cancel", "reject", "expire"]),
    _between("orders", "price is above 0", "price", 0.0, above=True),
    _between("orders", "quantity is not below 0", "qty", 0.0),
    _between(
        "orders", f"price is within {MOST_OFF_MID_BPS:g} bps of the mid", "off_mid_bps", 0.0, MOST_OFF_MID_BPS,
        why_unknown="no mid when quoted",
    ),
    _between("orders", "latency is 0 to 60 s", "latency_ms", 0.0, LONGEST_LATENCY_MS),
    *_order("marks"),
    _between("marks", "mid is above 0", "mid", 0.0, above=True, critical=True),
    _between("marks", "bid is below ask", "spread", 0.0, above=True),
    _between("marks", "mid is between bid and ask", "mid_share", 0.0, 1.0),
)  # fmt: skip


def run_suite(frames: dict[str, pa.Table]) -> list[dict[str, Any]]:
    """[{table, title, critical, checked, failed, keys: [{lane, seq}], reason}] for the SUITE's expectations on
    the tables given, in its order.

    Args:
        frames: fills, orders and marks as engine.quality.frames makes them.

    `checked` counts the rows that were judged; `reason` says why where there were none; `keys` are the first MOST_KEYS.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        source = context.data_sources.add_pandas("run")
        found: dict[int, dict[str, Any]] = {}
        for table, frame in sorted(frames.items()):
            if not frame.num_rows:
                continue
            known = [i for i, e in enumerate(SUITE) if e.table == table and frame[e.column].null_count < frame.num_rows]
            expectations = [
                getattr(gx.expectations, SUITE[i].kind)(column=SUITE[i].column, meta={"place": i}, **SUITE[i].arguments)
                for i in known
            ]
            asset = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
            batch = asset.get_batch({"dataframe": frame.to_pandas(strings_to_categorical=True)})
            validated = batch.validate(
                gx.ExpectationSuite(name=table, expectations=expectations),
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": list(KEYS)},
            )
            for one in validated.results:
                if one.exception_info["raised_exception"]:
                    raise RuntimeError(one.exception_info["exception_message"])
                assert one.expectation_config is not None
                found[one.expectation_config.meta["place"]] = one.result
    judged = [(i, expected) for i, expected in enumerate(SUITE) if expected.table in frames]
    return [_result(expected, found.get(i), frames[expected.table].num_rows) for i, expected in judged]


def _result(expected: Expected, result: dict[str, Any] | None, rows: int) -> dict[str, Any]:
    head = {"table": expected.table, "title": expected.title, "critical": expected.critical}
    if result is None:
        reason = expected.why_unknown if rows else f"no {expected.table}"
        return head | {"checked": 0, "failed": 0, "keys": [], "reason": reason}
    keys = sorted(tuple(int(row[key]) for key in KEYS) for row in result["unexpected_index_list"] or ())
    return head | {
        "checked": int(result["element_count"] - result.get("missing_count", 0)),
        "failed": int(result["unexpected_count"]),
        "keys": [dict(zip(KEYS, key, strict=True)) for key in keys[:MOST_KEYS]],
        "reason": "",
    }


def read_frames(stream: IO[bytes]) -> dict[str, pa.Table]:
    """The frames of a request: a line of JSON {table: bytes}, then each table's Arrow stream, in that order."""
    sizes = json.loads(stream.readline())
    return {table: pa.ipc.open_stream(stream.read(size)).read_all() for table, size in sizes.items()}


def write_frames(frames: dict[str, pa.Table]) -> bytes:
    """The request that `read_frames` reads."""
    parts = {}
    for table, frame in frames.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, frame.schema) as writer:
            writer.write_table(frame)
        parts[table] = sink.getvalue().to_pybytes()
    sizes = json.dumps({table: len(data) for table, data in parts.items()})
    return sizes.encode() + b"\n" + b"".join(parts.values())


def main() -> None:
    """Import first, then wait for the rows: who asks is busy with other things meanwhile."""
    result_stream, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no result
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    warnings.simplefilter("ignore")
    import great_expectations  # noqa: F401

    result = run_suite(read_frames(sys.stdin.buffer))
    result_stream.write(json.dumps(result, allow_nan=False))


if __name__ == "__main__":
    main()
