-- Title: order records with their window
-- Unit: latency in ms
-- Formula: window = the last one that begins at or before the record
-- Grain: seq
-- Inputs: raw_record, core_run, core_window
-- NULL: order_id, reason, qty and latency_ms where the journal does not say
SELECT o.seq, o.lane, o.ts_ns, w.window_id, o.order_id, o.event, o.reason, o.qty, o.latency_ms
FROM (SELECT * FROM raw_record WHERE type = 'order') AS o
JOIN core_run AS r USING (run_id)
ASOF JOIN core_window AS w ON o.ts_ns >= w.from_ns
