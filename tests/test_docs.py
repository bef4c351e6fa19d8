"""The pages against the code: what is generated is fresh, links lead somewhere, commands that are named exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.maker.state import BLOCK_NAMES, REASON_NAMES
from engine.params_doc import PATH, render
from engine.paths import CHECKOUT
from nightsoak.__main__ import build_parser

PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
_COMMAND = re.compile(r"(?<![\w/])nightsoak ([a-z]+)\b")


def commands() -> set[str]:
    parser = build_parser()
    return {name for action in parser._actions if action.choices for name in action.choices}


def test_the_parameter_page_is_fresh() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run python -m engine.params_doc"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_commands_that_are_named_exist(page: Path) -> None:
    code = re.findall(r"`[^`]+`|^ {4}.*$", page.read_text(encoding="utf-8"), flags=re.M)
    named = {name for piece in code for name in _COMMAND.findall(piece)}
    assert named - commands() == set()


def test_every_command_is_on_some_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {name for name in commands() if f"nightsoak {name}" not in text} == set()


def test_every_block_and_cancel_reason_is_described() -> None:
    text = (CHECKOUT / "docs" / "fill-model.md").read_text(encoding="utf-8")
    assert [name for name in (*BLOCK_NAMES, *REASON_NAMES) if name not in text] == []
