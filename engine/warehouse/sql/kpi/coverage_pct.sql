-- Title: time with a valid book
-- Unit: %
-- Formula: 100 * valid book time that the bot journalled / time of the slice; a window without it adds nothing
-- Grain: slice
-- Inputs: core_slice, core_slice_window, core_window
-- NULL: no window of the slice says how long its book was valid
WITH summed AS (
    SELECT x.slice_id, sum(w.valid_book_ns) AS valid_ns, count(w.valid_book_ns) AS n
    FROM core_slice_window AS x
    JOIN core_window AS w ON w.window_id = x.window_id
    GROUP BY x.slice_id
)

SELECT
    c.slice_id, 'coverage_pct' AS metric, 100 * s.valid_ns AS numerator, (c.end_ns - c.start_ns)::HUGEINT AS denominator,
    NULL::DOUBLE AS value, coalesce(s.n, 0) AS n,
    CASE WHEN coalesce(s.n, 0) = 0 THEN 'no window says how long its book was valid' END AS null_reason
FROM core_slice AS c
LEFT JOIN summed AS s ON s.slice_id = c.slice_id
