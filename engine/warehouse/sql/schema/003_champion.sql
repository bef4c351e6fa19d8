-- Version 3: how each symbol's champion came to be, and the evidence that was gathered and spent on it. Copies of
-- datasets/champion/<symbol>/history.jsonl and evidence.jsonl, which are the truth: a warehouse made again from
-- journals gets them back from there.
CREATE TABLE champion_history (
    symbol VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    kind VARCHAR NOT NULL,          -- promote | rollback | freeze | unfreeze
    champion_id VARCHAR NOT NULL,   -- in force after the change
    instead_of VARCHAR NOT NULL,
    params VARCHAR NOT NULL,        -- JSON text
    params_sha256 VARCHAR NOT NULL,
    since_utc VARCHAR NOT NULL,
    frozen BOOLEAN NOT NULL,
    who VARCHAR NOT NULL,
    when_utc VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    evidence VARCHAR NOT NULL       -- JSON text
);

CREATE TABLE evidence_trial (
    symbol VARCHAR NOT NULL,
    tune_id VARCHAR NOT NULL,
    trials BIGINT NOT NULL,         -- parameter sets evaluated
    lanes BIGINT NOT NULL,          -- at a time
    tape_digests VARCHAR NOT NULL,  -- JSON text, sorted
    seed BIGINT NOT NULL,
    market_start_ns BIGINT,         -- span of the tapes
    market_end_ns BIGINT,
    when_utc VARCHAR NOT NULL
);

CREATE TABLE evidence_confirmation (
    symbol VARCHAR NOT NULL,
    seq BIGINT NOT NULL,            -- order of spending, from 1
    confirmation_id VARCHAR NOT NULL,
    challenger_sha256 VARCHAR NOT NULL,
    decision VARCHAR NOT NULL,      -- the judge's verdict
    p_value DOUBLE NOT NULL,
    level DOUBLE NOT NULL,          -- granted
    promoted BOOLEAN NOT NULL,
    wealth_before DOUBLE NOT NULL,
    wealth_after DOUBLE NOT NULL,
    reason VARCHAR NOT NULL,
    when_utc VARCHAR NOT NULL
);
