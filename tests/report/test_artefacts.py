"""The folder of a run: whole or absent, found again, listed, and never lying about what was written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import InputError, StorageError, VerificationError
from engine.params import Params, read_overrides
from engine.paths import CHECKOUT
from engine.report.artefacts import build_artefacts, load_view, publish, render_again, write_artefacts
from engine.report.copies import read_copy
from engine.report.index import resolve_run
from engine.report.manifest import MANIFEST, artefact_sha256, code_sha256
from engine.report.record import RECOMMENDED, RunRecord
from engine.report.rollback_artefacts import render_rollback_again, write_rollback
from engine.report.study import study_manifest
from engine.report.view import build_view
from engine.verify import read_manifest

NAMES = {
    "EDGE_REPORT.json",
    "KPI_GATE.json",
    "SOAK_RESULTS.md",
    "recommended_overrides.json",
    "runtime_overrides.json",
    "soak_metrics.json",
    "summary.txt",
    "truth_manifest.json",
    "wall_clock.json",
}


@pytest.fixture
def nodata(records: dict[str, RunRecord]) -> RunRecord:
    return records["nodata"]


def night(record: RunRecord, day: int, run: str = "a") -> RunRecord:
    return replace(record, run_id=f"202611{day:02d}T020000-BTCUSDT-{run}")


def test_a_published_run_is_whole_and_latest_leads_to_it(normal: RunRecord, tmp_path: Path) -> None:
    folder = publish(normal, tmp_path, wall_clock={"duration_s": 41.5})
    assert folder == tmp_path / "2026-11-20" / normal.run_id
    assert {path.name for path in folder.iterdir() if path.is_file()} == NAMES
    assert len(list((folder / "charts").iterdir())) == 8
    assert json.loads((tmp_path / "latest" / "KPI_GATE.json").read_text())["verdict"] == "WARN"
    assert json.loads((folder / "runtime_overrides.json").read_text()) == normal.params_final
    assert not list(tmp_path.rglob(".*"))


def test_the_manifest_names_every_other_artefact_by_its_sha256(normal: RunRecord, tmp_path: Path) -> None:
    folder = publish(normal, tmp_path, wall_clock={"duration_s": 41.5})
    text = (folder / "truth_manifest.json").read_text()
    manifest = json.loads(text)
    files = {
        path.relative_to(folder).as_posix(): artefact_sha256(path.read_bytes(), normal.run_id)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("truth_manifest.json", "wall_clock.json")
    }
    assert manifest["artefacts"] == files
    assert manifest["inputs"] == normal.inputs
    assert manifest["code_sha256"] == code_sha256()
    assert [row["source"] for row in manifest["parameters"]] == [
        "start",
        "decision after iteration 0",
        "decision after iteration 1",
    ]
    ends = [row["end_ns"] for row in normal.edge["iterations"]]
    starts = normal.edge["iterations"][0]["start_ns"]
    assert [row["effective_ts_ns"] for row in manifest["parameters"]] == [starts, ends[0], ends[1]]
    assert str(CHECKOUT) not in text
    assert str(tmp_path) not in text


def test_the_code_hash_follows_code_sql_and_templates_only(tmp_path: Path) -> None:
    for name in ("engine/a.py", "engine/sql/b.sql", "templates/c.md.j2", "tests/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    before = code_sha256(tmp_path)
    (tmp_path / "tests/d.py").write_text("y\n")
    (tmp_path / "engine/a.py").write_bytes(b"x\r\n")
    assert code_sha256(tmp_path) == before
    for name in ("engine/a.py", "engine/sql/b.sql", "templates/c.md.j2"):
        (tmp_path / name).write_text("y\n")
        assert code_sha256(tmp_path) != before
        (tmp_path / name).write_text("x\n")
    assert code_sha256(tmp_path) == before


def test_a_run_written_again_replaces_the_folder_as_a_whole(
    normal: RunRecord, nodata: RunRecord, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    write_artefacts(normal, folder, wall_clock={"duration_s": 1})
    write_artefacts(nodata, folder)
    written = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    made = build_artefacts(nodata)
    assert written.keys() == made.keys()
    assert {n for n in made if written[n] != made[n]} <= {"truth_manifest.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_a_killed_writer_left_does_not_get_into_the_report(nodata: RunRecord, tmp_path: Path) -> None:
    (tmp_path / ".run.new").mkdir()
    (tmp_path / ".run.new" / "stray").write_text("half")
    write_artefacts(nodata, tmp_path / "run")
    assert not (tmp_path / "run" / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_index_lists_nights_newest_first(
    records: dict[str, RunRecord], normal: RunRecord, nodata: RunRecord, tmp_path: Path
) -> None:
    publish(night(nodata, 18), tmp_path)
    publish(night(records["interrupted"], 20), tmp_path)
    publish(night(nodata, 19), tmp_path)
    (tmp_path / "2026-11-17" / "20261117T020000-X-broken").mkdir(parents=True)
    publish(night(normal, 21), tmp_path)
    lines = (tmp_path / "index.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [f"2026-11-{day} 02:00" for day in (21, 20, 19, 18, 17)]
    assert [row[1] for row in rows] == [*(f"[soak][{n}]" for n in range(1, 5)), "[?][5]"]
    assert [row[3] for row in rows] == ["WARN", "WARN partial", "NODATA", "NODATA", "unreadable"]
    assert rows[0][4] == "3.35 [2.93, 3.77]"
    assert rows[3][4] == "no data"
    for number in range(1, 5):
        target = next(line.split(": ")[1] for line in lines if line.startswith(f"[{number}]: "))
        assert (tmp_path / target).is_file()
    assert max(len(line) for line in lines if line.startswith("|")) <= 80


def test_every_kind_of_report_is_listed_and_latest_stays_with_the_soaks(
    normal: RunRecord, nodata: RunRecord, tmp_path: Path
) -> None:
    soak, of_ladder = publish(normal, tmp_path), {**nodata.plan, "params_source": "baseline preset A"}
    publish(replace(night(nodata, 21), plan=of_ladder), tmp_path)
    assert resolve_run("latest", tmp_path) == soak
    ladder = tmp_path / "2026-11-21" / "20261121T030000-baseline-1f2e"
    result = {"symbol": "BTCUSDT ETHUSDT", "verdict": "NO-GO", "net_bps": 1.5}
    ladder.mkdir()
    (ladder / MANIFEST).write_bytes(study_manifest("baseline", ladder.name, "S.md", result, {}, {}))
    parameters = dict(normal.params_start)
    document = {
        "rollback_id": "20261122T030000-BTCUSDT-rollback-1f2e",
        "symbol": "BTCUSDT",
        "when_utc": "2026-11-22T03:00:00.000Z",
        "who": "op",
        "why": "asked for",
        "from": {"id": "c2", "params": parameters, "since_utc": "", "promoted_why": ""},
        "to": {"id": "c1", "params": parameters, "params_sha256": "0" * 64},
        "changes": [{"parameter": "min_interval_ms", "unit": "ms", "from": 120, "to": 80}],
        "evidence": {},
    }
    folder = write_rollback(document, tmp_path / "2026-11-22" / document["rollback_id"]).parent
    rows = [line.split("|")[2:6] for line in (tmp_path / "index.md").read_text().splitlines() if line[:3] == "| 2"]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["[rollback][1]", "BTCUSDT", "ROLLED BACK", "-"],
        ["[ladder][2]", "BTCUSDT +1", "NO-GO", "1.50"],
        ["[attempt][3]", "BTCUSDT", "NODATA", "no data"],
        ["[soak][4]", "BTCUSDT", "WARN", "3.35 [2.93, 3.77]"],
    ]
    assert read_copy(folder).message.startswith("ROLLED BACK · BTCUSDT · c2 to c1")
    assert render_rollback_again(folder) == []
    (folder / "ROLLBACK.md").write_text("older words")
    assert render_rollback_again(folder) == ["ROLLBACK.md"]
    assert resolve_run(folder.name, tmp_path) == folder
    with pytest.raises(InputError, match="is a rollback, no run"):
        read_manifest(folder)


def test_a_package_that_is_proposed_is_a_file_that_a_soak_takes(normal: RunRecord, tmp_path: Path) -> None:
    folder = publish(normal, tmp_path)
    file = folder / RECOMMENDED
    proposed = {change["parameter"]: change["after"] for change in normal.gate["action_package"]["changes"]}
    assert dict(read_overrides(file, Params())) == normal.params_final | proposed
    assert RECOMMENDED in json.loads((folder / MANIFEST).read_text())["artefacts"]
    command = f"nightsoak soak --hours 3 --iterations 6 --auto-tune --overrides reports/2026-11-20/{folder.name}/"
    assert command + RECOMMENDED in (folder / "SOAK_RESULTS.md").read_text()
    assert f"({RECOMMENDED})" in (folder / "summary.txt").read_text()
    shown = load_view(folder).next.replace("\u00a0", " ")
    assert shown == f"soak with the proposed set, `{command.rpartition(' ')[0]} {file}`"


def test_nothing_is_proposed_where_nothing_would_change_nor_for_a_part_of_a_run(
    normal: RunRecord, records: dict[str, RunRecord]
) -> None:
    package = normal.gate["action_package"]
    stuck = [change | {"after": change["before"]} for change in package["changes"]]
    at_limit = replace(normal, gate={**normal.gate, "action_package": package | {"changes": stuck}})
    for record, why in ((at_limit, "at their limits already"), (records["interrupted"], "this is a part of the run")):
        assert RECOMMENDED not in record.documents()
        assert why in build_view(record.completed()).decision
    without = replace(normal, gate={**normal.gate, "action_package": None})
    assert build_view(without.completed()).decision.endswith("there is none for adverse_bps_p95.")


def test_a_run_is_found_by_id_by_path_and_as_latest(nodata: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no report yet"):
        resolve_run("latest", tmp_path)
    old, new = publish(night(nodata, 18), tmp_path), publish(night(nodata, 19), tmp_path)
    assert resolve_run(old.name, tmp_path) == old
    assert resolve_run(str(old), tmp_path) == old
    assert resolve_run(str(old / "SOAK_RESULTS.md"), tmp_path) == old
    assert resolve_run("latest", tmp_path) == new
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").write_text(f"2026-11-18/{old.name}\n")  # the pointer file of systems without links
    assert resolve_run("latest", tmp_path) == old
    for wrong in ("20261118T020000-BTCUSDT-b", "", "..", "nothing/here"):
        with pytest.raises(InputError, match="no such run"):
            resolve_run(wrong, tmp_path)


def test_json_that_was_changed_is_not_rendered(nodata: RunRecord, tmp_path: Path) -> None:
    write_artefacts(nodata, tmp_path / "run")
    gate = tmp_path / "run" / "KPI_GATE.json"
    gate.write_text(gate.read_text().replace("NODATA", "SUCCESS"))
    report = (tmp_path / "run" / "SOAK_RESULTS.md").read_bytes()
    with pytest.raises(VerificationError, match=r"KPI_GATE\.json.*sha256"):
        render_again(tmp_path / "run")
    assert (tmp_path / "run" / "SOAK_RESULTS.md").read_bytes() == report
    gate.unlink()
    with pytest.raises(InputError, match="missing"):
        render_again(tmp_path / "run")
    (tmp_path / "run" / "truth_manifest.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        render_again(tmp_path / "run")


def test_an_unwritable_folder_is_one_clear_error(nodata: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file stands where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        publish(nodata, tmp_path / "reports")
    if os.name == "posix" and os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(StorageError, match="cannot be written"):
            publish(nodata, tmp_path / "locked")
        assert list((tmp_path / "locked").iterdir()) == []


FULL_DISK = """
import importlib.util, resource, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("runs", sys.argv[1])
runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)
from engine.errors import StorageError
from engine.report.artefacts import publish
from dataclasses import replace
record = replace(runs.nodata_record(), run_id=sys.argv[3])
from engine.report.charts import draw_svg  # imported before the quota, as matplotlib keeps a cache
import matplotlib.figure
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    publish(record, Path(sys.argv[2]))
except StorageError as error:
    sys.exit(f"StorageError {error}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
@pytest.mark.parametrize("quota_bytes", [1000, 60_000])
def test_a_full_disk_leaves_nothing_half_written(nodata: RunRecord, tmp_path: Path, quota_bytes: int) -> None:
    former = publish(night(nodata, 19), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    runs = Path(__file__).with_name("conftest.py")
    for run_id in ("20261120T020000-BTCUSDT-a", former.name):  # a new run, and one that would replace a report
        words = [sys.executable, "-c", FULL_DISK, str(runs), str(tmp_path), run_id, str(quota_bytes)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=CHECKOUT, check=False)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("StorageError"), done.stderr
        assert "free some space" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert resolve_run("latest", tmp_path) == former
    assert not list(tmp_path.rglob(".*"))


def test_matplotlib_and_scipy_stay_out_until_they_are_needed() -> None:
    code = (
        "import sys, engine.report.artefacts, engine.report.index, nightsoak.report;"
        "print(sorted({'matplotlib', 'scipy', 'jinja2', 'rich', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=True)
    assert done.stdout.strip() == "[]"
