-- Title: fills and notional
-- Unit: count; PnL currency
-- Formula: number of fills; V = sum q |v(p)|
-- Grain: slice
-- Inputs: attr_slice
-- NULL: never; no fills are 0
SELECT
    slice_id, 'fills' AS metric, fills::HUGEINT AS numerator, 1::HUGEINT AS denominator,
    NULL::DOUBLE AS value, fills AS n, NULL::VARCHAR AS null_reason
FROM attr_slice
UNION ALL
SELECT slice_id, 'notional_quote', notional, 1000000000000, NULL, fills, NULL FROM attr_slice
