-- Title: five-second markout cost
-- Unit: bps
-- Formula: -1e4 * sum s q (v(m_{t+5s}) - v(mf)) / sum q |v(p)| over fills with a markout; p95 of the same by fill
-- Grain: slice
-- Inputs: core_slice, core_slice_window, core_fill_value
-- NULL: no fill has a mid at the fill and a mark 5 to 7 s later
WITH marked AS (
    SELECT lane, window_id, signed_lots * (v_markout - v_fill) AS gained, side_sign, v_markout, v_fill, v_price, notional
    FROM core_fill_value
    WHERE v_markout IS NOT NULL AND NOT stale
),

summed AS (
    SELECT
        x.slice_id,
        -10000 * sum(m.gained) AS cost,
        sum(m.notional) AS notional,
        quantile_cont(
            -1e4 * m.side_sign * (m.v_markout - m.v_fill)::DOUBLE / abs(m.v_price)::DOUBLE, 0.95
        ) AS p95,
        count(*) AS n
    FROM marked AS m
    JOIN core_slice_window AS x ON x.lane = m.lane AND x.window_id = m.window_id
    GROUP BY x.slice_id
)

SELECT
    c.slice_id, 'adverse_bps' AS metric, s.cost AS numerator, s.notional AS denominator,
    NULL::DOUBLE AS value, coalesce(s.n, 0) AS n,
    CASE WHEN s.n IS NULL THEN 'no fill with a mark 5 s later' END AS null_reason
FROM core_slice AS c
LEFT JOIN summed AS s ON s.slice_id = c.slice_id
UNION ALL
SELECT
    c.slice_id, 'adverse_bps_p95', NULL, NULL, s.p95, coalesce(s.n, 0),
    CASE WHEN s.n IS NULL THEN 'no fill with a mark 5 s later' END
FROM core_slice AS c
LEFT JOIN summed AS s ON s.slice_id = c.slice_id
