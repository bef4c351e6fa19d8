-- Title: PnL by the cash ledger, by window
-- Unit: units of 1e-12 of the PnL currency; lots
-- Formula: cash + I_T v(m_T) - I_0 v(m_0) + sum F + funding; a position of 0 needs no mid
-- Grain: lane, window
-- Inputs: core_fill_value, core_funding_value, core_edge_value, core_lane, core_start, core_window
-- NULL: net where a fee is unknown, or a position stands at an edge and the run has no mid; before_fees only there
WITH fills AS (
    SELECT
        lane,
        window_id,
        sum(signed_lots) AS lots,
        -sum(signed_lots * v_price) AS cash,
        CASE WHEN count(*) = count(fee_units) THEN sum(fee_units) END AS fees
    FROM core_fill_value
    GROUP BY lane, window_id
),

funding AS (SELECT lane, window_id, sum(units) AS units FROM core_funding_value GROUP BY lane, window_id),

held AS (
    SELECT
        l.lane,
        w.window_id,
        s.lots + coalesce(sum(f.lots) OVER (PARTITION BY l.lane ORDER BY w.window_id), 0) AS at_end,
        coalesce(f.lots, 0) AS bought,
        coalesce(f.cash, 0) AS cash,
        CASE WHEN f.lane IS NULL THEN 0 ELSE f.fees END AS fees,
        coalesce(g.units, 0) AS funding
    FROM core_lane AS l
    CROSS JOIN core_window AS w
    CROSS JOIN core_start AS s
    LEFT JOIN fills AS f ON f.lane = l.lane AND f.window_id = w.window_id
    LEFT JOIN funding AS g ON g.lane = l.lane AND g.window_id = w.window_id
),

valued AS (
    SELECT
        h.*,
        CASE WHEN h.at_end = h.bought THEN 0 ELSE (h.at_end - h.bought) * a.v END AS worth_at_start,
        CASE WHEN h.at_end = 0 THEN 0 ELSE h.at_end * b.v END AS worth_at_end
    FROM held AS h
    JOIN core_edge_value AS a ON a.window_id = h.window_id - 1
    JOIN core_edge_value AS b ON b.window_id = h.window_id
)

SELECT
    lane,
    window_id,
    cash,
    fees,
    funding,
    worth_at_start,
    worth_at_end,
    cash + worth_at_end - worth_at_start + funding AS before_fees,
    cash + worth_at_end - worth_at_start + funding + fees AS net
FROM valued
