"""The command champion: show, history, rollback, propose and the others."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightsoak.console import emit_json, hint, paragraph, say

if TYPE_CHECKING:
    from engine.champion.challengers import Challenger
    from engine.champion.change import Champion, Change
    from engine.champion.store import ChampionStore
    from engine.params import Params

_WAREHOUSE_WAIT_S = 1.0


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    champion = commands.add_parser(
        "champion",
        help="the parameters in force per symbol, how they came to be, and taking them back",
        description="The champion is the parameter set that the next soak of a symbol starts from.",
    )
    actions = champion.add_subparsers(dest="action", metavar="ACTION", required=True)

    show = _action(actions, "show", run_show, "the champion in force, its predecessor, and the evidence budget")
    history = _action(actions, "history", run_history, "every change: promoted, rolled back, frozen; oldest first")
    waiting = _action(actions, "challengers", run_challengers, "candidates that wait for their confirmation")
    freeze = _action(actions, "freeze", run_freeze, "promote nothing from here on; a rollback stays possible")
    unfreeze = _action(actions, "unfreeze", run_freeze, "let promotions pass again")
    rollback = _action(actions, "rollback", run_rollback, "put a former champion back, by default the one before")
    rollback.add_argument("--to", metavar="ID", help="the champion to go back to, as `champion history` names it")
    promote = _action(actions, "promote", run_promote, "make a parameter set the champion, on your own judgement")
    propose = _action(actions, "propose", run_propose, "let a parameter set run beside the champion until judged")
    withdraw = _action(actions, "withdraw", run_withdraw, "take a challenger off the list")
    withdraw.add_argument("challenger", metavar="ID", help="as `champion challengers` names it")
    for parser in (promote, propose):
        parser.add_argument(
            "--overrides",
            type=Path,
            required=True,
            metavar="FILE",
            help="the set, as a flat JSON object; what it leaves out has its initial value",
        )
        parser.add_argument("--why", required=True, metavar="TEXT", help="the reason, for the history")
    propose.add_argument(
        "--tune", metavar="ID", help="the tune that found it (default: the one in whose report FILE lies)"
    )
    for parser in (freeze, unfreeze, rollback):
        parser.add_argument("--why", default="", metavar="TEXT", help="the reason, for the history")
    for parser in (freeze, unfreeze, promote, propose):
        parser.add_argument(
            "--new-symbol", action="store_true", help="--symbol is meant: that of no tape, run or known instrument yet"
        )
    for parser in (freeze, unfreeze, rollback, promote, propose, withdraw):
        parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask; needed where nobody can be asked")
    for parser in (show, history, waiting, freeze, unfreeze, rollback, promote, propose, withdraw):
        parser.add_argument("--symbol", help="may be left out where only one symbol has a champion")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Any, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def run_show(args: argparse.Namespace) -> int:
    from engine.champion.fdr import load_evidence
    from engine.champion.ledger import read_ledger
    from engine.champion.reading import last_taking_effect
    from engine.params import PARAMETERS, Params
    from engine.paths import Paths

    if args.symbol is None and not Paths.from_environment().champion_symbols():
        if args.json:
            emit_json({"champion": None})
        else:
            print("no champion yet: runs start from the table's initial values")
            hint("nightsoak tune looks for a better set, nightsoak champion propose lets one run beside")
        return 0
    store = _store(args)
    champion, waiting, changes = store.current(), store.challengers(), store.history()
    budget = read_ledger(store.paths, store.symbol).summary(load_evidence(store.paths.config))
    if args.json:
        ids = [known.id for known in waiting]
        emit_json(champion.to_json() | {"challengers": ids, "evidence": budget})
        return 0
    _note(champion.note)
    former, last = champion.former, last_taking_effect(changes)
    print(f"{champion.id} is the champion of {store.symbol}" + (", frozen" if champion.frozen else ""))
    if last is None:
        print(paragraph(champion.why, "since   the beginning: "))
    else:
        how = "promoted over" if last.kind == "promote" else "put back instead of"
        print(paragraph(f"{_minute(last.when_utc)} UTC, {how} {last.instead_of} by {last.who}", "since   "))
        print(paragraph(last.why or "none was given", "reason  "))
    if champion.frozen:
        text = f"{_minute(champion.when_utc)} UTC by {champion.who}: {champion.why or 'no reason was given'}"
        print(paragraph(text, "frozen  "))
    print(f"before  {former.id if former else 'none'}\n")
    initial = Params()
    header = ("parameter", "unit", "value", former.id if former else "initial")
    other = former.params if former else initial
    _print_table(header, [(name, PARAMETERS[name].unit, f"{champion.params[name]:g}", f"{other[name]:g}")
                          for name in PARAMETERS])  # fmt: skip
    print()
    print(f"sha256 {champion.sha256}")
    print(f"challengers waiting: {len(waiting) or 'none'}")
    for known in waiting:
        print(paragraph(f"{known.id}, {_against(changes, known, champion)}", "  "))
    print(
        f"evidence: {budget['trials']} trials in {budget['tunes']} tunes, {budget['confirmations']} confirmations, "
        f"{budget['promotions']} promoted by them;\n          the next one is granted p <= {budget['next_level']:.4f}"
    )
    hint(f"nightsoak champion history --symbol {store.symbol}")
    return 0


def run_history(args: argparse.Namespace) -> int:
    store = _store(args)
    note, changes = store.current().note, store.history()
    if args.json:
        rows = [change.model_dump(mode="json") for change in changes]
        emit_json({"symbol": store.symbol, "changes": rows, "note": note})
        return 0
    _note(note)
    rows = [
        (str(c.seq), _minute(c.when_utc), c.kind, c.id, "" if c.id == c.instead_of else c.instead_of, c.who)
        for c in changes
    ]
    header = ("n", "when UTC", "change", "champion", "instead of", "who")
    _print_table(header, rows, [f"why: {change.why}" if change.why else "" for change in changes])
    if not changes:
        say("nothing was ever promoted: the champion is the baseline, the table's initial values")
    hint(f"nightsoak champion rollback --symbol {store.symbol} --to ID puts one back")
    return 0


def run_challengers(args: argparse.Namespace) -> int:
    store = _store(args)
    waiting, champion, changes = store.challengers(), store.current(), store.history()
    if args.json:
        rows = [known.to_json() | {"against": _champion_then(changes, known)} for known in waiting]
        emit_json({"symbol": store.symbol, "champion": champion.id, "challengers": rows})
        return 0
    for known in waiting:
        print(f"{known.id}, since {_minute(known.since_utc)} UTC, from {known.origin}")
        for word, text in (
            ("why      ", known.why or "none was given"),
            ("against  ", _against(changes, known, champion)),
            ("differs  ", _differences(champion.params, known.params)),
        ):
            print(paragraph(text, f"  {word}"))
    if not waiting:
        say("no challenger waits")
    hint("nightsoak champion propose --overrides FILE --why TEXT adds one")
    return 0


def run_freeze(args: argparse.Namespace) -> int:
    store, frozen = _store(args), args.action == "freeze"
    now = store.current()
    plan = f"{args.action} the champion {now.id} of {store.symbol}"
    if now.frozen == frozen:
        return _end(args, store, f"{now.id} is {'' if frozen else 'not '}frozen already", changed=False)
    if not _agreed(args, plan):
        return _end(args, store, f"would {plan}", changed=False)
    store.freeze(frozen, who=_who(), why=args.why)
    return _end(args, store, f"{now.id} is {'frozen: nothing is promoted' if frozen else 'no longer frozen'}")


def run_rollback(args: argparse.Namespace) -> int:
    from engine.champion.rollback import roll_back
    from engine.errors import InputError
    from engine.notice_outbox import tell

    store = _store(args)
    now = store.current()
    target = args.to or (now.former.id if now.former else None)
    if target is None:
        raise InputError(
            f"the champion {now.id} has replaced none, there is nothing to go back to",
            where=store.symbol,
            remedy="name one of `nightsoak champion history` with --to",
        )
    params = now.former.params if now.former and not args.to else store.params_of(target)
    if target == now.id:
        raise InputError(f"{target} is the champion already", where=store.symbol, remedy="name another one")
    plan = f"roll {store.symbol} back from {now.id} to {target} ({_differences(now.params, params)})"
    if not _agreed(args, plan):
        return _end(args, store, f"would {plan}", changed=False)
    done = roll_back(
        store.paths, store.symbol, why=args.why or "asked for by the operator", who=_who(), to=args.to, failing=now.id
    )
    _copy_to_warehouse(store)
    tell(store.paths)
    if args.json:
        emit_json(done.to_json() | {"changed": True})
        return 0
    print(f"{done.champion.id} is the champion of {store.symbol} again, instead of {done.from_id}")
    print(f"report: {done.report}")
    hint("a running bot picks it up from its overrides file; the next soak starts from it")
    return 0


def run_promote(args: argparse.Namespace) -> int:
    from engine.champion.promotion import tell_promotion
    from engine.notice_outbox import tell
    from engine.params import Params, read_overrides

    store = _store(args)
    params, now = read_overrides(args.overrides, Params()), store.current()
    plan = f"promote over {now.id} of {store.symbol}: {_differences(now.params, params)}"
    if not _agreed(args, plan):
        return _end(args, store, f"would {plan}", changed=False)
    made = store.promote(params, who=_who(), why=args.why, evidence={"operator": "no test was made"})
    tell_promotion(store)
    tell(store.paths)
    return _end(args, store, f"{made.id} is the champion of {store.symbol}; the next soak starts from it")


def run_propose(args: argparse.Namespace) -> int:
    from engine.params import Params, read_overrides
    from engine.proposals import find_origin, propose

    store = _store(args)
    params = read_overrides(args.overrides, Params())
    origin = find_origin(args.overrides, args.tune, store.paths.reports, store.symbol, who=_who())
    moves = _differences(store.current().params, params)
    plan = f"run beside the champion of {store.symbol}: {moves}; {origin.sentence}"
    if not _agreed(args, plan):
        return _end(args, store, f"would {plan}", changed=False)
    made = propose(store, params, origin, why=args.why)
    text = f"{made.id} runs beside the champion of {store.symbol} from the next soak on; {origin.sentence}"
    return _end(args, store, text)


def run_withdraw(args: argparse.Namespace) -> int:
    store = _store(args)
    if not _agreed(args, f"withdraw {args.challenger} of {store.symbol}"):
        return _end(args, store, f"would withdraw {args.challenger}", changed=False)
    gone = store.withdraw(args.challenger)
    return _end(args, store, f"{gone.id} no longer runs beside the champion")


def _store(args: argparse.Namespace) -> ChampionStore:
    """The store of --symbol, or of the only symbol there is; where it may be made, of a symbol that is known."""
    from engine.champion.store import ChampionStore
    from engine.errors import InputError, did_you_mean
    from engine.paths import Paths

    paths = Paths.from_environment()
    known = paths.champion_symbols()
    if args.symbol is None and len(known) != 1:
        those = f"one of {', '.join(known)}" if known else "the symbol of a tape or feed; no champion was promoted yet"
        raise InputError("which symbol?", where="--symbol", remedy=f"name {those}")
    if args.symbol is not None and not getattr(args, "new_symbol", True):
        from engine.champion.symbols import require_known_symbol

        require_known_symbol(args.symbol, paths, wait_s=_WAREHOUSE_WAIT_S)
    if args.symbol is not None and args.symbol not in known and not args.json:
        remedy = did_you_mean(args.symbol, known)
        say(f"note: nothing was ever promoted for {args.symbol}" + (f"; {remedy}" if remedy.endswith("?") else ""))
    return ChampionStore(paths, args.symbol if args.symbol is not None else known[0])


def _agreed(args: argparse.Namespace, plan: str) -> bool:
    """Whether to go on: not with --dry-run, with --yes, else as the user answers.

    Raises:
        InputError: nobody can be asked.
    """
    from engine.errors import InputError

    if args.dry_run:
        return False
    if args.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"asked to {plan}, and nobody can be asked", where="champion", remedy="say --yes")
    print(f"{plan}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _end(args: argparse.Namespace, store: ChampionStore, text: str, *, changed: bool = True) -> int:
    if changed:
        _copy_to_warehouse(store)
    if args.json:
        waiting = [known.id for known in store.challengers()]
        emit_json({"changed": changed, "text": text, "champion": store.current().to_json(), "challengers": waiting})
        return 0
    print(text)
    if changed:
        hint(f"nightsoak champion show --symbol {store.symbol}")
    return 0


def _copy_to_warehouse(store: ChampionStore) -> None:
    """The warehouse's copy of the history; where it is in use it follows later."""
    from engine.champion.ledger import synchronise
    from engine.errors import RunError
    from engine.warehouse.db import Warehouse

    if not store.paths.warehouse.exists():
        return
    try:
        with Warehouse(store.paths.warehouse, wait_s=_WAREHOUSE_WAIT_S) as wh:
            synchronise(wh, store.paths, store.symbol)
    except RunError as error:
        say(f"note: the warehouse's copy of the history follows later ({error})")


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"


def _note(note: str) -> None:
    if note:
        say(f"note: {note}")


def _champion_then(changes: Sequence[Change], known: Challenger) -> str:
    """The champion in force when the challenger began to wait."""
    from engine.champion.change import BASELINE
    from engine.champion.reading import last_taking_effect

    last = last_taking_effect([change for change in changes if change.when_utc <= known.since_utc])
    return BASELINE if last is None else last.id


def _against(changes: Sequence[Change], known: Challenger, champion: Champion) -> str:
    then = _champion_then(changes, known)
    if then == champion.id:
        return f"waits against {then}"
    return f"proposed against {then}, which is no longer in force; its test began anew against {champion.id}"


def _differences(before: Params, after: Params) -> str:
    changed = [f"{name} {before[name]:g} -> {after[name]:g}" for name in before if before[name] != after[name]]
    return ", ".join(changed) or "the same parameters"


def _minute(utc: str) -> str:
    return utc[:16].replace("T", " ")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str] = ()) -> None:
    """Columns; below each row its text, if it has one."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row, text in zip((header, *rows), ("", *(texts or [""] * len(rows))), strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if text:
            print(paragraph(text, " " * (widths[0] + 2)))
