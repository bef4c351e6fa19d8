"""A bot for a plan: opens the tape, the profile and the journal, and puts them together for a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.bot.feed import ReplayMarket
from engine.bot.journal import JournalTail, JournalWriter, read_tail
from engine.bot.loop import Bot, Ear
from engine.bot.protocol import Message
from engine.bot.records import RecordFormatter, decimal_text
from engine.errors import JournalError
from engine.market.tape import Tape
from engine.params import Params
from engine.profile import Profile, load_profile
from engine.soak import RunPlan

BOT = "nightsoak/0.1.0"


def open_bot(plan: RunPlan, ear: Ear, say: Callable[[Message], None], *, resume: bool = False) -> Bot:
    """The bot of `plan`, ready to run.

    Raises:
        JournalError: the run has a journal already (or, to resume, has none, or is over).
        TapeError, ConfigError: the tape or the profile is not there, or not what it must be.
        StorageError: the journal cannot be written.
    """
    tail = read_tail(plan.paths.journals, plan.run_id) if resume else None
    if tail is not None and tail.ended:
        raise JournalError(f"run {plan.run_id} is over", where=str(plan.paths.journals), remedy="start a new soak")
    tape = Tape.open(plan.tape)
    profile = load_profile(plan.paths.config, plan.profile)
    instrument = tape.meta.instrument()
    config = profile.kernel_config(instrument, tape.reference_mid2())
    params = plan.params if tail is None else Params().with_changes(tail.params)
    lanes = [dict(params), *(lane["params"] for lane in plan.lanes[1:])]
    flat = dict.fromkeys(range(len(lanes)), plan.position_start_lots)
    positions = {**flat, **(tail.positions_lots if tail else {})}
    start_ns = plan.schedule.start_ns if tail is None else int(tail.last["ts_ns"])
    return Bot(
        run_start=_run_start(plan, profile, tape, config.cap_lots),
        schedule=plan.schedule,
        params=params,
        overrides_file=plan.overrides_file,
        market=ReplayMarket(tape, config, lanes, start_ns, [positions[lane] for lane in range(len(lanes))]),
        formatter=RecordFormatter(instrument, profile.maker_fee_rate, dict(tail.last_order_ids) if tail else None),
        journal=_journal(plan, tail),
        ear=ear,
        say=say,
        tail=tail,
    )


def _journal(plan: RunPlan, tail: JournalTail | None) -> JournalWriter:
    number, seq = (0, 0) if tail is None else (tail.file_number + 1, tail.next_seq)
    return JournalWriter(plan.paths.journals, plan.run_id, plan.symbol, start_file=number, start_seq=seq)


def _run_start(plan: RunPlan, profile: Profile, tape: Tape, cap_lots: int) -> dict[str, Any]:
    instrument = tape.meta.instrument()
    return {
        "bot": BOT,
        "mode": "replay",
        "profile": plan.profile,
        "lanes": plan.lanes,
        "instrument": {
            **instrument.journal(),
            "maker_fee_bps": str(profile.maker_fee_bps),
            "taker_fee_bps": str(profile.taker_fee_bps),
        },
        "position_start": decimal_text(instrument.qty(plan.position_start_lots)),
        "position_cap_qty": decimal_text(instrument.qty(cap_lots)),
        "window_seconds": plan.schedule.window_seconds,
        "latency_modelled": plan.latency_modelled,
        "git": plan.git,
    }
