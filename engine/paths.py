"""Where things live. NIGHTSOAK_HOME, _DATASETS, _REPORTS and _CONFIG override the checkout's folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Paths:
    """The folders of one installation; build it with `Paths.from_environment()`."""

    config: Path
    datasets: Path
    reports: Path
    templates: Path = CHECKOUT / "templates"

    @classmethod
    def from_environment(cls) -> Paths:
        home = Path(os.environ.get("NIGHTSOAK_HOME", CHECKOUT))

        def folder(name: str) -> Path:
            return Path(os.environ.get(f"NIGHTSOAK_{name.upper()}", home / name))

        return cls(config=folder("config"), datasets=folder("datasets"), reports=folder("reports"))

    @property
    def warehouse(self) -> Path:
        return self.datasets / "warehouse.duckdb"

    @property
    def tapes(self) -> Path:
        return self.datasets / "tapes"

    @property
    def journals(self) -> Path:
        return self.datasets / "journals"

    @property
    def locks(self) -> Path:
        return self.datasets / "locks"

    def overrides(self, symbol: str) -> Path:
        return self.datasets / "overrides" / f"{symbol}.json"

    def champion(self, symbol: str) -> Path:
        return self.datasets / "champion" / f"{symbol}.json"
