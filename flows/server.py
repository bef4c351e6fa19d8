"""`python -m flows.server PORT PARENT_PID`: the temporary server or that of `nightsoak up`; it ends with its parent."""

from __future__ import annotations

import sys

from engine.bot.follow import follow_parent

_CONNECTIONS_S = 2


def main() -> int:
    port, parent_pid = (int(word) for word in sys.argv[1:])
    if not follow_parent(parent_pid):
        return 3
    import uvicorn

    factory = "prefect.server.api.server:create_app"
    # An open page of the UI keeps a connection that would never end by itself.
    uvicorn.run(
        factory,
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=_CONNECTIONS_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
