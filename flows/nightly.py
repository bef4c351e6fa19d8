"""The nightly job, for each symbol: soak from its champion, watch it, confirm challengers, look for new ones, tell."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from engine.night import settings_of
from engine.search.settings import TuneSettings
from engine.soak import SoakSettings
from engine.soak_steps import Report
from flows.job import JOB, job
from flows.lease import one_soak
from flows.soak import soak_through
from tasks.night_confirm import confirm_challengers
from tasks.night_search import search_night
from tasks.night_settle import settle_night
from tasks.night_watch import watch_champion
from tasks.publish_night import publish_night
from tasks.publish_report import publish_report
from tasks.send_notice import send_notice

EFFORT = TuneSettings(profile="quick")


@flow(name="soak", **JOB)
@job
def nightly_soak(settings: SoakSettings, tuning: TuneSettings = EFFORT) -> tuple[tuple[Report, ...], str]:
    """One night, from the champions' first quotes to the notices in the morning."""
    messages = []
    with one_soak() as lock:
        soaked = soak_through(settings_of(settings, datetime.now(UTC).date()), lock)
        for plan, report in soaked.done:
            watched = watch_champion(plan)
            confirmed = confirm_challengers(plan)
            found = search_night(plan, tuning)
            night = settle_night(report, watched, confirmed, found)
            said = publish_report(report.folder), publish_night(night)
            messages.append(" · ".join(filter(None, said)))
            send_notice(report.folder)
        reports = soaked.all_or_raise()
    return reports, "; ".join(messages)
