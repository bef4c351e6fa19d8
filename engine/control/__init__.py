"""The control plane of a running bot: HTTP on loopback, read from snapshots, written through a queue of actions."""
