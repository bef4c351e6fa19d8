from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.baseline.presets import Presets, load_presets, min_lot_of
from engine.errors import ConfigError
from engine.instrument import Instrument
from engine.paths import CHECKOUT


def test_the_four_presets_and_thresholds_stand_in_order(presets: Presets) -> None:
    rungs = [(preset.title, preset.touch_dwell_ms, str(preset.min_lot_base)) for preset in presets.presets]
    assert rungs == [
        ("Baseline", 25, "0.001"),
        ("Attempt A", 35, "0.001"),
        ("Attempt B", 45, "0.005"),
        ("Attempt C", 45, "0.010"),
    ]
    bounds = [(threshold.metric, threshold.sign, threshold.limit) for threshold in presets.thresholds]
    assert bounds == [
        ("maker_taker_ratio", 1, 0.83),
        ("net_bps", 1, 2.5),
        ("p95_latency_ms", -1, 350.0),
        ("risk_ratio", -1, 0.40),
    ]


@pytest.mark.parametrize(
    ("base", "lot", "multiple", "note"),
    [
        ("0.001", "0.001", 1, ""),
        ("0.005", "0.001", 5, ""),
        ("0.001", "0.01", 1, "BTCUSDT: 0.001 is below the venue's minimum of 0.01; 1 x the minimum is used."),
        ("0.010", "0.004", 3, "BTCUSDT: 0.010 is 2.5 times the venue's minimum of 0.004; 3 x the minimum is used."),
        ("0.010", "0.0001", 20, "the most that min_lot allows being 20; 20 x the minimum is used."),
    ],
)
def test_base_units_become_multiples_of_the_venues_minimum(
    btc: Instrument, base: str, lot: str, multiple: int, note: str
) -> None:
    found, said = min_lot_of(Decimal(base), replace(btc, lot=Decimal(lot)), Decimal(60_000))
    assert found == multiple
    assert said.endswith(note) and bool(said) == bool(note)


def test_an_inverse_contract_is_worth_less_base_coin_the_higher_the_price(btc: Instrument) -> None:
    inverse = replace(btc, contract="inverse", lot=Decimal(1), contract_size=Decimal(1), min_qty_lots=10)
    assert min_lot_of(Decimal("0.001"), inverse, Decimal(50_000)) == (5, "")  # 50 USD, in steps of 10


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("presets", 1, "name"), "Baseline", "Baseline stands twice"),
        (("presets", 0, "touch_dwell_ms"), 101, "touch_dwell_ms"),
        (("presets", 0, "min_lot_base"), "0", "min_lot_base"),
        (("thresholds", 0, "at_most"), 0.5, "give at_least or at_most"),
        (("thresholds", 0, "at_least"), 0.0, "must be above 0"),
        (("thresholds", 0, "metric"), "fills", "metric"),
        (("recommendations", 0, "no_data"), True, "give miss_from_pct or no_data"),
        (("recommendations", 0, "miss_from_pct"), 5, "needs a recommendation from 0 %"),
        (("presets",), [], "presets"),
        (("extra",), 1, "unknown key 'extra'"),
    ],
)
def test_a_wrong_file_is_refused_as_a_whole(
    tmp_path: Path, path: tuple[str | int, ...], value: object, message: str
) -> None:
    config = json.loads((CHECKOUT / "config" / "presets.json").read_text())
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "presets.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=message):
        load_presets(tmp_path)
