-- Title: each lane's path, point by point: fills, funding and window edges in order
-- Unit: lots; units of 1e-12 of the PnL currency; ns
-- Formula: inventory = position_before * (v - v of the point before); gross = s q (v(mq) - v(p));
--   slippage = s q (v(mf) - v(mq)); an edge stands after every fill of the window it ends
-- Grain: lane, point
-- Inputs: core_fill_value, core_funding_value, core_edge_value, core_lane, core_start
-- NULL: inventory, gross and slippage in a run without mids; fee_units where the fee is unknown
WITH point AS (
    SELECT
        lane, window_id, 0 AS at_edge, ts_ns, seq, signed_lots, v_fill AS v,
        signed_lots * (v_quote - v_price) AS gross,
        signed_lots * (v_fill - v_quote) AS slippage,
        fee_units,
        0::HUGEINT AS funding
    FROM core_fill_value
    UNION ALL
    SELECT lane, window_id, 0, ts_ns, seq, 0, v, 0, 0, 0, units FROM core_funding_value
    UNION ALL
    SELECT l.lane, e.window_id, 1, e.ts_ns, NULL, 0, e.v, 0, 0, 0, 0
    FROM core_edge_value AS e
    CROSS JOIN core_lane AS l
),

walked AS (
    SELECT
        point.*,
        s.lots + coalesce(sum(signed_lots) OVER before, 0) AS position_before,
        v - lag(v) OVER walk AS move,
        greatest(ts_ns - lag(ts_ns) OVER walk, 0) AS held_ns,
        row_number() OVER walk AS point_no
    FROM point
    CROSS JOIN core_start AS s
    WINDOW
        walk AS (PARTITION BY lane ORDER BY window_id, at_edge, ts_ns, seq),
        before AS (
            PARTITION BY lane ORDER BY window_id, at_edge, ts_ns, seq
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
)

SELECT
    lane, point_no, window_id, at_edge, ts_ns, seq, signed_lots, v,
    position_before,
    position_before + signed_lots AS position_after,
    gross,
    slippage,
    fee_units,
    funding,
    -- The first point of a lane is the run's start: nothing came before it.
    CASE WHEN window_id = -1 THEN 0 ELSE position_before * move END AS inventory,
    CASE WHEN window_id = -1 THEN 0 ELSE abs(position_before) * held_ns END AS held_lot_ns
FROM walked
