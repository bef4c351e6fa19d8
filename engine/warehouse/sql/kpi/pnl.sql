-- Title: net PnL and its largest fall
-- Unit: PnL currency
-- Formula: the cash ledger; the largest fall of the PnL cumulated over the slice's points, from its high so far
-- Grain: slice
-- Inputs: attr_slice, core_segment, core_slice_window, core_limit
-- NULL: as net_bps, but 0 without fills and without position
WITH stepped AS (
    SELECT
        x.slice_id,
        s.point_no,
        sum(s.inventory + s.gross + s.slippage + s.fee_units + s.funding) OVER (
            PARTITION BY x.slice_id ORDER BY s.point_no
        ) AS pnl
    FROM core_segment AS s
    JOIN core_slice_window AS x ON x.lane = s.lane AND x.window_id = s.window_id
),

fallen AS (
    SELECT
        slice_id,
        -- The slice starts at 0, so a first step down is a fall already.
        greatest(max(pnl) OVER (PARTITION BY slice_id ORDER BY point_no), 0) - pnl AS fall
    FROM stepped
),

worst AS (SELECT slice_id, max(fall) AS fall, count(fall) AS points FROM fallen GROUP BY slice_id),

part AS (
    SELECT slice_id, 'net_pnl_quote' AS metric, net AS units, fills AS n FROM attr_slice
    UNION ALL
    SELECT s.slice_id, 'max_drawdown_quote', CASE WHEN s.net IS NOT NULL AND s.gross IS NOT NULL THEN w.fall END, w.points
    FROM attr_slice AS s
    LEFT JOIN worst AS w ON w.slice_id = s.slice_id
)

SELECT
    p.slice_id,
    p.metric,
    p.units AS numerator,
    1000000000000::HUGEINT AS denominator,
    NULL::DOUBLE AS value,
    coalesce(p.n, 0) AS n,
    CASE
        WHEN p.units IS NOT NULL THEN NULL
        WHEN s.held_lot_ns IS NULL THEN 'the run has no time span'
        WHEN NOT s.edges_known THEN 'a position at the edge of the slice, and no mid within ' || g.edge_age_ns // 1000000000 || ' s before it'
        WHEN s.fills_without_fee > 0 THEN 'fee unknown for ' || s.fills_without_fee || ' of ' || s.fills || ' fills'
        ELSE 'no mid to value the position with'
    END AS null_reason
FROM part AS p
JOIN attr_slice AS s ON s.slice_id = p.slice_id
CROSS JOIN core_limit AS g
