"""`nightsoak up` as an operator has it: real server, worker, schedules, runs, UI and Prefect's own commands.

One server serves all tests, in the order they stand; the last ones take it down.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from engine.errors import InputError
from engine.market.tape import Tape
from engine.paths import CHECKOUT
from flows.api import Api, Run
from flows.environment import free_port
from flows.server_record import running_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="follows processes as Linux shows them"),
]
PREFECT = Path(sys.executable).with_name("prefect")
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SCREENSHOT = CHECKOUT / "docs" / "images" / "report-in-ui.png"
ZONE = "Europe/Berlin"
_WAIT_S = 240.0


@dataclass
class Up:
    """A home with its environment, and the `nightsoak up` that runs on it."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return Path(self.environment["PREFECT_HOME"])

    @property
    def said(self) -> str:
        return (self.folder / "up.out").read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        record = running_server(self.home)
        assert record is not None
        return record.ui_url

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in another shell, which knows the home and nothing else."""
        return subprocess.run(
            words, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=_WAIT_S, check=False
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Its API's answer; asks again where its database is locked."""

        def answered() -> httpx.Response | None:
            answer = httpx.request(method, f"{self.url}/api{path}", json=body, timeout=30)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        answer: httpx.Response = wait_until(answered)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def post(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, body)

    def running(self) -> list[str]:
        """The command lines of all processes that were started in this environment."""
        mark = f"NIGHTSOAK_DATASETS={self.environment['NIGHTSOAK_DATASETS']}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # ended meanwhile
                continue
        return [line for line in found if line]  # a zombie has none


def wait_until(met: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _WAIT_S
    while not (result := met()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)
    return result


def plugin_path(folder: Path) -> list[str]:
    """What PYTHONPATH needs for the plugin's entry point: nothing where the project is installed."""
    if any(point.name == "nightsoak" for point in entry_points(group="prefect.plugins")):
        return []
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["entry-points"]["prefect.plugins"]
    metadata = folder / "installed" / "nightsoak-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nightsoak\nVersion: 0\n")
    lines = [f"{name} = {module}" for name, module in declared.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[prefect.plugins]", *lines, ""]))
    return [str(metadata.parent)]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, start_up: Callable[..., Any]) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "NIGHTSOAK_"))}
    environment = kept | {
        "PREFECT_HOME": str(folder / "prefect"),
        "NIGHTSOAK_DATASETS": str(folder / "datasets"),
        "NIGHTSOAK_REPORTS": str(folder / "reports"),
        "NIGHTSOAK_TIMEZONE": ZONE,
        # Every minute by default; what has just changed is looked at more often, and missed by a busy machine.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *plugin_path(folder)]),
    }
    up = Up(folder, environment, start_up(folder / "up.out", environment, "--port", str(free_port())))
    yield up
    if up.process.poll() is None:
        up.process.terminate()
        up.process.wait(30)


@dataclass(frozen=True)
class Schedule:
    path: str
    deployment: str


@pytest.fixture(scope="module", autouse=True)
def schedule(up: Up) -> Schedule:
    """A schedule of soak-3h, made at once: its first run goes on beside the first tests."""
    with Api(f"{up.url}/api") as api:
        deployment = api.deployments()["soak/soak-3h"]
    # What is past when the server plans waits for the next turn.
    soon = datetime.now(UTC) + timedelta(seconds=15)
    times = {"interval": 60, "anchor_date": soon.isoformat(), "timezone": "UTC"}
    soak = {"tape": "datasets/sample", "iterations": 3, "window_seconds": 10, "auto_tune": True}
    asked = [{"schedule": times, "active": True, "parameters": {"settings": soak}}]
    (made,) = up.post(f"/deployments/{deployment}/schedules", asked)
    return Schedule(f"/deployments/{deployment}/schedules/{made['id']}", deployment)


@pytest.fixture(scope="module")
def scheduled(up: Up, schedule: Schedule) -> dict[str, Any]:
    """A run that nobody started: the schedule did. The schedule goes when the run has begun."""
    chosen = {"deployments": {"id": {"any_": [schedule.deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
    begun = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED", "CANCELLED"]}}}}
    first: dict[str, Any] = wait_until(lambda: up.post("/flow_runs/filter", chosen | begun))[0]
    up.ask("DELETE", schedule.path)
    with Api(f"{up.url}/api") as api:
        wait_until(lambda: api.run(first["id"]).is_final)
    run: dict[str, Any] = up.ask("GET", f"/flow_runs/{first['id']}")
    return run


def test_up_says_where_the_ui_is_and_what_comes_next(up: Up) -> None:
    assert f"UI: {up.url}\n" in up.said
    assert "hint: in another shell: prefect deployment run" in up.said
    assert "static" in httpx.get(up.url).text or "<html" in httpx.get(up.url).text


def test_the_night_is_planned_at_its_hour_in_its_time_zone(up: Up) -> None:
    def planned() -> list[Run]:
        with Api(f"{up.url}/api") as api:
            return [run for run in api.runs(limit=50, planned=True) if run.deployment == "soak/nightly-soak"]

    first = wait_until(planned)[0]
    local = datetime.fromisoformat(first.at).astimezone(ZoneInfo(ZONE))
    assert (local.hour, local.minute) == (22, 0)


def test_prefect_takes_the_bare_name_and_the_full_one(up: Up) -> None:
    """Of a deployment without a pool, so that nothing runs."""
    deployment = up.post("/deployments/", {"name": "alone", "flow_id": up.post("/flows/", {"name": "one"})["id"]})
    for name in ("alone", "one/alone"):
        done = up.cli(str(PREFECT), "deployment", "run", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Creating flow run for deployment 'one/alone'" in done.stdout
    made = up.post("/flow_runs/filter", {"deployments": {"id": {"any_": [deployment["id"]]}}})
    assert len(made) == 2
    for run in made:
        up.ask("DELETE", f"/flow_runs/{run['id']}")


def test_an_unknown_bare_name_is_what_prefect_says_of_it(up: Up) -> None:
    done = up.cli(str(PREFECT), "deployment", "run", "soak-3y")
    assert done.returncode == 1
    assert done.stdout.strip() == "Deployment 'soak-3y' not found!"
    assert done.stderr == ""


def test_an_ambiguous_bare_name_names_the_candidates(up: Up) -> None:
    """Two flows have a deployment of the name."""
    for name in ("one", "two"):
        flow = up.post("/flows/", {"name": name})
        up.post("/deployments/", {"name": "same", "flow_id": flow["id"]})
    done = up.cli(str(PREFECT), "deployment", "run", "same")
    assert done.returncode == 1
    assert done.stderr == "error: several deployments are named same: name one of one/same, two/same\n"


def crashes(up: Up) -> list[str]:
    """The crash notices that were queued."""
    outbox = up.folder / "datasets" / "notices.jsonl"
    entries = [json.loads(line) for line in outbox.read_text(encoding="utf-8").splitlines()]
    return [entry["text"] for entry in entries if entry.get("kind") == "crash"]


def test_a_failed_run_says_our_one_line(up: Up) -> None:
    with Api(f"{up.url}/api") as api:
        with pytest.raises(InputError, match="soak-3: no such deployment; did you mean 'soak-3h'"):
            api.find_deployment("soak/soak-3")
        run = up.post(
            f"/deployments/{api.find_deployment('report')[1]}/create_flow_run", {"parameters": {"run": "no-such-run"}}
        )
        ended = wait_until(lambda: found if (found := api.run(run["id"])).is_final else None)
    assert ended.state == "Failed"
    assert ended.message.startswith("no-such-run: no such run; name a run id")
    (notice,) = crashes(up)
    assert notice.splitlines()[:2] == ["CRASHED · report", "Why: no such run"]


def test_a_scheduled_run_appears_runs_and_ends_with_the_verdict(up: Up, scheduled: dict[str, Any]) -> None:
    assert scheduled["auto_scheduled"] is True
    assert scheduled["state_type"] == "COMPLETED", scheduled["state"]
    report = up.folder / "reports" / "latest"
    verdict = json.loads((report / "KPI_GATE.json").read_text())["verdict"]
    assert scheduled["state"]["message"].startswith(f"{verdict} · SIMUSDT")
    assert scheduled["name"] == f"soak sample {scheduled['start_time'][:10]}"
    wait_until(lambda: f"{scheduled['name']} Completed: {verdict}" in up.said)
    of_run = {"logs": {"flow_run_id": {"any_": [scheduled["id"]]}, "level": {"ge_": logging.INFO}}}
    line = f"{scheduled['state']['message']}; artifact soak-simusdt"
    wait_until(lambda: line in [row["message"] for row in up.post("/logs/filter", of_run)])


def test_its_report_kpis_progress_and_charts_are_artifacts(up: Up, scheduled: dict[str, Any]) -> None:
    of_run = {"flow_runs": {"id": {"any_": [scheduled["id"]]}}, "limit": 200}
    artifacts = {row["key"]: row for row in up.post("/artifacts/filter", of_run)}
    report = up.folder / "reports" / "latest"
    title = (report / "SOAK_RESULTS.md").read_text().splitlines()[0]
    assert artifacts["soak-simusdt"]["data"].startswith(f"{title}\n")
    kpis = {row["metric"]: row["value"] for row in json.loads(artifacts["soak-simusdt-kpis"]["data"])}
    totals = json.loads((report / "EDGE_REPORT.json").read_text())["totals"]
    assert float(kpis["net_bps"]) == pytest.approx(totals["net_bps"], rel=1e-5)
    assert float(artifacts["soak-simusdt-progress"]["data"]) == 100.0
    images = {key for key, row in artifacts.items() if row["type"] == "image"}
    assert images == {f"soak-simusdt-{chart.stem}" for chart in (report / "charts").glob("*.svg")}


def test_what_a_night_decided_is_an_artifact(up: Up, tmp_path: Path) -> None:
    (tmp_path / "NIGHT.md").write_text("# The morning after\n")
    code = (
        "import pathlib, sys; from engine.night import InForce, Night; from tasks.publish_night import publish_night;"
        "night = Night('SIMUSDT', pathlib.Path(sys.argv[1]), InForce('baseline', 'c1-1a2b3c4d', 8));"
        "print(publish_night.fn(night))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "NIGHT.md")]
    env = os.environ | {"PREFECT_API_URL": f"{up.url}/api"}
    said = subprocess.run(words, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=True).stdout
    assert said == "champion baseline -> c1-1a2b3c4d\n"
    (artifact,) = up.post("/artifacts/filter", {"artifacts": {"key": {"any_": ["night-simusdt"]}}})
    assert artifact["data"] == "# The morning after\n"
    assert artifact["description"] == "champion baseline -> c1-1a2b3c4d, 8 parameters changed"


@pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="Debian's chromium and chromium-driver")
def test_the_report_is_in_the_ui_with_tables_charts_and_verdict(
    up: Up, scheduled: dict[str, Any], tmp_path: Path
) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By

    (artifact,) = up.post("/artifacts/filter", {"artifacts": {"key": {"any_": ["soak-simusdt"]}}})
    title = artifact["data"].splitlines()[0].removeprefix("# ")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    quiet = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for flag in (*quiet.split(), "disable-component-update", "disable-sync", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.add_argument("--window-size=1280,1400")
    browser = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        browser.get(f"{up.url}/artifacts/artifact/{artifact['id']}")
        wait_until(lambda: title in browser.find_element(By.TAG_NAME, "body").text)
        cells = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "table td")]
        assert "net_bps" in cells
        charts = browser.find_elements(By.CSS_SELECTOR, "img[src^='data:image/svg+xml']")
        assert charts and all(browser.execute_script("return arguments[0].naturalWidth", chart) for chart in charts)
        text = browser.find_element(By.TAG_NAME, "body").text
        verdict = scheduled["state"]["message"].split(" · ")[0]
        assert f"State Message\n{verdict} · SIMUSDT" in text
        if os.environ.get("NIGHTSOAK_SCREENSHOTS"):
            SCREENSHOT.parent.mkdir(exist_ok=True)
            browser.save_screenshot(str(SCREENSHOT))
        (kpis,) = up.post("/artifacts/filter", {"artifacts": {"key": {"any_": ["soak-simusdt-kpis"]}}})
        browser.get(f"{up.url}/artifacts/artifact/{kpis['id']}")
        wait_until(lambda: "order_age_p95_ms" in [cell.text for cell in browser.find_elements(By.TAG_NAME, "td")])
    finally:
        browser.quit()


def test_nightsoak_run_waits_and_says_what_came_out(up: Up, scheduled: dict[str, Any]) -> None:
    done = up.cli(sys.executable, "-m", "nightsoak", "run", "report", "--param", "run=latest")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == scheduled["state"]["message"]
    done = up.cli(sys.executable, "-m", "nightsoak", "run", "soak-3y")
    assert done.returncode == 2
    assert done.stderr == "error: soak-3y: no such deployment; did you mean 'soak-3h'?\n"


def test_status_and_a_second_up(up: Up, scheduled: dict[str, Any]) -> None:
    done = up.cli(sys.executable, "-m", "nightsoak", "status", "--json")
    facts = json.loads(done.stdout)
    assert facts["server"]["url"] == f"{up.url}/api"
    assert facts["server"]["workers"] == ["nightsoak"]
    assert facts["server"]["next"]["deployment"] == "soak/nightly-soak"
    assert facts["report"].endswith(scheduled["state"]["message"])
    second = up.cli(sys.executable, "-m", "nightsoak", "up")
    assert second.returncode == 3
    (line,) = second.stderr.splitlines()
    assert f"process {up.process.pid}" in line


def test_a_worker_that_dies_is_started_again(up: Up) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "flows.child" in words and "worker" in words and str(up.process.pid) in words:
                os.kill(int(entry.name), signal.SIGKILL)
    wait_until(lambda: "worker died and is started again" in up.said)


def start_long_run(up: Up, tape: Tape) -> str:
    """The id of a soak that has its bot and will not be done for a while."""
    with Api(f"{up.url}/api") as api:
        deployment = api.find_deployment("soak-3h")[1]
        asked = {"tape": str(tape.path), "iterations": 60, "window_seconds": 1, "auto_tune": True}
        run: str = up.post(f"/deployments/{deployment}/create_flow_run", {"parameters": {"settings": asked}})["id"]
    wait_until(lambda: any("engine.bot" in line for line in up.running()))
    return run


@pytest.mark.soak
def test_killed_it_leaves_nothing_running_and_the_next_one_ends_the_lost_run(
    up: Up, start_up: Callable[..., Any], short_tape: Tape
) -> None:
    lost = start_long_run(up, short_tape)
    lease = up.ask("GET", f"/flow_runs/{lost}")["state"]["state_details"]["deployment_concurrency_lease_id"]
    assert (up.home / "concurrency_leases" / f"{lease}.json").exists(), "it would end with the server"
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not up.running())
    up.process = start_up(up.folder / "up.out", up.environment, "--port", str(free_port()))
    with Api(f"{up.url}/api") as api:
        run = api.run(lost)
    assert run.state == "Crashed", run
    assert run.message in ("its worker was killed", "Execution was aborted by a termination signal.")


def test_told_to_end_it_lets_the_run_report_and_leaves_nothing_running(up: Up, short_tape: Tape) -> None:
    before = crashes(up)
    start_long_run(up, short_tape)
    up.process.terminate()
    assert up.process.wait(60) == 0, up.said
    assert up.running() == []
    assert up.said.splitlines()[-1] == "ending worker, runs and server"
    assert json.loads((up.folder / "reports" / "latest" / "KPI_GATE.json").read_text())["partial"] is True
    assert crashes(up) == before
    done = up.cli(str(PREFECT), "deployment", "run", "report")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Prefect server is up")
