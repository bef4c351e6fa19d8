"""`nightsoak optimize`: champion/challenger rounds on new tapes, until told to stop."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nightsoak.arguments import count, positive, whole_number
from nightsoak.console import emit_json, hint, say

if TYPE_CHECKING:
    from engine.optimize.loop import Outcome
    from engine.optimize.settings import OptimizeSettings


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    optimize = commands.add_parser(
        "optimize",
        help="play champion/challenger rounds on new tapes: search, confirm, promote or take back",
        description="A round takes the tapes that no round has seen, two at least, searches on the earlier ones, "
        "confirms on the later ones, and promotes what the error budget covers. Killed at any moment, the same command "
        "goes on where it stopped. Exit codes: 0 done or stopped by the stop file, 2 bad input, 3 could not run or "
        "finish, 130 interrupted.",
    )
    optimize.add_argument("--continuous", action="store_true", help="go on, waiting for tapes, until the stop file")
    optimize.add_argument(
        "--state-file", default="", metavar="F", help="default: datasets/optimize/optimizer_state.json"
    )
    optimize.add_argument("--stop-file", default="", metavar="F", help="default: STOP_OPTIMIZER beside the state file")
    tapes = optimize.add_mutually_exclusive_group()
    tapes.add_argument("--tape", nargs="+", default=(), metavar="DIR", help="tapes, or folders of tapes")
    tapes.add_argument("--mock", action="store_true", help="two generated tapes a round, each with the next seed")
    optimize.add_argument(
        "--mock-hours", type=positive, metavar="H", help="length of each (default: config/search.json)"
    )
    optimize.add_argument(
        "--tapes-per-round", type=count, default=8, metavar="N", help="the oldest new ones (default 8)"
    )
    optimize.add_argument("--poll-seconds", type=positive, default=60.0, metavar="S", help="look again so often (60)")
    optimize.add_argument("--max-rounds", type=count, metavar="N", help="stop after so many rounds")
    optimize.add_argument("--max-runtime-sec", type=positive, metavar="S", help="begin no round after so long")
    optimize.add_argument(
        "--min-objective-delta", type=_delta, default=0.0, metavar="BPS", help="least confirmed effect (default 0)"
    )
    optimize.add_argument("--profile", choices=("quick", "standard", "deep"), default="standard", help="the effort")
    optimize.add_argument("--trials", type=count, help="parameter sets to try (default: the profile's)")
    optimize.add_argument("--lanes", type=count, help="parameter sets in a batch (default: the profile's)")
    optimize.add_argument("--seed", type=whole_number, default=0, help="of the first round's search, then the next")
    optimize.add_argument("--window-seconds", type=count, default=300, help="length of a scoring window (default 300)")
    optimize.add_argument("--maker-profile", default="", help="a profile of config/profiles/ (MM_PROFILE, else S1)")
    optimize.add_argument("--json", action="store_true", help="print the last round as one JSON object")
    optimize.set_defaults(run=_optimize)


def _optimize(args: argparse.Namespace) -> int:
    from engine.optimize.tapes import find_tapes
    from engine.paths import Paths
    from engine.search.tune_plan import check_configuration
    from nightsoak.console import long_work
    from nightsoak.progress import showing_progress

    settings, paths = _settings(args), Paths.from_environment()
    check_configuration(settings.tuning((), 1), paths)
    if not settings.mock:
        find_tapes(settings, paths, "")
    from engine.optimize.loop import optimize  # imports for seconds, and the settings are right

    what = "rounds until the stop file" if settings.continuous else "one round"
    with long_work(f"optimize: {what}"), showing_progress() as shown:

        def tell(message: dict[str, Any]) -> None:
            if message["event"] == "round" and settings.continuous:
                say(_line(message["round"]))
            else:
                shown(message)

        outcome = optimize(settings, paths, tell)
    if args.json:
        emit_json(outcome.to_json())
    else:
        print_outcome(outcome)
    return 0


def print_outcome(outcome: Outcome) -> None:
    """Print what became of the champion on stdout, the next command as a hint on stderr."""
    last = outcome.last
    print(f"{outcome.rounds} {'round' if outcome.rounds == 1 else 'rounds'} played: {outcome.stopped}.")
    if last is None:
        hint("nightsoak record records tapes; nightsoak optimize --mock plays on generated ones")
        return
    print(_line(last))
    for step in ("verdict", "champion", "drift"):
        if step in last["done"]:
            print(f"- {step}: {last['done'][step]}")
    print(f"state: {outcome.state_file}\naudit: {outcome.audit_file}")
    if outcome.report is not None:
        print(f"report: {outcome.report}", flush=True)
    changed = last["champion_before"] != last["champion_after"]
    hint("the next soak starts from it: nightsoak soak --auto-tune" if changed else "nightsoak champion show")


def _line(entry: dict[str, Any]) -> str:
    """A round in a line."""
    before, after = entry["champion_before"], entry["champion_after"]
    champion = f"{before} stays" if before == after else f"{before} -> {after}"
    effect = f", effect {entry['effect_bps']:+.3f} bps" if "effect_bps" in entry else ""
    return (
        f"round {entry['round']}, {entry['symbol']}: {entry.get('verdict', 'unfinished')}{effect}; champion {champion}"
    )


def _settings(args: argparse.Namespace) -> OptimizeSettings:
    import json

    from engine.config import parse_config
    from engine.optimize.settings import OptimizeSettings

    renamed = {"tapes": list(args.tape), "min_objective_delta_bps": args.min_objective_delta}
    names = [name for name in OptimizeSettings.model_fields if name not in ("comment", *renamed)]
    given = {name: getattr(args, name) for name in names}
    return parse_config(json.dumps(given | renamed), OptimizeSettings, where="optimize")


def _delta(text: str) -> float:
    """A finite number of 0 or more."""
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)
