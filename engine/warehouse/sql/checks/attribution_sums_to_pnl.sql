-- Title: gross + slippage + fees + inventory equal the cash ledger
-- Unit: units of 1e-12 of the PnL currency
-- Formula: attr_window's components against attr_ledger, exactly
-- Grain: lane, window that offends
-- Inputs: attr_window, attr_ledger
-- Severity: fail
-- NULL: a window whose components or ledger are unknown offends nothing
SELECT w.lane, w.window_id, w.gross + w.slippage + w.fees + w.inventory AS components, n.net AS ledger
FROM attr_window AS w
JOIN attr_ledger AS n ON n.lane = w.lane AND n.window_id = w.window_id
WHERE w.gross + w.slippage + w.fees + w.inventory <> n.net
ORDER BY w.lane, w.window_id
