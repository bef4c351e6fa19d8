-- Title: the mid five seconds after each fill
-- Unit: price in quote currency
-- Formula: the first mark at or after fill + 5 s, if at most 2 s later
-- Grain: seq
-- Inputs: core_fill, core_mark
-- NULL: never; no row where no mark is near enough
SELECT f.seq, m.mid
FROM (SELECT seq, ts_ns + 5000000000 AS at_ns FROM core_fill) AS f
ASOF JOIN core_mark AS m ON f.at_ns <= m.ts_ns
WHERE m.ts_ns - f.at_ns <= 2000000000
