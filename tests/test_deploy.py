"""deploy/: the files are what Prometheus and Grafana take, and name only metrics that the bot has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.live_metrics import LIVE_METRICS, PREFIX
from engine.paths import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
PROMETHEUS, GRAFANA = DEPLOY / "prometheus", DEPLOY / "grafana"
RULES = PROMETHEUS / "nightsoak-rules.yml"
ALERTS = GRAFANA / "provisioning" / "alerting" / "nightsoak.yml"
DASHBOARD = GRAFANA / "dashboards" / "nightsoak.json"
PROMTOOL = shutil.which("promtool")
_METRIC = re.compile(rf"\b{PREFIX}[a-z0-9_]+")
_SIMPLE = re.compile(r"(nightsoak_\w+) ([<>]) ([\d.]+)")
KNOWN = {PREFIX + name for name in LIVE_METRICS}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def prometheus_rules() -> list[dict[str, Any]]:
    return [rule for group in load(RULES)["groups"] for rule in group["rules"]]


def dashboard_panels() -> list[dict[str, Any]]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


@pytest.mark.parametrize(
    "path", sorted([*PROMETHEUS.glob("*.yml"), *GRAFANA.rglob("*.yml")]), ids=lambda path: path.name
)
def test_it_is_yaml_and_says_something(path: Path) -> None:
    assert isinstance(load(path), dict)


@pytest.mark.parametrize(
    "path", [RULES, PROMETHEUS / "nightsoak-rules-test.yml", ALERTS, DASHBOARD], ids=lambda path: path.name
)
def test_every_metric_it_names_is_one_of_the_bots(path: Path) -> None:
    named = set(_METRIC.findall(path.read_text(encoding="utf-8")))
    assert named and named - KNOWN == set()


def test_every_live_metric_is_on_the_dashboard() -> None:
    shown = {name for panel in dashboard_panels() for t in panel["targets"] for name in _METRIC.findall(t["expr"])}
    assert KNOWN - shown == set()


def test_rules_have_the_keys_that_are_needed_and_no_others() -> None:
    groups = load(RULES)["groups"]
    assert len({group["name"] for group in groups}) == len(groups)
    for rule in prometheus_rules():
        if "record" in rule:
            assert set(rule) <= {"record", "expr", "labels"}
        else:
            assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in ("page", "warn", "info")
            assert set(rule["annotations"]) == {"summary", "remedy"}
    names = [rule.get("alert") or rule["record"] for rule in prometheus_rules()]
    assert len(set(names)) == len(names)


def test_a_counter_is_only_used_as_a_rate() -> None:
    counters = {PREFIX + row.name for row in LIVE_METRICS.values() if row.kind == "counter"}
    exprs = [rule["expr"] for rule in prometheus_rules()]
    exprs += [target["expr"] for panel in dashboard_panels() for target in panel["targets"]]
    for expr in exprs:
        for name in counters & set(_METRIC.findall(expr)):
            assert re.search(rf"(rate|increase)\({name}\b", expr), expr


def test_grafana_alerts_repeat_the_simple_thresholds() -> None:
    """Keys as Grafana's provisioning loads them; the numbers are those of the Prometheus rules."""
    simple = {
        r["alert"]: _SIMPLE.fullmatch(r["expr"]).groups()
        for r in prometheus_rules()
        if "alert" in r and _SIMPLE.fullmatch(r["expr"])
    }
    waits = {rule["alert"]: rule["for"] for rule in prometheus_rules() if "alert" in rule}
    document = load(ALERTS)
    assert document["apiVersion"] == 1
    found = {}
    for group in document["groups"]:
        assert {"orgId", "name", "folder", "interval", "rules"} <= set(group)
        for rule in group["rules"]:
            query, threshold = rule["data"]
            assert (rule["condition"], threshold["datasourceUid"], threshold["model"]["expression"]) == (
                "C",
                "__expr__",
                "A",
            )
            evaluator = threshold["model"]["conditions"][0]["evaluator"]
            sign = {"gt": ">", "lt": "<"}[evaluator["type"]]
            found[rule["title"]] = (query["model"]["expr"], sign, str(evaluator["params"][0]))
            assert rule["for"] == waits[rule["title"]]
            assert rule["noDataState"] == "OK"
    assert found == simple
    uids = [rule["uid"] for group in document["groups"] for rule in group["rules"]]
    assert len(set(uids)) == len(uids) and all(len(uid) <= 40 for uid in uids)


def test_dashboard_and_alerts_use_the_provisioned_datasource() -> None:
    (source,) = load(GRAFANA / "provisioning" / "datasources" / "nightsoak.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard_panels()} == {source["uid"]}
    queries = [rule["data"][0] for group in load(ALERTS)["groups"] for rule in group["rules"]]
    assert {query["datasourceUid"] for query in queries} == {source["uid"]}
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
@pytest.mark.parametrize(
    "words",
    [
        ["check", "rules", "--lint=all", "--lint-fatal", "nightsoak-rules.yml"],
        ["test", "rules", "nightsoak-rules-test.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_promtool_is_content(words: list[str]) -> None:
    done = subprocess.run([str(PROMTOOL), *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
