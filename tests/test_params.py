"""The table of tuned parameters, and overrides files: taken or refused as a whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import OverridesError
from engine.params import NAMES, PARAMETERS, Params, journalled, read_overrides

# unit, lowest, highest, initial: what the contract with users says
CONTRACT = {
    "min_interval_ms": ("ms", 50, 300, 70),
    "replace_rate_per_min": ("1/min", 120, 360, 280),
    "base_spread_bps_delta": ("relative", 0.0, 0.6, 0.10),
    "tail_age_ms": ("ms", 400, 1000, 650),
    "impact_cap_ratio": ("share", 0.04, 0.12, 0.09),
    "max_delta_ratio": ("share", 0.10, 0.20, 0.14),
    "touch_dwell_ms": ("ms", 0, 100, 25),
    "min_lot": ("x venue minimum", 1, 20, 1),
}
BASE = Params(min_interval_ms=100, base_spread_bps_delta=0.2)


@pytest.fixture
def overrides(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "BTCUSDT.json"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_the_table_is_the_contract() -> None:
    assert {p.name: (p.unit, p.low, p.high, p.initial) for p in PARAMETERS.values()} == CONTRACT
    assert dict(Params()) == {name: row[3] for name, row in CONTRACT.items()}
    assert PARAMETERS["base_spread_bps_delta"].max_step_up == 0.10
    assert all(p.max_step_up == math.inf for p in PARAMETERS.values() if p.name != "base_spread_bps_delta")


def test_calming_is_wider_slower_and_smaller() -> None:
    assert {name: p.calm for name, p in PARAMETERS.items() if p.calm} == {
        "base_spread_bps_delta": +1,
        "min_interval_ms": +1,
        "tail_age_ms": +1,
        "touch_dwell_ms": +1,
        "replace_rate_per_min": -1,
        "impact_cap_ratio": -1,
        "max_delta_ratio": -1,
    }


@given(name=st.sampled_from(NAMES), value=st.floats(-1e9, 1e9))
def test_clamp(name: str, value: float) -> None:
    """Within range, idempotent, and what it gives is accepted."""
    row = PARAMETERS[name]
    clamped = row.clamp(value)
    assert row.low <= clamped <= row.high
    assert row.clamp(clamped) == clamped
    assert isinstance(clamped, int) == row.integer
    assert Params().with_changes({name: clamped})[name] == clamped
    if row.low <= value <= row.high:
        assert abs(clamped - value) <= (0.5 if row.integer else 0.5e-6)


def test_params_are_a_frozen_mapping() -> None:
    assert tuple(Params()) == NAMES
    assert len(Params()) == len(NAMES)
    with pytest.raises(KeyError):
        Params()["with_changes"]
    with pytest.raises(AttributeError):
        Params().min_lot = 2  # type: ignore[misc]


def test_changes_make_a_new_set() -> None:
    changed = BASE.with_changes({"tail_age_ms": 700, "impact_cap_ratio": 0.05})
    assert dict(changed) == dict(BASE) | {"tail_age_ms": 700, "impact_cap_ratio": 0.05}
    assert BASE.tail_age_ms == 650
    assert BASE.with_changes({}) == BASE


def test_whole_numbers_may_be_written_as_floats() -> None:
    changed = BASE.with_changes({"min_lot": 3.0, "base_spread_bps_delta": 0})
    assert (changed.min_lot, changed.base_spread_bps_delta) == (3, 0.0)
    assert isinstance(changed.min_lot, int)
    assert isinstance(changed.base_spread_bps_delta, float)


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_of_a_range_belong_to_it(name: str) -> None:
    row = PARAMETERS[name]
    for value in (row.low, row.high):
        assert BASE.with_changes({name: value})[name] == value
    step = 1 if row.integer else 1e-9
    for value in (row.low - step, row.high + step):
        with pytest.raises(OverridesError, match=f"{name} .* is out of range; give {row.low} to {row.high}"):
            BASE.with_changes({name: value})


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("70", "must be a number"),
        (True, "must be a number"),
        (None, "must be a number"),
        ([70], "must be a number"),
        (math.nan, "out of range"),
        (math.inf, "out of range"),
        (70.5, "must be a whole number"),
    ],
)
def test_what_is_refused(value: Any, what: str) -> None:
    with pytest.raises(OverridesError, match=f"here: min_interval_ms .*{what}") as error:
        BASE.with_changes({"min_interval_ms": value}, where="here")
    assert error.value.exit_code == 2


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(OverridesError, match="unknown parameter 'spread'; known ones: min_interval_ms, "):
        BASE.with_changes({"spread": 1})


def test_a_file_changes_what_it_names(overrides: Any) -> None:
    path = overrides('{"min_interval_ms": 90, "base_spread_bps_delta": 0.3}')
    assert read_overrides(path, BASE) == BASE.with_changes({"min_interval_ms": 90, "base_spread_bps_delta": 0.3})
    assert read_overrides(overrides("{}"), BASE) == BASE
    assert read_overrides(overrides(json.dumps(dict(BASE))), Params()) == BASE


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"min_interval_ms": 90, "tail_age_ms": 5000}', "tail_age_ms 5000 is out of range"),
        ('{"min_interval_ms": 90, "colour": 1}', "unknown parameter 'colour'"),
        ('{"min_interval_ms": NaN}', "min_interval_ms nan is out of range"),
        ('{"min_interval_ms": 1e999}', "min_interval_ms inf is out of range"),
        ('{"min_interval_ms": 90, "min_interval_ms": 80}', "stands twice"),
        ('{"min_interval_ms": {"value": 90}}', "must be a number"),
        ('{"min_interval_ms": 90', "is not JSON"),
        ("", "is not JSON"),
        ("[70]", "is not a flat JSON object"),
        ("null", "is not a flat JSON object"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(overrides: Any, text: str, what: str) -> None:
    path = overrides(text)
    with pytest.raises(OverridesError, match=what) as error:
        read_overrides(path, BASE)
    assert str(path) in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"min_interval_ms": 90, "\xff": 1}', id="not UTF-8"),
        pytest.param(b'{"min_interval_ms": 1' + b"0" * 400 + b"}", id="more digits than a float holds"),
        pytest.param(b"[" * 100_000, id="nested deeper than the parser goes"),
    ],
)
def test_hostile_files_are_refused_too(overrides: Any, text: bytes) -> None:
    with pytest.raises(OverridesError):
        read_overrides(overrides(text), BASE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OverridesError, match="cannot be read: No such file") as error:
        read_overrides(tmp_path / "none.json", BASE)
    assert "none.json" in str(error.value)


def test_a_journalled_set_may_have_its_decimals_as_text() -> None:
    assert journalled({"base_spread_bps_delta": "0.25", "min_lot": 2}) == Params().with_changes(
        {"base_spread_bps_delta": 0.25, "min_lot": 2}
    )


@pytest.mark.parametrize("values", [{"min_lot": "two"}, {"other": "1"}, {"min_lot": "NaN"}, {"min_lot": None}])
def test_what_is_no_set_of_these_parameters_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OverridesError, match="journal"):
        journalled(values)
