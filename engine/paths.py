"""Where things live. NIGHTSOAK_HOME, _DATASETS, _REPORTS and _CONFIG override the checkout's folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

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
        return self.datasets / "overrides" / f"{file_name(symbol)}.json"

    def champion(self, symbol: str) -> Path:
        """The folder of the symbol's champion: state, history, challengers, evidence (docs/champion.md)."""
        return self.datasets / "champion" / file_name(symbol)

    def champion_symbols(self) -> tuple[str, ...]:
        """The symbols that have such a folder, sorted."""
        folder = self.datasets / "champion"
        names = (entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else ()
        return tuple(sorted(unquote(name) for name in names))

    @property
    def events(self) -> Path:
        return self.datasets / "events.jsonl"


def file_name(symbol: str) -> str:
    """The symbol as a file name that is safe on every platform and can be read back: BTC/USDT is BTC%2FUSDT."""
    name = quote(symbol, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name
