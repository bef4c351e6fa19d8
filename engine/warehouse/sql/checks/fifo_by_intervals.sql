-- Title: realised PnL, computed without a queue, is that of the matches
-- Unit: units of 1e-12 of the PnL currency
-- Formula: first in first out pairs the k-th lot bought with the k-th lot sold, the start's position being the first
--   lots of its side: realised = sum of v_sold - v_bought over the pairs, in the window of the later of the two
-- Grain: lane, window that offends
-- Inputs: attr_fifo, core_fill_value, core_edge_value, core_lane, core_start
-- Severity: fail
-- NULL: a window whose realised PnL is unknown offends nothing
WITH trade AS (
    SELECT
        lane, row_number() OVER (PARTITION BY lane ORDER BY window_id, ts_ns, seq) AS place, window_id,
        side_sign, lots, v_price AS v
    FROM core_fill_value
    UNION ALL
    SELECT l.lane, 0, -1, sign(s.lots), abs(s.lots), e.v
    FROM core_lane AS l
    CROSS JOIN core_start AS s
    CROSS JOIN core_edge_value AS e
    WHERE e.window_id = -1 AND s.lots <> 0
),

laid AS (SELECT *, sum(lots) OVER (PARTITION BY lane, side_sign ORDER BY place) AS upto FROM trade),

-- Between two cuts every lot bought is of one fill, and so is every lot sold.
cut AS (
    SELECT lane, upto, upto - lag(upto, 1, 0::HUGEINT) OVER (PARTITION BY lane ORDER BY upto) AS lots
    FROM (SELECT DISTINCT lane, upto FROM laid) AS edges
),

paired AS (
    SELECT
        c.lane,
        CASE WHEN b.place > s.place THEN b.window_id ELSE s.window_id END AS window_id,
        c.lots * (s.v - b.v) AS realised
    FROM cut AS c
    ASOF JOIN (SELECT * FROM laid WHERE side_sign > 0) AS b ON b.lane = c.lane AND c.upto <= b.upto
    ASOF JOIN (SELECT * FROM laid WHERE side_sign < 0) AS s ON s.lane = c.lane AND c.upto <= s.upto
),

summed AS (
    SELECT lane, window_id, CASE WHEN count(realised) = count(*) THEN sum(realised) END AS realised
    FROM paired
    GROUP BY lane, window_id
)

SELECT f.lane, f.window_id, f.realised AS by_matches, p.realised AS by_intervals
FROM attr_fifo AS f
LEFT JOIN summed AS p ON p.lane = f.lane AND p.window_id = f.window_id
WHERE f.realised <> (CASE WHEN p.lane IS NULL THEN 0 ELSE p.realised END)
ORDER BY f.lane, f.window_id
