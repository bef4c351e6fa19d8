"""`python -m flows.child PARENT_PID deploy | worker NAME [QUEUE...]`: a part of `nightsoak up` that ends with it.

`deploy` makes pool, automations and deployments and is done; `worker` runs the worker. Prefect is imported while the
server is still starting; the command begins when it answers, however long that takes: how long is too long is the
parent's to say.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from engine.bot.follow import follow_parent
from engine.environment import WORKER_PID
from flows.api import POOL
from flows.server_record import answers


def main() -> int:
    parent_pid, *words = sys.argv[1:]
    if not follow_parent(int(parent_pid)):
        return 3
    # A shell's `&` leaves SIGINT ignored, and a worker that ignores it cannot be ended by SIGTERM either.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from prefect.cli import app

    from flows.database import SHARED
    from flows.lease import make_limit
    from flows.pool import make_automations, make_pool, settle_books

    api_url = os.environ["PREFECT_API_URL"]
    if words == ["deploy"]:
        _wait_for(f"{api_url}/health")
        settle_books()
        make_pool()
        make_automations()
        if SHARED in os.environ:
            make_limit()
        words = ["--no-prompt", "deploy", "--all"]
    else:
        _, name, *queues = words
        os.environ[WORKER_PID] = str(os.getpid())
        _wait_for(f"{api_url}/work_pools/{POOL}")
        words = ["worker", "start", "--pool", POOL, "--name", name]
        words += [word for queue in queues for word in ("--work-queue", queue)]
    sys.argv = ["prefect", *words]
    app()
    return 0


def _wait_for(url: str) -> None:
    while not answers(url):
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
