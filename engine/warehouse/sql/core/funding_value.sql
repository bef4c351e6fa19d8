-- Title: funding in integers
-- Unit: units of 1e-12 of the PnL currency
-- Formula: amount in units, v = Instrument.value_units(mid)
-- Grain: seq
-- Inputs: core_funding, core_value, core_money
-- NULL: v in a run without mids
SELECT f.seq, f.lane, f.ts_ns, f.window_id, c.units, x.v
FROM core_funding AS f
JOIN core_money AS c ON c.amount = f.amount
LEFT JOIN core_value AS x ON x.price = f.mid
