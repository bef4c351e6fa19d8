"""config/edge_targets.json: what each component of net_bps should bring, in bps (+ helps net)."""

from __future__ import annotations

import json
import math
from pathlib import Path

from engine.errors import ConfigError
from engine.metrics import COMPONENTS
from engine.paths import CHECKOUT, Paths

NAME = "edge_targets.json"


def load_targets(path: Path | None = None) -> dict[str, float]:
    """Target by component, in the order of COMPONENTS; the checkout's file where the configuration has none.

    Raises:
        ConfigError: the file is not an object with one finite number per component.
    """
    if path is None:
        path = Paths.from_environment().config / NAME
        if not path.exists():
            path = CHECKOUT / "config" / NAME
    remedy = f"give a number for each of {', '.join(COMPONENTS)}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path), remedy=remedy) from error
    if not isinstance(value, dict) or value.keys() != set(COMPONENTS):
        raise ConfigError("does not name exactly the components", where=str(path), remedy=remedy)
    for name, target in value.items():
        if isinstance(target, bool) or not isinstance(target, int | float) or not math.isfinite(target):
            raise ConfigError(f"{name} must be a number, not {target!r}", where=str(path), remedy=remedy)
    return {name: float(value[name]) for name in COMPONENTS}
