-- Title: every fill has the mids it is judged by
-- Unit: -
-- Formula: fills whose mid at the fill or at the quote had to be taken from farther than core_limit.mid_age_ns
-- Grain: fill that offends
-- Inputs: core_fill_mid, core_fill
-- Severity: warn
-- NULL: never
SELECT f.lane, m.seq
FROM core_fill_mid AS m
JOIN core_fill AS f ON f.seq = m.seq
WHERE m.stale
ORDER BY f.lane, m.seq
