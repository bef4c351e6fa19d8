"""Where a run's market came from, where that is not a venue: what the report says above all else, and its notice."""

from __future__ import annotations

from dataclasses import dataclass

from engine.market.tape_meta import ENDPOINT
from engine.report.format import NO_DATA
from engine.report.record import RunRecord

OWN_FEED = "not the venue's feed"


@dataclass(frozen=True)
class Origin:
    """`title` and `text` of the report's quoted paragraph; `tag` of the notice's first line."""

    title: str
    text: str
    tag: str


def origin_of(record: RunRecord) -> Origin | None:
    """The origin of a run's market; None for a venue's own, live or recorded."""
    tape, endpoint = record.plan.get("tape") or {}, (record.plan.get("settings") or {}).get("endpoint", "")
    said = record.foreign["market"] if record.foreign else ""
    if (generated := tape.get("generated")) or said == "generated":
        seed = f" (seed {generated.get('seed', NO_DATA)})" if generated else ""
        return Origin(
            "Generated market.",
            f"This market is generated{seed}, not recorded. The result shows that the machinery works; it says nothing "
            "about what the bot would earn on a venue.",
            "generated market",
        )
    if not endpoint and said != ENDPOINT and f"-{ENDPOINT}" not in (tape.get("source") or {}).get("format", ""):
        return None
    feed = f"The feed was {endpoint}" if endpoint else "The feed was a server of the user's own"
    return Origin(
        "Not the venue's feed.",
        f"{feed}, not the venue's own: it may play a tape. Unless it passes the venue's market on, the result says "
        "nothing about what the bot would earn there.",
        OWN_FEED,
    )
