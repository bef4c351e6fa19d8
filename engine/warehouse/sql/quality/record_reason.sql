-- Title: why a well-typed row is not a journal record
-- Unit: text
-- Formula: the first rule that a row breaks
-- Grain: row of `incoming` (the rows of one batch of lines)
-- Inputs: incoming
-- NULL: never; rows that break no rule are left out
SELECT "index", reason
FROM (
    SELECT
        "index",
        CASE
            WHEN v IS NULL OR v < 1 THEN 'v is missing or below 1'
            WHEN type IS NULL THEN 'type is missing'
            WHEN type NOT IN (
                'run_start', 'run_end', 'heartbeat', 'window_end', 'params', 'mark', 'funding',
                'order', 'fill', 'block', 'gap'
            ) THEN 'type ' || type || ' is unknown'
            WHEN run_id IS NULL OR run_id = '' THEN 'run_id is missing'
            WHEN seq IS NULL OR seq < 0 THEN 'seq is missing or negative'
            WHEN ts_ns IS NULL OR ts_ns < 0 THEN 'ts_ns is missing or negative'
            WHEN symbol IS NULL OR symbol = '' THEN 'symbol is missing'
            WHEN lane IS NULL OR lane < 0 THEN 'lane is missing or negative'
            WHEN type = 'run_start' AND instrument IS NULL THEN 'run_start without an instrument'
            WHEN type = 'run_start' AND window_seconds <= 0 THEN 'run_start window_seconds is not above 0'
            WHEN type = 'mark' AND (mid IS NULL OR mid <= 0) THEN 'mark without a mid above 0'
            WHEN type = 'funding' AND amount IS NULL THEN 'funding without amount'
            WHEN type = 'params' AND params IS NULL THEN 'params without parameters'
            WHEN type IN ('fill', 'order') AND (side IS NULL OR side NOT IN ('buy', 'sell'))
                THEN type || ' side is neither buy nor sell'
            WHEN type = 'fill' AND (price IS NULL OR price <= 0) THEN 'fill without a price above 0'
            WHEN type = 'fill' AND (qty IS NULL OR qty <= 0) THEN 'fill without a qty above 0'
            WHEN type = 'fill' AND liquidity NOT IN ('maker', 'taker') THEN 'fill liquidity is neither maker nor taker'
            WHEN type = 'order' AND (
                event IS NULL OR event NOT IN ('new', 'ack', 'amend', 'cancel', 'reject', 'expire')
            ) THEN 'order event is unknown'
            WHEN type = 'block' AND (reason IS NULL OR reason = '') THEN 'block without reason'
            WHEN type = 'block' AND ("count" IS NULL OR "count" < 0) THEN 'block count is missing or negative'
        END AS reason
    FROM incoming
) AS judged
WHERE reason IS NOT NULL
ORDER BY "index"
