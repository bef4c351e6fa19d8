"""schemathesis against the OpenAPI document that a real bot serves: what it allows is taken, what not is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from engine.control.groups import ABSENT_GROUPS, GROUPS

EXAMPLES = 3
SPENT = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_served_document_is_kept_and_what_was_allowed_takes_effect_when_the_bot_goes_on(
    serve: Callable[..., Any], records: Callable[..., Any]
) -> None:
    """The bot waits at an edge meanwhile; whatever was allowed then takes effect all at once."""
    served = serve(control={"wait_s": 0.0, "queue_limit": 10_000}, iterations=2)
    assert served.client.get("/report/shadow/final").status_code in (200, 404)
    edge_ns = served.until("edge")["ts_ns"]
    for report in ("shadow", "toxicity"):
        assert served.get(f"/report/{report}/final")["ts_ns"] == edge_ns
    answer = served.post("/control/reload_risk", {"order_notional_quote": 300.0})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert served.get(answer.headers["location"])["effective_ts_ns"] is None
    headers = {"Authorization": f"Bearer {served.token}"}
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json", headers=headers)
    seen = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        varied = bool(operation.body or operation.path_parameters)
        modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if varied else [GenerationMode.POSITIVE]
        for mode in modes:

            @settings(SPENT, max_examples=EXAMPLES if varied else 1)
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                case.call_and_validate(headers=headers)

            check()
            seen[operation.label, mode] = True
    assert len(seen) >= 24 + len(GROUPS)
    absent = [f"POST /control/reload_{name}" for name in ABSENT_GROUPS]
    assert all((label, GenerationMode.POSITIVE) in seen for label in absent)
    assert served.post("/control/pause").json()["id"] > 15, "so few actions were allowed"
    served.bot.command("continue")
    served.said += list(served.messages)
    assert served.said[-1]["reason"] == "complete"
    control = [r for r in records(served.plan) if r["type"] == "control"]
    assert {r["effective_ts_ns"] for r in control} == {edge_ns}
    assert {r["event"] for r in control} >= {"pause", "reload_risk"}


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc", "/metrics", "/nothing"])
def test_documents_are_behind_the_token(served_at_edge: Any, path: str) -> None:
    assert served_at_edge.client.get(path, headers={"Authorization": ""}).status_code == 401
