-- Title: fills, typed, with their window and the mids that the journal gives
-- Unit: price in quote currency, qty in base quantity, times in ns, order_age in ms
-- Formula: window = the last one that begins at or before the fill; a mid of 0 is unknown
-- Grain: seq
-- Inputs: raw_record, core_run, core_window
-- NULL: own_* mids, fee, liquidity, order_id and order_age_ms where the journal does not say
SELECT
    f.seq,
    f.lane,
    f.ts_ns,
    w.window_id,
    f.order_id,
    CASE f.side WHEN 'buy' THEN 1 ELSE -1 END AS side_sign,
    f.price,
    f.qty,
    CASE WHEN f.quote_mid > 0 THEN f.quote_mid END AS own_quote_mid,
    CASE WHEN f.fill_mid > 0 THEN f.fill_mid END AS own_fill_mid,
    f.liquidity,
    -- A fee in another currency cannot be added to PnL: it is unknown here, and counted as such.
    CASE
        WHEN f.fee = 0 OR f.fee_currency IS NULL OR r.pnl_currency = '' OR f.fee_currency = r.pnl_currency THEN f.fee
    END AS fee,
    f.order_age_ms,
    f.position_after
FROM (SELECT * FROM raw_record WHERE type = 'fill') AS f
JOIN core_run AS r USING (run_id)
ASOF JOIN core_window AS w ON f.ts_ns >= w.from_ns
