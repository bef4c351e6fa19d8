-- Title: realised PnL
-- Unit: PnL currency
-- Formula: what the lots closed in the slice brought over what they cost, first in first out, + fees + funding
-- Grain: slice
-- Inputs: attr_slice, core_limit
-- NULL: a fee is unknown, or the run began with a position and no mid was near
SELECT
    s.slice_id,
    'realised_pnl_quote' AS metric,
    s.realised + s.fees + s.funding AS numerator,
    1000000000000::HUGEINT AS denominator,
    NULL::DOUBLE AS value,
    s.fills AS n,
    CASE
        WHEN s.realised + s.fees + s.funding IS NOT NULL THEN NULL
        WHEN s.held_lot_ns IS NULL THEN 'the run has no time span'
        WHEN s.fills_without_fee > 0 THEN 'fee unknown for ' || s.fills_without_fee || ' of ' || s.fills || ' fills'
        ELSE 'a position at the start of the run, and no mid within ' || g.edge_age_ns // 1000000000 || ' s before it'
    END AS null_reason
FROM attr_slice AS s
CROSS JOIN core_limit AS g
