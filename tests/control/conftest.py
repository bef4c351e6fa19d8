"""Real bots with a control plane, over the committed sample tape: 330 s of market time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.bot.journal import journal_files
from engine.bot.process import BotProcess
from engine.bot.protocol import Message
from engine.control.settings import FILE, SWITCH_VARIABLE, TOKEN_VARIABLE
from engine.files import write_json
from engine.paths import CHECKOUT, Paths
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan

SAMPLE = CHECKOUT / "datasets" / "sample"


@dataclass
class Served:
    """A running bot and a client that has its token."""

    plan: RunPlan
    bot: BotProcess
    messages: Iterator[Message]
    url: str
    token: str
    client: httpx.Client
    said: list[Message] = field(default_factory=list)

    def until(self, *events: str) -> Message:
        """Listen until the bot says one of `events`."""
        for message in self.messages:
            self.said.append(message)
            if message["event"] in events:
                return message
        raise AssertionError(f"the bot ended without saying {events}")

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.client.post(path) if body is None else self.client.post(path, json=body)

    def actions(self) -> int:
        """How many actions the bot was ever asked for."""
        number = 0
        while self.client.get(f"/control/actions/{number + 1}").status_code == 200:
            number += 1
        return number

    def stop(self) -> None:
        """End the run where it is, and hear it out."""
        self.bot.command("stop")
        self.said += list(self.messages)


def records_of(plan: RunPlan) -> list[dict[str, Any]]:
    files = journal_files(plan.paths.journals, plan.run_id)
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


@pytest.fixture
def records() -> Callable[[RunPlan], list[dict[str, Any]]]:
    """Reads a run's journal."""
    return records_of


def make_plan_in(folder: Path, **changes: object) -> RunPlan:
    if not (folder / "config").exists():
        shutil.copytree(CHECKOUT / "config", folder / "config")
    paths = Paths(config=folder / "config", datasets=folder / "datasets", reports=folder / "reports")
    settings = {"tape": str(SAMPLE), "profile": "S1", "iterations": 1, "auto_tune": True, "window_seconds": 60}
    return make_plan(SoakSettings.model_validate(settings | changes), paths)


@pytest.fixture(scope="session")
def plan_in() -> Callable[..., RunPlan]:
    """plan_in(folder, **settings): a plan on the sample tape in folders of its own, configuration included.

    One iteration, windows of 60 s, a control lane, unless told otherwise.
    """
    return make_plan_in


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane is off unless a test asks for it."""
    for name in (TOKEN_VARIABLE, SWITCH_VARIABLE, "MM_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(folder: Path, control: dict[str, Any] | None = None, **changes: object) -> Iterator[Served]:
    """A bot of a plan in `folder`, until the block ends."""
    plan = make_plan_in(folder, **changes)
    if control:
        file = plan.paths.config / FILE
        write_json(file, json.loads(file.read_text()) | control)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(SWITCH_VARIABLE, "1")
        bot = BotProcess(plan.file, plan.folder / "bot.log").__enter__()
    with ExitStack() as stack:
        stack.push(bot)
        messages = bot.messages()
        first = next(messages)
        assert first["event"] == "control"
        token = Path(first["token_file"]).read_text().strip() if first["token_file"] else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = stack.enter_context(httpx.Client(base_url=first["url"], headers=headers, timeout=10))
        yield Served(plan, bot, messages, first["url"], token, client, [first])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts bots; `control` changes config/control.json, the other arguments the soak's settings."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(serving(tmp_path, **changes))


@pytest.fixture(scope="session")
def served_at_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One bot that waits at the end of its first iteration, for tests that change nothing."""
    with serving(tmp_path_factory.mktemp("edge"), control={"wait_s": 0.2}, iterations=2) as served:
        served.until("edge")
        yield served
