-- Title: the components of PnL by window and side
-- Unit: units of 1e-12 of the PnL currency
-- Formula: each fill marked to the window's end: gross, slippage and fees as ever, inventory = s q (v(m_T) - v(mf));
--   net, by cash: - s q v(p) + s q v(m_T) + F. Side `carried` is what neither side's fills earned:
--   I_0 (v(m_T) - v(m_0)) + funding. The three add up to the window
-- Grain: lane, window, side (buy, sell, carried)
-- Inputs: core_fill_value, core_edge_value, attr_window
-- NULL: gross, slippage, inventory in a run without mids; fees and net also where the fee of a fill is unknown
SELECT
    f.lane,
    f.window_id,
    CASE WHEN f.side_sign > 0 THEN 'buy' ELSE 'sell' END AS side,
    count(*) AS fills,
    sum(f.notional) AS notional,
    sum(f.signed_lots * (f.v_quote - f.v_price)) AS gross,
    sum(f.signed_lots * (f.v_fill - f.v_quote)) AS slippage,
    CASE WHEN count(f.fee_units) = count(*) THEN sum(f.fee_units) END AS fees,
    sum(f.signed_lots * (e.v - f.v_fill)) AS inventory,
    sum(f.signed_lots) * any_value(e.v) - sum(f.signed_lots * f.v_price)
    + CASE WHEN count(f.fee_units) = count(*) THEN sum(f.fee_units) END AS net
FROM core_fill_value AS f
JOIN core_edge_value AS e ON e.window_id = f.window_id
GROUP BY f.lane, f.window_id, f.side_sign
UNION ALL
SELECT
    w.lane, w.window_id, 'carried', 0, 0, 0, 0, 0,
    (CASE WHEN w.position_start = 0 THEN 0 ELSE w.position_start * (b.v - a.v) END) + w.funding,
    (CASE WHEN w.position_start = 0 THEN 0 ELSE w.position_start * b.v - w.position_start * a.v END) + w.funding
FROM attr_window AS w
JOIN core_edge_value AS a ON a.window_id = w.window_id - 1
JOIN core_edge_value AS b ON b.window_id = w.window_id
