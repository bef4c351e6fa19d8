"""What every command shares: words that are not known, widths, what is said where no terminal is."""

from __future__ import annotations

import argparse
import io
import re
import sys
import time
from collections.abc import Iterator

import pytest

from engine import errors
from engine.environment import ENVIRONMENT, OWN
from engine.paths import CHECKOUT
from nightsoak import console
from nightsoak.__main__ import build_parser, main
from nightsoak.console import WIDTH, long_work, paragraph


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sok"], "nightsoak: argument COMMAND: no 'sok'; did you mean 'soak'? nightsoak --help shows its usage"),
        (["champion", "shw"], "no 'shw'; did you mean 'show'?"),
        (["soak", "--profil=S1"], "nightsoak soak: no argument '--profil'; did you mean '--profile'? nightsoak soak"),
        (["soak", "--zzz"], "no argument '--zzz'; nightsoak soak --help"),
        (["kpis", "latest", "more"], "nightsoak kpis: no argument 'more'; nightsoak kpis --help"),
    ],
)
def test_a_word_that_is_not_known_is_named_by_the_command_it_was_given_to(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2 and said in line


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from arguments(inner)
        else:
            yield parser.prog, action


def test_every_argument_says_what_it_is() -> None:
    found = list(arguments(build_parser()))
    assert len(found) > 150
    assert [(prog, action.dest) for prog, action in found if not action.help] == []


def test_the_page_has_every_exit_code_and_variable() -> None:
    page = (CHECKOUT / "docs" / "cli.md").read_text(encoding="utf-8")
    found = {cls.exit_code for cls in vars(errors).values() if hasattr(cls, "exit_code")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.M)} == {0, *found}
    code = "".join(
        path.read_text() for folder in ("engine", "flows", "nightsoak") for path in (CHECKOUT / folder).rglob("*.py")
    )
    named = set(re.findall(r"NIGHTSOAK_[A-Z]+(?:_[A-Z]+)*", code))
    assert named - {*ENVIRONMENT, *OWN} == set(), "doctor and up refuse what they do not know"
    assert set(re.findall(r"NIGHTSOAK_[A-Z]+(?:_[A-Z]+)*", page)) == set(ENVIRONMENT)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_sentences_fit_and_their_words_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/a/path/" + "x" * 120
    text = f"{'a sentence of some words ' * 8}{path} and on"
    lines = paragraph(text, "- ").splitlines()
    assert path in [line.strip() for line in lines] and lines[0].startswith("- ") and lines[1].startswith("  words")
    assert max(len(line) for line in lines if path not in line) <= WIDTH
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, paragraph("some words " * 30, stream=Terminal()).splitlines())) <= 60


def test_long_work_says_that_it_has_begun_and_is_done_where_no_terminal_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with long_work("soak: 3 h"):
        pass
    assert capsys.readouterr().err == "", "what is done at once needs no line"
    monkeypatch.setattr(console, "QUIET_S", 0.0)
    said, deadline = "", time.monotonic() + 30
    with long_work("soak: 3 h"):
        while not said and time.monotonic() < deadline:
            said += capsys.readouterr().err
    assert said == "soak: 3 h ...\n"
    assert capsys.readouterr().err == "soak: done after 0 s\n"
    monkeypatch.setattr(console, "QUIET_S", 60.0)
    with pytest.raises(RuntimeError), long_work("soak: 3 h"):
        raise RuntimeError
    assert capsys.readouterr().err == "", "what went wrong is told by the error"
    monkeypatch.setattr(console, "QUIET_S", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with long_work("soak: 3 h"):
        pass
    assert terminal.getvalue() == ""
