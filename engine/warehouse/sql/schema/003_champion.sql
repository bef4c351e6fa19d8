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

-- What each lane came to in each window, with the parameter set it ran: the paired evidence of every night. It follows
-- from the raw tables and is kept when they are pruned, so that what was looked at once cannot be looked at afresh.
CREATE TABLE evidence_window (
    symbol VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    records BIGINT NOT NULL,        -- of the run when this was made: other than now means stale
    mode VARCHAR NOT NULL,
    begun_ns BIGINT NOT NULL,       -- by the wall clock where the run id says so, else the market's
    lane BIGINT NOT NULL,
    role VARCHAR NOT NULL,
    "window" BIGINT NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL,
    params_sha256 VARCHAR,          -- of the set in force all through the window; null where it changed inside
    net_units HUGEINT,              -- 1e-12 of the PnL currency; null where unknown
    notional_units HUGEINT,
    mid_start DECIMAL(38, 18),
    mid_end DECIMAL(38, 18),
    sound BOOLEAN NOT NULL          -- the run's numbers do not contradict each other
);
