-- Title: the components of PnL by window
-- Unit: units of 1e-12 of the PnL currency; lots
-- Formula: sums over the window's points; inventory includes funding
-- Grain: lane, window
-- Inputs: core_segment, core_fill_value
-- NULL: gross, slippage, inventory in a run without mids; fees where the fee of a fill is unknown
WITH traded AS (
    SELECT
        lane,
        window_id,
        count(*) AS fills,
        sum(notional) AS notional,
        coalesce(sum(notional) FILTER (WHERE stale), 0) AS stale_notional,
        count(*) FILTER (WHERE NOT stale) AS fills_with_mids,
        count(*) FILTER (WHERE fee_units IS NULL) AS fills_without_fee
    FROM core_fill_value
    GROUP BY lane, window_id
),

moved AS (
    SELECT
        lane,
        window_id,
        CASE WHEN count(v) = count(*) THEN sum(gross) END AS gross,
        CASE WHEN count(v) = count(*) THEN sum(slippage) END AS slippage,
        sum(fee_units) AS fees,
        sum(inventory) AS inventory_move,
        sum(funding) AS funding,
        sum(held_lot_ns) AS held_lot_ns,
        arg_min(position_before, point_no) AS position_start,
        arg_max(position_after, point_no) AS position_end
    FROM core_segment
    WHERE window_id >= 0
    GROUP BY lane, window_id
)

SELECT
    m.lane,
    m.window_id,
    coalesce(t.fills, 0) AS fills,
    coalesce(t.notional, 0) AS notional,
    coalesce(t.stale_notional, 0) AS stale_notional,
    coalesce(t.fills_with_mids, 0) AS fills_with_mids,
    coalesce(t.fills_without_fee, 0) AS fills_without_fee,
    m.gross,
    m.slippage,
    CASE WHEN coalesce(t.fills_without_fee, 0) = 0 THEN m.fees END AS fees,
    m.inventory_move + m.funding AS inventory,
    m.funding,
    m.held_lot_ns,
    m.position_start,
    m.position_end
FROM moved AS m
LEFT JOIN traded AS t ON t.lane = m.lane AND t.window_id = m.window_id
