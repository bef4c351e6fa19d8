"""The one error tree. Each error is a line: what, where, remedy; the class decides the exit code.

NightsoakError
  InputError          exit 2   bad input or usage; nothing was changed
    TapeError, CaptureError, ConfigError, OverridesError, JournalError
  RunError            exit 3   could not run or finish
    LockHeldError, StorageError, FeedError, BotError
      BotDiedError
  InterruptedRun      exit 130 stopped by the user; partial results are marked as such
  VerificationError   exit 1   done again, and it differs
"""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 80


class NightsoakError(Exception):
    """Base of all errors that a user sees.

    Args:
        what: what is wrong, in a few words.
        where: the file, row, field or process it was found in.
        remedy: what the reader can do about it.
    """

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.remedy}" if self.remedy else text


class InputError(NightsoakError):
    exit_code = 2


class TapeError(InputError):
    """A tape is missing, truncated, altered, or holds what a tape may not hold."""


class CaptureError(InputError):
    """A raw capture cannot be read as the venue's messages."""


class ConfigError(InputError):
    """A configuration file does not say what it must."""


class OverridesError(InputError):
    """A runtime overrides file is refused as a whole."""


class JournalError(InputError):
    """A journal does not follow the contract."""


class RunError(NightsoakError):
    exit_code = 3


class LockHeldError(RunError):
    """Another run holds the resource."""


class StorageError(RunError):
    """The disk is full, or a folder cannot be written."""


class BotError(RunError):
    """The bot process ended when it should not have."""


class BotDiedError(BotError):
    """The bot process is gone without a word: killed, or crashed."""


class FeedError(RunError):
    """The live feed is lost, or the venue refuses what was asked of it."""


class InterruptedRun(NightsoakError):  # noqa: N818  (an outcome, not a fault)
    exit_code = 130


class VerificationError(NightsoakError):
    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not among `known`: the one that is near to it, else those there are."""
    from difflib import get_close_matches

    names = list(dict.fromkeys(known))
    folded = {one.casefold(): one for one in names}
    near = get_close_matches(name.casefold(), folded, 1, cutoff=0.7)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    shown = names[:1]
    while len(shown) < len(names) and len(", ".join(names[: len(shown) + 1])) <= _SHOWN:
        shown.append(names[len(shown)])
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"known ones: {', '.join(shown) or 'none'}{more}"
