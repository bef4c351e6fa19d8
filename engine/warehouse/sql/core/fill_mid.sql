-- Title: the mids of each fill, joined from marks where the journal has none
-- Unit: price in quote currency
-- Formula: fill_mid = its own, else the last mark before the fill if near enough (core_limit.mid_age_ns), else the last
--   known mid of any age, else the first known one; quote_mid = its own, else the last mark as near before the quote
--   was last sent or amended, else fill_mid. `stale` marks a fill with a mid from farther
-- Grain: seq
-- Inputs: core_fill, core_known_mid, core_limit
-- NULL: both mids where the run has no mid at all
WITH joined AS (
    SELECT
        f.*,
        m.mid AS mark_mid,
        f.ts_ns - m.ts_ns <= g.mid_age_ns AS mark_fresh,
        q.mid AS quote_mark_mid,
        f.quote_ts_ns - q.ts_ns <= g.mid_age_ns AS quote_mark_fresh,
        (SELECT arg_min(mid, ts_ns) FROM core_known_mid) AS first_mid
    FROM (
        SELECT
            *,
            -- An age that no quote can have (the run's suite flags it) says nothing of when it was sent.
            CASE WHEN order_age_ms BETWEEN 0 AND 1e12 THEN ts_ns - CAST(order_age_ms * 1e6 AS BIGINT) END AS quote_ts_ns
        FROM core_fill
    ) AS f
    CROSS JOIN core_limit AS g
    ASOF LEFT JOIN core_known_mid AS m ON f.ts_ns >= m.ts_ns
    ASOF LEFT JOIN core_known_mid AS q ON f.quote_ts_ns >= q.ts_ns
)
SELECT
    seq,
    coalesce(own_fill_mid, mark_mid, first_mid) AS fill_mid,
    coalesce(
        own_quote_mid,
        CASE WHEN quote_mark_fresh THEN quote_mark_mid END,
        own_fill_mid, mark_mid, first_mid
    ) AS quote_mid,
    NOT (
        (own_fill_mid IS NOT NULL OR coalesce(mark_fresh, FALSE))
        AND (own_quote_mid IS NOT NULL OR coalesce(quote_mark_fresh, FALSE))
    ) AS stale
FROM joined
