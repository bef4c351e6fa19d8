-- Title: the components of PnL by slice
-- Unit: units of 1e-12 of the PnL currency; lots
-- Formula: sums of the windows; net is the cash ledger's, realised and unrealised are before fees and funding
-- Grain: slice
-- Inputs: attr_window, attr_ledger, attr_fifo, core_slice_window, core_slice, core_edge_value, core_limit, core_start
-- NULL: a component where a window has none; net, before_fees, inventory and unrealised also where the slice begins or
--   ends with a position and its mid there is stale; realised and unrealised where the run began with a position and
--   its mid there is stale. `components_known`: at most the limit's share of the notional has stale mids
WITH summed AS (
    SELECT
        x.slice_id,
        sum(w.fills) AS fills,
        sum(w.notional) AS notional,
        sum(w.stale_notional) AS stale_notional,
        sum(w.fills_with_mids) AS fills_with_mids,
        sum(w.fills_without_fee) AS fills_without_fee,
        sum(w.gross) AS gross,
        sum(w.slippage) AS slippage,
        CASE WHEN count(w.fees) = count(*) THEN sum(w.fees) END AS fees,
        sum(w.inventory) AS inventory,
        sum(w.held_lot_ns) AS held_lot_ns,
        CASE WHEN count(n.net) = count(*) THEN sum(n.net) END AS net,
        CASE WHEN count(n.before_fees) = count(*) THEN sum(n.before_fees) END AS before_fees,
        CASE WHEN count(i.realised) = count(*) THEN sum(i.realised) END AS realised,
        CASE WHEN count(i.unrealised) = count(*) THEN sum(i.unrealised) END AS unrealised,
        sum(w.funding) AS funding,
        arg_min(w.position_start, w.window_id) AS position_start,
        arg_max(w.position_end, w.window_id) AS position_end
    FROM core_slice_window AS x
    JOIN attr_window AS w ON w.lane = x.lane AND w.window_id = x.window_id
    JOIN attr_ledger AS n ON n.lane = x.lane AND n.window_id = x.window_id
    JOIN attr_fifo AS i ON i.lane = x.lane AND i.window_id = x.window_id
    GROUP BY x.slice_id
),

judged AS (
    SELECT
        c.slice_id,
        c.lane,
        c.start_ns,
        c.end_ns,
        s.* EXCLUDE (slice_id),
        (s.position_start = 0 OR NOT a.stale) AND (s.position_end = 0 OR NOT b.stale) AS edges_known,
        p.lots = 0 OR NOT o.stale AS start_known
    FROM core_slice AS c
    CROSS JOIN core_start AS p
    LEFT JOIN core_edge_value AS o ON o.window_id = -1
    LEFT JOIN summed AS s ON s.slice_id = c.slice_id
    LEFT JOIN core_edge_value AS a ON a.window_id = c.first_window - 1
    LEFT JOIN core_edge_value AS b ON b.window_id = c.last_window
)

SELECT
    slice_id,
    lane,
    start_ns,
    end_ns,
    coalesce(fills, 0) AS fills,
    coalesce(notional, 0) AS notional,
    coalesce(fills_with_mids, 0) AS fills_with_mids,
    coalesce(fills_without_fee, 0) AS fills_without_fee,
    gross,
    slippage,
    fees,
    CASE WHEN edges_known THEN inventory END AS inventory,
    CASE WHEN edges_known THEN net END AS net,
    CASE WHEN edges_known THEN before_fees END AS before_fees,
    CASE WHEN start_known THEN realised END AS realised,
    CASE WHEN start_known AND edges_known THEN unrealised END AS unrealised,
    funding,
    coalesce(edges_known, FALSE) AS edges_known,
    coalesce(start_known, FALSE) AS start_known,
    coalesce(gross IS NOT NULL AND stale_notional * 100 <= notional * g.stale_share_pct, FALSE) AS components_known,
    held_lot_ns
FROM judged
CROSS JOIN core_limit AS g
