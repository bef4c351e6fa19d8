"""What a tune works on: tapes, champion, which windows are for selection and which stay fresh, and what it may cost.

Tapes are taken in order of time. The last of them, whole, are the fresh part: the share of the windows nearest to
`fresh_share`. One tape alone has no fresh part, since later windows of the same market day are hardly news to a
search that saw the earlier ones; it is tuned on, and not confirmed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.champion.store import ChampionStore
from engine.errors import InputError, TapeError
from engine.files import sha256_file
from engine.market.simulator import SimulatorSettings, generate_tape, read_settings
from engine.market.tape import Tape
from engine.market.tape_meta import META_FILE, TapeMeta, read_meta
from engine.params import Params, read_overrides
from engine.paths import Paths
from engine.profile import Profile, default_profile_name, load_profile, profile_path
from engine.report.manifest import code_sha256
from engine.search.settings import EffortProfile, SearchSettings, TuneSettings, load_search
from engine.search.space import trust_region
from engine.search.state import key_of
from engine.search.trial_windows import Evaluate, evaluate, window_count
from engine.soak import make_run_id
from engine.tuning.bands import Gates, load_gates
from engine.tuning.judge import JudgeSettings, load_judge

_FILES = ("search.json", "judge.json", "gates.json")
_NEWEST = 8
_NO_RESULT = {"max_runtime_sec", "max_estimated_sec", "tapes", "comment", "overrides"}


@dataclass(frozen=True)
class TunePlan:
    """All that decides a tune's result. `selection` and `fresh` are disjoint, in order of time. `stop_after`: the
    trials of a tune that is done again, at which it was cut short or done; the clock then has no say. `evaluate`
    replays lanes, here or on other machines, with the same result."""

    symbol: str
    settings: TuneSettings
    search: SearchSettings
    judge: JudgeSettings
    gates: Gates
    effort: EffortProfile
    profile: Profile
    champion: Params
    champion_source: str
    selection: tuple[Tape, ...]
    fresh: tuple[Tape, ...]
    inputs: dict[str, str]
    estimate_s: float
    notes: tuple[str, ...]
    stop_after: int | None
    evaluate: Evaluate = evaluate

    @property
    def key(self) -> str:
        """Names the tune's state: the same inputs, champion, settings and code have the same key."""
        settings = self.settings.model_dump(mode="json", exclude=_NO_RESULT)
        return key_of({"inputs": self.inputs, "settings": settings, "champion": dict(self.champion)})

    def new_id(self) -> str:
        """<utc stamp>-<symbol>-<4 hex of the key's hash>, of this second."""
        return make_run_id(datetime.now(UTC).strftime("%Y%m%dT%H%M%S"), self.symbol, {"key": self.key})

    def windows(self, tapes: Sequence[Tape]) -> int:
        return sum(window_count(tape, self.settings.window_seconds) for tape in tapes)


@dataclass(frozen=True)
class Again:
    """What a tune that is done again takes from its record: the champion, where it came from, the trials searched."""

    champion: Params
    source: str
    trials: int


def make_plan(
    settings: TuneSettings,
    paths: Paths,
    *,
    progress: Callable[[float], None] | None = None,
    again: Again | None = None,
) -> TunePlan:
    """Open everything, split the tapes, estimate. Only the default tapes are written, where they are missing.

    Raises:
        InputError: a tape, the champion, the maker's profile or the configuration; the estimate is too high.
    """
    search, judge, gates = load_search(paths.config), load_judge(paths.config), load_gates(paths.config)
    profile_name = settings.maker_profile or default_profile_name()
    profile = load_profile(paths.config, profile_name)
    effort = settings.effort(search)
    tapes, notes = _tapes(settings, search, paths, progress)
    symbol = tapes[0].meta.symbol
    champion, source = (again.champion, again.source) if again else _champion(settings, paths, symbol)
    trust_region(champion, search.trust_radius)  # refuses a champion outside the table
    counts = [window_count(tape, settings.window_seconds) for tape in tapes]
    cut = split_tapes(counts, search.fresh_share)
    estimate_s = estimate_seconds(
        [tape.meta.count for tape in tapes[:cut]], [tape.meta.count for tape in tapes[cut:]], effort, search
    )
    if settings.max_estimated_sec is not None and estimate_s > settings.max_estimated_sec:
        raise InputError(
            f"this tune is estimated to take {estimate_s:.0f} s, more than {settings.max_estimated_sec:g} s",
            where="--max-estimated-sec",
            remedy="ask for fewer --trials, --profile quick, or fewer tapes",
        )
    files = {"config/profile": profile_path(paths.config, profile_name)}
    files |= {f"config/{name}": paths.config / name for name in _FILES}
    inputs = {f"tape/{number}": tape.meta.digest for number, tape in enumerate(tapes)}
    inputs |= {name: sha256_file(path) for name, path in files.items()} | {"code": code_sha256()}
    return TunePlan(
        symbol=symbol,
        settings=settings,
        search=search,
        judge=judge,
        gates=gates,
        effort=effort,
        profile=profile,
        champion=champion,
        champion_source=source,
        selection=tuple(tapes[:cut]),
        fresh=tuple(tapes[cut:]),
        inputs=inputs,
        estimate_s=estimate_s,
        notes=tuple(notes),
        stop_after=again.trials if again else None,
    )


def split_tapes(windows: Sequence[int], fresh_share: float) -> int:
    """How many tapes, from the first on, are for selection; the rest is fresh. All of them where there is one."""
    if len(windows) == 1:
        return 1
    total = sum(windows)
    shares = [(abs(sum(windows[cut:]) / total - fresh_share), cut) for cut in range(1, len(windows))]
    return min(shares)[1]


def estimate_seconds(
    selection_events: Sequence[int], fresh_events: Sequence[int], effort: EffortProfile, search: SearchSettings
) -> float:
    """Seconds on one core, from config/search.json's costs."""
    cost = search.cost
    batches = -(-effort.trials // effort.lanes)
    passes = batches + 1  # and the consensus
    lane_events = sum(selection_events) * (effort.trials + batches + 2) + sum(fresh_events) * 4
    events = sum(selection_events) * passes + sum(fresh_events) * 2
    replay_s = (events * cost.ns_per_event + lane_events * cost.ns_per_lane_event) / 1e9
    return cost.start_seconds + replay_s + batches * cost.search_seconds_per_batch


def _champion(settings: TuneSettings, paths: Paths, symbol: str) -> tuple[Params, str]:
    if settings.overrides:
        return read_overrides(Path(settings.overrides), Params()), "overrides file"
    champion = ChampionStore(paths, symbol).current()
    return champion.params, f"champion {champion.id}" if champion.seq else "baseline"


def _tapes(
    settings: TuneSettings, search: SearchSettings, paths: Paths, progress: Callable[[float], None] | None
) -> tuple[list[Tape], list[str]]:
    notes: list[str] = []
    if settings.tapes:
        folders = [Path(folder) for folder in settings.tapes]
    else:
        folders = recorded_tapes(paths)
        if folders:
            notes.append(f"No tape was given: the newest recorded ones are used, {len(folders)} of them.")
        else:
            folders = _generated(search, paths, progress)
            seeds = ", ".join(map(str, search.generated.seeds))
            notes.append(
                f"No tape was given and none is recorded: generated tapes of market {search.generated.market}, seeds "
                f"{seeds}. The result says nothing about a real market."
            )
    tapes = sorted((Tape.open(folder, verify=True) for folder in folders), key=lambda t: t.meta.first_exch_ts_ns)
    _check_tapes(tapes)
    if any(tape.meta.gaps for tape in tapes):
        notes.append(
            f"The tapes have {sum(len(tape.meta.gaps) for tape in tapes)} gaps; nothing is quoted across them."
        )
    return tapes, notes


def recorded_tapes(paths: Paths) -> list[Path]:
    """The newest recorded or imported tapes of datasets/tapes, all of the newest one's symbol, none overlapping."""
    found: list[tuple[TapeMeta, Path]] = []
    for file in sorted(paths.tapes.glob(f"*/{META_FILE}")):
        try:
            meta = read_meta(file.parent)
        except TapeError:
            continue  # no tape, or a damaged one: not a choice of ours to make
        if meta.generated is None:
            found.append((meta, file.parent))
    found.sort(key=lambda one: -one[0].last_exch_ts_ns)
    chosen: list[tuple[TapeMeta, Path]] = []
    for meta, folder in found:
        same = not chosen or _same_market(meta, chosen[0][0])
        if same and all(not _overlap(meta, other) for other, _ in chosen) and len(chosen) < _NEWEST:
            chosen.append((meta, folder))
    return [folder for _, folder in reversed(chosen)]


def _generated(search: SearchSettings, paths: Paths, progress: Callable[[float], None] | None) -> list[Path]:
    wanted, folders = search.generated, []
    for number, seed in enumerate(wanted.seeds):
        market = read_settings(paths.config, wanted.market).with_run(seed=seed, duration_s=round(wanted.hours * 3600))
        folder = paths.tapes / f"generated-{market.market}-{market.duration_s}s-seed{seed}-{_market_digest(market)[:8]}"
        if not folder.exists():
            share = _part(progress, number, len(wanted.seeds))
            generate_tape(folder, market, progress=share)
        folders.append(folder)
    return folders


def _part(progress: Callable[[float], None] | None, number: int, count: int) -> Callable[[float], None] | None:
    return None if progress is None else lambda share: progress((number + share) / count)


def _market_digest(market: SimulatorSettings) -> str:
    return hashlib.sha256(market.model_dump_json(exclude={"comment", "expected_sha256"}).encode()).hexdigest()


def _same_market(one: TapeMeta, other: TapeMeta) -> bool:
    return (one.venue, one.symbol, one.instrument()) == (other.venue, other.symbol, other.instrument())


def _overlap(one: TapeMeta, other: TapeMeta) -> bool:
    """Whether two tapes hold the same market time. Generated ones do where all but their length is the same."""
    if one.generated is not None and other.generated is not None:
        return _recipe(one.generated) == _recipe(other.generated)
    return one.first_exch_ts_ns <= other.last_exch_ts_ns and other.first_exch_ts_ns <= one.last_exch_ts_ns


def _recipe(generated: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in generated.items() if key != "duration_s"}, sort_keys=True)


def _check_tapes(tapes: Sequence[Tape]) -> None:
    for number, tape in enumerate(tapes):
        if not _same_market(tape.meta, tapes[0].meta):
            raise InputError(
                f"holds {tape.meta.symbol} of {tape.meta.venue}, the first {tapes[0].meta.symbol} of "
                f"{tapes[0].meta.venue}, or another grid",
                where=str(tape.path),
                remedy="tune on tapes of one instrument",
            )
        for other in tapes[:number]:
            if _overlap(tape.meta, other.meta):
                raise InputError(
                    f"holds the same market time as {other.path}: what the search has seen cannot confirm it",
                    where=str(tape.path),
                    remedy="give tapes that do not overlap",
                )


def check_inputs(settings: TuneSettings, paths: Paths) -> None:
    """Refuse what can be refused before anything runs; nothing is written, and no tape's files are hashed.

    Raises:
        InputError: as `make_plan`.
    """
    search = load_search(paths.config)
    load_judge(paths.config)
    load_gates(paths.config)
    load_profile(paths.config, settings.maker_profile or default_profile_name())
    settings.effort(search)
    folders = [Path(folder) for folder in settings.tapes] or recorded_tapes(paths)
    tapes = [Tape.open(folder) for folder in folders]
    _check_tapes(tapes)
    for tape in tapes:
        window_count(tape, settings.window_seconds)
    symbol = tapes[0].meta.symbol if tapes else read_settings(paths.config, search.generated.market).symbol
    champion, _ = _champion(settings, paths, symbol)
    trust_region(champion, search.trust_radius)
