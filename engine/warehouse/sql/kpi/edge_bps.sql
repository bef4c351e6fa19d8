-- Title: net_bps and its components
-- Unit: bps
-- Formula: 1e4 * units / notional; net is the cash ledger's and equals the components' sum
-- Grain: slice
-- Inputs: attr_slice, core_limit
-- NULL: without fills; net with an unknown fee or a stale mid at the slice's edge; gross, slippage and inventory also
--   where more than the limit's share of the notional has stale mids; each with its reason
WITH part AS (
    SELECT slice_id, 'net_bps' AS metric, net AS units, TRUE AS known FROM attr_slice
    UNION ALL SELECT slice_id, 'gross_bps', gross, components_known FROM attr_slice
    UNION ALL SELECT slice_id, 'fees_eff_bps', fees, TRUE FROM attr_slice
    UNION ALL SELECT slice_id, 'slippage_bps', slippage, components_known FROM attr_slice
    UNION ALL SELECT slice_id, 'inventory_bps', inventory, components_known FROM attr_slice
    UNION ALL SELECT slice_id, 'slippage_cost_bps', -slippage, components_known FROM attr_slice
)

SELECT
    p.slice_id,
    p.metric,
    CASE WHEN s.notional > 0 AND p.known THEN 10000 * p.units END AS numerator,
    s.notional AS denominator,
    NULL::DOUBLE AS value,
    CASE
        WHEN p.metric IN ('gross_bps', 'slippage_bps', 'slippage_cost_bps', 'inventory_bps') THEN s.fills_with_mids
        WHEN p.metric = 'fees_eff_bps' THEN s.fills - s.fills_without_fee
        ELSE s.fills
    END AS n,
    CASE
        WHEN s.notional = 0 THEN 'no fills'
        WHEN NOT p.known THEN 'mids unknown for more than ' || g.stale_share_pct || ' % of the notional'
        WHEN p.units IS NOT NULL THEN NULL
        WHEN p.metric IN ('net_bps', 'inventory_bps') AND NOT s.edges_known
            THEN 'a position at the edge of the slice, and no mid within ' || g.edge_age_ns // 1000000000 || ' s before it'
        WHEN s.fills_without_fee > 0 THEN 'fee unknown for ' || s.fills_without_fee || ' of ' || s.fills || ' fills'
        ELSE 'no mid to value the position with'
    END AS null_reason
FROM part AS p
JOIN attr_slice AS s ON s.slice_id = p.slice_id
CROSS JOIN core_limit AS g
