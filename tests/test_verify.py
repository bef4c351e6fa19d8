"""The certificate: what is verified, and that each thing which can have changed is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bot.process import BotProcess
from engine.differences import ABSENT, differences
from engine.errors import InputError
from engine.files import to_json, write_json
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape, write_tape
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.report.manifest import MANIFEST, artefact_sha256
from engine.report.record import OPERATOR
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import run_soak
from engine.soak_steps import reach_edge, report
from engine.verify import Verification, verify_run
from nightsoak.__main__ import main

pytestmark = pytest.mark.usefixtures("expectations_here")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Night:
    """A run on a tape of its own: forty seconds, two iterations."""

    folder: Path
    tape: Path
    paths: Paths

    def verify(self, **changes: Any) -> Verification:
        return verify_run(self.folder, self.paths, **changes)

    def copy(self, to: Path) -> Night:
        return replace(self, folder=shutil.copytree(self.folder, to / "copy"))

    def edit(self, name: str, path: str, value: Any, *, signed: bool = False) -> None:
        """Set the leaf at `path` (dots and numbers) of a JSON artefact; `signed`: its sha256 in the manifest too."""
        file = self.folder / name
        document = json.loads(file.read_text())
        *outer, last = [int(key) if key.isdigit() else key for key in path.split("|")]
        inner = document
        for key in outer:
            inner = inner[key]
        assert inner[last] != value
        inner[last] = value
        file.write_text(to_json(document))
        if signed:
            manifest = json.loads((self.folder / MANIFEST).read_text())
            manifest["artefacts"][name] = artefact_sha256(file.read_bytes(), manifest["run_id"])
            (self.folder / MANIFEST).write_text(to_json(manifest))


def made(paths: Paths, tape: Path, **changes: Any) -> RunPlan:
    settings = {"tape": str(tape), "iterations": 2, "auto_tune": True, "window_seconds": 10} | changes
    return make_plan(SoakSettings.model_validate(settings), paths)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verify")


@pytest.fixture(scope="module")
def night(home: Path) -> Night:
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    market = read_settings(CHECKOUT / "config", "s1").with_run(seed=9, duration_s=40)
    tape = generate_tape(home / "market", market)
    plan = made(paths, tape.path)
    run_soak(plan)
    return Night(report(plan).folder, tape.path, paths)


@pytest.fixture
def copied(night: Night, tmp_path: Path) -> Night:
    return night.copy(tmp_path)


def test_a_run_is_verified_from_its_folder_alone_its_market_generated_again(night: Night, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(night.folder, tmp_path / "example")
    (elsewhere / "notes.txt").write_text("mine")
    hidden = night.tape.rename(night.tape.with_name("hidden"))
    try:
        paths = replace(night.paths, datasets=tmp_path / "datasets", reports=tmp_path / "reports")
        result = verify_run(elsewhere, paths)
    finally:
        hidden.rename(night.tape)
    assert (result.findings, result.open) == ((), ())
    assert result.verified
    assert "notes.txt is no artefact: not looked at" in result.notes
    (elsewhere / "notes.txt").unlink()
    files = [path for path in elsewhere.rglob("*") if path.is_file() and path.name != "wall_clock.json"]
    assert result.compared == len(files) > 8
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("parameters|0|params|min_interval_ms", 80, "parameters[0].params.min_interval_ms"),
        ("parameters|0|effective_ts_ns", 1, "parameters[0].effective_ts_ns"),
        ("plan|settings|iterations", 3, "plan.settings.iterations"),
        ("plan|profile", "moderate", "plan.profile"),
        ("plan|tape|digest", "00", "plan.tape.digest"),
        ("plan|tape|generated|seed", 8, "plan.tape.generated.seed"),
        ("seeds|tape", 8, "seeds.tape"),
        ("inputs|tape/price_ticks.npy", "00", "inputs.tape/price_ticks.npy"),
        ("inputs|config/gates.json", "00", "inputs.config/gates.json"),
        ("result|verdict", "SPLENDID", "result.verdict"),
        ("rows|fills", -1, "rows.fills"),
    ],
)
def test_one_changed_entry_of_the_manifest_is_named(copied: Night, path: str, value: Any, named: str) -> None:
    copied.edit(MANIFEST, path, value)
    result = copied.verify()
    assert not result.verified
    assert (result.findings[0].file, result.findings[0].where) == (MANIFEST, named)
    assert "was not made again" in result.open[0]


def test_an_altered_number_is_found_and_its_right_value_given(copied: Night) -> None:
    """In the documents, the hashes and the manifest alike, so that nothing but doing it again can tell."""
    fills = json.loads((copied.folder / MANIFEST).read_text())["rows"]["fills"]
    copied.edit("EDGE_REPORT.json", "totals|fills", fills + 1, signed=True)
    copied.edit(MANIFEST, "rows|fills", fills + 1)
    result = copied.verify()
    assert not result.verified
    first = result.findings[0]
    assert (first.file, first.where, first.recorded, first.again) == (
        "EDGE_REPORT.json", "totals.fills", str(fills + 1), str(fills)
    )  # fmt: skip
    assert all(finding.file in ("EDGE_REPORT.json", MANIFEST) for finding in result.findings)


def test_a_starting_parameter_changed_everywhere_leads_to_another_run(copied: Night) -> None:
    copied.edit("soak_metrics.json", "parameters|0|params|base_spread_bps_delta", 0.4)
    copied.edit("soak_metrics.json", "params_start|base_spread_bps_delta", 0.4, signed=True)
    copied.edit(MANIFEST, "parameters|0|params|base_spread_bps_delta", 0.4)
    result = copied.verify()
    assert not result.verified
    assert result.findings[0].file == "EDGE_REPORT.json"
    assert result.findings[0].where.startswith("windows[0].")


def test_a_changed_report_and_a_lost_chart_are_named(copied: Night) -> None:
    path = copied.folder / "summary.txt"
    _, *rest = path.read_text().splitlines()
    path.write_text("\n".join(["SUCCESS", *rest]) + "\n")
    (copied.folder / "charts" / "price.svg").unlink()
    result = copied.verify()
    assert not result.verified
    assert [(f.file, f.where, f.recorded) for f in result.findings] == [
        ("summary.txt", "line 1", "'SUCCESS'"),
        ("charts/price.svg", "the file", ABSENT),
    ]
    assert any("the numbers are the same" in note for note in result.notes)


def test_a_changed_configuration_is_named_with_what_it_changed(copied: Night, tmp_path: Path) -> None:
    config = shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    profile, gates = config / "profiles" / "market_maker_S1.json", config / "gates.json"
    write_json(profile, json.loads(profile.read_text()) | {"maker_fee_bps": 0.5})
    write_json(gates, json.loads(gates.read_text()) | {"comment": "as it was"})
    result = replace(copied, paths=replace(copied.paths, config=config)).verify()
    assert not result.verified
    assert {"config/profile", "config/gates.json"} <= {change.name for change in result.changed_inputs}
    assert result.findings[0].file == "EDGE_REPORT.json"
    assert any("fees_eff_bps" in finding.where for finding in result.findings)


@pytest.fixture
def recorded(night: Night, tmp_path: Path) -> Iterator[Night]:
    """The same events as a tape that says nothing of a simulator, and a run on it without tuning."""
    market = Tape.open(night.tape)
    tape = write_tape(tmp_path / "captured", market.columns, instrument=market.meta.instrument())
    paths = replace(night.paths, datasets=tmp_path / "datasets", reports=tmp_path / "reports")
    plan = made(paths, tape.path, auto_tune=False)
    run_soak(plan)
    yield Night(report(plan).folder, tape.path, paths)


def test_a_recorded_tape_is_found_by_its_digest_and_its_altered_column_named(recorded: Night, tmp_path: Path) -> None:
    moved = tmp_path / "datasets" / "tapes" / "another-name"
    moved.parent.mkdir()
    recorded.tape.rename(moved)
    assert recorded.verify().verified

    away = moved.rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"is not here.*--tape DIR"):
        recorded.verify()

    column = bytearray((away / "price_ticks.npy").read_bytes())
    column[-1] ^= 1
    (away / "price_ticks.npy").write_bytes(column)
    result = recorded.verify(tapes=[tmp_path / "away"])
    assert not result.verified
    assert [change.name for change in result.changed_inputs if "sha256" not in change.name] == ["tape/price_ticks.npy"]

    other = generate_tape(
        tmp_path / "other" / "captured", read_settings(CHECKOUT / "config", "s1").with_run(seed=1, duration_s=20)
    )
    names = {change.name for change in recorded.verify(tapes=[other.path]).changed_inputs}
    assert {"tape/exch_ts_ns.npy", "tape/price_ticks.npy", "tape/qty_lots.npy"} <= names


def test_what_an_operator_wrote_at_an_edge_is_done_again_and_what_was_refused_is_not(
    night: Night, tmp_path: Path
) -> None:
    paths = replace(night.paths, datasets=tmp_path / "datasets", reports=tmp_path / "reports")
    plan = made(paths, night.tape, auto_tune=False, iterations=4)
    wide = dict(Params().with_changes({"base_spread_bps_delta": 0.45}))
    written = (wide, {"spread": 1}, dict(Params()))
    run_soak(plan, at_edge=lambda edge: write_json(plan.overrides_file, written[edge.iteration]))
    folder = report(plan).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    edges = [plan.schedule.window_end_ns(i) for i in range(3)]
    assert [(row["source"], row["effective_ts_ns"]) for row in manifest["parameters"]] == [
        ("start", plan.schedule.start_ns), (OPERATOR, edges[0]), (OPERATOR, edges[2])
    ]  # fmt: skip
    assert manifest["parameters"][1]["params"] == wide
    assert [refused["ts_ns"] for refused in manifest["overrides_refused"]] == [edges[1]]
    result = verify_run(folder, paths)
    assert result.findings == ()
    assert result.verified


def test_an_interrupted_run_says_what_cannot_be_verified(night: Night, tmp_path: Path) -> None:
    paths = replace(night.paths, datasets=tmp_path / "datasets", reports=tmp_path / "reports")
    plan = made(paths, night.tape)
    with BotProcess(plan.file, plan.folder / "bot.log") as bot:
        reach_edge(plan, bot.messages(), 0, lambda message: None)
    run = Night(report(plan, interrupted=True).folder, night.tape, paths)
    result = run.verify()
    assert not result.verified
    assert result.findings == ()
    assert "cannot be repeated: EDGE_REPORT.json" in result.open[0]
    run.edit(MANIFEST, "parameters|0|params|min_interval_ms", 80)
    assert run.verify().findings[0].where == "parameters[0].params.min_interval_ms"


def test_newer_code_with_the_same_results_is_verified_and_said(
    copied: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSOAK_DATASETS", str(copied.paths.datasets))
    monkeypatch.setenv("NIGHTSOAK_REPORTS", str(copied.paths.reports))
    copied.edit(MANIFEST, "code_sha256", "00" * 32)
    copied.edit(MANIFEST, "lock_sha256", "11" * 32)
    assert main(["verify", str(copied.folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verified"] is True
    assert {"code_sha256", "lock_sha256"} == {change["name"] for change in said["changed_inputs"]}
    assert said["notes"][0].startswith("verified with other code")


def test_the_command_says_it_in_its_exit_code(
    copied: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSOAK_REPORTS", str(copied.paths.reports))
    copied.edit(MANIFEST, "parameters|0|params|tail_age_ms", 700)
    assert main(["verify", str(copied.folder)]) == 1
    out, err = capsys.readouterr()
    first = "first: truth_manifest.json: parameters[0].params.tail_age_ms: 700 in the folder, 650 by rights"
    assert first in " ".join(out.split())
    assert err.splitlines()[-1].startswith("hint: ")
    assert main(["verify", "20200101T000000-NOBODY-0000"]) == 2


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1}', b'{"format": 99}', b'{"format": 2}'])
def test_what_is_no_manifest_of_this_version_is_refused(copied: Night, content: bytes) -> None:
    (copied.folder / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=r"is not a manifest|is not format|cannot be read|has no run_id"):
        copied.verify()


@given(JSON, JSON)
def test_values_have_no_differences_exactly_where_they_are_equal(one: Any, other: Any) -> None:
    assert list(differences(one, one)) == []
    assert (list(differences(one, other)) == []) == (to_json(one) == to_json(other))


def test_each_difference_is_named_by_its_path() -> None:
    one = {"a": [1, {"b": 2}], "c": "x", "gone": None}
    other = {"a": [1, {"b": 3}, 4], "c": "x", "new": {"d": True}}
    found = {leaf.path: (leaf.first, leaf.second) for leaf in differences(one, other)}
    assert found == {
        "a[1].b": (2, 3),
        "a[2]": (ABSENT, 4),
        "gone": (None, ABSENT),
        "new": (ABSENT, {"d": True}),
    }
