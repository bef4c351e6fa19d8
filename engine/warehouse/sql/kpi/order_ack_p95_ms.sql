-- Title: time from request to acknowledgement, 95th percentile
-- Unit: ms
-- Formula: quantile 0.95 of latency_ms over the order records ack
-- Grain: slice
-- Inputs: core_slice, core_slice_window, core_order
-- NULL: no acknowledgement with a latency
WITH spread AS (
    SELECT x.slice_id, quantile_cont(f.latency_ms, 0.95) AS p95, count(*) AS n
    FROM core_order AS f
    JOIN core_slice_window AS x ON x.lane = f.lane AND x.window_id = f.window_id
    WHERE f.event = 'ack' AND f.latency_ms IS NOT NULL
    GROUP BY x.slice_id
)

SELECT
    c.slice_id, 'order_ack_p95_ms' AS metric, NULL::HUGEINT AS numerator, NULL::HUGEINT AS denominator,
    s.p95 AS value, coalesce(s.n, 0) AS n,
    CASE WHEN s.n IS NULL THEN 'no acknowledgement with a latency' END AS null_reason
FROM core_slice AS c
LEFT JOIN spread AS s ON s.slice_id = c.slice_id
