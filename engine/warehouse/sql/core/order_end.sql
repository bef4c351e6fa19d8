-- Title: how and when each order ended
-- Unit: -
-- Formula: by its first acknowledged cancel (by the cancel itself in a run that journals no such acknowledgement) or
--   expiry; else by its last fill, once as much was filled as the least that was ever quoted under its id and nothing
--   was quoted under it afterwards
-- Grain: lane, order_id
-- Inputs: core_order, core_fill
-- NULL: never; an order still alive has no row
WITH habit AS (
    SELECT count(*) FILTER (WHERE event = 'ack' AND reason = 'cancel') > 0 AS cancels_are_acked FROM core_order
),

ended AS (
    SELECT
        o.lane,
        o.order_id,
        min(o.window_id) AS window_id,
        CASE arg_min(o.event, o.seq) WHEN 'expire' THEN 'expire' ELSE 'cancel' END AS ended_by
    FROM core_order AS o
    CROSS JOIN habit
    WHERE o.order_id IS NOT NULL AND (
        o.event = 'expire'
        OR (o.event = 'ack' AND o.reason = 'cancel')
        OR (o.event = 'cancel' AND NOT habit.cancels_are_acked)
    )
    GROUP BY o.lane, o.order_id
),

filled AS (
    SELECT lane, order_id, sum(qty) AS qty, max(window_id) AS window_id, max(seq) AS last_seq
    FROM core_fill
    WHERE order_id IS NOT NULL
    GROUP BY lane, order_id
),

quoted AS (
    SELECT lane, order_id, min(qty) AS qty, max(seq) AS last_seq
    FROM core_order
    WHERE order_id IS NOT NULL AND event IN ('new', 'amend') AND qty > 0
    GROUP BY lane, order_id
)

SELECT lane, order_id, window_id, ended_by FROM ended
UNION ALL
SELECT f.lane, f.order_id, f.window_id, 'fill'
FROM filled AS f
JOIN quoted AS q ON q.lane = f.lane AND q.order_id = f.order_id
ANTI JOIN ended AS e ON e.lane = f.lane AND e.order_id = f.order_id
WHERE f.qty >= q.qty AND f.last_seq > q.last_seq
