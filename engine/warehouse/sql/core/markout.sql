-- Title: the mid some seconds after each fill, by horizon
-- Unit: price in quote currency
-- Formula: the first mark at or after fill + horizon, if not too late (core_limit.markout_late_ns)
-- Grain: seq, horizon_s
-- Inputs: core_fill, core_mark, core_horizon, core_limit
-- NULL: never; no row where no mark is near enough
SELECT f.seq, f.horizon_s, m.mid
FROM (
    SELECT c.seq, h.horizon_s, c.ts_ns + h.horizon_s * 1000000000 AS at_ns, g.markout_late_ns
    FROM core_fill AS c
    CROSS JOIN core_horizon AS h
    CROSS JOIN core_limit AS g
) AS f
ASOF JOIN core_mark AS m ON f.at_ns <= m.ts_ns
WHERE m.ts_ns - f.at_ns <= f.markout_late_ns
