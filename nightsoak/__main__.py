"""`nightsoak` and `python -m nightsoak`: parse, dispatch, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

GROUPS = (
    "nightsoak.soak",
    "nightsoak.baseline",
    "nightsoak.tape",
    "nightsoak.replay",
    "nightsoak.tune",
    "nightsoak.optimize",
    "nightsoak.warehouse",
    "nightsoak.figures",
    "nightsoak.care",
    "nightsoak.champion",
    "nightsoak.drill",
    "nightsoak.report",
    "nightsoak.verify",
    "nightsoak.judge",
    "nightsoak.live",
    "nightsoak.notify",
    "nightsoak.setup",
    "nightsoak.up",
)
"""Modules with `register(commands)`: each adds its subparsers and sets `run` to a function(args) -> exit code."""


class Parser(argparse.ArgumentParser):
    """Usage errors in one line: what, where, and how to see more. A misspelt word is named, and none is guessed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        end = " " if message.endswith("?") else "; "
        self.exit(2, f"error: {self.prog}: {message}{end}{self.prog} --help shows its usage\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, where a command's parser tells of what it does not know, and not the one above it."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from engine.errors import did_you_mean

            word = next((word for word in unknown if word.startswith("-")), unknown[0]).partition("=")[0]
            remedy = did_you_mean(word, self._option_string_actions)
            self.error(f"no argument {word!r}" + (f"; {remedy}" if remedy.endswith("?") else ""))
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from engine.errors import did_you_mean

            raise argparse.ArgumentError(action, f"no {value!r}; {did_you_mean(str(value), map(str, action.choices))}")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="nightsoak",
        description="Soak a market-making bot overnight, know in the morning whether it earned and why.",
        epilog="Start with `nightsoak soak`; every command ends by naming the next one.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in GROUPS:
        importlib.import_module(name).register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words  # before or after the command
    args = build_parser().parse_args([word for word in words if word != "--debug"])
    args.debug = debug
    from engine.errors import NightsoakError

    try:
        return int(args.run(args))
    except NightsoakError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        what = " ".join(str(error).split()) or "no message"
        print(f"error: {args.command}: {type(error).__name__}: {what}; --debug shows the traceback", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
