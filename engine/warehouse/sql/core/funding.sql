-- Title: funding payments
-- Unit: amount in PnL currency, mid in quote currency
-- Formula: placed like a fill; mid = the last known one, else the first
-- Grain: seq
-- Inputs: raw_record, core_run, core_window, core_known_mid
-- NULL: mid where the run has no mid at all
SELECT
    f.seq,
    f.lane,
    f.ts_ns,
    w.window_id,
    f.amount,
    coalesce(m.mid, (SELECT arg_min(mid, ts_ns) FROM core_known_mid)) AS mid
FROM (SELECT * FROM raw_record WHERE type = 'funding') AS f
JOIN core_run AS r USING (run_id)
ASOF JOIN core_window AS w ON f.ts_ns >= w.from_ns
ASOF LEFT JOIN core_known_mid AS m ON f.ts_ns >= m.ts_ns
