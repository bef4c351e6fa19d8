"""docs/decision.md names what the configuration has, with the same numbers."""

from __future__ import annotations

import pytest

from engine.paths import CHECKOUT
from engine.tuning.rules import load_rules


@pytest.fixture(scope="module")
def page() -> str:
    return (CHECKOUT / "docs" / "decision.md").read_text(encoding="utf-8")


def table_row(page: str, first_cell: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| {first_cell} |"))


def test_every_gate_is_there_with_its_bounds(page, gates) -> None:
    bands = table_row(page, "net_bps")
    for bound in (gates.net_bps.fail_below, gates.net_bps.warn_below, gates.net_bps.ok_below):
        assert f"< {bound}" in bands
    for gate in gates.gates:
        row = table_row(page, gate.metric)
        sign = ">" if gate.better < 0 else "<"
        for bound in (gate.fail, gate.warn, gate.ideal):
            assert bound is None or any(
                f"{sign} {text} |" in row for text in (f"{bound:g}", f"{bound:.1f}", f"{bound:.2f}")
            )
        assert row.endswith("| NODATA |" if gate.criticality == "critical" else "| WARN at best |")


def test_every_rule_is_there_with_its_moves(page, config) -> None:
    rules = load_rules(config)
    matrix = page.partition("## Auto-tune: the matrix")[2]
    for row in rules.matrix.rows:
        line = table_row(matrix, row.name)
        assert row.trigger.metric.removeprefix("block_ratios.") in line
        assert f"{row.trigger.comparison} {row.trigger.threshold:g}" in line
        assert ("healthy" in line) == row.when_healthy
        for move in row.moves:
            assert f"{move.parameter} {move.at_threshold:+g}" in line
            assert move.at_twice == move.at_threshold or f" to {move.at_twice:+g}" in line
    for bound in rules.matrix.healthy_execution:
        assert f"{bound.metric} <= {bound.at_most:g}" in page


def test_every_package_is_there(page, packages) -> None:
    assert f"`{packages.fallback.name}`" in page
    for package in packages.targeted:
        assert f"`{package.name}`" in page
