"""TUNE_RESULTS.md: verdict, cause and next step first, no rows without data, no name cut."""

from __future__ import annotations

from typing import Any

import pytest

from engine.params import PARAMETERS, Params
from engine.report.tune_artefacts import DOCUMENT, render_tune

TERM = {"unit": "bps", "weight": 0.1}


@pytest.fixture
def held() -> dict[str, Any]:
    """TUNE.json of a tune whose candidate did not pass the screen."""
    params = dict(Params())
    candidate = {"trial": 7, "of": [], "params": params, "posterior_bps": 0.5, "in_sample_bps": 1.0}
    return {
        "id": "20261120T030000-BTCUSDT-1f2e",
        "symbol": "BTCUSDT",
        "verdict": "HOLD",
        "reason": "the best candidate did not pass the screen",
        "promotion": "",
        "settings": {"seed": 0, "window_seconds": 300},
        "command": ["tune", "--tape", "/home/op/night/seed101"],
        "maker_profile": "S1",
        "effort": {"lanes": 8},
        "champion": {"params": params, "source": "baseline"},
        "challenger": params | {"min_lot": 4},
        "candidate": candidate | {"walk_forward_bps": 0.25, "shrunk_bps": 0.25},
        "objective": {"ev_net_bps": 1.0, "windows": 72, "value_bps": 0.9, "notional_share": 0.9}
        | {
            "terms": {
                "instability": TERM | {"excess": 1.0, "penalty_bps": 0.1},
                "latency": TERM | {"excess": 0.0, "penalty_bps": 0.0},
                "decision_compute": TERM | {"excess": None, "penalty_bps": 0.0},
            }
        },
        "space": [{"name": name, "low": row.low, "high": row.high} for name, row in PARAMETERS.items()],
        "trials": {"asked": 24, "searched": 24, "made": 25, "failed": 0, "stopped": 0, "cut_short": ""},
        "best": [],
        "walk_forward": None,
        "overfitting": None,
        "screen": {"windows": 48, "passed": False, "reason": "p 0.2 against 0.1"},
        "judgement": None,
        "windows_missing": 0,
        "error_rates": "The test's error rates were not measured here.",
        "kpis": None,
        "tapes": [
            {"name": "/home/op/night/seed101", "part": "selection", "events": 10, "windows": 72, "digest": "d" * 64}
            | {"generated": True}
        ],
        "windows": {"selection": 72, "fresh": 72},
        "evidence": {"p_value": None, "window_seconds": 300},
        "notes": [],
    }


def test_a_held_tune_says_what_why_and_what_next_before_any_table(held: dict[str, Any]) -> None:
    files = render_tune(held)
    text = files[DOCUMENT].decode()
    head = text.split("## ")[0]
    assert text.startswith("# Tuning results 2026-11-20 BTCUSDT: HOLD\n")
    assert "- **Why:** The best candidate did not pass the screen." in head
    assert "- **Next:** go on with the champion." in head
    assert "nightsoak soak --hours 3 --auto-tune" in head
    gains = text.split("## What the candidate gained")[1].split("Screen")[0]
    assert "fresh" not in gains and "no data" not in gains
    assert "it was not taken" in text
    assert files["summary.txt"].decode().splitlines()[0] == "HOLD · tune · BTCUSDT · 2026-11-20 · generated market"


def test_names_stand_whole_and_tapes_show_the_end_in_which_they_differ(held: dict[str, Any]) -> None:
    text = render_tune(held)[DOCUMENT].decode()
    for name in PARAMETERS:
        assert f"| {name} " in text
    assert "| …/night/seed101 |" in text
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 80


def test_a_penalty_is_a_row_where_it_takes_something_and_a_word_where_not(held: dict[str, Any]) -> None:
    text = render_tune(held)[DOCUMENT].decode().replace("\n", " ")
    assert "| instability |" in text and "| latency " not in text
    assert "Nothing is taken off for latency. Not measured: decision_compute." in text


def test_a_gain_beside_a_lower_net_bps_is_explained(held: dict[str, Any]) -> None:
    kpis = {"champion": {"net_bps": 2.4}, "challenger": {"net_bps": 2.2}}
    judged = {"effect": {"mean_bps": 0.3, "low_bps": 0.1, "high_bps": 0.5, "windows": 72}, "to_next_look": 0}
    judged |= {"warnings": [], "looks": [], "windows_usable": 72, "windows_used": 72}
    promoted = held | {"verdict": "PROMOTE", "judgement": judged, "kpis": kpis}
    words = "The gain is PnL over the champion's notional for both"
    assert words in render_tune(promoted)[DOCUMENT].decode()
    kpis["challenger"]["net_bps"] = 2.6
    assert words not in render_tune(promoted)[DOCUMENT].decode()
