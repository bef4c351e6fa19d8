"""A soak's settings and its plan: everything that is decided before the bot starts.

Notation: the run's span is [start_ns, end_ns), market time; w a window's length. Windows are
[start + i w, start + (i + 1) w), the last one may be short; an iteration holds a whole number of windows, the same
for all. Where the span is too short for that, w shrinks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from engine.config import ConfigModel
from engine.errors import InputError
from engine.params import Params
from engine.paths import Paths

NS_PER_S = 1_000_000_000
WINDOW_SECONDS = 300


class SoakSettings(ConfigModel):
    """What a soak is asked to do; the parameters of the flow and of its deployments.

    feed            replay: a tape; bybit, binance: the venue's live feed, which is recorded (paper fills, real time)
    endpoint        ws://host:port instead of the venue's own addresses
    tape            folder of the tape to replay; empty: the generated market of config/simulator/s1.json
    symbols         the symbol expected on the tape (empty: whatever it holds), or those subscribed to: a run each
    profile         config/profiles/market_maker_<profile>.json; empty: MM_PROFILE, else S1
    overrides       a parameter set to start from; empty: the symbol's champion, else the table's initial values
    hours           at most so much market time; on a live feed real time
    seed            seed of the generated market (a tape has none); null: the market's own
    window_seconds  length of a scoring window
    matrix          config/driver_matrix_<matrix>.json; empty: the shipped driver_matrix.json
    """

    feed: Literal["replay", "bybit", "binance"] = "replay"
    endpoint: str = ""
    tape: str = ""
    symbols: Annotated[tuple[str, ...], Field(strict=False)] = ()  # Prefect hands over lists
    profile: str = ""
    overrides: str = ""
    hours: Annotated[float, Field(gt=0, le=24 * 31)] = 3.0
    iterations: Annotated[int, Field(ge=1, le=1000)] = 6
    auto_tune: bool = False
    seed: Annotated[int | None, Field(ge=0)] = None
    window_seconds: Annotated[int, Field(ge=1, le=86_400)] = WINDOW_SECONDS
    matrix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]*$")] = ""

    @model_validator(mode="after")
    def _one_market(self) -> SoakSettings:
        if self.live and self.tape:
            raise ValueError("a tape is replayed, a live feed is recorded: give --tape or --feed")
        if self.endpoint and not self.live:
            raise ValueError("an endpoint is for a live feed: add --feed bybit or --feed binance")
        if len(set(self.symbols)) < len(self.symbols):
            raise ValueError("a symbol is given twice")
        return self

    @property
    def live(self) -> bool:
        """Whether the market is a live feed."""
        return self.feed != "replay"

    def one_each(self) -> tuple[SoakSettings, ...]:
        """The settings of each run: a live soak of several symbols has one for each, side by side."""
        if not self.live or len(self.symbols) < 2:
            return (self,)
        return tuple(self.model_copy(update={"symbols": (symbol,)}) for symbol in self.symbols)

    def command(self, profile: str) -> list[str]:
        """The words after `nightsoak` that ask for the same run."""
        words = ["soak", "--hours", f"{self.hours:g}", "--iterations", str(self.iterations)]
        words += ["--auto-tune"] if self.auto_tune else []
        words += ["--feed", self.feed] if self.live else []
        words += ["--endpoint", self.endpoint] if self.endpoint else []
        words += ["--tape", self.tape] if self.tape else []
        words += ["--symbols", *self.symbols] if self.symbols else []
        words += ["--profile", profile]
        words += ["--overrides", self.overrides] if self.overrides else []
        words += ["--seed", str(self.seed)] if self.seed is not None else []
        words += ["--window-seconds", str(self.window_seconds)] if self.window_seconds != WINDOW_SECONDS else []
        words += ["--matrix", self.matrix] if self.matrix else []
        return words


@dataclass(frozen=True)
class Schedule:
    """How a span of market time is cut. `window_seconds` is the length of all windows but perhaps the last."""

    start_ns: int
    end_ns: int
    window_seconds: int
    windows: int
    windows_per_iteration: int

    @property
    def iterations(self) -> int:
        return self.windows // self.windows_per_iteration

    def window_start_ns(self, window: int) -> int:
        return self.start_ns + window * self.window_seconds * NS_PER_S

    def window_end_ns(self, window: int) -> int:
        return min(self.window_start_ns(window + 1), self.end_ns)

    def iteration_of(self, window: int) -> int:
        return window // self.windows_per_iteration

    def ends_iteration(self, window: int) -> bool:
        return (window + 1) % self.windows_per_iteration == 0


def cut_span(start_ns: int, end_ns: int, iterations: int, window_seconds: int, *, where: str = "tape") -> Schedule:
    """Cut [start_ns, end_ns) into `iterations` equal runs of whole windows.

    What is left over behind the last whole run of windows is not used. Windows keep `window_seconds` unless an
    iteration is shorter than that; then an iteration is one window, of whole seconds.

    Raises:
        InputError: not even one second an iteration.
    """
    span_ns = max(0, end_ns - start_ns)
    shortest_s = -(-span_ns // (iterations * NS_PER_S))
    window_s = min(window_seconds, shortest_s)
    windows = -(-span_ns // (window_s * NS_PER_S)) if window_s else 0
    if windows < iterations and window_s > 1:  # rounding the window up cost an iteration
        window_s -= 1
        windows = -(-span_ns // (window_s * NS_PER_S))
    per_iteration = windows // iterations
    if per_iteration == 0:
        raise InputError(
            f"{span_ns / NS_PER_S:.1f} s of market time cannot be cut into {iterations} iterations",
            where=where,
            remedy="ask for fewer iterations, or give a longer tape",
        )
    windows = per_iteration * iterations
    end_ns = min(end_ns, start_ns + windows * window_s * NS_PER_S)
    return Schedule(start_ns, end_ns, window_s, windows, per_iteration)


@dataclass(frozen=True)
class Companion:
    """A lane beside lane 0 on the same market, with parameters of its own that nobody changes during the run.

    kind      "challenger": waits for its confirmation; "former": the champion before this one
    earlier   paired windows of earlier runs, in order of time: champion's PnL and notional, companion's PnL and
              notional, in quote currency; None where unknown
    counted   windows of this run that are evidence; None before that is known
    fresh_after_ns, since_utc, seen_tapes   what is evidence at all (engine.champion.evidence.paired_windows)
    """

    id: str
    kind: str
    params: Params
    earlier: tuple[tuple[float | None, float | None, float | None, float | None], ...] = ()
    counted: tuple[int, ...] | None = None
    fresh_after_ns: int | None = None
    since_utc: str = ""
    seen_tapes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "params": dict(self.params)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Companion:
        earlier = tuple((row[0], row[1], row[2], row[3]) for row in value["earlier"])
        counted = None if value["counted"] is None else tuple(value["counted"])
        params = Params().with_changes(value["params"])
        seen = tuple(value.get("seen_tapes", ()))
        return cls(**{**value, "params": params, "earlier": earlier, "counted": counted, "seen_tapes": seen})


@dataclass(frozen=True)
class RunPlan:
    """All that a run needs to know; written to <run folder>/plan.json, read by the bot.

    `inputs` is {name: sha256} of what decides the result. `notes` are sentences for the reader: where the run
    differs from what was asked. `params_source` says where `params` come from. `champion`: its own set, where
    lane 0 starts from a calmed one. `again`: the run is done a second time, from its tape.
    """

    run_id: str
    symbol: str
    settings: SoakSettings
    schedule: Schedule
    tape: Path
    tape_facts: dict[str, Any]
    profile: str
    params: Params
    params_source: str
    position_start_lots: int
    latency_modelled: bool
    git: str
    inputs: dict[str, str]
    notes: tuple[str, ...]
    paths: Paths
    companions: tuple[Companion, ...] = ()
    champion: Params | None = None
    again: bool = False

    @property
    def live(self) -> bool:
        """Whether the market is a live feed, and not the tape that was recorded of it."""
        return self.settings.live and not self.again

    @property
    def lanes(self) -> list[dict[str, Any]]:
        """Lane 0 is tuned; beside it, in an auto-tuned run, its starting parameters frozen (the champion's own, where
        lane 0 starts calmed); then the companions."""
        rows = [("champion", "", self.params)]
        if self.frozen_lane:
            rows.append(("control", "", self.champion or self.params))
        rows += [("challenger", one.id, one.params) for one in self.companions]
        return [
            {"lane": lane, "role": role, "params": dict(params)} | ({"id": name} if name else {})
            for lane, (role, name, params) in enumerate(rows)
        ]

    @property
    def frozen_lane(self) -> int:
        """The lane that keeps the champion's parameters throughout: the one that companions are compared with."""
        return 1 if self.settings.auto_tune or self.champion is not None else 0

    @property
    def folder(self) -> Path:
        """The run's working folder: plan, state, the bot's log."""
        return self.paths.datasets / "runs" / self.run_id

    @property
    def file(self) -> Path:
        return self.folder / "plan.json"

    @property
    def state_file(self) -> Path:
        return self.folder / "state.json"

    @property
    def overrides_file(self) -> Path:
        return self.paths.overrides(self.symbol)

    def to_json(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "symbol": self.symbol,
            "settings": self.settings.model_dump(mode="json"),
            "schedule": vars(self.schedule),
            "tape": str(self.tape),
            "tape_facts": self.tape_facts,
            "profile": self.profile,
            "params": dict(self.params),
            "params_source": self.params_source,
            "position_start_lots": self.position_start_lots,
            "latency_modelled": self.latency_modelled,
            "git": self.git,
            "inputs": self.inputs,
            "notes": list(self.notes),
            "paths": {name: str(path) for name, path in vars(self.paths).items()},
            "companions": [one.to_json() for one in self.companions],
            "champion": None if self.champion is None else dict(self.champion),
            "again": self.again,
        }

    @classmethod
    def read(cls, path: Path) -> RunPlan:
        """The plan in `path`.

        Raises:
            InputError: there is none, or it is not a plan.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                **{
                    **value,
                    "settings": SoakSettings.model_validate_json(json.dumps(value["settings"])),
                    "schedule": Schedule(**value["schedule"]),
                    "tape": Path(value["tape"]),
                    "params": Params().with_changes(value["params"]),
                    "champion": Params().with_changes(value["champion"]) if value.get("champion") else None,
                    "notes": tuple(value["notes"]),
                    "paths": Paths(**{name: Path(folder) for name, folder in value["paths"].items()}),
                    "companions": tuple(Companion.from_json(one) for one in value["companions"]),
                }
            )
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path), remedy="give a plan.json") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"is not a run's plan: {error}", where=str(path), remedy="start a new soak") from error


def make_run_id(utc_stamp: str, symbol: str, inputs: dict[str, Any]) -> str:
    """<utc yyyymmddThhmmss>-<symbol>-<4 hex of a hash of the inputs>."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
    return f"{utc_stamp}-{symbol}-{digest[:4]}"
