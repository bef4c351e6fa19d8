-- Title: share of the notional that was filled as maker
-- Unit: %
-- Formula: 100 * maker notional / notional of all fills that say maker or taker
-- Grain: slice
-- Inputs: core_slice, core_slice_window, core_fill_value
-- NULL: no fill says maker or taker
WITH summed AS (
    SELECT
        x.slice_id,
        coalesce(sum(f.notional) FILTER (WHERE f.liquidity = 'maker'), 0) AS maker,
        sum(f.notional) AS every,
        count(*) AS n
    FROM core_fill_value AS f
    JOIN core_slice_window AS x ON x.lane = f.lane AND x.window_id = f.window_id
    WHERE f.liquidity IS NOT NULL
    GROUP BY x.slice_id
)

SELECT
    c.slice_id, 'maker_share_pct' AS metric, 100 * s.maker AS numerator, s.every AS denominator,
    NULL::DOUBLE AS value, coalesce(s.n, 0) AS n,
    CASE WHEN s.n IS NULL THEN 'no fill that says maker or taker' END AS null_reason
FROM core_slice AS c
LEFT JOIN summed AS s ON s.slice_id = c.slice_id
