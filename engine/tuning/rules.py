"""The tuning rules as data: the driver-aware matrix (config/driver_matrix*.json) and the packages of changes.

A matrix row says: when this KPI is beyond its threshold, move these parameters. The move is `at_threshold`
at the threshold and `at_twice` at twice the threshold, linear between (for `<`: at half the threshold),
never more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from engine.config import ConfigModel, load_config
from engine.errors import ConfigError, did_you_mean
from engine.params import NAMES, PARAMETERS
from engine.tuning.bands import MetricName


def _checked_parameter(name: str) -> str:
    if name not in PARAMETERS:
        raise ValueError(f"no parameter {name!r}; {did_you_mean(name, NAMES)}")
    return name


ParameterName = Annotated[str, AfterValidator(_checked_parameter)]


def is_calming(parameter: str, change: float) -> bool:
    """Whether `change` moves the parameter to the calm side: wider, slower, smaller (engine.params)."""
    return PARAMETERS[parameter].calm * change > 0


class Trigger(ConfigModel):
    metric: MetricName
    comparison: Literal[">", "<"]
    threshold: float = Field(gt=0)

    def depth(self, value: float) -> float | None:
        """How far `value` is beyond the threshold: 0 at it, 1 at twice it and further; None if it is not."""
        excess = value - self.threshold if self.comparison == ">" else 2 * (self.threshold - value)
        return min(excess / self.threshold, 1.0) if excess > 0 else None


class Move(ConfigModel):
    """A change of one parameter, in the parameter's own unit, from the smallest to the largest."""

    parameter: ParameterName
    at_threshold: float
    at_twice: float

    @model_validator(mode="after")
    def _one_direction(self) -> Move:
        if self.at_threshold * self.at_twice <= 0 or abs(self.at_twice) < abs(self.at_threshold):
            raise ValueError("at_threshold and at_twice must have one sign, at_twice the larger size")
        return self

    def change(self, depth: float) -> float:
        return self.at_threshold + depth * (self.at_twice - self.at_threshold)


class Row(ConfigModel):
    """`when_healthy`: the row acts only while execution is healthy. `calming`: all its moves calm the bot;
    stated for the reader and checked against the parameter table."""

    name: str = Field(min_length=1)
    trigger: Trigger
    when_healthy: bool = False
    moves: tuple[Move, ...] = Field(min_length=1)
    calming: bool
    effect: str

    @model_validator(mode="after")
    def _consistent(self) -> Row:
        calming = all(is_calming(move.parameter, move.at_threshold) for move in self.moves)
        if calming != self.calming:
            raise ValueError(f"row {self.name} says calming {self.calming}, its moves say {calming}")
        parameters = [move.parameter for move in self.moves]
        if len(set(parameters)) < len(parameters):
            raise ValueError(f"row {self.name} moves a parameter twice")
        return self


class HealthyBound(ConfigModel):
    metric: MetricName
    at_most: float


class DriverMatrix(ConfigModel):
    """The rows in order of application, and the guards around them."""

    name: str = Field(min_length=1)
    max_changes_per_parameter: int = Field(ge=1)
    multi_fail_triggers: int = Field(ge=2)
    fallback_after_negative_iterations: int = Field(ge=1)
    healthy_execution: tuple[HealthyBound, ...] = Field(min_length=1)
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_once(self) -> DriverMatrix:
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError("row names must differ")
        return self


class FallbackPackage(ConfigModel):
    """Conservative values, each taken only where it is calmer than the value in force."""

    name: str = Field(min_length=1)
    effect: str
    values: dict[ParameterName, float] = Field(min_length=1)

    @model_validator(mode="after")
    def _within_limits(self) -> FallbackPackage:
        for name, value in self.values.items():
            row = PARAMETERS[name]
            if row.calm == 0:
                raise ValueError(f"{name} has no calm side")
            if row.clamp(value) != value:
                raise ValueError(f"{name} {value} is not among its values, {row.low} to {row.high} {row.unit}")
        return self


class TargetedPackage(ConfigModel):
    """Changes to propose when one of `drivers` (components or other KPIs) is what holds a verdict at WARN."""

    name: str = Field(min_length=1)
    drivers: tuple[MetricName, ...] = Field(min_length=1)
    effect: str
    changes: dict[ParameterName, float] = Field(min_length=1)


class Packages(ConfigModel):
    fallback: FallbackPackage
    targeted: tuple[TargetedPackage, ...]

    @model_validator(mode="after")
    def _one_package_a_driver(self) -> Packages:
        drivers = [driver for package in self.targeted for driver in package.drivers]
        for driver in drivers:
            if drivers.count(driver) > 1:
                raise ValueError(f"{driver} has two packages")
        return self

    def for_driver(self, driver: str) -> TargetedPackage | None:
        return next((package for package in self.targeted if driver in package.drivers), None)


@dataclass(frozen=True)
class Rules:
    """All that `autotune.decide` needs to know beside the KPIs."""

    matrix: DriverMatrix
    fallback: FallbackPackage


def load_packages(config: Path) -> Packages:
    """The packages of the configuration folder. Raises ConfigError, naming file, key and remedy."""
    return load_config(config / "packages.json", Packages)


def matrix_file(matrix: str) -> str:
    """The file of the driver matrix of that name; empty: the shipped one."""
    return f"driver_matrix_{matrix}.json" if matrix else "driver_matrix.json"


def load_rules(config: Path, matrix: str = "") -> Rules:
    """The rules in the folder `config`: driver_matrix.json, or driver_matrix_<matrix>.json where one is
    named.

    Raises:
        ConfigError: names file, key and remedy.
    """
    path = config / matrix_file(matrix)
    if matrix and not path.is_file():
        known = sorted(file.stem.removeprefix("driver_matrix_") for file in config.glob(matrix_file("*")))
        raise ConfigError(f"no driver matrix {matrix!r}", where=str(config), remedy=did_you_mean(matrix, known))
    return Rules(matrix=load_config(path, DriverMatrix), fallback=load_packages(config).fallback)
