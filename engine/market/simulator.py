"""The seeded market simulator: named settings in config/simulator/, a tape or columns out.

The same settings and seed give the same bytes on any 64-bit machine, compiled or not. What the model is and how
its numbers were found: docs/market-simulator.md.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
from pydantic import Field

from engine.config import ConfigModel, load_config
from engine.errors import ConfigError, TapeError, did_you_mean
from engine.instrument import Instrument
from engine.market import simulator_core as core
from engine.market.events import COLUMN_DTYPES, Columns
from engine.market.simulator_tables import exponential_table, loglogistic_table
from engine.market.tape import Tape, refuse_overwrite, write_tape

NS_PER_S = 1_000_000_000
DEFAULT_CHUNK_ROWS = 1 << 18
Progress = Callable[[float], None]
"""Called with the share done, 0..1, after each chunk."""


class Regime(ConfigModel):
    """One state of the market's weather; `rise_permille` is the chance that the next one is the wilder one."""

    name: str
    mean_stay_s: int = Field(gt=0)
    rise_permille: int = Field(ge=0, le=1000)
    sigma_millitick_per_sqrt_s: int = Field(gt=0)
    news_every_ms: int = Field(ge=1000)
    news_median_millitick: int = Field(ge=0)
    half_spread_millitick: int = Field(gt=0)
    depth_messages_per_1000_s: int = Field(gt=0)
    trade_orders_per_1000_s: int = Field(gt=0)


class SimulatorSettings(ConfigModel):
    """A market to simulate. Whole numbers only: what decides an event must not depend on rounding.

    `expected_sha256` (column -> digest) belongs to exactly this seed and duration; `with_run` drops it.
    """

    market: str
    venue: str
    symbol: str
    tick: Decimal
    lot: Decimal
    contract: str
    contract_size: Decimal
    quote_currency: str
    pnl_currency: str
    min_qty_lots: int = Field(default=1, ge=1)

    seed: int = Field(ge=0)
    duration_s: int = Field(gt=0)
    start_ns: int = Field(ge=0)
    start_price_ticks: int = Field(gt=0)
    window_share_permille: int = Field(gt=0, lt=1000)
    """The price stays within this share of the start price, either side."""

    regimes: tuple[Regime, ...] = Field(min_length=2)
    public_news_permille: int = Field(ge=0, le=1000)
    """Share of the variance of news that every maker knows at once."""
    news_tail_permille: int = Field(gt=2000)
    react_ms: int = Field(gt=0)
    """Time constant with which the makers learn private news."""

    spread_relax_ms: int = Field(gt=0)
    spread_noise_millitick: int = Field(ge=0)
    spread_floor_millitick: int = Field(gt=0)
    closest_ticks: int = Field(gt=0)
    """A maker never improves nearer than this to the other side's touch."""

    snapshot_levels: int = Field(ge=20, le=250)
    rows_per_depth_message_permille: int = Field(ge=0)
    pull_permille: int = Field(gt=0, le=1000)
    improve_permille: int = Field(gt=0, le=1000)
    reach_ticks: int = Field(gt=0)
    delete_permille: int = Field(ge=0, le=1000)
    level_median_lots: int = Field(gt=0)
    level_tail_permille: int = Field(gt=0)
    level_slope_permille: int = Field(ge=0)

    trade_median_lots: int = Field(gt=0)
    trade_tail_permille: int = Field(gt=0)
    max_sweep_levels: int = Field(gt=0, le=250)
    informed_permille: int = Field(ge=0, le=1000)
    informed_threshold_millitick: int = Field(ge=0)
    sweep_per_10k: int = Field(ge=0, le=10_000)
    cascade_permille: int = Field(ge=0, lt=1000)
    """Chance that a sweep is followed by another of the same side."""
    sweep_median_ticks: int = Field(gt=0)
    """A sweep takes all that is displayed within so many ticks of the touch."""
    sweep_tail_permille: int = Field(gt=2000)
    sweep_impact_millitick: int = Field(ge=0)
    """What a sweep tells: it moves the efficient price by this much, by less where it is less deep than
    `full_impact_ticks`; impact is concave in size."""
    full_impact_ticks: int = Field(gt=0)
    rush_permille: int = Field(ge=0)
    """Extra aggressive orders when the makers are wrong by one half-spread."""
    order_impact_millitick: int = Field(ge=0)
    excite_permille: int = Field(ge=0, lt=1000)
    """Orders that one order brings about in the mean, within about `excite_ms` (a Hawkes branching ratio)."""
    excite_ms: int = Field(gt=0)
    parent_orders: int = Field(gt=0)
    stick_permille: int = Field(ge=0, le=1000)
    """Chance that a noise order is the next slice of the parent that traded last."""
    parent_tail_permille: int = Field(gt=0)

    latency_mean_us: int = Field(gt=0)
    latency_low_us: int = Field(ge=0)
    latency_high_us: int = Field(gt=0)
    latency_noise_us: int = Field(ge=0)

    expected_sha256: dict[str, str] | None = None

    def instrument(self) -> Instrument:
        return Instrument(
            venue=self.venue,
            symbol=self.symbol,
            tick=self.tick,
            lot=self.lot,
            contract=self.contract,
            contract_size=self.contract_size,
            quote_currency=self.quote_currency,
            pnl_currency=self.pnl_currency,
            min_qty_lots=self.min_qty_lots,
        )

    @property
    def digest(self) -> str:
        """sha256 of all that decides the events."""
        text = self.model_dump_json(exclude={"comment", "expected_sha256"})
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def tape_name(self) -> str:
        """The folder of its tape among datasets/tapes."""
        return f"generated-{self.market}-{self.duration_s}s-seed{self.seed}-{self.digest[:8]}"

    def with_run(self, *, seed: int | None = None, duration_s: int | None = None) -> SimulatorSettings:
        """The same market with another seed or length; the expected digests stay only if nothing changed.

        Raises:
            ConfigError: a seed below 0, or a length below a second.
        """
        seed = self.seed if seed is None else seed
        duration_s = self.duration_s if duration_s is None else duration_s
        for name, value, least in (("seed", seed, 0), ("duration_s", duration_s, 1)):
            if value < least:
                raise ConfigError(f"{name} {value} is below {least}", where=f"market {self.market}", remedy="give more")
        if (seed, duration_s) == (self.seed, self.duration_s):
            return self
        changes = {"seed": seed, "duration_s": duration_s, "expected_sha256": None}
        return type(self).model_validate({**self.model_dump(), **changes})


def read_settings(folder: Path, market: str) -> SimulatorSettings:
    """The named market from config folder `folder`: simulator/<market>.json.

    Raises:
        ConfigError: unknown name (the known ones are listed), or a bad file.
    """
    path = folder / "simulator" / f"{market}.json"
    if not path.is_file():
        remedy = did_you_mean(market, sorted(p.stem for p in path.parent.glob("*.json")))
        raise ConfigError(f"no market {market!r}", where=str(path.parent), remedy=remedy)
    return load_config(path, SimulatorSettings)


def generate_chunks(settings: SimulatorSettings, *, chunk_rows: int = DEFAULT_CHUNK_ROWS) -> Iterator[Columns]:
    """The market as consecutive chunks of whole messages; the rows do not depend on `chunk_rows`.

    Memory is bounded by one chunk. Each chunk is the caller's own copy.
    """
    rules, regimes = _rules(settings), _regimes(settings)
    tables = core.Tables(
        exponential_table(),
        loglogistic_table(settings.level_tail_permille),
        loglogistic_table(settings.trade_tail_permille),
        loglogistic_table(settings.news_tail_permille),
        loglogistic_table(settings.sweep_tail_permille),
        loglogistic_table(settings.parent_tail_permille),
    )
    market = core.new_market(
        rules, settings.regimes[0].half_spread_millitick * 1000, settings.start_ns, _seed_words(settings.seed)
    )
    out = Columns.empty(max(chunk_rows, 1) + core.MAX_MESSAGE_ROWS)
    stop_ns = settings.start_ns + settings.duration_s * NS_PER_S
    while count := core.fill(out, rules, regimes, tables, market, stop_ns):
        yield Columns(*(column[:count].copy() for column in out))


def generate_columns(settings: SimulatorSettings, *, progress: Progress | None = None) -> Columns:
    """All events of the market, about 30 bytes each, in memory.

    Raises:
        TapeError: the settings name expected digests and a column differs.
    """
    chunks = []
    for chunk in generate_chunks(settings):
        chunks.append(chunk)
        if progress is not None:
            progress((int(chunk.exch_ts_ns[-1]) - settings.start_ns) / (settings.duration_s * NS_PER_S))
    columns = Columns(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))
    _check_digests(columns, settings)
    return columns


def column_digests(columns: Columns) -> dict[str, str]:
    """sha256 of each column's raw little-endian bytes, by column name."""
    return {
        name: hashlib.sha256(np.ascontiguousarray(column, dtype).data).hexdigest()
        for (name, dtype), column in zip(COLUMN_DTYPES.items(), columns, strict=True)
    }


def _check_digests(columns: Columns, settings: SimulatorSettings) -> None:
    if settings.expected_sha256 is None:
        return
    found = column_digests(columns)
    wrong = [name for name in COLUMN_DTYPES if found[name] != settings.expected_sha256.get(name)]
    if wrong:
        raise TapeError(
            f"generated column {wrong[0]} is not the expected one (sha256 {found[wrong[0]][:16]})",
            where=f"market {settings.market}, seed {settings.seed}",
            remedy="settings or simulator changed: drop expected_sha256, or restore the committed ones",
        )


def _seed_words(seed: int) -> list[int]:
    """Six 32-bit words from a seed by splitmix64 (Steele, Lea and Flood 2014)."""
    mask, words = (1 << 64) - 1, []
    state = seed & mask
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        words += [z >> 32, z & 0xFFFFFFFF]
    return words


def _regimes(settings: SimulatorSettings) -> core.Ints:
    """int64[regimes, 9], columns as in simulator_core; the calmest can only rise, the wildest only fall."""
    rows = []
    for n, regime in enumerate(settings.regimes):
        rise = 1000 if n == 0 else 0 if n == len(settings.regimes) - 1 else regime.rise_permille
        variance = (regime.sigma_millitick_per_sqrt_s * 1000) ** 2 // core.STEPS_PER_S
        rows.append(
            [
                regime.mean_stay_s * core.STEPS_PER_S,
                rise,
                math.isqrt(variance * settings.public_news_permille // 1000),
                math.isqrt(variance * (1000 - settings.public_news_permille) // 1000),
                regime.news_every_ms // core.STEP_MS,
                regime.news_median_millitick * 1000,
                regime.half_spread_millitick * 1000,
                regime.depth_messages_per_1000_s,
                regime.trade_orders_per_1000_s,
            ]
        )
    return np.array(rows, np.int64)


def _rules(s: SimulatorSettings) -> core.Rules:
    low_ticks = s.start_price_ticks - s.start_price_ticks * s.window_share_permille // 1000
    step_noise = math.isqrt((s.spread_noise_millitick * 1000) ** 2 * 2 * core.STEP_MS // s.spread_relax_ms)
    return core.Rules(
        low_ticks=low_ticks,
        width_ticks=2 * (s.start_price_ticks - low_ticks),
        start_ticks=s.start_price_ticks,
        snapshot_levels=s.snapshot_levels,
        public_permille=s.public_news_permille,
        react_ms=s.react_ms,
        spread_relax_ms=s.spread_relax_ms,
        spread_noise=step_noise,
        spread_floor=s.spread_floor_millitick * 1000,
        closest_ticks=s.closest_ticks,
        rows_permille=s.rows_per_depth_message_permille,
        pull_permille=s.pull_permille,
        improve_permille=s.improve_permille,
        reach_ticks=s.reach_ticks,
        delete_permille=s.delete_permille,
        level_lots=s.level_median_lots,
        level_slope_permille=s.level_slope_permille,
        trade_lots=s.trade_median_lots,
        max_sweep_levels=s.max_sweep_levels,
        informed_permille=s.informed_permille,
        informed_threshold=s.informed_threshold_millitick * 1000,
        sweep_per_10k=s.sweep_per_10k,
        cascade_permille=s.cascade_permille,
        sweep_ticks=s.sweep_median_ticks,
        sweep_impact=s.sweep_impact_millitick * 1000,
        full_impact_ticks=s.full_impact_ticks,
        rush_permille=s.rush_permille,
        stick_permille=s.stick_permille,
        order_impact=s.order_impact_millitick * 1000,
        excite_mhz=s.excite_permille * 1000 // s.excite_ms,
        excite_ms=s.excite_ms,
        parent_orders=s.parent_orders,
        latency_mean_ns=s.latency_mean_us * 1000,
        latency_low_ns=s.latency_low_us * 1000,
        latency_high_ns=s.latency_high_us * 1000,
        latency_noise_ns=s.latency_noise_us * 1000,
    )


def generate_tape(out: Path, settings: SimulatorSettings, *, progress: Progress | None = None) -> Tape:
    """Generates the market and writes it as a tape at `out`, whole or not at all.

    Raises:
        TapeError: something stands at `out`, or a column is not the expected one (named).
        StorageError: the folder cannot be written.
    """
    refuse_overwrite(out, force=False)
    columns = generate_columns(settings, progress=progress)
    generated = settings.model_dump(mode="json", exclude={"comment", "expected_sha256"})
    return write_tape(out, columns, instrument=settings.instrument(), generated=generated)
