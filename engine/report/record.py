"""RunRecord: all that a report is made of, as plain JSON data, and its split into the artefacts' JSON files.

The record becomes four files (`documents`) and is read back from three of them (`from_documents`): whatever the
Markdown, the charts and the notices show comes from these files, so they cannot disagree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from engine.errors import InputError
from engine.metrics import METRICS
from engine.params import Params
from engine.paths import file_name
from engine.report.format import utc

FORMAT = 1
EDGE, GATE, METRICS_FILE, OVERRIDES = (
    "EDGE_REPORT.json",
    "KPI_GATE.json",
    "soak_metrics.json",
    "runtime_overrides.json",
)
RECOMMENDED = "recommended_overrides.json"
PRESET = "baseline preset"
"""What `params_source` begins with in a run that is an attempt of a ladder."""
FOREIGN = "foreign"
"""The kind of a run that only its journal tells of: another bot's."""
JOURNAL = "journal"
"""What the names of journals among a foreign run's `inputs` begin with."""
OPERATOR = "overrides file"
_RUN_ID = re.compile(r"\d{8}T\d{6}-[\w.-]+", re.ASCII)
_OWN_FILES = ("edge", "gate")


@dataclass(frozen=True)
class RunRecord:
    """One run. Every field holds JSON values only (numpy scalars are turned into Python's on the way in).

    plan          mode, venue, symbol, profile, hours, iterations, window_seconds, auto_tune, seed, latency_modelled,
                  quote_currency, params_source, command (the arguments after `nightsoak`, without machine paths),
                  settings (engine.soak.SoakSettings, with which the run can be done again),
                  tape: {name (as given to --tape, no machine path), generated (the market's whole settings, or
                  null), digest, count, ...} or null for a live feed.
                  Of a foreign run `foreign` is {bot, market} as journalled; there is no tape, setting or command
    edge          EDGE_REPORT.json as docs/design.md has it
    gate          KPI_GATE.json: engine.tuning.gate.GateResult.to_json()
    parameters    [{effective_ts_ns, source, params}]: lane 0's starting set ("start"), then each that took effect, at
                  its market time ("decision after iteration 0"; OPERATOR where somebody else wrote the overrides)
    actions       [engine.run_changes.RunChange.to_json()]: the control plane's actions on trading, at their times
    decisions     engine.tuning.autotune.Decision.to_json() after each iteration but the last, in order
    series        engine.warehouse.series.chart_series: marks {ts_ns, mid}, fills {ts_ns, price, side}, position
                  {ts_ns, qty}; `completed` thins it and drops other columns
    data_quality  {gaps: [{ts_ns, reason}], crossed_message_ends, ingest: {name: count}, overrides_refused:
                  [{ts_ns, reason}], resumed_ns: [times at which a bot that had died went on], notes: [sentence]}
    inputs        {name: sha256} of tape columns, profile, configuration
    control       engine.report.control.compare(edge); filled in by `completed` where null
    kpi_intervals engine.report.intervals.kpi_intervals(edge); filled in by `completed` where null
    parity        engine.parity.measure_parity: the tape replayed against the journal, lane by lane, or null
    queue_bounds  engine.queue_bounds.queue_bounds: lane 0 under the pessimistic and the optimistic queue model, or null
    interventions  engine.interventions.measure_interventions: lane 0 with one driver removed at a time, or null
    duels         engine.duel.measure_duels: one row per companion lane
    error_rates   how often the promotion test errs (engine.tuning.calibrated.quoted); empty without companions
    quality       engine.quality.Inspector.inspect: the expectations on the run's rows; null where none were checked
    net_target_bps  the net_bps from which the gate says SUCCESS

    Raises:
        InputError: the run id has no UTC stamp, or a value is not JSON (NaN, infinity, an object).
    """

    run_id: str
    plan: Mapping[str, Any]
    edge: Mapping[str, Any]
    gate: Mapping[str, Any]
    params_start: Mapping[str, float]
    params_final: Mapping[str, float]
    parameters: Sequence[Mapping[str, Any]] = ()
    actions: Sequence[Mapping[str, Any]] = ()
    decisions: Sequence[Mapping[str, Any]] = ()
    series: Mapping[str, Any] = field(default_factory=dict)
    data_quality: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    control: Mapping[str, Any] | None = None
    kpi_intervals: Mapping[str, Any] | None = None
    parity: Mapping[str, Any] | None = None
    queue_bounds: Mapping[str, Any] | None = None
    interventions: Mapping[str, Any] | None = None
    duels: Sequence[Mapping[str, Any]] = ()
    error_rates: str = ""
    quality: Mapping[str, Any] | None = None
    net_target_bps: float = 3.0
    interrupted: bool = False

    def __post_init__(self) -> None:
        if not self.foreign and not _RUN_ID.fullmatch(self.run_id):
            raise InputError(
                "is not a run id", where=repr(self.run_id), remedy="it reads like 20261120T020000-BTCUSDT-1f2e"
            )
        for item in fields(self):
            object.__setattr__(self, item.name, json_value(getattr(self, item.name), item.name))

    @property
    def utc_date(self) -> str:
        """ISO date of the run id's stamp; another bot's id need not have one: the day on which its run begins."""
        if self.foreign:
            return utc(self.plan["start_ns"], "%F")
        return date(int(self.run_id[:4]), int(self.run_id[4:6]), int(self.run_id[6:8])).isoformat()

    @property
    def folder_name(self) -> str:
        """The run id; another bot's as a file name, as it may hold any character."""
        return file_name(self.run_id) if self.foreign else self.run_id

    @property
    def symbol(self) -> str:
        return str(self.plan["symbol"])

    @property
    def kind(self) -> str:
        """`soak`, `attempt` for a run that is a part of a ladder, or FOREIGN."""
        if self.foreign:
            return FOREIGN
        return "attempt" if str(self.plan.get("params_source")).startswith(PRESET) else "soak"

    @property
    def foreign(self) -> Mapping[str, Any] | None:
        """What the journal says of a bot that is not ours; None where the run is ours."""
        said: Mapping[str, Any] | None = self.plan.get("foreign")
        return said

    @property
    def pnl_currency(self) -> str:
        return str(self.edge.get("pnl_currency") or "quote")

    @property
    def net_interval(self) -> Mapping[str, Any] | None:
        """The gate's interval of net_bps: {low, high, n_windows, phi, ...}, or None."""
        interval: Mapping[str, Any] | None = (self.gate.get("net_bps") or {}).get("interval")
        return interval

    @property
    def recommended(self) -> Mapping[str, Any] | None:
        """RECOMMENDED: the whole parameter set that the gate's targeted package leads to, limits applied; None where
        none is proposed, where it changes nothing, and for a part of a run, on which there is no verdict."""
        changes = (self.gate.get("action_package") or {}).get("changes") or ()
        values = {change["parameter"]: change["after"] for change in changes if change["after"] != change["before"]}
        if self.interrupted or not values:
            return None
        return dict(Params().with_changes({**self.params_final, **values}))

    def completed(self) -> RunRecord:
        """The record with what follows from `edge` alone filled in, and its series thinned to what charts show."""
        from engine.report.control import compare
        from engine.report.intervals import kpi_intervals
        from engine.report.series import thin_series

        return replace(
            self,
            control=compare(self.edge) if self.control is None else self.control,
            kpi_intervals=kpi_intervals(self.edge) if self.kpi_intervals is None else self.kpi_intervals,
            series=thin_series(self.series),
        )

    def documents(self) -> dict[str, Any]:
        """{file name: JSON value}: the four files that hold the run's numbers, and RECOMMENDED where there is one."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OWN_FILES}
        totals = self.edge.get("totals", {})
        head = {
            "format": FORMAT,
            "verdict": self.gate["verdict"],
            "kpis": {name: totals[name] for name in METRICS if name in totals},
        }
        documents = {EDGE: self.edge, GATE: self.gate, METRICS_FILE: head | own}
        if not self.foreign:  # another bot's parameters are no overrides for ours
            documents[OVERRIDES] = self.params_final
        return documents | ({} if self.recommended is None else {RECOMMENDED: self.recommended})

    @classmethod
    def from_documents(cls, documents: Mapping[str, Any]) -> RunRecord:
        """The record again, from the values of EDGE_REPORT.json, KPI_GATE.json and soak_metrics.json.

        Raises:
            InputError: soak_metrics.json has another format, or a field is missing.
        """
        metrics = documents[METRICS_FILE]
        if not isinstance(metrics, dict) or metrics.get("format") != FORMAT:
            raise InputError(
                f"is not format {FORMAT}", where=METRICS_FILE, remedy="render it with the version that wrote it"
            )
        names = [f.name for f in fields(cls) if f.name not in _OWN_FILES]
        missing = [name for name in names if name not in metrics]
        if missing:
            raise InputError(f"has no {', '.join(missing)}", where=METRICS_FILE, remedy="run the soak again")
        return cls(edge=documents[EDGE], gate=documents[GATE], **{name: metrics[name] for name in names})


def json_value(value: Any, where: str) -> Any:
    """`value` as plain JSON data: dict, list, str, int, float, bool, None.

    Raises:
        InputError: NaN, infinity or an object that JSON does not have; names the field.
    """
    if isinstance(value, Mapping):
        return {str(key): json_value(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return json_value(value.tolist(), where)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InputError(f"{value!r} has no place in JSON", where=where, remedy="give null where there is no data")
