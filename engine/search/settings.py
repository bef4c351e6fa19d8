"""config/search.json: the weights of the objective, the effort profiles, the trust region; and what a tune is asked.

Every penalty is bps per unit by which a trial is worse than the champion on the same windows: the champion's own
objective is 0, and what is the same for all lanes of a tape cancels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from engine.config import ConfigModel, load_config

Effort = Literal["quick", "standard", "deep"]
SelectionMode = Literal["robust", "best"]
Share = Annotated[float, Field(gt=0, lt=1)]


class Penalty(ConfigModel):
    """`bps_per_unit` of a worsening measured in `unit`."""

    bps_per_unit: float = Field(ge=0)
    unit: str


class Penalties(ConfigModel):
    """The terms of the objective beside EV_net; what each measures is in engine/search/objective.py."""

    latency: Penalty
    decision_compute: Penalty
    feed: Penalty
    block_ratio: Penalty
    execution_shortfall: Penalty
    data_valid: Penalty
    instability: Penalty
    gate_fail: Penalty


class EffortProfile(ConfigModel):
    """How much is done. `lanes`: trials in a batch; `halving`: stop the worse half of a batch after the first tapes."""

    trials: int = Field(ge=1)
    lanes: int = Field(ge=1)
    walkforward_windows: int = Field(ge=1)
    top_k_consensus: int = Field(ge=1)
    halving: bool


class Profiles(ConfigModel):
    quick: EffortProfile
    standard: EffortProfile
    deep: EffortProfile


class GeneratedTapes(ConfigModel):
    """The tapes that are made where none is given or recorded; one per seed."""

    market: str
    seeds: tuple[int, ...] = Field(min_length=2)
    hours: float = Field(gt=0)


class Cost(ConfigModel):
    """Seconds of a tune on one core, for the estimate beforehand."""

    ns_per_event: float = Field(ge=0)
    ns_per_lane_event: float = Field(ge=0)
    search_seconds_per_batch: float = Field(ge=0)
    start_seconds: float = Field(ge=0)


class SearchSettings(ConfigModel):
    """`trust_radius`: of each range; `sobol`: first points; `kappa`: of the upper bound; `fresh_share`: of the
    windows, kept for confirmation in whole tapes."""

    penalties: Penalties
    profiles: Profiles
    trust_radius: float = Field(gt=0, le=1)
    sobol: int = Field(ge=1, le=64)
    kappa: float = Field(ge=0)
    fresh_share: Share
    generated: GeneratedTapes
    cost: Cost


def load_search(config: Path) -> SearchSettings:
    """The settings of the configuration folder. Raises ConfigError, naming file, key and remedy."""
    return load_config(config / "search.json", SearchSettings)


class TuneSettings(ConfigModel):
    """What a tune is asked to do; the parameters of the flow and of its deployments. All have defaults.

    tapes           folders of tapes in order of time; empty: the newest recorded ones, else generated ones
    symbol, venue   of the recorded tapes; empty: those of the newest. Where given, nothing is generated
    trials, lanes, walkforward_windows, top_k_consensus   null: the effort profile's
    seed            of the search
    profile         the effort
    selection_mode  robust: by the lower of posterior mean and walk-forward score; best: by the posterior mean
    maker_profile   config/profiles/market_maker_<...>.json; empty: MM_PROFILE, else S1
    overrides       a parameter set to take for the champion; empty: the symbol's champion, else the initial values
    max_runtime_sec stop searching after so long; what was tried so far is judged, and the count recorded
    max_estimated_sec  refuse beforehand if the estimate is above it
    """

    tapes: tuple[str, ...] = ()
    symbol: str = ""
    venue: str = ""
    trials: Annotated[int | None, Field(ge=1, le=10_000)] = None
    lanes: Annotated[int | None, Field(ge=1, le=512)] = None
    seed: int = Field(default=0, ge=0)
    profile: Effort = "standard"
    selection_mode: SelectionMode = "robust"
    walkforward_windows: Annotated[int | None, Field(ge=1, le=50)] = None
    top_k_consensus: Annotated[int | None, Field(ge=1, le=50)] = None
    window_seconds: int = Field(default=300, ge=1, le=86_400)
    maker_profile: str = ""
    overrides: str = ""
    max_runtime_sec: Annotated[float | None, Field(gt=0)] = None
    max_estimated_sec: Annotated[float | None, Field(gt=0)] = None

    def effort(self, search: SearchSettings) -> EffortProfile:
        """The effort profile with what was asked for in its place."""
        profile: EffortProfile = getattr(search.profiles, self.profile)
        names = ("trials", "lanes", "walkforward_windows", "top_k_consensus")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return EffortProfile.model_validate({**profile.model_dump(), **given})
