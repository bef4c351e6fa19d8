"""`nightsoak notify`: a test notice, or a run's again."""

from __future__ import annotations

import argparse

from nightsoak.console import hint, say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    notify = commands.add_parser(
        "notify",
        help="send a run's notice, or a test, to the configured addresses",
        description="Addresses stand in config/notices.json or, secret, in NIGHTSOAK_NOTICE_URLS. Exit codes: 0 every "
        "address took it, 2 no address or a bad one, 3 an address did not take it.",
    )
    what = notify.add_mutually_exclusive_group(required=True)
    what.add_argument("run_name", metavar="RUN", nargs="?", help="a run id, the path of a run's folder, or latest")
    what.add_argument("--test", action="store_true", help="send a test notice")
    notify.set_defaults(run=_notify)


def _notify(args: argparse.Namespace) -> int:
    from engine.errors import RunError
    from engine.notice_outbox import check_addresses, deliver, outbox_file
    from engine.notices import load_notice_settings, run_notice, trial_notice
    from engine.paths import Paths
    from engine.report.index import resolve_run

    paths = Paths.from_environment()
    settings = load_notice_settings(paths.config)
    folder = None if args.test else resolve_run(args.run_name, paths.reports)
    notice = trial_notice(settings) if folder is None else run_notice(folder, settings)
    check_addresses(settings)
    done = deliver(paths, [notice], again=True)
    print(notice.text)
    if done.failed:
        raise RunError(
            f"{', '.join(done.failed)} did not take it",
            where=str(outbox_file(paths)),
            remedy="check the address and the service; it is tried again at the next send",
        )
    say(f"{done.sent} sent")
    hint("a night's notice goes out by itself; nightsoak report latest shows the report behind it")
    return 0
