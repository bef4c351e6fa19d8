-- Title: no record is missing
-- Unit: count
-- Formula: seq rises by 1 from the run's first record to its last
-- Grain: gap in seq
-- Inputs: raw_record, core_run
-- Severity: warn
-- NULL: never
SELECT seq AS after_seq, following - seq - 1 AS missing
FROM (
    SELECT r.seq, lead(r.seq) OVER (ORDER BY r.seq) AS following
    FROM raw_record AS r
    JOIN core_run USING (run_id)
) AS stepped
WHERE following > seq + 1
ORDER BY seq
