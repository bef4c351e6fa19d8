"""Why two verdicts differ: the parts add up, and what differs is told apart from what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.explain import Side, explain, read_side
from engine.files import to_json, write_json
from engine.market.simulator import generate_tape, read_settings
from engine.metrics import COMPONENTS
from engine.paths import CHECKOUT, Paths
from engine.quality_suite import run_suite
from engine.report.explanation import short_text, tables
from engine.report.manifest import build_manifest
from engine.report.table import markdown_table
from engine.soak import SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import run_soak
from engine.soak_steps import report
from nightsoak.__main__ import main


@dataclass(frozen=True)
class Runs:
    """Four runs, three of which differ from the first in one thing each."""

    base: Path
    tuned: Path
    wider: Path
    market: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    run_suite({})  # Great Expectations once, and not in a process of its own for each run
    home = tmp_path_factory.mktemp("explain")
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    market = read_settings(CHECKOUT / "config", "s1")
    tapes = [generate_tape(home / str(seed), market.with_run(seed=seed, duration_s=80)).path for seed in (3, 4)]
    wide = home / "wide.json"
    write_json(wide, {"base_spread_bps_delta": 0.5, "min_interval_ms": 200})

    def run(**changes: Any) -> Path:
        settings = {"tape": str(tapes[0]), "iterations": 2, "window_seconds": 5} | changes
        plan = make_plan(SoakSettings.model_validate(settings), paths)
        run_soak(plan)
        return report(plan).folder

    return Runs(
        base=run(),
        tuned=run(auto_tune=True),
        wider=run(overrides=str(wide)),
        market=run(tape=str(tapes[1])),
    )


@pytest.fixture
def found(runs: Runs) -> Callable[[str, str], dict[str, Any]]:
    return lambda one, other: explain(read_side(getattr(runs, one)), read_side(getattr(runs, other)))


def causes(explanation: dict[str, Any]) -> dict[str, list[str]]:
    return {cause["cause"]: cause["what"] for cause in explanation["causes"]}


@pytest.mark.parametrize("other", ["tuned", "wider", "market"])
def test_the_components_differences_add_up_exactly(found: Callable[..., dict[str, Any]], other: str) -> None:
    net = found("base", other)["net_bps"]
    assert {row["name"] for row in net["components"]} == set(COMPONENTS)
    exact = sum(Fraction(row["run"]) - Fraction(row["other"]) for row in net["components"])
    assert net["difference"] == float(exact) != 0
    assert abs(net["residual"]) < 1e-9
    assert Fraction(net["run"]) - Fraction(net["other"]) == exact + Fraction(net["residual"]) or net["residual"]
    sizes = [abs(row["difference"]) for row in net["components"]]
    assert sizes == sorted(sizes, reverse=True)


def test_a_run_against_itself_differs_in_nothing(found: Callable[..., dict[str, Any]]) -> None:
    same = found("base", "base")
    assert (same["causes"], same["parameters"], same["inputs"], same["settings"]) == ([], [], [], [])
    assert same["net_bps"]["difference"] == 0
    assert not any(row["flipped"] for row in same["gates"])
    text = short_text(same)
    assert len(text) == 2
    assert text[1].endswith("were the same; so are the results.")


def test_other_starting_parameters_are_the_one_cause_and_named_from_the_start(
    found: Callable[..., dict[str, Any]],
) -> None:
    explanation = found("wider", "base")
    assert causes(explanation) == {"parameters": ["min_interval_ms", "base_spread_bps_delta"]}
    rows = {row["parameter"]: row for row in explanation["parameters"]}
    spread = rows["base_spread_bps_delta"]
    assert (spread["run"], spread["other"], spread["since_ns"], spread["source"]) == (0.5, 0.1, 0, "start")
    assert (spread["run_last"], spread["other_last"], spread["given"]) == (0.5, 0.1, True)
    (line,) = (line for line in short_text(explanation) if line.startswith("What the runs were given"))
    assert "the parameters given (min_interval_ms, base_spread_bps_delta) alone, so on this market the" in line


def test_what_the_rules_changed_is_a_consequence_with_its_time(found: Callable[..., dict[str, Any]]) -> None:
    explanation = found("tuned", "base")
    assert causes(explanation) == {"settings": ["auto_tune"]}
    assert explanation["parameters"], "the tuned run was to be tuned"
    for row in explanation["parameters"]:
        assert not row["given"]
        assert row["source"].startswith("decision after iteration ")
        assert row["since_ns"] % (40 * 10**9) == 0 < row["since_ns"]
    assert any(line.startswith("The decision rules then chose differently") for line in short_text(explanation))


def test_other_data_is_told_from_other_settings(found: Callable[..., dict[str, Any]]) -> None:
    explanation = found("market", "base")
    assert list(causes(explanation)) == ["data"]
    assert "digest" in causes(explanation)["data"]
    assert explanation["windows"] == []
    assert found("wider", "base")["windows"], "the same market is compared window by window"


@pytest.mark.parametrize("other", ["base", "tuned", "wider", "market"])
@pytest.mark.parametrize("one", ["base", "tuned", "wider", "market"])
def test_where_it_comes_from_and_whether_it_would_come_again_are_two_questions(
    found: Callable[..., dict[str, Any]], one: str, other: str
) -> None:
    """No sentence calls the same difference both chance and caused."""
    text = " ".join(short_text(found(one, other)))
    assert "chance" not in text and "cause" not in text
    alone = len(causes(found(one, other))) == 1
    assert ("the difference comes with the market" in text) == (alone and {one, other} == {"base", "market"})
    assert ("on this market the difference follows from that" in text) == (alone and "market" not in (one, other))


def test_a_change_that_changed_nothing_is_not_blamed(runs: Runs) -> None:
    base = read_side(runs.base)
    newer = replace(base, manifest=base.manifest | {"code_sha256": "00"})
    assert (
        short_text(explain(newer, base))[1]
        == "What the runs were given differs in the code (code); the results are the same."
    )


def test_what_was_changed_after_the_shorter_run_is_no_difference(runs: Runs) -> None:
    base = read_side(runs.base)
    late = base.record.plan["end_ns"] + 10**9
    row = {
        "effective_ts_ns": late,
        "source": "overrides file",
        "params": base.record.params_start | {"tail_age_ms": 900},
    }
    longer = changed(base, parameters=[*base.record.parameters, row], plan=base.record.plan | {"end_ns": late + 10**9})
    assert explain(longer, base)["parameters"] == []


def test_of_several_causes_none_is_blamed_and_a_third_run_is_named(found: Callable[..., dict[str, Any]]) -> None:
    explanation = found("market", "wider")
    assert set(causes(explanation)) == {"data", "parameters"}
    assert any("two runs cannot tell which of them did it" in line for line in short_text(explanation))
    words = explanation["next"]
    tape = explanation["data"][0]["run"]
    assert words[:1] == ["soak"]
    assert words[words.index("--tape") + 1] == tape
    assert "--overrides" in words


def changed(side: Side, **changes: Any) -> Side:
    """The side with fields of its record changed, and the manifest that goes with it."""
    record = replace(side.record, **changes)
    return Side(record, build_manifest(record, {}))


def test_another_profile_is_one_cause_and_not_two(runs: Runs) -> None:
    base = read_side(runs.base)
    plan = {**base.record.plan, "profile": "moderate"}
    moderate = changed(base, plan=plan, inputs=base.record.inputs | {"config/profile": "00"})
    assert causes(explain(moderate, base)) == {"settings": ["profile"]}
    assert "config/profile" in causes(explain(changed(moderate, plan=base.record.plan), base))["configuration"]


def test_other_code_and_configuration_are_named_and_verify_is_next(runs: Runs) -> None:
    base = read_side(runs.base)
    newer = changed(base, inputs=base.record.inputs | {"config/gates.json": "00"})
    newer = replace(newer, manifest=newer.manifest | {"code_sha256": "00"})
    explanation = explain(base, newer)
    assert causes(explanation)["configuration"] == ["config/gates.json"]
    assert "code_sha256" in causes(explanation)["code"]
    assert explanation["next"] == ["verify", base.record.run_id]


def test_a_flipped_gate_comes_first_with_its_distance(runs: Runs) -> None:
    base = read_side(runs.base)
    checks = [dict(check) for check in base.record.gate["checks"]]
    ratio = next(check for check in checks if check["metric"] == "cancel_ratio")
    ratio |= {"observed": 0.7, "limit": 0.65, "label": "FAIL", "reason": "0.7 is above the fail bound 0.65"}
    gate = {**base.record.gate, "verdict": "FAIL", "checks": checks}
    was = next(check for check in base.record.gate["checks"] if check["metric"] == "cancel_ratio")
    explanation = explain(changed(base, gate=gate), base)
    first = explanation["gates"][0]
    assert (first["metric"], first["flipped"], first["decides"]) == ("cancel_ratio", True, True)
    assert first["difference"] == pytest.approx(0.7 - was["observed"])
    assert [row["flipped"] for row in explanation["gates"][1:]] == [False] * (len(checks) - 1)
    assert short_text(explanation)[1].startswith(f"cancel_ratio is FAIL against {was['label']}: 0.70 against")


def test_an_operators_change_is_a_cause_and_has_its_time(runs: Runs) -> None:
    base = read_side(runs.base)
    start_ns = base.record.plan["start_ns"]
    row = {
        "effective_ts_ns": start_ns + 60 * 10**9,
        "source": "overrides file",
        "params": base.record.params_start | {"tail_age_ms": 900},
    }
    explanation = explain(changed(base, parameters=[*base.record.parameters, row]), base)
    (parameter,) = explanation["parameters"]
    assert (parameter["parameter"], parameter["since_ns"], parameter["given"]) == ("tail_age_ms", 60 * 10**9, True)
    assert causes(explanation) == {"parameters": ["tail_age_ms"]}


def test_a_side_without_fills_has_no_difference_to_split(runs: Runs) -> None:
    base = read_side(runs.base)
    empty = dict.fromkeys((*COMPONENTS, "net_bps"))
    edge = {**base.record.edge, "totals": base.record.edge["totals"] | empty}
    explanation = explain(base, changed(base, edge=edge))
    assert (explanation["net_bps"]["difference"], explanation["net_bps"]["residual"]) == (None, None)
    assert any("there is no difference to split" in line for line in short_text(explanation))
    json.loads(to_json(explanation))


@pytest.mark.parametrize("other", ["base", "tuned", "wider", "market"])
def test_tables_are_narrow_enough_for_a_terminal(found: Callable[..., dict[str, Any]], other: str) -> None:
    for title, table in tables(found("base", other)):
        for line in markdown_table(table).splitlines():
            assert len(line) <= 80, title
            assert "…" not in line, title


def test_the_command_prints_text_tables_and_json(
    runs: Runs, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["explain", str(runs.wider), str(runs.base)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("1. ")
    assert "Where net_bps differs, bps" in out
    assert err.splitlines()[-1].startswith("hint: nightsoak ")
    assert main(["explain", str(runs.wider), str(runs.base), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == explain(read_side(runs.wider), read_side(runs.base))
    assert main(["explain", str(runs.wider), str(tmp_path)]) == 2
    with pytest.raises(InputError, match="cannot be read"):
        read_side(tmp_path)
