-- Title: blocked intents
-- Unit: count
-- Formula: a block record counts since the lane's last edge, so it belongs to the window that ends at it
-- Grain: seq
-- Inputs: raw_record, core_run, core_window
-- NULL: never
SELECT b.seq, b.lane, b.reason, coalesce(b."count", 1) AS blocked, w.window_id
FROM (SELECT * FROM raw_record WHERE type = 'block') AS b
JOIN core_run AS r USING (run_id)
ASOF JOIN core_window AS w ON b.ts_ns > w.from_ns
