"""The fast reader against the slow one: what it takes, the slow one takes too, with the same values."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.warehouse.fields import JOURNAL_VERSION, KINDS, SLOW_SCHEMA
from engine.warehouse.parse import LineError, _read_fast, read_line, read_lines

FLAT = sorted(name for name, kind in KINDS.items() if kind != "nested")
# JSON texts of values as they come, as they should not come, and as other languages print them.
VALUES = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.floats().map(lambda x: json.dumps(x)),
    st.floats(-1e6, 1e6).map(lambda x: json.dumps(str(x))),
    st.text(max_size=6).map(json.dumps),
    st.text("0123456789.+-eE _x", max_size=6).map(json.dumps),
    st.sampled_from(
        ["null", "true", "false", '"buy"', '"1.5"', "1.0", "01", "1e400", '"1e400"', "NaN", "-0", "1e20", "[]", "1e-19"]
    ),
)
KEYS = st.one_of(st.sampled_from(FLAT), st.sampled_from(["mine", "yours", 'q"x', "{"]))
LINE = st.lists(st.tuples(KEYS, VALUES), max_size=5).map(
    lambda pairs: ("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}").encode()
)


@settings(max_examples=800, deadline=None)
@given(LINE)
def test_the_fast_reader_never_takes_what_the_slow_one_refuses(line):
    table = _read_fast(line + b"\n", 1)
    if table is None:
        return
    [fast] = table.to_pylist()
    try:
        slow = read_line(line)
    except JournalError:
        assert fast["v"] > JOURNAL_VERSION  # ingest refuses it after the fast reader
        return
    assert fast == {name: slow.get(name) for name in SLOW_SCHEMA.names}


@settings(max_examples=150, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=8))
def test_a_chunk_reads_as_its_lines_do(lines):
    data = b"".join(line + b"\n" for line in lines)
    wanted, refused = [], []
    for index, line in enumerate(lines):
        try:
            row = read_line(line)
        except JournalError:
            assume(False)  # a newer version, refused as a whole
        except LineError:
            refused.append(index)
        else:
            wanted.append({name: row.get(name) for name in SLOW_SCHEMA.names} | {"index": index})
    table, rejects = read_lines(data)
    assert table.to_pylist() == wanted
    assert [reject.index for reject in rejects] == refused


@pytest.mark.parametrize("glued", [b'{"v":1} {"v":1}\n\n', b'{"v":\n1}\n', b'{"v":1}{"v":1}\n\n', b'\n{"v":1}\n'])
def test_a_line_holds_one_object_and_an_object_one_line(glued):
    table, rejects = read_lines(glued)
    good = [line for line in glued.split(b"\n")[:-1] if line == b'{"v":1}']
    assert table.num_rows == len(good)
    assert len(rejects) == glued.count(b"\n") - len(good)


def test_decimals_are_kept_to_18_places_half_to_even():
    row = read_line(b'{"price":"1.0000000000000000005","qty":1.0000000000000000015,"fee":5.9990000000000004e-06}')
    assert row == {
        "price": Decimal("1.000000000000000000"),
        "qty": Decimal("1.000000000000000002"),
        "fee": Decimal("0.000005999000000000"),
    }


def test_an_order_id_may_be_a_number_or_a_text():
    table, _ = read_lines(b'{"order_id":7}\n{"order_id":"a-7"}\n')
    assert table["order_id"].to_pylist() == ["7", "a-7"]
