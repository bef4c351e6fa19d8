-- Title: the position that the bot journalled is the sum of its fills
-- Unit: base quantity
-- Formula: position_start + sum of signed quantity, in journal order, against position_after
-- Grain: fill that offends
-- Inputs: core_fill, core_run
-- Severity: warn
-- NULL: a fill without position_after offends nothing
SELECT lane, seq, held, position_after
FROM (
    SELECT
        f.lane,
        f.seq,
        f.position_after,
        r.position_start + sum(f.side_sign * f.qty) OVER (PARTITION BY f.lane ORDER BY f.seq) AS held
    FROM core_fill AS f
    CROSS JOIN core_run AS r
) AS walked
WHERE held <> position_after
ORDER BY lane, seq
