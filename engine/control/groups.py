"""The parameter groups that can be reloaded while the bot runs, and those of the list that it has no part for.

A group has a full model (what is in force) and a *changes* model with the same fields, all optional, from which the
HTTP schema and the checks derive. A reload without a body takes the values from the group's file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, create_model, model_validator

from engine.config import ConfigModel, parse_config
from engine.control.settings import FILE, WHOLE, PerfProfile, Toxicity, load_settings
from engine.errors import ConfigError
from engine.params import PARAMETERS, Parameter
from engine.profile import load_profile, profile_path
from engine.soak import RunPlan

_NAMES = ("strategy", "taker", "allocator", "risk", "toxicity", "fusion", "edge_model", "exit", "perf_profile")
_MOST_QUOTE = 1e12


class RiskLimits(ConfigModel):
    """Parameter group `risk`: the profile's two sizes, in quote currency; they hold for every lane.

    position_cap_notional_quote  the position at which quoting stops on the side that would add to it
    order_notional_quote         the largest quote
    """

    position_cap_notional_quote: Annotated[float, Field(gt=0, le=_MOST_QUOTE)]
    order_notional_quote: Annotated[float, Field(gt=0, le=_MOST_QUOTE)]

    @model_validator(mode="after")
    def _order_fits(self) -> RiskLimits:
        if self.order_notional_quote > self.position_cap_notional_quote:
            raise ValueError("order_notional_quote is above position_cap_notional_quote")
        return self


def _strategy_model() -> type[ConfigModel]:
    """Parameter group `strategy`: lane 0's tuned parameters, as engine.params has them."""

    def field(row: Parameter) -> Any:
        limits = Field(ge=row.low, le=row.high, description=f"{row.meaning} ({row.unit})")
        return Annotated[int, limits, WHOLE] if row.integer else Annotated[float, limits]

    fields: dict[str, Any] = {row.name: (field(row), row.initial) for row in PARAMETERS.values()}
    return create_model("Strategy", __base__=ConfigModel, **fields)


def _changes_model(model: type[ConfigModel]) -> type[ConfigModel]:
    """`model` with every field optional; which were given is in `model_fields_set`."""
    fields: dict[str, Any] = {
        name: (Annotated[(info.annotation, *info.metadata)], Field(default=None, description=info.description))  # type: ignore[index]
        for name, info in model.model_fields.items()
        if name != "comment"
    }
    return create_model(f"{model.__name__}Changes", __base__=ConfigModel, **fields)


@dataclass(frozen=True)
class Group:
    """One reloadable group. `source` says which file a reload without a body reads; `read` reads it."""

    name: str
    model: type[ConfigModel]
    changes: type[ConfigModel]
    source: Callable[[RunPlan], str]
    read: Callable[[RunPlan], Mapping[str, Any]]

    def parse(self, text: str) -> dict[str, Any]:
        """The changes that a body asks for.

        Raises:
            ConfigError: not JSON, an unknown key, a wrong type, NaN, or a value out of range.
        """
        return _given(parse_config(text, self.changes, where="body"))

    def merged(self, in_force: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """The whole group after `changes`.

        Raises:
            ConfigError: together the values are not allowed.
        """
        try:
            return self.model.model_validate_json(json.dumps({**in_force, **changes})).model_dump(
                mode="json", exclude={"comment"}
            )
        except ValueError as error:
            first = error.errors(include_url=False)[0] if hasattr(error, "errors") else {"msg": str(error)}
            what = str(first["msg"]).removeprefix("Value error, ")
            raise ConfigError(what, where=self.name, remedy="see in_force of /report/shadow/live") from error

    def schema(self) -> dict[str, Any]:
        """JSON schema of a body."""
        schema = self.changes.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["properties"].pop("comment")
        for field in schema["properties"].values():
            field.pop("default", None)
        return schema


def _given(changes: ConfigModel) -> dict[str, Any]:
    return {name: getattr(changes, name) for name in sorted(changes.model_fields_set - {"comment"})}


def _read_strategy(plan: RunPlan) -> Mapping[str, Any]:
    path = plan.overrides_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("cannot be read", where=str(path), remedy="write it, or send the values") from error
    return _given(parse_config(text, GROUPS["strategy"].changes, where=str(path)))


def risk_limits(plan: RunPlan) -> dict[str, Any]:
    """The limits that the plan's profile has in its file."""
    profile = load_profile(plan.paths.config, plan.profile)
    return {name: getattr(profile, name) for name in RiskLimits.model_fields if name != "comment"}


def _section(name: str) -> Callable[[RunPlan], Mapping[str, Any]]:
    def read(plan: RunPlan) -> Mapping[str, Any]:
        section: ConfigModel = getattr(load_settings(plan.paths.config), name)
        return section.model_dump(mode="json", exclude={"comment"})

    return read


def _settings_file(plan: RunPlan) -> str:
    return str(plan.paths.config / FILE)


_STRATEGY = _strategy_model()
GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        Group("strategy", _STRATEGY, _changes_model(_STRATEGY), lambda p: str(p.overrides_file), _read_strategy),
        Group(
            "risk",
            RiskLimits,
            _changes_model(RiskLimits),
            lambda p: str(profile_path(p.paths.config, p.profile)),
            risk_limits,
        ),
        Group("toxicity", Toxicity, _changes_model(Toxicity), _settings_file, _section("toxicity")),
        Group("perf_profile", PerfProfile, _changes_model(PerfProfile), _settings_file, _section("perf_profile")),
    )
}
"""The groups that this bot has."""
ABSENT_GROUPS = tuple(name for name in _NAMES if name not in GROUPS)
"""Groups whose part this bot does not have: their endpoints answer 404."""
