-- Title: each side's components equal its cash ledger, and the sides add up to the window
-- Unit: units of 1e-12 of the PnL currency
-- Formula: attr_side's components against its net; by component, buy + sell + carried against attr_window, and net
--   against attr_ledger, exactly
-- Grain: lane, window, side that offends (side `all`: the sum of the sides)
-- Inputs: attr_side, attr_window, attr_ledger
-- Severity: fail
-- NULL: what is unknown offends nothing
SELECT lane, window_id, side, gross + slippage + fees + inventory AS components, net AS ledger
FROM attr_side
WHERE gross + slippage + fees + inventory <> net
UNION ALL
SELECT s.lane, s.window_id, 'all', s.gross + s.slippage + s.fees + s.inventory, n.net
FROM (
    SELECT
        lane, window_id, sum(gross) AS gross, sum(slippage) AS slippage, sum(inventory) AS inventory,
        CASE WHEN count(fees) = count(*) THEN sum(fees) END AS fees,
        CASE WHEN count(net) = count(*) THEN sum(net) END AS net
    FROM attr_side
    GROUP BY lane, window_id
) AS s
JOIN attr_window AS w ON w.lane = s.lane AND w.window_id = s.window_id
JOIN attr_ledger AS n ON n.lane = s.lane AND n.window_id = s.window_id
WHERE s.gross <> w.gross OR s.slippage <> w.slippage OR s.fees <> w.fees OR s.inventory <> w.inventory OR s.net <> n.net
ORDER BY ALL
