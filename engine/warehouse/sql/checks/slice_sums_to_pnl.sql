-- Title: every slice's components and its FIFO PnL equal the cash ledger between its two edges
-- Unit: units of 1e-12 of the PnL currency
-- Formula: gross + slippage + fees + inventory, realised + unrealised + fees + funding and net of attr_slice against
--   cash + I_T v(m_T) - I_0 v(m_0) + sum F + funding with the positions at the slice's own edges, exactly
-- Grain: slice that offends: of a window, iteration, symbol, lane or run
-- Inputs: attr_slice, attr_ledger, core_slice, core_slice_window
-- Severity: fail
-- NULL: what is unknown offends nothing
WITH kept AS (
    SELECT
        x.slice_id,
        sum(n.cash) + sum(n.funding) + CASE WHEN count(n.fees) = count(*) THEN sum(n.fees) END AS paid,
        first(n.worth_at_start ORDER BY n.window_id) AS worth_at_start,
        last(n.worth_at_end ORDER BY n.window_id) AS worth_at_end
    FROM core_slice_window AS x
    JOIN attr_ledger AS n ON n.lane = x.lane AND n.window_id = x.window_id
    GROUP BY x.slice_id
)

SELECT
    c.grain, c.lane, c.first_window, c.last_window,
    s.gross + s.slippage + s.fees + s.inventory AS components,
    s.realised + s.unrealised + s.fees + s.funding AS fifo,
    s.net,
    k.paid + k.worth_at_end - k.worth_at_start AS ledger
FROM attr_slice AS s
JOIN core_slice AS c ON c.slice_id = s.slice_id
JOIN kept AS k ON k.slice_id = s.slice_id
WHERE s.gross + s.slippage + s.fees + s.inventory <> k.paid + k.worth_at_end - k.worth_at_start
OR s.realised + s.unrealised + s.fees + s.funding <> k.paid + k.worth_at_end - k.worth_at_start
OR s.net <> k.paid + k.worth_at_end - k.worth_at_start
ORDER BY c.grain, c.lane, c.first_window
