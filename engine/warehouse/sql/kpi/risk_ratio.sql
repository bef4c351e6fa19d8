-- Title: how much of the position cap was used
-- Unit: ratio
-- Formula: sum |position| * time / (cap * time of the slice)
-- Grain: slice
-- Inputs: attr_slice, core_start
-- NULL: the run has no position cap, or no time span
SELECT
    s.slice_id,
    'risk_ratio' AS metric,
    CASE WHEN c.cap_lots IS NOT NULL THEN s.held_lot_ns END AS numerator,
    c.cap_lots * (s.end_ns - s.start_ns) AS denominator,
    NULL::DOUBLE AS value,
    s.fills AS n,
    CASE
        WHEN c.cap_lots IS NULL THEN 'the run has no position cap'
        WHEN s.held_lot_ns IS NULL THEN 'the run has no time span'
    END AS null_reason
FROM attr_slice AS s
CROSS JOIN core_start AS c
