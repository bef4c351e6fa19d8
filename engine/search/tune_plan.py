"""What a tune works on: champion, which windows are for selection and which stay fresh, and what it may cost.

Tapes are taken in order of time. The last of them, whole, are the fresh part: the share of the windows nearest to
`fresh_share`. One tape alone has no fresh part, since later windows of the same market day are hardly news to a
search that saw the earlier ones; it is tuned on, and not confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.champion.store import ChampionStore
from engine.errors import InputError
from engine.files import sha256_file
from engine.market.tape import Tape
from engine.params import Params, read_overrides
from engine.paths import Paths
from engine.profile import Profile, default_profile_name, load_profile, profile_path
from engine.report.manifest import code_sha256
from engine.search.settings import EffortProfile, SearchSettings, TuneSettings, load_search
from engine.search.space import trust_region
from engine.search.state import key_of
from engine.search.trial_windows import Evaluate, evaluate, window_count
from engine.search.tune_tapes import find_tapes, peek_tapes
from engine.soak import make_run_id
from engine.tuning.bands import Gates, load_gates
from engine.tuning.calibrated import CALIBRATION, quoted
from engine.tuning.judge import JudgeSettings, load_judge

_FILES = ("search.json", "judge.json", "gates.json")
_NO_RESULT = {"max_runtime_sec", "max_estimated_sec", "tapes", "symbol", "venue", "comment", "overrides"}


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
    error_rates: str
    estimate_s: float
    notes: tuple[str, ...]
    stop_after: int | None
    names: tuple[str, ...]
    """Of the tapes, as the report has them: selection, then fresh."""
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
    """What a tune that is done again takes from its record: the champion, where it came from, the trials searched, and
    the tapes, with the names and notes that the record has of them."""

    champion: Params
    source: str
    trials: int
    tapes: tuple[Path, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]


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
    given = settings.model_copy(update={"tapes": tuple(map(str, again.tapes))}) if again else settings
    tapes, notes = find_tapes(given, search, paths, progress)
    symbol = tapes[0].meta.symbol
    champion, source = (again.champion, again.source) if again else _champion(settings, paths, symbol)
    trust_region(champion, search.trust_radius)  # refuses a champion outside the table
    counts = [window_count(tape, settings.window_seconds) for tape in tapes]
    cut = split_tapes(counts, search.fresh_share)
    estimate_s = _affordable(tapes, cut, settings, search)
    files = {"config/profile": profile_path(paths.config, profile_name)}
    files |= {f"config/{name}": paths.config / name for name in _FILES}
    files |= {f"config/{CALIBRATION}": file for file in [paths.config / CALIBRATION] if file.exists()}
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
        error_rates=quoted(paths.config),
        estimate_s=estimate_s,
        notes=again.notes if again else tuple(notes),
        stop_after=again.trials if again else None,
        names=again.names if again else tuple(_name(tape, settings) for tape in tapes),
    )


def _name(tape: Tape, settings: TuneSettings) -> str:
    """As it was given, else its folder's: no path of this machine but the user's own."""
    return next((name for name in settings.tapes if Path(name).resolve() == tape.path.resolve()), tape.path.name)


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


def _affordable(tapes: Sequence[Tape], cut: int, settings: TuneSettings, search: SearchSettings) -> float:
    """The estimate in seconds, `cut` tapes being for selection.

    Raises:
        InputError: it is above --max-estimated-sec.
    """
    selection, fresh = ([tape.meta.count for tape in part] for part in (tapes[:cut], tapes[cut:]))
    estimate_s = estimate_seconds(selection, fresh, settings.effort(search), search)
    if settings.max_estimated_sec is not None and estimate_s > settings.max_estimated_sec:
        raise InputError(
            f"this tune is estimated to take {estimate_s:.0f} s, more than {settings.max_estimated_sec:g} s",
            where="--max-estimated-sec",
            remedy="ask for fewer --trials, --profile quick, or fewer tapes",
        )
    return estimate_s


def _champion(settings: TuneSettings, paths: Paths, symbol: str) -> tuple[Params, str]:
    if settings.overrides:
        return read_overrides(Path(settings.overrides), Params()), "overrides file"
    champion = ChampionStore(paths, symbol).current()
    return champion.params, f"champion {champion.id}" if champion.seq else "baseline"


def check_inputs(settings: TuneSettings, paths: Paths) -> None:
    """Refuse what can be refused before anything runs; nothing is written, and no tape's files are hashed.

    Raises:
        InputError: as `make_plan`.
    """
    search = check_configuration(settings, paths)
    symbol, tapes = peek_tapes(settings, search, paths)
    champion, _ = _champion(settings, paths, symbol)
    trust_region(champion, search.trust_radius)
    if tapes:
        cut = split_tapes([window_count(tape, settings.window_seconds) for tape in tapes], search.fresh_share)
        _affordable(tapes, cut, settings, search)


def check_configuration(settings: TuneSettings, paths: Paths) -> SearchSettings:
    """Refuse what can be refused before a tape is known.

    Raises:
        ConfigError: the maker's profile or the configuration.
    """
    search = load_search(paths.config)
    load_judge(paths.config)
    load_gates(paths.config)
    load_profile(paths.config, settings.maker_profile or default_profile_name())
    settings.effort(search)
    return search
