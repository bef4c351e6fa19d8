"""A bot for a plan: opens the tape or the feed, the profile and the journal, and puts them together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.bot.feed import ReplayMarket
from engine.bot.journal import JournalTail, JournalWriter, read_tail
from engine.bot.loop import Bot, Ear, Market
from engine.bot.protocol import Message
from engine.bot.records import RecordFormatter, decimal_text
from engine.errors import JournalError
from engine.instrument import Instrument
from engine.maker.state import Config
from engine.market.book_scan import first_mid2
from engine.market.tape import Tape
from engine.market.tape_meta import ENDPOINT
from engine.params import Params
from engine.profile import Profile, load_profile
from engine.soak import RunPlan

BOT = "nightsoak/0.1.0"
SCRIPT = "control_script.jsonl"
"""In the run's folder: what was done to a run that is done again, at its times (engine.control.script)."""
_OF_ONE_TAPE = ("seed", "duration_s", "start_ns")
"""Settings of a generated market that make another stretch of it, not another market."""


@contextmanager
def opened_bot(plan: RunPlan, ear: Ear, say: Callable[[Message], None], *, resume: bool = False) -> Iterator[Bot]:
    """The bot of `plan`, ready to run, on its tape or on its live feed; the feed is left, and its tape sealed, after.

    Raises:
        JournalError: the run has a journal already (or, to resume, has none, or is over).
        TapeError, ConfigError: the tape or the profile is not there, or not what it must be.
        FeedError: no book came from the feed in time.
        StorageError: the journal or the tape cannot be written.
    """
    if not plan.live:
        yield open_bot(plan, ear, say, resume=resume)
        return
    from engine.bot.live import LiveMarket, live_source  # the network is not for replays
    from engine.soak_market import tapes_of

    tail = _tail(plan, resume)
    resume_ns = None if tail is None else tail.resume_ns
    with live_source(plan, ear.stop_wanted, resume_ns=resume_ns) as source:

        def market(start: Start) -> LiveMarket:
            return LiveMarket(source, start.config, start.lanes, start.now_ns, start.positions_lots)

        tape, first = source.tape(), tapes_of(plan)
        # the first book of the run, not of the part that a resumed run goes on with
        reference_mid2 = first[0].reference_mid2() if first else first_mid2(tape.columns)
        yield _bot(plan, ear, say, tail, tape.instrument, reference_mid2, market)


def open_bot(plan: RunPlan, ear: Ear, say: Callable[[Message], None], *, resume: bool = False) -> Bot:
    """The bot of a plan whose market is a tape; raises as `opened_bot`."""
    tail, tape = _tail(plan, resume), Tape.open(plan.tape)

    def market(start: Start) -> ReplayMarket:
        return ReplayMarket(tape, start.config, start.lanes, start.now_ns, start.positions_lots)

    return _bot(plan, ear, say, tail, tape.meta.instrument(), tape.reference_mid2(), market)


@dataclass(frozen=True)
class Start:
    """What a market begins with: at the run's start, or where a resumed one goes on."""

    config: Config
    lanes: list[Mapping[str, float]]
    now_ns: int
    positions_lots: list[int]


def _tail(plan: RunPlan, resume: bool) -> JournalTail | None:
    tail = read_tail(plan.paths.journals, plan.run_id) if resume else None
    if tail is not None and tail.ended:
        raise JournalError(f"run {plan.run_id} is over", where=str(plan.paths.journals), remedy="start a new soak")
    return tail


def _bot(
    plan: RunPlan,
    ear: Ear,
    say: Callable[[Message], None],
    tail: JournalTail | None,
    instrument: Instrument,
    reference_mid2: int,
    market: Callable[[Start], Market],
) -> Bot:
    profile = load_profile(plan.paths.config, plan.profile)
    config = profile.kernel_config(instrument, reference_mid2)
    params = plan.params if tail is None else Params().with_changes(tail.params)
    lanes: list[Mapping[str, float]] = [dict(params), *(lane["params"] for lane in plan.lanes[1:])]
    flat = dict.fromkeys(range(len(lanes)), plan.position_start_lots)
    positions = {**flat, **(tail.positions_lots if tail else {})}
    now_ns = plan.schedule.start_ns if tail is None else tail.resume_ns
    journal = _journal(plan, tail)
    return Bot(
        run_start=_run_start(plan, profile, instrument, config.cap_lots),
        schedule=plan.schedule,
        params=params,
        overrides_file=plan.overrides_file,
        market=market(Start(config, lanes, now_ns, [positions[lane] for lane in range(len(lanes))])),
        formatter=RecordFormatter(
            instrument, profile.maker_fee_rate, dict(tail.last_order_ids) if tail else None, profile.taker_fee_rate
        ),
        journal=journal,
        ear=ear,
        say=say,
        reference_mid2=reference_mid2,
        tail=tail,
        scripted=(plan.folder / SCRIPT).exists(),
    )


def _journal(plan: RunPlan, tail: JournalTail | None) -> JournalWriter:
    number, seq = (0, 0) if tail is None else (tail.file_number + 1, tail.next_seq)
    return JournalWriter(plan.paths.journals, plan.run_id, plan.symbol, start_file=number, start_seq=seq)


def _run_start(plan: RunPlan, profile: Profile, instrument: Instrument, cap_lots: int) -> dict[str, Any]:
    return {
        "bot": BOT,
        "mode": "shadow" if plan.settings.live else "replay",
        "profile": plan.profile,
        **_market(plan),
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


def _market(plan: RunPlan) -> dict[str, str]:
    """What market it is: evidence of a venue's own is none of a generated one, nor of somebody's own server."""
    facts = plan.tape_facts
    found = {"market": "recorded"}
    if facts.get("generated") is not None:
        settings = {name: value for name, value in facts["generated"].items() if name not in _OF_ONE_TAPE}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
        found = {"market": "generated", "generator": digest}
    elif plan.settings.endpoint or f"-{ENDPOINT}" in (facts.get("source") or {}).get("format", ""):
        found = {"market": "endpoint"}
    return found | ({} if plan.live else {"tape_digest": facts["digest"]})
