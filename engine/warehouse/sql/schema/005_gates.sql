-- Version 5: what the gates speak of, window by window of every challenger's lane, so that they can be judged on all the
-- nights of a confirmation. Like evidence_window it is kept when the raw rows are pruned. Every metric that can be
-- pooled has a row in every window; a window without a row is of a run that was pruned before this was gathered.
CREATE TABLE evidence_gate (
    symbol VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    lane BIGINT NOT NULL,
    "window" BIGINT NOT NULL,
    metric VARCHAR NOT NULL,
    numerator HUGEINT,              -- of a ratio, null without data; pooled is sum over sum
    denominator HUGEINT,
    fills DOUBLE[]                  -- of a percentile over fills: each fill's value
);
