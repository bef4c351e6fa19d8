-- Title: which windows a slice is made of
-- Unit: -
-- Formula: windows first_window..last_window of the slice
-- Grain: slice, window
-- Inputs: core_slice, core_window
-- NULL: never
SELECT s.slice_id, s.lane, w.window_id
FROM core_slice AS s
JOIN core_window AS w ON w.window_id BETWEEN s.first_window AND s.last_window
