"""What every flow shares, without a server: its function returns the state that Prefect is to give the run."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow

from engine.config import ConfigModel
from engine.errors import ConfigError, InputError
from engine.soak import SoakSettings
from flows.baseline import baseline
from flows.job import job
from flows.nightly import nightly_soak
from flows.optimize import optimize
from flows.report import report
from flows.soak import soak
from flows.tune import tune


class Settings(ConfigModel):
    hours: float = 1.0
    symbols: tuple[str, ...] = ()


DEFAULTS = Settings()


@job
def body(settings: Settings, more: Settings = DEFAULTS, word: str = "") -> tuple[Any, str]:
    return (settings, more, word), "GO"


def test_parameters_of_a_deployment_are_json_those_of_a_command_are_models() -> None:
    asked = Settings(hours=2.0, symbols=("A", "B"))
    for settings in (asked, {"hours": 2, "symbols": ["A", "B"]}):
        state = body(settings, word="x")  # type: ignore[arg-type]
        assert (state.name, state.message, state.data) == ("Completed", "GO", (asked, DEFAULTS, "x"))


@pytest.mark.parametrize(
    ("flow", "parameters", "message"),
    [
        (soak, {"settings": {"feed": "bybit", "tape": "x"}}, "parameter settings: a tape is replayed, a live feed is "),
        (nightly_soak, {"settings": {"hourz": 1}}, "parameter settings: unknown key 'hourz'; did you mean 'hours'?"),
        (tune, {"executor": {"workers": 0}}, "parameter executor: workers: "),
        (baseline, {"settings": {"iterations": "six"}}, "parameter settings: iterations: "),
        (optimize, {"settings": {"profile": 1}}, "parameter settings: profile: "),
    ],
    ids=lambda value: value.name if isinstance(value, Flow) else "",
)
def test_bad_input_is_our_one_line(flow: Flow[..., Any], parameters: dict[str, Any], message: str) -> None:
    state = flow.fn(**parameters)
    assert state.name == "Failed"
    assert state.message.startswith(message) and "\n" not in state.message
    assert isinstance(state.data, ConfigError)


@pytest.mark.parametrize("flow", [soak, nightly_soak, tune, baseline, optimize, report], ids=lambda flow: flow.name)
def test_prefect_does_not_refuse_them_first_in_words_of_its_own(flow: Flow[..., Any]) -> None:
    assert not flow.should_validate_parameters


def test_a_night_without_a_market_of_its_own_begins_with_the_day_s_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def soak_nothing(settings: SoakSettings, lock: object) -> None:
        asked.append(settings.seed)
        raise InputError("that is all")

    monkeypatch.setattr("flows.nightly.soak_through", soak_nothing)
    monkeypatch.setattr("flows.nightly.one_soak", nullcontext)  # it asks a server
    monkeypatch.setenv("NIGHTSOAK_HOME", str(tmp_path))
    days = [datetime.now(UTC)]
    assert nightly_soak.fn(settings={"hours": 1}).message == "that is all"
    days.append(datetime.now(UTC))
    assert asked[0] in [int(f"{day:%Y%m%d}") for day in days]
