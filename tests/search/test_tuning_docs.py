"""docs/tuning.md and the code say the same."""

from __future__ import annotations

import re

from engine.paths import CHECKOUT
from engine.search.settings import load_search

PAGE = (CHECKOUT / "docs" / "tuning.md").read_text(encoding="utf-8")
SEARCH = load_search(CHECKOUT / "config")


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose header line starts so."""
    after = PAGE[PAGE.index(header) :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in after]


def test_the_terms_and_weights_are_the_configurations() -> None:
    told = {row[0]: (float(row[1]), row[2]) for row in rows("| term |")}
    penalties = SEARCH.penalties.model_dump(exclude={"comment"})
    assert told == {name: (one["bps_per_unit"], one["unit"]) for name, one in penalties.items()}


def test_the_profiles_are_the_configurations() -> None:
    told = {row[0]: [int(cell) for cell in row[1:]] for row in rows("| profile |")}
    for name, numbers in told.items():
        effort = getattr(SEARCH.profiles, name)
        assert numbers == [effort.trials, effort.lanes, effort.walkforward_windows, effort.top_k_consensus]


def test_numbers_in_the_text_are_the_configurations() -> None:
    assert f"first {SEARCH.sobol})" in PAGE
    assert f"{SEARCH.trust_radius:g} of each range" in PAGE
    assert re.search(rf"mean \+ {SEARCH.kappa:.1f} sd", PAGE)


def test_every_option_is_described() -> None:
    from nightsoak.__main__ import build_parser

    commands = next(action for action in build_parser()._actions if action.choices)
    assert isinstance(commands.choices, dict)
    options = [word for action in commands.choices["tune"]._actions for word in action.option_strings]
    assert [word for word in options if word.startswith("--") and word != "--help" and word not in PAGE] == []
