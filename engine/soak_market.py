"""Where a run's market comes from: a tape, the generated one where none is named, or a live feed that is recorded.

A live run has no tape until it is over: `recorded` then completes its plan, and whatever is made of the run (report,
replays, verification) takes the recorded tape as if it had been given.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import InputError, TapeError
from engine.files import write_json
from engine.instrument import Instrument
from engine.market.simulator import SimulatorSettings, generate_tape, read_settings
from engine.market.tape import Tape
from engine.market.tape_meta import META_FILE
from engine.paths import Paths
from engine.soak import NS_PER_S, RunPlan, Schedule, SoakSettings, cut_span

MARKET = "s1"
LEAD_NS = 8 * NS_PER_S
"""From the planning of a live run to its first second: the bot starts, connects and gets its first book."""
LEAD_MORE_NS = 4 * NS_PER_S
"""More of it for every further run beside it: planning one takes a second, starting its bot two of a core."""
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class RunMarket:
    """`tape` is None where the run records it; `inputs` are {name: sha256} of what decides the result."""

    symbol: str
    tape: Path | None
    facts: dict[str, Any]
    schedule: Schedule
    inputs: dict[str, str]
    latency_modelled: bool
    notes: tuple[str, ...]


def default_tape(settings: SoakSettings, paths: Paths) -> tuple[Path, SimulatorSettings]:
    """Where the generated tape of these settings belongs, and the market it is made of."""
    market = read_settings(paths.config, MARKET)
    market = market.with_run(seed=settings.seed, duration_s=round(settings.hours * _SECONDS_PER_HOUR))
    return paths.tapes / market.tape_name, market


def check_market(settings: SoakSettings, paths: Paths) -> str:
    """The symbol of the market; nothing is written, and nobody is asked.

    Raises:
        InputError: the tape is damaged, too short or of another symbol, or no symbol is named for a feed; or the hours
            are too few for the iterations.
    """
    if settings.live or not settings.tape:
        _asked(settings, 0)
    if settings.live:
        return _one_symbol(settings)
    if settings.tape:
        tape = Tape.open(Path(settings.tape))
        symbol = tape.meta.symbol
        _schedule(tape, settings)
    else:
        symbol = default_tape(settings, paths)[1].symbol
    _check_symbol(settings, symbol)
    return symbol


def find_market(
    settings: SoakSettings,
    paths: Paths,
    progress: Callable[[float], None] | None = None,
    schedule: Schedule | None = None,
) -> RunMarket:
    """The market of a run, ready: the default tape is generated on first use, a venue is asked for the symbol's grid.

    Args:
        schedule: that of a run that is done again, or of several that begin together; by default it follows from tape
            and settings, or from the clock.

    Raises:
        InputError: as `check_market`; also a damaged tape, or a symbol that the venue does not list.
        FeedError: the venue does not answer.
    """
    return _live(settings, schedule) if settings.live else _replayed(settings, paths, progress, schedule)


def live_schedule(settings: SoakSettings, runs: int = 1) -> Schedule:
    """The hours asked for, from some seconds after now: the same for all `runs` that begin together.

    Raises:
        InputError: the hours are too few for the iterations.
    """
    lead_ns = LEAD_NS + (runs - 1) * LEAD_MORE_NS
    return _asked(settings, -(-(time.time_ns() + lead_ns) // NS_PER_S) * NS_PER_S)


def recorded(plan: RunPlan) -> RunPlan:
    """The plan of a live run that is over, with what its tape is; written to the run's folder.

    Raises:
        TapeError: nothing was recorded, or the tape is damaged.
    """
    if not plan.live or "digest" in plan.tape_facts:
        return plan
    from engine.live.growing import recover_all
    from engine.live.recorder import RECORDING

    recover_all(plan.tape.parent / RECORDING, plan.tape.parent)  # of a bot that was killed and not started again
    tapes = tapes_of(plan)
    if not tapes:
        raise TapeError("nothing was recorded", where=str(plan.tape), remedy="see that the feed is there, run again")
    facts = tape_facts(tapes[0], name=tapes[0].path.name, is_default=False)
    spans = [tape.meta.last_local_ts_ns - tape.meta.first_local_ts_ns for tape in tapes]
    covered = sum(tape.meta.coverage_pct * span for tape, span in zip(tapes, spans, strict=True))
    facts["coverage_pct"] = covered / sum(spans) if sum(spans) else facts["coverage_pct"]
    inputs = plan.inputs | _tape_inputs(tapes[0])
    for number, tape in enumerate(tapes[1:], 1):
        more = tape_facts(tape, name=tape.path.name, is_default=False)
        for name in ("count", "depth_count", "trade_count", "message_count", "crossed_message_ends", "gaps"):
            facts[name] += more[name]
        inputs |= {name.replace("tape/", f"tape.{number}/"): digest for name, digest in _tape_inputs(tape).items()}
    notes = (*plan.notes, *(note for tape in tapes for note in _gap_notes(tape)))
    plan = replace(plan, tape_facts=facts, inputs=inputs, notes=notes)
    write_json(plan.file, plan.to_json())
    return plan


def tapes_of(plan: RunPlan) -> list[Tape]:
    """The tapes of a run in order of time: one, and of a live run that was resumed another for each time."""
    if not plan.live:
        return [Tape.open(plan.tape)]
    found = [plan.tape, *plan.tape.parent.glob(f"{glob.escape(plan.tape.name)}.*")]
    tapes = [Tape.open(path) for path in found if (path / META_FILE).is_file()]
    return sorted(tapes, key=lambda tape: tape.meta.first_local_ts_ns)


def tape_facts(tape: Tape, *, name: str, is_default: bool) -> dict[str, Any]:
    """What the report says of the tape; no path of this machine but the one the user gave."""
    meta = tape.meta
    return {
        "name": name,
        "default": is_default,
        "venue": meta.venue,
        "contract": meta.contract,
        "quote_currency": meta.quote_currency,
        "generated": meta.generated,
        "source": None if meta.source is None else meta.source.model_dump(mode="json"),
        "clock_shift_ns": meta.clock_shift_ns,
        "order": meta.order,
        "count": meta.count,
        "depth_count": meta.depth_count,
        "trade_count": meta.trade_count,
        "message_count": meta.message_count,
        "coverage_pct": meta.coverage_pct,
        "crossed_message_ends": meta.crossed_message_ends,
        "gaps": [{"ts_ns": gap.local_ts_ns, "reason": gap.reason} for gap in meta.gaps],
        "digest": meta.digest,
    }


# --- live ------------------------------------------------------------------------------------------------------------


def live_instrument(settings: SoakSettings) -> Instrument:
    """The grid of the live symbol.

    Raises:
        ConfigError: the venue does not list it.
        FeedError: the venue does not answer.
    """
    from engine.live.lookup import find_instruments
    from engine.live.venues import read_venues

    return find_instruments(settings.feed, [_one_symbol(settings)], settings.endpoint, read_venues())[0]


def _live(settings: SoakSettings, schedule: Schedule | None) -> RunMarket:
    instrument = live_instrument(settings)
    schedule = schedule or live_schedule(settings)
    facts = {
        "name": "",
        "default": False,
        "venue": instrument.venue,
        "contract": instrument.contract,
        "quote_currency": instrument.quote_currency,
        "generated": None,
        "gaps": [],
        "crossed_message_ends": None,
    }
    return RunMarket(
        symbol=instrument.symbol,
        tape=None,
        facts=facts,
        schedule=schedule,
        inputs={},
        latency_modelled=False,
        notes=_window_notes(settings, schedule),
    )


def _asked(settings: SoakSettings, start_ns: int) -> Schedule:
    """So many hours from `start_ns` on."""
    end_ns = start_ns + round(settings.hours * _SECONDS_PER_HOUR) * NS_PER_S
    return cut_span(start_ns, end_ns, settings.iterations, settings.window_seconds, where="--hours, --iterations")


def _one_symbol(settings: SoakSettings) -> str:
    if len(settings.symbols) != 1:
        raise InputError(
            "no symbol is named, and a live feed has many" if not settings.symbols else "a run has one symbol",
            where="--symbols",
            remedy="name one or more, such as --symbols BTCUSDT ETHUSDT",
        )
    return settings.symbols[0]


# --- a tape ----------------------------------------------------------------------------------------------------------


def _replayed(
    settings: SoakSettings, paths: Paths, progress: Callable[[float], None] | None, schedule: Schedule | None
) -> RunMarket:
    tape, is_default = _open_tape(settings, paths, progress)
    schedule = schedule or _schedule(tape, settings)
    return RunMarket(
        symbol=tape.meta.symbol,
        tape=tape.path.resolve(),
        facts=tape_facts(tape, name=tape.path.name if is_default else settings.tape, is_default=is_default),
        schedule=schedule,
        inputs=_tape_inputs(tape),
        latency_modelled=tape.meta.generated is not None,
        notes=(*_span_notes(settings, schedule), *_window_notes(settings, schedule), *_gap_notes(tape)),
    )


def _open_tape(settings: SoakSettings, paths: Paths, progress: Callable[[float], None] | None) -> tuple[Tape, bool]:
    """The tape, every file's sha256 compared, and whether it is the default one (made on first use)."""
    if settings.tape:
        return Tape.open(Path(settings.tape), verify=True), False
    folder, market = default_tape(settings, paths)
    if not folder.exists():
        generate_tape(folder, market, progress=progress)
    return Tape.open(folder, verify=True), True


def _tape_inputs(tape: Tape) -> dict[str, str]:
    return {f"tape/{name}": digest for name, digest in tape.meta.sha256.items()}


def _schedule(tape: Tape, settings: SoakSettings) -> Schedule:
    """From the first event's exchange time to the last event, or to so many hours later."""
    meta = tape.meta
    start_ns = meta.first_exch_ts_ns
    end_ns = max(meta.last_exch_ts_ns, meta.last_local_ts_ns) + 1
    bound_ns = start_ns + round(settings.hours * _SECONDS_PER_HOUR) * NS_PER_S
    return cut_span(start_ns, min(end_ns, bound_ns), settings.iterations, settings.window_seconds, where=str(tape.path))


def _check_symbol(settings: SoakSettings, symbol: str) -> None:
    if len(settings.symbols) > 1:
        raise InputError(
            "more than one symbol was asked for",
            where="--symbols",
            remedy="a replay has one: give one tape",
        )
    if settings.symbols and settings.symbols[0] != symbol:
        raise InputError(
            f"the tape holds {symbol}, not {settings.symbols[0]}",
            where="--symbols",
            remedy=f"ask for {symbol}, or give the tape of {settings.symbols[0]}",
        )


# --- notes -----------------------------------------------------------------------------------------------------------


def _span_notes(settings: SoakSettings, schedule: Schedule) -> tuple[str, ...]:
    used_s = (schedule.end_ns - schedule.start_ns) / NS_PER_S
    asked_s = settings.hours * _SECONDS_PER_HOUR
    if used_s >= asked_s - 1:
        return ()
    return (
        f"{used_s:,.0f} s of market time are used of the {asked_s:,.0f} s asked for: the tape is shorter, or its "
        "rest does not fill an iteration.",
    )


def _window_notes(settings: SoakSettings, schedule: Schedule) -> tuple[str, ...]:
    if schedule.window_seconds >= settings.window_seconds:
        return ()
    return (
        f"Scoring windows are {schedule.window_seconds} s instead of {settings.window_seconds} s, so that each of "
        f"{settings.iterations} iterations has one.",
    )


def _gap_notes(tape: Tape) -> tuple[str, ...]:
    if not tape.meta.gaps:
        return ()
    return (f"The tape has {len(tape.meta.gaps)} gaps; nothing is quoted across them.",)
