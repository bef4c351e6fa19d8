-- Title: the window edges and the mid at each
-- Unit: price in quote currency
-- Formula: the last known mid at or before the edge, else the first known one; `stale` beyond the limit
--   (core_limit.edge_age_ns) or after the edge
-- Grain: window_id, -1 being the run's start
-- Inputs: core_window, core_known_mid, core_run, core_limit
-- NULL: mid where the run has no mid at all
WITH edge AS (
    SELECT -1 AS window_id, start_ns AS ts_ns FROM core_run
    UNION ALL
    SELECT window_id, end_ns FROM core_window
)
SELECT
    e.window_id,
    e.ts_ns,
    coalesce(m.mid, (SELECT arg_min(mid, ts_ns) FROM core_known_mid)) AS mid,
    coalesce(e.ts_ns - m.ts_ns > g.edge_age_ns, TRUE) AS stale
FROM edge AS e
CROSS JOIN core_limit AS g
ASOF LEFT JOIN core_known_mid AS m ON e.ts_ns >= m.ts_ns
