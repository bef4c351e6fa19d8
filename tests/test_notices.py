"""Notices: what they say, and that they arrive: Apprise's posts are received by a real server on the loopback."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BotError, ConfigError, InputError, VerificationError
from engine.events import PROMOTED, ROLLED_BACK, emit
from engine.files import write_json
from engine.notice_outbox import deliver, outbox_file
from engine.notices import Notice, NoticeSettings, crash_notice, event_notice, load_notice_settings, run_notice
from engine.paths import CHECKOUT, Paths
from engine.report.manifest import artefact_sha256
from nightsoak.__main__ import main
from tasks.send_notice import send_notice

EXAMPLE = CHECKOUT / "reports" / "example"
SECRET = "hunter2"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; answers `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.posts = 200, []

    @property
    def url(self) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def to_receiver(receiver: Receiver, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("NIGHTSOAK_NOTICE_URLS", receiver.url)
    return receiver


def entries(paths: Paths) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outbox_file(paths).read_text(encoding="utf-8").splitlines()]


def night(number: int = 1) -> Notice:
    return Notice(
        "night", f"WARN · BTCUSDT · {number} Nov", ("Net -1.00 USDT", "Decide: nothing today"), f"night {number}"
    )


# --- what they say ---------------------------------------------------------------------------------------------------


def test_a_nights_notice_is_the_runs_summary_verdict_first_link_last() -> None:
    notice = run_notice(EXAMPLE, NoticeSettings())
    verdict = json.loads((EXAMPLE / "KPI_GATE.json").read_text())["verdict"]
    run_id = json.loads((EXAMPLE / "truth_manifest.json").read_text())["run_id"]
    assert notice.title.split(" ")[0] == verdict
    assert notice.lines[-1] == f"Report: nightsoak report {run_id}"
    assert 1 + len(notice.lines) <= 8
    linked = run_notice(EXAMPLE, NoticeSettings(link_base="https://host/reports/"))
    assert linked.lines[-1] == f"Report: https://host/reports/{EXAMPLE.parent.name}/{EXAMPLE.name}/SOAK_RESULTS.md"
    assert linked.lines[:-1] == notice.lines[:-1]


def test_a_summary_that_is_not_the_reports_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(EXAMPLE, tmp_path / "2026-11-20" / "copy")
    (copy / "summary.txt").write_text("SUCCESS · all is well\n")
    with pytest.raises(VerificationError, match="differs from its sha256"):
        run_notice(copy, NoticeSettings())
    with pytest.raises(InputError, match="holds no report"):
        run_notice(tmp_path, NoticeSettings())


def test_a_summary_that_is_no_notice_costs_the_night_nothing(
    paths: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(EXAMPLE, tmp_path / "2026-11-20" / "copy")
    long = "\n".join(["SUCCESS", *("line",) * 9]) + "\n"
    manifest = json.loads((copy / "truth_manifest.json").read_text())
    manifest["artefacts"]["summary.txt"] = artefact_sha256(long.encode(), manifest["run_id"])
    (copy / "summary.txt").write_text(long)
    write_json(copy / "truth_manifest.json", manifest)
    with caplog.at_level(logging.WARNING):
        assert send_notice.fn(copy).sent == 0
    assert "no notice of copy: a notice has 11 lines" in caplog.text


def test_a_rollback_is_told_with_the_parameters_that_are_in_force_again(paths: Paths) -> None:
    folder = paths.reports / "2026-11-20" / "r"
    row = {"parameter": "base_spread_bps_delta", "unit": "relative", "from": 0.06, "to": 0.08}
    write_json(folder / "ROLLBACK.json", {"changes": [row]})
    payload = {"symbol": "BTCUSDT", "from": "c-2", "to": "c-1", "why": "a loss", "report": "2026-11-20/r/ROLLBACK.md"}
    event = emit(paths, ROLLED_BACK, payload, event_id="r", at_utc="2026-11-20T03:10:00+00:00")
    notice = event_notice(event, NoticeSettings(), paths.reports)
    assert notice is not None
    assert notice.text.splitlines() == [
        "ROLLED BACK · BTCUSDT · 2026-11-20 03:10 UTC",
        "Why: a loss",
        "Rolled back: champion c-2 -> c-1",
        "Changed: base_spread_bps_delta 0.06 -> 0.08",
        "Decide: nothing today; the former parameters are in force",
        "Report: nightsoak champion history; 2026-11-20/r/ROLLBACK.md",
    ]


def test_a_promotion_is_told_with_what_changed(paths: Paths) -> None:
    row = {"parameter": "base_spread_bps_delta", "unit": "relative", "from": 0.06, "to": 0.08}
    payload = {"symbol": "BTCUSDT", "from": "c-1", "to": "c-2", "why": "better", "changes": [row]}
    event = emit(paths, PROMOTED, payload, event_id="p", at_utc="2026-11-20T03:10:00+00:00")
    notice = event_notice(event, NoticeSettings(), paths.reports)
    assert notice is not None and notice.kind == "promotion"
    assert notice.text.splitlines() == [
        "PROMOTED · BTCUSDT · 2026-11-20 03:10 UTC",
        "Why: better",
        "Promoted: champion c-1 -> c-2",
        "Changed: base_spread_bps_delta 0.06 -> 0.08",
        "Decide: nothing today; the next soak starts from it, and is watched",
        "Report: nightsoak champion history --symbol BTCUSDT",
    ]


def test_a_crash_says_what_where_and_remedy_and_no_address() -> None:
    error = BotError("ended without a word", where="bot 71", remedy="see bot.log, then run the soak again")
    assert crash_notice("soak", error, run_id="R").text.splitlines() == [
        "CRASHED · soak · R",
        "Why: ended without a word",
        "Where: bot 71",
        "Decide: see bot.log, then run the soak again",
        "Report: nightsoak report R",
    ]
    text = crash_notice("soak", ValueError(f"cannot reach json://user:{SECRET}@host")).text
    assert SECRET not in text and "json://****" in text


def test_nine_lines_are_too_many() -> None:
    with pytest.raises(ValueError, match="9 lines"):
        Notice("night", "OK", ("line",) * 8, "x")


# --- where they go ---------------------------------------------------------------------------------------------------


def test_it_arrives_and_is_marked_as_sent_before_and_after(paths: Paths, to_receiver: Receiver) -> None:
    assert deliver(paths, [night()]).sent == 1
    (post,) = to_receiver.posts
    assert (post["title"], post["message"]) == (night().title, "\n".join(night().lines))
    assert post["type"] == "warning"
    assert [entry["event"] for entry in entries(paths)] == ["queued", "sent"]
    assert SECRET not in outbox_file(paths).read_text()
    assert deliver(paths, [night()]).sent == 0
    assert deliver(paths, [night()], again=True).sent == 1
    assert len(to_receiver.posts) == 2


def test_what_was_not_taken_is_tried_again_at_the_next_send(
    paths: Paths, to_receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    to_receiver.status = 500
    done = deliver(paths, [night(1)])
    assert done.sent == 0 and len(done.failed) == 1
    to_receiver.status = 200
    assert deliver(paths, [night(2)]).sent == 2
    assert [post["title"] for post in to_receiver.posts] == [night(n).title for n in (1, 1, 2)]
    assert deliver(paths, []).sent == 0
    assert "night 1 was not taken" in caplog.text and SECRET not in caplog.text


def test_it_is_given_up_after_so_many_attempts(paths: Paths, to_receiver: Receiver, tmp_path: Path) -> None:
    config = shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    write_json(config / "notices.json", {"max_attempts": 2})
    ours = Paths(config=config, datasets=paths.datasets, reports=paths.reports)
    to_receiver.status = 500
    for expected in (1, 1, 0):
        assert len(deliver(ours, [night()]).failed) == expected


def test_one_address_that_fails_or_is_none_does_not_keep_it_from_another(
    paths: Paths, to_receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NIGHTSOAK_NOTICE_URLS", f"nonsense json://{SECRET}@127.0.0.1:1/x {to_receiver.url}")
    done = deliver(paths, [night()])
    assert done.sent == len(to_receiver.posts) == 1
    assert done.failed[0] == "address 1" and done.failed[1].startswith("json ")
    assert SECRET not in caplog.text + repr(done) + outbox_file(paths).read_text()


def test_events_are_told_once_and_old_ones_not_at_all(paths: Paths, to_receiver: Receiver) -> None:
    now = datetime.now(UTC)
    payload = {"symbol": "BTCUSDT", "from": "c-2", "to": "c-1", "why": "a loss", "report": "2026-11-20/r/ROLLBACK.md"}
    for name, when in (("old", now - timedelta(days=30)), ("new", now)):
        emit(paths, ROLLED_BACK, payload, event_id=name, at_utc=when.isoformat())
    emit(paths, "something.else", {}, event_id="other", at_utc=now.isoformat())
    assert [deliver(paths, []).sent for _ in range(2)] == [1, 0]
    assert to_receiver.posts[0]["title"].startswith("ROLLED BACK · BTCUSDT")


def test_off_is_off_and_a_night_cannot_be_off(paths: Paths, to_receiver: Receiver, tmp_path: Path) -> None:
    config = shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    write_json(config / "notices.json", {"events": {"crash": "off", "night": "silent"}})
    ours = Paths(config=config, datasets=paths.datasets, reports=paths.reports)
    deliver(ours, [crash_notice("soak", ValueError("x")), night()])
    assert [post["title"] for post in to_receiver.posts] == [night().title]
    write_json(config / "notices.json", {"events": {"night": "off"}})
    with pytest.raises(ConfigError, match=r"events\.night"):
        load_notice_settings(config)


def test_no_address_shows_in_settings_or_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSOAK_NOTICE_URLS", f"json://{SECRET}@host")
    assert SECRET not in repr(load_notice_settings(CHECKOUT / "config"))
    monkeypatch.delenv("NIGHTSOAK_NOTICE_URLS")
    for wrong in ({"urls": f"json://{SECRET}@host"}, {"urls": [1, f"json://{SECRET}@host"]}, {f"json://{SECRET}": 1}):
        (tmp_path / "notices.json").write_text(json.dumps(wrong))
        with pytest.raises(ConfigError) as caught:
            load_notice_settings(tmp_path)
        assert SECRET not in str(caught.value) and caught.value.__cause__ is None


# --- from flows and the command line ---------------------------------------------------------------------------------


def test_a_flow_sends_and_is_never_failed_by_it(
    paths: Paths, to_receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert send_notice.fn(EXAMPLE).sent == 1
    assert send_notice.fn(paths.reports / "nowhere").sent == 0
    paths.datasets.rename(paths.datasets.with_name("gone"))
    paths.datasets.write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert send_notice.fn(EXAMPLE).sent == 0
    assert "no notice was sent" in caplog.text


def test_the_command_sends_a_test_and_a_run(
    paths: Paths, to_receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notify", "--test"]) == 0
    assert main(["notify", str(EXAMPLE)]) == 0
    assert main(["notify", str(EXAMPLE)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("TEST · ") and err.splitlines()[-1].startswith("hint: ")
    assert to_receiver.posts[0]["title"].startswith("TEST")
    assert len(to_receiver.posts) == 3


def test_the_command_says_what_is_wrong(
    paths: Paths, to_receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    to_receiver.status = 500
    assert main(["notify", "--test"]) == 3
    assert "did not take it" in capsys.readouterr().err
    for value, message in (("", "no address to send to"), (f"{SECRET}", "address 1 of 1 is none that Apprise knows")):
        monkeypatch.setenv("NIGHTSOAK_NOTICE_URLS", value)
        assert main(["notify", "--test"]) == 2
        err = capsys.readouterr().err
        assert message in err and SECRET not in err
