-- Title: window edges in integers
-- Unit: value of one lot in units of 1e-12 of the PnL currency
-- Formula: v = Instrument.value_units(mid)
-- Grain: window_id, -1 being the run's start
-- Inputs: core_edge, core_value
-- NULL: v in a run without mids
SELECT e.window_id, e.ts_ns, e.stale, x.v
FROM core_edge AS e
LEFT JOIN core_value AS x ON x.price = e.mid
