-- Title: why a well-typed row is not a journal record
-- Unit: text
-- Formula: the first rule that a row breaks: those of every record, then those of its type
-- Grain: row of `incoming` (the rows of one chunk of lines)
-- Inputs: incoming
-- NULL: never; rows that break no rule are left out
SELECT "index", reason
FROM (
    SELECT
        "index",
        CASE
            WHEN v IS NULL OR v < 1 THEN 'v is missing or below 1'
            WHEN type IS NULL THEN 'type is missing'
            WHEN run_id IS NULL OR run_id = '' THEN 'run_id is missing'
            WHEN seq IS NULL OR seq < 0 THEN 'seq is missing or negative'
            WHEN ts_ns IS NULL OR ts_ns < 0 THEN 'ts_ns is missing or negative'
            WHEN symbol IS NULL OR symbol = '' THEN 'symbol is missing'
            WHEN lane IS NULL OR lane < 0 THEN 'lane is missing or negative'
            -- the most frequent types first: a row leaves at its own
            WHEN type = 'order' THEN
                CASE
                    WHEN side IS NULL OR side NOT IN ('buy', 'sell') THEN 'order side is neither buy nor sell'
                    WHEN event IS NULL OR event NOT IN ('new', 'ack', 'amend', 'cancel', 'reject', 'expire')
                        THEN 'order event is unknown'
                END
            WHEN type = 'fill' THEN
                CASE
                    WHEN side IS NULL OR side NOT IN ('buy', 'sell') THEN 'fill side is neither buy nor sell'
                    WHEN price IS NULL OR price <= 0 THEN 'fill without a price above 0'
                    WHEN qty IS NULL OR qty <= 0 THEN 'fill without a qty above 0'
                    WHEN liquidity NOT IN ('maker', 'taker') THEN 'fill liquidity is neither maker nor taker'
                END
            WHEN type = 'mark' THEN
                CASE WHEN mid IS NULL OR mid <= 0 THEN 'mark without a mid above 0' END
            WHEN type = 'block' THEN
                CASE
                    WHEN reason IS NULL OR reason = '' THEN 'block without reason'
                    WHEN "count" IS NULL OR "count" < 0 THEN 'block count is missing or negative'
                END
            WHEN type = 'run_start' THEN
                CASE
                    WHEN instrument IS NULL THEN 'run_start without an instrument'
                    WHEN window_seconds <= 0 THEN 'run_start window_seconds is not above 0'
                END
            WHEN type = 'funding' THEN
                CASE WHEN amount IS NULL THEN 'funding without amount' END
            WHEN type = 'params' THEN
                CASE WHEN params IS NULL THEN 'params without parameters' END
            WHEN type NOT IN ('run_end', 'heartbeat', 'window_end', 'gap', 'control') THEN 'type ' || type || ' is unknown'
        END AS reason
    FROM incoming
) AS judged
WHERE reason IS NOT NULL
ORDER BY "index"
