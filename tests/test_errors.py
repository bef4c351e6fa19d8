"""Names that are not known: what was probably meant, everywhere in the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import ConfigModel, parse_config
from engine.errors import ConfigError, InputError, OverridesError, did_you_mean
from engine.params import Params
from engine.paths import CHECKOUT
from engine.profile import load_profile
from engine.report.index import resolve_run
from engine.tuning.rules import load_rules


@pytest.mark.parametrize(
    ("name", "known", "remedy"),
    [
        ("modrate", ["S1", "moderate"], "did you mean 'moderate'?"),
        ("s1", ["S1", "moderate"], "did you mean 'S1'?"),
        ("S2", ["S1", "moderate"], "known ones: S1, moderate"),
        ("x", [], "known ones: none"),
        ("x", [letter * 30 for letter in "abcd"], f"known ones: {'a' * 30}, {'b' * 30} and 2 more"),
    ],
)
def test_the_nearest_name_else_those_there_are(name: str, known: list[str], remedy: str) -> None:
    assert did_you_mean(name, known) == remedy


class _Model(ConfigModel):
    window_seconds: int = 1


def test_every_lookup_asks_in_the_same_words(tmp_path: Path) -> None:
    config = CHECKOUT / "config"
    for look_up, kind, meant in (
        (lambda: load_profile(config, "modrate"), ConfigError, "moderate"),
        (lambda: load_rules(config, "sede"), ConfigError, "seed"),
        (lambda: parse_config('{"window_second": 5}', _Model, where="x"), ConfigError, "window_seconds"),
        (lambda: Params().with_changes({"min_lots": 1}), OverridesError, "min_lot"),
    ):
        with pytest.raises(kind, match=f"did you mean '{meant}'") as caught:
            look_up()
        assert isinstance(caught.value, InputError) and caught.value.exit_code == 2
    (tmp_path / "2026-11-20" / "20261120T020000-BTCUSDT-1f2e").mkdir(parents=True)
    with pytest.raises(InputError, match="no such run; did you mean '20261120T020000-BTCUSDT-1f2e'"):
        resolve_run("20261120T020000-BTCUSDT-1f2f", tmp_path)
    with pytest.raises(InputError, match="-1f2e: has no truth_manifest"):
        resolve_run("20261120T020000-BTCUSDT-1f2e", tmp_path)
    with pytest.raises(ConfigError, match="no driver matrix 'none'; known ones: seed"):
        load_rules(config, "none")
