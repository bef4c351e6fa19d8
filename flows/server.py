"""`python -m flows.server PORT PARENT_PID`: the temporary server or that of `nightsoak up`; it ends with its parent."""

from __future__ import annotations

import socket
import sys

from engine.bot.follow import follow_parent

_CONNECTIONS_S = 2
PORT_TAKEN = 4
"""The exit code where another process has the port."""


def main() -> int:
    port, parent_pid = (int(word) for word in sys.argv[1:])
    if not follow_parent(parent_pid):
        return 3
    with socket.socket() as listening:
        try:
            _listen(listening, port)
        except OSError as error:
            sys.stderr.write(f"port {port}: {error.strerror}\n")
            return PORT_TAKEN
        return _serve(listening)


def _listen(listening: socket.socket, port: int) -> None:
    """At once: who asks meanwhile waits, and nobody else takes the port during the seconds that Prefect needs."""
    if sys.platform != "win32":  # a port that was just left is free
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()


def _serve(listening: socket.socket) -> int:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            log_level="error",
            lifespan="on",
            # An open page of the UI keeps a connection that would never end by itself.
            timeout_graceful_shutdown=_CONNECTIONS_S,
        )
    )
    server.run(sockets=[listening])
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
