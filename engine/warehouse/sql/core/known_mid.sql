-- Title: every time at which the mid is known
-- Unit: price in quote currency
-- Formula: the marks; in a run without marks, the fills' own mids
-- Grain: ts_ns
-- Inputs: core_mark, core_fill
-- NULL: never; no row where the mid is unknown
SELECT ts_ns, mid FROM core_mark
UNION ALL
SELECT ts_ns, arg_max(own_fill_mid, seq) AS mid
FROM core_fill
WHERE own_fill_mid IS NOT NULL AND NOT EXISTS (SELECT 1 FROM core_mark)
GROUP BY ts_ns
