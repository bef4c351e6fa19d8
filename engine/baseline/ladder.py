"""A ladder's settings and plan: which symbols on which markets, which presets, under which id.

Every rung is a soak of its own: `SoakSettings` made here go through engine.soak_plan like those of `nightsoak soak`,
with one window an iteration and the preset's parameters as the starting set.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.baseline.presets import FILE, Preset, Presets, load_presets, min_lot_of
from engine.config import ConfigModel
from engine.errors import InputError, did_you_mean
from engine.files import sha256_file, write_json
from engine.instrument import Instrument
from engine.market.instruments import read_instruments
from engine.market.simulator import SimulatorSettings, generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import Paths
from engine.profile import Profile, default_profile_name, load_profile, profile_path
from engine.report.record import PRESET
from engine.soak import RunPlan, SoakSettings, make_run_id
from engine.soak_market import MARKET, live_instrument
from engine.soak_plan import check_inputs, make_plan
from engine.soak_state import RunState

DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT")
_SECONDS_PER_HOUR = 3600
Progress = Callable[[float], None]
Texts = Annotated[tuple[str, ...], Field(strict=False)]  # Prefect hands a deployment's lists over as lists


class BaselineSettings(ConfigModel):
    """What a ladder is asked to do; the parameters of the flow and of its deployment.

    exchange        whose instruments are meant, and whose feed where there is neither mock nor tape
    symbols         empty: those of the tapes, else BTCUSDT and ETHUSDT
    profile         as in a soak
    iterations      number of windows
    mock            replay one generated market per symbol
    tapes           one tape per symbol; with neither mock nor tapes the exchange's live feed, symbol after symbol
    endpoint        ws://host:port instead of the exchange's own addresses
    market          generated market of --mock; empty: the profile's in config/presets.json
    seed            seed of the generated markets; null: the market's own
    """

    exchange: Literal["bybit", "binance"] = "bybit"
    symbols: Texts = ()
    profile: str = ""
    iterations: Annotated[int, Field(ge=1, le=1000)] = 6
    window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    mock: bool = False
    tapes: Texts = ()
    endpoint: str = ""
    market: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]*$")] = ""
    seed: Annotated[int | None, Field(ge=0)] = None

    @property
    def live(self) -> bool:
        """Whether the market is the exchange's live feed."""
        return not self.mock and not self.tapes

    def command(self, profile: str) -> list[str]:
        """The words after `nightsoak` that ask for the same ladder."""
        words = ["baseline", "--exchange", self.exchange]
        words += ["--symbols", *self.symbols] if self.symbols else []
        words += ["--profile", profile, "--iterations", str(self.iterations)]
        words += ["--window-seconds", str(self.window_seconds)] if self.window_seconds != 60 else []
        words += ["--mock"] if self.mock else []
        words += ["--market", self.market] if self.market else []
        words += ["--seed", str(self.seed)] if self.seed is not None else []
        words += ["--endpoint", self.endpoint] if self.endpoint else []
        words += ["--tape", *self.tapes] if self.tapes else []
        return words


@dataclass(frozen=True)
class Market:
    """A symbol and the tape it is replayed from, None where it is the live feed.

    `shown` names tape or feed without a path of this machine; `mid2` is the tape's reference, if there is one.
    """

    symbol: str
    tape: Path | None
    shown: str
    generated: bool
    instrument: Instrument
    mid2: int | None


@dataclass(frozen=True)
class Ladder:
    """All that the attempts need; `notes` are sentences for the reader, `inputs` {name: sha256}."""

    id: str
    settings: BaselineSettings
    profile: str
    presets: Presets
    markets: tuple[Market, ...]
    notes: tuple[str, ...]
    inputs: Mapping[str, str]
    started_utc: str
    paths: Paths


def check_baseline(settings: BaselineSettings, paths: Paths) -> None:
    """Refuse what can be refused before anything runs; nothing is written.

    Raises:
        InputError: no market to run on, a profile, symbol, tape or configuration; names it and the remedy.
        StorageError: the datasets or reports folder cannot be written.
    """
    load_presets(paths.config)
    load_profile(paths.config, settings.profile or default_profile_name())
    if settings.mock and settings.tapes:
        raise InputError("both were given", where="--mock, --tape", remedy="give one of them")
    if settings.endpoint and not settings.live:
        raise InputError(
            "an endpoint is for a live feed", where="--endpoint", remedy="leave --mock and --tape out, or --endpoint"
        )
    if settings.mock:
        for symbol in _symbols(settings, ()):
            mock_market(settings, paths, symbol)
        return
    if settings.live:
        for symbol in _symbols(settings, ()):
            check_inputs(_soak(settings, symbol, ""), paths)
        return
    for market in _tape_markets(settings):
        check_inputs(soak_settings(settings, market), paths)


def make_ladder(settings: BaselineSettings, paths: Paths, *, progress: Progress | None = None) -> Ladder:
    """The ladder's markets (generated on first use, or asked of the venue) and id; the caller holds the soak lock.

    Args:
        progress: called with the share of the generated tapes that is done, 0..1.

    Raises:
        InputError, StorageError: as `check_baseline`; also a preset that a market has no measure for.
        FeedError: the venue does not answer.
    """
    check_baseline(settings, paths)
    profile = settings.profile or default_profile_name()
    presets = load_presets(paths.config)
    if settings.live:
        markets = _live_markets(settings)
    else:
        markets = _mock_markets(settings, paths, progress) if settings.mock else _tape_markets(settings)
    for preset in presets.presets:
        for market in markets:
            preset_params(preset, market, load_profile(paths.config, profile))
    inputs = {f"config/{FILE}": sha256_file(paths.config / FILE)}
    inputs["config/profile"] = sha256_file(profile_path(paths.config, profile))
    inputs |= {f"tape/{one.symbol}": Tape.open(one.tape).meta.digest for one in markets if one.tape is not None}
    now = datetime.now(UTC)
    asked = {"inputs": inputs, "settings": settings.model_dump(mode="json"), "profile": profile}
    stamp = now
    while (paths.reports / stamp.date().isoformat() / (name := _ladder_id(stamp, asked))).exists():
        stamp += timedelta(seconds=1)
    return Ladder(
        id=name,
        settings=settings,
        profile=profile,
        presets=presets,
        markets=markets,
        notes=tuple(_notes(settings, markets)),
        inputs=inputs,
        started_utc=now.isoformat(timespec="milliseconds"),
        paths=paths,
    )


def soak_settings(settings: BaselineSettings, market: Market) -> SoakSettings:
    """The soak of one symbol: as many iterations of one window as were asked for."""
    return _soak(settings, market.symbol, "" if market.tape is None else str(market.tape))


def _soak(settings: BaselineSettings, symbol: str, tape: str) -> SoakSettings:
    return SoakSettings(
        feed=settings.exchange if settings.live else "replay",
        endpoint=settings.endpoint,
        tape=tape,
        symbols=(symbol,),
        profile=settings.profile,
        hours=settings.iterations * settings.window_seconds / _SECONDS_PER_HOUR,
        iterations=settings.iterations,
        window_seconds=settings.window_seconds,
    )


def preset_params(preset: Preset, market: Market, profile: Profile) -> tuple[Params, tuple[str, ...]]:
    """The table's initial values with the preset's put over them, and what the reader must know of the conversion.

    Raises:
        InputError: an inverse contract without a price to convert at.
    """
    instrument, mid2 = market.instrument, market.mid2
    if instrument.contract == "inverse" and mid2 is None:
        raise InputError(
            f"{market.symbol} is an inverse contract, and its price is not known before the run",
            where="--symbols",
            remedy="record a tape of it first and give that with --tape",
        )
    multiple, note = min_lot_of(preset.min_lot_base, instrument, instrument.mid(mid2 or 0))
    params = Params().with_changes({"touch_dwell_ms": preset.touch_dwell_ms, "min_lot": multiple})
    notes = [note] if note else []
    order_lots = None if mid2 is None else profile.kernel_config(instrument, mid2).order_lots
    if order_lots is not None and order_lots < multiple * instrument.min_qty_lots:
        notes.append(
            f"{market.symbol}: the profile's order of {profile.order_notional_quote:g} {instrument.quote_currency} is "
            f"{instrument.qty(order_lots)}, less than the smallest quote of "
            f"{instrument.qty(multiple * instrument.min_qty_lots)}: nothing can be sent."
        )
    return params, tuple(notes)


def plan_attempt(ladder: Ladder, preset: Preset, market: Market) -> tuple[RunPlan, tuple[str, ...]]:
    """The plan of the run of `preset` on `market`, and the notes on its parameters.

    Its settings name the tape and the preset's overrides file relative to the installation's home, so that they can
    stand in a report.
    """
    params, notes = preset_params(preset, market, load_profile(ladder.paths.config, ladder.profile))
    digest = hashlib.sha256(repr(sorted(params.items())).encode()).hexdigest()[:8]
    file = ladder.paths.datasets / "baseline" / f"{market.symbol}-{preset.name}-{digest}.json"
    write_json(file, dict(params))
    asked = soak_settings(ladder.settings, market).model_copy(update={"overrides": str(file)})
    plan = make_plan(asked, ladder.paths)
    shown, facts = {"overrides": f"datasets/baseline/{file.name}"}, plan.tape_facts
    if market.tape is not None:
        shown["tape"], facts = market.shown, facts | {"name": market.shown}
    settings = asked.model_copy(update=shown)
    plan = replace(plan, settings=settings, params_source=f"{PRESET} {preset.name}", tape_facts=facts)
    write_json(plan.file, plan.to_json())
    RunState.begin(plan)
    return plan, notes


def mock_market(settings: BaselineSettings, paths: Paths, symbol: str) -> SimulatorSettings:
    """The generated market of `symbol`: the grid of the exchange's instrument, prices made up.

    The seed is the asked one with the symbol mixed in, so that the symbols of a ladder do not move alike.

    Raises:
        InputError: the exchange's instruments do not have the symbol.
    """
    profile = settings.profile or default_profile_name()
    name = settings.market or load_presets(paths.config).mock_markets.get(profile, MARKET)
    market = read_settings(paths.config, name)
    if symbol != market.symbol:
        grid = _instrument(settings.exchange, symbol, paths)
        names = ("symbol", "tick", "lot", "contract", "contract_size", "quote_currency", "pnl_currency", "min_qty_lots")
        market = market.model_copy(update={field: getattr(grid, field) for field in names})
    seed = market.seed if settings.seed is None else settings.seed
    seed = zlib.crc32(f"{seed}/{symbol}".encode())
    return market.with_run(seed=seed, duration_s=settings.iterations * settings.window_seconds)


def _mock_markets(settings: BaselineSettings, paths: Paths, progress: Progress | None) -> tuple[Market, ...]:
    symbols, markets = _symbols(settings, ()), []
    for done, symbol in enumerate(symbols):
        market = mock_market(settings, paths, symbol)
        name = f"generated-{market.market}-{symbol}-{market.duration_s}s-{market.digest[:8]}"
        folder = paths.tapes / name
        if not folder.exists():
            generate_tape(folder, market, progress=_share(progress, done, len(symbols)))
        markets.append(_market(folder, f"datasets/tapes/{name}"))
    return tuple(markets)


def _share(progress: Progress | None, done: int, of: int) -> Progress | None:
    return None if progress is None else lambda share: progress((done + share) / of)


def _tape_markets(settings: BaselineSettings) -> tuple[Market, ...]:
    """One market per tape, in the order of the symbols."""
    found: dict[str, Market] = {}
    for folder in settings.tapes:
        meta = Tape.open(Path(folder)).meta
        if meta.symbol in found:
            raise InputError(f"a second tape of {meta.symbol}", where=folder, remedy="give one tape per symbol")
        if meta.generated is None and not meta.venue.startswith(settings.exchange):
            raise InputError(
                f"the tape is of {meta.venue}, not of {settings.exchange}",
                where=folder,
                remedy=f"ask for --exchange {meta.venue.split('-')[0]}, or give another tape",
            )
        found[meta.symbol] = _market(Path(folder), folder)
    symbols = _symbols(settings, tuple(found))
    if odd := sorted(set(symbols) ^ set(found)):
        what = f"{odd[0]} has no tape" if odd[0] in symbols else f"the tape of {odd[0]} was not asked for"
        raise InputError(what, where="--tape", remedy="give one tape for each of the symbols")
    return tuple(found[symbol] for symbol in symbols)


def _market(folder: Path, shown: str) -> Market:
    tape = Tape.open(folder)
    generated = tape.meta.generated is not None
    instrument = tape.meta.instrument()
    return Market(instrument.symbol, folder.resolve(), shown, generated, instrument, tape.reference_mid2())


def _live_markets(settings: BaselineSettings) -> tuple[Market, ...]:
    shown = f"{settings.exchange}, live"
    grids = [live_instrument(_soak(settings, symbol, "")) for symbol in _symbols(settings, ())]
    return tuple(Market(grid.symbol, None, shown, False, grid, None) for grid in grids)


def _symbols(settings: BaselineSettings, default: tuple[str, ...]) -> tuple[str, ...]:
    symbols = settings.symbols or default or DEFAULT_SYMBOLS
    for symbol in symbols:
        if symbols.count(symbol) > 1:
            raise InputError(f"{symbol} stands twice", where="--symbols", remedy="name each symbol once")
    return symbols


def _instrument(exchange: str, symbol: str, paths: Paths) -> Instrument:
    known = [one for one in read_instruments(paths.config / "instruments.json") if one.venue.startswith(exchange)]
    for one in known:
        if one.symbol == symbol:
            return one
    remedy = did_you_mean(symbol, [one.symbol for one in known])
    raise InputError(
        f"{exchange} has no {symbol} here", where="--symbols", remedy=f"{remedy}; or add it to config/instruments.json"
    )


def _notes(settings: BaselineSettings, markets: tuple[Market, ...]) -> list[str]:
    notes = []
    generated = [market.symbol for market in markets if market.generated]
    if generated:
        notes.append(
            f"The market of {', '.join(generated)} is generated, prices and all: the ladder shows that the machinery "
            f"works and says nothing about {settings.exchange}."
        )
    return notes


def _ladder_id(stamp: datetime, asked: dict[str, Any]) -> str:
    return make_run_id(stamp.strftime("%Y%m%dT%H%M%S"), "baseline", asked)
