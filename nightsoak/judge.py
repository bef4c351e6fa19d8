"""Commands of the judge group: judge, calibrate."""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightsoak.arguments import whole_number
from nightsoak.console import emit_json, hint, long_work, paragraph, say

if TYPE_CHECKING:
    from engine.tuning.calibration import Figure
    from engine.tuning.judge import Effect, Judgement

_OWN_RATE_WARNING = 8.0
_NAME_WIDTH = 27


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    judge = commands.add_parser(
        "judge",
        help="is the challenger better than the champion? the promotion test on two series of windows",
        description="Pairs two series of windows by their ids and gives the verdict: PROMOTE, HOLD, INCONCLUSIVE or "
        "REJECT. The files are CSV with the columns window, net_pnl_quote, notional_quote (others are ignored), as "
        "`nightsoak windows RUN --csv` prints them; an empty field is unknown. The windows must be fresh: not those "
        "that the challenger was chosen on.",
        epilog="Exit code: 0 for PROMOTE, 1 for any other verdict, 2 for bad input.",
    )
    judge.add_argument("--champion", type=Path, required=True, metavar="A.csv", help="windows of the champion")
    judge.add_argument(
        "--challenger", type=Path, required=True, metavar="B.csv", help="the same windows of the challenger"
    )
    judge.add_argument("--json", action="store_true", help="print one JSON object")
    judge.set_defaults(run=run_judge)

    calibrate = commands.add_parser(
        "calibrate",
        help="measure the error rates of the promotion test and of the rollback detector",
        description="Simulates windows (or resamples your own, with --windows) and prints false-promotion rate, "
        "power, windows used and rollback false alarms, each with its 95 %% interval and its bound.",
        epilog="Exit code: 0 when every bound is met, 1 when one is missed (with --quick: when an interval excludes "
        "its bound), 2 for bad input.",
    )
    calibrate.add_argument("--quick", action="store_true", help="fewer simulations, judged by their intervals")
    calibrate.add_argument("--seed", type=whole_number, help="seed of all simulations (default 20261120)")
    calibrate.add_argument("--windows", type=Path, metavar="A.csv", help="resample these windows instead of simulating")
    calibrate.add_argument(
        "--paired-with", type=Path, metavar="B.csv", help="a lane with the same parameters on the same windows"
    )
    calibrate.add_argument("--planted-bps", type=float, help="effect added to the challenger (default 0.5)")
    calibrate.add_argument("--pairing", type=float, help="correlation assumed without --paired-with (default 0.8)")
    calibrate.add_argument(
        "--write",
        action="store_true",
        help="keep the figures in config/calibration.json, from where reports quote them",
    )
    calibrate.add_argument("--json", action="store_true", help="print one JSON object")
    calibrate.set_defaults(run=run_calibrate)


def run_judge(args: argparse.Namespace) -> int:
    from engine.paths import Paths
    from engine.tuning.judge import judge_challenger, load_judge
    from engine.tuning.window_csv import read_windows

    settings = load_judge(Paths.from_environment().config)
    judgement = judge_challenger(read_windows(args.champion), read_windows(args.challenger), settings)
    if args.json:
        emit_json(judgement.to_json())
    else:
        _print_judgement(judgement)
    return 0 if judgement.verdict == "PROMOTE" else 1


def run_calibrate(args: argparse.Namespace) -> int:
    from engine.errors import InputError
    from engine.paths import Paths
    from engine.tuning.calibrated import write_calibration
    from engine.tuning.calibration import DEFAULT_SEED, FULL, QUICK, calibrate
    from engine.tuning.judge import load_judge
    from engine.tuning.noise import NoiseModel

    settings = load_judge(Paths.from_environment().config)
    sizes, seed = QUICK if args.quick else FULL, DEFAULT_SEED if args.seed is None else args.seed
    notes: list[str] = []
    if args.write and args.windows:
        raise InputError(
            "own windows say how one symbol behaves, reports quote the test's rates",
            where="--write",
            remedy="leave --windows or --write out",
        )
    if args.windows:
        figures, model, notes = _own_windows(args, settings, sizes.pairs, seed)
    else:
        _refuse_without_windows(args)
        noise = NoiseModel()
        model = noise.to_json()
        progress = (lambda study: say(f"{study} ...")) if sys.stderr.isatty() else (lambda study: None)
        with long_work("calibrate: simulating"):
            figures = calibrate(settings, sizes, seed, noise, progress)
    missed = [figure for figure in figures if figure.holds(quick=args.quick) is False]
    rows = [figure.to_json(quick=args.quick) for figure in figures]
    if args.write:
        say(f"kept in {write_calibration(Paths.from_environment().config, seed, dict(model), rows)}")
    if args.json:
        emit_json(
            {"seed": seed, "quick": args.quick, "model": model, "figures": rows, "warnings": notes, "holds": not missed}
        )
        return 1 if missed else 0
    _print_figures(figures, quick=args.quick)
    print()
    print(paragraph(", ".join(f"{name} {value:g}" for name, value in model.items()) + f"; seed {seed}", "model: "))
    for note in notes:
        say(f"note: {note}")
    for figure in missed:
        say(f"missed: {figure.study}, {figure.name} is {figure.value:.2f}, the bound is {figure.bound}")
    if args.quick:
        hint("nightsoak calibrate, without --quick, for narrower intervals")
    return 1 if missed else 0


def _own_windows(
    args: argparse.Namespace, settings: Any, pairs: int, seed: int
) -> tuple[list[Figure], dict[str, float], list[str]]:
    """Figures, what was measured on the windows, and what to mind about them."""
    import numpy as np

    from engine.errors import InputError
    from engine.tuning.calibration import own_study
    from engine.tuning.interval import PHI_WARNING
    from engine.tuning.longrun import long_run_variance
    from engine.tuning.pairing import levels_bps, pair
    from engine.tuning.window_csv import read_windows

    champion = read_windows(args.windows)
    matched = pair(champion, read_windows(args.paired_with) if args.paired_with else champion)
    least = settings.confirm.looks[0]
    if len(matched) < least:
        raise InputError(
            f"{len(matched)} usable windows, at least {least} are needed",
            where=str(args.windows),
            remedy="record for longer, or put several runs into one file",
        )
    planted = 0.5 if args.planted_bps is None else args.planted_bps
    pairing = 0.8 if args.pairing is None else args.pairing
    if not abs(planted) < 1e6 or not 0 <= pairing < 1:
        raise InputError(
            f"--planted-bps {planted:g} --pairing {pairing:g}", remedy="give an effect in bps and a pairing in [0, 1)"
        )
    levels = np.array(levels_bps(matched) if args.paired_with else levels_bps(matched)[:1])
    watched = levels[1] - levels[0] if args.paired_with else levels[0]
    phi = float(long_run_variance(watched).phi)
    model = {"windows": len(matched), "phi": phi, "sd_bps": float(levels[0].std(ddof=1)), "planted_bps": planted}
    if args.paired_with:
        model["difference_sd_bps"] = float(watched.std(ddof=1))
    else:
        model["pairing_assumed"] = pairing
    notes = []
    if phi > PHI_WARNING:
        notes.append(f"autocorrelation phi {phi:.2f} is above {PHI_WARNING}: use longer windows")
    if matched.missing or matched.outside:
        notes.append(f"{matched.missing + matched.outside} windows have no usable pair and are left out")
    if args.paired_with and not watched.any():
        raise InputError(
            "the two files hold the same values", where=str(args.paired_with), remedy="give a lane that differs"
        )
    figures = own_study(settings, levels, pairs, seed, planted, pairing)
    if figures[0].low > _OWN_RATE_WARNING:
        notes.append(f"A/A above {_OWN_RATE_WARNING:g} %: the test promises less on these windows, make them longer")
    return figures, model, notes


def _refuse_without_windows(args: argparse.Namespace) -> None:
    from engine.errors import InputError

    for option in ("paired_with", "planted_bps", "pairing"):
        if getattr(args, option) is not None:
            flag = "--" + option.replace("_", "-")
            raise InputError(f"{flag} goes with --windows only", remedy="give --windows A.csv, or leave it out")


def _print_judgement(judgement: Judgement) -> None:
    print(paragraph(judgement.reason, f"{judgement.verdict}: "))
    if judgement.looks:
        print()
        _print_table(
            ("look", "effect bps", "90 % interval", "z", "bound", "tail", "allowed", "notional", "outcome"),
            [
                (
                    str(look.windows),
                    f"{look.effect.mean_bps:+.3f}",
                    _interval(look.effect),
                    f"{look.z:.2f}",
                    f"{look.bound_z:.2f}",
                    "none" if look.tail_ratio is None else f"{look.tail_ratio:.2f}",
                    f"{look.allowed_tail_ratio:.2f}",
                    f"{100 * look.notional_share:.0f} %",
                    look.outcome,
                )
                for look in judgement.looks
            ],
        )
        print()
    if judgement.effect is None:
        print("effect: too few windows, or no notional, for one")
    else:
        print(paragraph(_effect(judgement.effect), "effect: "))
    if judgement.running and judgement.running != judgement.effect:
        print(paragraph(_effect(judgement.running), "so far: "))
    missing = sum(judgement.missing[kind] for kind in ("only_champion", "only_challenger", "unknown"))
    print(f"windows: {judgement.windows_used} used of {judgement.windows_usable} pairs, {missing} missing")
    if judgement.at_most_needed:
        print(f"to a decision: {judgement.to_next_look} to the next look, at most {judgement.at_most_needed}")
    if judgement.phi is not None:
        print(f"autocorrelation of the differences: phi {judgement.phi:.2f}")
    print("gates: not in these files, not judged here")
    for warning in judgement.warnings:
        print(paragraph(warning, "warning: "))


def _effect(effect: Effect) -> str:
    how = "adjusted for the looks" if effect.adjusted else "not adjusted for looks"
    interval = f"{100 * effect.confidence:g} % interval {_interval(effect)}"
    return f"{effect.mean_bps:+.3f} bps over {effect.windows} windows, {interval} {how}"


def _interval(effect: Effect) -> str:
    return f"{effect.low_bps:+.3f} to {effect.high_bps:+.3f}"


def _print_figures(figures: list[Figure], *, quick: bool) -> None:
    """By study, and what it rests on; a line each, or two where the name is long."""
    words = {None: "", True: "holds", False: "MISSED"}
    print(f"{'':<{_NAME_WIDTH}}  {'measured':<13}  {'95 % interval':<14}  bound")
    for study, group in groupby(figures, key=lambda figure: figure.study):
        found = list(group)
        counts = dict.fromkeys(f"{figure.count:,} {figure.counted}" for figure in found)
        print(paragraph(f"on {', '.join(counts)}", f"{study}: "))
        for figure in found:
            name = f"  {figure.name}"
            if len(name) > _NAME_WIDTH:
                print(paragraph(figure.name, "  "))
                name = ""
            measured, interval = f"{figure.value:.2f} {figure.unit}", f"{figure.low:.2f} to {figure.high:.2f}"
            bound = f"{figure.bound or ''!s:<11}  {words[figure.holds(quick=quick)]}"
            print(f"{name:<{_NAME_WIDTH}}  {measured:<13}  {interval:<14}  {bound}".rstrip())


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A Markdown table that also reads well as text."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = tuple("-" * width for width in widths)
    for row in (header, rule, *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
