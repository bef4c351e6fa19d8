"""The morning's decisions after a soak: take the champion back, confirm challengers, look for new ones.

    watch       every window since the champion took effect: ok, fallback or rollback       (engine.champion.guard)
    rollback    former parameters in force again, report, event                              (engine.champion.rollback)
    confirm     each waiting challenger on all windows since it was proposed: promoted, taken off the list, or it
                waits, with the nights that are missing                                      (engine.champion.confirm)
    tune        a search on what was recorded; what it finds must wait for fresh nights       (engine.search)

Each step follows from what is on disk and may be done again after a kill: it ends the same. Where the champion was
taken back or promoted, the others' tests against the one before are over, and begin anew (engine.champion.reigns).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from engine.champion.change import differences
from engine.champion.confirm import Confirmation, confirm
from engine.champion.evidence import market_of
from engine.champion.guard import Guarded, guard
from engine.champion.market import on_market
from engine.champion.promotion import tell_promotion
from engine.champion.rollback import RolledBack, finish_rollback, roll_back
from engine.champion.store import ChampionStore
from engine.files import write_atomic, write_json
from engine.paths import Paths
from engine.proposals import propose_found, record_tune
from engine.report.format import count
from engine.search.settings import TuneSettings
from engine.search.tune import TuneResult
from engine.soak import RunPlan, SoakSettings
from engine.warehouse.opening import open_warehouse

NIGHT_JSON, NIGHT_MD = "NIGHT.json", "NIGHT.md"


def settings_of(settings: SoakSettings, day: date) -> SoakSettings:
    """The settings of the night of `day`: where they name neither feed, tape nor seed, the seed of the generated market
    is the date as yyyymmdd. One seed night after night would be the same windows, of which nothing is learnt."""
    if settings.live or settings.tape or settings.seed is not None:
        return settings
    return settings.model_copy(update={"seed": int(f"{day:%Y%m%d}")})


@dataclass(frozen=True)
class Watched:
    """What the watch over the champion said and what was done about it."""

    guarded: Guarded
    rolled_back: RolledBack | None

    @property
    def sentence(self) -> str:
        watch, champion = self.guarded.watch, self.guarded.champion
        why, on = f" ({'; '.join(watch.reasons)})" if watch.reasons else "", on_market(self.guarded.market)
        if self.rolled_back:
            return f"{self.rolled_back.from_id} was taken back, {self.rolled_back.champion.id} is in force{why}{on}."
        if watch.verdict == "fallback":
            then = "the next run that starts from it is calmed" if champion.seq else "nothing was ever promoted"
            return f"{champion.id} lost{why}: {then}{on}."
        since = f"{watch.windows} windows since it took effect"
        if watch.verdict == "nodata":
            return f"nothing can be said yet of {champion.id} in {since}{why}{on}."
        return f"nothing against {champion.id} in {since}{on}."


@dataclass(frozen=True)
class InForce:
    """The champion after the night's decisions: `before` and `now` are ids, `changed` is how many parameters differ."""

    before: str
    now: str
    changed: int

    @property
    def move(self) -> str:
        """ "baseline -> c1-..."; empty where the champion is the one that the night began with."""
        return f"{self.before} -> {self.now}" if self.now != self.before else ""

    @property
    def sentence(self) -> str:
        return f"{self.move}, {count(self.changed, 'parameter')} changed" if self.move else f"{self.now} stays"


@dataclass(frozen=True)
class Night:
    """What was written: the Markdown's path; and what is in force."""

    symbol: str
    file: Path
    in_force: InForce


def watch_and_roll_back(plan: RunPlan) -> Watched:
    """Judge the champion on every window since it took effect, and take it back where it must be.

    Raises:
        StorageError: history, report or event could not be written; done again it goes on where it stopped.
    """
    store = ChampionStore(plan.paths, plan.symbol)
    finished = finish_rollback(plan.paths, plan.symbol)  # of a night that was killed in the middle of it
    with open_warehouse(plan.paths) as warehouse:
        market = market_of(warehouse, plan.symbol, plan.run_id)
        guarded = guard(warehouse, store, window_seconds=plan.schedule.window_seconds, market=market)
    watch = guarded.watch
    if watch.verdict != "rollback":
        return Watched(guarded, finished)
    why = f"{'; '.join(watch.reasons)}, since {guarded.where}{on_market(guarded.market)}"
    rolled = roll_back(plan.paths, plan.symbol, why=why, watch=watch, failing=guarded.champion.id)
    return Watched(guarded, rolled)


def confirm_challengers(plan: RunPlan) -> tuple[Confirmation, ...]:
    """Those withdrawn since the last night, then every waiting challenger, the longest first. At most one is promoted:
    the others are then to be compared with it, from the next night on.

    Raises:
        StorageError: history or ledger could not be written; done again it goes on where it stopped.
    """
    store = ChampionStore(plan.paths, plan.symbol)
    done: list[Confirmation] = []
    with open_warehouse(plan.paths) as warehouse:
        market = market_of(warehouse, plan.symbol, plan.run_id)
        for challenger in (*store.withdrawn(), *store.challengers()):
            seconds = plan.schedule.window_seconds
            made = confirm(warehouse, store, challenger, market=market, window_seconds=seconds, tonight=plan.run_id)
            done.append(made)
    return tuple(done)


def tuning_of(plan: RunPlan, tuning: TuneSettings) -> TuneSettings:
    """`tuning` on what the night recorded: its market's newest recorded tapes after a live night, else the tape it
    replayed."""
    of = {"symbol": plan.symbol, "venue": str(plan.tape_facts.get("venue", ""))} if plan.live else {}
    tapes = () if plan.live else (str(plan.tape),)
    return tuning.model_copy(update={"tapes": tapes, **of, "window_seconds": plan.schedule.window_seconds})


def settle_tune(result: TuneResult, paths: Paths) -> str:
    """Put a tune into the ledger of evidence and let its candidate wait for nights of its own; what became of it.

    A tune's own fresh windows show that a candidate is worth the nights, they do not promote it: a promotion takes
    windows of real runs, and is paid for from the error budget.

    Raises:
        StorageError: ledger or list could not be written; done again it ends the same.
    """
    with open_warehouse(paths) as warehouse:
        record_tune(warehouse, result.document, paths)
    if result.challenger is None or result.verdict in ("REJECT", "HOLD"):
        return f"Nothing new to confirm: {result.verdict}."
    store = ChampionStore(paths, result.symbol)
    if result.challenger == store.current().params:
        return "Nothing new to confirm: the champion's own set came out best."
    challenger = propose_found(store, result.challenger, result.document, why=result.reason)
    now = store.current()
    other = "" if now.params == result.champion else f" It was found against another champion than {now.id}."
    return f"{challenger.id} waits for its confirmation: it runs beside the champion in the coming soaks.{other}"


def settle_champion(paths: Paths, watched: Watched) -> InForce:
    """What is in force now that everything was decided; a promotion that was not told yet, as after a kill, is.

    Raises:
        StorageError: the event could not be written; done again it ends the same.
    """
    began = watched.guarded.champion
    before = watched.rolled_back.from_id if watched.rolled_back else began.id
    store = ChampionStore(paths, began.symbol)
    tell_promotion(store)
    now = store.current()
    return InForce(before, now.id, len(differences(store.params_of(before), now.params)))


def write_night(
    paths: Paths,
    folder: Path,
    watched: Watched,
    confirmed: tuple[Confirmation, ...],
    tuned: TuneResult | None,
    settled: str,
) -> Night:
    """NIGHT.json and NIGHT.md in the run's folder. They are no artefacts of the run itself: they rest on other nights
    too.

    Raises:
        StorageError: they, or the event of a promotion, could not be written; done again it ends the same.
    """
    in_force = settle_champion(paths, watched)
    value = {
        "champion": {**vars(in_force), "sentence": in_force.sentence},
        "watch": {"verdict": watched.guarded.watch.verdict, "sentence": watched.sentence},
        "rolled_back": watched.rolled_back.to_json() if watched.rolled_back else None,
        "confirmations": [one.to_json() for one in confirmed],
        "tune": {"id": tuned.tune_id, "verdict": tuned.verdict, "reason": tuned.reason} if tuned else None,
        "settled": settled,
    }
    lines = ["# The morning after", "", f"- Champion: {in_force.sentence}", f"- Watch: {watched.sentence}"]
    lines += [f"- {one.challenger.id}: {one.reason}" for one in confirmed] or ["- No challenger waited."]
    if tuned:
        settled = f"Tune {tuned.tune_id}: {tuned.verdict}, {tuned.reason.rstrip('.')}. {settled}"
    lines.append(f"- {settled}")
    write_json(folder / NIGHT_JSON, value)
    write_atomic(folder / NIGHT_MD, ("\n".join(lines) + "\n").encode())
    return Night(watched.guarded.champion.symbol, folder / NIGHT_MD, in_force)
