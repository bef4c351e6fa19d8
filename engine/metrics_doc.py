"""docs/metrics_contract.md from METRICS: `python -m engine.metrics_doc` writes it, a test checks that it is fresh."""

from __future__ import annotations

from engine.files import write_atomic
from engine.metrics import METRICS
from engine.paths import CHECKOUT

PATH = CHECKOUT / "docs" / "metrics_contract.md"
_BETTER = {+1: "more", -1: "less", 0: "-"}
_HEAD = """\
# The KPI contract

Generated from `engine/metrics.py` by `python -m engine.metrics_doc`; do not edit by hand.

## The exact PnL identity

Fill i has side s (+1 we bought, -1 we sold), q lots, price p, fee F in the PnL currency (+ rebate, - cost), the mid
mq when its quote was sent or last amended and the mid mf at the fill. v(p) is the value of one lot at price p
(`engine/instrument.py`: linear p * contract size * lot, inverse - contract size * lot / p), an integer number of
units of 1e-12. I_i is the position after fill i, I_0 the position at the slice's start where the mid is m_0, m_T the
mid at its end. V = sum q |v(p)| and K = 1e4 / V. Then

    gross     = sum s q (v(mq) - v(p))
    slippage  = sum s q (v(mf) - v(mq))
    fees      = sum F
    inventory = sum I_{i-1} (v(mf_i) - v(mf_{i-1})) + I_n (v(m_T) - v(mf_n)) + funding,   mf_0 = m_0

add up to

    net = cash + I_T v(m_T) - I_0 v(m_0) + sum F + funding,   cash = - sum s q v(p)

exactly, because each v is rounded once and the rest is sums of integers. Every bps component is a contribution:
+ helps net. Ratios are a sum over a sum, divided once; what has no data is null with a reason, never 0.

The same number by first in first out: x lots (+ of a long) opened at v_o and closed at v_c realise x (v_c - v_o), and
the position at the run's start was opened at the mid there. Then, exactly,

    realised   = sum x (v_c - v_o) over what was closed + sum F + funding
    unrealised = change over the slice of I v(m) - what the open lots cost
    net        = realised + unrealised

What a running bot says of itself meanwhile, each metric with its unit: [live_metrics.md](live_metrics.md).

## The KPIs

Better: whether more or less of it is better. SQL: the file under `engine/warehouse/sql/kpi/` that computes it.

"""


def render() -> str:
    """The whole document."""
    lines = ["| KPI | unit | better | formula | note | SQL |", "|---|---|---|---|---|---|"]
    for metric in METRICS.values():
        formula = metric.formula.replace("|", "\\|")
        cells = (f"`{metric.name}`", metric.unit, _BETTER[metric.better], formula, metric.note, f"`{metric.sql}`")
        lines.append(f"| {' | '.join(cells)} |")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_atomic(PATH, render())
