"""`python -m engine.bot PLAN [--resume]`: run the bot of a plan; what it says is in engine.bot.protocol."""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
from pathlib import Path

from engine.bot.follow import follow_parent
from engine.bot.protocol import Commands, say
from engine.errors import NightsoakError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.bot", description=__doc__)
    parser.add_argument("plan", type=Path, help="the run's plan.json")
    parser.add_argument("--resume", action="store_true", help="go on where the run's journal ends")
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this parent does")
    args = parser.parse_args()
    if args.parent_pid and not follow_parent(args.parent_pid):
        return 3
    if sys.platform != "win32":
        faulthandler.register(signal.SIGUSR1)  # every thread's stack to stderr, however it hangs
    commands = Commands(sys.stdin)
    commands.listen_to_signals()
    try:
        # Here, so that a stop which arrives during the imports is heard.
        from engine.bot.account import Account
        from engine.bot.replay import opened_bot
        from engine.control.attach import controlled
        from engine.soak import RunPlan

        plan = RunPlan.read(args.plan)
        with (
            Account(plan, args.parent_pid) as account,
            opened_bot(plan, commands, say, resume=args.resume) as bot,
            controlled(bot, plan, say),
        ):
            bot.journal.guard = account.check
            bot.run()
    except NightsoakError as error:
        name = type(error).__name__
        say({"event": "error", "error": name, "what": error.what, "where": error.where, "remedy": error.remedy})
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
