-- Title: blocked intents by reason
-- Unit: ratio by reason
-- Formula: blocked for a reason / (allowed + blocked); allowed = order records new, amend and cancel
-- Grain: slice, reason
-- Inputs: core_slice_window, core_block, core_order
-- NULL: no row for a reason that blocked nothing
WITH blocked AS (
    SELECT x.slice_id, b.reason, sum(b.blocked) AS blocked
    FROM core_block AS b
    JOIN core_slice_window AS x ON x.lane = b.lane AND x.window_id = b.window_id
    GROUP BY x.slice_id, b.reason
    HAVING sum(b.blocked) > 0
),

allowed AS (
    SELECT x.slice_id, count(*) AS allowed
    FROM core_order AS o
    JOIN core_slice_window AS x ON x.lane = o.lane AND x.window_id = o.window_id
    WHERE o.event IN ('new', 'amend', 'cancel')
    GROUP BY x.slice_id
)

SELECT
    b.slice_id,
    b.reason,
    b.blocked AS numerator,
    coalesce(a.allowed, 0) + sum(b.blocked) OVER (PARTITION BY b.slice_id) AS denominator
FROM blocked AS b
LEFT JOIN allowed AS a ON a.slice_id = b.slice_id
