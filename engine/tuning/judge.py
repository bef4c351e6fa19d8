"""The promotion test: is the challenger better than the champion on windows that the search has never seen?

Looks are taken after 24, 48, 72 and 96 usable windows (config/judge.json), each on the first so many of them. At a
look, in this order: the notional floor, the expected-shortfall check, the lower boundary (each can REJECT), the upper
boundary (PROMOTE). The first look that decides is the last; windows after it change nothing. So the verdict is a
function of the ordered windows alone: judging after every window, or once, ends the same.

Missing data is never a pass. Looks count usable windows only, and a promotion must also hold with every missing
window put at the worst difference seen, in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtr, ndtri

from engine.config import ConfigModel, load_config
from engine.tuning.confirm import ConfirmSettings, LookNumbers, MeanTest, mean_test, take_look
from engine.tuning.cusum import BreakerSettings, CusumSettings
from engine.tuning.gate import Objections
from engine.tuning.interval import MIN_WINDOWS, PHI_WARNING
from engine.tuning.pairing import Pairs, WindowSeries, differences_bps, levels_bps, pair
from engine.tuning.sequential import Boundaries, stagewise_p_value
from engine.tuning.shortfall import ShortfallSettings

Verdict = Literal["PROMOTE", "HOLD", "INCONCLUSIVE", "REJECT"]
_NONE = Objections()


class ScreenSettings(ConfigModel):
    """`windows`: selection windows that a candidate is screened on; `level`: one-sided level of the screen."""

    windows: int = Field(ge=MIN_WINDOWS)
    level: float = Field(gt=0, lt=0.5)


class JudgeSettings(ConfigModel):
    """config/judge.json. `min_notional_share`: of the champion's notional, below which a challenger is rejected."""

    screen: ScreenSettings
    confirm: ConfirmSettings
    shortfall: ShortfallSettings
    min_notional_share: float = Field(gt=0, lt=1)
    cusum: CusumSettings
    breaker: BreakerSettings


def load_judge(config: Path) -> JudgeSettings:
    """The settings of the configuration folder. Raises ConfigError, naming file, key and remedy."""
    return load_config(config / "judge.json", JudgeSettings)


@dataclass(frozen=True)
class Effect:
    """Mean d_w in bps with its interval over `windows` usable windows.

    `adjusted`: the interval holds at all looks together; otherwise only if nobody had looked before.
    """

    mean_bps: float
    low_bps: float
    high_bps: float
    confidence: float
    windows: int
    adjusted: bool


@dataclass(frozen=True)
class Look:
    """`p_value`: one-sided, adjusted for the looks before (stage-wise ordering). `missing`: windows missing before it;
    `worst_case_z`: z with those at the worst difference seen. `tail_ratio`: depth of the challenger's tail over the
    champion's, null where the champion has none."""

    windows: int
    effect: Effect
    z: float
    bound_z: float
    p_value: float
    phi: float
    notional_share: float
    champion_shortfall_bps: float
    challenger_shortfall_bps: float
    tail_ratio: float | None
    allowed_tail_ratio: float
    missing: int
    worst_case_z: float
    outcome: Literal["promote", "reject", "go on"]
    reason: str


@dataclass(frozen=True)
class Judgement:
    """`windows_used`: those the verdict rests on; `windows_usable`: all pairs given. `to_next_look` and
    `at_most_needed` are 0 once a look has decided. `running`: all usable windows so far, unadjusted; `effect`: the
    last look's, adjusted, or `running` before the first. `phi` is that of the effect's differences."""

    verdict: Verdict
    reason: str
    effect: Effect | None
    running: Effect | None
    looks: tuple[Look, ...]
    windows_used: int
    windows_usable: int
    to_next_look: int
    at_most_needed: int
    phi: float | None
    missing: dict[str, int]
    gate_failures: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Screen:
    """`z` and `p_value`: of the mean difference on the selection windows, one-sided, unadjusted for the number of
    candidates: the confirmation on fresh windows is what guards against choosing the luckiest."""

    passed: bool
    reason: str
    mean_bps: float | None
    z: float | None
    p_value: float | None
    windows: int


def screen(champion: WindowSeries, challenger: WindowSeries, settings: JudgeSettings) -> Screen:
    """The LRV-t screen on selection windows: the last `settings.screen.windows` usable ones. Too few do not pass."""
    pairs, needed = pair(champion, challenger), settings.screen.windows
    if len(pairs) < needed:
        return Screen(False, f"{len(pairs)} usable windows, {needed} needed", None, None, None, len(pairs))
    if pairs.champion_notional[-needed:].sum() <= 0:
        return Screen(False, "the champion has no notional in these windows", None, None, None, needed)
    share = _notional_share(pairs, slice(-needed, None))
    last = slice(-needed, None)
    test = mean_test(
        differences_bps(pairs.champion_pnl[last], pairs.champion_notional[last], pairs.challenger_pnl[last])
    )
    p_value = float(ndtr(-test.z))
    if share < settings.min_notional_share:
        passed, reason = False, _floor_reason(share, settings)
    else:
        passed = p_value <= settings.screen.level
        reason = f"p {p_value:.3g} against {settings.screen.level:g}"
    return Screen(passed, reason, float(test.mean), float(test.z), p_value, needed)


def judge_challenger(
    champion: WindowSeries,
    challenger: WindowSeries,
    settings: JudgeSettings,
    gates: Objections = _NONE,
) -> Judgement:
    """The verdict on fresh windows.

    Args:
        champion, challenger: the lanes' windows, in order of time; unknown values are NaN.
        gates: what the challenger's gates on these windows have against it. One that failed rejects, though not before
            the first look, where it is a few windows' luck as well; one without data lets nothing be promoted.

    Returns:
        PROMOTE: better, shown. REJECT: worse, shown, or the floor, the shortfall check or a gate failed. HOLD: the
        looks are used up and nothing is shown. INCONCLUSIVE: looks remain, or a gate without data is waited for.
    """
    pairs = pair(champion, challenger)
    bounds = settings.confirm.boundaries
    looks: list[Look] = []
    for index, count in enumerate(bounds.looks):
        if count > len(pairs) or (looks and looks[-1].outcome != "go on"):
            break
        if pairs.champion_notional[:count].sum() > 0:
            looks.append(_look(pairs, index, bounds, settings))
    verdict, reason = _verdict(pairs, looks, bounds, gates)

    decided = bool(looks) and looks[-1].outcome != "go on"
    final = verdict != "INCONCLUSIVE" or decided
    last = bounds.looks[-1]
    next_look = min((count for count in bounds.looks if count > len(pairs)), default=last)
    running = _running(pairs, settings.confirm.error_per_side)
    effect = looks[-1].effect if looks else (running[0] if running else None)
    phi = looks[-1].phi if looks else (running[1] if running else None)
    used = looks[-1].windows if decided else min(len(pairs), last)
    return Judgement(
        verdict=verdict,
        reason=reason,
        effect=effect,
        running=running[0] if running else None,
        looks=tuple(looks),
        windows_used=used,
        windows_usable=len(pairs),
        to_next_look=0 if final else next_look - len(pairs),
        at_most_needed=0 if final else last - len(pairs),
        phi=phi,
        missing={
            "only_champion": pairs.only_champion,
            "only_challenger": pairs.only_challenger,
            "unknown": pairs.unknown,
            "outside": pairs.outside,
        },
        gate_failures=gates.failed,
        warnings=tuple(_warnings(pairs, phi, used)),
    )


def _look(pairs: Pairs, index: int, bounds: Boundaries, settings: JudgeSettings) -> Look:
    count, bound_z = bounds.looks[index], bounds.z[index]
    champion, challenger = levels_bps(pairs, count)
    numbers = take_look(champion, challenger, bound_z, bounds.looks[-1], settings.shortfall)
    share = _notional_share(pairs, slice(count))
    worst_z = _worst_case_z(pairs, count, challenger - champion)
    outcome, reason = _outcome(numbers, share, bound_z, worst_z, pairs.missing_before(count), settings)
    z, tail = float(numbers.test.z), numbers.shortfall
    depth = float(tail.champion_depth_bps)
    return Look(
        windows=count,
        effect=_effect(numbers.test, bound_z, 1 - 2 * settings.confirm.error_per_side, count, adjusted=True),
        z=z,
        bound_z=bound_z,
        p_value=stagewise_p_value(bounds, index, z),
        phi=float(numbers.test.phi),
        notional_share=share,
        champion_shortfall_bps=float(tail.champion_bps),
        challenger_shortfall_bps=float(tail.challenger_bps),
        tail_ratio=float(tail.challenger_depth_bps) / depth if depth > 0 else None,
        allowed_tail_ratio=tail.allowed_ratio,
        missing=pairs.missing_before(count),
        worst_case_z=worst_z,
        outcome=outcome,
        reason=reason,
    )


def _outcome(
    numbers: LookNumbers, share: float, bound_z: float, worst_z: float, missing: int, settings: JudgeSettings
) -> tuple[Literal["promote", "reject", "go on"], str]:
    tail, z = numbers.shortfall, float(numbers.test.z)
    if share < settings.min_notional_share:
        return "reject", _floor_reason(share, settings)
    if not tail.passed:
        return "reject", (
            f"shortfall: its worst {100 * settings.shortfall.tail_share:g} % of windows average "
            f"{float(tail.challenger_bps):.2f} bps, the champion's {float(tail.champion_bps):.2f}; allowed is a tail "
            f"{tail.allowed_ratio:.2f} times as deep"
        )
    if numbers.worse:
        return "reject", f"worse than the champion: z {z:.2f} at or below -{bound_z:.2f}"
    if not numbers.better:
        return "go on", f"z {z:.2f} is between -{bound_z:.2f} and {bound_z:.2f}"
    if worst_z < bound_z:
        return "go on", (
            f"z {z:.2f} reaches {bound_z:.2f}, but with {missing} missing windows at the worst difference seen it "
            f"would be {worst_z:.2f}: missing data is no pass"
        )
    return "promote", f"better than the champion: z {z:.2f} reaches {bound_z:.2f}"


def _verdict(pairs: Pairs, looks: Sequence[Look], bounds: Boundaries, gates: Objections) -> tuple[Verdict, str]:
    if looks and gates.failed:
        return "REJECT", f"gates: {'; '.join(gates.failed)}"
    if looks and looks[-1].outcome != "go on":
        reason = f"{looks[-1].reason} after {looks[-1].windows} windows"
        if looks[-1].outcome == "reject":
            return "REJECT", reason
        if gates.missing:
            return "INCONCLUSIVE", f"{reason}, but gates without data are no pass: {'; '.join(gates.missing)}"
        return "PROMOTE", reason
    traded = pairs.champion_notional[: bounds.looks[-1]].sum() > 0
    if len(pairs) >= bounds.looks[-1]:
        why = f"not shown to be better: {looks[-1].reason}" if traded and looks else "the champion never traded"
        return "HOLD", f"{why}; all {len(bounds.looks)} looks are used up"
    if not len(pairs):
        return "INCONCLUSIVE", "no window is known for both lanes"
    if not traded:
        return "INCONCLUSIVE", f"the champion has not traded in {len(pairs)} windows"
    if not looks:
        return "INCONCLUSIVE", f"{len(pairs)} usable windows; the first look is at {bounds.looks[0]}"
    return "INCONCLUSIVE", f"after {looks[-1].windows} windows {looks[-1].reason}; looks remain"


def _warnings(pairs: Pairs, phi: float | None, used: int) -> list[str]:
    warnings = []
    if phi is not None and phi > PHI_WARNING:
        warnings.append(
            f"autocorrelation phi {phi:.2f} is above {PHI_WARNING}: error rates hold less well, use longer windows"
        )
    if pairs.missing:
        warnings.append(
            f"{pairs.missing} windows are missing from the pairs ({pairs.only_champion} only in the champion, "
            f"{pairs.only_challenger} only in the challenger, {pairs.unknown} with unknown PnL or notional)"
        )
    if pairs.outside:
        warnings.append(f"{pairs.outside} windows lie outside the span that both lanes cover and are left out")
    if len(pairs) > used:
        warnings.append(f"{len(pairs) - used} windows after the decision are not used")
    return warnings


def _worst_case_z(pairs: Pairs, count: int, differences: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """z of the series with every missing window at the worst difference seen, or 0 if that is worse, in its place."""
    filled = np.full(int(pairs.slot[count - 1]) + 1, min(0.0, float(differences.min())))
    filled[pairs.slot[:count]] = differences
    return float(mean_test(filled).z)


def _running(pairs: Pairs, error_per_side: float) -> tuple[Effect, float] | None:
    """Effect and phi over all usable windows; None below MIN_WINDOWS or while the champion has not traded."""
    if len(pairs) < MIN_WINDOWS or pairs.champion_notional.sum() <= 0:
        return None
    champion, challenger = levels_bps(pairs)
    test = mean_test(challenger - champion)
    z = -float(ndtri(error_per_side))
    return _effect(test, z, 1 - 2 * error_per_side, len(pairs), adjusted=False), float(test.phi)


def _effect(test: MeanTest, z: float, confidence: float, windows: int, *, adjusted: bool) -> Effect:
    mean, half = float(test.mean), float(test.half_width(z))
    return Effect(mean, mean - half, mean + half, confidence, windows, adjusted)


def _notional_share(pairs: Pairs, part: slice) -> float:
    return float(pairs.challenger_notional[part].sum() / pairs.champion_notional[part].sum())


def _floor_reason(share: float, settings: JudgeSettings) -> str:
    return f"trades {100 * share:.3g} % of the champion's notional, less than {100 * settings.min_notional_share:g} %"
