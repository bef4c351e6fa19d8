"""The scanner against the strict reader: where it decides, it decides the same, for the same reason."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.warehouse import parse
from engine.warehouse.columns import Scanner
from engine.warehouse.fields import JOURNAL_VERSION, KINDS, PARTS, SCHEMA
from engine.warehouse.parse import LineError, LineReader, _read_slow, read_line

# JSON texts of values as they come, as they should not come, and as other languages print them.
VALUES = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.floats().map(lambda x: json.dumps(x)),
    st.floats(-1e6, 1e6).map(lambda x: json.dumps(str(x))),
    st.text(max_size=6).map(json.dumps),
    st.text("0123456789.+-eE _x", max_size=6).map(json.dumps),
    st.sampled_from(
        [
            *("null", "true", "false", '"buy"', '"1.5"', "1.0", "01", "1e400", '"1e400"', "NaN", "-0", "1e20", "[]"),
            *("1e-19", '"+1."', '".5"', '"."', '""', "-", "-.5", "1.", "1e", "1e+", "1E-5", "-Infinity", "-Inf", "nul"),
            *("0.30000000000000004", "1.0000000000000000005", "5.9990000000000004e-06", "1" * 19, "9" * 19, "1" * 400),
            *("9223372036854775807", "-9223372036854775808", "0e999", "1e-400", "0.0000001", "-0.0", '"-0"', "1e310"),
            *(
                '"\\ud800"',
                '"\\u00e9"',
                '"\xe9\u20ac\U0001f600"',
                '"a\tb"',
                '"\\q"',
                '"open',
                "{}",
                '{"a":1,"a":1}',
                "tru",
            ),
            *("1" * 5000, "1" * 400 + ".5", '"run_start"', '"' + "x" * 70 + '"', "2", "true", '"true"', "1.5e1"),
        ]
    ),
)
KEYS = st.one_of(
    st.sampled_from(sorted(KINDS)), st.sampled_from(["mine", "yours", 'q"x', "{", "", "\xe9", "price_ticksx"])
)
BLANKS = st.sampled_from(["", "", "", "", " ", "\t", "\r", "  "])
PAIR = st.tuples(BLANKS, KEYS, BLANKS, BLANKS, VALUES, BLANKS)
LINE = st.lists(PAIR, max_size=5).map(
    lambda pairs: (
        "{" + ",".join(f"{a}{json.dumps(k, ensure_ascii=False)}{b}:{c}{v}{d}" for a, k, b, c, v, d in pairs) + "}"
    )
)
GOLDEN = (Path(__file__).parent / "golden" / "journal_v1.jsonl").read_bytes().splitlines()


@st.composite
def broken(draw):
    """A line with some bytes taken out, put in or changed."""
    line = bytearray(draw(st.one_of(LINE.map(str.encode), st.sampled_from(GOLDEN[1:]))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line)))
        out = draw(st.integers(0, 3))
        line[at : at + out] = draw(
            st.one_of(
                st.binary(max_size=2), st.sampled_from([b'"', b",", b"}", b"{", b":", b"0", b"-", b"\\", b"e1", b" "])
            )
        )
    return bytes(line).replace(b"\n", b"")


LINES = st.one_of(LINE.map(str.encode), broken(), st.sampled_from(GOLDEN))


def as_read(line):
    """(row or None, reason or None, whether the version is a newer one) by the strict reader"""
    try:
        row = read_line(line)
    except JournalError:
        return None, None, True
    except LineError as error:
        return None, str(error), False
    return {name: row.get(name) for name in SCHEMA.names}, None, False


@settings(max_examples=1500, deadline=None)
@given(LINES)
@example(b'{"v":2,"seq":"1"}')
@example(b'{"a":1,"a":NaN}')
@example(b'{"a":1,"a":1}x')
@example(b'{"seq":"1","v":1}x')
@example(b"\xef\xbb\xbf{}")
@example(b'{"mine":"\xed\xa0\x80"}')
@example(b"{" + b",".join(b'"k%d":1' % i for i in range(40)) + b',"k0":1}')
def test_the_scanner_decides_as_the_strict_reader_does(line):
    table, refused, undecided = Scanner().scan(line + b"\n", 1)
    row, reason, newer = as_read(line)
    assert table.num_rows + len(refused.reasons) + len(undecided) == 1
    if table.num_rows:
        [found] = table.select(SCHEMA.names).to_pylist()
        assert table["index"].to_pylist() == [0]
        if newer:
            assert found["v"] > JOURNAL_VERSION  # ingest refuses it by the column
        else:
            assert (found, None) == (row, reason)
    elif refused.reasons:
        assert (refused.index.tolist(), refused.reasons) == ([0], [reason])
    else:
        assert undecided == [[0, 0, len(line)]]


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=8))
def test_a_chunk_reads_as_its_lines_do(lines):
    read = [as_read(line) for line in lines]
    assume(not any(newer for _, _, newer in read))  # refused as a whole
    wanted = [row | {"index": index} for index, (row, _, _) in enumerate(read) if row is not None]
    refused = [(index, reason) for index, (_, reason, _) in enumerate(read) if reason is not None]
    for least in (0, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parse, "SCAN_FROM_BYTES", least)
            table, rejects = LineReader().read(b"".join(line + b"\n" for line in lines), len(lines))
        table = table.select([*SCHEMA.names, "index"])
        assert sorted(table.to_pylist(), key=lambda row: row["index"]) == wanted
        assert list(zip(rejects.index.tolist(), rejects.reasons, strict=True)) == refused


RECORD = {
    "v": [1, 1, 1, 0],
    "type": ["order", "fill", "order", "fill", "mark"],
    "run_id": ["R", "R", "R", ""],
    "seq": [0, 1, -1],
    "ts_ns": [5, 5, -5],
    "symbol": ["S", "S", ""],
    "lane": [0, 1, -1],
    "side": ["buy", "sell", "buy", "BUY", "sellsells", ""],
    "event": ["new", "ack", "amend", "cancel", "reject", "expire", "newer", "", "expired", "canceled!"],
    "price": ["1.5", 2, "0", -1, "-0.5", "0.000000000000000001", "123456789012345678"],
    "qty": ["1.5", 2, "0", -1],
    "liquidity": ["maker", "taker", "makers", ""],
    "fee": ["0.1"],
    "mid": [7],
    "order_id": [7, "a"],
}


@settings(max_examples=700, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.sampled_from([*values, None]) for name, values in RECORD.items()}))
def test_what_the_scanner_is_sure_of_breaks_no_rule(judged, record):
    """And the other way round for orders and fills of known fields; and both readers name the same part."""
    line = json.dumps(record).encode() + b"\n"
    table, _, _ = Scanner().scan(line, 1)
    [sure], [part] = table["sure"].to_pylist(), table["part"].to_pylist()
    strict, _ = _read_slow([(0, line)])
    assert strict["part"].to_pylist() == [part]
    fields = {name for name, value in record.items() if value is not None} - {"type"}
    assert (part > 0) == (fields <= set(PARTS.get(record.get("type"), ())) and record.get("type") in PARTS)
    assert bool(sure) == (part > 0 and judged(table) == [])


@pytest.fixture(scope="module")
def judged():
    """The rules of record_reason.sql on a table: the reasons they give."""
    rules = (Path(parse.__file__).parent / "sql" / "quality" / "record_reason.sql").read_text()
    with duckdb.connect(config={"threads": 1}) as connection:

        def judge(table):
            connection.register("incoming", table)
            return [reason for _, reason in connection.execute(rules).fetchall()]

        yield judge


def test_what_journals_are_made_of_is_read_by_the_scanner():
    table, refused, undecided = Scanner().scan(b"".join(line + b"\n" for line in GOLDEN), len(GOLDEN))
    kinds = {json.loads(GOLDEN[index])["type"] for index, _, _ in undecided}
    assert kinds == {"run_start", "params"}
    assert (table.num_rows, len(refused.reasons)) == (len(GOLDEN) - len(undecided), 0)
    types, sure = table["type"].to_pylist(), table["sure"].to_pylist()
    assert all((kind in PARTS) == bool(certain) for kind, certain in zip(types, sure, strict=True))


@pytest.mark.parametrize("glued", [b'{"v":1} {"v":1}\n\n', b'{"v":\n1}\n', b'{"v":1}{"v":1}\n\n', b'\n{"v":1}\n'])
def test_a_line_holds_one_object_and_an_object_one_line(glued):
    table, rejects = LineReader().read(glued, glued.count(b"\n"))
    good = [line for line in glued.split(b"\n")[:-1] if line == b'{"v":1}']
    assert table.num_rows == len(good)
    assert len(rejects.reasons) == glued.count(b"\n") - len(good)


def test_decimals_are_kept_to_18_places_half_to_even():
    row = read_line(b'{"price":"1.0000000000000000005","qty":1.0000000000000000015,"fee":5.9990000000000004e-06}')
    assert row == {
        "price": Decimal("1.000000000000000000"),
        "qty": Decimal("1.000000000000000002"),
        "fee": Decimal("0.000005999000000000"),
    }


def test_an_order_id_may_be_a_number_or_a_text():
    table, _ = LineReader().read(b'{"order_id":7}\n{"order_id":"a-7"}\n', 2)
    assert table["order_id"].to_pylist() == ["7", "a-7"]
