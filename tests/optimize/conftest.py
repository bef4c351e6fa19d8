"""Four short tapes, settings of small rounds, and tunes whose verdict is planted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.optimize.settings import OptimizeSettings
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.report.record import json_value
from engine.search.tune import TuneResult, run_tune
from engine.tuning.judge import judge_challenger, load_judge
from engine.tuning.pairing import window_series

FOUND = Params().with_changes({"base_spread_bps_delta": 0.2})
_ID = re.compile(r"\d{8}T\d{6}-SIMUSDT-(rollback-)?[0-9a-f]{4}")
_UTC = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+\+00:00")


@pytest.fixture(scope="session")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> list[Tape]:
    """Four minutes of four generated markets, 60 windows of 1 s each; not to be changed."""
    folder = tmp_path_factory.mktemp("rounds")
    market = read_settings(CHECKOUT / "config", "s1")
    return [generate_tape(folder / str(seed), market.with_run(seed=seed, duration_s=60)) for seed in (51, 52, 53, 54)]


@pytest.fixture(scope="session")
def asked_at(tapes: list[Tape]) -> Callable[..., OptimizeSettings]:
    """Settings of small rounds on two tapes each, with that state file, changed as told."""

    def settings(state_file: Path, **changes: object) -> OptimizeSettings:
        small = {
            "tapes": [str(tape.path) for tape in tapes],
            "tapes_per_round": 2,
            "trials": 4,
            "lanes": 2,
            "window_seconds": 1,
            "profile": "quick",
            "maker_profile": "S1",
            "state_file": str(state_file),
        }
        return OptimizeSettings.model_validate_json(json.dumps(small | changes))

    return settings


@pytest.fixture
def asked(asked_at: Callable[..., OptimizeSettings], tmp_path: Path) -> Callable[..., OptimizeSettings]:
    """The same with a state file of the test's own."""
    return lambda **changes: asked_at(**({"state_file": tmp_path / "state.json"} | changes))


@pytest.fixture(scope="session")
def tuned(
    asked_at: Callable[..., OptimizeSettings], tapes: list[Tape], tmp_path_factory: pytest.TempPathFactory
) -> TuneResult:
    """A real tune of the first two tapes."""
    home = tmp_path_factory.mktemp("tuned")
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    folders = (str(tapes[0].path), str(tapes[1].path))
    return run_tune(asked_at(home / "state.json").tuning(folders, 1), paths)


@pytest.fixture(scope="session")
def planted() -> Callable[..., TuneResult]:
    """A real tune with another outcome: the judge's on made-up windows in which the challenger earns `effect_bps` more.

    Only verdict, judgement and evidence are replaced, so that these tests do not rest on what a search of four trials
    finds in a minute of market.
    """

    def plant(result: TuneResult, effect_bps: float, *, windows: int = 96, sd_bps: float = 2.0) -> TuneResult:
        noise = np.random.default_rng(7).normal(0.0, sd_bps, (2, windows))
        notional = np.full(windows, 1e4)
        champion = window_series(range(windows), 1.0 + noise[0], notional)
        challenger = window_series(range(windows), 1.0 + effect_bps + noise[0] + 0.2 * noise[1], notional)
        judgement = judge_challenger(champion, challenger, load_judge(CHECKOUT / "config"))
        rows = [
            {
                "start_ns": i,
                "champion_pnl_quote": champion.pnl_quote[i],
                "champion_notional_quote": 1e4,
                "challenger_pnl_quote": challenger.pnl_quote[i],
                "challenger_notional_quote": 1e4,
            }
            for i in range(windows)
        ]
        changes = {
            "p_value": judgement.looks[-1].p_value if judgement.looks else None,
            "effect": asdict(judgement.effect) if judgement.effect else None,
            "windows_used": judgement.windows_used,
            "challenger": dict(FOUND),
            "fresh_windows": rows,
        }
        evidence = json_value({**result.evidence, **changes}, "evidence")
        document = {
            **result.document,
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "challenger": dict(FOUND),
            "judgement": json_value(judgement.to_json(), "judgement"),
            "evidence": evidence,
        }
        return replace(
            result,
            verdict=judgement.verdict,
            reason=judgement.reason,
            challenger=FOUND,
            evidence=evidence,
            document=document,
        )

    return plant


@pytest.fixture
def audit() -> Callable[[Path], list[dict[str, Any]]]:
    """The lines of the audit file beside a state file."""

    def lines(state_file: str | Path) -> list[dict[str, Any]]:
        text = Path(state_file).with_name("long_regression_audit.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    return lines


@pytest.fixture(scope="session")
def timeless() -> Callable[..., str]:
    """State and audit file without ids' stamps, times and digests over them."""

    def text(state_file: str | Path) -> str:
        state = json.loads(Path(state_file).read_text())["state"]
        lines = Path(state_file).with_name("long_regression_audit.jsonl").read_text()
        whole = json.dumps(state, indent=1, sort_keys=True) + "\n" + lines
        return _UTC.sub("UTC", _ID.sub("ID", whole))

    return text
