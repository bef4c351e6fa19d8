"""Several runs side by side: real bots, one of which cannot be kept alive."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.bot.protocol import Message
from engine.bot.supervision import FILE
from engine.errors import BotDiedError, InputError
from engine.files import write_json
from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.soak import RunPlan, SoakSettings
from engine.soak_market import LEAD_MORE_NS, live_schedule
from engine.soak_plan import check_inputs, make_plan
from engine.soak_state import RunState
from tasks.listening import listening
from tasks.run_bot import running_bots
from tasks.write_report import Soaked, write_reports

PlanIn = Callable[[str], RunPlan]


@pytest.fixture
def plan_in(tmp_path: Path, short_tape: Tape) -> PlanIn:
    """A plan in a home of its own, since an account has one bot, with supervision that starts nothing again."""

    def plan(name: str) -> RunPlan:
        home = tmp_path / name
        shutil.copytree(CHECKOUT / "config", home / "config")
        write_json(home / "config" / FILE, {"restarts": 0})
        paths = Paths(config=home / "config", datasets=home / "datasets", reports=home / "reports")
        settings = SoakSettings(tape=str(short_tape.path), iterations=2, window_seconds=10)
        made = make_plan(settings, paths)
        value = json.loads(made.file.read_text()) | {"symbol": name}
        write_json(made.file, value)
        return RunPlan.read(made.file)

    return plan


def test_a_run_whose_bot_is_gone_is_over_and_the_others_go_on(plan_in: PlanIn) -> None:
    plans = [plan_in("AUSDT"), plan_in("BUSDT")]
    heard: list[Message] = []
    with listening(heard.append), running_bots(plans) as bots:
        bots.reach_edge(0)
        assert [bot.plan for bot in bots.at_work] == plans and bots.failed == {}
        doomed, whole = bots.at_work
        os.kill(doomed.process.pid, signal.SIGKILL)
        whole.go_on(1)
        bots.reach_edge(1)
    assert bots.at_work == [whole]
    assert list(bots.failed) == ["AUSDT"] and isinstance(bots.failed["AUSDT"], BotDiedError)
    assert RunState.read(plans[1]).ended == "complete"
    assert {message["symbol"] for message in heard if message["event"] == "progress"} == {"AUSDT", "BUSDT"}
    (failed,) = (message for message in heard if message["event"] == "failed")
    assert failed["symbol"] == "AUSDT" and "killed by signal 9" in failed["reason"]

    soaked: Soaked = write_reports.fn([plans[1]], bots.failed)
    (report,) = soaked.reports
    assert (report.folder.parent.parent / "latest").resolve() == report.folder
    with pytest.raises(BotDiedError, match="AUSDT: ended without a word") as raised:
        soaked.all_or_raise()
    assert raised.value.remedy.endswith(f"of the others: nightsoak report {report.run_id}")


def test_without_any_bot_left_it_is_the_first_ones_error(plan_in: PlanIn) -> None:
    with running_bots([plan_in("AUSDT"), plan_in("BUSDT")]) as bots:
        bots.reach_edge(0)
        for bot in bots.at_work:
            os.kill(bot.process.pid, signal.SIGKILL)
        first = bots.at_work[0].process.pid
        with pytest.raises(BotDiedError, match=f"bot {first}: ended without a word"):
            bots.reach_edge(1)


def test_a_live_soak_has_a_run_for_each_symbol_and_one_schedule(paths: Paths) -> None:
    asked = {"feed": "bybit", "symbols": ("BTCUSDT", "ETHUSDT"), "hours": 1.0}
    settings = SoakSettings.model_validate(asked)
    assert [one.symbols for one in settings.one_each()] == [("BTCUSDT",), ("ETHUSDT",)]
    assert {one.hours for one in settings.one_each()} == {1.0}
    check_inputs(settings, paths)
    one, three = live_schedule(settings), live_schedule(settings, 3)
    assert (three.start_ns - one.start_ns) / LEAD_MORE_NS == pytest.approx(2, abs=0.5)
    assert one.end_ns - one.start_ns == three.end_ns - three.start_ns
    paths.overrides("ETHUSDT").parent.mkdir(parents=True)
    paths.overrides("ETHUSDT").write_text("{")
    with pytest.raises(InputError, match=r"ETHUSDT\.json: is not JSON"):
        check_inputs(settings, paths)
    with pytest.raises(ValueError, match="a symbol is given twice"):
        SoakSettings.model_validate(asked | {"symbols": ("BTCUSDT", "BTCUSDT")})
