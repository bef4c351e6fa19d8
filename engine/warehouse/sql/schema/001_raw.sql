-- Version 1: what was read, as it was read. No index and no key: ingest dedupes, and a kill cannot break an index.
CREATE TABLE raw_file (
    file_id INTEGER NOT NULL,
    identity VARCHAR NOT NULL,      -- of the first line: "<run_id>#<seq>", or its sha256 where it is no record
    run_id VARCHAR,
    first_seq BIGINT,
    path VARCHAR NOT NULL,          -- where it was last seen; never used to find the watermark
    offset_bytes BIGINT NOT NULL,   -- watermark: everything before it is accepted, a duplicate or in quarantine
    lines BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    quarantined BIGINT NOT NULL
);

CREATE TABLE raw_quarantine (
    file_id INTEGER NOT NULL,
    line BIGINT NOT NULL,           -- from 1
    offset_bytes BIGINT NOT NULL,
    length_bytes BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    raw_text VARCHAR NOT NULL       -- the first 64 KiB; bytes that are not UTF-8 stand as \xNN
);

CREATE TABLE raw_record (
    file_id INTEGER NOT NULL,
    line BIGINT NOT NULL,
    v BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    ts_ns BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    type VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    symbol VARCHAR NOT NULL,
    -- run_start
    bot VARCHAR,
    mode VARCHAR,
    profile VARCHAR,
    git VARCHAR,
    lanes VARCHAR,                  -- JSON text
    instrument VARCHAR,             -- JSON text
    position_start DECIMAL(38, 18),
    position_cap_qty DECIMAL(38, 18),
    window_seconds BIGINT,
    latency_modelled BOOLEAN,
    -- window_end
    "window" BIGINT,
    iteration BIGINT,
    start_ns BIGINT,
    iteration_end BOOLEAN,
    valid_book_ms DOUBLE,
    events BIGINT,
    -- params
    params VARCHAR,                 -- JSON text
    source VARCHAR,
    effective_ts_ns BIGINT,
    -- mark
    mid DECIMAL(38, 18),
    bid DECIMAL(38, 18),
    ask DECIMAL(38, 18),
    mid2 BIGINT,
    bid_ticks BIGINT,
    ask_ticks BIGINT,
    -- funding
    amount DECIMAL(38, 18),
    -- order and fill
    order_id VARCHAR,
    side VARCHAR,
    price DECIMAL(38, 18),
    qty DECIMAL(38, 18),
    price_ticks BIGINT,
    qty_lots BIGINT,
    quote_mid DECIMAL(38, 18),
    quote_mid2 BIGINT,
    event VARCHAR,
    reason VARCHAR,                 -- also of run_end, block and gap
    latency_ms DOUBLE,
    liquidity VARCHAR,
    fee DECIMAL(38, 18),
    fee_currency VARCHAR,
    fill_mid DECIMAL(38, 18),
    fill_mid2 BIGINT,
    exch_ts_ns BIGINT,
    order_age_ms DOUBLE,
    position_after DECIMAL(38, 18),
    position_after_lots BIGINT,
    -- block
    "count" BIGINT
);
