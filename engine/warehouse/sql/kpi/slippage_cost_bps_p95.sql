-- Title: slippage cost, 95th percentile over fills
-- Unit: bps
-- Formula: quantile 0.95 of -1e4 s (v(mf) - v(mq)) / |v(p)|
-- Grain: slice
-- Inputs: core_slice, core_slice_window, core_fill_value
-- NULL: no fill whose mids are known
WITH spread AS (
    SELECT
        x.slice_id,
        quantile_cont(
            -1e4 * f.side_sign * (f.v_fill - f.v_quote)::DOUBLE / abs(f.v_price)::DOUBLE, 0.95
        ) AS p95,
        count(*) AS n
    FROM core_fill_value AS f
    JOIN core_slice_window AS x ON x.lane = f.lane AND x.window_id = f.window_id
    WHERE f.v_fill IS NOT NULL AND f.v_quote IS NOT NULL AND NOT f.stale
    GROUP BY x.slice_id
)

SELECT
    c.slice_id, 'slippage_cost_bps_p95' AS metric, NULL::HUGEINT AS numerator, NULL::HUGEINT AS denominator,
    s.p95 AS value, coalesce(s.n, 0) AS n,
    CASE WHEN s.n IS NULL THEN 'no fill with known mids' END AS null_reason
FROM core_slice AS c
LEFT JOIN spread AS s ON s.slice_id = c.slice_id
