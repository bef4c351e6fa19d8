"""What the optimiser is asked: which tapes, when to stop, how much a search may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine.config import ConfigModel
from engine.paths import Paths
from engine.search.settings import Effort, TuneSettings

STATE, STOP, AUDIT = "optimizer_state.json", "STOP_OPTIMIZER", "long_regression_audit.jsonl"


class OptimizeSettings(ConfigModel):
    """The parameters of the flow and of its deployment. All have defaults.

    state_file      empty: datasets/optimize/optimizer_state.json; the audit file stands beside it
    stop_file       empty: STOP_OPTIMIZER beside the state file
    tapes           tapes, or folders of tapes; empty: the recorded ones of datasets/tapes
    mock            two generated tapes a round, with the next two seeds; mock_hours null: config/search.json's
    tapes_per_round the oldest so many of those that no round has seen
    continuous      go on, waiting for new tapes, until the stop file is there
    poll_seconds    between two looks for new tapes
    max_rounds      null: no limit
    max_runtime_sec no round begins after so long, and the search of one that runs is cut short
    min_objective_delta_bps   the least confirmed effect, d_w's mean, that is promoted
    profile, trials, lanes, seed, window_seconds, maker_profile   as for a tune; a round's seed is seed + round - 1
    """

    state_file: str = ""
    stop_file: str = ""
    tapes: tuple[str, ...] = ()
    mock: bool = False
    mock_hours: Annotated[float | None, Field(gt=0, le=48)] = None
    tapes_per_round: int = Field(default=8, ge=2, le=64)
    continuous: bool = False
    poll_seconds: float = Field(default=60.0, gt=0, le=86_400)
    max_rounds: Annotated[int | None, Field(ge=1)] = None
    max_runtime_sec: Annotated[float | None, Field(gt=0)] = None
    min_objective_delta_bps: float = Field(default=0.0, ge=0)
    profile: Effort = "standard"
    trials: Annotated[int | None, Field(ge=1, le=10_000)] = None
    lanes: Annotated[int | None, Field(ge=1, le=512)] = None
    seed: int = Field(default=0, ge=0)
    window_seconds: int = Field(default=300, ge=1, le=86_400)
    maker_profile: str = ""

    def state_path(self, paths: Paths) -> Path:
        return Path(self.state_file) if self.state_file else paths.datasets / "optimize" / STATE

    def stop_path(self, paths: Paths) -> Path:
        return Path(self.stop_file) if self.stop_file else self.state_path(paths).with_name(STOP)

    def tuning(self, folders: tuple[str, ...], number: int) -> TuneSettings:
        """The tune of round `number` on the tapes in `folders`."""
        return TuneSettings(
            tapes=folders,
            trials=self.trials,
            lanes=self.lanes,
            seed=self.seed + number - 1,
            profile=self.profile,
            window_seconds=self.window_seconds,
            maker_profile=self.maker_profile,
            max_runtime_sec=self.max_runtime_sec,
        )
