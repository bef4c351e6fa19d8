"""The decision's configuration files: what they may say, and how a wrong one is refused."""

from __future__ import annotations

import copy
import json
import math
import shutil
import subprocess
import sys

import pytest

from engine.errors import ConfigError
from engine.paths import CHECKOUT
from engine.tuning.bands import load_gates
from engine.tuning.rules import Trigger, load_packages, load_rules

GATES, MATRIX, PACKAGES = "gates.json", "driver_matrix_seed.json", "packages.json"
LOAD = {GATES: load_gates, MATRIX: lambda folder: load_rules(folder, "seed"), PACKAGES: load_packages}


def planted(value, path, new):
    """A copy of `value` with the entry at `path` replaced; `...` removes it."""
    value = copy.deepcopy(value)
    *parents, last = path
    place = value
    for part in parents:
        place = place[part]
    if new is ...:
        del place[last]
    else:
        place[last] = new
    return value


@pytest.mark.parametrize(
    ("file", "path", "new", "words"),
    [
        (GATES, ["net_bps", "fail"], 1.0, ["unknown key 'net_bps.fail'", "fail_below"]),
        (GATES, ["net_bps", "warn_below"], "2.8", ["net_bps.warn_below", "'2.8'"]),
        (GATES, ["net_bps", "warn_below"], math.nan, ["NaN is not a number"]),
        (GATES, ["net_bps", "warn_below"], 3.5, ["net_bps: ", "must rise"]),
        (GATES, ["net_bps", "ok_below"], ..., ["'net_bps.ok_below' is missing"]),
        (GATES, ["gates", 0, "criticality"], "urgent", ["gates.0.criticality", "'urgent'"]),
        (GATES, ["gates", 0, "metric"], "cancel_rate", ["gates.0.metric", "no metric 'cancel_rate'"]),
        (GATES, ["gates", 0, "metric"], "fills", ["gates.0", "no better direction"]),
        (GATES, ["gates", 0, "metric"], "net_bps", ["gates.0", "its own bands"]),
        (GATES, ["gates", 0, "metric"], "maker_share_pct", ["from worse to better"]),
        (GATES, ["gates", 0, "warn"], 0.7, ["gates.0", "from worse to better"]),
        (GATES, ["gates", 2, "ideal"], ..., ["gates.2", "give fail, warn or ideal"]),
        (GATES, ["gates", 3, "metric"], "adverse_bps_p95", ["adverse_bps_p95 has two gates"]),
        (GATES, ["actions", "WARN"], ..., ["'actions.WARN' is missing"]),
        (MATRIX, ["rows", 0, "trigger", "metric"], "slippage", ["rows.0.trigger.metric", "no metric 'slippage'"]),
        (MATRIX, ["rows", 2, "trigger", "metric"], "block_ratios.minint", ["no metric 'block_ratios.minint'"]),
        (MATRIX, ["rows", 0, "trigger", "comparison"], ">=", ["rows.0.trigger.comparison"]),
        (MATRIX, ["rows", 0, "trigger", "threshold"], 0.0, ["rows.0.trigger.threshold"]),
        (MATRIX, ["rows", 0, "trigger", "threshold"], True, ["rows.0.trigger.threshold", "True"]),
        (MATRIX, ["rows", 0, "moves", 0, "parameter"], "spread", ["rows.0.moves.0.parameter", "no parameter 'spread'"]),
        (MATRIX, ["rows", 0, "moves", 0, "at_twice"], -0.05, ["rows.0.moves.0", "one sign"]),
        (MATRIX, ["rows", 0, "moves", 0, "at_twice"], 0.01, ["rows.0.moves.0", "the larger size"]),
        (MATRIX, ["rows", 0, "moves", 0, "at_threshold"], 0, ["rows.0.moves.0", "one sign"]),
        (MATRIX, ["rows", 0, "moves", 1, "parameter"], "base_spread_bps_delta", ["moves a parameter twice"]),
        (MATRIX, ["rows", 0, "moves"], [], ["rows.0.moves"]),
        (MATRIX, ["rows", 0, "calming"], False, ["slippage says calming False, its moves say True"]),
        (MATRIX, ["rows", 5, "calming"], True, ["age_relief says calming True, its moves say False"]),
        (MATRIX, ["rows", 1, "name"], "slippage", ["row names must differ"]),
        (MATRIX, ["rows", 5, "when_healty"], True, ["'rows.5.when_healty'", "did you mean 'when_healthy'?"]),
        (MATRIX, ["max_changes_per_parameter"], 0, ["max_changes_per_parameter"]),
        (MATRIX, ["healthy_execution"], [], ["healthy_execution"]),
        (PACKAGES, ["fallback", "values", "impact_cap_ratio"], 0.2, ["0.04 to 0.12 share"]),
        (PACKAGES, ["fallback", "values", "min_interval_ms"], 100.5, ["min_interval_ms 100.5 is not among"]),
        (PACKAGES, ["fallback", "values", "min_lot"], 2, ["min_lot has no calm side"]),
        (PACKAGES, ["fallback", "values", "spread"], 2, ["no parameter 'spread'"]),
        (PACKAGES, ["targeted", 0, "drivers"], ["cancel_ratio"], ["cancel_ratio has two packages"]),
        (PACKAGES, ["targeted", 0, "changes"], {}, ["targeted.0.changes"]),
        (PACKAGES, ["targetted"], [], ["'targetted'", "did you mean 'targeted'?"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name_and_key(config, tmp_path, file, path, new, words) -> None:
    for name in LOAD:
        shutil.copy(config / name, tmp_path / name)
    value = json.loads((config / file).read_text(encoding="utf-8"))
    (tmp_path / file).write_text(json.dumps(planted(value, path, new)), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        LOAD[file](tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / file}: ")
    assert "\n" not in message
    assert error.value.remedy
    for word in words:
        assert word in message


def test_an_unknown_matrix_names_those_there_are(config) -> None:
    with pytest.raises(ConfigError, match=r"config: no driver matrix 'mine'; known ones: seed"):
        load_rules(config, "mine")


def test_the_seed_matrix_stays_available_by_name(config) -> None:
    assert load_rules(config).matrix.name == "default"
    assert load_rules(config, "seed").matrix.name == "seed"


@pytest.mark.parametrize(
    ("comparison", "value", "depth"),
    [
        (">", 4.0, None), (">", 3.0, None), (">", 5.0, 0.25), (">", 8.0, 1.0), (">", 80.0, 1.0),
        ("<", 4.0, None), ("<", 5.0, None), ("<", 3.0, 0.5), ("<", 2.0, 1.0), ("<", -9.0, 1.0),
    ],
)  # fmt: skip
def test_how_deep_a_trigger_is(comparison, value, depth) -> None:
    trigger = Trigger(metric="adverse_bps_p95", comparison=comparison, threshold=4.0)
    assert trigger.depth(value) == depth


def test_the_decision_needs_neither_warehouse_nor_prefect() -> None:
    modules = sorted(
        f"engine.tuning.{path.stem}" for path in (CHECKOUT / "engine" / "tuning").glob("*.py") if path.stem[0] != "_"
    )
    code = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'duckdb', 'prefect', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
