-- Title: realised + unrealised + fees + funding equal the cash ledger
-- Unit: units of 1e-12 of the PnL currency
-- Formula: attr_fifo with the window's fees and funding against attr_ledger, exactly; without fees where one is unknown
-- Grain: lane, window that offends
-- Inputs: attr_fifo, attr_window, attr_ledger
-- Severity: fail
-- NULL: a window whose PnL is unknown offends nothing
SELECT f.lane, f.window_id, f.realised, f.unrealised, w.fees, w.funding, n.net AS ledger
FROM attr_fifo AS f
JOIN attr_window AS w ON w.lane = f.lane AND w.window_id = f.window_id
JOIN attr_ledger AS n ON n.lane = f.lane AND n.window_id = f.window_id
WHERE f.realised + f.unrealised + coalesce(w.fees, 0) + w.funding <> coalesce(n.net, n.before_fees)
ORDER BY f.lane, f.window_id
