-- Version 2: orders and fills in tables of their own (a column costs time even where it is null); what a file's
-- watermark needs to notice that the file is another one; quarantined text compressed by the one method that is quick.
CREATE TABLE raw_order (
    file_id INTEGER NOT NULL,
    line BIGINT NOT NULL,
    v BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    ts_ns BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    run_id VARCHAR NOT NULL,
    symbol VARCHAR NOT NULL,
    order_id VARCHAR,
    side VARCHAR,
    price DECIMAL(38, 18),
    qty DECIMAL(38, 18),
    price_ticks BIGINT,
    qty_lots BIGINT,
    quote_mid DECIMAL(38, 18),
    quote_mid2 BIGINT,
    event VARCHAR,
    reason VARCHAR,
    latency_ms DOUBLE,
    exch_ts_ns BIGINT
);

CREATE TABLE raw_fill (
    file_id INTEGER NOT NULL,
    line BIGINT NOT NULL,
    v BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    ts_ns BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    run_id VARCHAR NOT NULL,
    symbol VARCHAR NOT NULL,
    order_id VARCHAR,
    side VARCHAR,
    price DECIMAL(38, 18),
    qty DECIMAL(38, 18),
    price_ticks BIGINT,
    qty_lots BIGINT,
    quote_mid DECIMAL(38, 18),
    quote_mid2 BIGINT,
    fill_mid DECIMAL(38, 18),
    fill_mid2 BIGINT,
    liquidity VARCHAR,
    fee DECIMAL(38, 18),
    fee_currency VARCHAR,
    order_age_ms DOUBLE,
    latency_ms DOUBLE,
    exch_ts_ns BIGINT,
    position_after DECIMAL(38, 18),
    position_after_lots BIGINT
);

-- Everything else, and orders and fills with fields that are not above.
ALTER TABLE raw_record RENAME TO raw_other;

CREATE VIEW raw_record AS
SELECT *, 'order' AS type FROM raw_order
UNION ALL BY NAME
SELECT *, 'fill' AS type FROM raw_fill
UNION ALL BY NAME
SELECT * FROM raw_other;

-- sha256 of the 4096 bytes before the watermark (fewer at the file's beginning), null where version 1 read it
ALTER TABLE raw_file ADD COLUMN tail_sha256 VARCHAR;
-- lines read of it before it was replaced or cut short: accepted + duplicates + quarantined = lines + former_lines
ALTER TABLE raw_file ADD COLUMN former_lines BIGINT DEFAULT 0;

-- size on the disk of a gzip file when it was read: the same size is not unpacked again
ALTER TABLE raw_file ADD COLUMN packed_bytes BIGINT;

ALTER TABLE raw_quarantine RENAME TO raw_quarantine_1;
CREATE TABLE raw_quarantine (
    file_id INTEGER NOT NULL,
    line BIGINT NOT NULL,           -- from 1
    offset_bytes BIGINT NOT NULL,
    length_bytes BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    -- the first KiB; bytes that are not UTF-8 stand as \xNN
    raw_text VARCHAR USING COMPRESSION zstd NOT NULL
);
INSERT INTO raw_quarantine SELECT * FROM raw_quarantine_1;
DROP TABLE raw_quarantine_1;
