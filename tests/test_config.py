"""Configuration files are taken or refused as a whole, with one line that names file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config import ConfigModel, load_config, parse_config
from engine.errors import ConfigError


class Leg(ConfigModel):
    price_ticks: int
    share: float = 0.5


class Plan(ConfigModel):
    name: str
    enabled: bool = True
    legs: tuple[Leg, ...] = ()
    by_name: dict[str, Leg] | None = None


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(text, Plan, where="config/plan.json")
    message = str(error.value)
    assert message.startswith("config/plan.json: ")
    assert "\n" not in message
    assert error.value.remedy
    assert error.value.exit_code == 2
    return message


def test_a_file_becomes_a_frozen_model(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"comment": "c", "name": "a", "legs": [{"price_ticks": 3, "share": 1}]}', encoding="utf-8")
    plan = load_config(path, Plan)
    assert plan.legs == (Leg(price_ticks=3, share=1.0),)
    with pytest.raises(ValidationError):
        plan.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "a", "enabledd": true}', ["'enabledd'", "did you mean 'enabled'?"]),
        ('{"name": "a", "zzz": 1}', ["'zzz'", "known ones: by_name, enabled, legs, name"]),
        ('{"name": "", "legs": [{"price_ticks": 1, "shar": 1}]}', ["legs.0.shar", "did you mean 'share'?"]),
        ('{"name": "a", "by_name": {"x": {"price_ticks": 1, "zz": 1}}}', ["by_name.x.zz"]),
        ('{"enabled": true}', ["'name' is missing"]),
        ('{"name": 5}', ["name: ", "not 5"]),
        ('{"name": "a", "enabled": 1}', ["enabled: ", "not 1"]),
        ('{"name": "a", "legs": [{"price_ticks": "7"}]}', ["legs.0.price_ticks", "'7'"]),
        ('{"name": "a", "legs": [{"price_ticks": true}]}', ["legs.0.price_ticks", "True"]),
        ('{"name": "a", "legs": [{"price_ticks": 1.5}]}', ["legs.0.price_ticks", "1.5"]),
        ('{"name": "a", "legs": [{"price_ticks": 1, "share": true}]}', ["legs.0.share", "True"]),
        ('{"name": "a", "legs": [{"price_ticks": 1, "share": NaN}]}', ["NaN is not a number"]),
        ('{"name": "a", "legs": [{"price_ticks": 1, "share": 1e999}]}', ["legs.0.share", "finite"]),
        ('{"name": "a", "name": "b"}', ["'name' stands twice"]),
        ('{"name": "a", "legs": 3, "enabled": 7}', ["(and 1 more)"]),
        ("[1, 2]", ["Input should be an object"]),
        ("{", ["is not valid JSON"]),
        ('{"name":' + "[" * 100_000, ["is not valid JSON"]),
        ("", ["is not valid JSON"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, words: list[str]) -> None:
    message = refused(text)
    for word in words:
        assert word in message


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json: cannot be read: No such file"):
        load_config(tmp_path / "absent.json", Plan)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.json: cannot be read: is not UTF-8"):
        load_config(binary, Plan)
