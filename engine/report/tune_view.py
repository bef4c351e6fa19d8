"""The view-model of TUNE_RESULTS.md and of its notice: every word and every rounded number, from TUNE.json alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.params import PARAMETERS
from engine.report.commands import shell_line
from engine.report.format import NO_DATA, and_list, number, plain
from engine.report.record import RECOMMENDED
from engine.report.study import dated_folder
from engine.report.table import Markdown, Table

_MEANS = {
    "PROMOTE": "the challenger is better, shown on windows that the search never saw",
    "HOLD": "nothing better was shown; the champion stays",
    "INCONCLUSIVE": "not decided: more fresh windows are needed; the champion stays",
    "REJECT": "the challenger is worse, or failed a check; the champion stays",
}
_BEST_TEXT = (
    "The best by posterior, all in bps against the champion. EV_net as measured; Objective after penalties; Posterior, "
    "with its standard deviation, what is left when neighbouring trials are heard and noise is taken out; Walk-forward "
    "for those that were candidates, no data for the others."
)
_BPS = 3
_NIGHT_HOURS = 3


@dataclass(frozen=True)
class TuneView:
    """What the template uses."""

    title: str
    verdict: str
    verdict_text: str
    notes: tuple[str, ...]
    reason: str
    facts: tuple[str, ...]
    effects: Table
    params: Table
    params_text: str
    objective_text: str
    terms: Table
    search_facts: tuple[str, ...]
    best_text: str
    best: Table
    forward_text: str
    folds: Table
    luck: tuple[str, ...]
    confirm_text: str
    looks: Table
    warnings: tuple[str, ...]
    error_rates: str
    kpis: Table
    kpis_text: str
    tapes: Table
    again: tuple[Markdown, ...]
    next: str
    next_command: Markdown
    summary: tuple[str, ...]


def build_tune_view(doc: Mapping[str, Any], folder: str = "") -> TuneView:
    """The view of a TUNE.json; `folder`: where the report is, by default in reports/ of the working folder."""
    verdict, symbol = doc["verdict"], doc["symbol"]
    candidate = doc["candidate"]
    command, words = _next(doc, folder or dated_folder(Path("reports"), doc["id"]).as_posix())
    return TuneView(
        title=f"Tuning results {_date(doc)} {symbol}: {verdict}",
        verdict=verdict,
        verdict_text=f"{verdict}, {symbol}: {_MEANS[verdict]}.",
        notes=_notes(doc),
        reason=_sentence(doc["reason"]),
        facts=_facts(doc),
        effects=_effects(doc),
        params=_params(doc),
        params_text=_params_text(candidate, verdict),
        objective_text=_objective_text(doc["objective"]),
        terms=_terms(doc["objective"]),
        search_facts=_search(doc),
        best_text=_BEST_TEXT if doc["best"] else "No trial could be scored.",
        best=_best(doc),
        forward_text=_forward_text(doc["walk_forward"]),
        folds=_folds(doc["walk_forward"]),
        luck=_luck(doc),
        confirm_text=_confirm_text(doc),
        looks=_looks(doc["judgement"]),
        warnings=tuple(_sentence(text) for text in (doc["judgement"] or {}).get("warnings", ())),
        error_rates=doc["error_rates"],
        kpis=_kpis(doc["kpis"]),
        kpis_text=_kpis_text(doc["kpis"], doc["judgement"]),
        tapes=_tapes(doc["tapes"]),
        again=(Markdown(shell_line(doc["command"])),),
        next=words,
        next_command=Markdown(command),
        summary=(
            " · ".join([verdict, "tune", symbol, _date(doc), *(["generated market"] if _generated(doc) else [])]),
            _sentence(_MEANS[verdict]),
            f"Why: {_sentence(doc['reason'])}",
            f"Rests on: {doc['trials']['made']} trials, {doc['windows']['selection']} windows searched, "
            f"{doc['windows']['fresh']} kept fresh",
            f"Decide: {_decide(doc)}",
            f"Report: nightsoak report {doc['id']}",
        ),
    )


def _date(doc: Mapping[str, Any]) -> str:
    day = str(doc["id"])
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}"


def _generated(doc: Mapping[str, Any]) -> bool:
    return any(tape["generated"] for tape in doc["tapes"])


def _sentence(text: str) -> str:
    return (text[:1].upper() + text[1:]).rstrip(".") + "." if text else ""


def _bps(value: float | None, *, sign: bool = True) -> str:
    return number(value, _BPS, sign=sign)


def _notes(doc: Mapping[str, Any]) -> tuple[str, ...]:
    notes = list(doc["notes"])
    if _generated(doc) and not any("generated" in note for note in notes):
        notes.append("Generated market: the result says how the tuning behaves, not what a venue would pay.")
    return tuple(notes)


def _facts(doc: Mapping[str, Any]) -> tuple[str, ...]:
    facts = [doc["promotion"]] if doc["promotion"] else []
    judgement = doc["judgement"]
    if judgement and judgement["to_next_look"]:
        hours = judgement["to_next_look"] * doc["evidence"]["window_seconds"] / 3600
        facts.append(
            f"Windows needed to the next look: {judgement['to_next_look']} ({plain(round(hours, 2))} h of market "
            f"time, {_nights(hours)}); at most {judgement['at_most_needed']} to the last."
        )
    elif doc["windows_missing"]:
        hours = doc["windows_missing"] * doc["evidence"]["window_seconds"] / 3600
        shown = f"{plain(round(hours, 2))} h of market time, {_nights(hours)}"
        facts.append(f"Windows missing: {doc['windows_missing']} ({shown}).")
    if doc["trials"]["cut_short"]:
        facts.append(_sentence(doc["trials"]["cut_short"]))
    return tuple(facts)


def _nights(hours: float) -> str:
    nights = math.ceil(hours / _NIGHT_HOURS)
    return f"{nights} night{'' if nights == 1 else 's'} of {_NIGHT_HOURS} h"


def _effects(doc: Mapping[str, Any]) -> Table:
    candidate, judgement = doc["candidate"] or {}, doc["judgement"] or {}
    effect = judgement.get("effect")
    interval = f"{_bps(effect['low_bps'])} to {_bps(effect['high_bps'])}" if effect else "-"
    fresh = effect["windows"] if effect else 0
    selection = doc["windows"]["selection"]
    rows = (
        ("in sample: as measured", candidate.get("in_sample_bps"), "-", selection),
        ("posterior: the noise taken out", candidate.get("posterior_bps"), "-", selection),
        ("walk-forward: on later windows", candidate.get("walk_forward_bps"), "-", selection),
        ("promised: the least of these", candidate.get("shrunk_bps"), "-", selection),
        ("fresh windows: no search saw them", effect["mean_bps"] if effect else None, interval, fresh),
    )
    shown = tuple((name, _bps(mean), bounds, str(n)) for name, mean, bounds, n in rows if mean is not None)
    return Table(("Gain against the champion, bps", "Mean", "90 % interval", "Windows"), "lrrr", shown)


def _params(doc: Mapping[str, Any]) -> Table:
    challenger = doc["challenger"]
    axes = {axis["name"]: axis for axis in doc["space"]}
    rows = []
    for name, row in PARAMETERS.items():
        now = doc["champion"]["params"][name]
        then = challenger[name] if challenger else None
        shown = "-" if then is None else plain(then) if then != now else "same"
        span = f"{plain(axes[name]['low'])}-{plain(axes[name]['high'])}"
        rows.append((name, row.unit.removeprefix("x "), plain(now), shown, span))
    return Table(("Parameter", "Unit", "Champion", "Challenger", "Searched"), "llrrr", tuple(rows), whole=True)


def _params_text(candidate: Mapping[str, Any] | None, verdict: str) -> str:
    if candidate is None:
        return "There is no challenger: no trial was better than the champion, or none could be scored."
    of = ", ".join(str(trial) for trial in candidate["of"])
    which = f", the consensus (median) of trials {of}" if of else ""
    fate = {"HOLD": "; it was not taken", "REJECT": "; it was rejected"}.get(verdict, "")
    return f"The challenger is trial {candidate['trial']}{which}{fate}."


def _objective_text(objective: Mapping[str, Any] | None) -> str:
    if objective is None:
        return "No candidate, no objective."
    share = 100 * objective["notional_share"]
    terms = objective["terms"]
    none = [name for name, term in sorted(terms.items()) if term["excess"] is not None and not term["penalty_bps"]]
    unknown = [name for name, term in sorted(terms.items()) if term["excess"] is None]
    text = (
        "EV_net is the mean gain in PnL against the champion on the same windows, in bps of the champion's mean "
        f"notional a window: {_bps(objective['ev_net_bps'])} over {objective['windows']} windows. Less the penalties "
        f"it is {_bps(objective['value_bps'])}. The candidate trades {number(share, 0)} % of the champion's notional. "
        "A penalty counts only what the candidate does worse than the champion."
    )
    if none:
        text += f" Nothing is taken off for {and_list(none)}."
    if unknown:
        text += f" Not measured: {and_list(unknown)}."
    return text


def _terms(objective: Mapping[str, Any] | None) -> Table:
    rows = tuple(
        (name, number(term["excess"], 4), term["unit"], plain(term["weight"]), _bps(-term["penalty_bps"]))
        for name, term in sorted((objective or {}).get("terms", {}).items())
        if term["penalty_bps"]
    )
    return Table(("Penalty", "Worse by", "Unit", "bps per unit", "Taken off"), "lrlrr", rows)


def _search(doc: Mapping[str, Any]) -> tuple[str, ...]:
    trials, effort = doc["trials"], doc["effort"]
    facts = [
        f"{trials['searched']} of {trials['asked']} trials searched in batches of {effort['lanes']}, seed "
        f"{doc['settings']['seed']}; {trials['made']} made in all, {trials['failed']} failed, {trials['stopped']} "
        "stopped early by halving.",
        f"Selection windows: {doc['windows']['selection']} of {doc['settings']['window_seconds']} s; fresh windows "
        f"kept from the search: {doc['windows']['fresh']}.",
        f"Champion: {doc['champion']['source']}; maker's profile {doc['maker_profile']}.",
    ]
    return tuple(facts)


def _best(doc: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            str(one["trial"]) + (" (stopped)" if one["stopped"] else ""),
            _bps(one["ev_net_bps"]),
            _bps(one["objective_bps"]),
            _bps(one["posterior_bps"]),
            number(one["posterior_sd_bps"], _BPS),
            _bps(one["walk_forward_bps"]),
        )
        for one in doc["best"]
    )
    return Table(("Trial", "EV_net", "Objective", "Posterior", "sd", "Walk-forward"), "lrrrrr", rows)


def _forward_text(forward: Mapping[str, Any] | None) -> str:
    if forward is None:
        return "There was nothing to select."
    if not forward["folds"]:
        return _sentence(forward["note"] or "no fold had a known window")
    return (
        f"Each fold selects on the windows before it and scores on its own. The trial that was best on the past "
        f"earned {_bps(forward['optimism_bps'])} bps more there than later, in the mean over {len(forward['folds'])} "
        "folds: the winner's curse."
    )


def _folds(forward: Mapping[str, Any] | None) -> Table:
    rows = tuple(
        (
            f"0 to {f['past'] - 1}",
            f"{f['past']} to {f['end'] - 1}",
            str(f["best"]),
            _bps(f["past_bps"]),
            _bps(f["later_bps"]),
        )
        for f in (forward or {}).get("folds", ())
    )
    return Table(("Selected on", "Scored on", "Best trial", "Past, bps", "Later, bps"), "llrrr", rows)


def _luck(doc: Mapping[str, Any]) -> tuple[str, ...]:
    luck = doc["overfitting"]
    if luck is None or luck["pbo"] is None:
        return ("Too few trials or windows for an estimate.",)
    return (
        f"Probability of backtest overfitting (PBO) {number(100 * luck['pbo'], 0)} %: in so many of {luck['ways']} "
        "ways to halve the windows, the trial best in one half was below the median in the other.",
        f"Deflated for the number of trials: the chance that the best of {luck['trials']} trials has a gain above 0 is "
        f"{number(100 * luck['deflated_probability'], 0)} %; the best of as many nulls would show "
        f"{_bps(luck['expected_best_of_nulls_bps'])} bps.",
        "Both are shown and decide nothing: the fresh windows do.",
    )


def _confirm_text(doc: Mapping[str, Any]) -> str:
    screen, judgement = doc["screen"], doc["judgement"]
    text = ""
    if screen is not None:
        outcome = "passed" if screen["passed"] else "not passed"
        text = f"Screen on {screen['windows']} selection windows: {outcome} ({screen['reason']}). "
    if judgement is None:
        return (
            text + "The fresh windows were not spent."
            if doc["windows"]["fresh"]
            else text + "There is no fresh window."
        )
    p_value = doc["evidence"]["p_value"]
    shown = f"p {number(p_value, 4)} at the last look" if p_value is not None else "no look was reached"
    return (
        text
        + f"Promotion test on {judgement['windows_usable']} usable fresh windows, {judgement['windows_used']} used: "
        f"{shown}."
    )


def _looks(judgement: Mapping[str, Any] | None) -> Table:
    rows = tuple(
        (
            str(look["windows"]),
            _bps(look["effect"]["mean_bps"]),
            f"{_bps(look['effect']['low_bps'])} to {_bps(look['effect']['high_bps'])}",
            number(look["z"], 2),
            number(look["bound_z"], 2),
            look["outcome"],
        )
        for look in (judgement or {}).get("looks", ())
    )
    return Table(("Windows", "Effect, bps", "90 % interval", "z", "z to reach", "Outcome"), "rrrrrl", rows)


def _kpis(kpis: Mapping[str, Any] | None) -> Table:
    if kpis is None:
        return Table(("KPI on fresh windows", "Champion", "Challenger"), "lrr", ())
    champion, challenger = kpis["champion"], kpis["challenger"]
    rows = tuple((name, _kpi(champion[name]), _kpi(challenger[name])) for name in sorted(champion))
    return Table(("KPI on fresh windows", "Champion", "Challenger"), "lrr", rows)


def _kpis_text(kpis: Mapping[str, Any] | None, judgement: Mapping[str, Any] | None) -> str:
    """Why gain and net_bps point in different directions, where they do."""
    effect = (judgement or {}).get("effect")
    champion, challenger = ((kpis or {}).get(side, {}).get("net_bps") for side in ("champion", "challenger"))
    if effect is None or champion is None or challenger is None or effect["mean_bps"] * (challenger - champion) >= 0:
        return ""
    return (
        "The gain is PnL over the champion's notional for both; net_bps is each set's PnL over its own. A set that "
        "trades more can so earn more and have less net_bps, and the other way round."
    )


def _kpi(value: float | None) -> str:
    return NO_DATA if value is None else f"{value:.5g}" if abs(value) < 1e5 else number(value, 0)


def _tapes(tapes: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (_short(tape["name"]), tape["part"], f"{tape['events']:,}", str(tape["windows"]), tape["digest"][:12])
        for tape in tapes
    )
    return Table(("Tape", "Part", "Events", "Windows", "Digest"), "llrrl", rows)


def _short(name: str) -> str:
    """The end of a path, where tapes differ; the whole one stands in the command."""
    parts = name.replace("\\", "/").split("/")
    return name if len(parts) < 3 else "…/" + "/".join(parts[-2:])


def _decide(doc: Mapping[str, Any]) -> str:
    if doc["challenger"] is not None and doc["verdict"] in ("PROMOTE", "INCONCLUSIVE"):
        return "whether it runs beside the champion in the coming soaks (nightsoak champion propose)"
    return "nothing" if doc["verdict"] in ("HOLD", "REJECT") else "whether to record more market time and tune again"


def _next(doc: Mapping[str, Any], folder: str) -> tuple[str, str]:
    """(command, sentence)."""
    if doc["challenger"] is not None and doc["verdict"] in ("PROMOTE", "INCONCLUSIVE"):
        file, why = f"{folder}/{RECOMMENDED}", f"tune {doc['id']}: {doc['verdict']}"
        command = shell_line(
            ["champion", "propose", "--symbol", doc["symbol"], "--overrides", file, "--why", why, "--yes"]
        )
        if doc["verdict"] == "PROMOTE":
            return command, (
                "Next: let it earn its promotion on real nights: as a challenger it runs beside the champion in the "
                "coming soaks until it is judged there. On your own judgement instead, at once: nightsoak champion "
                "promote with the same words."
            )
        return command, (
            "Next: let it run beside the champion in the coming soaks, where its windows add up; or record more "
            "market time and tune again with the later tape last."
        )
    command = shell_line(["soak", "--hours", "3", "--auto-tune"])
    return command, "Next: go on with the champion."
