"""Which machine owns the datasets: DuckDB and file locks hold on one machine, also where several see the same folder.

The first run that writes there records its machine in datasets/host.json; another machine is refused. A machine is
known by its machine id, of which a hash is kept, or by its host name where it has none (containers, macOS): a machine
that was renamed is the same, a clone with the same id cannot be told apart.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import LockHeldError
from engine.files import write_json
from engine.paths import Paths

_MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True)
class Host:
    """`machine` is sha256 of the machine id, "" where there is none."""

    hostname: str
    machine: str

    def is_same(self, other: Host) -> bool:
        return self.machine == other.machine if self.machine and other.machine else self.hostname == other.hostname


def this_host() -> Host:
    found = _machine_id()
    return Host(socket.gethostname(), hashlib.sha256(f"nightsoak {found}".encode()).hexdigest() if found else "")


def host_file(paths: Paths) -> Path:
    return paths.datasets / "host.json"


def owner(paths: Paths) -> Host | None:
    """The machine that owns the datasets; None before the first run, or where the file says nothing."""
    try:
        said = json.loads(host_file(paths).read_bytes())
        return Host(str(said["hostname"]), str(said["machine"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_host(paths: Paths) -> Host | None:
    """The owner, where it is this machine; None where nobody is. Nothing is written.

    Raises:
        LockHeldError: the datasets belong to another machine.
    """
    found = owner(paths)
    if found is not None and not found.is_same(this_host()):
        raise LockHeldError(
            f"the warehouse belongs to the host {found.hostname}, this is {socket.gethostname()}",
            where=str(host_file(paths)),
            remedy="set NIGHTSOAK_DATASETS to a folder of this host, or pin the work queue to that one; "
            "delete the file if the folder has moved here",
        )
    return found


def claim_host(paths: Paths) -> None:
    """Make this machine the owner where nobody is.

    Raises:
        LockHeldError: the datasets belong to another machine.
        StorageError: the folder cannot be written.
    """
    if check_host(paths) is None:
        write_json(host_file(paths), asdict(this_host()))


def _machine_id() -> str:
    if sys.platform == "win32":
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    for file in _MACHINE_ID:
        try:
            found = file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if found:
            return found
    return ""
