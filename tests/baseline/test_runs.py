"""A ladder over real runs of the bot, through journal, warehouse and report: the flow's steps, without its server."""

from __future__ import annotations

import json

import pytest

from engine.baseline.ladder import BaselineSettings, make_ladder
from engine.paths import Paths
from tasks.baseline_attempt import run_attempt
from tasks.baseline_judge import judge_attempt
from tasks.baseline_report import write_baseline


@pytest.mark.slow
@pytest.mark.usefixtures("expectations_here")
def test_the_ladder_climbs_to_the_first_go(paths: Paths) -> None:
    """On this market the longer dwell earns a little more, 1.38 bps, then 1.43: the bound is put between them."""
    settings = BaselineSettings(symbols=("ETHUSDT",), profile="S1", mock=True, seed=1)
    ladder = make_ladder(settings, paths)
    net, bound = ladder.presets.thresholds[1], {"at_least": 1.41}
    thresholds = tuple(t.model_copy(update=bound) if t is net else t for t in ladder.presets.thresholds)
    object.__setattr__(ladder, "presets", ladder.presets.model_copy(update={"thresholds": thresholds}))

    attempts = []
    for preset in (ladder.presets.presets[0], ladder.presets.presets[2]):
        runs = [run_attempt.fn(ladder, preset, market) for market in ladder.markets]
        attempts.append(judge_attempt.fn(ladder, preset, runs))
    made = write_baseline.fn(ladder, attempts)

    assert made.decision == "GO"
    assert not (paths.reports / "latest").exists()  # it leads to soaks, and neither ladder nor attempt is one
    listed = (paths.reports / "index.md").read_text(encoding="utf-8")
    assert ("[ladder][" in listed, listed.count("[attempt][")) == (True, 2)
    text = (made.folder / "STEP1_BASELINE_SUMMARY.md").read_text(encoding="utf-8")
    assert "### **GO**" in text and str(paths.datasets) not in text
    record = json.loads((made.folder / "BASELINE.json").read_text())
    assert [(attempt["title"], attempt["decision"]) for attempt in record["attempts"]] == [
        ("Baseline", "NO-GO"),
        ("Attempt B", "GO"),
    ]
    run_ids = set()
    for attempt in record["attempts"]:
        (one,) = attempt["symbols"]
        run_ids.add(one["run_id"])
        edge = json.loads((made.folder / one["report"]).with_name("EDGE_REPORT.json").read_text())
        assert attempt["kpis"]["net_bps"] == pytest.approx(edge["totals"]["net_bps"], rel=1e-12)
        assert attempt["kpis"]["risk_ratio"] == edge["totals"]["risk_ratio"]
        assert len(one["windows"]) == 6 and one["fills"] == edge["totals"]["fills"] > 100
    assert len(run_ids) == 2
