-- Title: unrealised PnL
-- Unit: PnL currency
-- Formula: change over the slice of (value of the open lots at the mid - what they cost, first in first out)
-- Grain: slice
-- Inputs: attr_slice, core_limit
-- NULL: a position at the edge of the slice, or at the start of the run, and no mid near
SELECT
    s.slice_id,
    'unrealised_pnl_quote' AS metric,
    s.unrealised AS numerator,
    1000000000000::HUGEINT AS denominator,
    NULL::DOUBLE AS value,
    s.fills AS n,
    CASE
        WHEN s.unrealised IS NOT NULL THEN NULL
        WHEN s.held_lot_ns IS NULL THEN 'the run has no time span'
        ELSE 'a position at the edge of the slice or at the start of the run, and no mid within '
            || g.edge_age_ns // 1000000000 || ' s before it'
    END AS null_reason
FROM attr_slice AS s
CROSS JOIN core_limit AS g
