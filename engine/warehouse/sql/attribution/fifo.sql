-- Title: realised and unrealised PnL by window, first in first out
-- Unit: units of 1e-12 of the PnL currency
-- Formula: realised = sum x (v_close - v_open) over the matches closed in the window; unrealised = I_T v(m_T) - what
--   the lots still open cost; the start's position was opened at the mid there. Neither holds fees or funding
-- Grain: lane, window
-- Inputs: core_fifo_match, core_fill_value, core_edge_value, core_lane, core_start, core_window
-- NULL: unrealised where a position stands at the window's edge and the run has no mid; both where the run began with
--   a position and has no mid
WITH opening AS (
    SELECT s.lots, CASE WHEN s.lots = 0 THEN 0 ELSE e.v END AS v
    FROM core_start AS s
    CROSS JOIN core_edge_value AS e
    WHERE e.window_id = -1
),

matched AS (
    SELECT
        m.lane,
        m.closed_seq,
        m.lots,
        m.lots * c.v_price AS brought,
        m.lots * (CASE WHEN m.opened_seq IS NULL THEN s.v ELSE o.v_price END) AS cost
    FROM core_fifo_match AS m
    CROSS JOIN opening AS s
    JOIN core_fill_value AS c ON c.seq = m.closed_seq
    LEFT JOIN core_fill_value AS o ON o.seq = m.opened_seq
),

closing AS (
    SELECT closed_seq, sum(lots) AS lots, sum(brought) AS brought, sum(cost) AS cost
    FROM matched
    GROUP BY closed_seq
),

traded AS (
    SELECT
        f.lane,
        f.window_id,
        sum(f.signed_lots) AS lots,
        -- What a fill does not close it opens.
        sum((f.signed_lots + coalesce(c.lots, 0)) * f.v_price) AS opened,
        coalesce(sum(c.brought), 0) AS brought,
        CASE WHEN count(c.closed_seq) = count(c.cost) THEN coalesce(sum(c.cost), 0) END AS cost
    FROM core_fill_value AS f
    LEFT JOIN closing AS c ON c.closed_seq = f.seq
    GROUP BY f.lane, f.window_id
),

walked AS (
    SELECT
        l.lane,
        w.window_id,
        CASE WHEN t.lane IS NULL THEN 0 ELSE t.brought - t.cost END AS realised,
        s.lots + coalesce(sum(t.lots) OVER walk, 0) AS lots,
        s.lots * s.v + coalesce(sum(t.opened) OVER walk, 0) AS opened,
        coalesce(sum(t.cost) OVER walk, 0) AS closed
    FROM core_lane AS l
    CROSS JOIN core_window AS w
    CROSS JOIN opening AS s
    LEFT JOIN traded AS t ON t.lane = l.lane AND t.window_id = w.window_id
    WINDOW walk AS (PARTITION BY l.lane ORDER BY w.window_id)
),

valued AS (
    SELECT
        a.lane,
        a.window_id,
        a.realised,
        (CASE WHEN a.lots = 0 THEN 0 ELSE a.lots * e.v END) - (a.opened - a.closed) AS unrealised_end
    FROM walked AS a
    JOIN core_edge_value AS e ON e.window_id = a.window_id
)

SELECT
    lane,
    window_id,
    realised,
    unrealised_end,
    unrealised_end - lag(unrealised_end, 1, 0::HUGEINT) OVER (PARTITION BY lane ORDER BY window_id) AS unrealised
FROM valued
