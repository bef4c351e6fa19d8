"""The error rates of the promotion test and the rollback detector, measured by simulation.

Every study runs the arithmetic that decides (confirm.py, cusum.py) on simulated windows (noise.py). Chunk i of study s
draws from the generator of (seed, s, i): the figures depend on the seed, the sizes and the settings alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from engine.tuning.confirm import Outcomes, confirm_many, mean_test
from engine.tuning.cusum import CusumSettings, cusum_step, estimated_baselines
from engine.tuning.judge import JudgeSettings
from engine.tuning.noise import NoiseModel, lane_noise, resampled

DEFAULT_SEED = 20261120
CANDIDATES = 16
EFFECTS_BPS = (0.0, 0.25, 0.5, 1.0)
_Z95 = 1.959964
_PAIRS_PER_CHUNK = 5_000
_RUN_IN = 200
"""Healthy windows before the detector's alarms or delay are counted, so that it is no longer fresh."""
_BASELINE = 96


@dataclass(frozen=True)
class Bound:
    """What a figure must be: at most, or at least, `limit`."""

    limit: float
    at_most: bool

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One measured figure with its 95 % interval; `count`: what it was measured on (`counted`)."""

    study: str
    name: str
    value: float
    low: float
    high: float
    unit: str
    count: int
    counted: str
    bound: Bound | None = None

    def holds(self, *, quick: bool) -> bool | None:
        """Whether the bound is met; `quick` is content unless the interval excludes the bound. None without bound."""
        if self.bound is None:
            return None
        if self.bound.at_most:
            return (self.low if quick else self.value) <= self.bound.limit
        return (self.high if quick else self.value) >= self.bound.limit

    def to_json(self, *, quick: bool) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds(quick=quick)}


@dataclass(frozen=True)
class Sizes:
    """`pairs` of series per effect, `choices` from CANDIDATES, `paths` watched over `path_windows`."""

    pairs: int
    choices: int
    paths: int
    path_windows: int


FULL = Sizes(pairs=200_000, choices=40_000, paths=20_000, path_windows=2_000)
QUICK = Sizes(pairs=20_000, choices=6_000, paths=3_000, path_windows=1_200)

Progress = Callable[[str], None]


def calibrate(
    settings: JudgeSettings,
    sizes: Sizes,
    seed: int = DEFAULT_SEED,
    model: NoiseModel | None = None,
    progress: Progress = lambda study: None,
) -> list[Figure]:
    """All studies on simulated windows, in a fixed order. `progress` is told what runs next."""
    model = model or NoiseModel()
    figures: list[Figure] = []
    for study in (confirm_study, autocorrelation_study, best_of_study, tail_study, rollback_study):
        progress(study.__doc__.splitlines()[0] if study.__doc__ else study.__name__)
        figures += study(settings, sizes, seed, model)
    return figures


def confirm_study(settings: JudgeSettings, sizes: Sizes, seed: int, model: NoiseModel) -> list[Figure]:
    """False promotions and power of the confirmation."""
    noise = _noise(settings, sizes.pairs, (seed, 1), model)
    outcomes = _confirmed(settings, noise, EFFECTS_BPS)
    bounds = {0.0: Bound(6.0, True), 0.5: Bound(86.0, False)}
    figures = []
    for effect, outcome in zip(EFFECTS_BPS, outcomes, strict=True):
        label = f"{effect:+g} bps" if effect else "A/A"
        figures.append(_rate("confirm", f"{label}: promoted", outcome.promoted, bounds.get(effect)))
        figures.append(_mean("confirm", f"{label}: windows used", outcome.windows.astype(np.float64), "windows"))
    figures.append(_rate("confirm", "A/A: rejected", outcomes[0].rejected))
    return figures


def autocorrelation_study(settings: JudgeSettings, sizes: Sizes, seed: int, model: NoiseModel) -> list[Figure]:
    """False promotions at other autocorrelations."""
    figures = []
    for number, phi in enumerate((0.0, 0.5, 0.7)):
        noise = _noise(settings, sizes.pairs // 2, (seed, 2, number), replace(model, phi=phi))
        (outcome,) = _confirmed(settings, noise, (0.0,))
        figures.append(_rate("confirm", f"A/A at phi {phi:g}: promoted", outcome.promoted))
    return figures


def best_of_study(settings: JudgeSettings, sizes: Sizes, seed: int, model: NoiseModel) -> list[Figure]:
    """The best of 16 null candidates: screened on selection windows, confirmed on fresh ones."""
    seen, fresh = settings.screen.windows, settings.confirm.looks[-1]
    passed, promoted = [], []
    for rng, count in _chunks(sizes.choices, (seed, 3), _PAIRS_PER_CHUNK // CANDIDATES):
        lanes = lane_noise(rng, model, 1 + CANDIDATES, count, seen + fresh)
        z = mean_test(lanes[1:, :, :seen] - lanes[0, :, :seen]).z
        best = z.argmax(axis=0)
        chosen = lanes[1 + best, np.arange(count), seen:]
        screened = ndtr(-z.max(axis=0)) <= settings.screen.level
        outcome = confirm_many(lanes[0, :, seen:], chosen, settings.confirm, settings.shortfall)
        passed.append(screened)
        promoted.append(screened & outcome.promoted)
    return [
        _rate("best of 16 nulls", "passed the screen", np.concatenate(passed)),
        _rate("best of 16 nulls", "promoted", np.concatenate(promoted), Bound(4.0, True)),
    ]


def tail_study(settings: JudgeSettings, sizes: Sizes, seed: int, model: NoiseModel) -> list[Figure]:
    """A challenger that gains 2 bps in most windows and loses 10 sd in one of twenty, by chance none so far."""
    gain_bps, loss_sd, share = 2.0, 10.0, 0.05
    blind = settings.shortfall.model_copy(update={"allowed_excess": 1e12})
    alone, whole, seen = [], [], []
    for rng, count in _chunks(sizes.pairs // 4, (seed, 4), _PAIRS_PER_CHUNK):
        champion, challenger = lane_noise(rng, model, 2, count, settings.confirm.looks[-1])
        hit = rng.random(challenger.shape) < share
        challenger += gain_bps - loss_sd * model.sd_bps * hit
        alone.append(confirm_many(champion, challenger, settings.confirm, blind).promoted)
        outcome = confirm_many(champion, challenger, settings.confirm, settings.shortfall)
        whole.append(outcome.promoted)
        hits_before = np.cumsum(hit, axis=-1)[np.arange(count), outcome.windows - 1]
        seen.append(outcome.promoted[hits_before > 0])
    label = "5 % of windows at -10 sd, others +2 bps: promoted"
    return [
        _rate("tail damage", f"{label} by the mean test alone", np.concatenate(alone)),
        _rate("tail damage", f"{label} with the shortfall check", np.concatenate(whole)),
        _rate("tail damage", f"{label} although a hit was seen", np.concatenate(seen)),
    ]


def rollback_study(settings: JudgeSettings, sizes: Sizes, seed: int, model: NoiseModel) -> list[Figure]:
    """False alarms of the rollback detector, and its delay after a drop."""
    figures: list[Figure] = []
    cusum, count = settings.cusum, sizes.paths * sizes.path_windows
    drops = (1.0, 2.0, 3.0)
    for number, label in enumerate(("paired", "level")):
        paired = label == "paired"
        sd = model.difference_sd_bps if paired else model.sd_bps
        false, estimated = [], []
        delays: dict[float, list[NDArray[np.float64]]] = {drop: [] for drop in drops}
        for rng, paths in _chunks(sizes.paths, (seed, 5, number), 500):
            seen = _watched(rng, model, paths, _BASELINE + _RUN_IN + sizes.path_windows, paired=paired)
            past, healthy = seen[:, :_BASELINE], seen[:, _BASELINE:]
            false.append(_alarms(healthy / sd, cusum))
            target, own_sd = (values[:, None] for values in estimated_baselines(past, paired=paired))
            estimated.append(_alarms((healthy - target) / own_sd, cusum))
            for drop in drops:
                delays[drop].append(_delays(healthy / sd, drop / sd, cusum))
        per_1000 = 1000.0 / sizes.path_windows
        bound = Bound(1.1, True)
        figures += [
            _mean(f"rollback, {label}", "false alarms per 1,000", per_1000 * np.concatenate(false), "", bound, count),
            _mean(
                f"rollback, {label}",
                f"false alarms per 1,000, baseline from {_BASELINE} windows",
                per_1000 * np.concatenate(estimated),
                "",
                None,
                count,
            ),
        ]
        for drop in drops:
            limit = Bound(22.0, True) if paired and drop == 1.0 else None
            figures.append(
                _mean(f"rollback, {label}", f"delay at -{drop:g} bps", np.concatenate(delays[drop]), "windows", limit)
            )
    return figures


def own_study(
    settings: JudgeSettings,
    levels_bps: NDArray[np.float64],
    pairs: int,
    seed: int = DEFAULT_SEED,
    planted_bps: float = 0.5,
    pairing: float = 0.8,
) -> list[Figure]:
    """False promotions and power on the operator's own windows, resampled in blocks of n^(1/3), at least 4.

    No bound: a hundred windows say too little about their own autocorrelation. On files drawn from the model at 96
    windows, whose true rate is 5.6 %, this gave 3.5 to 7.4 %; the intervals only count the simulation.

    Args:
        levels_bps: [1, n] one lane, or [2, n] two lanes with the same parameters on the same windows; bps of the first
            one's mean notional, n at least the windows of the first look.
        pairing: with one lane, the correlation assumed between two; two lanes bring their own.
    """
    residuals = levels_bps - levels_bps.mean(axis=-1, keepdims=True)
    windows, n = settings.confirm.looks[-1], residuals.shape[-1]
    block = max(4, round(n ** (1 / 3)))

    def draw() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        for rng, count in _chunks(pairs, (seed, 6), _PAIRS_PER_CHUNK):
            if len(residuals) == 2:
                first, second = resampled(rng, residuals, block, count, windows)
                swapped = rng.random((count, 1)) < 0.5
                yield np.where(swapped, second, first), np.where(swapped, first, second)
            else:
                common, first, second = (resampled(rng, residuals, block, count, windows)[0] for _ in range(3))
                shared, own = math.sqrt(pairing) * common, math.sqrt(1 - pairing)
                yield shared + own * first, shared + own * second

    null, planted = _confirmed(settings, draw(), (0.0, planted_bps))
    return [
        _rate("own windows", "A/A: promoted", null.promoted),
        _rate("own windows", "A/A: rejected", null.rejected),
        _rate("own windows", f"{planted_bps:+g} bps: promoted", planted.promoted),
        _mean("own windows", f"{planted_bps:+g} bps: windows used", planted.windows.astype(np.float64), "windows"),
    ]


def _noise(
    settings: JudgeSettings, pairs: int, seed: tuple[int, ...], model: NoiseModel
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    for rng, count in _chunks(pairs, seed, _PAIRS_PER_CHUNK):
        champion, challenger = lane_noise(rng, model, 2, count, settings.confirm.looks[-1])
        yield champion, challenger


def _confirmed(
    settings: JudgeSettings,
    pairs: Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]],
    effects_bps: tuple[float, ...],
) -> list[Outcomes]:
    """Outcomes per effect, each added to the challengers of the same pairs."""
    parts: list[list[Outcomes]] = [[] for _ in effects_bps]
    for champion, challenger in pairs:
        for part, effect in zip(parts, effects_bps, strict=True):
            part.append(confirm_many(champion, challenger + effect, settings.confirm, settings.shortfall))
    return [
        Outcomes(
            np.concatenate([outcome.promoted for outcome in part]),
            np.concatenate([outcome.rejected for outcome in part]),
            np.concatenate([outcome.windows for outcome in part]),
        )
        for part in parts
    ]


def _watched(
    rng: np.random.Generator, model: NoiseModel, paths: int, windows: int, *, paired: bool
) -> NDArray[np.float64]:
    """What the detector sees while all is well, [paths, windows], in bps around 0."""
    lanes = lane_noise(rng, model, 2 if paired else 1, paths, windows)
    watched: NDArray[np.float64] = lanes[1] - lanes[0] if paired else lanes[0]
    return watched


def _alarms(standardised: NDArray[np.float64], cusum: CusumSettings) -> NDArray[np.float64]:
    """Alarms per path after the run-in, the detector starting anew after each."""
    total, alarms = np.zeros(len(standardised)), np.zeros(len(standardised))
    for window, column in enumerate(np.ascontiguousarray(standardised.T)):
        total = cusum_step(total, column, cusum)
        alarm = total > cusum.h_sd
        alarms += alarm & (window >= _RUN_IN)
        total[alarm] = 0.0
    return alarms


def _delays(standardised: NDArray[np.float64], drop_sd: float, cusum: CusumSettings) -> NDArray[np.float64]:
    """Windows from a drop to the alarm, over the paths that gave none in the healthy run-in before it.

    A path without alarm counts with the windows it had.
    """
    columns = np.ascontiguousarray(standardised.T)
    total, silent = np.zeros(len(standardised)), np.ones(len(standardised), dtype=bool)
    for column in columns[:_RUN_IN]:
        total = cusum_step(total, column, cusum)
        silent &= total <= cusum.h_sd
    total = total[silent]
    delay = np.zeros(len(total))
    waiting = np.ones(len(total), dtype=bool)
    for column in columns[_RUN_IN:, silent] - drop_sd:
        delay += waiting
        total = cusum_step(total, column, cusum)
        waiting &= total <= cusum.h_sd
        if not waiting.any():
            break
    return delay


def _chunks(total: int, seed: tuple[int, ...], size: int) -> Iterator[tuple[np.random.Generator, int]]:
    for chunk, start in enumerate(range(0, total, size)):
        yield np.random.default_rng([*seed, chunk]), min(size, total - start)


def _rate(study: str, name: str, hits: NDArray[np.bool_], bound: Bound | None = None) -> Figure:
    """In percent, with Wilson's interval."""
    n, share = len(hits), float(hits.mean())
    centre = (share + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * math.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Figure(study, name, 100 * share, 100 * low, 100 * high, "%", n, "series", bound)


def _mean(
    study: str,
    name: str,
    values: NDArray[np.float64],
    unit: str,
    bound: Bound | None = None,
    count: int | None = None,
) -> Figure:
    """With the normal interval from the spread over series; `count` is shown instead of their number."""
    mean, half = float(values.mean()), _Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    counted = "series" if count is None else "windows"
    return Figure(study, name, mean, mean - half, mean + half, unit, count or len(values), counted, bound)
