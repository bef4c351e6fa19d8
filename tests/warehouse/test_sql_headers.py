"""Every .sql file says what it is, and the metrics contract names the files that there are."""

from __future__ import annotations

import re

import pytest

from engine.metrics import METRICS
from engine.metrics_doc import PATH, render
from engine.warehouse.build import _COMPUTED, _GIVEN, HEADER, SQL, build_order, queries


@pytest.mark.parametrize("table", sorted(queries()))
def test_header_is_whole_and_its_inputs_are_the_tables_that_are_read(table):
    query = queries()[table]
    wanted = [*HEADER]
    if table.startswith("check_"):
        wanted.insert(wanted.index("NULL"), "Severity")
        assert query.header["Severity"] in ("fail", "warn")
    assert list(query.header) == wanted
    assert all(query.header.values())
    statement = "\n".join(line.split("--")[0] for line in query.sql.splitlines())
    read = set(re.findall(r"\b(?:FROM|JOIN)\s+((?:raw|core|attr|kpi)_\w+)", statement))
    assert read == set(query.inputs)


def test_every_table_is_built_after_its_inputs():
    order = build_order()
    assert set(order) == set(queries()) | set(_COMPUTED)
    for table in order:
        inputs = _COMPUTED[table][0] if table in _COMPUTED else queries()[table].inputs
        for name in set(inputs) - set(_GIVEN):
            assert order.index(name) < order.index(table)


def test_every_metric_has_its_file_and_every_file_its_metric():
    files = {path.name for path in (SQL / "kpi").glob("*.sql")}
    assert files == {metric.sql for metric in METRICS.values()}
    for name, metric in METRICS.items():
        if name != "block_ratios":
            assert f"'{name}'" in (SQL / "kpi" / metric.sql).read_text()


def test_the_generated_contract_is_fresh():
    assert PATH.read_text(encoding="utf-8") == render(), "run python -m engine.metrics_doc"
