from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import LockHeldError
from engine.host import Host, check_host, claim_host, host_file, owner, this_host
from engine.market.tape import Tape
from engine.paths import Paths
from nightsoak.__main__ import main


def moved_here_from(paths: Paths, hostname: str) -> bytes:
    """The file as another machine has written it."""
    other = {"hostname": hostname, "machine": "0" * 64 if this_host().machine else ""}
    host_file(paths).parent.mkdir(parents=True, exist_ok=True)
    host_file(paths).write_text(json.dumps(other))
    return host_file(paths).read_bytes()


def test_the_first_run_records_the_machine_and_the_next_ones_find_it(paths: Paths) -> None:
    assert check_host(paths) is None
    assert not host_file(paths).exists()
    claim_host(paths)
    written = host_file(paths).read_bytes()
    assert check_host(paths) == this_host()
    claim_host(paths)
    assert host_file(paths).read_bytes() == written


def test_the_machine_id_itself_is_not_written(paths: Paths) -> None:
    claim_host(paths)
    for file in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        if file.exists() and file.read_text().strip():
            assert file.read_text().strip() not in host_file(paths).read_text()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Host("a", "1"), Host("a", "1"), True),
        (Host("a", "1"), Host("b", "1"), True),  # renamed
        (Host("a", "1"), Host("a", "2"), False),
        (Host("a", ""), Host("a", "2"), True),
        (Host("a", ""), Host("b", ""), False),
    ],
)
def test_the_machine_id_decides_and_the_name_where_there_is_none(one: Host, other: Host, same: bool) -> None:
    assert one.is_same(other) is other.is_same(one) is same


def test_a_file_that_says_nothing_is_written_anew(paths: Paths) -> None:
    host_file(paths).parent.mkdir(parents=True)
    host_file(paths).write_text("garbage")
    claim_host(paths)
    assert owner(paths) == this_host()


def test_another_machine_is_refused_with_the_remedy(paths: Paths) -> None:
    before = moved_here_from(paths, "warehouse-host")
    for attempt in (check_host, claim_host):
        with pytest.raises(LockHeldError) as refused:
            attempt(paths)
        assert "the warehouse belongs to the host warehouse-host" in str(refused.value)
        assert "NIGHTSOAK_DATASETS" in str(refused.value)
    assert host_file(paths).read_bytes() == before


@pytest.mark.parametrize("command", ["soak", "ingest", "prune"])
def test_commands_that_would_write_there_are_refused_before_anything_is_written(
    paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    moved_here_from(paths, "warehouse-host")
    before = sorted(paths.datasets.rglob("*"))
    words = {
        "soak": ["soak", "--tape", str(short_tape.path), "--iterations", "2", "--window-seconds", "10"],
        "ingest": ["ingest", str(paths.datasets)],
        "prune": ["prune", "--keep-days", "30"],
    }[command]
    assert main(words) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "belongs to the host warehouse-host" in line
    assert sorted(paths.datasets.rglob("*")) == before


def test_status_says_whose_the_warehouse_is(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    moved_here_from(paths, "warehouse-host")
    assert main(["status", "--json"]) == 0
    assert "warehouse-host" in json.loads(capsys.readouterr().out)["lock"]


def test_a_soak_claims_the_datasets(paths: Paths, plan_of: object) -> None:
    assert callable(plan_of)
    plan_of()
    assert owner(paths) == this_host()
