-- Version 4: what market a run was on, and what is known of each run that evidence was gathered from.
ALTER TABLE raw_other ADD COLUMN market VARCHAR;        -- of run_start: recorded | generated | endpoint
ALTER TABLE raw_other ADD COLUMN generator VARCHAR;     -- sha256 of a generated market's settings, but for the seed
ALTER TABLE raw_other ADD COLUMN tape_digest VARCHAR;   -- of the tape that is replayed

CREATE OR REPLACE VIEW raw_record AS
SELECT *, 'order' AS type FROM raw_order
UNION ALL BY NAME
SELECT *, 'fill' AS type FROM raw_fill
UNION ALL BY NAME
SELECT * FROM raw_other;

-- One row a run, kept when its raw rows are pruned; evidence_window has its windows, none where it cannot be built.
CREATE TABLE evidence_run (
    symbol VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    records BIGINT NOT NULL,        -- of the run when this was made: other than now means stale
    code VARCHAR NOT NULL,          -- sha256 of the code that made it: other than today's means stale
    mode VARCHAR NOT NULL,
    begun_ns BIGINT NOT NULL,       -- by the wall clock where the run id says so, else the market's
    sound BOOLEAN NOT NULL,         -- the run's numbers do not contradict each other
    market VARCHAR NOT NULL,        -- recorded | generated | endpoint; empty where its journal does not say
    venue VARCHAR NOT NULL,
    grid VARCHAR NOT NULL,          -- JSON text: tick, lot, contract, contract_size, currencies
    generator VARCHAR NOT NULL,
    profile VARCHAR NOT NULL,
    tape_digest VARCHAR NOT NULL,
    unusable VARCHAR                -- why it cannot be built; null where it can
);
INSERT INTO evidence_run
SELECT symbol, run_id, any_value(records), '', any_value(mode), any_value(begun_ns), bool_and(sound),
    '', '', '', '', '', '', NULL
FROM evidence_window
GROUP BY ALL;

ALTER TABLE evidence_window DROP COLUMN records;
ALTER TABLE evidence_window DROP COLUMN mode;
ALTER TABLE evidence_window DROP COLUMN begun_ns;
ALTER TABLE evidence_window DROP COLUMN sound;
