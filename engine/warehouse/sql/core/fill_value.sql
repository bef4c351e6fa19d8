-- Title: fills in integers
-- Unit: lots; values of one lot and fees in units of 1e-12 of the PnL currency
-- Formula: v_* = Instrument.value_units(price), computed once per price (core_value)
-- Grain: seq
-- Inputs: core_fill, core_fill_mid, core_value, core_lot, core_money, core_markout
-- NULL: v_quote and v_fill in a run without mids, v_markout without a mark 5 s later, fee_units where unknown
SELECT
    f.seq,
    f.lane,
    f.ts_ns,
    f.window_id,
    f.order_id,
    f.side_sign,
    l.lots,
    f.side_sign * l.lots AS signed_lots,
    p.v AS v_price,
    q.v AS v_quote,
    m.v AS v_fill,
    k.v AS v_markout,
    l.lots * abs(p.v) AS notional,
    c.units AS fee_units,
    f.liquidity,
    f.order_age_ms,
    f.position_after,
    mids.stale
FROM core_fill AS f
JOIN core_fill_mid AS mids ON mids.seq = f.seq
JOIN core_lot AS l ON l.qty = f.qty
JOIN core_value AS p ON p.price = f.price
LEFT JOIN core_value AS q ON q.price = mids.quote_mid
LEFT JOIN core_value AS m ON m.price = mids.fill_mid
LEFT JOIN core_markout AS after ON after.seq = f.seq AND after.horizon_s = 5
LEFT JOIN core_value AS k ON k.price = after.mid
LEFT JOIN core_money AS c ON c.amount = f.fee
