-- Title: the market's mid, as the bot saw it
-- Unit: price in quote currency
-- Formula: the last mark of each time stamp
-- Grain: ts_ns
-- Inputs: raw_record, core_run
-- NULL: bid and ask where the bot does not journal them
SELECT
    r.ts_ns,
    arg_max(r.mid, r.seq) AS mid,
    arg_max(r.bid, r.seq) AS bid,
    arg_max(r.ask, r.seq) AS ask
FROM raw_record AS r
JOIN core_run USING (run_id)
WHERE r.type = 'mark'
GROUP BY r.ts_ns
