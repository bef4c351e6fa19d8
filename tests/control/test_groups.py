from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.control.groups import ABSENT_GROUPS, GROUPS
from engine.errors import ConfigError
from engine.params import PARAMETERS, Params

RISK = {"position_cap_notional_quote": 5000.0, "order_notional_quote": 500.0}
ASKED_FOR = ["strategy", "taker", "allocator", "risk", "toxicity", "fusion", "edge_model", "exit", "perf_profile"]


def test_every_group_of_the_list_is_either_there_or_said_to_be_absent() -> None:
    assert sorted([*GROUPS, *ABSENT_GROUPS]) == sorted(ASKED_FOR)


def test_the_strategy_schema_is_the_parameter_table() -> None:
    fields = GROUPS["strategy"].schema()["properties"]
    assert list(fields) == list(PARAMETERS)
    for row in PARAMETERS.values():
        field = fields[row.name]
        assert (field["minimum"], field["maximum"]) == (row.low, row.high)
        assert field["type"] == ("integer" if row.integer else "number")
        assert row.meaning in field["description"]
    assert GROUPS["strategy"].schema()["additionalProperties"] is False


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        row.name: st.integers(int(row.low), int(row.high)) if row.integer else st.floats(row.low, row.high)
        for row in PARAMETERS.values()
    },
)


@given(CHANGES)
def test_what_the_schema_allows_the_parameters_allow(changes: dict[str, Any]) -> None:
    group = GROUPS["strategy"]
    found = group.parse(json.dumps(changes))
    assert found == changes
    merged = group.merged(dict(Params()), found)
    assert merged == dict(Params().with_changes(changes))


@given(st.sampled_from(list(PARAMETERS)), st.floats() | st.integers() | st.text() | st.booleans() | st.none())
def test_what_the_parameters_refuse_a_body_cannot_bring(name: str, value: Any) -> None:
    text = json.dumps({name: value})
    try:
        found = GROUPS["strategy"].parse(text)
    except ConfigError:
        return
    assert not isinstance(value, bool)
    assert math.isfinite(value)
    assert Params().with_changes(found)[name] == value


@pytest.mark.parametrize(
    ("group", "body", "words"),
    [
        ("risk", '{"order_notional_quote": 0}', "order_notional_quote"),
        ("risk", '{"order": 1.0}', "unknown key 'order'"),
        ("toxicity", '{"horizons_s": []}', "horizons_s"),
        ("toxicity", '{"horizons_s": [1.5]}', "horizons_s"),
        ("perf_profile", '{"io_flush_batch_bytes": 1}', "io_flush_batch_bytes"),
        ("strategy", '{"min_interval_ms": NaN}', "NaN is not a number"),
        ("strategy", "[]", "body"),
        ("strategy", "", "JSON"),
    ],
)
def test_bad_bodies_are_refused_by_name(group: str, body: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GROUPS[group].parse(body)


def test_values_must_fit_those_in_force() -> None:
    assert GROUPS["risk"].merged(RISK, {"order_notional_quote": 5000.0})["order_notional_quote"] == 5000.0
    with pytest.raises(ConfigError, match="order_notional_quote is above position_cap_notional_quote"):
        GROUPS["risk"].merged(RISK, {"position_cap_notional_quote": 400.0})


def test_horizons_are_put_in_order() -> None:
    toxicity = GROUPS["toxicity"].merged({"horizons_s": [1], "outlier_mads": 5.0}, {"horizons_s": [5, 1, 5]})
    assert toxicity["horizons_s"] == [1, 5]
