"""One Prefect server for the commands that run a flow; that each can start its own is tested with Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flows.environment import prefect_server, prepare
from nightsoak import console


@pytest.fixture(autouse=True)
def no_work_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine's kernels are compiled in the midst of a test: what is said of long work is tested on its own."""
    monkeypatch.setattr(console, "QUIET_S", 3600.0)


@pytest.fixture(scope="session")
def api_url() -> Iterator[str]:
    """The address of a temporary server, with nothing of it in this process's environment."""
    ours = dict(os.environ)
    try:
        prepare()
        with prefect_server() as wait_until_it_answers:
            served = dict(os.environ)
            wait_until_it_answers()
            os.environ.clear()
            os.environ.update(ours)
            yield served["PREFECT_API_URL"]
            os.environ.update(served)  # the block takes away what it has put there
    finally:
        os.environ.clear()
        os.environ.update(ours)


@pytest.fixture
def shared_server(api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this test use the server that is there, as they do that of `nightsoak up`."""
    monkeypatch.setenv("PREFECT_API_URL", api_url)
