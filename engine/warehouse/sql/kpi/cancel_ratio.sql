-- Title: share of orders that ended by cancel
-- Unit: ratio
-- Formula: orders ended by cancel / orders ended (by fill, cancel or expiry), by the window in which they ended
-- Grain: slice
-- Inputs: core_slice, core_slice_window, core_order_end
-- NULL: no order ended
WITH counted AS (
    SELECT x.slice_id, count(*) FILTER (WHERE e.ended_by = 'cancel') AS cancelled, count(*) AS n
    FROM core_order_end AS e
    JOIN core_slice_window AS x ON x.lane = e.lane AND x.window_id = e.window_id
    GROUP BY x.slice_id
)

SELECT
    c.slice_id, 'cancel_ratio' AS metric, s.cancelled::HUGEINT AS numerator, s.n::HUGEINT AS denominator,
    NULL::DOUBLE AS value, coalesce(s.n, 0) AS n,
    CASE WHEN s.n IS NULL THEN 'no order ended' END AS null_reason
FROM core_slice AS c
LEFT JOIN counted AS s ON s.slice_id = c.slice_id
