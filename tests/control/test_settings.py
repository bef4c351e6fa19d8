from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from engine.control.settings import (
    FILE,
    SWITCH_VARIABLE,
    TOKEN_VARIABLE,
    ControlSettings,
    find_token,
    is_served,
    load_settings,
)
from engine.errors import ConfigError
from engine.paths import CHECKOUT

LONG = "a-token-of-some-length"


def test_the_committed_file_says_what_the_code_does_without_one(tmp_path: Path) -> None:
    committed = load_settings(CHECKOUT / "config")
    assert committed.model_copy(update={"comment": ""}) == ControlSettings()
    assert load_settings(tmp_path) == ControlSettings()


def test_off_in_replay_on_in_shadow_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ControlSettings()
    assert (is_served(settings, "replay"), is_served(settings, "shadow")) == (False, True)
    monkeypatch.setenv(SWITCH_VARIABLE, "1")
    assert is_served(settings, "replay")
    monkeypatch.setenv(SWITCH_VARIABLE, "0")
    assert not is_served(settings, "shadow")
    monkeypatch.setenv(SWITCH_VARIABLE, "yes")
    with pytest.raises(ConfigError, match="0 or 1"):
        is_served(settings, "replay")


@pytest.mark.skipif(sys.platform == "win32", reason="file modes as on POSIX")
def test_the_random_token_is_new_each_time_and_its_owners_alone(tmp_path: Path) -> None:
    first = find_token(ControlSettings(), tmp_path, tmp_path)
    assert first.file is not None
    first.file.chmod(0o644)  # what is left of an earlier run is not written into
    second = find_token(ControlSettings(), tmp_path, tmp_path)
    assert first.value != second.value
    assert len(second.value) >= 43
    assert second.file is not None
    assert second.file.read_text().strip() == second.value
    assert stat.S_IMODE(second.file.stat().st_mode) == 0o600


def test_the_environment_comes_before_the_file_and_the_file_before_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(LONG + "-of-the-file\n")
    file.chmod(0o600)
    settings = ControlSettings(token_file="token")
    assert find_token(settings, tmp_path, tmp_path).value == LONG + "-of-the-file"
    monkeypatch.setenv(TOKEN_VARIABLE, LONG)
    token = find_token(settings, tmp_path, tmp_path)
    assert (token.value, token.file) == (LONG, None)


def test_a_token_is_not_told_by_its_repr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, LONG)
    token = find_token(ControlSettings(), tmp_path, tmp_path)
    assert LONG not in repr(token) + str(token) + f"{token!r}"


@pytest.mark.parametrize("value", ["", "short", "x" * 15, "with spaces in the middle", "schlüssel-mit-umlaut-und-mehr"])
def test_a_token_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, value)
    with pytest.raises(ConfigError) as error:
        find_token(ControlSettings(), tmp_path, tmp_path)
    assert not value or value not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="file modes as on POSIX")
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(LONG)
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        find_token(ControlSettings(token_file="token"), tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_token(ControlSettings(token_file="gone"), tmp_path, tmp_path)


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"prot": 1}))
    with pytest.raises(ConfigError, match="did you mean 'port'"):
        load_settings(tmp_path)


def test_a_replay_so_slow_that_its_bot_would_look_hung_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"replay_pace": 0.01}')
    with pytest.raises(ConfigError, match="look like a bot that hangs"):
        load_settings(tmp_path)
